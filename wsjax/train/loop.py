"""Train a reader: several runs at once, selection on validation, checkpoints, and the way back after a break."""

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh
from jaxtyping import Array, PyTree

from wsjax.data import Card, WeightDataset
from wsjax.data.store.locks import locked
from wsjax.devices import replicate
from wsjax.interrupts import interrupts_held_back
from wsjax.models import build
from wsjax.progress import progress_of
from wsjax.train import metrics, record
from wsjax.train.config import Plan, Trial
from wsjax.train.inputs import arrays, fingerprint, learned
from wsjax.train.journal import Journal, open_journal
from wsjax.train.measure import ACCURACY, R2, Measure
from wsjax.train.pipelines import pipelines_of
from wsjax.train.state import TrainState, apart, init_states, packing_of, split
from wsjax.train.step import advance
from wsjax.train.targets import Targets, check_augmentation
from wsjax.train.trained import Trained

CHECKPOINT_SECONDS = 15.0


def start(card: Card, plan: Plan, trials: Sequence[Trial], targets: Targets | None = None) -> tuple[TrainState, PyTree]:
    """Stacked states before the first step, and the reader's fixed part. A run's reader comes from its own seed.

    It gives a number for each of the card's classes, or of the targets.

    Raises:
        ValueError: no trial.
    """
    return drawn(card, plan, trials, None if targets is None else len(targets.mean))


def drawn(card: Card, plan: Plan, trials: Sequence[Trial], outputs: int | None) -> tuple[TrainState, PyTree]:
    """As `start`, of readers with so many outputs; None takes one for each of the card's classes."""
    if not trials:
        raise ValueError("there are no trials; expected at least one: pass [Trial()]")
    keys = [jax.random.key(trial.seed) for trial in trials]
    models = [build(plan.reader, card, plan.reader_settings, outputs=outputs, key=key) for key in keys]
    parameters = jax.tree.map(lambda *leaves: _stacked(leaves), *[split(model)[0] for model in models])
    return init_states(plan, trials, parameters), split(models[0])[1]


