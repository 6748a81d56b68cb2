"""The relational transformer: invariant to reordering and padding, sensitive to all else, no parameter idle."""

import functools

import equinox as eqx
import jax
import numpy as np
import pytest

from tests.models.drawn import drawn
from tests.models.graph_laws import (
    ARCHITECTURES,
    KEY,
    batch_shape,
    check_laws,
    padding_difference,
    plain,
    small,
)
from tests.models.metadata import metadata
from tests.models.specs import double, random_weights
from wsjax.models.graph.graph import graph_of
from wsjax.models.graph.padding import whole
from wsjax.models.graph.parts import steps
from wsjax.models.graph.relational_attention import RelationalAttention
from wsjax.models.readers.relational import RelationalTransformer
from wsjax.symmetry import mlp, siren

pytestmark = pytest.mark.usefixtures("untyped")

SMALL = {
    "width": 4,
    "edges": 3,
    "layers": 3,
    "frequencies": 2,
    "head": 6,
    "depth": 1,
    "attention": 4,
    "heads": 2,
    "hidden": 5,
    "edge_hidden": 4,
}
make = small(RelationalTransformer, SMALL)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_keeps_every_law_of_a_reader(name):
    check_laws(make, name)


def test_padding_changes_nothing():
    whole_graph = functools.partial(make, readout="graph", layers=2, frequencies=0)
    assert padding_difference(whole_graph, siren((3, 2, 3, 2))) < 1e-10


def test_architectures_share_a_batch():
    assert batch_shape(make) == (6, 4)


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
    symmetry = metadata((2, 32, 32, 1)).symmetry
    reader = eqx.filter_eval_shape(
        lambda key: RelationalTransformer(symmetry, 10, normalizer=plain(symmetry), key=key), KEY
    )
    count = sum(s.size for s in jax.tree.leaves(reader) if np.issubdtype(s.dtype, np.floating))
    assert abs(count - 376_586) < 0.005 * 376_586


@pytest.mark.usefixtures("untyped")
def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"attention is 6; expected a multiple of heads, 4, as the heads share"):
        RelationalTransformer(siren((2, 3, 1)), 4, attention=6, heads=4, key=KEY)
    with pytest.raises(ValueError, match=r"heads is 0; it must be one integer in \[1, inf\]"):
        RelationalTransformer(siren((2, 3, 1)), 4, heads=0, key=KEY)
