"""A reader of image classifiers: their logits at learned images."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wsjax.errors import check_range
from wsjax.floats import all_widened
from wsjax.models.layers.draws import normal
from wsjax.models.layers.generator import LATENT
from wsjax.models.layers.stack import HeadedReader, Stack, Vector, check_arguments
from wsjax.networks import CNN
from wsjax.typing import Key, Layer, Scalar, Weights

WINDOW, STRIDE = 4, 2
LAYOUT = ("NHWC", "HWIO", "NHWC")


class ImageGenerator(eqx.Module):
    """Learned images, one for each latent vector z: a dense layer, `depth` transposed convolutions, all without
    activations between them, and a tanh onto the range of the images.

        image = middle + half * tanh(conv_depth(... conv_1(z K + b)))

    Source: ProbeGen, arXiv 2410.10811.
    """

    KEEPS_DTYPE: ClassVar = True

    latents: Array
    first: Layer
    convolutions: tuple[Layer, ...]
    image_shape: tuple[int, int, int] = eqx.field(static=True)
    image_range: tuple[float, float] = eqx.field(static=True)

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        probes: int,
        depth: int,
        channels: int,
        image_range: tuple[float, float],
        *,
        key: Key,
    ):
        keys = [jax.random.fold_in(key, i) for i in range(depth + 2)]
        self.image_shape, self.image_range = image_shape, image_range
        self.latents = normal(keys[0], (probes, LATENT))
        size = math.prod(_initial_size(image_shape, depth)) * channels
        self.first = Layer(normal(keys[1], (LATENT, size), LATENT**-0.5), jnp.zeros(size))
        deviation = ((WINDOW // STRIDE) ** 2 * channels) ** -0.5  # of so many inputs that reach one pixel
        self.convolutions = tuple(
            Layer(normal(k, (WINDOW, WINDOW, channels, made), deviation), jnp.zeros(made))
            for k, made in zip(keys[2:], [*[channels] * (depth - 1), image_shape[2]], strict=True)
        )

    def __call__(self) -> Float[Array, "probes rows columns channels"]:
        """The images."""
        rows, columns, _ = self.image_shape
        low, high = self.image_range
        x = self.latents @ self.first.kernel + self.first.bias[None, :]
        x = x.reshape(len(x), *_initial_size(self.image_shape, len(self.convolutions)), -1)
        for layer in self.convolutions:
            x = jax.lax.conv_transpose(x, layer.kernel, (STRIDE, STRIDE), "SAME", dimension_numbers=LAYOUT)
            x = x + layer.bias[None, None, None, :]
        return (low + high) / 2 + (high - low) / 2 * jnp.tanh(x[:, :rows, :columns])


def _initial_size(image_shape: tuple[int, int, int], depth: int) -> tuple[int, int]:
    """Rows and columns before the first convolution; surplus rows and columns of the last are cut off."""
    rows, columns = (-(-side // STRIDE**depth) for side in image_shape[:2])
    return rows, columns


class ImageProbe(HeadedReader):
    """Logits of an image classifier at learned images, then dense layers. It runs raw weights, so it takes no
    normalizer.

    **Preserves**: the output is invariant to every symmetry that preserves the function, by construction.

    Args:
        probes: learned images.
        width, depth: width and number of the dense layers on the logits.
        generator: transposed convolutions that make the images, each of which doubles their sides.
        channels: between them.
        image_range: of a pixel of the images that the networks were trained on.

    Raises:
        ValueError: an empty range.

    Source: ProbeGen, arXiv 2410.10811, which runs the networks one by one; here `vmap` runs them together.

    Example:
        >>> net = CNN((8, 8, 1), (4, 4), 3)
        >>> reader = ImageProbe(net, 1, probes=4, generator=2, channels=4, key=jax.random.key(0))
        >>> weights = net.init(jax.random.key(1))
        >>> [jax.eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(12,), (1,)]
    """

    images: ImageGenerator
    head: Stack
    network: CNN = eqx.field(static=True)

    def __init__(
        self,
        network: CNN,
        out_size: int,
        *,
        probes: int = 32,
        width: int = 128,
        depth: int = 2,
        generator: int = 3,
        channels: int = 16,
        image_range: tuple[float, float] = (0.0, 1.0),
        key: Key,
    ):
        sizes = {"probes": probes, "width": width, "depth": depth, "generator": generator, "channels": channels}
        check_arguments(network, CNN, out_size, **sizes)
        check_range("image_range", image_range)
        images_key, head_key = jax.random.split(key)
        self.network = network
        self.images = ImageGenerator(network.image_shape, probes, generator, channels, image_range, key=images_key)
        self.head = Stack(probes * network.outputs, out_size, width, depth, key=head_key)

    def features(self, weights: Weights, *, key: Key | None = None, dropout_rate: Scalar = 0.0) -> Vector:
        """The logits of one network at the learned images; none is dropped."""
        run = all_widened(weights, self.images.latents)
        return self.network.apply(run, self.images()).reshape(-1).astype(self.head.dtype)
