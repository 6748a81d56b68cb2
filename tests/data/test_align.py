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
from wsjax.errors import DataError

SPEC = ws.siren((2, 6, 1), w0=4.0)
SPLIT = np.array([0] * 8 + [1] * 2 + [2] * 2, np.int8)
NOISE = 0.05
APART = 2 * NOISE**2 * sum(np.prod(s) for s in SPEC.shapes)
"""The mean squared distance of two networks that differ by that noise alone."""
INPUTS = points(jax.random.key(0), 2)


def align(dataset: WeightDataset | data.StoredDataset, **settings: Any) -> WeightDataset:
    """Five networks at a time, of 8 or of 12: one program for all tests, and the last networks are padded."""
    return data.align(dataset, chunk=5, progress=False, **settings)


@jax.jit
@jax.vmap
def values(weights):
    return networks.siren_apply(weights, INPUTS, w0=4.0)


@jax.jit
@jax.vmap
def moved(base, key, noise):
    """A network moved along its orbit and disturbed a little."""
    near = ws.act(ws.sample(key, SPEC), base)
    return jax.tree.map(lambda x: x + noise * jax.random.normal(key, x.shape), near)


def made(bases: list[int], noise: float, **columns: np.ndarray) -> WeightDataset:
    """Of each of those networks a copy, moved and disturbed."""
    several = [random_weights(jax.random.key(base), SPEC) for base in bases]
    stack, count = jax.tree.map(lambda *leaves: np.stack(leaves), *several), len(bases)
    stack = moved(stack, jax.random.split(jax.random.key(1), count), np.full(count, noise, np.float32))
    many = [jax.tree.map(lambda x, i=i: np.asarray(x)[i], stack) for i in range(count)]
    labels, source = np.arange(count) % 3, {"who": "us"}
    return WeightDataset.from_networks(many, labels, symmetry=SPEC, columns=columns, source=source)


def squared_distances(dataset: WeightDataset) -> np.ndarray:
    """Between all pairs of networks."""
    leaves = [np.asarray(x, np.float64).reshape(len(dataset), -1) for x in jax.tree.leaves(dataset.weights)]
    flat = np.concatenate(leaves, axis=1)
    return np.square(flat[:, None] - flat[None]).sum(axis=-1)


def spread(dataset: WeightDataset) -> float:
    return float(squared_distances(dataset)[:6, 6:].mean())


@pytest.fixture(scope="module")
def dataset():
    return made([0] * 12, NOISE, split=SPLIT, image=np.arange(12)[::-1])


@pytest.fixture(scope="module")
def near(dataset):
    return align(dataset)


def test_networks_come_together_and_compute_what_they_did(dataset, near):
    assert spread(dataset) > 5 * APART
    for one in (near, align(dataset, to=3)):
        assert spread(one) < 1.2 * APART
        assert change(values(one.weights), values(dataset.weights)) < 1e-4
    done = near.metadata.source["alignment"]
    assert_all_else_stays(near, dataset, {"group": "full", "to": "center"})
    assert done["mean_squared_distance_after"] < done["mean_squared_distance_before"]
    assert data.Metadata.from_json(near.metadata.to_json()) == near.metadata
    once = align(dataset, rounds=1).metadata.source["alignment"]["mean_squared_distance"]
    assert 1 == len(once) < len(done["mean_squared_distance"])


def assert_all_else_stays(near: WeightDataset, before: WeightDataset, done: dict[str, Any]) -> None:
    """Labels, columns and metadata, which records what was done and has the statistics of the new training networks."""
    np.testing.assert_array_equal(near.label, before.label)
    chex.assert_trees_all_equal(near.columns, before.columns)
    assert (near.metadata.symmetry, near.metadata.classes) == (before.metadata.symmetry, before.metadata.classes)
    assert near.metadata.source["who"] == "us"
    assert done.items() <= near.metadata.source["alignment"].items()
    assert near.metadata.statistics == near.with_statistics().metadata.statistics != before.metadata.statistics


