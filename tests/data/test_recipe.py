"""What a recipe says is what is fitted, and what the metadata tells."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.data.conftest import RANGED
from tests.data.conftest import RECIPE as SHORT
from tests.helpers import random_weights
from wsjax.data import Recipe, concatenate, fit, limit, load, load_images, recipe_named, verify
from wsjax.data.fitting.job import fit_weights
from wsjax.data.fitting.recipes import RECIPES, name_in_metadata
from wsjax.data.recipe import InitializedRecipe, initial_weights, initialized, optimizer_of
from wsjax.data.store.index import read_index
from wsjax.networks import grid
from wsjax.networks.siren import absorb
from wsjax.viz import decode

pytestmark = pytest.mark.usefixtures("plain_module")

NETWORK = SHORT.network
GIVEN = dataclasses.replace(SHORT, learning_rate=1e-30, check_every=1)
POINT, OTHER = (random_weights(jax.random.key(i), NETWORK.symmetry) for i in (5, 6))


def test_a_recipe_comes_back_from_json_and_a_named_one_fits_colors():
    momentum = dataclasses.replace(SHORT, optimizer="sgd", optimizer_settings=(("momentum", 0.9), ("nesterov", True)))
    named = [recipe_named(name, channels=3) for name in RECIPES]
    for recipe in (momentum, *named):
        assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert {recipe.network.widths[-1] for recipe in named} == {3}


def test_initializations_are_independent_or_shared():
    recipes = SHORT, dataclasses.replace(SHORT, initialization="shared")
    kernels = jax.vmap(lambda number, view: [initial_weights(initialized(r), number, view)[0].kernel for r in recipes])
    own, shared = jax.jit(kernels)(*np.indices((10, 2), np.int32).reshape(2, -1))
    assert len({kernel.tobytes() for kernel in np.asarray(own)}) == 20
    assert len({kernel.tobytes() for kernel in np.asarray(shared)}) == 2  # one for each view


ABSORBED = dataclasses.replace(SHORT, network=dataclasses.replace(NETWORK, w0=(1.0,), family="absorbed"), check_every=1)
AFFINE = dataclasses.replace(ABSORBED, network=dataclasses.replace(NETWORK, w0=(30.0,), family="nfn"))


@pytest.mark.parametrize("target", [None, 1e3])
def test_networks_that_hold_their_frequency_are_those_of_siren_s_own_coordinates_absorbed(images, target):
    one, other = (dataclasses.replace(recipe, target_psnr=target) for recipe in (ABSORBED, AFFINE))
    fitted, affine = (fit_weights(images, recipe, progress=False) for recipe in (one, other))
    chex.assert_trees_all_equal(fitted.weights, absorb(affine.weights, 30.0))
    np.testing.assert_array_equal(fitted.psnr, affine.psnr)
    if target is None:  # also from weights that are given
        start = jax.tree.map(np.asarray, NETWORK.init(jax.random.key(3)))
        starts = one.starting_from(absorb(start, 30.0)), other.starting_from(start)
        fitted, affine = (fit_weights(images, recipe, progress=False) for recipe in starts)
        chex.assert_trees_all_close(fitted.weights, absorb(affine.weights, 30.0), atol=1e-4)


def test_the_siren_recipe_fits_at_least_as_well_as_the_published_networks(tmp_path):
    """Their median is 43.4 dB on Fashion-MNIST, whose images have twelve times as many pixels as these digits."""
    dataset = fit(limit(load_images("digits"), 16), recipe="siren", out=tmp_path, progress=False)
    assert np.median(dataset.columns["psnr"]) > 43.4
    assert (dataset.metadata.recipe or {})["named"] == "siren"
    assert dataset.metadata.network == recipe_named("siren").network
    assert dataset.metadata.symmetry.groups["h1"].half_turn == np.pi
    found = verify(tmp_path)
    assert found.ok
    assert found.psnr is not None
    assert found.psnr > 43.4


@pytest.mark.parametrize("target", [None, 1e3])
def test_all_start_from_the_weights_that_are_given(images, target):
    recipe = dataclasses.replace(GIVEN, target_psnr=target).starting_from(POINT)
    given = fit_weights(images, recipe, progress=False).weights
    kernel = POINT[1].kernel
    np.testing.assert_allclose(given[1].kernel, np.broadcast_to(kernel, (10, *kernel.shape)), atol=1e-6)


def test_weights_are_given_where_the_recipe_asks_and_the_metadata_knows_which(images, tmp_path):
    given = dataclasses.replace(GIVEN, initialization="given")
    message = r"initialization is .*, and there are .*; expected recipe\.starting_from\("
    for wrong in (given, InitializedRecipe(given), InitializedRecipe(SHORT, POINT)):
        with pytest.raises(ValueError, match=message):
            fit(images, recipe=wrong, progress=False)
    with pytest.raises(ValueError, match="weights"):
        GIVEN.starting_from(POINT[:1])
    stored, again = (fit(images, recipe=GIVEN.starting_from(POINT), out=o, progress=False) for o in (tmp_path, None))
    assert stored.metadata.recipe == again.metadata.recipe
    with pytest.raises(ValueError, match=r"holds a data set with other settings: recipe.initial_weights_sha256 is"):
        fit(images, recipe=GIVEN.starting_from(OTHER), out=tmp_path, progress=False)


def test_the_range_of_values_and_the_order_of_coordinates_are_the_recipe_s(images, tmp_path):
    ranged = fit(images, recipe=RANGED, out=tmp_path, progress=False)
    assert (ranged.metadata.coordinate_order, ranged.metadata.value_range) == ("ij", (-1.0, 1.0))
    decoded = jax.jit(jax.vmap(lambda w: NETWORK.apply(w, grid((8, 8), order="ij"))))(ranged.weights)
    decoded = np.asarray(decoded).reshape(images.pixels.shape)
    error = np.square(decoded - (2 * images.pixels - 1)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(ranged.columns["psnr"], 10 * np.log10(4 / error), rtol=1e-5)
    np.testing.assert_allclose(decode(ranged, ranged.network(0)), decoded[0], atol=1e-5)
    found = verify(tmp_path)
    assert found.ok
    assert found.psnr == pytest.approx(found.recorded, abs=1e-3)


def test_settings_of_an_optimizer_are_its_own():
    recipe = dataclasses.replace(SHORT, schedule="constant", optimizer_settings=(("b1", 0.5),))

    def second_update(optimizer, x):
        _, state = optimizer.update(x, optimizer.init(x))
        return optimizer.update(x[::-1], state)[0]

    three = optimizer_of(recipe), optax.adam(recipe.learning_rate, b1=0.5), optax.adam(recipe.learning_rate)
    with jax.numpy_dtype_promotion("standard"):
        one, same, other = jax.jit(lambda x: [second_update(optimizer, x) for optimizer in three])(jnp.arange(4.0))
    np.testing.assert_allclose(one, same)
    assert (one != other).any()


def test_the_metadata_names_the_recipe_and_what_was_changed_of_it(images):
    for recipe, name in (
        (recipe_named("dws"), "dws"),
        (recipe_named("nfn", channels=3), "nfn"),
        (recipe_named("siren", channels=3), "siren"),
        (dataclasses.replace(recipe_named("dws"), steps=100, views=2), "dws, changed: steps, views"),
        (recipe_named("digits"), "digits"),
        (dataclasses.replace(recipe_named("solids"), seed=3), "solids, changed: seed"),
        (dataclasses.replace(recipe_named("fast"), network=NETWORK, steps=25), "fast, changed: network, steps"),
        (SHORT, ""),
        (dataclasses.replace(SHORT, name="my own"), "my own"),
    ):
        assert name_in_metadata(recipe) == name
        described = {**recipe.to_json(), "named": name}
        again = Recipe.from_json(json.loads(json.dumps(described)))
        assert (again, name_in_metadata(again)) == (recipe, name)
    changed = dataclasses.replace(SHORT, name="fast")
    metadata = fit(images, recipe=changed, progress=False).metadata
    assert (metadata.recipe or {})["named"] == name_in_metadata(changed) != "fast"


def test_a_name_is_no_setting(images, tmp_path):
    """Equal settings give equal networks, one program, and one data set, whatever they are called."""
    named = dataclasses.replace(SHORT, name="mine")
    assert named == SHORT
    assert hash(named) == hash(SHORT)
    for name, recipe in (("one", SHORT), ("two", named)):
        fit(images, recipe=recipe, out=tmp_path / name, progress=False)
    assert read_index(tmp_path / "one").fingerprint == read_index(tmp_path / "two").fingerprint
    again = fit(images, recipe=SHORT, out=tmp_path / "two", progress=False)
    assert (again.metadata.recipe or {})["named"] == "mine"
    assert len(concatenate([load(tmp_path / "one"), load(tmp_path / "two")])) == 2 * len(images.pixels)


def test_wrong_recipes_are_refused(untyped):
    for settings, message in [
        ({"optimizer": "adma"}, "unknown optimizer 'adma'; expected the name of one of optax's, such as 'adam'"),
        ({"schedule": "adma"}, "unknown schedule 'adma'; the valid ones are: cosine, constant"),
        ({"initialization": "adma"}, "unknown initialization 'adma'; the valid ones are: independent, shared, given"),
        ({"value_range": (1.0, 1.0)}, r"value_range is \(1\.0, 1\.0\); expected a lower and a higher number"),
        ({"value_range": (0.0, 1.0, 2.0)}, r"value_range is \(0\.0, 1\.0, 2\.0\); .*: give its two ends"),
        ({"target_psnr": np.nan, "check_every": 1}, "target_psnr is nan; it must be one number"),
        ({"target_psnr": 30.0}, r"steps is 3 and check_every 25; .* an integer of checks"),
        *(({name: 0}, f"{name} is 0") for name in ("steps", "learning_rate", "slots", "views", "check_every")),
    ]:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(SHORT, **settings)
