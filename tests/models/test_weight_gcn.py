"""WeightGCN: signs and scales change nothing, one sweep is a pass of the network, and every array is heard."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.scale_laws import along_the_weights, check_finite_slopes, check_wide_scales
from tests.models.specs import CONVOLUTION, NESTED, RECURRENT, SKIP
from tests.models.test_scale_gmn import LOOP, MIXED, SCALES, SIGNS
from wsjax.models import Normaliser, WeightGCN, WeightGCNConfig
from wsjax.models.graph import edge_inputs, node_inputs
from wsjax.models.scale_trunk import sizes_of
from wsjax.models.sweep import Sweep, turned
from wsjax.models.testing import check_gradients, check_invariant, check_reader, check_sensitive, random_weights
from wsjax.networks import Network
from wsjax.symmetry import mlp, siren

CASES = {
    "signs": (siren((2, 4, 3, 2)), SIGNS, {}),
    "scales": (mlp((2, 4, 3, 2)), SCALES, {}),
    "signs, one sweep": (siren((2, 3, 2)), SIGNS, {"sweeps": 1}),
    "scales, three sweeps": (mlp((2, 4, 3, 2)), SCALES, {"sweeps": 3}),
    "deep": (mlp((2, 3, 3, 3, 2)), SCALES, {}),
    "mixed": (MIXED, ("permute", "sign", "rescale"), {}),
    "skip": (SKIP, SIGNS, {}),
    "nested": (NESTED, SIGNS, {}),
    "convolution": (CONVOLUTION, SCALES, {}),
    "recurrent signs": (RECURRENT, SIGNS, {}),
    "recurrent scales": (LOOP, SCALES, {}),
}
WHOLE = {"signs, one sweep", "deep"}
"""Those on which the whole kit is run."""
HEARD = {"scales, three sweeps", "skip", "nested", "convolution", "recurrent signs", "recurrent scales"}
"""Those of which every array has to be heard, and every parameter to learn; the others are held to their law alone."""


def reader_of(name: str, key) -> WeightGCN:
    symmetry, _, settings = CASES[name]
    plain = Normaliser(*(tuple(jnp.float32(v) for _ in symmetry.axes) for v in (0.0, 1.5)))
    return WeightGCN(symmetry, plain, 3, WeightGCNConfig(**{"channels": 3, "head": 8, **settings}), key=key)


@pytest.mark.parametrize("name", CASES)
def test_it_is_blind_to_all_that_it_claims_and_hears_the_rest(name, getkey):
    symmetry, actions, _ = CASES[name]
    reader = reader_of(name, getkey())
    if name in WHOLE:
        check_reader(reader, symmetry, actions=actions, key=getkey())
    else:
        check_invariant(reader, symmetry, actions=actions, draws=1, key=getkey())
    if name in HEARD:
        check_sensitive(reader, symmetry, draws=1, key=getkey())
        check_gradients(reader, symmetry, draws=8, share=0.98, key=getkey())


@pytest.mark.parametrize("name", ["scales", "mixed"])
def test_zeros_among_the_weights_and_large_scales_are_no_exception(name, getkey):
    check_wide_scales(reader_of(name, getkey()), CASES[name][0], getkey)


def test_gradients_are_finite_where_weights_are_zero(getkey):
    check_finite_slopes(reader_of("scales", getkey()), CASES["scales"][0], getkey)


def test_weights_that_lead_forward_do_not_serve_backward(getkey):
    mistaken = along_the_weights(reader_of("scales", getkey()))
    with pytest.raises(AssertionError, match=r"'rescale' on group 'h1' changes output by"):
        check_invariant(mistaken, CASES["scales"][0], actions=SCALES, draws=1, key=getkey())
    mistaken = along_the_weights(reader_of("signs", getkey()))  # a sign is its own reciprocal
    check_invariant(mistaken, CASES["signs"][0], actions=SIGNS, draws=1, key=getkey())


def test_a_sweep_against_the_weights_tells_hidden_nodes_of_what_follows(getkey):
    weights = random_weights(getkey(), mlp((2, 4, 3, 2)))
    other = (*weights[:2], weights[2]._replace(kernel=2 * weights[2].kernel))
    for sweeps, told in ((1, False), (2, True)):
        reader = WeightGCN(
            mlp((2, 4, 3, 2)), reader_of("scales", getkey()).normaliser, 3, WeightGCNConfig(3, sweeps), key=getkey()
        )
        hidden = eqx.filter_jit(lambda reader, weights: reader.vectors(weights)[1])
        assert (np.abs(hidden(reader, weights) - hidden(reader, other)).max() > 1e-4) == told


def test_a_sweep_against_the_weights_is_the_sum_that_it_says(getkey):
    """Neuron by neuron: D_j^2 of what was sent, over D_i^2, through the weight forward and U."""
    reader, weights = reader_of("scales", getkey()), random_weights(getkey(), CASES["scales"][0])
    leaves = reader.normaliser(reader.symmetry.leaves(weights))
    nodes, edges = node_inputs(reader.graph, leaves), edge_inputs(reader.graph, leaves)
    sizes = sizes_of(reader.graph, reader.wiring, nodes, edges)
    first, second = reader.sweeps
    xs = first(None, nodes, edges, sizes)
    made = [np.asarray(x, np.float64) for x in xs]
    for number, (group, heard) in enumerate(second.turns):  # h2, h1, in
        own = np.array(second.starts[number](nodes[group], sizes[group][0]), np.float64)
        terms = own + made[group] @ np.asarray(second.kept[number])
        for w in heard:
            source, target = reader.wiring.wires[w]
            assert source == group
            for j in range(len(terms)):
                for i in range(len(made[target])):
                    sent = made[target][i] / float(sizes[target][0][i]) @ np.asarray(second.through[w][0])
                    share = float(sizes[source][0][j] * edges[w][j, i, 0]) / len(made[target]) ** 0.5
                    terms[j] += share * sent
        made[group] = np.asarray(turned(jnp.float32(terms / (2 + len(heard)) ** 0.5), reader.wiring.gains[group]))
    assert [group for group, _ in second.turns] == [2, 1, 0]
    for found, expected in zip(second(xs, nodes, edges, sizes), made, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_one_sweep_can_run_the_network_at_as_many_points_as_it_has_channels(getkey):
    """With U the identity and B ones, undivided, vectors are the neurons' activations at the points in the channels."""
    points, network = 5, Network("mlp", (2, 4, 3, 2), activation="tanh")
    plain = Normaliser(*(tuple(jnp.float32(v) for _ in network.symmetry.axes) for v in (0.0, 1.0)))
    reader = WeightGCN(network.symmetry, plain, 3, WeightGCNConfig(points, 1), key=getkey())
    run = eqx.tree_at(lambda r: r.sweeps[0], reader, running(reader.sweeps[0]))
    weights = random_weights(getkey(), network.symmetry)
    inputs, *_, outputs = eqx.filter_jit(run.vectors)(weights)
    expected = network.apply(weights, inputs.T)
    np.testing.assert_allclose(outputs, jax.nn.silu(expected.T), rtol=1e-5, atol=1e-6)


def running(sweep: Sweep) -> Sweep:
    """Each node hears its own numbers and its only array of weights: two terms, of which the root is taken out."""
    root = 2**0.5
    whole = lambda matrices, sources: jnp.eye(matrices.shape[1])[None] * root * sources**0.5
    ones = lambda start: (
        start
        if start.kernel is None
        else eqx.tree_at(
            lambda s: (s.kernel, s.embedding),
            start,
            (root * jnp.ones_like(start.kernel), None if start.embedding is None else jnp.zeros_like(start.embedding)),
            is_leaf=lambda x: x is None,
        )
    )
    through = tuple(whole(m, sources) for m, sources in zip(sweep.through, (2, 4, 3), strict=True))
    return eqx.tree_at(lambda s: (s.starts, s.through), sweep, (tuple(map(ones, sweep.starts)), through))


@pytest.mark.usefixtures("untyped")
def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"channels is 1; it must be one whole number in \[2, inf\]"):
        WeightGCNConfig(channels=1)
    for name in ("sweeps", "head"):
        with pytest.raises(ValueError, match=rf"{name} is 0; it must be one whole number in \[1, inf\]"):
            WeightGCNConfig(**{name: 0})
