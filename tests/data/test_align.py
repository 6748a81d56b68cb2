"""A data set aligned once: nearer together, the same functions, the rest untouched."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import change, points, random_weights
from wsjax import data, networks
from wsjax import symmetry as ws
from wsjax.data import WeightDataset
from wsjax.symmetry import squared_distance

SPEC = ws.siren((2, 6, 5, 1), w0=4.0)
SPLIT = np.array([0] * 8 + [1] * 2 + [2] * 2, np.int8)


def apply(weights, x):
    return networks.siren_apply(weights, x, w0=4.0)


def copies(noise: float = 0.05) -> WeightDataset:
    """Twelve copies of one network, each moved along its orbit and disturbed a little."""
    base = random_weights(jax.random.key(0), SPEC)

    def one(key):
        moved = ws.act(ws.sample(key, SPEC), base)
        return jax.tree.map(lambda x: x + noise * jax.random.normal(key, x.shape), moved)

    stack = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), 12))
    many = [jax.tree.map(lambda x, i=i: np.asarray(x[i]), stack) for i in range(12)]
    columns = {"split": SPLIT, "image": np.arange(12, dtype=np.int32)[::-1].copy()}
    return WeightDataset.from_networks(many, np.arange(12) % 3, symmetry=SPEC, columns=columns, source={"who": "us"})


def spread(dataset: WeightDataset) -> float:
    """The mean squared distance between pairs of networks."""
    rows = [dataset.network(i) for i in range(len(dataset))]
    return float(np.mean([squared_distance(a, b) for a in rows[:6] for b in rows[6:]]))


@pytest.mark.parametrize("to", ["centre", "reference"])
def test_networks_come_together_and_compute_what_they_did(to: str):
    dataset = copies()
    reference = None if to == "centre" else dataset.network(3)
    near = data.align(dataset, reference=reference, progress=False)
    noise = 2 * 0.05**2 * sum(np.prod(s) for s in SPEC.shapes)
    assert spread(dataset) > 5 * noise
    assert spread(near) < 1.2 * noise
    x = points(jax.random.key(0), 2)
    for i in range(len(dataset)):
        assert change(apply(near.network(i), x), apply(dataset.network(i), x)) < 1e-4


def test_labels_columns_and_the_card_stay_and_what_was_done_is_recorded():
    dataset = copies()
    near = data.align(dataset, group="signed", rounds=3, progress=False)
    np.testing.assert_array_equal(near.label, dataset.label)
    chex.assert_trees_all_equal(near.columns, dataset.columns)
    assert (near.card.symmetry, near.card.classes) == (dataset.card.symmetry, dataset.card.classes)
    done = near.card.source["alignment"]
    assert near.card.source["who"] == "us"
    assert (done["group"], done["to"]) == ("signed", "centre")
    assert 1 <= len(done["mean_squared_distance"]) <= 3
    assert done["mean_squared_distance_after"] < done["mean_squared_distance_before"]
    assert near.card.statistics != dataset.card.statistics
    assert data.Card.from_json(near.card.to_json()) == near.card


def test_only_training_networks_move_the_centre():
    dataset = copies()
    other = jax.tree.map(np.copy, dataset.weights)
    for leaf in jax.tree.leaves(other):
        leaf[SPLIT > 0] *= 7.0
    changed = WeightDataset(other, dataset.label, dataset.columns, dataset.card)
    first, second = (data.align(d, progress=False) for d in (dataset, changed))
    chex.assert_trees_all_equal(first.split("train").weights, second.split("train").weights)


def test_a_reference_stays_where_it_is_and_chunks_change_nothing():
    dataset = copies()
    whole = data.align(dataset, reference=dataset.network(0), progress=False)
    chex.assert_trees_all_close(whole.network(0), dataset.network(0))
    parts = data.align(dataset, reference=dataset.network(0), chunk=5, progress=False)
    chex.assert_trees_all_close(parts.weights, whole.weights, atol=1e-5)


def test_half_types_are_aligned_too():
    stored = copies()
    half = WeightDataset.from_networks(
        [jax.tree.map(lambda x: x.astype(jnp.bfloat16), stored.network(i)) for i in range(12)],
        stored.label,
        symmetry=SPEC,
    )
    aligned = data.align(half, progress=False)
    assert spread(aligned) < spread(half)
    assert {leaf.dtype for leaf in jax.tree.leaves(aligned.weights)} == {np.dtype(jnp.bfloat16)}


def test_an_aligned_data_set_mixes_without_matching():
    """The midpoint of two aligned copies computes their function; of two as they were, another one."""
    dataset, x = copies(noise=0.0), points(jax.random.key(0), 2)
    near = data.align(dataset, progress=False)
    middle = lambda d: jax.tree.map(lambda a, b: (a + b) / 2, d.network(1), d.network(4))
    expected = apply(dataset.network(1), x)
    assert change(apply(middle(near), x), expected) < 1e-3
    assert change(apply(middle(dataset), x), expected) > 0.1
    assert jnp.isfinite(near.weights[0].kernel).all()


def test_a_reference_of_another_network_is_refused(untyped):
    with pytest.raises(ValueError, match=r"weights\[0\].kernel has shape \(2, 7\)"):
        data.align(copies(), reference=random_weights(jax.random.key(0), ws.siren((2, 7, 5, 1))), progress=False)
    with pytest.raises(ValueError, match=r"unknown group 'signs'"):
        data.align(copies(), group="signs", progress=False)  # pyright: ignore[reportArgumentType]


def views(objects: int = 4, count: int = 3, noise: float = 0.05) -> WeightDataset:
    """So many copies of each of several networks, each moved along its orbit and disturbed a little; views first."""
    bases = [random_weights(jax.random.key(i), SPEC) for i in range(objects)]

    @jax.jit
    def one(base, key):
        moved = ws.act(ws.sample(key, SPEC), base)
        return jax.tree.map(lambda x: x + noise * jax.random.normal(key, x.shape), moved)

    many = [one(bases[i], jax.random.key(100 * v + i)) for v in range(count) for i in range(objects)]
    split = np.array([0, 0, 0, 2] * count, np.int8)[: objects * count]
    columns = {"split": split, "image": np.tile(np.arange(objects, dtype=np.int32)[::-1], count)}
    return WeightDataset.from_networks(many, np.arange(len(many)) % objects, symmetry=SPEC, columns=columns)


def test_views_of_an_object_come_together_and_objects_stay_apart():
    before = views()
    near = data.align_within(before, progress=False)
    noise = 2 * 0.05**2 * sum(np.prod(s) for s in SPEC.shapes)
    distance = lambda dataset, i, j: float(squared_distance(dataset.network(i), dataset.network(j)))
    x = points(jax.random.key(0), 2)
    for i in range(len(before)):
        first = i % 4
        assert distance(near, i, first) < 2 * noise
        if i != first:
            assert distance(before, i, first) > 3 * noise
            assert distance(near, i, (first + 1) % 4) > 3 * noise
        assert change(apply(near.network(i), x), apply(before.network(i), x)) < 1e-4
    for leaf, old in zip(jax.tree.leaves(near.weights), jax.tree.leaves(before.weights), strict=True):
        np.testing.assert_array_equal(leaf[:4], old[:4])  # the first of each stays, to the bit
    assert near.card.source["alignment"]["to"] == "first of each image"
    assert near.card.source["alignment"]["moved"] == 8
    np.testing.assert_array_equal(near.label, before.label)
    chex.assert_trees_all_equal(near.columns, before.columns)
    again = near.card.with_statistics(near.weights, np.flatnonzero(near.columns["split"] == 0))
    assert near.card.statistics == again.statistics != before.card.statistics


def test_single_networks_of_an_object_stay_as_they_are():
    alone = views(count=1)
    near = data.align_within(alone, progress=False)
    chex.assert_trees_all_equal(near.weights, alone.weights)


def test_an_object_in_two_splits_is_aligned_within_each():
    """A network to train on is no reference of one to test on."""
    both = views(objects=1, count=4)
    both.columns["split"][:] = [0, 2, 0, 2]
    near = data.align_within(both, progress=False)
    for leaf, old in zip(jax.tree.leaves(near.weights), jax.tree.leaves(both.weights), strict=True):
        np.testing.assert_array_equal(leaf[:2], old[:2])
    for row in (2, 3):
        assert np.abs(near.weights[0].kernel[row] - both.weights[0].kernel[row]).max() > 0.1


@pytest.mark.usefixtures("untyped")
def test_what_cannot_be_is_refused_though_no_network_would_move():
    with pytest.raises(ValueError, match=r"unknown column 'object'; the valid ones are: .*image"):
        data.align_within(views(count=1), column="object")
    wrong: Any = "signd"
    with pytest.raises(ValueError, match=r"unknown group 'signd'; the valid ones are"):
        data.align_within(views(count=1), group=wrong)
    scored = views(count=1)
    scored.columns["psnr"] = np.linspace(20, 30, len(scored), dtype=np.float32)
    with pytest.raises(ValueError, match=r"column 'psnr' holds float32; expected whole numbers or names.*'image'"):
        data.align_within(scored, column="psnr")
