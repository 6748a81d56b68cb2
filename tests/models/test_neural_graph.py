"""The graph network of messages: invariant to reordering and padding, sensitive to all else, no parameter idle."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
from tests.models.refusals import check_refusals
from tests.models.specs import random_weights
from wsjax.models.graph.graph import graph_of
from wsjax.models.graph.messages import aggregate
from wsjax.models.graph.padding import pad, union, whole
from wsjax.models.readers.neural_graph import NeuralGraph
from wsjax.models.testing import check_invariant
from wsjax.symmetry import mlp, siren

pytestmark = pytest.mark.usefixtures("untyped")

make = small(NeuralGraph, {"width": 4, "edges": 3, "layers": 3, "frequencies": 2, "head": 6})


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_keeps_every_law_of_a_reader(name):
    check_laws(make, name)


def test_probed_neurons_keep_the_laws_too():
    described = metadata((2, 4, 3, 3))
    settings = {"network": described.network, "frequencies": 0, "probes": 5, "generator": 1}
    reader = make(described.symmetry, plain(described.symmetry), 4, **settings)
    check_invariant(reader, described.symmetry, key=KEY)


def test_padding_changes_nothing():
    assert padding_difference(functools.partial(make, layers=2), siren((3, 2, 2))) < 1e-10


def test_architectures_share_a_batch():
    assert batch_shape(make) == (6, 4)


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


@pytest.mark.usefixtures("untyped")
def test_settings_that_cannot_be_are_refused():
    symmetry = siren((2, 3, 3, 1))
    reader, union_reader = (functools.partial(make, of, out_size=4) for of in (symmetry, graph_of(symmetry)))
    check_refusals(
        (reader, {"normalizer": None, "width": 1}, r"width is 1; it must be one integer in \[2, inf\]"),
        (reader, {"normalizer": None, "readout": "nodes"}, r"unknown readout 'nodes'; the valid ones are: outputs, gr"),
        (reader, {"normalizer": None, "layers": 2}, r"layers is 2, and the edges 'in' -> 'h1' are farther"),
        (reader, {"normalizer": None, "probes": 3}, r"probes is 3, and no network is there to run"),
        (reader, {"normalizer": None, "probes": 3, "network": symmetry}, r"probes is 3, and no network is there to"),
        (
            reader,
            {"normalizer": plain(mlp((2, 3, 1)))},
            r"the normalizer is for 4 arrays; the Symmetry names 6: .*same data",
        ),
        (union_reader, {"normalizer": plain(symmetry)}, r"expected None for a reader of padded graphs"),
    )


@pytest.mark.usefixtures("untyped")
def test_a_padded_graph_that_a_reader_cannot_read_is_refused():
    """Its inputs would share one embedding, and a network within it cannot be run."""
    described, wide = metadata((1, 3, 1)), siren((2, 3, 1))
    graphs = [graph_of(spec) for spec in (described.symmetry, wide)]
    leaves = [spec.leaves(random_weights(KEY, spec)) for spec in (described.symmetry, wide)]
    narrow, norm = make(graphs[0], None, 4), plain(described.symmetry)
    with pytest.raises(ValueError, match=r"nodes 'in' are 2 and the reader's graph has 1; .* that `pad` is given"):
        jax.eval_shape(lambda: narrow(pad(graphs[1], leaves[1], union(graphs))))
    with pytest.raises(ValueError, match=r"probes is 3, and this reader is of padded graphs.*expected 0"):
        make(union(graphs), None, 4, probes=3, network=described.network)
    probed = make(described.symmetry, norm, 4, probes=3, network=described.network)
    with pytest.raises(ValueError, match=r"a padded graph, which no probe can run; expected its weights"):
        jax.eval_shape(lambda: probed(whole(graphs[0], leaves[0])))
