"""Any optimizer serves, a user's own by a name; and whichever it is, a network is as alone."""

import dataclasses
import json
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.data.test_fit import by_job
from wsjax import cli
from wsjax.data import Recipe, fit, load, optimizers, register_optimizer, verify
from wsjax.data.fitting.job import fit_weights
from wsjax.data.optimizers import ELEMENTWISE, over_slots, state_sha256
from wsjax.data.recipe import optimizer_of
from wsjax.networks import Network

pytestmark = pytest.mark.usefixtures("plain_module")


def clipped(learning_rate, norm=0.05):
    """Each network's gradient is clipped by its own norm; the state has a count that the slots may not share."""
    return optax.chain(optax.clip_by_global_norm(norm), optax.scale_by_trust_ratio(), optax.adam(learning_rate))


@pytest.fixture
def own(monkeypatch, recipe) -> Recipe:
    monkeypatch.setattr(optimizers, "_registered", {})
    register_optimizer("clipped", clipped)
    return dataclasses.replace(recipe, optimizer="clipped", optimizer_settings=(("norm", 0.1),))


@pytest.mark.parametrize(("name", "target"), [("clipped", None), ("clipped", 30.0), ("adam", None)])
def test_a_network_is_as_alone_whatever_the_optimizer(images, recipe, own, name, target):
    """Of refilled slots each has a state of its own, whatever the optimizer; side by side some share it."""
    recipe = own if name == "clipped" else dataclasses.replace(recipe, optimizer=name)
    recipe = dataclasses.replace(recipe, target_psnr=target, check_every=1 if target else recipe.check_every)
    together = by_job([fit_weights(images, recipe, progress=False)])
    alone = by_job([fit_weights(images.take(np.array([6])), recipe, progress=False)])
    assert alone[0, 0] == together[6, 0]


def test_what_shares_a_state_over_slots_treats_each_number_by_itself():
    """A state of all slots gives the updates that each slot's own gives."""
    weights = {"a": jnp.linspace(-1.0, 1.0, 12).reshape(2, 3, 2), "b": jnp.array([[0.3], [4.0]])}

    @jax.jit
    def updates(weights):
        found = {name: [] for name in ELEMENTWISE}
        for name in ELEMENTWISE:
            optimizer = getattr(optax, name)(0.1)
            assert over_slots(name, optimizer) is optimizer
            slots = optax.GradientTransformation(jax.vmap(optimizer.init), jax.vmap(optimizer.update))
            shared, apart = optimizer.init(weights), slots.init(weights)
            for i in range(2):
                gradient = jax.tree.map(lambda x, i=i: jnp.cos(3 * x + i), weights)
                one, shared = optimizer.update(gradient, shared, weights)
                two, apart = slots.update(gradient, apart, weights)
                found[name].append((one, two))
        return found

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for name, pairs in updates(weights).items():
            for one, two in pairs:
                chex.assert_trees_all_close(one, two, rtol=1e-5, atol=1e-7, custom_message=name)


def test_what_cannot_step_by_the_gradient_alone_is_refused_before_any_fit(own):
    def mask(weights):
        if len(weights) > 2:
            return jax.tree.map(lambda _: True, weights)
        raise ValueError("no third layer")

    register_optimizer("a schedule", optax.exponential_decay)  # pyright: ignore[reportArgumentType]
    register_optimizer("a mask", lambda learning_rate: optax.masked(optax.sgd(learning_rate), mask))
    small = dataclasses.replace(own, network=Network("siren", (2, 3, 1)))
    for name, message in (
        ("lbfgs", r"'lbfgs' cannot make a step from a gradient alone: .* 'value', .*; take one of optax's, such as"),
        ("polyak_sgd", r"optax's 'polyak_sgd' is no optimizer: it takes no learning_rate; take one of optax's"),
        ("exponential_decay", r"optax's 'exponential_decay' is no optimizer: .* or register one of your own, by data"),
        ("scale_by_adam", r"optax's 'scale_by_adam' is no optimizer"),
        ("rprop", r"'rprop' takes no schedule of its learning rate; set schedule='constant'"),
        ("a schedule", r"'a schedule' is made as a function; expected an optax.GradientTransformation: take"),
        ("a mask", r"'a mask' cannot make a step from a gradient alone: no third layer; take"),
    ):
        settings = (("transition_steps", 3), ("decay_rate", 0.5)) if name == "a schedule" else ()
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(small, optimizer=name, optimizer_settings=settings)
    assert dataclasses.replace(own, optimizer="a mask", optimizer_settings=()).optimizer == "a mask"
    assert dataclasses.replace(own, optimizer="rprop", optimizer_settings=(), schedule="constant").steps == own.steps
    with pytest.raises(ValueError, match=r"settings \{'beta1': 0.9\}: .* unexpected .* give it settings that it takes"):
        dataclasses.replace(own, optimizer="adam", optimizer_settings=(("beta1", 0.9),))


def test_a_name_is_given_once_and_none_of_optax_s(own, untyped):
    register_optimizer("clipped", clipped)
    with pytest.raises(ValueError, match="the optimizer 'clipped' is registered with another factory"):
        register_optimizer("clipped", optax.adam)
    with pytest.raises(ValueError, match="'adam' is the name of one of optax's; expected a name of your own"):
        register_optimizer("adam", clipped)
    with pytest.raises(ValueError, match="the factory of 'mine' is 'adam'; expected a function"):
        register_optimizer("mine", "adam")  # pyright: ignore[reportArgumentType]


def test_the_metadata_says_what_was_used_and_opening_needs_no_registration(images, fitted, own, tmp_path, monkeypatch):
    clipped = fit(images, recipe=own, out=tmp_path, progress=False)
    assert (clipped.weights[0].kernel != fitted.weights[0].kernel).any()
    recipe = clipped.metadata.recipe or {}
    assert (recipe["optimizer"], recipe["optimizer_settings"]) == ("clipped", [["norm", 0.1]])
    assert recipe["optimizer_state_sha256"] == state_sha256(optimizer_of(own), own.network.init(jax.random.key(1)))
    assert "optimizer_state_sha256" not in (fitted.metadata.recipe or {})
    assert Recipe.from_json(json.loads(json.dumps(recipe))) == own

    monkeypatch.setattr(optimizers, "_registered", {})
    assert load(tmp_path).metadata == clipped.metadata
    assert verify(tmp_path).ok
    with pytest.raises(ValueError, match=r"unknown optimizer 'clipped'.* or one of your own: register that first, by"):
        Recipe.from_json(recipe)
    # Another factory of that name, which remembers something else, is another recipe.
    register_optimizer("clipped", lambda learning_rate, norm: optax.sgd(learning_rate))
    with pytest.raises(ValueError, match=r"holds a data set with other settings: recipe.optimizer_state_sha256 is"):
        fit(images, recipe=own, out=tmp_path, progress=False)


def test_the_command_line_does_not_go_on_with_an_optimizer_it_does_not_know(
    images, own, tiny_digits, tmp_path, monkeypatch, capsys
):
    fit(images, recipe=own, out=tmp_path / "set", progress=False)
    monkeypatch.setattr(optimizers, "_registered", {})
    monkeypatch.setattr(sys, "argv", ["wsjax", "fit", "digits", str(tmp_path / "set"), "--limit=10"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "recipe.optimizer is 'clipped' there and 'adam' here" in capsys.readouterr().err
