"""Align the networks of each object to one another, so that views of it can be mixed as they are; in chunks."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from wsjax.data.dataset import WeightDataset, training_rows
from wsjax.errors import check_choice, check_finite, check_number
from wsjax.progress import progress_of
from wsjax.symmetry import Symmetry, align
from wsjax.symmetry.align import Over


def align_within(
    dataset: WeightDataset, *, column: str = "image", group: Over = "full", chunk: int = 1024, progress: bool = True
) -> WeightDataset:
    """Bring every network as near as it comes to the first that shows the same object, by `symmetry.align`.

    First is the first in the data set's order, of the split that the network is in. It stays as it is, and so does one
    whose object no other network shows. `augment.mixup_views` then mixes aligned views, with no matching in the step.
    Networks of different objects are not aligned; that is `data.align`.

    **Preserves** each network's function, up to rounding. Labels, columns and order stay; the metadata says in
    `source["alignment"]` what was done, and its statistics are those of the aligned training networks.

    Args:
        dataset: the networks, of several views of each object, as `Recipe(views=10)` fits them.
        column: of the object's number.
        group: as in `symmetry.align`.
        chunk: networks aligned at once; memory grows with it.
        progress: show a bar.

    Raises:
        ValueError: a column that is not there or holds floats, or a group that the Symmetry does not allow.

    Source: ours; the alignment of arXiv 2402.04081, section 5, between fits of one object alone.

    Example:
        >>> import jax, numpy as np
        >>> from wsjax import data, networks, symmetry as ws
        >>> spec = ws.siren((2, 4, 1))
        >>> many = [networks.siren_init(jax.random.key(i), (2, 4, 1)) for i in range(4)]
        >>> images = {"image": np.array([7, 5, 7, 5])}
        >>> views = data.WeightDataset.from_networks(many, [0, 1, 0, 1], symmetry=spec, columns=images)
        >>> near = data.align_within(views, progress=False)
        >>> near.metadata.source["alignment"]["to"]
        'first of each image'
        >>> bool((near.weights[0].kernel[:2] == views.weights[0].kernel[:2]).all())
        True
    """
    check_choice("column", column, tuple(dataset.columns))
    if dataset.columns[column].dtype.kind == "f":
        raise ValueError(
            f"the column {column!r} holds {dataset.columns[column].dtype}; expected integers or names, the same "
            f"for all networks of an object: name the column that tells objects apart, such as 'image'"
        )
    check_number("chunk", chunk, low=1, integer=True)
    # No network may have to move, and a group that is not allowed is refused all the same.
    jax.eval_shape(lambda weights: align(weights, weights, dataset.symmetry, group=group), dataset.network(0))
    first = first_rows(dataset.columns[column], dataset.columns["split"])
    networks = jax.tree.map(np.asarray, dataset.weights)
    check_finite(networks, f"aligning {dataset.metadata.name}", "Leave those networks out with take().")
    later = np.flatnonzero(first != np.arange(len(first)))
    record: dict[str, object] = {"group": group, "to": f"first of each {column}", "moved": len(later)}
    if len(later):
        views, goals = (jax.tree.map(lambda leaf, rows=rows: leaf[rows], networks) for rows in (later, first[later]))
        moved, distance = align_all(views, goals, dataset.symmetry, group, chunk=chunk, progress=progress, each=True)
        networks = jax.tree.map(lambda leaf, new: _placed(leaf, later, new), networks, moved)
        record["mean_squared_distance_after"] = float(distance.mean())
    metadata = replace(dataset.metadata, source={**dataset.metadata.source, "alignment": record})
    train = training_rows(dataset.columns["split"])
    return WeightDataset(networks, dataset.label, dataset.columns, metadata.with_statistics(networks, train))


def first_rows(objects: np.ndarray, split: np.ndarray) -> np.ndarray:
    """For each row the first one of the same object in the same split.

    Example:
        >>> first_rows(np.array(["b", "a", "b", "a"]), np.array([0, 0, 0, 1])).tolist()
        [0, 1, 0, 3]
    """
    # Numbered first, so that objects may have any numbers or names.
    number = np.unique(objects, return_inverse=True)[1].astype(np.int64)
    _, first, place = np.unique(number * (int(split.max()) + 1) + split, return_index=True, return_inverse=True)
    return first[place]


def _placed(leaf: np.ndarray, rows: np.ndarray, new: np.ndarray) -> np.ndarray:
    made = leaf.copy()
    made[rows] = new
    return made


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
