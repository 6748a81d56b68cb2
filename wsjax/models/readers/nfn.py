"""Neural functional networks: equivariant layers on Fourier features of the weights, and an invariant head."""

import equinox as eqx
import jax
from jaxtyping import Array

from wsjax.errors import check_choice, check_number, check_sizes
from wsjax.models.layers.equivariant import EquivariantLinear, invariant, pooled
from wsjax.models.layers.feature_layout import Feature, features, lift
from wsjax.models.layers.fourier import FourierFeatures, expanded
from wsjax.models.layers.io_encoding import ENCODINGS, IOEncoding, permutable_io
from wsjax.models.layers.normalizer import Normalizer, normalizer_for
from wsjax.models.layers.norms import NORMS, Norm
from wsjax.models.layers.stack import HeadedReader, Stack, Vector, check_arguments, dropout
from wsjax.models.readers.dws import run_trunk
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


class NFNLayer(eqx.Module):
    """An equivariant linear layer, an `IOEncoding` added to its output, and a norm for each array."""

    linear: EquivariantLinear
    io_encoding: IOEncoding | None
    norms: tuple[Norm, ...]

    def __init__(
        self, symmetry: Symmetry, inputs: int, outputs: int, *, layer: str, norm: str, io_encoding: str, key: Key
    ):
        own = permutable_io(symmetry) if layer == "np" else symmetry
        self.linear = EquivariantLinear(own, inputs, outputs, key=jax.random.fold_in(key, 0))
        widths = self.linear.layout.widths
        own_key = jax.random.fold_in(key, 1)
        self.io_encoding = None if io_encoding == "none" else IOEncoding(symmetry, widths, io_encoding, key=own_key)
        self.norms = () if norm == "none" else tuple(Norm(norm, width) for width in widths)

    def __call__(self, xs: list[Array]) -> list[Array]:
        ys = self.linear(xs)
        ys = ys if self.io_encoding is None else self.io_encoding(ys)
        return [norm(y) for norm, y in zip(self.norms, ys, strict=True)] if self.norms else ys


class NFN(HeadedReader):
    """A reader of weights by NP or HNP layers on Fourier features of each weight.

    Normalize, Fourier features, `layers` times (equivariant linear map, norm, activation, each but the first added to
    its input), pool, dense layers. An HNP layer is the complete equivariant linear map of the Symmetry,
    `EquivariantLinear(symmetry)`; an NP layer the complete one of `permutable_io(symmetry)`, so it has fewer
    parameters and their number does not grow with inputs and outputs. NP pools over everything; HNP keeps the inputs
    and outputs apart.

    **Preserves**: the output is invariant to every permutation of the Symmetry; with `"np"` and no IO encoding to every
    permutation of inputs and outputs as well, so that it does not distinguish those.

    Args:
        symmetry, normalizer: of the data set; without a normalizer the weights are read as they are.
        layer: `"hnp"`, inputs and outputs stay as they are, or `"np"`, they permute like neurons.
        channels, layers: features for each weight, and equivariant layers.
        head, depth: width and number of the head's hidden layers.
        activation: `"gated"` or `"relu"`, as in `DWS`.
        frequencies, scale: of the Fourier features, their number (0 takes the weights themselves) and their deviation,
            for weights of deviation one. Few networks are memorized by them.
        io_encoding: what distinguishes inputs and outputs for `"np"`: `"none"`, `"sinusoidal"` or `"learned"`.
        norm: after each layer, `"none"`, `"layer"`, `"rms"` or `"array"`.

    Source: Zhou et al., arXiv 2302.14040. Its code leaves the bias before the last kernel out of an HNP layer's map to
    that kernel, and initializes with uniform numbers of one bound, 1 / sqrt(fan-in over all summands) for most blocks;
    here with normal ones of deviation 1 / sqrt(that fan-in). Its layers are not added to their inputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> for layer, code in (("hnp", "none"), ("np", "learned")):
        ...     small = {"channels": 2, "layers": 1, "frequencies": 3}
        ...     reader = NFN(spec, 10, layer=layer, io_encoding=code, **small, key=jax.random.key(0))
        ...     [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(10,), (10,)]
        [(8,), (10,)]
    """

    normalizer: Normalizer
    fourier: FourierFeatures | None
    layers: tuple[NFNLayer, ...]
    head: Stack
    symmetry: Symmetry = eqx.field(static=True)
    spec: tuple[Feature, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        symmetry: Symmetry,
        out_size: int,
        *,
        layer: str = "hnp",
        channels: int = 16,
        layers: int = 3,
        head: int = 64,
        depth: int = 1,
        activation: str = "gated",
        frequencies: int = 0,
        scale: float = 0.5,
        io_encoding: str = "none",
        norm: str = "none",
        normalizer: Normalizer | None = None,
        key: Key,
    ):
        sizes = {"channels": channels, "layers": layers, "head": head, "depth": depth}
        check_arguments(symmetry, Symmetry, out_size, normalizer, **sizes)
        check_sizes(low=0, frequencies=frequencies)
        check_number("scale", scale, low=0, open_low=True)
        check_choice("layer", layer, ("hnp", "np"))
        check_choice("activation", activation, ("gated", "relu"))
        check_choice("io_encoding", io_encoding, ENCODINGS)
        check_choice("norm", norm, ("none", *NORMS))
        if layer == "hnp" and io_encoding != "none":
            raise ValueError(
                f"io_encoding is {io_encoding!r} and layer is 'hnp', which distinguishes inputs and outputs already; "
                f"expected io_encoding 'none': leave it out, or take layer 'np'"
            )
        keys = [jax.random.fold_in(key, i) for i in range(layers + 1)]
        self.normalizer, self.symmetry, self.activation = normalizer_for(symmetry, normalizer), symmetry, activation
        self.fourier = FourierFeatures(frequencies, scale) if frequencies else None
        self.spec = features(permutable_io(symmetry) if layer == "np" else symmetry)
        width = channels * (2 if activation == "gated" else 1)
        inputs = [2 * frequencies or 1] + [channels] * (layers - 1)
        encodings = [io_encoding] + ["none"] * (layers - 1)
        self.layers = tuple(
            NFNLayer(symmetry, n, width, layer=layer, norm=norm, io_encoding=encoding, key=k)
            for n, encoding, k in zip(inputs, encodings, keys[1:], strict=True)
        )
        count = sum(len(pooled(f)) * f.fixed * channels for f in self.spec)
        self.head = Stack(count, out_size, head, depth, key=keys[0])

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The invariant features of one network; with a key, channels are dropped at the given rate."""
        leaves = self.normalizer(self.symmetry.leaves(weights), self.head.dtype)
        xs = [expanded(x, self.fourier) for x in lift(leaves, self.spec)]
        xs = run_trunk(self.layers, xs, self.activation)
        return dropout(invariant(xs, self.spec), key, dropout_rate, index=len(self.head.layers))
