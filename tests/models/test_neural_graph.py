"""The graph network of messages: invariant to reordering and padding, blind to nothing, no parameter idle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.cards import card
from tests.models.graph_laws import ARCHITECTURES, batch_shape, padding_difference, plain
from wsjax.models.messages import aggregate
from wsjax.models.neural_graph import NeuralGraph, NeuralGraphConfig
from wsjax.models.testing import check_invariant, check_reader
from wsjax.symmetry import siren

SMALL = NeuralGraphConfig(width=4, edges=3, layers=3, waves=2, head=6)


def small(symmetry, norm, outputs, *, key, **settings):
    config = NeuralGraphConfig(**{**SMALL.__dict__, **settings})
    return NeuralGraph(symmetry, norm, outputs, config, key=key)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_keeps_every_law_of_a_reader(name, getkey):
    symmetry = ARCHITECTURES[name]
    settings = {"readout": "graph", "layers": 2, "waves": 0} if name == "skip" else {}
    reader = small(symmetry, plain(symmetry), 4, key=getkey(), **settings)
    check = check_reader if name == "residual convolutions" else check_invariant  # the whole kit takes long to compile
    check(reader, symmetry, key=getkey())


def test_probed_neurons_keep_the_laws_too(getkey):
    described = card((2, 4, 3, 3))
    config = NeuralGraphConfig(width=4, edges=3, layers=3, head=6, probes=5, generator=1)
    reader = NeuralGraph(
        described.symmetry, plain(described.symmetry), 4, config, network=described.network, key=getkey()
    )
    check_invariant(reader, described.symmetry, key=getkey())


@pytest.mark.parametrize("readout", ["outputs", "graph"])
def test_padding_changes_nothing(readout, getkey):
    assert padding_difference(functools.partial(small, readout=readout), getkey) < 1e-10


def test_architectures_share_a_batch(getkey):
    assert batch_shape(small, getkey) == (6, 4)


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
        small(symmetry, plain(symmetry), 4, layers=2, key=getkey())
    with pytest.raises(ValueError, match=r"probes is 3, and no network is there to run"):
        small(symmetry, plain(symmetry), 4, probes=3, key=getkey())
    with pytest.raises(ValueError, match=r"the normaliser is None; expected one for a reader of weights"):
        small(symmetry, None, 4, key=getkey())
