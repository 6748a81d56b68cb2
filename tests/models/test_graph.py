"""The graph of a network's neurons: every number once, at the right place, and moved as the neurons are."""

import math

import chex
import jax
import numpy as np
import pytest

from tests.models.specs import CONVOLUTION, HEADS, NESTED, RECURRENT, SKIP, SPECS, random_weights
from wsjax.models.graph.graph import graph_inputs, graph_of
from wsjax.models.graph.padding import center, pad, union, whole
from wsjax.models.graph.parts import steps
from wsjax.models.layers.feature_layout import group_names
from wsjax.symmetry import Axes, Fixed, Group, act, mlp, siren, symmetry_of
from wsjax.symmetry.element import Element, Move

GRAPHS = {name: spec for name, spec in SPECS.items() if name not in ("three axes", "heads", "stacked heads")}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_has_every_number_once_and_its_nodes_and_edges_move_as_the_neurons_do(name):
    symmetry = GRAPHS[name]
    graph, rng, ends = graph_of(symmetry), np.random.default_rng(0), np.cumsum([math.prod(s) for s in symmetry.shapes])
    numbers = np.split(np.arange(ends[-1], dtype=np.float32), ends[:-1])
    weights = symmetry.unflatten([x.reshape(shape) for x, shape in zip(numbers, symmetry.shapes, strict=True)])
    order = {n.name: np.arange(n.size) for n in graph.nodes}
    names = group_names(symmetry)
    order |= {block: rng.permutation(symmetry.sizes[name]) for block, name in names.items()}
    of_group = lambda group: [order[block] for block, name in names.items() if name == group]
    moves = {g: Move(np.reshape(of_group(g), (*symmetry.lead(g), -1))) for g in symmetry.groups}
    element = Element(symmetry, moves)

    @jax.jit
    def inputs(weights, element):
        both = (symmetry.leaves(w) for w in (weights, act(element, weights)))
        return [graph_inputs(graph, leaves) for leaves in both]

    (nodes, edges), moved = jax.tree.map(np.asarray, inputs(weights, element))
    assert sorted(np.concatenate([x.reshape(-1) for x in (*nodes, *edges)])) == list(range(ends[-1]))
    moved_nodes = tuple(x[order[block.name]] for block, x in zip(graph.nodes, nodes, strict=True))
    ends_of = [np.ix_(order[block.source], order[block.target]) for block in graph.edges]
    chex.assert_trees_all_equal(moved, (moved_nodes, tuple(x[at] for x, at in zip(edges, ends_of, strict=True))))


def test_blocks_join_what_an_array_reads_to_what_it_makes():
    blocks = lambda symmetry: [(e.source, e.target, e.index, e.window) for e in graph_of(symmetry).edges]
    assert blocks(siren((2, 3, 4, 1))) == [("in", "h1", 0, ()), ("h1", "h2", 0, ()), ("h2", "out", 0, ())]
    assert blocks(CONVOLUTION) == [("in", "c", 0, (2, 2)), ("c", "out", 0, (2,))]
    assert blocks(RECURRENT) == [("in", "h", 0, ()), ("h", "out", 0, ()), ("h", "h", 0, ())]
    assert ("in", "h2", 0, ()) in blocks(SKIP)
    assert {("h", "out", 0, (2,)), ("in", "out", 0, (2,)), ("g", "out", 0, (2,))} < set(blocks(NESTED))
    twice = symmetry_of(
        {"a": Axes("in", "h"), "b": Axes("in", "h"), "c": Axes("h*", "out")},
        {"in": Fixed(2, "input"), "h": Group(3), "out": Fixed(1, "output")},
    )
    assert [e[:3] for e in blocks(twice)] == [("in", "h", 0), ("in", "h", 1), ("h", "out", 0)]


