"""What a training gives: models, predictions, their history, and their scores on a split."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from wsjax.augment import parse
from wsjax.augment.grammar import read_spec
from wsjax.data import Metadata, WeightDataset
from wsjax.errors import check_index, check_number, check_shape, check_structure, listing
from wsjax.floats import on_device
from wsjax.models import TestTimeAugmentation
from wsjax.train.config import Run, TrainConfig
from wsjax.train.model import Static, apart, read_all, shapes_of_one
from wsjax.train.source import Resident, resident
from wsjax.train.state import TrainState
from wsjax.train.task import Regression, Task, check_dataset, rows_of
from wsjax.typing import Reader, Transform, Weights


class Result(NamedTuple):
    """What `fit` and `load` give.

    Attributes:
        config, runs, task: what was asked for.
        state: the parameters of all runs, at their best epoch and after the last, every leaf with an axis of runs.
        frozen: the models' fixed part, the same for all runs.
        history: one line for each evaluation and run, as in metrics.jsonl.
        metadata: of the data set that was trained on.
        name: the model's: that of a reader of the library, or of a class.
    """

    config: TrainConfig
    runs: tuple[Run, ...]
    task: Task
    state: TrainState
    frozen: PyTree
    history: list[dict[str, Any]]
    metadata: Metadata
    name: str = "model"

    def __repr__(self) -> str:
        metric = self.task.metric
        score = f"validation_{metric.key}"
        scores = [line[score] for line in self.scores()] if self.history else []
        mean = f", mean validation {metric.title} {metric.shown(float(np.mean(scores)))}" if scores else ""
        count = f"{len(self.runs)} run{'s' * (len(self.runs) > 1)}"
        return f"Result({self.name}, {count}, {self.config.epochs} epochs{mean})"

    def model(self, run: int = 0) -> Reader:
        """One run's model at its best validation epoch, as `eqx.nn.inference_mode` makes it: without dropout.

        Its outputs are in the units of the labels. Raises IndexError where there is no such run.
        """
        check_index("run", run, len(self.runs))
        # On the host, as JAX compiles a program for each shape that it slices.
        parameters = on_device(jax.tree.map(lambda x: np.asarray(x)[run], self.state.best))
        return self.task.in_units(eqx.nn.inference_mode(eqx.combine(parameters, self.frozen)))

    def predict(self, weights: Weights, run: int = 0) -> Float[Array, "*networks outputs"]:
        """A model's outputs for one network or for stacked ones: logits of classes, or targets in their own units.

        Raises:
            IndexError: there is no such run. ValueError: networks of another Symmetry. TypeError: a data set.
        """
        if isinstance(weights, WeightDataset):
            raise TypeError(
                f"weights is the data set {weights.metadata.name}; expected networks: result.predict(dataset.weights), "
                f"or train.predict(result, dataset) for a split"
            )
        symmetry, leaves = self.metadata.symmetry, jax.tree.leaves(weights)
        check_structure(weights, symmetry.treedef, "this Symmetry")
        stacked = np.ndim(leaves[0]) > len(symmetry.shapes[0])
        for name, leaf, shape in zip(symmetry.names, leaves, symmetry.shapes, strict=True):
            check_shape(name, np.shape(leaf)[int(stacked) :], shape, "this Symmetry")
        model, weights = self.model(run), on_device(weights)
        if stacked and not len(leaves[0]):
            outputs = eqx.filter_eval_shape(model, shapes_of_one(weights))
            return jnp.zeros((0, *outputs.shape), outputs.dtype)
        return _predicted(model, weights, stacked)

    def scores(self) -> list[dict[str, Any]]:
        """For each run the evaluation that was selected, and its last training score."""
        train = f"train_{self.task.metric.key}"
        last = max(line["epoch"] for line in self.history)
        chosen = []
        for run, epoch in enumerate(np.asarray(self.state.best_epoch)):
            at = {line["epoch"]: line for line in self.history if line["run"] == run}
            chosen.append({**at[int(epoch)], f"final_{train}": at[last][train]})
        return chosen

    def table(self) -> str:
        """The runs as text: the epoch that validation selected, with the scores there."""
        metric, lines = self.task.metric, [f"{'seed':>6}{'epoch':>7}{'train':>10}{'validation':>12}"]
        for line in self.scores():
            scores = [metric.shown(line[f"{split}_{metric.key}"]) for split in ("train", "validation")]
            lines.append(f"{line['seed']:>6}{line['epoch']:>7}{scores[0]:>10}{scores[1]:>12}")
        return "\n".join(lines)


@eqx.filter_jit
def _predicted(model: Reader, weights: Weights, stacked: bool) -> Array:
    return read_all(model, weights)[0] if stacked else model(weights)


def predict(result: Result, dataset: WeightDataset, split_name: str = "test", run: int = 0) -> Float[np.ndarray, "_ _"]:
    """A model's outputs for the networks of a split, in the split's order: logits, or targets in their own units.

    `result` is what `fit` or `load` gave; the labels of `dataset` are not used. `split_name` is `"train"`,
    `"validation"` or `"test"`; `run` says which of the runs.

    Raises:
        ValueError: no network in that split, or networks or classes other than those trained on.
        IndexError: there is no such run. TypeError: another thing than a `Result` or a data set.

    Example:
        `trained` is the result of a training on `networks`, a data set of digits.

        >>> predict(trained, networks).shape[1]
        10
    """
    check_same_kind(result, dataset)
    return np.asarray(result.predict(dataset.take(rows_of(dataset, split_name)).weights, run))


def evaluate(
    result: Result, dataset: WeightDataset, split_name: str = "test", *, copies: int = 1, augment: str = ""
) -> list[float]:
    """Each run's score on a split, with the parameters selected on validation: accuracies as fractions, or R2.

    Use the test split once, when all choices are made.

    `result` is what `fit` or `load` gave, `split_name` `"train"`, `"validation"` or `"test"`, of a `dataset` like that
    trained on. Outputs are averaged over so many `copies` of each network, augmented by a SPEC of steps on networks,
    such as `augment="flip_signs"` (`models.TestTimeAugmentation`).

    Raises:
        ValueError: no network in that split, networks, classes or targets other than those trained on, equal targets,
            several copies without an augmentation, or a SPEC of anything but steps on networks.
        DataError: a weight or a target that is not finite. TypeError: another thing than a `Result` or a data set.

    Example:
        `trained` is the result of a training on `networks`, a data set of digits.

        >>> 0 <= evaluate(trained, networks)[0] <= 1
        True
    """
    outputs, split = _outputs_on(result, dataset, split_name, copies, augment)
    return np.asarray(_scored(result.task, outputs, split.label), np.float64).tolist()


@functools.partial(jax.jit, static_argnums=0)
def _scored(task: Task, outputs: Float[Array, "runs networks outputs"], label: Array) -> Float[Array, " runs"]:
    return jax.vmap(lambda y: task.score(y, label))(outputs)


def kendall_tau(
    result: Result, dataset: WeightDataset, split_name: str = "test", *, copies: int = 1, augment: str = ""
) -> list[float]:
    """Each run's rank correlation on a split between targets and the outputs of a regressor, averaged over targets.

    tau_b = (C - D) / sqrt((C + D + T) (C + D + Y)): of all pairs of networks C are in the order of their targets, D in
    the other, T tie in the target alone and Y in the output alone. 1 is the right order, 0 chance, and what outputs
    that are all equal have. The arguments are those of `evaluate`: result, dataset, split_name, copies, augment.

    Raises:
        TypeError, ValueError: as `evaluate`, or the task is no regression.

    Source: Kendall 1945; how arXiv 2302.14040 compares predictors of the accuracies in a zoo.

    Example:
        `networks` is a data set; the targets are the PSNR of each network.

        >>> from dataclasses import replace
        >>> from wsjax import models, train
        >>> metadata = replace(networks.metadata, classes=(), label="target")
        >>> labeled = replace(networks, label=networks.columns["psnr"], metadata=metadata)
        >>> make_model = lambda key: models.FlatMLP(networks.symmetry, 1, key=key)
        >>> result = train.fit(labeled, make_model, train.TrainConfig(epochs=2), progress=False)
        >>> -1 <= kendall_tau(result, labeled)[0] <= 1
        True
    """
    check_same_kind(result, dataset)
    if not isinstance(result.task, Regression):
        raise ValueError(
            f"the task of the model is {type(result.task).__name__}; expected Regression, a training on float targets, "
            f"whose outputs have an order: evaluate gives its {result.task.metric.title}"
        )
    outputs = np.asarray(_outputs_on(result, dataset, split_name, copies, augment)[0])
    # As the data set has them: standardizing rounds, and could make ties.
    label = np.asarray(dataset.label[rows_of(dataset, split_name)], np.float64).reshape(outputs.shape[1:])
    return [float(np.mean([_tau(y, t) for y, t in zip(run.T, label.T, strict=True)])) for run in outputs]


def _tau(given: np.ndarray, label: np.ndarray) -> float:
    from scipy.stats import kendalltau

    found: Any = kendalltau(given, label)  # scipy's annotations do not know its fields
    return 0.0 if np.ptp(given) == 0 else float(found.statistic)


def _outputs_on(
    result: Result, dataset: WeightDataset, split_name: str, copies: int, augment: str
) -> tuple[Float[Array, "runs networks outputs"], Resident]:
    """The outputs of each run's model, in the units of the loss, and the split."""
    check_same_kind(result, dataset)
    check_number("copies", copies, low=1, integer=True)
    moved = parse(augment, dataset.symmetry) if read_spec(augment) else None
    if copies > 1 and moved is None:
        raise ValueError(
            f"copies is {copies} and augment is empty, so that all copies are the same; expected a SPEC of steps on "
            f"networks that moves them, such as augment='flip_signs', or one copy"
        )
    frozen, static = apart(result.frozen)
    split = resident(dataset, split_name, result.task)
    return _outputs(static, frozen, result.state.best, split.weights, moved, copies), split


