"""Networks that are merged after alignment by the symmetry of their own program, and zoos of them."""

import shutil
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PyTree

from benchmarks.accuracy import merging, zoos
from wsjax import augment, symmetry
from wsjax.symmetry.align import Over


class Dense(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.relu(nn.Dense(4)(x)))


apply: Callable[..., Any] = Dense().apply


@pytest.fixture(autouse=True)
def users_promotion():
    """What users have: Flax and optax mix ranks and dtypes."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def test_only_alignment_leads_from_a_network_to_its_own_reordered_copy_without_a_barrier():
    inputs = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    weights = jax.jit(Dense().init)(jax.random.key(0), inputs)
    spec = symmetry.infer(apply, weights, inputs)

    @jax.jit
    def barriers(weights):
        """As trained, aligned over permutations of a permuted copy, and over the full group of a rescaled one."""
        sharp = jax.tree.map(lambda leaf: 8 * leaf, weights)
        labels = jnp.argmax(apply(sharp, inputs), axis=1)
        permuted = augment.permute(spec)(jax.random.key(1), sharp)
        both = augment.rescale(spec)(jax.random.key(2), permuted)
        ways: list[tuple[Over | None, PyTree]] = [(None, permuted), ("permutation", permuted), ("full", both)]
        return [merging.barrier(apply, spec, way, sharp, copy, inputs, labels)[0] for way, copy in ways]

    as_trained, *aligned = barriers(weights)
    assert as_trained > 0.1
    np.testing.assert_allclose(aligned, 0.0, atol=1e-4)


def test_an_adapter_merged_with_its_own_copy_in_another_basis_is_itself_after_alignment_alone():
    rng = np.random.default_rng(0)
    base = {"kernel": jnp.asarray(rng.normal(size=(6, 5)), jnp.float32)}
    linear = lambda adapter, x: x @ merging.adapted(base, adapter)["kernel"]
    empty = merging.new_adapter(base, jax.random.key(0))
    spec = symmetry.infer(linear, empty, np.ones((2, 6), np.float32))
    assert [group.allows("linear") for group in spec.groups.values()] == [True]
    first = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), empty)
    second = augment.mix_basis(spec)(jax.random.key(1), first)
    found = {name: network["kernel"] for name, network in merging.merged(base, spec, first, second).items()}
    for name in ("factors, aligned", "products"):
        np.testing.assert_allclose(found[name], found["one adapter"], atol=1e-4)
    for name in ("factors", "base"):
        assert np.abs(found[name] - found["one adapter"]).max() > 0.1, name
    np.testing.assert_array_equal(linear(empty, jnp.eye(6)), base["kernel"])  # a new adapter changes nothing


@pytest.fixture(scope="module")
def zoo():
    """Of linear classifiers of noise."""
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(80, 5)).astype(np.float32), rng.integers(0, 3, 80).astype(np.int32)
    examples = merging.Examples(inputs[:40], labels[:40], inputs[40:], labels[40:])
    init = lambda key: Dense().init(key, inputs[:1])
    return zoos.Zoo(init, apply, examples, 3, 4, 8, "test_loss")


def test_a_zoo_is_the_same_however_it_was_interrupted(zoo, tmp_path):
    make = lambda: zoos.networks_of("toy", lambda: zoo, tmp_path, count=20, part=10)
    whole = make()
    shutil.rmtree(tmp_path / "0010-10")
    again = make()
    jax.tree.map(np.testing.assert_array_equal, whole.weights, again.weights)
    for name, column in whole.columns.items():
        np.testing.assert_array_equal(column, again.columns[name])
        assert name in ("view", "split") or len(np.unique(column)) > 1, name  # each network has its own
    losses = [
        merging.cross_entropy(apply(network, zoo.examples.test_inputs), zoo.examples.test_labels)
        for network, _ in whole.take(np.arange(2))
    ]
    np.testing.assert_allclose(whole.label[:2], losses, rtol=1e-5)
    assert str(whole.symmetry) == "Symmetry(h1: 4 relu (permute/rescale))"


def test_a_report_has_every_reader_and_is_not_made_twice(zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(zoos, "ZOOS", {"toy": lambda: zoo})
    monkeypatch.setattr(zoos, "AUGMENTATIONS", {"toy": {"group": "permute | rescale"}})
    monkeypatch.setattr(zoos, "READERS", {"mlp": ("group",)})
    monkeypatch.setattr(zoos, "EPOCHS", 2)
    saved = []
    found = zoos.report(tmp_path, saved.append, count=20, part=10)
    assert saved == [found]
    (row,) = found["rows"]
    assert (row["cell"], row["augment"], row["seeds"]) == ("toy/mlp/group/1", "permute | rescale", [1, 2, 3])
    assert row["test_r2_mean"] == pytest.approx(np.mean(row["test_r2s"]))
    assert len({line["learning_rate"] for line in row["tried"]}) == len(zoos.RATES)
    assert found["zoos"]["toy"]["networks"] == {"train": 12, "validation": 4, "test": 4}
    monkeypatch.setattr(zoos, "fit", None)
    monkeypatch.setattr(zoos, "ZOOS", {"toy": None})
    assert zoos.report(tmp_path, count=20, part=10)["rows"] == found["rows"]
