"""Align a whole data set once, in chunks: for readers without symmetry, and for MixUp that needs no matching."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from wsjax.data.dataset import WeightDataset, training_rows
from wsjax.data.sources.provenance import arrays_sha256
from wsjax.data.store.lazy import StoredDataset
from wsjax.errors import DataError, check_choice, check_finite, check_index, check_number
from wsjax.floats import floating, wide
from wsjax.progress import progress_of
from wsjax.symmetry import Symmetry
from wsjax.symmetry import align as align_networks
from wsjax.symmetry.align import Over
from wsjax.typing import Weights

LEAST_GAIN = 1e-3  # of the mean distance in one round; the center moves no more for less


def align(
    dataset: WeightDataset | StoredDataset,
    *,
    to: PyTree | int | None = None,
    within: str | None = None,
    group: Over = "full",
    rounds: int = 5,
    chunk: int = 1024,
    progress: bool = True,
) -> WeightDataset:
    """Bring every network as near as it comes to one template, to a common center, or to one of the same object.

    With `to`, each network w becomes the act(g, w) nearest to one template t, min over g of |act(g, w) - t|^2, by
    `symmetry.align`. The template need not be trained: `to=dataset.metadata.network.init(key)`. A reader without
    symmetry (`models.FlatMLP`) then has weights of independent initializations in one order; other networks that it is
    to read are aligned to the same template.

    With `within`, each is aligned to the first network of its split that has the same number in that column:
    `augment.mixup_views` then mixes aligned views. Otherwise the center is estimated: it begins as the training network
    nearest to the mean of all, every training network is aligned to it, their mean is the next center, and so on until
    the mean squared distance stops falling, or for `rounds`; then every network of every split is aligned to the last
    center. Validation and test networks never move the center.

    **Preserves** each network's function, up to rounding. Labels, columns and order stay; the metadata says in
    `source["alignment"]` what was done, with the SHA-256 of a template, and its statistics are those of the aligned
    training networks.

    Args:
        dataset: the networks; of a stored data set all are read, and `save` stores the result.
        to: the template: one network's weights, of the shapes of the data set's Symmetry, or a network's number in
            the data set.
        within: the column of the objects' numbers, such as `"image"`, to align the networks of each to one another.
        group: as in `symmetry.align`.
        rounds: most estimates of the center.
        chunk: networks aligned at once; memory grows with it.
        progress: show a bar.

    Raises:
        ValueError: a template of another structure or shape, or with integers in place of floats; a group that the
            Symmetry does not allow; a column that is not there or holds floats; or both `to` and `within`.
        DataError: a network or the template is not finite; the leaf is named.
        IndexError, TypeError: a number that no network has, or that is no integer.

    Source: "merge many" of Git Re-Basin (arXiv 2209.04836, section 5.3) aligns each network to the mean of the
    others; with hundreds of networks the mean of all is the same to a fraction of a percent, and one for all. One
    untrained template for all is the alignment of github.com/ITheClixs/project-siren-gap (its reader W5).

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> align(networks.take(slice(3)), rounds=1, progress=False).metadata.source["alignment"]["to"]
        'center'
        >>> align(networks, within="image", progress=False).metadata.source["alignment"]["to"]
        'first of each image'
        >>> template = jax.jit(networks.metadata.network.init)(jax.random.key(0))
        >>> align(networks, to=template, progress=False).metadata.source["alignment"]["to"]
        'template'
    """
    check_number("rounds", rounds, low=1, integer=True)
    check_number("chunk", chunk, low=1, integer=True)
    if to is not None and within is not None:
        raise ValueError(f"there are a template (to) and within={within!r}; expected one of them: leave one out")
    dataset = dataset.in_memory()
    symmetry, columns = dataset.symmetry, dataset.columns
    # No network may have to move, and a group that is not allowed is refused all the same.
    jax.eval_shape(lambda weights: align_networks(weights, weights, symmetry, group=group), dataset.network(0))
    networks = jax.tree.map(np.asarray, dataset.weights)
    check_finite(networks, f"aligning {dataset.metadata.name}", "Leave those networks out with take().")
    near = partial(_align_all, symmetry=symmetry, group=group, chunk=chunk, progress=progress)
    record: dict[str, Any] = {"group": group}
    if within is not None:
        first = _first_rows(dataset, within)
        later = np.flatnonzero(first != np.arange(len(first)))
        record |= {"to": f"first of each {within}", "moved": len(later)}
        if len(later):
            views, goals = (jax.tree.map(lambda leaf, at=at: leaf[at], networks) for at in (later, first[later]))
            aligned, distance = near(views, goals, each=True)
            networks = jax.tree.map(np.copy, networks)
            for leaf, new in zip(jax.tree.leaves(networks), jax.tree.leaves(aligned), strict=True):
                leaf[later] = new
            record["mean_squared_distance_after"] = float(distance.mean())
    else:
        if to is None:
            train = training_rows(columns["split"])
            goal, distances = _center(jax.tree.map(lambda leaf: leaf[train], networks), near, rounds)
            record |= {"to": "center", "mean_squared_distance": distances}
        else:
            goal, described = _template(dataset, to)
            record |= described
        record["mean_squared_distance_before"] = float(_distances(networks, goal).mean())
        networks, distance = near(networks, goal)
        record["mean_squared_distance_after"] = float(distance.mean())
    metadata = replace(dataset.metadata, source={**dataset.metadata.source, "alignment": record})
    return WeightDataset(networks, dataset.label, columns, metadata).with_statistics()


def _template(dataset: WeightDataset, to: PyTree) -> tuple[PyTree, dict[str, str]]:
    """The weights to align to, and what the metadata says of them."""
    symmetry, name = dataset.symmetry, "template"
    if isinstance(to, int | np.integer):
        check_index("network", to, len(dataset))
        to, name = dataset.network(int(to)), f"network {int(to) % len(dataset)}"
    with np.errstate(over="ignore"):  # what is too large for the networks' dtype is named below
        symmetry.leaves(to)
    leaves, goal = [np.asarray(leaf) for leaf in jax.tree.leaves(to)], []
    for where, leaf, own in zip(symmetry.names, leaves, jax.tree.leaves(dataset.weights), strict=True):
        if floating(own) and not floating(leaf):
            raise ValueError(f"{where} of the template has dtype {leaf.dtype}; expected floats, as the networks hold")
        with np.errstate(over="ignore"):
            goal.append(leaf.astype(wide(own)) if floating(own) else leaf)
        if floating(own) and not np.isfinite(goal[-1]).all():
            raise DataError(f"{where} of the template is not finite; expected finite numbers: give another network")
    return symmetry.unflatten(goal), {"to": name, "template_sha256": arrays_sha256(leaves)}


def _center(networks: PyTree, near: partial[tuple[PyTree, np.ndarray]], rounds: int) -> tuple[Weights, list[float]]:
    """The last center and the mean squared distance to each before it."""
    nearest = int(np.argmin(_distances(networks, jax.tree.map(_mean, networks))))
    center, distances = jax.tree.map(lambda leaf: leaf[nearest], networks), []
    for number in range(rounds):
        networks, distance = near(networks, center, name=f"center {number + 1}/{rounds}")
        distances.append(float(distance.mean()))
        center = jax.tree.map(_mean, networks)
        if number and distances[-1] > distances[-2] * (1 - LEAST_GAIN):
            break
    return center, distances


def _mean(leaf: np.ndarray) -> np.ndarray:
    return leaf.astype(wide(leaf)).mean(axis=0).astype(leaf.dtype) if floating(leaf) else np.asarray(leaf[0])


def _distances(networks: PyTree, reference: Weights) -> np.ndarray:
    pairs = zip(jax.tree.leaves(networks), jax.tree.leaves(reference), strict=True)
    floats = [(x.astype(wide(x)), np.asarray(y, wide(x))) for x, y in pairs if floating(x)]
    return np.sum([np.square(x - y[None]).reshape(len(x), -1).sum(axis=1) for x, y in floats], axis=0)


def _first_rows(dataset: WeightDataset, column: str) -> np.ndarray:
    """For each row the first one of the same object in the same split."""
    check_choice("column", column, tuple(dataset.columns))
    objects, split = dataset.columns[column], dataset.columns["split"]
    if objects.dtype.kind == "f":
        raise ValueError(
            f"the column {column!r} holds {objects.dtype}; expected integers or names, the same "
            f"for all networks of an object: name the column that tells objects apart, such as 'image'"
        )
    # Numbered first, so that objects may have any numbers or names.
    number = np.unique(objects, return_inverse=True)[1].astype(np.int64)
    _, first, place = np.unique(number * (int(split.max()) + 1) + split, return_index=True, return_inverse=True)
    return first[place]


def _align_all(
    networks: PyTree,
    reference: PyTree,
    *,
    symmetry: Symmetry,
    group: Over,
    chunk: int,
    progress: bool,
    each: bool = False,
    name: str = "align",
) -> tuple[PyTree, np.ndarray]:
    """Networks aligned to one reference, or to one `each`, and their squared distances; one program for all chunks."""
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
    near = lambda weights, goal: align_networks(weights, goal, symmetry, group=group)
    found = jax.vmap(near, in_axes=(0, axis))(networks, goal)
    return found.weights, found.distance