@functools.partial(jax.jit, static_argnames=("static", "copies"))
def _outputs(
    static: Static, frozen: PyTree, best: PyTree, weights: PyTree, moved: Transform[Weights] | None, copies: int
) -> Float[Array, "runs networks outputs"]:
    def outputs(parameters: PyTree) -> Array:
        model = eqx.nn.inference_mode(eqx.combine(parameters, frozen, static.tree))
        averaged = model if moved is None else TestTimeAugmentation(model, moved, copies, key=jax.random.key(0))
        return read_all(averaged, weights)[0]

    return jax.vmap(outputs)(best)


def check_same_kind(result: Result, dataset: WeightDataset) -> None:
    """Raise ValueError where a data set's network, Symmetry or classes are not those that a model was trained on.

    And TypeError for another thing than a `Result` or a `WeightDataset`.
    """
    if not isinstance(result, Result):
        raise TypeError(f"result is {result!r}; expected what train.fit or train.load gave: train.load(directory)")
    check_dataset(dataset)
    metadata, trained_on = dataset.metadata, result.metadata
    differences = [
        f"{name} is {getattr(metadata, name)!r}; expected {getattr(trained_on, name)!r}"
        for name in ("network", "symmetry", "classes")
        if getattr(metadata, name) != getattr(trained_on, name)
    ]
    if differences:
        raise ValueError(
            f"{metadata.name} is not of the kind that the model was trained on, {trained_on.name}: "
            f"{listing(differences)}. Evaluate on networks of one architecture and with the same classes"
        )
