"""Align a whole data set once, so that MixUp in the training step needs no matching."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from wsjax.data.align_within import align_all
from wsjax.data.dataset import WeightDataset, training_rows
from wsjax.errors import check_finite, check_number
from wsjax.floats import floating, wide
from wsjax.symmetry import Symmetry
from wsjax.symmetry.align import Over
from wsjax.typing import Weights

LEAST_GAIN = 1e-3  # of the mean distance in one round; the center moves no more for less


def align(
    dataset: WeightDataset,
    *,
    reference: Weights | None = None,
    group: Over = "full",
    rounds: int = 5,
    chunk: int = 1024,
    progress: bool = True,
) -> WeightDataset:
    """Bring every network as near as it comes to one reference, or to a common center of the training networks.

    With a reference, each network is aligned to it by `symmetry.align`. Without, the center is estimated: it begins
    as the training network nearest to the mean of all, every training network is aligned to it, their mean is the
    next center, and so on until the mean squared distance stops falling, or for `rounds`; then every network of
    every split is aligned to the last center. Validation and test networks never move the center.

    **Preserves** each network's function, up to rounding. Labels, columns and order stay; the metadata says in
    `source["alignment"]` what was done, and its statistics are those of the aligned training networks.

    Args:
        dataset: the networks.
        reference: one network's weights to align to, such as `dataset.network(0)`; None estimates a center.
        group: as in `symmetry.align`.
        rounds: most estimates of the center.
        chunk: networks aligned at once; memory grows with it.
        progress: show a bar.

    Raises:
        ValueError: a reference of another structure or shape, or a group that the Symmetry does not allow.

    Source: "merge many" of Git Re-Basin (arXiv 2209.04836, section 5.3) aligns each network to the mean of the
    others; with hundreds of networks the mean of all is the same to a fraction of a percent, and one for all.

    Example:
        >>> import jax, numpy as np
        >>> from wsjax import data, networks, symmetry as ws
        >>> spec = ws.siren((2, 4, 1))
        >>> many = [networks.siren_init(jax.random.key(i), (2, 4, 1)) for i in range(3)]
        >>> near = data.align(data.WeightDataset.from_networks(many, [0, 1, 1], symmetry=spec), progress=False)
        >>> near.metadata.source["alignment"]["to"]
        'center'
    """
    check_number("rounds", rounds, low=1, integer=True)
    check_number("chunk", chunk, low=1, integer=True)
    symmetry, train = dataset.symmetry, training_rows(dataset.columns["split"])
    networks = jax.tree.map(np.asarray, dataset.weights)
    check_finite(networks, f"aligning {dataset.metadata.name}", "Leave those networks out with take().")
    training = jax.tree.map(lambda leaf: leaf[train], networks)
    record: dict[str, Any] = {"group": group, "to": "reference"}
    if reference is None:
        reference, distances = _center(training, symmetry, group, rounds, chunk, progress)
        record |= {"to": "center", "mean_squared_distance": distances}
    symmetry.leaves(reference)
    before = _mean_distance(networks, reference)
    aligned, distance = align_all(networks, reference, symmetry, group, chunk=chunk, progress=progress)
    record |= {"mean_squared_distance_before": before, "mean_squared_distance_after": float(distance.mean())}
    metadata = replace(dataset.metadata, source={**dataset.metadata.source, "alignment": record})
    return WeightDataset(aligned, dataset.label, dataset.columns, metadata.with_statistics(aligned, train))


def _center(
    networks: PyTree, symmetry: Symmetry, group: Over, rounds: int, chunk: int, progress: bool
) -> tuple[Weights, list[float]]:
    """The last center and the mean squared distance to each before it."""
    mean = jax.tree.map(_mean, networks)
    nearest = int(np.argmin(_distances(networks, mean)))
    center, distances = jax.tree.map(lambda leaf: leaf[nearest], networks), []
    for number in range(rounds):
        name = f"center {number + 1}/{rounds}"
        networks, distance = align_all(networks, center, symmetry, group, chunk=chunk, progress=progress, name=name)
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


def _mean_distance(networks: PyTree, reference: Weights) -> float:
    return float(_distances(networks, reference).mean())
