"""Whether both sides of the suite `augment` do the same work: they must draw from one distribution."""

import jax
import numpy as np
from jaxtyping import Float

from benchmarks.augment_subjects import KINDS, Pair, Subject, seed
from benchmarks.torch_augment import torch
from wsjax.typing import Batch

LIMIT = 6.0  # standard errors between the two sides


def draws(
    both: Pair, subject: Subject, count: int
) -> tuple[Float[np.ndarray, "draws numbers"], Float[np.ndarray, "draws numbers"]]:
    """What many draws make of one network, on both sides: its entries, its label, and its values at some points."""
    first = np.arange(0, len(both.batch.label), KINDS)
    keys = jax.random.split(jax.random.key(1), -(-count // len(first)))
    ours = [jax.tree.map(lambda x: np.asarray(x)[first], both.ours(key, both.batch)) for key in keys]
    mine = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *ours)

    seed(0)
    with torch.no_grad():
        theirs = [both.theirs(int(i)) for i in np.resize(first, count)]
    leaves = [np.stack([arrays[j].numpy() for arrays, _ in theirs]) for j in range(len(subject.symmetry.axes))]
    labels = [mine.label[0] if label is None else label.numpy() for _, label in theirs]
    return _numbers(mine, subject), _numbers(Batch(subject.symmetry.unflatten(leaves), np.stack(labels)), subject)


def _numbers(batch: Batch, subject: Subject) -> np.ndarray:
    parts = [*jax.tree.leaves(batch.weights), batch.label, subject.decode(batch.weights)]
    return np.concatenate([np.asarray(part, np.float64).reshape(len(part), -1) for part in parts], axis=1)


def check_same(name: str, ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference between both sides' means and mean squares, in its standard errors.

    Args:
        name: of the augmentation.
        ours, theirs: as many draws, in rows, of the same numbers.

    Raises:
        ValueError: it is above `LIMIT`.
    """
    rounding = 1e-4 * np.sqrt(np.mean(ours**2))
    apart = []
    for a, b in ((ours, theirs), (ours**2, theirs**2)):
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(a)) + rounding
        apart.append(np.abs(a.mean(axis=0) - b.mean(axis=0)) / error)
    worst = float(np.max(apart))
    if not worst <= LIMIT:
        raise ValueError(
            f"{name} of wsjax and of PyTorch differ by {worst:.1f} standard errors over {len(ours)} draws; expected at "
            f"most {LIMIT:g}: they do not do the same work, and the comparison is void. Mend the one that is wrong"
        )
    return worst
