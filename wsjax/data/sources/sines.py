"""Sine curves, the smallest family of functions whose labels are numbers."""

import jax
import jax.numpy as jnp
import numpy as np

from wsjax.data.recipe import Recipe
from wsjax.data.sources.images import OF_TEN
from wsjax.data.sources.signals import Signals
from wsjax.errors import as_python, check_number, check_seed
from wsjax.networks import Network

LARGEST = 10.0
"""Amplitudes and frequencies are uniform between 0 and this."""

SINES_RECIPE = Recipe(Network("siren", (1, 32, 32, 1), w0=(10.0,), family="nfn"), 1000, learning_rate=1e-2)


def sines(count: int = 10_000, *, points: int = 256, seed: int = 0) -> Signals:
    """Curves y = a sin(b x) at points evenly spaced on [-pi, pi], with a and b uniform on [0, 10].

    The label of a curve is the target (a, b). Curve number i depends on i and the seed alone. Of every ten in a row
    eight are for training, one for validation, one for the test: of 10,000, a thousand for each of these two.

    Args:
        count: curves.
        points: at which all curves are known.
        seed: which curves.

    Raises:
        ValueError: no curves or fewer than two points.

    Source: Navon et al., "Equivariant Architectures for Learning in Deep Weight Spaces" (arXiv 2301.12780), the data of
    its self-supervised experiment.

    Example:
        >>> few = sines(20, points=64)
        >>> few.points.shape, few.values.shape, few.label.shape
        ((64, 1), (20, 64, 1), (20, 2))
    """
    check_number("count", count, low=1, integer=True)
    check_number("points", points, low=2, integer=True)
    check_seed("seed", seed)
    number = np.arange(count, dtype=np.int32)
    key = jax.random.key(seed)
    label = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i), (2,), maxval=LARGEST))(number)
    x = jnp.linspace(-jnp.pi, jnp.pi, points)
    values = label[:, :1] * jnp.sin(label[:, 1:] * x[None])
    return Signals(
        "sines",
        np.asarray(x)[:, None],
        np.asarray(values)[..., None],
        np.asarray(label),
        np.array(OF_TEN, np.int8)[number % len(OF_TEN)],
        number,
        quantity="y",
        value_range=(-LARGEST, LARGEST),
        coordinate_range=(-np.pi, np.pi),
        options=as_python({"count": count, "points": points, "seed": seed}),
    )
