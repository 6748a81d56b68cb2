"""`Network`: one architecture's description, and from it init, apply and Symmetry.

What a data set's metadata must hold so that its weights can be decoded. A plain frozen record: it prints, compares
and goes to JSON as it is.
"""

from dataclasses import asdict, dataclass
from typing import Any

from jaxtyping import Array, Float

from wsjax.errors import check_choice, check_each, check_number, fields_as_python
from wsjax.networks.mlp import ACTIVATIONS, mlp_apply, mlp_init
from wsjax.networks.siren import FAMILIES, Family, check_absorbed, siren_apply, siren_init
from wsjax.symmetry import Symmetry
from wsjax.symmetry import mlp as mlp_symmetry
from wsjax.symmetry import siren as siren_symmetry
from wsjax.symmetry.group import CONVENTIONS, Convention, frequencies
from wsjax.typing import Key, Layer, Points, Weights

KINDS = ("siren", "mlp")


@dataclass(frozen=True)
class Network:
    """A SIREN or an MLP: `Network("siren", (2, 32, 32, 1), w0=(30.0, 30.0), offset=0.5)`.

    Example:
        >>> import jax
        >>> net = Network("siren", (2, 8, 1), w0=(10.0,), offset=0.5)
        >>> jax.jit(net.apply)(jax.jit(net.init)(jax.random.key(0)), jax.numpy.zeros((4, 2))).shape
        (4, 1)
    """

    kind: str
    widths: tuple[int, ...]
    activation: str = "sine"
    w0: tuple[float, ...] = (30.0,)
    w0_convention: Convention = "affine"
    offset: float = 0.0
    family: Family = "dws"

    def __post_init__(self):
        fields_as_python(self)
        check_choice("network kind", self.kind, KINDS)
        check_choice("activation", self.activation, ("sine",) if self.kind == "siren" else tuple(ACTIVATIONS))
        check_choice("w0 convention", self.w0_convention, CONVENTIONS)
        check_choice("initialization family", self.family, FAMILIES)
        check_number("offset", self.offset)
        object.__setattr__(self, "widths", tuple(self.widths))
        check_each("widths", self.widths, fewest=3)
        # One number stands for all hidden layers, alone or in a tuple.
        w0 = self.w0[0] if isinstance(self.w0, tuple | list) and len(self.w0) == 1 else self.w0
        object.__setattr__(self, "w0", frequencies(w0, len(self.widths) - 2))
        if self.kind == "siren" and self.family == "absorbed":
            check_absorbed(self.w0)

    def init(self, key: Key) -> tuple[Layer, ...]:
        """Initial weights of one network."""
        if self.kind == "mlp":
            return mlp_init(key, self.widths)
        return siren_init(key, self.widths, w0=self.w0, family=self.family)

    def apply(self, weights: Weights, x: Points) -> Float[Array, "points outputs"]:
        """Decoded values, the offset included. Raises ValueError naming the leaf of another architecture's weights."""
        self.symmetry.leaves(weights)
        if self.kind == "mlp":
            return mlp_apply(weights, x, activation=self.activation) + self.offset
        return siren_apply(weights, x, w0=self.w0, offset=self.offset, convention=self.w0_convention)

    def scales(self, layer: int) -> tuple[float, float]:
        """What multiplies a hidden layer's inputs, and its pre-activations: w0, by its convention; 1 without sines."""
        if self.kind != "siren":
            return 1.0, 1.0
        w0 = self.w0[layer]
        return (1.0, w0) if self.w0_convention == "affine" else (w0, 1.0)

    @property
    def symmetry(self) -> Symmetry:
        """What may act on its weights without changing what it computes."""
        if self.kind == "mlp":
            return mlp_symmetry(self.widths, self.activation)
        return siren_symmetry(self.widths, self.w0, self.w0_convention)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Network":
        return cls(**{**fields, "widths": tuple(fields["widths"]), "w0": tuple(fields["w0"])})
