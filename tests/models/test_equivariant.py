"""The equivariant layer: it commutes with every permutation, and nothing that does is missing from it."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.specs import CONVOLUTION, JOINED_RECURRENT, RECURRENT, SKIP, SPECS, THREE_AXES, double, random_weights
from wsjax.models import EquivariantLinear, features
from wsjax.models.equivariant import invariant
from wsjax.models.pieces import lift, unlift
from wsjax.models.terms import partitions
from wsjax.models.testing import rank
from wsjax.symmetry import Symmetry, act, compose, mlp, sample_permutation, sample_signs, siren
from wsjax.symmetry.axes import Entry, Sum, base


def lifted(symmetry: Symmetry, weights) -> list[jax.Array]:
    return lift(symmetry.leaves(weights), features(symmetry))


def lowered(symmetry: Symmetry, xs: list[jax.Array]):
    return symmetry.unflatten(unlift(xs, features(symmetry), symmetry))


def flat(tree) -> np.ndarray:
    return np.concatenate([np.asarray(x).reshape(-1) for x in jax.tree.leaves(tree)])


@pytest.mark.parametrize("name", SPECS)
def test_an_array_is_its_pieces(name, getkey):
    symmetry = SPECS[name]
    weights = random_weights(getkey(), symmetry)
    xs = lifted(symmetry, weights)
    assert sum(x.size for x in xs) == len(flat(weights))
    for a, b in zip(jax.tree.leaves(lowered(symmetry, xs)), jax.tree.leaves(weights), strict=True):
        np.testing.assert_array_equal(a, b)


def difference(symmetry: Symmetry, layer: EquivariantLinear, draw, getkey) -> float:
    """The largest between acting after and before the layer, over a few drawn elements."""
    with jax.enable_x64(True):
        layer = jax.tree.map(lambda x: x + 0.1, double(layer))  # biases too
        apply = jax.jit(lambda w: lowered(symmetry, layer(lifted(symmetry, w))))
        weights, elements = random_weights(getkey(), symmetry), [double(draw(getkey())) for _ in range(4)]
        assert flat(apply(weights)).dtype == np.float64
        return max(np.abs(flat(act(g, apply(weights))) - flat(apply(act(g, weights)))).max() for g in elements)


@pytest.mark.parametrize(
    ("name", "pooling"), [*((name, "mean") for name in SPECS), ("three layers", "sum"), ("recurrent", "max")]
)
def test_it_commutes_with_every_permutation(name, pooling, getkey):
    symmetry = SPECS[name]
    layer = EquivariantLinear(symmetry, 1, 1, pooling=pooling, key=getkey())
    assert difference(symmetry, layer, lambda key: sample_permutation(key, symmetry), getkey) < 1e-10


@pytest.mark.parametrize("name", ["three layers", "recurrent", "skip", "nested", "three axes"])
def test_with_signs_it_commutes_with_every_signed_permutation(name, getkey):
    symmetry = SPECS[name]
    draw = lambda key: compose(sample_signs(key, symmetry), sample_permutation(key, symmetry))
    layer = lambda signs: EquivariantLinear(symmetry, 1, 1, signs=signs, key=getkey())
    assert difference(symmetry, layer(True), draw, getkey) < 1e-10
    assert difference(symmetry, layer(False), draw, getkey) > 1e-2


def test_what_follows_a_layer_with_signs_must_be_odd(getkey):
    symmetry = siren((2, 3, 3, 2))
    one, two = (EquivariantLinear(symmetry, n, m, signs=True, key=getkey()) for n, m in ((1, 2), (2, 1)))
    weights, element = random_weights(getkey(), symmetry), sample_signs(getkey(), symmetry, probability=0.6)
    for activation, allowed in ((jnp.tanh, True), (jax.nn.relu, False)):
        both = jax.jit(lambda w, a=activation: lowered(symmetry, two([a(x) for x in one(lifted(symmetry, w))])))
        after, before = flat(act(element, both(weights))), flat(both(act(element, weights)))
        assert (np.abs(before - after).max() < 1e-5) == allowed


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
    for drawn in itertools.product(*[traces(g.size, signs and g.allows("sign")) for g in groups]):
        of = {**fixed, **dict(zip(names, drawn, strict=True))}
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
    ],
    ids=lambda value: "" if isinstance(value, Symmetry) else str(value),
)
def test_its_rank_is_that_of_all_equivariant_maps(symmetry, signs, expected, getkey):
    """The singular values of the map's matrix, entry by entry, over random kernels."""
    counted = dimension(symmetry, signs)
    assert expected is None or counted == expected
    layer = EquivariantLinear(symmetry, 1, 1, signs=signs, key=getkey())
    entries = sum(map(math.prod, symmetry.shapes))
    cuts = np.cumsum([math.prod(shape) for shape in symmetry.shapes])[:-1]

    def matrix(key):
        drawn = [jax.random.normal(jax.random.fold_in(key, i), k.shape) for i, k in enumerate(layer.kernels)]
        one = eqx.tree_at(lambda made: made.kernels, double(layer), tuple(drawn))

        def column(x):
            leaves = [p.reshape(s) for p, s in zip(jnp.split(x, cuts), symmetry.shapes, strict=True)]
            moved = lowered(symmetry, one(lifted(symmetry, symmetry.unflatten(leaves))))
            return jnp.concatenate([y.reshape(-1) for y in jax.tree.leaves(moved)])

        return jax.vmap(column)(jnp.eye(entries)).reshape(-1)

    with jax.enable_x64(True):
        drawn = jax.jit(jax.vmap(matrix))(jax.random.split(getkey(), int(counted) + 12))
        assert np.linalg.matrix_rank(np.asarray(drawn), rtol=1e-9) == counted
    if symmetry is not THREE_AXES:  # six axes of three neurons: some of their maps coincide
        assert sum(k.size for k in layer.kernels) == counted  # no parameter is spare


