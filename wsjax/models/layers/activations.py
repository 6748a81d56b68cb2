"""Hidden activations of a network that is read, and the arrays that its neurons belong to."""

from jaxtyping import Array, Float

from wsjax.networks import Network, mlp_apply
from wsjax.symmetry import Symmetry
from wsjax.typing import Layer, Points, Weights


def activations(
    network: Network, weights: Weights, x: Points
) -> tuple[tuple[Float[Array, "points _"], ...], Float[Array, "points outputs"]]:
    """Activations of every hidden layer of one network at some inputs, and the decoded values.

    **Preserves** the order of neurons: an element of the network's group that moves its weights moves the columns of
    the hidden activations with them, and multiplies a column by its sign, by its scale, or by -1 for an odd number of
    half turns. The values do not change.

    Args:
        network: the architecture.
        weights: one network.
        x: (points, inputs).

    Returns:
        For each hidden layer (points, neurons), and the values (points, outputs), the offset included.

    Raises:
        ValueError: weights of another architecture; the leaf is named.

    Example:
        >>> import jax
        >>> net = Network("siren", (2, 8, 4, 1), w0=(10.0,))
        >>> weights, inputs = jax.eval_shape(net.init, jax.random.key(0)), jax.ShapeDtypeStruct((5, 2), "float32")
        >>> hidden, values = jax.eval_shape(lambda *given: activations(net, *given), weights, inputs)
        >>> [h.shape for h in hidden], values.shape
        ([(5, 8), (5, 4)], (5, 1))
    """
    network.symmetry.leaves(weights)
    found: list[Array] = []

    def note(_: int, hidden: Array) -> Array:
        found.append(hidden)
        return hidden

    values = mlp_apply(_dense(network, weights), x, activation=network.activation, between=note)
    return tuple(found), values + network.offset


def _dense(network: Network, weights: Weights) -> Weights:
    """A SIREN as a dense network of plain sines: its frequencies multiplied into its weights."""
    if network.kind == "mlp":
        return weights
    *hidden, last = weights
    affine = network.w0_convention == "affine"
    pairs = zip(hidden, network.w0, strict=True)
    return (*[Layer(w * layer.kernel, w * layer.bias if affine else layer.bias) for layer, w in pairs], last)


def nodes(symmetry: Symmetry) -> tuple[int, ...]:
    """The number of the array that is the bias of each layer of a network of dense layers, inputs first.

    Args:
        symmetry: of the networks that are read.

    Raises:
        ValueError: a group, or the outputs, without a bias of their own.

    Example:
        >>> from wsjax.symmetry import siren
        >>> nodes(siren((2, 8, 8, 1)))
        (1, 3, 5)
    """
    outputs = [name for name, fixed in symmetry.fixed.items() if fixed.role == "output"]
    biases = {axes.entries[0]: i for i, axes in enumerate(symmetry.axes) if axes.bias and len(axes.entries) == 1}
    bare = [name for name in (*symmetry.groups, *outputs) if name not in biases]
    if bare:
        raise ValueError(
            f"{bare[0]!r} has no bias of its own to carry the activations of its neurons; expected an array "
            f"Axes({bare[0]!r}, bias=True): read such networks with models.ActivationProbe"
        )
    return tuple(biases[name] for name in (*symmetry.groups, *outputs))
