"""The editor that is equivariant to signs and scales of neurons too."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_number
from wsjax.models.graph.graph import graph_of
from wsjax.models.layers.feature_layout import Feature, unlift
from wsjax.models.layers.normalizer import Normalizer
from wsjax.models.layers.stack import check_arguments, dropout, numbers_as_python
from wsjax.models.readers.editor import edited
from wsjax.models.scale.layer import Round, rounds
from wsjax.models.scale.maps import normal
from wsjax.models.scale.phase import Phasor, arriving
from wsjax.models.scale.trunk import ScaleTrunk, wiring_of
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


class ScaleEditor(eqx.Module):
    """A map from weights to weights, equivariant to permutations, signs and positive scales of neurons.

        theta' = theta + scale * deviation * delta(theta)

    `delta` is the trunk of a `ScaleGMN` whose last round updates every weight from both ends, and a linear map of each
    vector to its array's numbers, without a constant where a neuron's gain g multiplies it. Numbers that are read from
    a neuron alone have the gain 1 / g, so their vector is divided by the square of the neuron's size, and multiplied
    by cos z where phases shift. `deviation` is
    what the normalizer divides each array by, `scale` a learned number initialized to 0.01.

    **Preserves** equivariance: edit(g theta) = g edit(theta) for every permutation of the Symmetry, and for every sign,
    phase shift and positive scale that its groups allow; so the edited function is the same whichever of the networks
    that compute a function was edited. Structure, shapes and dtypes stay; leaves that are not floating point pass
    untouched.

    Args:
        symmetry, normalizer: of the data set; without a normalizer the weights are read as they are.
        channels, layers, direction: as in a `ScaleGMN`.

    Raises:
        ValueError: an array that no graph takes.

    Source: Kalogeropoulos et al., arXiv 2406.10685, section 6, INR editing, whose readers have no backward reciprocal
    without a division; theta + 0.01 * delta as arXiv 2301.12780.

    Example:
        >>> from wsjax.symmetry import act, mlp, sample
        >>> spec = mlp((2, 4, 1))
        >>> edit = eqx.filter_jit(ScaleEditor(spec, channels=2, layers=1, direction="forward", key=jax.random.key(0)))
        >>> w = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> element = sample(jax.random.key(1), spec)
        >>> pairs = zip(jax.tree.leaves(edit(act(element, w))), jax.tree.leaves(act(element, edit(w))))
        >>> all(bool(jnp.allclose(a, b, rtol=1e-4)) for a, b in pairs)
        True
    """

    trunk: ScaleTrunk
    made: tuple[Array, ...]
    read: tuple[Array, ...]
    biases: tuple[Array | None, ...]
    edges: tuple[Array, ...]
    scale: Array
    spec: tuple[Feature, ...] = eqx.field(static=True)

    @numbers_as_python
    def __init__(
        self,
        symmetry: Symmetry,
        *,
        channels: int = 32,
        layers: int = 4,
        direction: str = "bidirectional",
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        check_number("channels", channels, low=2, integer=True)
        check_arguments(symmetry, Symmetry, 1, normalizer, layers=layers)
        check_choice("direction", direction, ("forward", "bidirectional"))
        graph = graph_of(symmetry)
        wiring = wiring_of(graph, symmetry)
        everywhere, both = range(len(graph.nodes)), direction == "bidirectional"
        final = Round((), (), (), tuple(range(len(graph.edges))))
        plan = (*rounds(wiring, layers, both, everywhere), final)
        keys = jax.random.split(key, 4)
        self.trunk = ScaleTrunk(symmetry, normalizer, channels, plan, key=keys[0])
        self.scale = jnp.asarray(0.01)

        def maps(key: Key, counts: list[int]) -> tuple[Array, ...]:
            return tuple(normal(jax.random.fold_in(key, i), channels, n) for i, n in enumerate(counts))

        made = [sum(feature.fixed for feature in nodes.produced) for nodes in graph.nodes]
        self.made = maps(keys[1], made)
        self.read = maps(keys[2], [nodes.channels - own for nodes, own in zip(graph.nodes, made, strict=True)])
        self.edges = maps(keys[3], [edges.channels for edges in graph.edges])
        self.biases = tuple(
            None if any(gain) else jnp.zeros(own if wiring.shifted[i] else nodes.channels)
            for i, (gain, nodes, own) in enumerate(zip(wiring.gains, graph.nodes, made, strict=True))
        )
        of_nodes = [feature for nodes in graph.nodes for feature in (*nodes.produced, *nodes.consumed)]
        self.spec = (*of_nodes, *(edges.feature for edges in graph.edges if edges.feature is not None))

    def __call__(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Weights:
        """Edit one network; with a key, channels of the inputs of the last maps are dropped at the given rate."""
        symmetry, states = self.trunk.symmetry, self.trunk(weights)
        xs = [dropout(x, key, dropout_rate, index=i) for i, x in enumerate(states.nodes)]
        es = [dropout(e, key, dropout_rate, index=len(xs) + i) for i, e in enumerate(states.edges)]
        numbers = [n for i, x in enumerate(xs) for n in self._of_nodes(i, x, states.sizes[i][1], states.phasors[i])]
        numbers += [e @ kernel for e, kernel in zip(es, self.edges, strict=True)]
        deltas = unlift(numbers, self.spec, symmetry)
        return symmetry.unflatten(edited(symmetry.leaves(weights), deltas, self.scale, self.trunk.normalizer))

    def _of_nodes(self, i: int, x: Array, inverse: Float[Array, " size"], phasor: Phasor | None) -> list[Array]:
        """The numbers of each array that lives on a set of nodes, (size, its own)."""
        nodes, bias = self.trunk.graph.nodes[i], self.biases[i]
        read = arriving((x @ self.read[i]) * inverse[:, None], phasor)
        both = jnp.concatenate([x @ self.made[i], read], axis=1)
        # An array that consumes neurons whose phases shift has no constant.
        both = both if bias is None else both.at[:, : len(bias)].add(bias[None, :])
        return list(jax.lax.split(both, [feature.fixed for feature in (*nodes.produced, *nodes.consumed)], 1))
