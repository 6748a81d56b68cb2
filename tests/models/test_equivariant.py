"""The equivariant layer: it commutes with every permutation, and nothing that does is missing from it."""

import functools
import itertools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.models.helpers import check_refusals, drawn
from tests.models.specs import (
    CONVOLUTION,
    HEADS,
    JOINED_RECURRENT,
    RECURRENT,
    SKIP,
    SPECS,
    THREE_AXES,
    WITHIN,
    lifted,
    ones,
    random_weights,
)
from wsjax.models import EquivariantLinear
from wsjax.models.layers.equivariant import invariant
from wsjax.models.layers.feature_layout import features, unlift
from wsjax.models.layers.terms import partitions
from wsjax.models.testing import check_equivariant, commutant_dimension, rank
from wsjax.symmetry import Symmetry, mlp, siren
from wsjax.symmetry.axes import Entry, Sum, base

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(2)


def lowered(symmetry: Symmetry, xs: list[jax.Array]):
    return symmetry.unflatten(unlift(xs, features(symmetry), symmetry))


def linear(symmetry: Symmetry, inputs: int = 1, outputs: int = 1, **settings) -> EquivariantLinear:
    """With biases."""
    return drawn(lambda key: EquivariantLinear(symmetry, inputs, outputs, key=key, **settings))


def on_weights(symmetry: Symmetry, *layers: EquivariantLinear, activation=jnp.tanh) -> Partial:
    """Layers as one map from weights to weights, so that the group acts on what comes out."""

    def through(layers, weights):
        xs = layers[0](lifted(symmetry, weights))
        for layer in layers[1:]:
            xs = layer([activation(x) for x in xs])
        return lowered(symmetry, xs)

    return Partial(through, layers)


@pytest.mark.parametrize("name", SPECS)
def test_an_array_is_its_features(name):
    symmetry = SPECS[name]
    weights = random_weights(KEY, symmetry)

    @jax.jit
    def there_and_back(weights):
        xs = lifted(symmetry, weights)
        assert sum(x.size for x in xs) == sum(map(math.prod, symmetry.shapes))
        return lowered(symmetry, xs)

    chex.assert_trees_all_equal(there_and_back(weights), weights)


@pytest.mark.parametrize(
    ("name", "pooling"), [*((name, "mean") for name in SPECS), ("three layers", "sum"), ("recurrent", "max")]
)
def test_it_commutes_with_every_permutation(name, pooling):
    symmetry = SPECS[name]
    assert check_equivariant(on_weights(symmetry, linear(symmetry, pooling=pooling)), symmetry, key=KEY) < 1e-10


@pytest.mark.parametrize("name", ["three layers", "recurrent", "skip", "nested", "three axes", *WITHIN])
def test_with_signs_alone_it_commutes_with_every_signed_permutation(name):
    symmetry = SPECS[name]
    check = functools.partial(check_equivariant, symmetry=symmetry, actions=("permute", "sign"), key=KEY)
    assert check(on_weights(symmetry, linear(symmetry, signs=True))) < 1e-10
    with pytest.raises(AssertionError, match="'sign' on group"):
        check(on_weights(symmetry, linear(symmetry)))


def test_what_follows_a_layer_with_signs_must_be_odd():
    symmetry = siren((2, 3, 3, 2))
    layers = linear(symmetry, 1, 2, signs=True), linear(symmetry, 2, 1, signs=True)
    both = lambda activation: on_weights(symmetry, *layers, activation=activation)
    assert check_equivariant(both(jnp.tanh), symmetry, actions=("sign",), key=KEY) < 1e-10
    with pytest.raises(AssertionError, match="'sign' on group"):
        check_equivariant(both(jax.nn.relu), symmetry, actions=("sign",), key=KEY)


def traces(size: int, signs: bool) -> list[int]:
    """The trace of every permutation matrix of a group, or of every signed one."""
    flips = list(itertools.product((1, -1), repeat=size)) if signs else [(1,) * size]
    orders = itertools.permutations(range(size))
    return [sum(s[i] for i in range(size) if order[i] == i) for order in orders for s in flips]


def trace_along(entry: Entry, of: dict[str, int]) -> int:
    """Traces multiply over products of axes, and add over concatenations."""
    if isinstance(entry, str):
        return of[base(entry)]
    if isinstance(entry, Sum):
        return sum(trace_along(part, of) for part in entry.parts)
    return math.prod(trace_along(part, of) for part in entry)


def dimension(symmetry: Symmetry, signs: bool) -> float:
    """Of all linear maps of the weights that commute with the group: its mean squared character, counted."""
    names, groups = list(symmetry.groups), symmetry.groups.values()
    fixed = {name: axis.size for name, axis in symmetry.fixed.items()}
    squares = []
    for found in itertools.product(*[traces(g.size, signs and g.allows("sign")) for g in groups]):
        of = {**fixed, **dict(zip(names, found, strict=True))}
        squares.append(sum(trace_along(axes.entries, of) for axes in symmetry.axes) ** 2)
    return float(np.mean(squares))


