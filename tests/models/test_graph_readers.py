"""The two readers of graphs: invariant to reordering and padding, sensitive to all else, no parameter idle."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.helpers import check_laws, drawn, metadata, toy
from tests.models.specs import SKIP, double, random_weights
from wsjax.models import parameter_count
from wsjax.models.graph.graph import graph_of
from wsjax.models.graph.messages import aggregate
from wsjax.models.graph.padding import pad, union, whole
from wsjax.models.graph.parts import steps
from wsjax.models.graph.relational_attention import RelationalAttention
from wsjax.models.readers.neural_graph import NeuralGraph
from wsjax.models.readers.relational import RelationalTransformer
from wsjax.models.testing import check_invariant
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, mlp, siren, symmetry_of

pytestmark = pytest.mark.usefixtures("untyped")


def convolutional(window: int, channels: int = 3) -> Symmetry:
    """A convolution, a residual one tied to its channels, a dense layer after flattening two pixels."""
    kernel = lambda reads: {"kernel": Axes("row", "column", reads, "c"), "bias": Axes("c", bias=True)}
    return symmetry_of(
        {
            "first": kernel("in"),
            "second": {**kernel("c*"), "scale": Axes("c")},
            "dense": {"kernel": Axes(("pixel", "c*"), "out"), "bias": Axes("out", bias=True)},
        },
        {
            "row": Fixed(window),
            "column": Fixed(window),
            "in": Fixed(2, "input"),
            "c": Group(channels, "tanh"),
            "pixel": Fixed(2),
            "out": Fixed(2, "output"),
        },
    )


KEY = jax.random.key(4)
ARCHITECTURES = {
    "three outputs": siren((2, 4, 3, 3)),
    "one hidden layer": mlp((2, 4, 1)),
    "residual convolutions": convolutional(2),
    "skip": SKIP,
}
SMALL = {"scale": 0.5, "shift": 0.1, "width": 4, "edges": 3, "layers": 3, "frequencies": 2, "head": 6}
INSIDE = {"depth": 1, "attention": 4, "heads": 2, "hidden": 5, "edge_hidden": 4}
MAKE = {"messages": toy(NeuralGraph, **SMALL), "attention": toy(RelationalTransformer, **SMALL, **INSIDE)}
by_reader = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


@by_reader
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_keeps_every_law_of_a_reader(make, name):
    """test_readers.py holds one to gradients too."""
    fewer = {"skip": {"readout": "graph", "layers": 2, "frequencies": 0}, "one hidden layer": {"layers": 2}}
    check_laws(make(ARCHITECTURES[name], **fewer.get(name, {})), ARCHITECTURES[name], parts=True, key=KEY)


def test_probed_neurons_keep_the_laws_too():
    described = metadata((2, 4, 3, 3))
    reader = MAKE["messages"](described.symmetry, network=described.network, frequencies=0, probes=5, generator=1)
    check_invariant(reader, described.symmetry, key=KEY)


@pytest.mark.parametrize(
    ("kind", "chain", "settings"),
    [
        ("messages", siren((3, 2, 2)), {"layers": 2}),
        ("attention", siren((3, 2, 3, 2)), {"readout": "graph", "layers": 2, "frequencies": 0}),
    ],
    ids=MAKE,
)
def test_padding_changes_nothing(kind, chain, settings):
    """Of networks alone, and in one batch, padded to a union of depths, widths, inputs and kernel sizes."""
    specs = [chain, convolutional(2, 2)]
    graphs = [graph_of(spec) for spec in specs]
    largest = union([*graphs, graph_of(convolutional(3))])
    with jax.enable_x64(True):
        reader = double(MAKE[kind](largest, **settings))
        networks = [spec.leaves(random_weights(jax.random.key(i), spec)) for i, spec in enumerate(specs)]

        @eqx.filter_jit
        def outputs(reader, networks):
            pairs = list(zip(graphs, networks, strict=True))
            alone = jnp.stack([reader(whole(graph, leaves)) for graph, leaves in pairs])
            padded = [jax.vmap(lambda leaves, g=g: pad(g, leaves, largest))([x[None] for x in xs]) for g, xs in pairs]
            return alone, jax.vmap(reader)(jax.tree.map(lambda *xs: jnp.concatenate(xs), *padded))

        alone, padded = map(np.asarray, outputs(reader, networks))
        assert alone.dtype == jnp.float64
        assert alone.std(axis=1).min() > 1e-3
        assert np.abs(alone - padded).max() < 1e-10


def test_messages_are_gathered_over_all_blocks_that_end_in_a_node():
    """As if the blocks were one, whose senders stand side by side."""
    values, none = np.random.default_rng(0).normal(size=(5, 3, 2)).astype(np.float32), np.zeros((3, 2), np.float32)

    @jax.jit
    def gathered(one, none):
        first, second = one[:2], jnp.swapaxes(one[2:], 0, 1)
        blocks: Any = ([(one, None, 0)], [(first, None, 0), (second, None, 1)], [(one, jnp.zeros((5, 3), bool), 0)])
        return [aggregate(block, none) for block in blocks]

    (whole, count), (parts, counted), (nothing, nobody) = gathered(values, none)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(count, counted)
    expected = [values.mean(0), values.min(0), values.max(0), np.sqrt(values.var(0) + 1e-5)]
    np.testing.assert_allclose(whole, np.concatenate(expected, axis=1), rtol=1e-4)
    assert not np.any(nothing)
    assert not np.any(nobody)


def test_a_padded_graph_that_a_reader_cannot_read_is_refused():
    """Its inputs would share one embedding, and a network within it cannot be run."""
    described, wide = metadata((1, 3, 1)), siren((2, 3, 1))
    graphs = [graph_of(spec) for spec in (described.symmetry, wide)]
    leaves = [spec.leaves(random_weights(KEY, spec)) for spec in (described.symmetry, wide)]
    narrow = MAKE["messages"](graphs[0])
    with pytest.raises(ValueError, match=r"nodes 'in' are 2 and the reader's graph has 1; .* that `pad` is given"):
        jax.eval_shape(lambda: narrow(pad(graphs[1], leaves[1], union(graphs))))
    with pytest.raises(ValueError, match=r"probes is 3, and this reader is of padded graphs.*expected 0"):
        MAKE["messages"](union(graphs), probes=3, network=described.network)
    probed = MAKE["messages"](described.symmetry, probes=3, network=described.network)
    with pytest.raises(ValueError, match=r"a padded graph, which no probe can run; expected its weights"):
        jax.eval_shape(lambda: probed(whole(graphs[0], leaves[0])))


def test_attention_is_that_of_the_formula_pair_by_pair():
    """In NumPy, a neuron and a neighbor at a time, over all nodes at once."""
    symmetry = mlp((2, 4, 3))
    graph, rng = graph_of(symmetry), np.random.default_rng(0)
    with jax.enable_x64(True):
        make_one = lambda key: RelationalAttention(steps(graph, 1, "graph")[0], 4, 3, 6, 2, key=key)
        attend = double(drawn(make_one))
        nodes = [rng.normal(size=(n.size, 4)) for n in graph.nodes]
        edges = [rng.normal(size=(graph.sizes[e.source], graph.sizes[e.target], 3)) for e in graph.edges]
        leaves = symmetry.leaves(random_weights(KEY, symmetry))
        gathered = eqx.filter_jit(lambda attend, *given: attend(*given, whole(graph, leaves)))(attend, nodes, edges)
        found = np.concatenate([np.asarray(gathered[block.name]) for block in graph.nodes])
    x = np.concatenate([np.asarray(n) for n in nodes])
    joined = np.zeros((9, 9, 3))
    joined[:2, 2:6], joined[2:6, 6:] = np.asarray(edges[0]), np.asarray(edges[1])
    kinds = np.full((9, 9), "", object)
    kinds[:2, 2:6] = kinds[2:6, 6:] = "against"  # the receiver feeds the sender
    kinds[kinds.T != ""] = "along"
    np.fill_diagonal(kinds, "itself")
    both, expected = joined + joined.swapaxes(0, 1), np.zeros((9, 6))
    for h in range(2):
        head = jax.tree.map(lambda p, h=h: np.asarray(p[h]), attend.heads)
        q, k, v = np.split(x @ head.node.T, 3, axis=1)
        for i in range(9):
            scores, values = [], []
            for j in (j for j in range(9) if kinds[i, j]):
                own = getattr(head, kinds[i, j]) + head.edge @ both[i, j]
                to_query, to_key, times, plus = np.split(own, 4)
                scores.append((q[i] + to_query) @ (k[j] + to_key) / 3**0.5)
                values.append(v[j] * times + plus)
            weights = np.exp(scores) / np.exp(scores).sum()
            expected[i, 3 * h : 3 * h + 3] = weights @ np.array(values)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_large_scores_do_not_overflow():
    symmetry = mlp((2, 3, 1))
    graph, rng = graph_of(symmetry), np.random.default_rng(0)
    attend = drawn(lambda key: RelationalAttention(steps(graph, 1, "graph")[0], 4, 3, 6, 2, key=key))
    loud = eqx.tree_at(lambda a: a.heads.node, attend, jax.device_put(1e3 * np.asarray(attend.heads.node)))
    nodes = [rng.normal(size=(n.size, 4)).astype(np.float32) for n in graph.nodes]
    edges = [rng.normal(size=(graph.sizes[e.source], graph.sizes[e.target], 3)).astype(np.float32) for e in graph.edges]
    network = whole(graph, symmetry.leaves(random_weights(KEY, symmetry)))
    total = lambda nodes, edges: sum(x.sum() for x in loud(nodes, edges, network).values())
    gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(nodes, edges)
    assert all(np.isfinite(s).all() for s in jax.tree.leaves(gradients))


def test_it_has_about_as_many_parameters_as_the_published_one():
    symmetry, count = metadata((2, 32, 32, 1)).symmetry, []
    jax.eval_shape(lambda key: count.append(parameter_count(RelationalTransformer(symmetry, 10, key=key))), KEY)
    assert count == [376_810]  # of the published 376,586
