"""Maps of vectors with a gain, and the sizes of neurons that turn a weight around."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.specs import double
from wsjax.models.reciprocal import inverted, order, squared_sizes
from wsjax.models.scale_layer import Wiring, rounds
from wsjax.models.scale_maps import Equivariant, Gain, Invariant, reciprocal_size

GAINS = {
    "neither": (Gain(), ()),
    "sign": (Gain(sign=True), ("sign",)),
    "rescale": (Gain(rescale=True), ("rescale",)),
    "both": (Gain(True, True), ("sign", "rescale")),
}


def factors(key, count: int) -> dict[str, jax.Array]:
    """A factor for each of so many vectors; the first is a large scale, and changes sign."""
    signs = jnp.where(jax.random.bernoulli(key, 0.5, (count,)), 1.0, -1.0).at[0].set(-1.0)
    scales = 10 ** jax.random.uniform(jax.random.fold_in(key, 1), (count,), minval=-3.0, maxval=3.0)
    return {"sign": signs, "rescale": scales.at[0].set(1000.0)}


@pytest.mark.parametrize("name", GAINS)
def test_a_map_keeps_to_the_gain_that_it_is_given_and_sees_every_other(name, getkey):
    gain, allowed = GAINS[name]
    with jax.enable_x64(True):
        seen, moved = (double(kind) for kind in (Invariant(3, 4, key=getkey()), Equivariant(3, 4, 0.5, key=getkey())))
        seen = jax.tree.map(lambda x: x + 0.1, seen)  # its bias too
        x = jax.random.normal(getkey(), (6, 3)).at[-1].set(0.0)
        for action, factor in factors(getkey(), 6).items():
            g = factor.astype(x.dtype)[:, None]
            kept = np.allclose(seen(g * x, gain), seen(x, gain), rtol=1e-11, atol=1e-11)
            along = np.allclose(moved(g * x, gain), g * moved(x, gain), rtol=1e-11, atol=1e-11)
            assert (kept, along) == (action in allowed, action in allowed)


def test_a_vector_over_its_size_has_a_finite_gradient_everywhere(getkey):
    x = jnp.concatenate(
        [jnp.zeros((1, 3)), 10.0 ** jnp.array([[-30.0], [0.0], [15.0]]) * jnp.array([[1.0, -2.0, 0.5]])]
    )
    weighted = lambda x: jnp.sum(x * reciprocal_size(x) * jnp.array([[1.0, 2.0, 3.0]]), axis=-1)
    slopes = jax.vmap(jax.grad(lambda row: weighted(row[None, :])[0]))(x)
    assert np.isfinite(slopes).all()
    assert not slopes[0].any()
    # along itself nothing changes, and the gradient is inverse to the size
    np.testing.assert_allclose(jnp.sum(slopes * x, axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(slopes[1] * 1e-30, slopes[2], rtol=1e-4)
    np.testing.assert_allclose(slopes[3] * 1e15, slopes[2], rtol=1e-4)


CHAIN = ((0, 1), (1, 2), (2, 3))
LOOP = ((0, 1), (1, 1), (1, 2), (2, 2), (2, 1), (2, 3))


@pytest.mark.parametrize("wires", [CHAIN, LOOP], ids=["chain", "loops"])
def test_sizes_scale_along_and_turn_every_weight_around(wires, getkey):
    lengths, rescaled = (2, 4, 4, 3), (False, True, True, False)
    with jax.enable_x64(True):
        draw = lambda *shape: jnp.where(
            jax.random.bernoulli(getkey(), 0.6, shape), jax.random.normal(getkey(), shape), 0
        )
        nodes = [draw(n, channels) for n, channels in zip(lengths, (0, 1, 2, 1), strict=True)]
        edges = [draw(lengths[s], lengths[t], 2) for s, t in wires]
        nodes = [x.at[0].set(0) for x in nodes]
        edges = [x.at[:, 0].set(0) for x in edges]  # the first neurons are dead
        gains = [
            jnp.ones(n) if not r else factors(getkey(), n)["rescale"] for n, r in zip(lengths, rescaled, strict=True)
        ]
        scaled = [g[:, None] * x for g, x in zip(gains, nodes, strict=True)]
        turned = [gains[t][None, :, None] / gains[s][:, None, None] * x for (s, t), x in zip(wires, edges, strict=True)]
        before, after = squared_sizes(rescaled, nodes, edges, wires), squared_sizes(rescaled, scaled, turned, wires)
        for r, g, a, b in zip(rescaled, gains, after, before, strict=True):
            np.testing.assert_allclose(a, g**2 * b, rtol=1e-12)
            assert (a[0] == 0) == r
            assert (a[1:] > 0).all()
        back = lambda x, sizes, s, t: x * sizes[s][:, None, None] * inverted(sizes[t])[None, :, None]
        for (s, t), x, y in zip(wires, edges, turned, strict=True):
            reciprocal, other = back(x, before, s, t), back(y, after, s, t)
            np.testing.assert_allclose(
                other * gains[t][None, :, None], reciprocal * gains[s][:, None, None], rtol=1e-11
            )
            assert np.abs(reciprocal).max() > 0
            if wires is CHAIN:
                share = x * jnp.sqrt(before[s])[:, None, None] * jnp.sqrt(inverted(before[t]))[None, :, None]
                assert rescaled[t] is False or np.abs(share).max() <= np.sqrt(2 * 2 * len(x))


def test_a_dead_neuron_has_no_inverse_and_no_gradient():
    sizes = jnp.array([0.0, 4.0])
    assert inverted(sizes).tolist() == [0.0, 0.25]
    assert jax.grad(lambda s: jnp.sum(inverted(s)))(sizes).tolist() == [0.0, -0.0625]
    assert order(4, LOOP) == (0, 1, 2, 3)


def test_what_a_cycle_leads_to_has_a_size_wherever_it_stands():
    """Without biases of their own, such neurons would be taken for dead."""
    wires = ((0, 4), (4, 5), (5, 4), (5, 1), (1, 2), (2, 3))
    assert order(6, wires) == (0, 4, 5, 1, 2, 3)
    nodes, edges = [jnp.zeros((2, 0))] * 6, [jnp.ones((2, 2, 1))] * len(wires)
    sizes = squared_sizes([False, True, True, True, True, True], nodes, edges, wires)
    assert all((size > 0).all() for size in sizes)


def test_a_cycle_is_entered_where_it_is_fed():
    wires = ((0, 2), (2, 1), (1, 2), (1, 3))
    assert order(4, wires) == (0, 2, 1, 3)
    nodes, edges = [jnp.zeros((2, 0))] * 4, [jnp.ones((2, 2, 1))] * len(wires)
    assert all((size > 0).all() for size in squared_sizes([False, True, True, True], nodes, edges, wires))


def test_a_round_does_nothing_that_no_later_one_reads():
    wiring = Wiring(("input", "moved", "moved", "output"), (Gain(), Gain(True), Gain(True), Gain()), CHAIN)
    forward = rounds(wiring, 3, False, [3])
    assert [one.nodes for one in forward] == [(1, 2, 3), (2, 3), (3,)]
    assert [one.edges for one in forward] == [(1, 2), (2,), ()]
    both = rounds(wiring, 2, True, [0, 1, 2, 3])
    assert [one.nodes for one in both] == [(0, 1, 2, 3)] * 2
    assert [one.edges for one in both] == [(0, 1, 2), ()]
