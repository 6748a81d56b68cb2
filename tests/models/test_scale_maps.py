"""Maps of vectors with a gain, and the sizes of neurons that turn a weight around."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.helpers import drawn
from tests.models.specs import double
from wsjax.models.scale.layer import Wiring, rounds
from wsjax.models.scale.maps import Equivariant, Gain, Invariant, reciprocal_size
from wsjax.models.scale.reciprocal import inverted, order, squared_sizes
from wsjax.models.scale.sweep import turned

GAINS = {
    "neither": (Gain(), ()),
    "sign": (Gain(sign=True), ("sign",)),
    "rescale": (Gain(rescale=True), ("rescale",)),
    "both": (Gain(True, True), ("sign", "rescale")),
}


def factors(count: int) -> dict[str, np.ndarray]:
    """A factor for each of so many vectors; the first is a large scale, and changes sign."""
    rng = np.random.default_rng(0)
    signs, scales = rng.choice([-1.0, 1.0], count), 10 ** rng.uniform(-3, 3, count)
    signs[0], scales[0] = -1, 1000
    return {"sign": signs, "rescale": scales}


@pytest.mark.parametrize("name", GAINS)
def test_a_map_keeps_to_the_gain_that_it_is_given_and_to_no_other(name):
    gain, allowed = GAINS[name]
    invariant, equivariant = drawn(lambda key: (Invariant(3, 4, key=key), Equivariant(3, 4, 0.5, key=key)))
    x = np.random.default_rng(1).normal(size=(6, 3))
    x[-1] = 0
    with jax.enable_x64(True):
        both = jax.jit(lambda maps, x: [one(x, gain) for one in maps])
        still = both(double((invariant, equivariant)), x)
        for action, factor in factors(6).items():
            g = factor[:, None]
            found = both(double((invariant, equivariant)), g * x)
            kept = np.allclose(found[0], still[0], rtol=1e-11, atol=1e-11)
            along = np.allclose(found[1], g * np.asarray(still[1]), rtol=1e-11, atol=1e-11)
            assert (kept, along) == (action in allowed, action in allowed)


def test_vectors_over_their_size_are_exact_and_a_turn_moves_along_with_its_gain():
    @jax.jit
    def found(x, y):
        signed, scaled = (
            [turned(factor * y, gain) for factor in (1, -1, 4)] for gain in (Gain(True), Gain(False, True))
        )
        return x * reciprocal_size(x), signed, scaled

    x = np.array([[3, -3], [3e-30, 3e-30], [0, 0]], np.float32)
    over, signed, scaled = found(x, np.random.default_rng(3).normal(size=(5, 3)).astype(np.float32))
    assert over.tolist() == [[1.0, -1.0], [1.0, 1.0], [0.0, 0.0]]
    np.testing.assert_array_equal(signed[1], -signed[0])
    np.testing.assert_array_equal(scaled[2], 4 * scaled[0])


def test_a_vector_over_its_size_has_a_finite_gradient_everywhere():
    rows = np.array([[0], [1e-30], [1], [1e15]]) * np.array([[1.0, -2.0, 0.5]])
    weighted = lambda row: jnp.sum(row * reciprocal_size(row[None, :])[0] * jnp.array([1.0, 2.0, 3.0]))
    gradients = np.asarray(jax.jit(jax.vmap(jax.grad(weighted)))(rows.astype(np.float32)), np.float64)
    assert np.isfinite(gradients).all()
    assert not gradients[0].any()
    # along itself nothing changes, and the gradient is inverse to the size
    np.testing.assert_allclose(np.sum(gradients * rows, axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(gradients[1] * 1e-30, gradients[2], rtol=1e-4)
    np.testing.assert_allclose(gradients[3] * 1e15, gradients[2], rtol=1e-4)


CHAIN = ((0, 1), (1, 2), (2, 3))
LOOP = ((0, 1), (1, 1), (1, 2), (2, 2), (2, 1), (2, 3))


@pytest.mark.parametrize("wires", [CHAIN, LOOP], ids=["chain", "loops"])
def test_sizes_scale_along_and_turn_every_weight_around(wires):
    lengths, rescaled, rng = (2, 4, 4, 3), (False, True, True, False), np.random.default_rng(2)
    draw = lambda *shape: np.where(rng.random(shape) < 0.6, rng.normal(size=shape), 0)
    nodes = [draw(n, channels) for n, channels in zip(lengths, (0, 1, 2, 1), strict=True)]
    edges = [draw(lengths[s], lengths[t], 2) for s, t in wires]
    for x in nodes:
        x[0] = 0
    for x in edges:
        x[:, 0] = 0  # the first neurons are dead
    gains = [factors(n)["rescale"] if r else np.ones(n) for n, r in zip(lengths, rescaled, strict=True)]
    scaled = [g[:, None] * x for g, x in zip(gains, nodes, strict=True)]
    turned = [gains[t][None, :, None] / gains[s][:, None, None] * x for (s, t), x in zip(wires, edges, strict=True)]

    @jax.jit
    def sizes_and_inverses(nodes, edges):
        sizes = squared_sizes(rescaled, nodes, edges, wires)
        return sizes, [inverted(size) for size in sizes]

    with jax.enable_x64(True):
        before, after = (jax.tree.map(np.asarray, sizes_and_inverses(*x)) for x in ((nodes, edges), (scaled, turned)))
    for r, g, a, b in zip(rescaled, gains, after[0], before[0], strict=True):
        np.testing.assert_allclose(a, g**2 * b, rtol=1e-12)
        assert (a[0] == 0) == r
        assert (a[1:] > 0).all()
    back = lambda x, sizes, s, t: x * sizes[0][s][:, None, None] * sizes[1][t][None, :, None]
    for (s, t), x, y in zip(wires, edges, turned, strict=True):
        reciprocal, other = back(x, before, s, t), back(y, after, s, t)
        np.testing.assert_allclose(other * gains[t][None, :, None], reciprocal * gains[s][:, None, None], rtol=1e-11)
        assert np.abs(reciprocal).max() > 0
        if wires is CHAIN:
            fraction = x * np.sqrt(before[0][s])[:, None, None] * np.sqrt(before[1][t])[None, :, None]
            assert rescaled[t] is False or np.abs(fraction).max() <= np.sqrt(2 * 2 * len(x))


def test_a_size_is_the_mean_of_what_leads_to_the_neuron():
    kernels, biases = ([[3, 0]], [[1], [1]]), (np.zeros((1, 0)), np.array([[1], [0]]), np.zeros((1, 0)))
    nodes, edges = [b.astype(np.float32) for b in biases], [np.array(k, np.float32)[:, :, None] for k in kernels]
    sizes = jax.jit(lambda nodes, edges: squared_sizes([False, True, False], nodes, edges, [(0, 1), (1, 2)]))
    assert [s.tolist() for s in sizes(nodes, edges)] == [[1.0], [5.0, 0.0], [1.0]]


def test_a_dead_neuron_has_no_inverse_and_no_gradient():
    both = jax.jit(lambda sizes: (inverted(sizes), jax.grad(lambda s: jnp.sum(inverted(s)))(sizes)))
    assert [x.tolist() for x in both(np.array([0, 4], np.float32))] == [[0.0, 0.25], [0.0, -0.0625]]


def test_sets_come_after_those_that_lead_to_them():
    assert order(4, LOOP) == (0, 1, 2, 3)
    assert order(4, [(0, 3), (3, 1), (1, 2), (1, 1)]) == (0, 3, 1, 2)
    assert order(3, [(1, 2), (2, 1), (1, 0)]) == (1, 0, 2)


@pytest.mark.parametrize(
    ("wires", "expected"),
    [
        (((0, 4), (4, 5), (5, 4), (5, 1), (1, 2), (2, 3)), (0, 4, 5, 1, 2, 3)),
        (((0, 2), (2, 1), (1, 2), (1, 3)), (0, 2, 1, 3)),
    ],
)
def test_a_cycle_is_entered_where_it_is_fed_and_what_it_leads_to_has_a_size_wherever_it_stands(wires, expected):
    """Without biases of their own, such neurons would be taken for dead."""
    count = len(expected)
    assert order(count, wires) == expected
    nodes, edges = [np.zeros((2, 0), np.float32)] * count, [np.ones((2, 2, 1), np.float32)] * len(wires)
    rescaled = [False, *[True] * (count - 1)]
    sizes = jax.jit(lambda nodes, edges: squared_sizes(rescaled, nodes, edges, wires))(nodes, edges)
    assert all(np.all(size > 0) for size in sizes)


def test_a_round_does_nothing_that_no_later_one_reads():
    wiring = Wiring(("input", "moved", "moved", "output"), (Gain(), Gain(True), Gain(True), Gain()), CHAIN, (None,) * 4)
    forward = rounds(wiring, 3, False, [3])
    assert [one.nodes for one in forward] == [(1, 2, 3), (2, 3), (3,)]
    assert [one.edges for one in forward] == [(1, 2), (2,), ()]
    both = rounds(wiring, 2, True, [0, 1, 2, 3])
    assert [one.nodes for one in both] == [(0, 1, 2, 3)] * 2
    assert [one.edges for one in both] == [(0, 1, 2), ()]
