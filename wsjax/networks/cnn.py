"""Small convolutional classifiers as a Flax module: init, apply and Symmetry for one network.

The convolutions are products of patches and kernels. Under `vmap` over networks XLA makes one grouped convolution of
many plain ones, which on a CPU takes five times as long; a batched product stays a product.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from wsjax.errors import check_choice, check_each, check_number, fields_as_python
from wsjax.networks.mlp import ACTIVATIONS, Between, unchanged
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, symmetry_of
from wsjax.typing import Key

Padding: TypeAlias = Literal["SAME", "VALID"]
WINDOW, STRIDE = 3, 2


def by_patches(
    x: Float[Array, "images rows columns inputs"],
    kernel: Float[Array, "height width inputs outputs"],
    strides: tuple[int, int],
    padding: str,
    **plain: Any,
) -> Float[Array, "images new_rows new_columns outputs"]:
    """A convolution without dilation or groups, as `jax.lax.conv_general_dilated` gives it, by one product; `plain` are
    the further settings that Flax gives, dilations and groups of one."""
    height, width, inputs, outputs = kernel.shape
    pads = jax.lax.padtype_to_pads(x.shape[1:3], (height, width), strides, padding)
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(x.shape[1:3], (height, width), strides, strict=True))
    patches = [
        x[:, i : i + (rows - 1) * strides[0] + 1 : strides[0], j : j + (columns - 1) * strides[1] + 1 : strides[1]]
        for i in range(height)
        for j in range(width)
    ]
    flat = jnp.concatenate(patches, axis=-1).reshape(-1, height * width * inputs)
    return (flat @ kernel.reshape(-1, outputs)).reshape(len(x), rows, columns, outputs)


class ConvNet(nn.Module):
    """Convolutions 3x3 with stride 2, each followed by the activation; mean over the pixels; a dense layer."""

    channels: tuple[int, ...]
    outputs: int
    activation: str
    padding: str

    @nn.compact
    def __call__(self, images: Array, between: Between = unchanged) -> Array:
        initializer = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        h = images
        for i, channels in enumerate(self.channels):
            h = nn.Conv(
                channels,
                (WINDOW, WINDOW),
                strides=(STRIDE, STRIDE),
                padding=self.padding,
                kernel_init=initializer,
                conv_general_dilated=by_patches,
                name=f"conv{i + 1}",
            )(h)
            h = between(i, ACTIVATIONS[self.activation](h))
        return nn.Dense(self.outputs, kernel_init=initializer, name="dense")(h.mean(axis=(1, 2)))


@dataclass(frozen=True)
class CNN:
    """A convolutional classifier of images: `CNN((28, 28, 1), (16, 16, 16), 10)`.

    Its weights are the Flax variables of `ConvNet`: kernels HWIO and (in, out), He-normal, and biases, zero at first.

    image_shape: (rows, columns, channels); channels: of each convolution; outputs: classes; activation: a name in
    `networks.mlp.ACTIVATIONS`; padding: "SAME", which halves each side and rounds up, or "VALID", none, as in the
    published small CNN zoo.

    Source: arXiv 2002.11448, section 3, for the architecture.

    Example:
        >>> net = CNN((8, 8, 1), (4, 4), 10)
        >>> jax.eval_shape(lambda key: net.apply(net.init(key), jnp.zeros((5, 8, 8, 1))), jax.random.key(0)).shape
        (5, 10)
    """

    image_shape: tuple[int, int, int]
    channels: tuple[int, ...] = (16, 16, 16)
    outputs: int = 10
    activation: str = "relu"
    padding: Padding = "SAME"

    def __post_init__(self):
        fields_as_python(self)
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        check_choice("padding", self.padding, get_args(Padding))
        check_number("outputs", self.outputs, low=1, integer=True)
        check_number("number of axes in image_shape", len(self.image_shape), low=3, high=3)
        for name in ("image_shape", "channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            check_each(name, getattr(self, name))
        side = min(self.image_shape[:2])
        needed = (STRIDE ** (len(self.channels) + 1)) - 1
        if self.padding == "VALID" and side < needed:
            raise ValueError(
                f"image_shape is {self.image_shape}; {len(self.channels)} convolutions without padding need {needed} "
                f"pixels a side: take fewer, or padding 'SAME'"
            )

    @property
    def module(self) -> ConvNet:
        """The Flax module."""
        return ConvNet(self.channels, self.outputs, self.activation, self.padding)

    def init(self, key: Key) -> PyTree:
        """Initial variables of one network, {"params": ...}."""
        return self.module.init(key, jnp.zeros((1, *self.image_shape)))

    def apply(
        self, weights: PyTree, images: Float[Array, "images rows columns channels"], *, between: Between = unchanged
    ) -> Float[Array, "images outputs"]:
        """Logits; `between` takes each hidden layer's number and activations and returns what the next layer gets."""
        return jnp.asarray(self.module.apply(weights, images, between))

    @property
    def symmetry(self) -> Symmetry:
        """What may act on its weights without changing what it computes: channels are `c1`, `c2`, ..."""
        names = [f"c{i + 1}" for i in range(len(self.channels))]
        consumed = ["in", *(f"{name}*" for name in names)]
        layers: dict[str, dict[str, Axes]] = {
            f"conv{i + 1}": {"kernel": Axes("row", "column", consumes, produces), "bias": Axes(produces, bias=True)}
            for i, (consumes, produces) in enumerate(zip(consumed, names, strict=False))
        }
        layers["dense"] = {"kernel": Axes(consumed[-1], "out"), "bias": Axes("out", bias=True)}
        groups = {name: Group(size, self.activation) for name, size in zip(names, self.channels, strict=True)}
        fixed = {"in": Fixed(self.image_shape[2], "input"), "row": Fixed(WINDOW), "column": Fixed(WINDOW)}
        return symmetry_of({"params": layers}, {**fixed, **groups, "out": Fixed(self.outputs, "output")})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "CNN":
        return cls(**{**fields, "image_shape": tuple(fields["image_shape"]), "channels": tuple(fields["channels"])})
