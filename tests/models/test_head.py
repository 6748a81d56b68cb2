"""Which arrays are the head's: the features read none of them, and the head reads no other."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax.interpreters import partial_eval

from tests.models.cards import card
from tests.models.test_readers import SMALL, network
from wsjax.models import CONFIGS, DWS, build, head_arrays, trainable


def used(function, arrays) -> list[bool]:
    """Which of a list of arrays a function reads."""
    traced = jax.make_jaxpr(function)(arrays)
    return partial_eval.dce_jaxpr(traced.jaxpr, [True] * len(traced.out_avals))[1]


@pytest.mark.parametrize("name", list(CONFIGS))
def test_features_read_no_array_of_the_head_and_the_head_no_other(name, getkey):
    reader: Any = build(name, card(), SMALL[name], key=getkey())
    weights = network(getkey())
    arrays, tree = jax.tree.flatten(eqx.filter(reader, trainable(reader)))
    rest = eqx.filter(reader, trainable(reader), inverse=True)
    in_head = [
        leaf for leaf, may in zip(*map(jax.tree.leaves, (head_arrays(reader), trainable(reader))), strict=True) if may
    ]
    vector = jax.eval_shape(lambda: reader.features(weights))

    def whole(arrays):
        return eqx.combine(jax.tree.unflatten(tree, arrays), rest)

    assert len(in_head) == len(arrays)
    assert any(in_head)
    assert used(lambda arrays: whole(arrays).head(jnp.ones(vector.shape, vector.dtype)), arrays) == in_head
    read_by_features = used(lambda arrays: whole(arrays).features(weights), arrays)
    assert not any(there and here for there, here in zip(read_by_features, in_head, strict=True))
    assert any(read_by_features) == (name not in ("mlp", "statistics"))


def test_a_trainable_part_alone_has_the_same_head(getkey):
    reader = build("dws", card(), SMALL["dws"], key=getkey())
    part = eqx.filter(reader, trainable(reader))
    marks = [m for m, may in zip(*map(jax.tree.leaves, (head_arrays(reader), trainable(reader))), strict=True) if may]
    assert jax.tree.leaves(head_arrays(part)) == marks


def test_a_reader_without_a_head_is_refused(getkey, monkeypatch):
    reader = build("dws", card(), SMALL["dws"], key=getkey())
    monkeypatch.setattr(DWS, "HEAD_FIELDS", ("head",))
    with pytest.raises(ValueError, match=r"DWS has the fields normaliser, layers, .* and no head; expected the"):
        head_arrays(reader)
