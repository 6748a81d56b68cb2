"""The equivariant layer: it commutes with every permutation, and nothing that does is missing from it."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wsjax.models import EquivariantLinear, features
from wsjax.symmetry import Axes, Fixed, Group, Sum, Symmetry, act, mlp, sample_permutation, siren, symmetry_of
from wsjax.symmetry.element import Element, Move

CONVOLUTION = symmetry_of(
    {
        "conv": {"kernel": Axes("row", "column", "in", "c"), "bias": Axes("c", bias=True)},
        "dense": {"kernel": Axes(("pixel", "c*"), "out"), "bias": Axes("out", bias=True)},
    },
    {
        "row": Fixed(2),
        "column": Fixed(2),
        "in": Fixed(1, "input"),
        "c": Group(3),
        "pixel": Fixed(2),
        "out": Fixed(2, "output"),
    },
)
SPECS = {
    "three layers": siren((2, 3, 2, 2)),
    "two layers": mlp((2, 3, 2)),
    "four layers": mlp((1, 2, 3, 2, 2)),
    "convolution": CONVOLUTION,
}


def random_weights(key: jax.Array, symmetry: Symmetry):
    shapes = symmetry.shapes
    return symmetry.unflatten([jax.random.normal(jax.random.fold_in(key, i), s) for i, s in enumerate(shapes)])


def lift(symmetry: Symmetry, weights) -> list[jax.Array]:
    return [f.lift(x) for f, x in zip(features(symmetry), symmetry.leaves(weights), strict=True)]


def permute_features(element: Element, xs: list[jax.Array], symmetry: Symmetry) -> list[jax.Array]:
    moved = []
    for x, feature in zip(xs, features(symmetry), strict=True):
        for axis, group in enumerate(feature.groups):
            x = jnp.take(x, np.asarray(element.moves[group].permutation), axis=axis)
        moved.append(x)
    return moved


def dense(xs: list[jax.Array]) -> np.ndarray:
    return np.concatenate([np.asarray(x).reshape(-1) for x in xs])


@pytest.mark.parametrize("name", SPECS)
def test_it_commutes_with_every_permutation(name, getkey):
    symmetry = SPECS[name]
    layer = EquivariantLinear(symmetry, 1, 2, key=getkey())
    layer = jax.tree.map(lambda x: x + 0.1, layer)  # biases too
    weights, element = random_weights(getkey(), symmetry), sample_permutation(getkey(), symmetry)
    apply = jax.jit(lambda w: layer(lift(symmetry, w)))
    moved_after = permute_features(element, apply(weights), symmetry)
    moved_before = apply(act(element, weights))
    np.testing.assert_allclose(dense(moved_before), dense(moved_after), atol=1e-5)


def all_permutations(symmetry: Symmetry):
    groups = symmetry.groups
    for orders in itertools.product(*[itertools.permutations(range(g.size)) for g in groups.values()]):
        yield Element(symmetry, {n: Move(permutation=jnp.array(o)) for n, o in zip(groups, orders, strict=True)})


@pytest.mark.parametrize("name", ["three layers", "two layers", "convolution"])
def test_its_rank_is_that_of_all_equivariant_maps(name, getkey):
    """The dimension of the commutant is the group's mean squared character: counted, not derived."""
    symmetry = SPECS[name]
    sizes = [math.prod(shape) for shape in symmetry.shapes]
    entries = np.arange(sum(sizes), dtype=np.float32)
    cuts = np.cumsum(sizes)[:-1]
    tagged = symmetry.unflatten(
        [jnp.asarray(p).reshape(s) for p, s in zip(np.split(entries, cuts), symmetry.shapes, strict=True)]
    )
    fixed_entries = [
        int((dense(symmetry.leaves(act(element, tagged))) == entries).sum()) for element in all_permutations(symmetry)
    ]
    dimension = np.mean(np.square(fixed_entries))
    layer = EquivariantLinear(symmetry, 1, 1, key=getkey())
    assert sum(k.size for k in layer.kernels) == dimension

    def maps(kernels, weights):
        applied = EquivariantLinear.__call__(_with_kernels(layer, kernels), lift(symmetry, weights))
        return jnp.concatenate([x.reshape(-1) for x in applied])

    count = 2 * len(entries)
    inputs = jax.vmap(lambda key: random_weights(key, symmetry))(jax.random.split(getkey(), count))
    jacobian = jax.jit(jax.vmap(jax.jacobian(maps), in_axes=(None, 0)))(layer.kernels, inputs)
    rows = np.concatenate([np.asarray(k).reshape(count * len(entries), -1) for k in jacobian], axis=1)
    assert np.linalg.matrix_rank(rows, tol=1e-3) == dimension


def _with_kernels(layer: EquivariantLinear, kernels) -> EquivariantLinear:
    leaves, treedef = jax.tree.flatten(layer)
    return jax.tree.unflatten(treedef, [*kernels, *leaves[len(kernels) :]])


@pytest.mark.parametrize("source", [0, 1, 2, 3])
def test_every_block_into_the_last_kernel_reaches_the_output_axis(source, getkey):
    """Earlier code builds the blocks from the kernel before and from early biases constant along the outputs."""
    symmetry = siren((2, 3, 4, 3))
    layer = EquivariantLinear(symmetry, 1, 1, key=getkey())
    xs = [jnp.zeros_like(x) for x in lift(symmetry, random_weights(getkey(), symmetry))]
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
    both = jax.jit(lambda w: second([jnp.tanh(x) for x in layer(lift(symmetry, w))]))
    pooled = lambda w: np.concatenate([np.asarray(x).reshape(-1, x.shape[-1]).mean(axis=0) for x in both(w)])
    wrong = (weights[0], weights[1]._replace(kernel=jnp.roll(weights[1].kernel, 1, axis=0)), weights[2])
    right = act(sample_permutation(getkey(), symmetry), weights)
    np.testing.assert_allclose(pooled(right), pooled(weights), atol=1e-5)
    assert np.abs(pooled(wrong) - pooled(weights)).max() > 1e-3


def test_it_refuses_what_it_cannot_read(untyped):
    twice = symmetry_of(
        {"k": Axes("g*", "h*", "h"), "b": Axes("h", bias=True), "c": Axes("g", bias=True)},
        {"g": Group(2), "h": Group(3)},
    )
    with pytest.raises(ValueError, match=r"weights\['k'\] has the group 'h' on two of its axes.*models\.Probe"):
        features(twice)
    joined = symmetry_of(
        {"a": Axes("in", "h"), "b": Axes(Sum("in", "h*"), "out")},
        {"in": Fixed(2, "input"), "h": Group(3), "out": Fixed(1, "output")},
    )
    with pytest.raises(ValueError, match=r"weights\['b'\] has a concatenated axis"):
        features(joined)
