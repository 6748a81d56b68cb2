"""MixUp and label smoothing: who is mixed with whom, by how much, and what the label says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.helpers import assert_identical, change
from wsjax import augment as wa
from wsjax.typing import Batch

SIZE = 4
EYE = jnp.eye(SIZE)
KEYS = jax.random.split(jax.random.key(0), 700)
ROWS = Batch({"kernel": EYE, "step": jnp.arange(SIZE)}, EYE)
"""Network i is the i-th unit vector, and so is its label: a mixed row shows who is in it and by how much."""


def test_partners_run_along_one_cycle_through_the_batch():
    for seed in range(5):
        partner = np.asarray(wa.partners(jax.random.key(seed), SIZE))
        place, seen = 0, []
        for _ in range(SIZE):
            place = int(partner[place])
            seen.append(place)
        assert sorted(seen) == list(range(SIZE))


def test_every_other_network_is_equally_likely_a_partner_and_oneself_never():
    partner = np.asarray(jax.vmap(lambda k: wa.partners(k, SIZE))(KEYS))
    counts = np.stack([(partner == i).mean(axis=0) for i in range(SIZE)])
    assert (np.diag(counts) == 0).all()
    np.testing.assert_allclose(counts + np.eye(SIZE) / 3, 1 / 3, atol=0.06)


@pytest.mark.parametrize("transform", [Partial(wa.mixup, alpha=0.4), wa.mixup_uniform], ids=["mixup", "uniform"])
def test_weights_and_labels_mix_two_networks_by_one_share(transform):
    mixed = transform(jax.random.key(0), ROWS)
    assert_identical(mixed.weights["kernel"], mixed.label)
    assert_identical(mixed.weights["step"], jnp.arange(SIZE))
    np.testing.assert_allclose(mixed.label.sum(axis=1), 1, atol=1e-6)
    assert ((mixed.label > 0).sum(axis=1) == 2).all()
    assert len(np.unique(jnp.diag(mixed.label).round(5))) == SIZE  # a share for each


@jax.jit
def shares(transform) -> jax.Array:
    """What each network contributes to its own mixture, over many draws."""
    return jax.vmap(lambda k: jnp.diag(transform(k, ROWS).label))(KEYS)


@pytest.mark.parametrize("alpha", [0.4, 1.0, 4.0])
def test_the_share_is_beta_distributed(alpha: float):
    found = shares(Partial(wa.mixup, alpha=alpha))
    assert float(found.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(found.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)


def test_the_share_is_uniform_between_its_bounds():
    found = shares(Partial(wa.mixup_uniform, low=0.2, high=0.6))
    assert (float(found.min()), float(found.max())) == pytest.approx((0.2, 0.6), abs=0.01)
    assert float(found.var()) == pytest.approx(0.4**2 / 12, rel=0.08)


def test_a_batch_of_one_has_no_partner_and_stays():
    alone = Batch(jnp.full((1, 3), 2.0), jnp.eye(2)[:1])
    assert change(wa.mixup_uniform(jax.random.key(0), alone).weights, alone.weights) < 1e-6


def test_labels_may_be_targets_of_any_shape():
    batch = Batch(EYE, {"score": jnp.arange(SIZE, dtype=jnp.float32), "map": jnp.ones((SIZE, 2, 2))})
    mixed = wa.mixup(jax.random.key(0), batch)
    assert float(mixed.label["score"].sum()) != float(batch.label["score"].sum())
    np.testing.assert_allclose(mixed.label["map"], 1, atol=1e-6)
    np.testing.assert_allclose(mixed.label["score"], mixed.weights @ batch.label["score"], atol=1e-5)


def test_label_smoothing_gives_a_share_to_every_class_alike():
    labels = jnp.array([[1.0, 0.0, 0.0, 0.0], [0.25, 0.75, 0.0, 0.0]])
    smooth = wa.label_smoothing(jax.random.key(0), Batch(EYE[:2], labels), rate=0.2)
    np.testing.assert_allclose(smooth.label, [[0.85, 0.05, 0.05, 0.05], [0.25, 0.65, 0.05, 0.05]], atol=1e-6)
    assert_identical(smooth.weights, EYE[:2])
    whole = wa.label_smoothing(jax.random.key(0), Batch(EYE[:2], labels), rate=1.0)
    np.testing.assert_allclose(whole.label, 0.25)


@pytest.mark.parametrize("transform", [wa.mixup, wa.mixup_uniform, wa.label_smoothing])
def test_labels_that_are_whole_numbers_are_refused(transform):
    for labels in (jnp.arange(SIZE), jnp.eye(SIZE, dtype=jnp.int32)):
        with pytest.raises((TypeError, ValueError), match=r"label has .*jax.nn.one_hot"):
            transform(jax.random.key(0), Batch(EYE, labels))


@pytest.mark.parametrize(
    ("transform", "settings", "message"),
    [
        (wa.mixup, {"alpha": 0.0}, r"alpha is 0.0; it must be one number in \(0, inf\]"),
        (wa.mixup_uniform, {"low": -0.1}, r"low is -0.1; it must be one number in \[0, 1\]"),
        (wa.mixup_uniform, {"high": 1.5}, "high is 1.5"),
        (wa.mixup_uniform, {"low": 0.75, "high": 0.25}, "high - low is -0.5"),
        (wa.label_smoothing, {"rate": 1.5}, r"rate is 1.5; it must be one number in \[0, 1\]"),
    ],
)
def test_settings_out_of_range_are_named(transform, settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        transform(jax.random.key(0), ROWS, **settings)