def test_a_recurrent_kernel_runs_from_what_it_reads_to_what_it_makes():
    """Its two axes carry one group, and only the mark tells them apart, wherever it stands."""
    for axes, flip in ((Axes("h*", "h"), False), (Axes("h", "h*"), True)):
        spec = symmetry_of({"k": axes, "b": Axes("h", bias=True)}, {"h": Group(3, "tanh")})
        kernel, bias = np.arange(9, dtype=np.float32).reshape(3, 3), np.zeros(3, np.float32)
        _, (block,) = jax.jit(lambda *leaves, spec=spec: graph_inputs(graph_of(spec), leaves))(bias, kernel)
        np.testing.assert_array_equal(block[..., 0], kernel.T if flip else kernel)


def test_biases_are_the_first_numbers_of_a_node_whatever_the_order_of_leaves():
    """Earlier code reads the biases of an edited network from node 0 on, which is an input."""
    spec = symmetry_of(
        {"a": Axes("h"), "bias": Axes("h", bias=True), "read": Axes("h*"), "z": Axes("in", "h")},
        {"in": Fixed(2, "input"), "h": Group(3, "tanh")},
    )
    numbered = lambda spec: [np.full(shape, i, np.float32) for i, shape in enumerate(spec.shapes)]
    read = lambda spec: jax.jit(lambda leaves: graph_inputs(graph_of(spec), leaves)[0])(numbered(spec))
    inputs, hidden = read(spec)
    assert inputs.shape == (2, 0)
    assert hidden.tolist() == [[1.0, 0.0, 2.0]] * 3
    graph = graph_of(spec)
    assert [len(side) for side in (graph.nodes[1].produced, graph.nodes[1].consumed)] == [2, 1]
    assert [np.ravel(x).tolist() for x in read(siren((2, 3, 4, 1)))] == [[], [1.0] * 3, [3.0] * 4, [5.0]]


def test_an_array_that_is_no_node_and_no_edge_is_refused():
    for axes, named in (
        ({"k": Axes(), "b": Axes("h", bias=True)}, r"weights\['k'\] has the axes \(\)"),
        ({"k": Axes("g*", "h*", "h"), "b": Axes("g", bias=True)}, r"weights\['k'\] has the axes \('g\*', 'h\*', 'h'\)"),
        ({"k": Axes("g*", "h*"), "b": Axes("h", bias=True), "c": Axes("g", bias=True)}, r"weights\['k'\]"),
    ):
        used = {name for leaf in axes.values() for name in leaf.names}
        spec = symmetry_of(axes, {name: Group(2, "tanh") for name in sorted(used)})
        with pytest.raises(ValueError, match=named + r".*read these networks with models\.DWS"):
            graph_of(spec)
    with pytest.raises(ValueError, match=r"group 'key' lies within the group 'head'; .*with models\.DWS, NFN"):
        graph_of(HEADS)


def test_padding_keeps_every_number_and_masks_the_rest():
    specs = [siren((2, 3, 1)), siren((3, 2, 4, 2)), CONVOLUTION]
    graphs = [graph_of(spec) for spec in specs]
    largest = union(graphs)
    assert largest.sizes == {"in": 3, "h1": 3, "h2": 4, "c": 3, "out": 2}
    assert {e.key for e in largest.edges} == {e.key for graph in graphs for e in graph.edges}

    @jax.jit
    def both(networks):
        pairs = zip(graphs, networks, strict=True)
        return [(whole(graph, leaves), pad(graph, leaves, largest)) for graph, leaves in pairs]

    networks = [spec.leaves(random_weights(jax.random.key(i), spec)) for i, spec in enumerate(specs)]
    found = both([[9 + np.asarray(x) for x in leaves] for leaves in networks])
    for graph, (alone, padded) in zip(graphs, found, strict=True):
        own = {e.key: np.asarray(x) for e, x in zip(graph.edges, alone.edges, strict=True)}
        for block, x, mask in zip(largest.edges, padded.edges, padded.edge_masks or (), strict=True):
            assert x.shape == (largest.sizes[block.source], largest.sizes[block.target], block.channels)
            assert not np.asarray(x)[~np.asarray(mask)].any()
            kept = np.asarray(x)[np.asarray(mask)]
            expected = own.get(block.key, np.zeros((0, 0, block.channels)))
            np.testing.assert_array_equal(kept[kept != 0], expected.reshape(-1))
        assert sum(int(np.sum(mask)) for mask in padded.node_masks or ()) == sum(graph.sizes.values())


