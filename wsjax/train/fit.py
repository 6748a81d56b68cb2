"""Train a model: several runs at once, selection on validation, checkpoints, and resumption."""

import functools
import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from equinox.nn import inference_mode
from jax.sharding import Mesh
from jaxtyping import PyTree

from wsjax.data import WeightDataset
from wsjax.devices import replicate
from wsjax.errors import check_number
from wsjax.interrupts import interrupts_held_back
from wsjax.models import NamedReader
from wsjax.models.wrappers import applied, takes
from wsjax.progress import progress_of
from wsjax.storage.files import locked
from wsjax.train import record
from wsjax.train.config import Run, TrainConfig
from wsjax.train.journal import Journal, check_whole, lines_of, open_journal
from wsjax.train.model import MakeModel, apart, contents_of, made, shapes_of_one
from wsjax.train.result import Result
from wsjax.train.source import fingerprint, pipelines_of, resident
from wsjax.train.state import TrainState, init_states, packing_of
from wsjax.train.step import advance
from wsjax.train.task import Metric, Task, check_dataset, task_for
from wsjax.typing import Reader

CHECKPOINT_SECONDS = 15.0
SCORED = ("train", "validation")


def fit(
    dataset: WeightDataset,
    make_model: MakeModel,
    config: TrainConfig | None = None,
    *,
    seeds: Sequence[int] | None = None,
    runs: Sequence[Run] | None = None,
    out: str | Path | None = None,
    task: Task | None = None,
    mesh: Mesh | None = None,
    progress: bool = True,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Result:
    """Train one model for each run, all side by side in one compiled program.

    Every `config.evaluation_interval` epochs the models are scored on the training and validation splits, and each run
    keeps its parameters at its best validation score. The test split is not used. The optimizer is AdamW with linear
    warm-up and cosine decay, clipped by the global norm.

    Args:
        dataset: networks with splits; on the device whole.
        make_model: from a key to a model, `lambda key: models.DWS(dataset.symmetry, 10, key=key)`, or one of your own:
            an Equinox module called as `model(weights)` on ONE network, and with `key=` and `dropout_rate=` where its
            signature has them. Its floating arrays are what trains; scores and predictions are those of
            `eqx.nn.inference_mode(model)`.
        config: what all runs share; None takes the defaults.
        seeds: one run for each; the short form of `runs`.
        runs: a seed for each run, and the settings in which it differs; None takes seed 0.
        out: a directory for the record, metrics and checkpoints; a training that a break left there goes on from its
            newest checkpoint, bit for bit. None keeps all in memory.
        task: labels, loss and metric. None takes `Classification` for integer labels, and `Regression` for float ones,
            (networks,) or (networks, targets); `Contrastive()` pre-trains without labels.
        mesh: devices to spread each batch over (`wsjax.devices.data_mesh()`); None takes one.
        progress: show a bar.
        checkpoint_seconds: the least time between checkpoints; the end and Ctrl-C always make one.

    Raises:
        TypeError: an argument of another kind. ValueError: settings, labels or a model that do not fit each other,
            equal runs, or an `out` that holds another training (the fields are named) or anything but a run.
        DataError: a target or a weight that is not finite, or a damaged file of the run in `out`.
        FloatingPointError: a loss that is not finite.
        OSError: `out` cannot be written, or another process trains there.
        KeyboardInterrupt: after Ctrl-C, with a checkpoint written and a line that says how to go on.

    Source: selection and protocol as arXiv 2402.04081, whose code scores the test split every epoch.

    Example:
        `networks` is a data set of digits.

        >>> from wsjax import models
        >>> make_model = lambda key: models.FlatMLP(networks.symmetry, 10, key=key)
        >>> result = fit(networks, make_model, TrainConfig(epochs=2), seeds=[0, 1], progress=False)
        >>> result.predict(networks.weights, run=1).shape
        (40, 10)
    """
    config = TrainConfig() if config is None else config
    if not isinstance(config, TrainConfig):
        raise TypeError(f"config is {config!r}; expected a train.TrainConfig, such as TrainConfig(epochs=60)")
    check_dataset(dataset)
    check_number("checkpoint_seconds", checkpoint_seconds, low=0)
    runs = _runs(seeds, runs)
    task = task_for(dataset) if task is None else task
    if not isinstance(task, Task):
        raise TypeError(f"task is {task!r}; expected a task, such as train.Contrastive(), or None")
    task.check(dataset, config)
    train, validation = (resident(dataset, name, task, mesh) for name in SCORED)
    filled = [run.filled(config) for run in runs]
    for i, run in enumerate(filled):
        if run in filled[:i]:
            raise ValueError(
                f"runs {filled.index(run)} and {i} are equal, {run}; expected runs that differ, as one would count "
                f"twice in means and deviations: give each a seed of its own"
            )
    parameters, frozen = made(make_model, [run.seed for run in runs])
    model = eqx.combine(shapes_of_one(parameters), frozen)
    _check_model(model, shapes_of_one(train.weights), task, [run.dropout_rate or 0.0 for run in filled])
    state = init_states(config, filled, parameters)
    arrays, static = apart(frozen)
    pipelines = pipelines_of(config, runs, dataset.symmetry, train, task)
    packing = packing_of(config, state)
    fixed = config, task, static, packing, replicate(arrays, mesh), pipelines
    given = lambda states: (*fixed, states, train, validation, mesh)
    # Of a function of the user's own there is a name alone, that of the class: code cannot be stored.
    described = make_model.to_json() if isinstance(make_model, NamedReader) else {"name": type(model).__name__}
    name = described["name"]
    label = f"train {name}" + (" (augmented)" if config.augment else "")
    loop = functools.partial(_loop, config, filled, task.metric, given, label, progress)
    if out is None:
        state, history = loop(replicate(packing.pack(state), mesh))
    else:
        with locked(Path(out)):
            data_sha256 = fingerprint(train, validation)
            record.claim(Path(out), config, runs, task, described, contents_of(model), dataset.metadata, data_sha256)
            with open_journal(Path(out), checkpoint_seconds, packing) as journal:
                state, epoch, history = journal.resume(state)
                check_whole(journal.directory / record.METRICS, history, config, len(runs), epoch)
                state, history = loop(replicate(packing.pack(state), mesh), epoch, history, journal)
    state = replicate(packing.unpack(state), mesh)
    return Result(config, tuple(runs), task, state, frozen, history, dataset.metadata, name)


def _check_model(model: Reader, weights: PyTree, task: Task, dropout_rates: Sequence[float]) -> None:
    """Refuse a model that cannot be called as a step calls it, and with the weights alone as predictions do."""
    for name in takes(model):
        given = inspect.signature(model).parameters.get(name)
        if given is not None and given.default is given.empty:
            raise ValueError(
                f"{type(model).__name__} takes {name} without a default; expected {name}="
                f"{'None' if name == 'key' else '0.0'}, as scores and predictions call model(weights)"
            )
    for call in (lambda m, w: applied(m, w, jax.random.key(0), jnp.zeros(())), lambda m, w: inference_mode(m)(w)):
        found = eqx.filter_eval_shape(call, model, weights)
        if not isinstance(found, jax.ShapeDtypeStruct):
            raise ValueError(f"the model gives {found!r} for one network; expected one array of outputs")
        if task.out_size is not None and found.shape != (task.out_size,):
            raise ValueError(
                f"the model's outputs for one network have shape {found.shape}; expected ({task.out_size},), one for "
                f"each class or target of the data set: make it with out_size={task.out_size}"
            )
    if any(dropout_rates) and "dropout_rate" not in takes(model):
        raise ValueError(
            f"dropout_rate is {max(dropout_rates)}; {type(model).__name__} takes no dropout_rate: expected 0, or a "
            f"model called as model(weights, *, key=None, dropout_rate=0.0)"
        )


def _runs(seeds: Sequence[int] | None, runs: Sequence[Run] | None) -> Sequence[Run]:
    if seeds is not None and runs is not None:
        raise ValueError("seeds and runs are both given; expected one of them, as a run has its own seed")
    for name, given, way_out in (("seeds", seeds, "seeds=[0, 1]"), ("runs", runs, "runs=[train.Run(seed=0)]")):
        if isinstance(given, str) or not (given is None or hasattr(given, "__len__")):
            raise TypeError(f"{name} is {given!r}; expected a list: {way_out}")
    found = [Run(seed) for seed in seeds] if seeds is not None else [Run()] if runs is None else runs
    for i, run in enumerate(found):
        if not isinstance(run, Run):
            raise TypeError(f"runs[{i}] is {run!r}; expected a train.Run, such as Run(seed=0)")
    if not len(found):
        raise ValueError("there are no runs; expected one at least: pass seeds=[0]")
    return found


def _loop(
    config: TrainConfig,
    runs: Sequence[Run],
    metric: Metric,
    given: Callable[[TrainState], tuple[Any, ...]],
    label: str,
    progress: bool,
    state: TrainState,
    epoch: int = 0,
    history: Sequence[dict[str, Any]] = (),
    journal: Journal | None = None,
) -> tuple[TrainState, list[dict[str, Any]]]:
    """From packed states to those of the last epoch, and the whole history. given: the arguments of a step."""
    began, every = time.monotonic(), config.evaluation_interval
    seeds, history = [run.seed for run in runs], list(history)
    # Inside XLA's compiler a Ctrl-C is lost or crashes the process, so it waits. The first step finds the program made.
    if epoch < config.epochs:
        with interrupts_held_back():
            advance.lower(*given(state)).compile()
    with progress_of(total=config.epochs, initial=epoch, unit="epochs", desc=label, disable=not progress) as bar:
        while epoch < config.epochs:
            state, scores = jax.block_until_ready(advance(*given(state)))
            epoch += every
            records = lines_of(scores, metric, epoch, time.monotonic() - began, seeds)
            _check_losses(records, runs)
            history += records
            if journal is not None:
                journal.write(epoch, state, records, last=epoch >= config.epochs)
            means = {name: np.mean([line[f"{name}_{metric.key}"] for line in records]) for name in SCORED}
            bar.set_postfix({name: metric.shown(float(mean)) for name, mean in means.items()}, refresh=False)
            bar.update(every)
    return state, history


def _check_losses(records: list[dict[str, Any]], runs: Sequence[Run]) -> None:
    """Stop a training whose loss, or a score of it, is not finite."""
    for line in records:
        for name in (name for name, value in line.items() if not np.isfinite(value)):
            rate = runs[line["run"]].learning_rate
            raise FloatingPointError(
                f"the {name} of run {line['run']} (seed {line['seed']}) is {line[name]} at epoch {line['epoch']}; "
                f"expected a finite number. Lower its learning rate, {rate:g}, and train anew, into another "
                f"directory where it had one"
            )
