"""Color images all the way: fitted, stored, decoded, compared, drawn."""

import jax
import numpy as np
import pytest

from wsjax.data import Images, Recipe, fit, limit, load, load_images, open_dataset, verify
from wsjax.networks import Network, grid
from wsjax.viz import decode, fits, images

INK, PAPER = np.array([[0.9, 0.5, 0.1], [0.1, 0.3, 0.6]], np.float32)


@pytest.fixture(scope="module")
def color() -> Images:
    """Digits in orange on blue, cut to be higher than wide: rows, columns and channels all differ."""
    few = limit(load_images("digits"), 6)
    ink = few.pixels[:, :, 1:7]
    return few._replace(name="color", pixels=ink * INK + (1 - ink) * PAPER)


@pytest.fixture(scope="module")
def stored(color, tmp_path_factory):
    network = Network("siren", (2, 12, 12, 3), w0=(5.0,), offset=0.5, family="nfn")
    recipe = Recipe(network, steps=100, learning_rate=1e-2, slots=4, target_psnr=14.0)
    path = tmp_path_factory.mktemp("color") / "set"
    fit(color, recipe=recipe, out=path, progress=False)
    return path


def test_the_stored_networks_give_back_the_colors(stored, color):
    found = load(stored)
    assert found.metadata.image_shape == (8, 6, 3)
    network = found.metadata.network
    assert network
    decoded = jax.jit(jax.vmap(lambda w: network.apply(w, grid((8, 6)))))(found.weights)
    decoded = np.asarray(decoded).reshape(color.pixels.shape)
    error = np.square(decoded - color.pixels).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found.columns["psnr"], -10 * np.log10(error), rtol=1e-4)
    assert found.columns["psnr"].min() > 13
    # Channels that changed places would be much worse.
    swapped = np.square(decoded - color.pixels[..., ::-1]).mean(axis=(1, 2, 3))
    assert (swapped > 3 * error).all()
    np.testing.assert_allclose(decode(found, found.network(2)), decoded[2], atol=1e-5)
    taken = open_dataset(stored).take(np.array([4]))
    np.testing.assert_array_equal(taken.weights[2].kernel[0], found.weights[2].kernel[4])


def test_verify_compares_the_colors(stored, color):
    found = verify(stored, images=color)
    assert (found.ok, found.decoded, found.notes) == (True, 6, ())
    assert found.psnr == pytest.approx(found.recorded, abs=1e-3)
    worse = verify(stored, images=color._replace(pixels=color.pixels[..., ::-1]))
    assert "6 of 6 networks do not decode to the recorded PSNR" in worse.damage[0]
    gray = verify(stored, images=color._replace(pixels=color.pixels[..., :1]))
    assert "has 2 inputs and 1 outputs; the networks of color have widths (2, 12, 12, 3)" in gray.notes[0]


def test_images_are_in_color(stored, color, tmp_path):
    found = load(stored)
    page = fits(color, found, tmp_path / "fits.png", rows=[0, 3])
    shown = [np.asarray(axes.images[0].get_array()) for axes in page.axes]
    assert [image.shape for image in shown[:4]] == [(8, 6, 3)] * 4
    np.testing.assert_allclose(shown[0], color.pixels[0])
    assert np.asarray(images(found, found.weights).axes[0].images[0].get_array()).shape == (8, 6, 3)
