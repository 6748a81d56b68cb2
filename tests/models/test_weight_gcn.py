"""WeightGCN: signs and scales change nothing, one sweep is a pass of the network, and every array has its effect."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.helpers import check_laws, plain, toy
from tests.models.scale_laws import along_the_weights, check_uncoupled_phases, check_weight_gradients, check_wide_scales
from tests.models.specs import CONVOLUTION, NESTED, RECURRENT, SKIP, random_weights
from tests.models.test_scale_gmn import GATED, LOOP, MIXED, PHASES, SCALES, SIGNS
from wsjax.models import WeightGCN
from wsjax.models.graph.graph import graph_inputs
from wsjax.models.scale.sweep import Sweep, turned
from wsjax.models.scale.trunk import sizes_of
from wsjax.models.testing import check_invariant
from wsjax.networks import Network
from wsjax.symmetry import mlp, siren

pytestmark = pytest.mark.usefixtures("untyped")

CASES = {
    "phases": (siren((2, 4, 3, 2)), PHASES, {}),
    "scales": (mlp((2, 4, 3, 2)), SCALES, {}),
    "phases, one sweep": (siren((2, 3, 2), 5.0, "kernel"), PHASES, {"sweeps": 1, "readout": "io"}),
    "phases, three sweeps": (siren((2, 3, 3, 3, 2), (30.0, 2.0, 1.0)), PHASES, {"sweeps": 3}),
    "phases, gated": (GATED, PHASES, {}),
    "scales, three sweeps": (mlp((2, 3, 2)), SCALES, {"sweeps": 3}),
    "deep": (mlp((2, 3, 3, 3, 2)), SCALES, {}),
    "mixed": (MIXED, ("permute", "sign", "rescale"), {}),
    "skip": (SKIP, SIGNS, {}),
    "nested": (NESTED, SIGNS, {}),
    "convolution": (CONVOLUTION, SCALES, {}),
    "recurrent signs": (RECURRENT, SIGNS, {}),
    "recurrent scales": (LOOP, SCALES, {}),
}
SENSITIVE = set(CASES) - {"phases", "phases, gated", "scales", "mixed"}
"""Those of which every array has to have an effect; the others are held to their law alone."""
LEARNING = {"phases, one sweep", "skip", "nested", "convolution", "recurrent scales"}
"""Those of which every parameter has to learn; so has the deep one, where gradients are finite at zeros too."""
KEY = jax.random.key(8)


@functools.cache
def reader_of(name: str) -> WeightGCN:
    symmetry, _, settings = CASES[name]
    return toy(WeightGCN, scale=1.5, channels=3, head=8)(symmetry, **settings)


@pytest.mark.parametrize("name", CASES)
def test_it_is_invariant_to_all_that_it_claims_and_to_nothing_else(name):
    symmetry, actions, _ = CASES[name]
    reader, learns = reader_of(name), 0.98 if name in LEARNING else None
    check_laws(reader, symmetry, actions, sensitive=name in SENSITIVE, parts=True, fraction=learns, key=KEY)
    if name == "deep":
        check_weight_gradients(reader, symmetry, 0.98)


@pytest.mark.parametrize("name", ["scales", "mixed"])
def test_zeros_among_the_weights_and_large_scales_are_no_exception(name):
    check_wide_scales(reader_of(name), CASES[name][0])


@pytest.mark.parametrize("name", ["phases", "phases, one sweep"])
def test_half_of_a_shift_or_a_sign_is_no_symmetry(name):
    check_uncoupled_phases(reader_of(name), CASES[name][0])


def test_weights_that_lead_forward_do_not_serve_backward():
    mistaken = along_the_weights(reader_of("scales"))
    with pytest.raises(AssertionError, match=r"'rescale' on group 'h1' changes output by"):
        check_invariant(mistaken, CASES["scales"][0], actions=SCALES, key=KEY)
    mistaken = along_the_weights(reader_of("phases"))  # a sign is its own reciprocal
    check_invariant(mistaken, CASES["phases"][0], actions=PHASES, key=KEY)


def test_a_sweep_against_the_weights_makes_hidden_nodes_depend_on_later_kernels():
    symmetry = CASES["scales"][0]
    weights = random_weights(KEY, symmetry)
    other = (*weights[:2], weights[2]._replace(kernel=2 * np.asarray(weights[2].kernel)))
    hidden = eqx.filter_jit(lambda reader, weights: reader.vectors(weights)[1])
    one_sweep = toy(WeightGCN)(symmetry, channels=3, sweeps=1)
    for reader, reached in ((one_sweep, False), (reader_of("scales"), True)):
        assert (np.abs(hidden(reader, weights) - hidden(reader, other)).max() > 1e-4) == reached


def test_a_sweep_against_the_weights_is_the_sum_that_it_says():
    """Neuron by neuron: D_j^2 of what was sent, over D_i^2, through the weight forward and U."""
    reader, weights = reader_of("scales"), random_weights(KEY, CASES["scales"][0])
    first, second = reader.sweeps

    @jax.jit
    def all_of_it(weights):
        leaves = reader.normalizer(reader.symmetry.leaves(weights), jnp.float32)
        nodes, edges = graph_inputs(reader.graph, leaves)
        sizes = sizes_of(reader.graph, reader.wiring, nodes, edges)
        none = [None] * len(nodes)
        xs = first(None, nodes, edges, sizes, none)
        initials = [
            second.initials[n](nodes[group], sizes[group][0], None) for n, (group, _) in enumerate(second.turns)
        ]
        return xs, edges, sizes, initials, second(xs, nodes, edges, sizes, none)

    turn = jax.jit(turned, static_argnums=1)
    xs, edges, sizes, initials, found = jax.tree.map(np.asarray, all_of_it(weights))
    made = [np.asarray(x, np.float64) for x in xs]
    for number, (group, read) in enumerate(second.turns):  # h2, h1, in
        terms = np.array(initials[number], np.float64) + made[group] @ np.asarray(second.kept[number])
        for w in read:
            source, target = reader.wiring.wires[w]
            assert source == group
            for j in range(len(terms)):
                for i in range(len(made[target])):
                    sent = made[target][i] / float(sizes[target][0][i]) @ np.asarray(second.through[w][0])
                    fraction = float(sizes[source][0][j] * edges[w][j, i, 0]) / len(made[target]) ** 0.5
                    terms[j] += fraction * sent
        made[group] = np.asarray(turn(np.float32(terms / (2 + len(read)) ** 0.5), reader.wiring.gains[group]))
    assert [group for group, _ in second.turns] == [2, 1, 0]
    for a, expected in zip(found, made, strict=True):
        np.testing.assert_allclose(a, expected, rtol=1e-4, atol=1e-5)


def test_one_sweep_can_run_the_network_at_as_many_points_as_it_has_channels():
    """With U the identity and B ones, undivided, vectors are the neurons' activations at the points in the channels."""
    points, network = 5, Network("mlp", (2, 4, 3, 2), activation="tanh")
    symmetry = network.symmetry

    @jax.jit
    def vectors(key, weights):
        reader = WeightGCN(symmetry, 3, channels=points, sweeps=1, normalizer=plain(symmetry), key=key)
        inputs, *_, outputs = eqx.tree_at(lambda r: r.sweeps[0], reader, running(reader.sweeps[0])).vectors(weights)
        return outputs, jax.nn.silu(network.apply(weights, inputs.T).T)

    found, expected = vectors(KEY, random_weights(KEY, symmetry))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def running(sweep: Sweep) -> Sweep:
    """Each node reads its own numbers and its only array of weights: two terms, of which the root is taken out."""
    root = 2**0.5
    whole = lambda matrices, sources: jnp.eye(matrices.shape[1])[None] * root * sources**0.5

    def ones(initial):
        if initial.kernel is None:
            return initial
        embedding = None if initial.embedding is None else jnp.zeros_like(initial.embedding)
        parts = root * jnp.ones_like(initial.kernel), embedding
        return eqx.tree_at(lambda s: (s.kernel, s.embedding), initial, parts, is_leaf=lambda x: x is None)

    through = tuple(whole(m, sources) for m, sources in zip(sweep.through, (2, 4, 3), strict=True))
    return eqx.tree_at(lambda s: (s.initials, s.through), sweep, (tuple(map(ones, sweep.initials)), through))
