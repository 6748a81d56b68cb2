"""Train a reader: several runs at once, selection on validation, checkpoints, and the way back after a break."""

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree
from tqdm import tqdm

from wsjax.augment import from_spec, needs_statistics, statistics_of
from wsjax.data import Card, WeightDataset
from wsjax.devices import replicate
from wsjax.models import build
from wsjax.train import metrics, record
from wsjax.train.config import Plan, Trial
from wsjax.train.journal import Journal, open_journal
from wsjax.train.state import TrainState, init_state, split
from wsjax.train.step import Arrays, Metrics, accuracy, advance
from wsjax.typing import Reader

CHECKPOINT_SECONDS = 15.0


class Trained(NamedTuple):
    """What a training leaves: stacked states, the reader's fixed part, and the history of evaluations."""

    plan: Plan
    trials: tuple[Trial, ...]
    state: TrainState
    frozen: PyTree
    history: list[dict[str, Any]]

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


def arrays(dataset: WeightDataset, split_name: str, mesh: Mesh | None = None) -> Arrays:
    """One split on the device, whole.

    Raises:
        ValueError: the data set has no network in that split.
    """
    part = dataset.split(split_name)
    if len(part) == 0:
        raise ValueError(f"{dataset.card.name} has no network in the split {split_name!r}; fit one that does")
    weights = jax.tree.map(jnp.asarray, part.weights)
    shown = jnp.asarray(part.columns["image"], jnp.int32) if "image" in part.columns else None
    return replicate(Arrays(weights, jnp.asarray(part.label, jnp.int32), shown), mesh)


def start(card: Card, plan: Plan, trials: Sequence[Trial]) -> tuple[TrainState, PyTree]:
    """Stacked states before the first step, and the reader's fixed part. A run's reader comes from its own seed."""
    models = [build(plan.reader, card, plan.reader_settings, key=jax.random.key(t.seed)) for t in trials]
    states = [init_state(plan, trial, split(model)[0]) for trial, model in zip(trials, models, strict=True)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states), split(models[0])[1]


def train(
    dataset: WeightDataset,
    plan: Plan,
    trials: Sequence[Trial] = (Trial(),),
    out: str | Path | None = None,
    *,
    mesh: Mesh | None = None,
    progress: bool = True,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Trained:
    """Train one reader for each trial, all side by side in one compiled program.

    Every `plan.evaluate_every` epochs the readers are scored on the training and validation splits, and each run
    keeps its parameters at its best validation accuracy. The test split is not read here.

    Args:
        dataset: fitted networks with splits; held on the device whole.
        plan: what all runs share.
        trials: a seed and settings for each run.
        out: a directory for the record, metrics and checkpoints; a training that a break left there goes on from
            its newest checkpoint, bit for bit. None keeps all in memory.
        mesh: devices to spread each batch over (`wsjax.devices.data_mesh()`); None takes one.
        progress: show a bar.
        checkpoint_seconds: the least time between checkpoints; the end and Ctrl-C always make one.

    Raises:
        ValueError: settings that do not fit the data, or an `out` that holds another training (the fields are named).
        KeyboardInterrupt: after Ctrl-C, with a checkpoint written and a line that says how to go on.

    Source: selection and protocol as arXiv 2402.04081, whose code scores the test split every epoch.

    Example:
        >>> from wsjax import data
        >>> from dataclasses import replace
        >>> recipe = replace(data.default_recipe("digits"), steps=2)
        >>> few = data.limit(data.load_images("digits"), 24)
        >>> networks = data.fit_dataset_in_memory(few, recipe, progress=False)
        >>> trained = train(networks, Plan("mlp", epochs=2, evaluate_every=2, batch_size=8), progress=False)
        >>> len(trained.history)
        1
    """
    state, frozen = start(dataset.card, plan, trials)
    arrays_of_frozen, static = eqx.partition(frozen, eqx.is_array)
    training = arrays(dataset, "train", mesh)
    statistics = jax.jit(statistics_of)(training.weights) if needs_statistics(plan.augment) else None
    step = functools.partial(
        advance,
        plan,
        static,
        replicate(arrays_of_frozen, mesh),
        from_spec(plan.augment, dataset.symmetry, statistics),
        train=training,
        validation=arrays(dataset, "validation", mesh),
        classes=len(dataset.card.classes),
        mesh=mesh,
    )
    if out is None:
        state, history = _loop(plan, trials, replicate(state, mesh), 0, [], step, None, progress)
        return Trained(plan, tuple(trials), state, frozen, history)
    record.claim(Path(out), plan, trials, dataset.card)
    with open_journal(Path(out), checkpoint_seconds) as journal:
        state, epoch, history = journal.resume(state)
        state, history = _loop(plan, trials, replicate(state, mesh), epoch, history, step, journal, progress)
    return Trained(plan, tuple(trials), state, frozen, history)


def _loop(
    plan: Plan,
    trials: Sequence[Trial],
    state: TrainState,
    epoch: int,
    history: list[dict[str, Any]],
    step: Callable[..., tuple[TrainState, Metrics]],
    journal: Journal | None,
    progress: bool,
) -> tuple[TrainState, list[dict[str, Any]]]:
    began = time.monotonic()
    seeds = [trial.seed for trial in trials]
    label = f"train {plan.reader}" + (" (augmented)" if plan.augment else "")
    with tqdm(total=plan.epochs, initial=epoch, unit="epoch", desc=label, disable=not progress) as bar:
        while epoch < plan.epochs:
            state, scores = jax.block_until_ready(step(states=state))
            epoch += plan.evaluate_every
            records = metrics.lines_of(scores, epoch, time.monotonic() - began, seeds)
            check_losses(records, trials)
            history = [*history, *records]
            if journal is not None:
                journal.write(epoch, state, records, last=epoch >= plan.epochs)
            shown = {n: f"{np.mean([r[f'{n}_accuracy'] for r in records]):.1%}" for n in ("train", "validation")}
            bar.set_postfix(shown, refresh=False)
            bar.update(plan.evaluate_every)
    return state, history


def check_losses(records: list[dict[str, Any]], trials: Sequence[Trial]) -> None:
    """Stop a training whose loss is not finite.

    Raises:
        FloatingPointError: naming the run, its epoch and its learning rate.
    """
    for line in records:
        if not np.isfinite(line["loss"]):
            rate = trials[line["run"]].learning_rate
            raise FloatingPointError(
                f"the loss of run {line['run']} (seed {line['seed']}) is {line['loss']} at epoch {line['epoch']}; "
                f"expected a finite number. Lower its learning rate, {rate:g}"
            )


def evaluate(trained: Trained, dataset: WeightDataset, split_name: str = "test") -> list[float]:
    """Each run's accuracy on a split, as fractions, with the parameters selected on validation.

    Read the test split once, when all choices are made.

    Raises:
        ValueError: the data set has no network in that split.

    Example:
        >>> from dataclasses import replace
        >>> from wsjax import data
        >>> few = data.limit(data.load_images("digits"), 24)
        >>> recipe = replace(data.default_recipe("digits"), steps=2)
        >>> networks = data.fit_dataset_in_memory(few, recipe, progress=False)
        >>> trained = train(networks, Plan("mlp", epochs=2, evaluate_every=2), progress=False)
        >>> 0 <= evaluate(trained, networks)[0] <= 1
        True
    """
    data = arrays(dataset, split_name)
    score = jax.jit(jax.vmap(lambda best, data: accuracy(eqx.combine(best, trained.frozen), data), in_axes=(0, None)))
    return [float(a) for a in score(trained.state.best, data)]
