"""The graph network of messages: invariant to reordering and padding, blind to nothing, no parameter idle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.cards import card
from tests.models.graph_laws import ARCHITECTURES, batch_shape, check_laws, padding_difference, plain, small
from tests.models.specs import random_weights
from wsjax.models.graph import graph_of
from wsjax.models.messages import aggregate
from wsjax.models.neural_graph import NeuralGraph, NeuralGraphConfig
from wsjax.models.padding import pad, union, whole
from wsjax.models.testing import check_invariant
from wsjax.symmetry import siren

make = small(NeuralGraph, NeuralGraphConfig(width=4, edges=3, layers=3, waves=2, head=6))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_keeps_every_law_of_a_reader(name, getkey):
    check_laws(make, name, getkey)


def test_probed_neurons_keep_the_laws_too(getkey):
    described = card((2, 4, 3, 3))
    config = NeuralGraphConfig(width=4, edges=3, layers=3, head=6, probes=5, generator=1)
    reader = NeuralGraph(
        described.symmetry, plain(described.symmetry), 4, config, network=described.network, key=getkey()
    )
    check_invariant(reader, described.symmetry, key=getkey())


@pytest.mark.parametrize("readout", ["outputs", "graph"])
def test_padding_changes_nothing(readout, getkey):
    assert padding_difference(functools.partial(make, readout=readout), getkey) < 1e-10


def test_architectures_share_a_batch(getkey):
    assert batch_shape(make, getkey) == (6, 4)


def test_messages_are_gathered_over_all_blocks_that_end_in_a_node(getkey):
    """As if the blocks were one, whose senders stand side by side."""
    one = jax.random.normal(getkey(), (5, 3, 2))
    first, second = one[:2], jnp.swapaxes(one[2:], 0, 1)
    whole, count = aggregate([(one, None, 0)], jnp.zeros((3, 2)))
    parts, counted = aggregate([(first, None, 0), (second, None, 1)], jnp.zeros((3, 2)))
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(count, counted)
    values = np.asarray(one)
    expected = [values.mean(0), values.min(0), values.max(0), np.sqrt(values.var(0) + 1e-5)]
    np.testing.assert_allclose(whole, np.concatenate(expected, axis=1), rtol=1e-4)
    none, nobody = aggregate([(one, jnp.zeros((5, 3), bool), 0)], jnp.zeros((3, 2)))
    assert not none.any()
    assert not nobody.any()


@pytest.mark.usefixtures("untyped")
def test_settings_that_cannot_be_are_refused(getkey):
    symmetry = siren((2, 3, 3, 1))
    with pytest.raises(ValueError, match=r"width is 1; it must be one whole number in \[2, inf\]"):
        NeuralGraphConfig(width=1)
    with pytest.raises(ValueError, match=r"unknown readout 'nodes'; the valid ones are: outputs, graph"):
        NeuralGraphConfig(readout="nodes")
    with pytest.raises(ValueError, match=r"layers is 2, and the edges 'in' -> 'h1' are farther"):
        make(symmetry, plain(symmetry), 4, layers=2, key=getkey())
    with pytest.raises(ValueError, match=r"probes is 3, and no network is there to run"):
        make(symmetry, plain(symmetry), 4, probes=3, key=getkey())
    with pytest.raises(ValueError, match=r"the normaliser is None; expected one for a reader of weights"):
        make(symmetry, None, 4, key=getkey())


@pytest.mark.usefixtures("untyped")
def test_a_padded_graph_that_a_reader_cannot_read_is_refused(getkey):
    """Its inputs would share one embedding, and a network within it cannot be run."""
    described, wide = card((1, 3, 1)), siren((2, 3, 1))
    graphs = [graph_of(spec) for spec in (described.symmetry, wide)]
    padded = pad(graphs[1], wide.leaves(random_weights(getkey(), wide)), union(graphs))
    with pytest.raises(ValueError, match=r"nodes 'in' are 2 and the reader's graph has 1; .* that `pad` is given"):
        make(graphs[0], None, 4, key=getkey())(padded)
    with pytest.raises(ValueError, match=r"probes is 3, and this reader is of padded graphs.*expected 0"):
        make(union(graphs), None, 4, probes=3, network=described.network, key=getkey())
    alone = whole(graphs[0], described.symmetry.leaves(random_weights(getkey(), described.symmetry)))
    probed = make(described.symmetry, plain(described.symmetry), 4, probes=3, network=described.network, key=getkey())
    with pytest.raises(ValueError, match=r"a padded graph, which no probe can run; expected its weights"):
        probed(alone)
