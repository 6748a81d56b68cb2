"""Many networks aligned, to one reference or each to its own, in chunks of one size."""

from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from wsjax.progress import progress_of
from wsjax.symmetry import Symmetry, align
from wsjax.symmetry.align import Over


def align_all(
    networks: PyTree,
    reference: PyTree,
    symmetry: Symmetry,
    group: Over,
    *,
    chunk: int,
    progress: bool,
    each: bool = False,
    name: str = "align",
) -> tuple[PyTree, np.ndarray]:
    """Aligned networks and their squared distances, in chunks of one size so that one program serves all.

    Args:
        networks: stacked, in NumPy.
        reference: one network; or, with `each`, as many as networks.
        symmetry, group: as `symmetry.align` has them.
        chunk: networks aligned at once.
        progress: show a bar, of this `name`.
    """
    count = len(jax.tree.leaves(networks)[0])
    chunk = min(chunk, count)
    parts, distances = [], []
    with progress_of(total=count, unit="networks", desc=name, disable=not progress) as bar:
        for start in range(0, count, chunk):
            rows = np.arange(start, start + chunk) % count
            taken = lambda many, rows=rows: jax.tree.map(lambda leaf: leaf[rows], many)
            goal = taken(reference) if each else reference
            moved, distance = _align_chunk(symmetry, group, 0 if each else None, taken(networks), goal)
            real = min(chunk, count - start)
            parts.append(jax.tree.map(lambda leaf, n=real: np.asarray(leaf[:n]), moved))
            distances.append(np.asarray(distance[:real]))
            bar.update(real)
    whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    groups = set(symmetry.groups)
    # What lies along no group stays as it came: JAX may have cut its integers.
    pairs = zip(symmetry.axes, jax.tree.leaves(whole), jax.tree.leaves(networks), strict=True)
    kept = [moved if groups & set(axes.names) else before for axes, moved, before in pairs]
    return symmetry.unflatten(kept), np.concatenate(distances)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _align_chunk(
    symmetry: Symmetry, group: Over, axis: int | None, networks: PyTree, goal: PyTree
) -> tuple[PyTree, Float[Array, " networks"]]:
    near = lambda weights, goal: align(weights, goal, symmetry, group=group)
    found = jax.vmap(near, in_axes=(0, axis))(networks, goal)
    return found.weights, found.distance