def test_only_training_networks_move_the_center(dataset, near):
    other = jax.tree.map(np.copy, dataset.weights)
    for leaf in jax.tree.leaves(other):
        leaf[SPLIT > 0] *= 7.0
    changed = align(WeightDataset(other, dataset.label, dataset.columns, dataset.metadata))
    chex.assert_trees_all_equal(changed.split("train").weights, near.split("train").weights)


def test_a_template_stays_where_it_is_and_chunks_change_nothing(dataset):
    whole = data.align(dataset, to=0, progress=False)
    chex.assert_trees_all_close(whole.network(0), dataset.network(0))
    for one in (align(dataset, to=0), align(dataset, to=-12), align(dataset, to=dataset.network(0))):
        chex.assert_trees_all_close(one.weights, whole.weights, atol=1e-5)
    done = [d.metadata.source["alignment"] for d in (whole, align(dataset, to=-12), one)]
    assert [d["to"] for d in done] == ["network 0", "network 0", "template"]
    assert len({d["template_sha256"] for d in done}) == 1


def test_one_template_that_was_never_trained_is_met_by_each_network_alone(dataset, tmp_path):
    """Copies of one network come together there, and where one lands does not depend on the others."""
    template = random_weights(jax.random.key(7), SPEC)
    near = align(dataset, to=template)
    assert spread(near) < 0.15 * spread(dataset)
    assert change(values(near.weights), values(dataset.weights)) < 1e-4
    done = near.metadata.source["alignment"]
    assert_all_else_stays(near, dataset, {"group": "full", "to": "template"})
    assert done["mean_squared_distance_after"] < 0.7 * done["mean_squared_distance_before"]
    assert done["template_sha256"] != align(dataset, to=3).metadata.source["alignment"]["template_sha256"]
    few = align(dataset.take(np.arange(7, 12)), to=template)
    chex.assert_trees_all_close(few.weights, near.take(np.arange(7, 12)).weights, atol=1e-5)
    again = align(near, to=template)
    chex.assert_trees_all_close(again.weights, near.weights, atol=1e-5)
    data.save(dataset, tmp_path, shard_networks=5)
    stored = align(data.open_dataset(tmp_path), to=jax.tree.map(np.asarray, template))
    chex.assert_trees_all_equal(stored.weights, near.weights)
    assert stored.metadata == near.metadata


def test_half_types_and_smaller_groups_are_aligned_too(dataset):
    rows = [jax.tree.map(lambda x: x.astype(jnp.bfloat16), dataset.network(i)) for i in range(12)]
    half = WeightDataset.from_networks(rows, dataset.label, symmetry=SPEC)
    aligned = align(half, group="signed")
    assert spread(aligned) < spread(half)
    assert {leaf.dtype for leaf in jax.tree.leaves(aligned.weights)} == {np.dtype(jnp.bfloat16)}
    assert jax.eval_shape(lambda a, b: ws.align(a, b, SPEC).distance, *rows[:2]).dtype == np.float32
    assert aligned.metadata.source["alignment"]["group"] == "signed"


def test_an_aligned_data_set_mixes_without_matching():
    """The midpoint of two aligned copies computes their function; of two as they were, another one."""
    dataset = made([0] * 12, 0.0, split=SPLIT)
    near = align(dataset)
    middle = lambda d: values(jax.tree.map(lambda x: np.repeat((x[1] + x[4])[None] / 2, 12, axis=0), d.weights))[0]
    expected = values(dataset.weights)[1]
    assert change(middle(near), expected) < 1e-3
    assert change(middle(dataset), expected) > 0.1
    assert np.isfinite(near.weights[0].kernel).all()


def views() -> WeightDataset:
    """Three copies of each of four networks, each moved along its orbit and disturbed a little; views first."""
    split = np.array([0, 0, 0, 2] * 3, np.int8)
    return made([0, 1, 2, 3] * 3, NOISE, split=split, image=np.tile(np.arange(4)[::-1], 3))


