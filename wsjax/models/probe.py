"""The honest yardstick: run the network at learned coordinates and read its answers."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Float

from wsjax.errors import check_number, check_range
from wsjax.floats import all_widened
from wsjax.models.flat import Stack
from wsjax.models.generator import LinearGenerator
from wsjax.typing import Key, Scalar, Weights


@dataclass(frozen=True)
class ProbeConfig:
    """probes: learned coordinates. width and depth of the dense layers that read their values.

    generator: linear layers that make the coordinates from latent vectors; 0 learns the coordinates themselves.
    """

    probes: int = 64
    width: int = 128
    depth: int = 2
    generator: int = 0

    def __post_init__(self):
        for name in ("probes", "width", "depth"):
            check_number(name, getattr(self, name), low=1, whole=True)
        check_number("generator", self.generator, low=0, whole=True)


def centred(values: Array, value_range: tuple[float, float]) -> Array:
    """Decoded values as one vector, their range mapped to [-1, 1]."""
    check_range("value_range", value_range)
    low, high = value_range
    return (values.reshape(-1) - (low + high) / 2) * (2 / (high - low))


class Bound(NamedTuple):
    """A method of an object: equal where function and object are equal. Python's own compares the object's identity,
    so that a probe and a copy of it would be two kinds of reader.
    """

    function: Callable[..., Array]
    owner: Any

    def __call__(self, *arguments: Any) -> Array:
        return self.function(self.owner, *arguments)


def by_value(function: Callable[..., Array]) -> Callable[..., Array]:
    """A function as it is, and a method as a `Bound` one.

    Example:
        >>> from wsjax.networks import Network
        >>> one, other = (Network("siren", (2, 4, 1)).apply for _ in range(2))
        >>> one == other, by_value(one) == by_value(other)
        (False, True)
    """
    return Bound(function.__func__, function.__self__) if isinstance(function, MethodType) else function


class Probe(eqx.Module):
    """Values of the network at learned coordinates, then dense layers.

    It sees nothing that the function does not show, and needs raw weights, so it has no normaliser of them. Values are
    mapped from the range that the card records to [-1, 1].

    **Preserves**: the output is invariant to every symmetry that preserves the function, by construction.

    Args:
        apply: (weights, points (probes, inputs)) -> values (probes, channels), for one network.
        inputs, channels: of the networks.
        outputs: numbers that the reader gives.
        config: its settings.
        coordinate_range: of the coordinates that the networks were fitted on, over which the learned ones start.
        value_range: of what the networks decode to.
        key: a typed key.

    Raises:
        ValueError: a range that holds nothing.

    Source: ProbeGen, arXiv 2410.10811; at `generator=0` the learned coordinates that it starts out from, without
    its generator.

    Example:
        >>> from wsjax.networks import Network
        >>> net = Network("siren", (2, 8, 1))
        >>> config, key = ProbeConfig(probes=4, generator=2), jax.random.key(0)
        >>> reader = eqx.filter_eval_shape(Probe, net.apply, 2, 1, 10, config, key=key)
        >>> weights = jax.eval_shape(net.init, key)
        >>> [eqx.filter_eval_shape(read, weights).shape for read in (reader.features, reader)]
        [(4,), (10,)]
    """

    points: LinearGenerator
    head: Stack
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
        points_key, head_key = jax.random.split(key)
        self.apply, self.value_range = by_value(apply), value_range
        self.points = LinearGenerator(inputs, config.probes, config.generator, coordinate_range, key=points_key)
        self.head = Stack(config.probes * channels, outputs, config.width, config.depth, key=head_key)

    def features(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " values"]:
        """The values of one network at the learned coordinates; nothing of them is dropped."""
        values = self.apply(all_widened(weights, self.points.latents), self.points())
        return centred(values, self.value_range).astype(self.head.dtype)

    def __call__(self, weights: Weights, *, key: Key | None = None, rate: Scalar = 0.0) -> Float[Array, " outputs"]:
        """Read one network; with a key, drop hidden units at the given rate."""
        return self.head(self.features(weights, key=key, rate=rate), key=key, rate=rate)
