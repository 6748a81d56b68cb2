"""Probing image classifiers: what they say of pictures that are learned."""

from dataclasses import dataclass
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_number
from wsjax.floats import all_widened
from wsjax.models.draws import normal
from wsjax.models.flat import Stack
from wsjax.models.generator import LATENT
from wsjax.networks import CNN
from wsjax.typing import Key, Layer, Scalar, Weights

WINDOW, STRIDE = 4, 2


@dataclass(frozen=True)
class PictureProbeConfig:
    """probes: learned pictures. width and depth of the dense layers that read what networks say of them.

    generator: transposed convolutions that make the pictures, each of which doubles their sides. channels: between
    them.
    """

    probes: int = 32
    width: int = 128
    depth: int = 2
    generator: int = 3
    channels: int = 16

    def __post_init__(self):
        for name in ("probes", "width", "depth", "generator", "channels"):
            check_number(name, getattr(self, name), low=1, whole=True)


class PictureGenerator(eqx.Module):
    """Learned pictures, one for each latent vector z: a dense layer, `depth` transposed convolutions, all without
    activations between them, and a tanh onto the range of the pictures.

        picture = middle + half * tanh(conv_depth(... conv_1(z K + b)))

    Args:
        image_shape: (rows, columns, channels) of a picture.
        probes: how many pictures.
        depth: transposed convolutions.
        channels: between them.
        picture_range: of a pixel.
        key: a typed key.

    Raises:
        ValueError: a depth below 1.

    Source: ProbeGen, arXiv 2410.10811.

    Example:
        >>> make = lambda key: PictureGenerator((7, 5, 1), 3, 2, 4, (0.0, 1.0), key=key)()
        >>> jax.eval_shape(make, jax.random.key(0)).shape
        (3, 7, 5, 1)
    """

    KEEPS_DTYPE: ClassVar = True

    latents: Array
    first: Layer
    convolutions: tuple[Layer, ...]
    image_shape: tuple[int, int, int] = eqx.field(static=True)
    picture_range: tuple[float, float] = eqx.field(static=True)

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        probes: int,
        depth: int,
        channels: int,
        picture_range: tuple[float, float],
        *,
        key: Key,
    ):
        check_number("depth", depth, low=1, whole=True)
        keys = [jax.random.fold_in(key, i) for i in range(depth + 2)]
        self.image_shape, self.picture_range = image_shape, picture_range
        self.latents = normal(keys[0], (probes, LATENT))
        rows, columns = _start(image_shape, depth)
        started = rows * columns * channels
        self.first = Layer(normal(keys[1], (LATENT, started), LATENT**-0.5), jnp.zeros(started))
        taps = (WINDOW // STRIDE) ** 2  # that reach one pixel
        deviation = (taps * channels) ** -0.5
        self.convolutions = tuple(
            Layer(normal(k, (WINDOW, WINDOW, channels, made), deviation), jnp.zeros(made))
            for k, made in zip(keys[2:], [*[channels] * (depth - 1), image_shape[2]], strict=True)
        )

    def __call__(self) -> Float[Array, "probes rows columns channels"]:
        """The pictures."""
        rows, columns, _ = self.image_shape
        low, high = self.picture_range
        x = self.latents @ self.first.kernel + self.first.bias[None, :]
        x = x.reshape(len(x), *_start(self.image_shape, len(self.convolutions)), -1)
        for layer in self.convolutions:
            x = jax.lax.conv_transpose(
                x, layer.kernel, (STRIDE, STRIDE), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = x + layer.bias[None, None, None, :]
        return (low + high) / 2 + (high - low) / 2 * jnp.tanh(x[:, :rows, :columns])


def _start(image_shape: tuple[int, int, int], depth: int) -> tuple[int, int]:
    """Rows and columns before the first convolution; what the last gives too much is cut off."""
    rows, columns = (-(-side // STRIDE**depth) for side in image_shape[:2])
    return rows, columns


class PictureProbe(eqx.Module):
    """What an image classifier says of learned pictures, its logits, then dense layers.

    It needs raw weights, so it has no normaliser of them.

    **Preserves**: the output is invariant to every symmetry that preserves the function, by construction.

    Args:
        network: the architecture of the networks that are read.
        outputs: numbers that the reader gives.
        config: its settings.
        picture_range: of a pixel of the pictures that the networks were trained on.
        key: a typed key.

    Source: ProbeGen, arXiv 2410.10811, which runs the networks one by one; here `vmap` runs them together.

    Example:
        >>> net = CNN((8, 8, 1), (4, 4), 3)
        >>> config = PictureProbeConfig(probes=4, generator=2, channels=4)
        >>> reader = eqx.filter_eval_shape(PictureProbe, net, 1, config, key=jax.random.key(0))
        >>> weights = jax.eval_shape(net.init, jax.random.key(1))
        >>> [eqx.filter_eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(12,), (1,)]
    """

    pictures: PictureGenerator
    head: Stack
    network: CNN = eqx.field(static=True)

    def __init__(
        self,
        network: CNN,
        outputs: int,
        config: PictureProbeConfig,
        *,
        picture_range: tuple[float, float] = (0.0, 1.0),
        key: Key,
    ):
        pictures_key, head_key = jax.random.split(key)
        self.network = network
        self.pictures = PictureGenerator(
            network.image_shape, config.probes, config.generator, config.channels, picture_range, key=pictures_key
        )
        self.head = Stack(config.probes * network.outputs, outputs, config.width, config.depth, key=head_key)

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " logits"]:
        """The logits of one network at the learned pictures; none is dropped."""
        run = all_widened(weights, self.pictures.latents)
        return self.network.apply(run, self.pictures()).reshape(-1).astype(self.head.dtype)

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop hidden units at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
