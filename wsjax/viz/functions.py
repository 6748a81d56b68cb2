"""The functions to be drawn: what a network holds, and what it was fitted to, as far as that is known."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jax.tree_util import Partial
from jaxtyping import Array, ArrayLike, Float

from wsjax.data import Signals, WeightDataset
from wsjax.data.sources import solid
from wsjax.floats import widened
from wsjax.typing import Points, Weights
from wsjax.viz.decode import network_of

CELLS = {1: 512, 2: 128, 3: 40}
"""Cells along each axis, by the number of inputs, of a function that is known at scattered points."""


def held(dataset: WeightDataset, row: int) -> Partial:
    """What one network gives: (points, inputs) to (points,), its first channel; half types are computed in float32.

    Raises:
        ValueError: metadata without an architecture.

    Example:
        `networks` is a data set, as `data.fit` gives one.

        >>> values_at(held(networks, 2), jnp.zeros((5, 2))).shape
        (5,)
    """
    return Partial(_first, Partial(network_of(dataset.metadata).apply), dataset.network(row))


def given(signals: Signals, row: int) -> Partial:
    """What one signal is: (points, inputs) to (points,), its first channel.

    Solids are told exactly. Of others only values at points are known: in between they are joined linearly, over the
    simplices of the points' Delaunay triangulation, and beyond it is the nearest point's value; all on a fine grid.

    Example:
        >>> from wsjax.data.sources.solids import solids
        >>> few = solids(1, points=64)
        >>> np.allclose(values_at(given(few, 0), few.points[0]), few.values[0, :, 0], atol=1e-6)
        True
    """
    if signals.name == "solids":
        exact = solid(int(signals.index[row]), seed=signals.options["seed"])
        return exact if signals.quantity == "signed distance" else Partial(_inside, exact)
    points = signals.points if signals.shared else signals.points[row]
    inputs, (low, high) = points.shape[-1], signals.coordinate_range
    ticks = np.linspace(low, high, CELLS[inputs])
    wanted = np.stack(np.meshgrid(*[ticks] * inputs, indexing="ij"), axis=-1).reshape(-1, inputs)
    values = signals.values[row, :, 0]
    if inputs == 1:
        order = np.argsort(points[:, 0])
        found = np.interp(wanted[:, 0], points[order, 0], values[order])
    else:
        from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

        found = LinearNDInterpolator(points, values)(wanted)
        beyond = np.isnan(found)
        found[beyond] = NearestNDInterpolator(points, values)(wanted[beyond])
    cells = found.astype(np.float32).reshape((CELLS[inputs],) * inputs)
    return Partial(_between, cells, np.array([low, high], np.float32))


@jax.jit
def values_at(function: Partial, points: Points) -> Float[Array, " points"]:
    """A function's values, by one program for all of a kind."""
    return function(points)


def _first(apply: Partial, weights: Weights, points: Points) -> Float[Array, " points"]:
    return apply(jax.tree.map(widened, weights), points)[:, 0]


def _inside(distance: Partial, points: Points) -> Float[Array, " points"]:
    return (distance(points) < 0).astype(jnp.float32)


def _between(cells: Float[ArrayLike, "..."], limits: Float[ArrayLike, "2"], points: Points) -> Float[Array, " points"]:
    low, high = jnp.asarray(limits)
    places = (jnp.asarray(points).T - low) / (high - low) * (jnp.shape(cells)[0] - 1)
    return map_coordinates(jnp.asarray(cells), list(places), order=1, mode="nearest")
