"""The honest yardstick: run the network at learned coordinates and read its answers."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
from jaxtyping import Array, ArrayLike, Float

from wsjax.errors import check_number
from wsjax.models.flat import Stack
from wsjax.models.normalise import in_float32
from wsjax.typing import Key, Weights


@dataclass(frozen=True)
class ProbeConfig:
    """probes: learned coordinates. width and depth of the dense layers that read their values."""

    probes: int = 64
    width: int = 128
    depth: int = 2

    def __post_init__(self):
        for name in ("probes", "width", "depth"):
            check_number(name, getattr(self, name), low=1)


class Probe(eqx.Module):
    """Values of the network at learned coordinates, then dense layers.

    Invariant to every symmetry that preserves the function, by construction; it sees nothing the function does not
    show, and needs raw weights, so it has no normaliser of them. Values are mapped
    from the range that the card records to [-1, 1].

    Source: the idea of ProbeGen, arXiv 2410.10811, with free coordinates in place of a generator.
    """

    points: Array
    stack: Stack
    apply: Callable[[Weights, Array], Array] = eqx.field(static=True)
    value_range: tuple[float, float] = eqx.field(static=True)

    def __init__(
        self,
        apply: Callable[[Weights, Array], Array],
        inputs: int,
        channels: int,
        outputs: int,
        config: ProbeConfig,
        *,
        coordinate_range: tuple[float, float] = (-1.0, 1.0),
        value_range: tuple[float, float] = (0.0, 1.0),
        key: Key,
    ):
        """Coordinates start uniform over the range of coordinates that the networks were fitted on."""
        low, high = coordinate_range
        points_key, stack_key = jax.random.split(key)
        self.apply, self.value_range = apply, value_range
        self.points = jax.random.uniform(points_key, (config.probes, inputs), minval=low, maxval=high)
        self.stack = Stack(config.probes * channels, outputs, config.width, config.depth, key=stack_key)

    def __call__(
        self, weights: Weights, *, key: Key | None = None, rate: Float[ArrayLike, ""] | float = 0.0
    ) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop hidden units at the given rate."""
        low, high = self.value_range
        values = (self.apply(in_float32(weights), self.points).reshape(-1) - (low + high) / 2) * (2 / (high - low))
        return self.stack(values, key=key, rate=rate)
