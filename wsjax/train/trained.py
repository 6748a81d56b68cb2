"""What a training leaves: readers, their history, and their scores on a split."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from wsjax.augment import network_from_spec, read_spec
from wsjax.data import Card, WeightDataset
from wsjax.errors import check_index, check_number, listing
from wsjax.models import OverCopies, Rescaled
from wsjax.train.config import Plan, Trial
from wsjax.train.inputs import Arrays, arrays, rows_of
from wsjax.train.measure import ACCURACY, R2, Measure
from wsjax.train.scores import read_all, score
from wsjax.train.state import Static, TrainState, apart
from wsjax.train.targets import Targets
from wsjax.typing import Reader, Transform, Weights


class Trained(NamedTuple):
    """Stacked states, the reader's fixed part, the history of evaluations, and the card of what was trained on.

    targets: of a regressor, what it learned and in which units; None for a classifier.
    """

    plan: Plan
    trials: tuple[Trial, ...]
    state: TrainState
    frozen: PyTree
    history: list[dict[str, Any]]
    card: Card
    targets: Targets | None = None

    @property
    def measure(self) -> Measure:
        """What the scores are."""
        return ACCURACY if self.targets is None else R2

    def reader(self, run: int = 0) -> Reader:
        """One run's reader, with the parameters of its best validation epoch; a regressor in its targets' own units.

        Raises:
            IndexError: there is no such run.
        """
        check_index("run", run, len(self.trials))
        reader = eqx.combine(jax.tree.map(lambda x: x[run], self.state.best), self.frozen)
        return reader if self.targets is None else Rescaled(reader, self.targets.units)

    def scores(self) -> list[dict[str, Any]]:
        """For each run the evaluation that was selected, and its last training score."""
        train = f"train_{self.measure.key}"
        last = max(r["epoch"] for r in self.history)
        chosen = []
        for run, epoch in enumerate(np.asarray(self.state.best_epoch)):
            at = {r["epoch"]: r for r in self.history if r["run"] == run}
            chosen.append({**at[int(epoch)], f"final_{train}": at[last][train]})
        return chosen


def evaluate(
    trained: Trained, dataset: WeightDataset, split_name: str = "test", *, copies: int = 1, augment: str = ""
) -> list[float]:
    """Each run's score on a split, with the parameters selected on validation: accuracies as fractions, or R2.

    R2 = 1 - sum (t - y)^2 / sum (t - mean)^2 over the networks of the split, averaged over targets.

    Read the test split once, when all choices are made.

    Args:
        trained: what `train` gave.
        dataset: of networks like those trained on.
        split_name: `"train"`, `"validation"` or `"test"`.
        copies: how many times each network is read, moved anew each time, and the outputs averaged
            (`models.OverCopies`).
        augment: what moves the copies, a SPEC of steps on networks, such as `"flip_signs"`.

    Raises:
        ValueError: the data set has no network in that split, or holds other networks, classes or targets than those
            trained on, or a target that is the same for all of the split; several copies that nothing moves, or a
            SPEC of anything but steps on networks.
        DataError: a target that is not finite.

    Example:
        `networks` is a data set, as `data.fit_dataset_in_memory` gives one.

        >>> from wsjax.train import train
        >>> trained = train(networks, Plan("mlp", epochs=2, evaluate_every=2), progress=False)
        >>> 0 <= evaluate(trained, networks)[0] <= 1
        True
    """
    check_same_kind(trained.card, dataset.card)
    frozen, static = apart(trained.frozen)
    moved = _moved(dataset, copies, augment)
    data = arrays(dataset, split_name, targets=trained.targets)
    return [float(reached) for reached in _scores(static, frozen, trained.state.best, data, moved, copies=copies)]


def _moved(dataset: WeightDataset, copies: int, augment: str) -> Transform[Weights] | None:
    """What moves the copies of a network, None for nothing."""
    check_number("copies", copies, low=1, whole=True)
    if read_spec(augment):
        return network_from_spec(augment, dataset.symmetry)
    if copies > 1:
        raise ValueError(
            f"copies is {copies} and augment is empty, so that all copies are the same; expected a SPEC of steps on "
            f"networks that moves them, such as augment='flip_signs', or one copy"
        )
    return None


@functools.partial(jax.jit, static_argnames=("static", "copies"))
def _scores(
    static: Static, frozen: PyTree, best: PyTree, data: Arrays, moved: Transform[Weights] | None, *, copies: int
) -> Float[Array, " runs"]:
    return jax.vmap(lambda p: score(_over_copies(eqx.combine(p, frozen, static.tree), moved, copies), data))(best)


def _over_copies(reader: Reader, moved: Transform[Weights] | None, copies: int) -> Reader:
    """A reader averaged over so many moved copies; as it is where nothing moves them."""
    return reader if moved is None else OverCopies(reader, moved, copies, key=jax.random.key(0))


def kendall_tau(
    trained: Trained, dataset: WeightDataset, split_name: str = "test", *, copies: int = 1, augment: str = ""
) -> list[float]:
    """Each run's rank correlation on a split between targets and what the regressor gives, averaged over targets.

    tau_b = (C - D) / sqrt((C + D + T) (C + D + Y)): of all pairs of networks C are in the order of their targets, D in
    the other, T tie in the target alone and Y in the output alone. 1 is the right order, 0 chance. A regressor that
    gives every network the same orders none, which counts as 0.

    Args:
        trained: what `train` gave, of a regressor.
        dataset: of networks like those trained on.
        split_name: `"train"`, `"validation"` or `"test"`.
        copies, augment: as for `evaluate`.

    Raises:
        ValueError: as `evaluate`, or the reader is a classifier.

    Source: Kendall 1945; how arXiv 2302.14040 compares predictors of the accuracies in a zoo.

    Example:
        `networks` is a data set, as `data.fit_dataset_in_memory` gives one: how well is each of them fitted?

        >>> from dataclasses import replace
        >>> from wsjax.train import train
        >>> card = replace(networks.card, classes=(), label="target")
        >>> labelled = replace(networks, label=networks.columns["psnr"], card=card)
        >>> trained = train(labelled, Plan("mlp", epochs=2, evaluate_every=2), progress=False)
        >>> -1 <= kendall_tau(trained, labelled)[0] <= 1
        True
    """
    if trained.targets is None:
        raise ValueError(
            f"the reader was trained on the classes of {trained.card.name}; expected one trained on float targets, "
            f"whose outputs have an order: evaluate gives its accuracy"
        )
    check_same_kind(trained.card, dataset.card)
    frozen, static = apart(trained.frozen)
    data = arrays(dataset, split_name, targets=trained.targets)
    moved = _moved(dataset, copies, augment)
    given = np.asarray(_outputs(static, frozen, trained.state.best, data, moved, copies=copies))
    # As the data set has them: standardising rounds, and could make ties.
    label = np.asarray(dataset.label[rows_of(dataset, split_name)], np.float64).reshape(given.shape[1:])
    return [float(np.mean([_tau(y, t) for y, t in zip(run.T, label.T, strict=True)])) for run in given]


@functools.partial(jax.jit, static_argnames=("static", "copies"))
def _outputs(
    static: Static, frozen: PyTree, best: PyTree, data: Arrays, moved: Transform[Weights] | None, *, copies: int
) -> Float[Array, "runs networks targets"]:
    read = lambda model: read_all(model, data.weights)[0]
    return jax.vmap(lambda p: read(_over_copies(eqx.combine(p, frozen, static.tree), moved, copies)))(best)


def _tau(given: np.ndarray, label: np.ndarray) -> float:
    from scipy.stats import kendalltau

    if np.ptp(given) == 0:
        return 0.0
    found: Any = kendalltau(given, label)  # scipy's annotations do not know its fields
    return float(found.statistic)


def check_same_kind(trained_on: Card, card: Card) -> None:
    """Raise ValueError where a data set's network, Symmetry or classes are not those that a reader was trained on."""
    differences = [
        f"{name} is {getattr(card, name)!r}; expected {getattr(trained_on, name)!r}"
        for name in ("network", "symmetry", "classes")
        if getattr(card, name) != getattr(trained_on, name)
    ]
    if differences:
        raise ValueError(
            f"{card.name} is not of the kind that the reader was trained on, {trained_on.name}: "
            f"{listing(differences)}. Evaluate on networks of one architecture and with the same classes"
        )
