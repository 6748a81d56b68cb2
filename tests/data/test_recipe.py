"""What a recipe says is what is fitted, and what the card tells."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.data.conftest import RANGED
from tests.data.conftest import RECIPE as SHORT
from tests.helpers import assert_identical, random_weights
from wsjax.data import (
    RECIPES,
    Recipe,
    concatenate,
    default_recipe,
    fit_dataset,
    fit_dataset_in_memory,
    fit_weights,
    load,
    recipe_named,
    verify,
)
from wsjax.data.fitting.recipes import name_on_card
from wsjax.data.recipe import optimiser_of, start_of
from wsjax.data.store.directory import checksum, read_json, write_json
from wsjax.data.store.index import read_index
from wsjax.networks import grid
from wsjax.viz import decode

pytestmark = pytest.mark.usefixtures("plain_module")

NETWORK = SHORT.network
GIVEN = dataclasses.replace(SHORT, start="given", learning_rate=1e-30, check_every=1)
POINT, OTHER = (random_weights(jax.random.key(i), NETWORK.symmetry) for i in (5, 6))


def test_a_recipe_comes_back_from_json_and_a_named_one_fits_colours():
    momentum = dataclasses.replace(SHORT, optimiser="sgd", optimiser_settings=(("momentum", 0.9), ("nesterov", True)))
    named = [recipe_named(name, channels=3) for name in RECIPES]
    for recipe in (momentum, *named):
        assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert {recipe.network.widths[-1] for recipe in named} == {3}
    with pytest.raises(ValueError, match=r"unknown recipe 'dsw'; the valid ones are: dws, nfn, fast. Did you mean"):
        recipe_named("dsw")


def test_starts_are_independent_or_shared():
    recipes = SHORT, dataclasses.replace(SHORT, start="shared")
    kernels = jax.vmap(lambda number, view: [start_of(recipe, number, view)[0].kernel for recipe in recipes])
    own, shared = jax.jit(kernels)(*np.indices((10, 2), np.int32).reshape(2, -1))
    assert len({kernel.tobytes() for kernel in np.asarray(own)}) == 20
    assert len({kernel.tobytes() for kernel in np.asarray(shared)}) == 2  # one for each view


@pytest.mark.parametrize("target", [None, 1e3])
def test_all_start_from_the_weights_that_are_given(images, target):
    given = fit_weights(images, dataclasses.replace(GIVEN, target_psnr=target), progress=False, given=POINT).weights
    kernel = POINT[1].kernel
    np.testing.assert_allclose(given[1].kernel, np.broadcast_to(kernel, (10, *kernel.shape)), atol=1e-6)


def test_weights_are_given_where_the_recipe_asks_and_the_card_knows_which(images, tmp_path):
    for wrong, weights in ((GIVEN, None), (SHORT, POINT)):
        with pytest.raises(ValueError, match=r"weights .* the recipe's start is .*; expected weights for 'given'"):
            fit_dataset_in_memory(images, wrong, progress=False, given=weights)
    fit_dataset(images, GIVEN, tmp_path, progress=False, given=POINT)
    assert load(tmp_path).card.recipe == fit_dataset_in_memory(images, GIVEN, progress=False, given=POINT).card.recipe
    with pytest.raises(ValueError, match=r"holds a data set with other settings: recipe.given_sha256 is"):
        fit_dataset(images, GIVEN, tmp_path, progress=False, given=OTHER)


def test_the_range_of_values_and_the_order_of_coordinates_are_the_recipe_s(images, tmp_path):
    ranged = fit_dataset(images, RANGED, tmp_path, progress=False)
    assert (ranged.card.coordinate_order, ranged.card.value_range) == ("ij", (-1.0, 1.0))
    decoded = jax.jit(jax.vmap(lambda w: NETWORK.apply(w, grid((8, 8), order="ij"))))(ranged.weights)
    decoded = np.asarray(decoded).reshape(images.pixels.shape)
    error = np.square(decoded - (2 * images.pixels - 1)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(ranged.columns["psnr"], 10 * np.log10(4 / error), rtol=1e-5)
    np.testing.assert_allclose(decode(ranged, ranged.network(0)), decoded[0], atol=1e-5)
    found = verify(tmp_path)
    assert found.ok
    assert found.psnr == pytest.approx(found.recorded, abs=1e-3)


def test_settings_of_an_optimiser_are_its_own():
    recipe = dataclasses.replace(SHORT, schedule="constant", optimiser_settings=(("b1", 0.5),))

    def second_update(optimiser, x):
        _, state = optimiser.update(x, optimiser.init(x))
        return optimiser.update(x[::-1], state)[0]

    three = optimiser_of(recipe), optax.adam(recipe.learning_rate, b1=0.5), optax.adam(recipe.learning_rate)
    with jax.numpy_dtype_promotion("standard"):
        one, same, other = jax.jit(lambda x: [second_update(optimiser, x) for optimiser in three])(jnp.arange(4.0))
    np.testing.assert_allclose(one, same)
    assert (one != other).any()


def test_the_card_names_the_recipe_and_what_was_changed_of_it(images):
    for recipe, name in (
        (recipe_named("dws"), "dws"),
        (recipe_named("nfn", channels=3), "nfn"),
        (dataclasses.replace(recipe_named("dws"), steps=100, views=2), "dws, changed: steps, views"),
        (default_recipe("digits"), "digits"),
        (dataclasses.replace(default_recipe("solids"), seed=3), "solids, changed: seed"),
        (dataclasses.replace(recipe_named("fast"), network=NETWORK, steps=25), "fast, changed: network, steps"),
        (SHORT, ""),
        (dataclasses.replace(SHORT, name="my own"), "my own"),
    ):
        assert name_on_card(recipe) == name
        described = {**recipe.to_json(), "named": name}
        again = Recipe.from_json(json.loads(json.dumps(described)))
        assert (again, name_on_card(again)) == (recipe, name)
    changed = dataclasses.replace(SHORT, name="fast")
    card = fit_dataset_in_memory(images, changed, progress=False).card
    assert (card.recipe or {})["named"] == name_on_card(changed) != "fast"


def test_a_name_is_no_setting(images, tmp_path):
    """Equal settings give equal networks, one program, and one data set, whatever they are called."""
    named = dataclasses.replace(SHORT, name="mine")
    assert named == SHORT
    assert hash(named) == hash(SHORT)
    for name, recipe in (("one", SHORT), ("two", named)):
        fit_dataset(images, recipe, tmp_path / name, progress=False)
    assert read_index(tmp_path / "one").fingerprint == read_index(tmp_path / "two").fingerprint
    again = fit_dataset(images, SHORT, tmp_path / "two", progress=False)
    assert (again.card.recipe or {})["named"] == "mine"
    assert len(concatenate([load(tmp_path / "one"), load(tmp_path / "two")])) == 2 * len(images.pixels)


def test_a_data_set_from_before_recipes_had_names_opens_and_goes_on(images, tmp_path, monkeypatch):
    """Its card has no name, and its index was written for that card."""
    monkeypatch.setattr("wsjax.data.store.shards.SHARD_NETWORKS", 4)
    expected = fit_dataset(images, SHORT, tmp_path, progress=False)
    card, index = read_json(tmp_path / "card.json"), read_json(tmp_path / "index.json")
    del card["recipe"]["named"]
    assert index["card"] == checksum({**card, "statistics": {}})  # as it was reckoned then
    del index["shards"]["00002"]
    write_json(tmp_path / "card.json", {**card, "statistics": {}})
    write_json(tmp_path / "index.json", index)
    assert_identical(fit_dataset(images, SHORT, tmp_path, progress=False).weights, expected.weights)
    assert_identical(load(tmp_path).weights, expected.weights)
    found = load(tmp_path).card.recipe or {}
    assert "named" not in found
    assert Recipe.from_json(found) == SHORT


def test_wrong_recipes_are_refused(untyped):
    for setting, message in {
        "optimiser": r"unknown optimiser 'adma'; expected the name of one of optax's, such as 'adam'",
        "schedule": "unknown schedule 'adma'; the valid ones are: cosine, constant",
        "start": "unknown start 'adma'; the valid ones are: independent, shared, given",
    }.items():
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(SHORT, **{setting: "adma"})
    with pytest.raises(ValueError, match=r"value_range is \(1\.0, 1\.0\); expected a lower and a higher number"):
        dataclasses.replace(SHORT, value_range=(1.0, 1.0))
    with pytest.raises(ValueError, match=r"steps is 3 and check_every 25; .* a whole number of checks"):
        dataclasses.replace(SHORT, target_psnr=30.0)
