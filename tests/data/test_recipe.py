"""What a recipe says is what is fitted, and what the card tells."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import assert_identical
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
)
from wsjax.data.fitting.recipes import name_on_card
from wsjax.data.store.directory import checksum, read_json, write_json
from wsjax.data.store.index import read_index
from wsjax.networks import Network, grid
from wsjax.viz import decode

NETWORK = Network("siren", (2, 4, 4, 1), w0=(5.0,))
SHORT = Recipe(NETWORK, steps=3, lanes=4)


@pytest.mark.parametrize("name", RECIPES)
def test_a_named_recipe_comes_back_from_json_and_fits_colours(name: str):
    recipe = recipe_named(name, channels=3)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert recipe.network.widths[-1] == 3
    with pytest.raises(
        ValueError, match=r"unknown recipe 'dsw'; the valid ones are: dws, nfn, fast. Did you mean 'dws'"
    ):
        recipe_named("dsw")


def test_every_field_comes_back_from_json():
    momentum = dataclasses.replace(SHORT, optimiser="sgd", optimiser_settings=(("momentum", 0.9), ("nesterov", True)))
    assert Recipe.from_json(json.loads(json.dumps(momentum.to_json()))) == momentum


@pytest.mark.parametrize("target", [None, 1e3])
def test_starts_are_independent_shared_or_given(images, target):
    steps = {"steps": 1, "learning_rate": 1e-30, "check_every": 1, "target_psnr": target, "views": 2}
    own = fit_weights(images, dataclasses.replace(SHORT, **steps), progress=False).weights
    shared = fit_weights(images, dataclasses.replace(SHORT, start="shared", **steps), progress=False).weights
    kernels = lambda weights: {leaf.tobytes() for leaf in weights[0].kernel}
    assert len(kernels(own)) == 2 * len(images.pixels)
    assert len(kernels(shared)) == 2  # one for each view
    point = NETWORK.init(jax.random.key(5))
    recipe = dataclasses.replace(SHORT, start="given", **steps)
    given = fit_weights(images, recipe, progress=False, given=point).weights
    np.testing.assert_allclose(given[1].kernel, np.broadcast_to(point[1].kernel, given[1].kernel.shape), atol=1e-6)


def test_weights_are_given_where_the_recipe_asks_and_the_card_knows_which(images, tmp_path):
    point, other = (NETWORK.init(jax.random.key(i)) for i in (5, 6))
    recipe = dataclasses.replace(SHORT, start="given")
    for wrong, weights in ((recipe, None), (SHORT, point)):
        with pytest.raises(ValueError, match=r"weights .* the recipe's start is .*; expected weights for 'given'"):
            fit_dataset_in_memory(images, wrong, progress=False, given=weights)
    fit_dataset(images, recipe, tmp_path, progress=False, given=point)
    assert load(tmp_path).card.recipe == fit_dataset_in_memory(images, recipe, progress=False, given=point).card.recipe
    with pytest.raises(ValueError, match=r"holds a data set with other settings: recipe.given_sha256 is"):
        fit_dataset(images, recipe, tmp_path, progress=False, given=other)


def test_the_range_of_values_and_the_order_of_coordinates_are_the_recipe_s(images):
    recipe = dataclasses.replace(SHORT, steps=60, learning_rate=1e-2, coordinate_order="ij", value_range=(-1.0, 1.0))
    fitted = fit_dataset_in_memory(images, recipe, progress=False)
    assert (fitted.card.coordinate_order, fitted.card.value_range) == ("ij", (-1.0, 1.0))
    weights = jax.tree.map(jnp.asarray, fitted.weights)
    decoded = jax.vmap(lambda w: NETWORK.apply(w, grid((8, 8), order="ij")))(weights)
    error = np.mean(
        np.square(np.asarray(decoded).reshape(images.pixels.shape) - (2 * images.pixels - 1)), axis=(1, 2, 3)
    )
    np.testing.assert_allclose(fitted.columns["psnr"], 10 * np.log10(4 / error), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(decode(fitted, fitted.network(0))).reshape(-1, 1), decoded[0], atol=1e-5)


def test_any_optimiser_of_optax_serves(images):
    one = fit_weights(images, SHORT, progress=False).weights
    same = fit_weights(images, dataclasses.replace(SHORT, optimiser_settings=(("b1", 0.9),)), progress=False).weights
    other = fit_weights(images, dataclasses.replace(SHORT, optimiser="lion"), progress=False).weights
    assert_identical(one, same)
    assert (one[0].kernel != other[0].kernel).any()


def test_the_card_names_the_recipe_and_what_was_changed_of_it(images):
    for recipe, name in (
        (recipe_named("dws"), "dws"),
        (recipe_named("nfn", channels=3), "nfn"),
        (dataclasses.replace(recipe_named("dws"), steps=100, views=2), "dws, changed: steps, views"),
        (default_recipe("digits"), "digits"),
        (dataclasses.replace(default_recipe("solids"), seed=3), "solids, changed: seed"),
        (SHORT, ""),
        (dataclasses.replace(SHORT, name="my own"), "my own"),
    ):
        assert name_on_card(recipe) == name
        described = {**recipe.to_json(), "named": name}
        again = Recipe.from_json(json.loads(json.dumps(described)))
        assert (again, name_on_card(again)) == (recipe, name)
    short = dataclasses.replace(recipe_named("fast"), network=NETWORK, steps=25)
    card = fit_dataset_in_memory(images, short, progress=False).card
    assert card.recipe
    assert card.recipe["named"] == "fast, changed: network, steps"


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
