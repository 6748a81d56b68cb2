"""Neural functional networks: equivariant layers on Fourier features of the weights, and an invariant head."""

from dataclasses import dataclass

import equinox as eqx
import jax
from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_number
from wsjax.models.dropout import dropout
from wsjax.models.dws import activate
from wsjax.models.ends import CODES, EndCode, permutable_ends
from wsjax.models.equivariant import EquivariantLinear, ends, invariant
from wsjax.models.flat import Stack
from wsjax.models.fourier import FourierFeatures, expanded
from wsjax.models.normalise import Normaliser
from wsjax.models.norms import NORMS, ArrayNorm, LayerNorm, RMSNorm
from wsjax.models.pieces import Feature, features, lift
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Scalar, Weights


@dataclass(frozen=True)
class NFNConfig:
    """layer: `"hnp"`, inputs and outputs stay as they are, or `"np"`, they permute like neurons.

    channels: features for each weight. layers: equivariant layers. head, depth: width and number of the head's hidden
    layers. activation: `"gated"` or `"relu"`, as in `DWSConfig`.
    bands: frequencies of the Fourier features, 0 for the weights themselves. scale: their deviation, for weights of
    deviation one. code: what tells inputs and outputs apart for `"np"`: `"none"`, `"sinusoidal"` or `"learned"`.
    norm: after each layer, `"none"`, `"layer"`, `"rms"` or `"array"`.
    """

    layer: str = "hnp"
    channels: int = 16
    layers: int = 3
    head: int = 64
    depth: int = 1
    activation: str = "gated"
    bands: int = 8
    scale: float = 0.5
    code: str = "none"
    norm: str = "none"

    def __post_init__(self):
        for name in ("channels", "layers", "head", "depth"):
            check_number(name, getattr(self, name), low=1, whole=True)
        check_number("bands", self.bands, low=0, whole=True)
        check_number("scale", self.scale, low=0, open_low=True)
        check_choice("layer", self.layer, ("hnp", "np"))
        check_choice("activation", self.activation, ("gated", "relu"))
        check_choice("code of the ends", self.code, CODES)
        check_choice("norm", self.norm, ("none", *NORMS))
        if self.layer == "hnp" and self.code != "none":
            raise ValueError(
                f"code is {self.code!r} and layer is 'hnp', which tells inputs and outputs apart already; expected "
                f"code 'none': leave it out, or take layer 'np'"
            )


class NFNLayer(eqx.Module):
    """An equivariant linear layer, the code of the ends added to what it gives, and a norm for each array."""

    linear: EquivariantLinear
    code: EndCode | None
    norms: tuple[LayerNorm | RMSNorm | ArrayNorm, ...]

    def __init__(self, symmetry: Symmetry, inputs: int, outputs: int, config: NFNConfig, code: str, *, key: Key):
        own = permutable_ends(symmetry) if config.layer == "np" else symmetry
        self.linear = EquivariantLinear(own, inputs, outputs, key=jax.random.fold_in(key, 0))
        widths = self.linear.layout.widths
        self.code = None if code == "none" else EndCode(symmetry, widths, code, key=jax.random.fold_in(key, 1))
        self.norms = () if config.norm == "none" else tuple(NORMS[config.norm](width) for width in widths)

    def __call__(self, xs: list[Array]) -> list[Array]:
        ys = self.linear(xs)
        ys = ys if self.code is None else self.code(ys)
        return [norm(y) for norm, y in zip(self.norms, ys, strict=True)] if self.norms else ys


class NFN(eqx.Module):
    """A reader of weights by NP or HNP layers on Fourier features of each weight.

    Normalise, Fourier features, `layers` times (equivariant linear map, norm, activation, each but the first added to
    its input), pool, dense layers. An HNP layer is the complete equivariant linear map of the Symmetry,
    `EquivariantLinear(symmetry)`; an NP layer the complete one of `permutable_ends(symmetry)`, so it has fewer
    parameters and their number does not grow with inputs and outputs. NP pools over everything; HNP keeps the inputs
    and outputs apart.

    **Preserves**: the output is invariant to every permutation of the Symmetry; with `"np"` and no code to every
    permutation of inputs and outputs as well, so that it cannot tell those apart.

    Args:
        symmetry: of the networks that are read.
        normaliser: theirs.
        outputs: numbers that the reader gives.
        config: its settings.
        key: a typed key.

    Source: Zhou et al., arXiv 2302.14040. Its code leaves the bias before the last kernel out of an HNP layer's map to
    that kernel, and starts with uniform numbers of one bound, 1 / sqrt(fan-in over all summands) for most blocks; here
    with normal ones of deviation 1 / sqrt(that fan-in). Its layers are not added to their inputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from wsjax.symmetry import siren
        >>> spec = siren((2, 4, 1))
        >>> plain = Normaliser((jnp.zeros(()),) * 4, (jnp.ones(()),) * 4)
        >>> weights = spec.unflatten([jnp.ones(shape) for shape in spec.shapes])
        >>> for layer, code in (("hnp", "none"), ("np", "learned")):
        ...     config = NFNConfig(layer, channels=2, layers=1, bands=3, code=code)
        ...     reader = NFN(spec, plain, 10, config, key=jax.random.key(0))
        ...     [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(10,), (10,)]
        [(8,), (10,)]
    """

    normaliser: Normaliser
    fourier: FourierFeatures | None
    layers: tuple[NFNLayer, ...]
    head: Stack
    symmetry: Symmetry = eqx.field(static=True)
    spec: tuple[Feature, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(self, symmetry: Symmetry, normaliser: Normaliser, outputs: int, config: NFNConfig, *, key: Key):
        keys = [jax.random.fold_in(key, i) for i in range(config.layers + 1)]
        self.normaliser, self.symmetry, self.activation = normaliser, symmetry, config.activation
        self.fourier = FourierFeatures(config.bands, config.scale) if config.bands else None
        self.spec = features(permutable_ends(symmetry) if config.layer == "np" else symmetry)
        width = config.channels * (2 if config.activation == "gated" else 1)
        inputs = [2 * config.bands or 1] + [config.channels] * (config.layers - 1)
        codes = [config.code] + ["none"] * (config.layers - 1)
        self.layers = tuple(
            NFNLayer(symmetry, n, width, config, code, key=k)
            for n, code, k in zip(inputs, codes, keys[1:], strict=True)
        )
        pooled = sum(len(ends(f)) * f.fixed * config.channels for f in self.spec)
        self.head = Stack(pooled, outputs, config.head, config.depth, key=keys[0])

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " features"]:
        """What no reordering of neurons changes of one network; with a key, channels are dropped at the given rate."""
        leaves = self.normaliser(self.symmetry.leaves(weights))
        xs = [expanded(x, self.fourier) for x in lift(leaves, self.spec)]
        for i, layer in enumerate(self.layers):
            ys = [activate(y, self.activation) for y in layer(xs)]
            xs = [x + y for x, y in zip(xs, ys, strict=True)] if i else ys
        return dropout(invariant(xs, self.spec), key, rate, salt=len(self.head.layers))

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop pooled channels and hidden units of the head at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
