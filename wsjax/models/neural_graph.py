"""The graph network of messages over a network's neurons."""

from dataclasses import dataclass

from wsjax.models.graph import Graph
from wsjax.models.graph_reader import GraphConfig, GraphReader
from wsjax.models.messages import MessageLayer
from wsjax.models.normalise import Normaliser
from wsjax.networks import Network
from wsjax.symmetry import Symmetry
from wsjax.typing import Key


@dataclass(frozen=True)
class NeuralGraphConfig(GraphConfig):
    """As `GraphConfig`."""

    waves: int = 32
    sigma: float = 3.0


class NeuralGraph(GraphReader):
    """A graph network over a network's neurons: weights carry messages between them, and learn from both ends.

    Neurons and weights are lifted to features; `layers` times messages run along and against all weights, are gathered
    at the neurons and update them, then the weights (`MessageLayer`); the head reads the outputs side by side, or the
    average over all neurons.

    **Preserves**: the output is invariant to every permutation of the Symmetry, and to padding.

    Args:
        symmetry: of the networks that are read; or a `union` of graphs, for a reader of what `pad` gives.
        normaliser: theirs; None for a union.
        outputs: numbers that the reader gives.
        config: its settings.
        network: what runs at the learned inputs, for `probes`.
        coordinate_range: of the coordinates that the networks were fitted on.
        key: a typed key.

    Raises:
        ValueError: an array that no graph takes, too few layers for the readout, or probes without a network or for a
            union; at reading, a padded graph of which some block is larger than the reader's.

    Source: Kofinas et al., arXiv 2403.12143, NG-GNN, whose graph holds all pairs of neurons and whose reverse edges
    are an option; here weights that exist, both ways. Its code of the editing network takes biases from the wrong
    nodes; here every array names its own.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> small = NeuralGraphConfig(width=4, edges=3, layers=2)
        >>> reader = NeuralGraph(spec, plain, 10, small, key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> jax.eval_shape(reader.features, weights).shape, jax.eval_shape(reader, weights).shape
        ((4,), (10,))
    """

    def __init__(
        self,
        symmetry: Symmetry | Graph,
        normaliser: Normaliser | None,
        outputs: int,
        config: NeuralGraphConfig | None = None,
        *,
        network: Network | None = None,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        key: Key,
    ):
        settings = NeuralGraphConfig() if config is None else config
        layer = lambda graph, step, key: MessageLayer(graph, step, settings.width, settings.edges, key=key)
        given = {"network": network, "coordinate_range": coordinate_range}
        super().__init__(symmetry, normaliser, outputs, settings, layer, **given, key=key)
