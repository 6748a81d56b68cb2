"""Colour images all the way: fitted, stored, decoded, compared, drawn."""

import jax
import numpy as np
import pytest

from wsjax.data import Images, Recipe, fit_dataset, limit, load, load_images, open_dataset, recipe_named, verify
from wsjax.networks import Network, grid
from wsjax.viz import decode, fits, pictures

INK, PAPER = np.array([[0.9, 0.5, 0.1], [0.1, 0.3, 0.6]], np.float32)


@pytest.fixture(scope="module")
def colour() -> Images:
    """Digits in orange on blue, cut to be higher than wide: rows, columns and channels all differ."""
    few = limit(load_images("digits"), 6)
    ink = few.pixels[:, :, 1:7]
    return few._replace(name="colour", pixels=ink * INK + (1 - ink) * PAPER)


@pytest.fixture(scope="module")
def stored(colour, tmp_path_factory):
    network = Network("siren", (2, 12, 12, 3), w0=(5.0,), offset=0.5, family="nfn")
    recipe = Recipe(network, steps=100, learning_rate=1e-2, lanes=4, target_psnr=14.0)
    path = tmp_path_factory.mktemp("colour") / "set"
    fit_dataset(colour, recipe, path, progress=False)
    return path


def test_the_stored_networks_give_back_the_colours(stored, colour):
    found = load(stored)
    assert found.card.image_shape == (8, 6, 3)
    points, network = grid((8, 6)), found.card.network
    assert network
    decoded = jax.jit(jax.vmap(lambda w: network.apply(w, points)))(found.weights)
    decoded = np.asarray(decoded).reshape(colour.pixels.shape)
    error = np.square(decoded - colour.pixels).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found.columns["psnr"], -10 * np.log10(error), rtol=1e-4)
    assert found.columns["psnr"].min() > 13
    # Channels that changed places would be much worse.
    swapped = np.square(decoded - colour.pixels[..., ::-1]).mean(axis=(1, 2, 3))
    assert (swapped > 3 * error).all()
    np.testing.assert_allclose(decode(found, found.network(2)), decoded[2], atol=1e-5)
    taken = open_dataset(stored).take(np.array([4]))
    np.testing.assert_array_equal(taken.weights[2].kernel[0], found.weights[2].kernel[4])


def test_verify_compares_the_colours(stored, colour):
    found = verify(stored, images=colour)
    assert (found.ok, found.decoded, found.notes) == (True, 6, ())
    assert found.psnr == pytest.approx(found.recorded, abs=1e-3)
    worse = verify(stored, images=colour._replace(pixels=colour.pixels[..., ::-1]))
    assert "6 of 6 networks do not decode to the recorded PSNR" in worse.damage[0]
    grey = verify(stored, images=colour._replace(pixels=colour.pixels[..., :1]))
    assert "has 2 inputs and 1 outputs; the networks of colour have widths (2, 12, 12, 3)" in grey.notes[0]


def test_pictures_are_in_colour(stored, colour, tmp_path):
    found = load(stored)
    page = fits(colour, found, tmp_path / "fits.png", rows=[0, 3])
    shown = [np.asarray(axes.images[0].get_array()) for axes in page.axes]
    assert [picture.shape for picture in shown[:4]] == [(8, 6, 3)] * 4
    np.testing.assert_allclose(shown[0], colour.pixels[0])
    assert np.asarray(pictures(found, found.weights).axes[0].images[0].get_array()).shape == (8, 6, 3)


def test_named_recipes_take_colours(colour):
    with pytest.raises(ValueError, match=r"widths \(2, 32, 32, 1\); colour needs 2 inputs and 3 outputs"):
        fit_dataset(colour, recipe_named("fast"), "/nowhere", progress=False)