def _stacked(leaves: Sequence[Array]) -> Array:
    """On the host, as JAX compiles a program for each shape that it stacks."""
    return jnp.stack(leaves) if isinstance(leaves[0], Tracer) else jax.device_put(np.stack(leaves))


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
    keeps its parameters at its best validation score. The test split is not read here.

    Whole-number labels are classes: the loss is the cross-entropy, the score the accuracy. Float labels, (networks,)
    or (networks, targets), are targets t, and the reader a regressor with one output y for each. It learns
    t' = (t - mean) / std with the mean and deviation of the training split, by the mean of (t' - y')^2, and gives back
    y = mean + std y'. The score is R2 = 1 - sum (t - y)^2 / sum (t - mean)^2 over the split, averaged over targets.

    On a CPU call `wsjax.host.use_host_well()` before JAX is first used, as the command line does: steps take less time.

    Args:
        dataset: networks with splits; held on the device whole.
        plan: what all runs share.
        trials: a seed and settings for each run, and its own numbers in the plan's augmentation.
        out: a directory for the record, metrics and checkpoints; a training that a break left there goes on from
            its newest checkpoint, bit for bit. None keeps all in memory.
        mesh: devices to spread each batch over (`wsjax.devices.data_mesh()`); None takes one.
        progress: show a bar.
        checkpoint_seconds: the least time between checkpoints; the end and Ctrl-C always make one.

    Raises:
        ValueError: settings that do not fit the data, labels that are neither classes nor targets, a target that is
            the same everywhere, or an `out` that holds another training or one of other data (the fields are named).
        DataError: a target that is not finite, or a damaged file of the run in `out`.
        OSError: `out` cannot be written, or another process trains there.
        KeyboardInterrupt: after Ctrl-C, with a checkpoint written and a line that says how to go on.

    Source: selection and protocol as arXiv 2402.04081, whose code scores the test split every epoch.

    Example:
        `networks` is a data set, as `data.fit_dataset_in_memory` gives one.

        >>> trained = train(networks, Plan("mlp", epochs=2, evaluate_every=2), progress=False)
        >>> len(trained.history)
        1
    """
    targets = learned(dataset)
    if targets is not None:
        check_augmentation(plan.augment, dataset.card.name)
    state, frozen = start(dataset.card, plan, trials, targets)
    arrays_of_frozen, static = apart(frozen)
    training, validation = (arrays(dataset, name, mesh, targets=targets) for name in ("train", "validation"))
    classes, measure = len(dataset.card.classes), ACCURACY if targets is None else R2
    pipelines = pipelines_of(plan, trials, dataset.symmetry, training, classes)
    packing = packing_of(plan, state)
    fixed = plan, static, packing, replicate(arrays_of_frozen, mesh), pipelines
    given = lambda states: (*fixed, states, training, validation, classes, mesh)
    loop = functools.partial(_loop, plan, trials, given, measure, progress)
    if out is None:
        state, history = loop(replicate(packing.pack(state), mesh))
    else:
        with locked(Path(out)):
            record.claim(Path(out), plan, trials, dataset.card, fingerprint(training, validation), targets)
            with open_journal(Path(out), checkpoint_seconds, packing) as journal:
                state, epoch, history = journal.resume(state)
                state, history = loop(replicate(packing.pack(state), mesh), epoch, history, journal)
    state = replicate(packing.unpack(state), mesh)
    return Trained(plan, tuple(trials), state, frozen, history, dataset.card, targets)


def _loop(
    plan: Plan,
    trials: Sequence[Trial],
    given: Callable[[TrainState], tuple[Any, ...]],
    measure: Measure,
    progress: bool,
    state: TrainState,
    epoch: int = 0,
    history: Sequence[dict[str, Any]] = (),
    journal: Journal | None = None,
) -> tuple[TrainState, list[dict[str, Any]]]:
    """From packed states to those of the last epoch, and the whole history. given: the arguments of a step."""
    began = time.monotonic()
    seeds, history = [trial.seed for trial in trials], list(history)
    label = f"train {plan.reader}" + (" (augmented)" if plan.augment else "")
    # Inside XLA's compiler a Ctrl-C is lost or crashes the process, so it waits. The first step finds the program made.
    if epoch < plan.epochs:
        with interrupts_held_back():
            advance.lower(*given(state)).compile()
    with progress_of(total=plan.epochs, initial=epoch, unit="epochs", desc=label, disable=not progress) as bar:
        while epoch < plan.epochs:
            state, scores = jax.block_until_ready(advance(*given(state)))
            epoch += plan.evaluate_every
            records = metrics.lines_of(scores, measure, epoch, time.monotonic() - began, seeds)
            check_losses(records, trials)
            history += records
            if journal is not None:
                journal.write(epoch, state, records, last=epoch >= plan.epochs)
            means = {n: np.mean([r[f"{n}_{measure.key}"] for r in records]) for n in ("train", "validation")}
            bar.set_postfix({n: measure.shown(float(mean)) for n, mean in means.items()}, refresh=False)
            bar.update(plan.evaluate_every)
    return state, history


def check_losses(records: list[dict[str, Any]], trials: Sequence[Trial]) -> None:
    """Stop a training whose loss, or a score of it, is not finite.

    Raises:
        FloatingPointError: naming the run, its epoch and its learning rate.
    """
    for line in records:
        for name in (name for name, value in line.items() if not np.isfinite(value)):
            rate = trials[line["run"]].learning_rate
            raise FloatingPointError(
                f"the {name} of run {line['run']} (seed {line['seed']}) is {line[name]} at epoch {line['epoch']}; "
                f"expected a finite number. Lower its learning rate, {rate:g}, and train anew, into another "
                f"directory where it had one"
            )
