"""What a training leaves: readers, their history, and their scores on a split."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from wsjax.data import Card, WeightDataset
from wsjax.errors import listing
from wsjax.train.config import Plan, Trial
from wsjax.train.inputs import arrays
from wsjax.train.state import TrainState
from wsjax.train.step import Arrays, accuracy
from wsjax.typing import Reader


class Trained(NamedTuple):
    """Stacked states, the reader's fixed part, the history of evaluations, and the card of what was trained on."""

    plan: Plan
    trials: tuple[Trial, ...]
    state: TrainState
    frozen: PyTree
    history: list[dict[str, Any]]
    card: Card

    def reader(self, run: int = 0) -> Reader:
        """One run's reader, with the parameters of its best validation epoch."""
        return eqx.combine(jax.tree.map(lambda x: x[run], self.state.best), self.frozen)

    def scores(self) -> list[dict[str, Any]]:
        """For each run the evaluation that was selected, and its last training accuracy."""
        last = max(r["epoch"] for r in self.history)
        chosen = []
        for run, epoch in enumerate(np.asarray(self.state.best_epoch)):
            at = {r["epoch"]: r for r in self.history if r["run"] == run}
            chosen.append({**at[int(epoch)], "final_train_accuracy": at[last]["train_accuracy"]})
        return chosen


def evaluate(trained: Trained, dataset: WeightDataset, split_name: str = "test") -> list[float]:
    """Each run's accuracy on a split, as fractions, with the parameters selected on validation.

    Read the test split once, when all choices are made.

    Raises:
        ValueError: the data set has no network in that split, or holds other networks or classes than those trained on.

    Example:
        >>> from dataclasses import replace
        >>> from wsjax import data
        >>> from wsjax.train import train
        >>> few = data.limit(data.load_images("digits"), 24)
        >>> recipe = replace(data.default_recipe("digits"), steps=2)
        >>> networks = data.fit_dataset_in_memory(few, recipe, progress=False)
        >>> trained = train(networks, Plan("mlp", epochs=2, evaluate_every=2), progress=False)
        >>> 0 <= evaluate(trained, networks)[0] <= 1
        True
    """
    check_same_kind(trained.card, dataset.card)
    frozen, static = eqx.partition(trained.frozen, eqx.is_array)
    return [float(a) for a in _accuracies(static, frozen, trained.state.best, arrays(dataset, split_name))]


@functools.partial(jax.jit, static_argnames="static")
def _accuracies(static: PyTree, frozen: PyTree, best: PyTree, data: Arrays) -> Float[Array, " runs"]:
    return jax.vmap(lambda parameters: accuracy(eqx.combine(parameters, frozen, static), data))(best)


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