def test_kernels_are_centered():
    conv = lambda n: symmetry_of(
        {"k": Axes("row", "column", "in", "c"), "d": Axes("c*", "out")},
        {"row": Fixed(n), "column": Fixed(n), "in": Fixed(1, "input"), "c": Group(2), "out": Fixed(1, "output")},
    )
    small, large = graph_of(conv(1)), graph_of(conv(3))
    leaves = [np.ones((2, 1), np.float32), np.full((1, 1, 1, 2), 5, np.float32)]
    padded = jax.jit(lambda leaves: pad(small, leaves, union([small, large])))(leaves)
    assert np.asarray(padded.edges[1])[0, 0].tolist() == [0, 0, 0, 0, 5, 0, 0, 0, 0]
    assert center((2,), (3, 3)) == (slice(1, 2), slice(0, 2))


def test_a_graph_that_is_not_in_the_union_is_refused():
    graph, other = graph_of(mlp((2, 4, 1))), graph_of(mlp((2, 3, 3, 1)))
    leaves = [jax.device_put(np.zeros(shape, np.float32)) for shape in mlp((2, 4, 1)).shapes]
    with pytest.raises(ValueError, match=r"nodes 'h1' are 4 and the graph to pad to has 3; expected a union"):
        pad(graph, leaves, other)
    wide = union([other, graph_of(mlp((2, 5, 5, 1)))])
    with pytest.raises(ValueError, match=r"edges 'h1' -> 'out' number 0 have the window \(\).*has None"):
        pad(graph, leaves, wide)
    scaled = symmetry_of(
        {"k": Axes("in", "h1"), "b": Axes("h1", bias=True), "s": Axes("h1"), "o": Axes("h1*", "out")},
        {"in": Fixed(2, "input"), "h1": Group(3), "out": Fixed(1, "output")},
    )
    with pytest.raises(ValueError, match=r"each of the nodes 'h1' has 2 numbers and .* room for 1; expected a union"):
        pad(graph_of(scaled), [jax.device_put(np.zeros(shape, np.float32)) for shape in scaled.shapes], wide)
    turned = symmetry_of({"k": Axes("out", "in")}, {"in": Fixed(1, "output"), "out": Fixed(1, "input")})
    with pytest.raises(ValueError, match=r"'out' is output in one graph and input in another"):
        union([graph, graph_of(turned)])


def test_a_step_is_all_that_the_outputs_depend_on_and_no_more():
    graph = graph_of(siren((2, 3, 3, 3, 1)))
    sizes = [(sorted(s.nodes), len(s.edges), len(s.updated), s.against) for s in steps(graph, 4, "outputs")]
    assert sizes[:2] == [(["h1", "h2", "h3", "out"], 4, 3, True), (["h2", "h3", "out"], 3, 2, True)]
    assert sizes[2:] == [(["h3", "out"], 2, 1, True), (["out"], 1, 0, False)]
    assert all(len(step.nodes) == 5 and step.against for step in steps(graph, 1, "graph"))
    with pytest.raises(ValueError, match=r"layers is 3, and the edges 'in' -> 'h1' are farther"):
        steps(graph, 3, "outputs")
    mute = symmetry_of({"k": Axes("in", "h")}, {"in": Fixed(2, "input"), "h": Group(3)})
    with pytest.raises(ValueError, match=r"no outputs to read.*readout='graph'"):
        steps(graph_of(mute), 2, "outputs")
