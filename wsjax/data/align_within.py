"""Align the networks of each object to one another, so that views of it can be mixed as they are."""

from dataclasses import replace

import jax
import numpy as np

from wsjax.data.aligning import align_all
from wsjax.data.dataset import WeightDataset, training_rows
from wsjax.errors import check_choice, check_finite, check_number
from wsjax.symmetry import align
from wsjax.symmetry.align import Over


def align_within(
    dataset: WeightDataset, *, column: str = "image", group: Over = "full", chunk: int = 1024, progress: bool = True
) -> WeightDataset:
    """Bring every network as near as it comes to the first that shows the same object, by `symmetry.align`.

    First is the first in the data set's order, of the split that the network is in. It stays as it is, and so does one
    whose object no other network shows. `augment.mixup_views` then mixes aligned views, with no matching in the step.
    Networks of different objects are not aligned; that is `data.align`.

    **Preserves** each network's function, up to rounding. Labels, columns and order stay; the card says in
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
        >>> near.card.source["alignment"]["to"]
        'first of each image'
        >>> bool((near.weights[0].kernel[:2] == views.weights[0].kernel[:2]).all())
        True
    """
    check_choice("column", column, tuple(dataset.columns))
    if dataset.columns[column].dtype.kind == "f":
        raise ValueError(
            f"the column {column!r} holds {dataset.columns[column].dtype}; expected whole numbers or names, the same "
            f"for all networks of an object: name the column that tells objects apart, such as 'image'"
        )
    check_number("chunk", chunk, low=1, whole=True)
    # No network may have to move, and a group that is not allowed is refused all the same.
    jax.eval_shape(lambda weights: align(weights, weights, dataset.symmetry, group=group), dataset.network(0))
    first = first_rows(dataset.columns[column], dataset.columns["split"])
    networks = jax.tree.map(np.asarray, dataset.weights)
    check_finite(networks, f"aligning {dataset.card.name}", "Leave those networks out with take().")
    later = np.flatnonzero(first != np.arange(len(first)))
    record: dict[str, object] = {"group": group, "to": f"first of each {column}", "moved": len(later)}
    if len(later):
        views, goals = (jax.tree.map(lambda leaf, rows=rows: leaf[rows], networks) for rows in (later, first[later]))
        moved, distance = align_all(views, goals, dataset.symmetry, group, chunk=chunk, progress=progress, each=True)
        networks = jax.tree.map(lambda leaf, new: _placed(leaf, later, new), networks, moved)
        record["mean_squared_distance_after"] = float(distance.mean())
    card = replace(dataset.card, source={**dataset.card.source, "alignment": record})
    train = training_rows(dataset.columns["split"])
    return WeightDataset(networks, dataset.label, dataset.columns, card.with_statistics(networks, train))


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
