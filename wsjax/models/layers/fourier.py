"""Gaussian Fourier features: each weight as the sines and cosines of itself at fixed frequencies."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wsjax.models.layers.normalizer import Constant
from wsjax.models.layers.norms import along_last
from wsjax.networks.sine import sine


class FourierFeatures(eqx.Module):
    """A number as the sines and cosines of itself at fixed frequencies:

        x  ->  sin(2 pi x B), cos(2 pi x B),    B the quantiles of |N(0, scale^2)|

    Small differences between weights become large ones between features, which no linear map of x achieves. The
    frequencies never train (`Constant`). `scale` is their deviation, in turns for each unit of x: at 1, normalized
    weights, of deviation one, turn once or so.

    **Preserves** equivariance: every entry of an array goes through the same function. Not signs: a cosine is even.

    Source: Tancik et al., arXiv 2006.10739, section 4; on weights arXiv 2302.14040, whose code draws B from
    N(0, scale^2) for each reader anew, with scale 10 on weights as they are. Here B is the middle of each of `count`
    equally likely parts of that distribution: few frequencies cover it evenly, and all runs that train side by side
    have the same. The sign of a frequency is that of its sine, so all are positive.
    """

    frequencies: Constant

    def __init__(self, count: int, scale: float):
        from scipy.special import ndtri

        middles = (np.arange(count) + 0.5) / count
        self.frequencies = Constant(scale * ndtri((1 + middles) / 2))

    def __call__(self, x: Float[Array, "*places 1"]) -> Float[Array, "*places features"]:
        """2 * count features of each number, sines first."""
        angles = 2 * np.pi * (x * along_last(self.frequencies.value.astype(x.dtype), x.ndim))
        return jnp.concatenate([sine(angles), sine(angles + np.pi / 2)], axis=-1)


def expanded(x: Float[Array, "*groups channels"], fourier: FourierFeatures | None) -> Float[Array, "*groups features"]:
    """Every channel of a feature as its Fourier features, side by side; without them the feature itself."""
    return x if fourier is None else fourier(x[..., None]).reshape(*x.shape[:-1], -1)
