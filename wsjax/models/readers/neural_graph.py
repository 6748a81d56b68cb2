"""The graph network of messages over a network's neurons."""

from wsjax.models.graph.graph import Graph
from wsjax.models.graph.messages import MessageLayer
from wsjax.models.graph.reader import GraphReader
from wsjax.models.layers.normalizer import Normalizer
from wsjax.networks import Network
from wsjax.symmetry import Symmetry
from wsjax.typing import Key


class NeuralGraph(GraphReader):
    """A graph network over a network's neurons: weights carry messages between them and are updated from both ends.

    Neurons and weights are lifted to features; `layers` times messages run along and against all weights, are gathered
    at the neurons and update them, then the weights (`MessageLayer`); the head reads the outputs side by side, or the
    average over all neurons.

    **Preserves**: the output is invariant to every permutation of the Symmetry, and to padding.

    Args:
        symmetry, normalizer: of the data set; without a normalizer the weights are read as they are. For a reader of
            what `pad` gives a `union` of graphs, and None.
        width, edges: features of a node, and of an edge.
        layers: of the graph network.
        frequencies: Gaussian Fourier features of each normalized number; 0 takes the numbers themselves.
        sigma: deviation of their frequencies, in turns for each unit. Published are 3, and 1 in the transformer, for
            55,000 networks; few networks are memorized with these.
        readout: what the head reads, the `"outputs"` side by side, each with what reached it, or the average over all
            nodes of the `"graph"`.
        head, depth: width and number of the head's hidden layers.
        probes: learned inputs at which `network` runs for features of its neurons; 0 runs nothing.
        generator, coordinate_range: as in a `Probe`.

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
        >>> reader = NeuralGraph(spec, 10, width=4, edges=3, layers=2, key=jax.random.key(0))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> jax.eval_shape(reader.features, weights).shape, jax.eval_shape(reader, weights).shape
        ((4,), (10,))
    """

    def __init__(
        self,
        symmetry: Symmetry | Graph,
        out_size: int,
        *,
        width: int = 32,
        edges: int = 32,
        layers: int = 4,
        frequencies: int = 32,
        sigma: float = 0.1,
        readout: str = "outputs",
        head: int = 64,
        depth: int = 1,
        probes: int = 0,
        generator: int = 0,
        network: Network | None = None,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        layer = lambda graph, step, key: MessageLayer(graph, step, width, edges, key=key)
        lifting = {"width": width, "edges": edges, "frequencies": frequencies, "sigma": sigma}
        reading = {"readout": readout, "head": head, "depth": depth, "layers": layers, "normalizer": normalizer}
        run = {"network": network, "probes": probes, "generator": generator, "coordinate_range": coordinate_range}
        super().__init__(symmetry, out_size, layer, **lifting, **reading, **run, key=key)