@pytest.mark.parametrize(("widths", "signs", "expected"), [((2, 4, 3), False, 117), ((2, 3, 3, 1), True, 15)])
def test_each_pair_of_channels_has_all_of_them(widths, signs, expected, getkey):
    symmetry = siren(widths)
    layer = EquivariantLinear(symmetry, 2, 3, signs=signs, key=getkey())
    example = [jnp.ones((*f.sizes, 2 * f.fixed)) for f in features(symmetry)]
    assert rank(layer, example, key=getkey()) == 2 * 3 * expected


def test_axes_of_one_group_are_partitioned_in_every_way():
    assert [len(partitions(("h",) * n)) for n in range(6)] == [1, 1, 2, 5, 15, 52]  # Bell numbers
    assert len(partitions(("g", "g", "h", "h", "h"))) == 2 * 5


@pytest.mark.parametrize("source", [0, 1, 2, 3])
def test_every_block_into_the_last_kernel_reaches_the_output_axis(source, getkey):
    """Earlier code builds the blocks from the kernel before and from early biases constant along the outputs."""
    symmetry = siren((2, 3, 4, 3))
    layer = EquivariantLinear(symmetry, 1, 1, key=getkey())
    xs = [jnp.zeros_like(x) for x in lifted(symmetry, random_weights(getkey(), symmetry))]
    xs[source] = jnp.ones_like(xs[source])
    last_kernel = layer(xs)[4]
    assert last_kernel.shape == (4, 3)
    assert float(jnp.ptp(last_kernel, axis=1).min()) > 1e-3


def test_it_feels_permutations_that_are_not_symmetries(getkey):
    """Reordering a kernel's inputs without the layer before is another network; an invariant reader must notice."""
    symmetry = siren((2, 5, 4, 1))
    weights = random_weights(getkey(), symmetry)
    layer = EquivariantLinear(symmetry, 1, 4, key=getkey())
    second = EquivariantLinear(symmetry, 4, 4, key=getkey())
    both = jax.jit(lambda w: second([jnp.tanh(x) for x in layer(lifted(symmetry, w))]))
    pooled = lambda w: np.concatenate([np.asarray(x).reshape(-1, x.shape[-1]).mean(axis=0) for x in both(w)])
    wrong = (weights[0], weights[1]._replace(kernel=jnp.roll(weights[1].kernel, 1, axis=0)), weights[2])
    right = act(sample_permutation(getkey(), symmetry), weights)
    np.testing.assert_allclose(pooled(right), pooled(weights), atol=1e-5)
    assert np.abs(pooled(wrong) - pooled(weights)).max() > 1e-3


def test_the_invariants_of_a_recurrent_kernel_hold_its_trace(getkey):
    weights = random_weights(getkey(), RECURRENT)
    pooled = lambda w: np.asarray(invariant(lifted(RECURRENT, w), features(RECURRENT)))
    kernel = np.asarray(weights["step"]["kernel"])
    other = {**weights, "step": {**weights["step"], "kernel": np.roll(kernel, 1, axis=0)}}
    assert pooled(weights)[-1] == pytest.approx(np.trace(kernel) / 4, rel=1e-5)
    np.testing.assert_allclose(pooled(other)[:-1], pooled(weights)[:-1], atol=1e-6)
    assert abs(pooled(other)[-1] - pooled(weights)[-1]) > 1e-2


def test_a_sum_starts_as_the_average_and_counts(getkey):
    symmetry, key = siren((2, 5, 4, 2)), getkey()
    xs = lifted(symmetry, random_weights(getkey(), symmetry))
    mean, total = (EquivariantLinear(symmetry, 1, 2, pooling=p, key=key)(xs) for p in ("mean", "sum"))
    for a, b in zip(mean, total, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    spec = features(symmetry)
    np.testing.assert_allclose(invariant(xs, spec, "sum")[3], 20 * invariant(xs, spec)[3], rtol=1e-4)
    assert float(invariant(xs, spec, "max")[3]) == float(xs[2].max())


def test_kernels_are_drawn_by_a_recipe_that_stays(getkey):
    """A seed gives the same reader in every version: the arrays have 2, 1, 1 and 1 fixed entries."""
    key = getkey()
    layer = EquivariantLinear(siren((2, 4, 1)), 1, 1, key=key)
    draw = lambda i, shape: jax.random.normal(jax.random.fold_in(key, i), shape)
    by_fan_in = jnp.array([9**-0.5] * 4 + [5**-0.5])
    np.testing.assert_array_equal(layer.kernels[0], draw(0, (5, 5)) * by_fan_in[None, :])
    np.testing.assert_array_equal(layer.kernels[1], draw(1, (4, 4)) * by_fan_in[None, :4])
    assert [b.tolist() for b in layer.biases] == [[0, 0], [0], [0], [0]]


@pytest.mark.usefixtures("untyped")
def test_settings_that_cannot_be_are_refused(getkey):
    with pytest.raises(ValueError, match=r"unknown pooling 'meen'; the valid ones are: mean, sum, max.*'mean'"):
        EquivariantLinear(RECURRENT, 1, 1, pooling="meen", key=getkey())
    with pytest.raises(ValueError, match=r"outputs is 0; it must be one whole number in \[1, inf\]"):
        EquivariantLinear(RECURRENT, 1, 0, key=getkey())
    with pytest.raises(ValueError, match=r"pooling is 'max' with signs.*expected 'mean' or 'sum'"):
        EquivariantLinear(THREE_AXES, 1, 1, pooling="max", signs=True, key=getkey())