def test_views_of_an_object_come_together_and_objects_stay_apart():
    before = views()
    near = data.align(before, within="image", chunk=4, progress=False)
    distance, earlier = squared_distances(near), squared_distances(before)
    for i in range(len(before)):
        first = i % 4
        assert distance[i, first] < 2 * APART
        if i != first:
            assert earlier[i, first] > 3 * APART
            assert distance[i, (first + 1) % 4] > 3 * APART
    assert change(values(near.weights), values(before.weights)) < 1e-4
    for leaf, old in zip(jax.tree.leaves(near.weights), jax.tree.leaves(before.weights), strict=True):
        np.testing.assert_array_equal(leaf[:4], old[:4])  # the first of each stays, to the bit
    assert_all_else_stays(near, before, {"to": "first of each image", "moved": 8})


def test_an_object_in_two_splits_is_aligned_within_each():
    """A network to train on is no reference of one to test on; one alone in its split stays as it is."""
    alone = views().take(np.arange(4))
    chex.assert_trees_all_equal(data.align(alone, within="image", chunk=4, progress=False).weights, alone.weights)
    both = views()
    both.columns["split"][:] = [0] * 4 + [2] * 8
    near = data.align(both, within="image", chunk=4, progress=False)
    for leaf, old in zip(jax.tree.leaves(near.weights), jax.tree.leaves(both.weights), strict=True):
        np.testing.assert_array_equal(leaf[:8], old[:8])
    for row in range(8, 12):
        assert np.abs(near.weights[0].kernel[row] - both.weights[0].kernel[row]).max() > 0.1


@pytest.mark.usefixtures("untyped")
def test_what_cannot_be_is_refused_though_no_network_would_move():
    several = views()
    several.columns["psnr"] = np.linspace(20, 30, len(several), dtype=np.float32)
    other: Any = random_weights(jax.random.key(0), ws.siren((2, 7, 1)))
    mine: Any = several.network(0)
    huge = jax.tree.map(lambda x: np.asarray(x, np.float64) * 1e300, mine)
    missing = jax.tree.map(np.copy, mine)
    missing[1].kernel[2, 0] = np.nan
    for settings, message in (
        ({"to": other}, r"weights\[0\].kernel has shape \(2, 7\)"),
        ({"to": mine[:1]}, r"missing weights\[1\].kernel"),
        ({"to": several.weights}, r"weights\[0\].kernel has shape \(12, 2, 6\).* one leading axis more"),
        (
            {"to": jax.tree.map(lambda x: x.astype(np.int32), mine)},
            r"weights\[0\].kernel of the template has dtype int32",
        ),
        ({"to": missing}, r"weights\[1\].kernel of the template is not finite"),
        ({"to": huge}, r"weights\[0\].kernel of the template is not finite"),
        ({"group": "signs"}, "unknown group 'signs'; the valid ones are"),
        ({"within": "image", "group": "signs"}, "unknown group 'signs'; the valid ones are"),
        ({"within": "object"}, "unknown column 'object'; the valid ones are: .*image"),
        ({"within": "psnr"}, "column 'psnr' holds float32; expected integers or names.*'image'"),
        ({"within": "image", "to": other}, r"a template \(to\) and within='image'; expected one of them"),
    ):
        with pytest.raises(ValueError, match=message):
            align(several, **settings)
    for number, error in ((12, IndexError), (True, TypeError)):
        with pytest.raises(error, match=f"network.*{number}"):
            align(several, to=number)


def test_a_network_that_is_not_finite_is_named_and_what_lies_along_no_group_comes_back_as_it_came():
    axes = {"k": ws.Axes("in", "h"), "id": ws.Axes(), "last": ws.Axes("h*", "out")}
    sizes = {"in": ws.Fixed(2), "h": ws.Group(3, "tanh"), "out": ws.Fixed(1)}
    spec = ws.symmetry_of(axes, sizes)
    many = [{**random_weights(jax.random.key(i), spec), "id": np.int64(2**40 + i)} for i in range(4)]
    numbered = WeightDataset.from_networks(many, [0, 1, 0, 1], symmetry=spec)
    aligned = data.align(numbered, rounds=1, progress=False)
    assert aligned.weights["id"].tolist() == [2**40 + i for i in range(4)]
    numbered.weights["k"][2] = np.nan
    for within in (None, "image"):
        with pytest.raises(DataError, match=r"weights\['k'\] is not finite in 1 of 4 networks \(rows 2\)"):
            data.align(numbered, within=within, progress=False)
