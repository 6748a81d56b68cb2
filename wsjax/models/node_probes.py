"""What neurons give at learned inputs, as features of the nodes of a network's graph."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from wsjax.models.activations import activations
from wsjax.models.generator import LinearGenerator
from wsjax.models.graph_parts import Affine
from wsjax.models.norms import LayerNorm
from wsjax.networks import Network
from wsjax.typing import Key, Weights


class NodeProbes(eqx.Module):
    """Run the network at learned inputs; each node's numbers there go through a dense layer and a norm of its layer:

        out_i = norm(a_i K + b)        a_i: (probes,) the inputs' own coordinates, activations, or decoded values

    **Preserves** equivariance under permutations of hidden neurons.

    Source: arXiv 2403.12143, section 3, probe features.

    Example:
        >>> net = Network("siren", (2, 4, 1))
        >>> probes = eqx.filter_eval_shape(NodeProbes, net, 6, 5, 0, (-1.0, 1.0), key=jax.random.key(0))
        >>> [x.shape for x in eqx.filter_eval_shape(probes, jax.eval_shape(net.init, jax.random.key(1)))]
        [(2, 6), (4, 6), (1, 6)]
    """

    points: LinearGenerator
    maps: tuple[Affine, ...]
    norms: tuple[LayerNorm, ...]
    network: Network = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        width: int,
        probes: int,
        generator: int,
        coordinate_range: tuple[float, float],
        *,
        key: Key,
    ):
        points_key, maps_key = jax.random.split(key)
        self.network = network
        self.points = LinearGenerator(network.widths[0], probes, generator, coordinate_range, key=points_key)
        count = len(network.widths)
        self.maps = tuple(Affine(probes, width, key=jax.random.fold_in(maps_key, i)) for i in range(count))
        self.norms = tuple(LayerNorm(width) for _ in range(count))

    def __call__(self, weights: Weights) -> list[Float[Array, "size width"]]:
        """Features of the inputs, of each hidden layer and of the outputs of one network."""
        points = self.points()
        hidden, values = activations(self.network, weights, points)
        seen = [points.T, *(a.T for a in hidden), values.T]
        return [norm(mix(a.astype(mix.kernel.dtype))) for a, mix, norm in zip(seen, self.maps, self.norms, strict=True)]
