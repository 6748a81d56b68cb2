"""Features of nodes and edges: linear or Fourier maps of their values, embeddings, activations at probes."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wsjax.models.graph.graph import Graph
from wsjax.models.graph.padding import Padded, center
from wsjax.models.graph.parts import Affine
from wsjax.models.layers.draws import EMBEDDING, full, normal
from wsjax.models.layers.generator import LinearGenerator, activations
from wsjax.models.layers.norms import Norm, along_last
from wsjax.networks import Network
from wsjax.networks.sine import sine
from wsjax.typing import Key, Weights

FREQUENCY_SEED = 2403
"""Seed of the Fourier features' frequencies, which are the same for every reader and never train."""


class Lift(eqx.Module):
    """Numbers to features along the last axis: x K + b, or of Gaussian Fourier features

        [sin(2 pi x B), cos(2 pi x B)] K + b        B from N(0, sigma^2)

    of `channels` numbers at most, with `frequencies` columns of B; 0 takes the numbers themselves. B is no array of the
    module: it is drawn anew from one seed wherever it is used.

    Source: Tancik et al., arXiv 2006.10739; on weights as arXiv 2403.12143.
    """

    kernel: Array
    bias: Array
    channels: int = eqx.field(static=True)
    frequencies: int = eqx.field(static=True)
    sigma: float = eqx.field(static=True)

    def __init__(self, channels: int, width: int, frequencies: int, sigma: float, *, key: Key):
        rows, variance = (2 * frequencies, 1 / frequencies) if frequencies else (channels, 1 / max(channels, 1))
        self.kernel = normal(key, (rows, width), variance**0.5)
        self.bias = full(width, 0.0)
        self.channels, self.frequencies, self.sigma = channels, frequencies, sigma

    def __call__(self, x: Float[Array, "*axes own"], rows: np.ndarray) -> Float[Array, "*axes width"]:
        """Features of numbers that are these of all channels; the others are as if they were zero."""
        if not self.frequencies:
            return x @ self.kernel[rows] + along_last(self.bias, x.ndim)
        seed, shape = jax.random.key(FREQUENCY_SEED), (self.channels, self.frequencies)
        drawn = self.sigma * jax.random.normal(seed, shape, jnp.float32)
        turns = x @ (2 * np.float32(np.pi) * drawn).astype(x.dtype)[rows]
        sines, cosines = sine(turns), sine(turns + jnp.asarray(np.pi / 2, x.dtype))
        of_sines, of_cosines = jnp.split(self.kernel, 2)
        return sines @ of_sines + cosines @ of_cosines + along_last(self.bias, x.ndim)


class GraphLift(eqx.Module):
    """Features of all nodes and edges of a network.

    One map serves all nodes, and one all edges whose windows have as many axes, kernels centered on one another: an
    edge of a dense layer is lifted alike wherever it is. To a node's features comes a learned vector that says where it
    is: each input's and each output's own, one for all neurons of a hidden group, which may be permuted.

    **Preserves** equivariance, and padding changes nothing: absent channels and kernel positions count as zeros.

    Source: arXiv 2403.12143, section 3, for positional embeddings and features. Its edges of dense and convolutional
    layers share a map; here they share one only where both have kernels.
    """

    node: Lift
    edge: dict[int, Lift]
    places: dict[str, Array]
    graph: Graph = eqx.field(static=True)

    def __init__(self, graph: Graph, width: int, edges: int, frequencies: int, sigma: float, *, key: Key):
        keys = jax.random.split(key, 3)
        self.graph = graph
        self.node = Lift(max((n.channels for n in graph.nodes), default=0), width, frequencies, sigma, key=keys[0])
        fold = jax.random.fold_in
        make = lambda rank, window: Lift(math.prod(window), edges, frequencies, sigma, key=fold(keys[1], rank))
        self.edge = {rank: make(rank, window) for rank, window in _windows(graph).items()}
        count = lambda nodes: 1 if nodes.role == "hidden" else nodes.size
        draw = lambda i, nodes: normal(jax.random.fold_in(keys[2], i), (count(nodes), width), EMBEDDING)
        self.places = {nodes.name: draw(i, nodes) for i, nodes in enumerate(graph.nodes)}

    def __call__(self, network: Padded) -> tuple[list[Array], list[Array]]:
        """Features of each block of nodes and of each block of edges of one network."""
        windows, blocks = _windows(self.graph), {edges.key: edges.window for edges in self.graph.edges}
        nodes = [
            self.node(x, np.arange(x.shape[1])) + self.places[block.name][: block.size]
            for block, x in zip(network.graph.nodes, network.nodes, strict=True)
        ]
        edges = []
        for block, x in zip(network.graph.edges, network.edges, strict=True):
            largest = windows[len(blocks[block.key])]
            places = np.arange(math.prod(largest)).reshape(largest)[center(blocks[block.key], largest)]
            rows = places[center(block.window, blocks[block.key])]
            edges.append(self.edge[len(largest)](x, rows.reshape(-1)))
        return nodes, edges


def _windows(graph: Graph) -> dict[int, tuple[int, ...]]:
    """The largest window of each number of axes."""
    found: dict[int, tuple[int, ...]] = {}
    for edges in graph.edges:
        rank = len(edges.window)
        found[rank] = tuple(map(max, found.get(rank, edges.window), edges.window))
    return found


class NodeProbes(eqx.Module):
    """Run the network at learned inputs; each node's numbers there go through a dense layer and a norm of its layer:

        out_i = norm(a_i K + b)        a_i: (probes,) the inputs' own coordinates, activations, or decoded values

    **Preserves** equivariance under permutations of hidden neurons.

    Source: arXiv 2403.12143, section 3, probe features.
    """

    points: LinearGenerator
    maps: tuple[Affine, ...]
    norms: tuple[Norm, ...]
    network: Network = eqx.field(static=True)

    def __init__(
        self, network: Network, width: int, probes: int, generator: int, range: tuple[float, float], *, key: Key
    ):
        points_key, maps_key = jax.random.split(key)
        self.network = network
        self.points = LinearGenerator(network.widths[0], probes, generator, range, key=points_key)
        keys = [jax.random.fold_in(maps_key, i) for i, _ in enumerate(network.widths)]
        self.maps = tuple(Affine(probes, width, key=k) for k in keys)
        self.norms = tuple(Norm("layer", width) for _ in keys)

    def __call__(self, weights: Weights) -> list[Float[Array, "size width"]]:
        """Features of the inputs, of each hidden layer and of the outputs of one network."""
        points = self.points()
        hidden, values = activations(self.network, weights, points)
        probed = [points.T, *(a.T for a in hidden), values.T]
        return [
            norm(mix(a.astype(mix.kernel.dtype))) for a, mix, norm in zip(probed, self.maps, self.norms, strict=True)
        ]