@pytest.mark.parametrize(
    ("symmetry", "signs", "expected"),
    [
        (siren((2, 4, 4, 1)), False, 75),
        (mlp((2, 4, 4, 3)), False, 163),
        (mlp((2, 4, 3)), False, 117),
        (siren((2, 3, 3, 1)), True, 15),
        (CONVOLUTION, False, None),
        (RECURRENT, False, None),
        (RECURRENT, True, None),
        (JOINED_RECURRENT, False, None),
        (SKIP, False, None),
        (SKIP, True, None),
        (THREE_AXES, True, None),
        *((symmetry, signs, None) for symmetry in WITHIN.values() for signs in (False, True)),
    ],
    ids=lambda value: "" if isinstance(value, Symmetry) else str(value),
)
def test_its_rank_is_that_of_all_equivariant_maps(symmetry, signs, expected):
    counted = commutant_dimension(symmetry, actions=("permute", "sign") if signs else ("permute",))
    assert expected is None or counted == expected
    if symmetry not in WITHIN.values():  # whose dimension test_testing.py counts
        assert counted == dimension(symmetry, signs)
    layer = linear(symmetry, signs=signs)
    assert rank(layer, ones(symmetry), key=KEY) == counted
    if symmetry not in (THREE_AXES, HEADS):  # more axes of one group than neurons: some of their maps coincide
        assert sum(k.size for k in layer.kernels) == counted  # no parameter is spare


@pytest.mark.parametrize(("widths", "signs", "expected"), [((1, 2, 1), False, 25), ((2, 3, 3, 1), True, 15)])
def test_each_pair_of_channels_has_all_of_them(widths, signs, expected):
    symmetry = siren(widths)
    assert rank(linear(symmetry, 2, 3, signs=signs), ones(symmetry, 2), key=KEY) == 2 * 3 * expected


def test_axes_of_one_group_are_partitioned_in_every_way():
    assert [len(partitions(("h",) * n)) for n in range(6)] == [1, 1, 2, 5, 15, 52]  # Bell numbers
    assert len(partitions(("g", "g", "h", "h", "h"))) == 2 * 5


def test_the_invariants_of_a_recurrent_kernel_hold_its_trace():
    weights = random_weights(jax.random.key(1), RECURRENT)
    pooled = jax.jit(lambda w: invariant(lifted(RECURRENT, w), features(RECURRENT)))
    kernel = np.asarray(weights["step"]["kernel"])
    other = {**weights, "step": {**weights["step"], "kernel": np.roll(kernel, 1, axis=0)}}
    assert pooled(weights)[-1] == pytest.approx(np.trace(kernel) / 4, rel=1e-5)
    np.testing.assert_allclose(pooled(other)[:-1], pooled(weights)[:-1], atol=1e-6)
    assert abs(pooled(other)[-1] - pooled(weights)[-1]) > 1e-2


def test_invariants_are_averages_sums_and_maxima():
    symmetry = siren((2, 5, 4, 2))
    pooled = lambda xs: [invariant(xs, features(symmetry), pooling)[3] for pooling in ("mean", "sum", "max")]
    xs, found = jax.jit(lambda w: (lifted(symmetry, w), pooled(lifted(symmetry, w))))(random_weights(KEY, symmetry))
    kernel = np.asarray(xs[2])
    np.testing.assert_allclose(found, [kernel.mean(), kernel.sum(), kernel.max()], rtol=1e-4)


def test_kernels_are_drawn_by_a_recipe_that_stays():
    """A seed gives the same reader in every version: the arrays have 2, 1, 1 and 1 fixed entries."""

    @jax.jit
    def both(key):
        draw = lambda i, shape: jax.random.normal(jax.random.fold_in(key, i), shape)
        return EquivariantLinear(siren((2, 4, 1)), 1, 1, key=key), draw(0, (5, 5)), draw(1, (4, 4))

    layer, one, two = both(KEY)
    by_fan_in = np.array([9**-0.5] * 4 + [5**-0.5], np.float32)
    np.testing.assert_allclose(layer.kernels[0], one * by_fan_in[None, :], rtol=1e-6)
    np.testing.assert_allclose(layer.kernels[1], two * by_fan_in[None, :4], rtol=1e-6)
    assert [b.tolist() for b in layer.biases] == [[0, 0], [0], [0], [0]]


@pytest.mark.usefixtures("untyped")
def test_settings_that_cannot_be_are_refused():
    make = functools.partial(EquivariantLinear, inputs=1, key=KEY)
    pooled = {"symmetry": RECURRENT, "outputs": 1, "pooling": "meen"}
    signed = {"symmetry": THREE_AXES, "outputs": 1, "pooling": "max", "signs": True}
    check_refusals(
        (make, pooled, r"unknown pooling 'meen'; the valid ones are: mean, sum, max.*'mean'"),
        (make, {**pooled, "outputs": 0}, r"outputs is 0; it must be one integer in \[1, inf\)"),
        (make, signed, r"pooling is 'max' with signs.*expected 'mean' or 'sum'"),
    )
    with pytest.raises(TypeError, match=r"symmetry is a tuple; expected a Symmetry: pass dataset\.symmetry"):
        make(RECURRENT.axes, outputs=1)  # pyright: ignore[reportArgumentType]
