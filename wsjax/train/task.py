"""What a training learns: labels, loss, metric and outputs, for classes, for targets, or a task of your own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from wsjax.augment.grammar import Call, read_spec
from wsjax.data import Metadata, WeightDataset
from wsjax.data.dataset import check_classes
from wsjax.data.views import split_rows
from wsjax.errors import DataError, listing
from wsjax.models import Rescaled, Units
from wsjax.train.config import TrainConfig
from wsjax.train.model import read_all
from wsjax.typing import Batch, Key, Reader, Transform

OF_CLASSES = ("label_smoothing", "mixup_within_class")
"""Augmentations that take a label for a distribution over classes, which targets beside each other look like."""


@dataclass(frozen=True)
class Metric:
    """A score of which more is better.

    Attributes:
        key: in the names of records, as in `train_accuracy`.
        title, form: its name and its format for people.
    """

    key: str
    title: str
    form: str

    def shown(self, value: float) -> str:
        """A value as text.

        Example:
            >>> ACCURACY.shown(0.8125), R2.shown(0.8125)
            ('81.2%', '0.812')
        """
        return format(value, self.form)


ACCURACY = Metric("accuracy", "accuracy", ".1%")
R2 = Metric("r2", "R2", ".3f")
CONTRASTIVE_ACCURACY = Metric("contrastive_accuracy", "contrastive accuracy", ".1%")


def metric_in(line: Mapping[str, Any]) -> Metric:
    """The metric of a line of a history; of a task of your own its key stands for its title.

    Raises:
        ValueError: it has no score.

    Example:
        >>> metric_in({"epoch": 1, "train_r2": 0.2, "validation_r2": 0.1}).title
        'R2'
    """
    keys = [name.removeprefix("validation_") for name in line if str(name).startswith("validation_")]
    if not keys:
        raise ValueError(
            f"a line of metrics has {', '.join(map(str, line))}; expected a score on the validation split, such as "
            f"validation_accuracy, as wsjax.train writes it"
        )
    known = {metric.key: metric for metric in (ACCURACY, R2, CONTRASTIVE_ACCURACY)}
    return known.get(keys[0], Metric(keys[0], keys[0].replace("_", " "), ".3f"))


class Task:
    """What a training takes for labels, loss and metric. A task of your own overrides what differs.

    A step is compiled for a task and its settings: those of a frozen dataclass, or none.

    Attributes:
        metric: the score that selects the best epoch on the validation split.
        selects: whether the best epoch is kept, or the last.

    Example:
        The PSNR that each network reached, with the mean absolute difference as its loss.

        >>> class Quality(Task):
        ...     metric = Metric("closeness", "closeness", ".3f")
        ...     def labels(self, part, split_name):
        ...         return np.asarray(part.columns["psnr"], np.float32)[:, None]
        ...     def loss(self, outputs, label):
        ...         return jnp.mean(jnp.abs(outputs - label))
        ...     def score(self, outputs, label):
        ...         return -self.loss(outputs, label)
        >>> float(Quality().score(jnp.array([[20.0]]), jnp.array([[22.5]])))
        -2.5
    """

    metric: ClassVar[Metric]
    selects: ClassVar[bool] = True

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def check(self, dataset: WeightDataset, config: TrainConfig) -> None:
        """Raise ValueError for a data set or a configuration that it cannot learn from."""

    def labels(self, part: WeightDataset, split_name: str) -> np.ndarray:
        """The labels of the networks of one split, as they stand on the device.

        Raises:
            ValueError, DataError: labels that it cannot learn.
        """
        raise NotImplementedError

    def in_batch(self, label: Array) -> Array:
        """Labels as a batch holds them, and MixUp mixes them: floating point, (batch, ...)."""
        return label

    def drawn(self, augment: Transform[Batch], key: Key, batch: Batch) -> Batch:
        """What a step's model is applied to: the batch, augmented."""
        return augment(key, batch)

    def loss(self, outputs: Float[Array, "batch outputs"], label: Array) -> Float[Array, ""]:
        """The mean loss of a batch."""
        raise NotImplementedError

    def score(self, outputs: Float[Array, "networks outputs"], label: Array) -> Float[Array, ""]:
        """The metric over a split, of its labels as `labels` gives them."""
        raise NotImplementedError

    def scores(
        self, model: Reader, augment: Transform[Batch], key: Key, *splits: Any, batch_size: int
    ) -> list[Float[Array, ""]]:
        """The metric over each of some splits."""
        outputs = read_all(model, *[split.weights for split in splits])
        return [self.score(found, split.label) for found, split in zip(outputs, splits, strict=True)]

    def check_outputs(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError for a model whose outputs for one network have a shape that the loss cannot take."""

    @property
    def out_size(self) -> int | None:
        """The number of outputs that a model needs; None where it is free."""
        return None

    def in_units(self, model: Reader) -> Reader:
        """A trained model as users call it, its outputs in the units of the labels."""
        return model

    def to_json(self) -> dict[str, Any]:
        """What a record states of it: its class and settings, which resuming compares."""
        return {"name": type(self).__qualname__, **vars(self)}


@dataclass(frozen=True)
class Classification(Task):
    """Integer labels: the loss is the cross-entropy, the metric the accuracy, an output the logit of a class.

    Attributes:
        classes: their number.
    """

    metric: ClassVar[Metric] = ACCURACY
    classes: int

    def labels(self, part: WeightDataset, split_name: str) -> np.ndarray:
        check_classes(part)
        label = np.asarray(part.label, np.int32)
        if label.max() >= self.classes:
            raise ValueError(
                f"the labels of {part.metadata.name} in the split {split_name!r} run to {label.max()}; expected 0 to "
                f"{self.classes - 1}, as the task is Classification({self.classes}): give it the number of classes"
            )
        return label

    def in_batch(self, label: Array) -> Array:
        return jax.nn.one_hot(label, self.classes)

    def loss(self, outputs: Array, label: Array) -> Float[Array, ""]:
        return jnp.mean(optax.softmax_cross_entropy(outputs, label))

    def score(self, outputs: Array, label: Array) -> Float[Array, ""]:
        """The fraction of networks whose largest output is that of their class.

        Example:
            >>> float(Classification(2).score(jnp.eye(2), jnp.array([0, 0])))
            0.5
        """
        return jnp.mean((jnp.argmax(outputs, axis=1).astype(label.dtype) == label).astype(jnp.float32))

    def check_outputs(self, shape: tuple[int, ...]) -> None:
        _check_outputs(shape, (self.classes,), "classes")

    @property
    def out_size(self) -> int:
        return self.classes

    def to_json(self) -> dict[str, Any]:
        return {"name": "classification", "classes": self.classes}


@dataclass(frozen=True)
class Regression(Task):
    """Float labels, targets t: the model learns (t - mean) / std, of mean 0 and variance 1, by the mean square.

    The metric is R2 = 1 - sum (t - y)^2 / sum (t - mean)^2 over the split, averaged over targets: 1 is without a
    fault, 0 no better than to give the mean each time, and there is no least.

    Attributes:
        mean, std: of each target over the training split. Trainings that differ in them alone share one program.
    """

    metric: ClassVar[Metric] = R2
    outputs: int
    mean: tuple[float, ...] = field(compare=False, default=())
    std: tuple[float, ...] = field(compare=False, default=())

    def check(self, dataset: WeightDataset, config: TrainConfig) -> None:
        if found := of_classes(config.augment):
            raise ValueError(
                f"{listing(found)} in {config.augment!r}: the labels of {dataset.metadata.name} are targets, and "
                f"that works on distributions over classes; leave it out, or mix targets by mixup, mixup_aligned or "
                f"another of their kind"
            )
        for name in ("mean", "std"):
            if len(found := getattr(self, name)) != self.outputs:
                raise ValueError(
                    f"{name} is {found}; expected a number for each of {self.outputs} targets: leave the task out, "
                    f"and train.fit takes mean and std from the training labels"
                )

    def labels(self, part: WeightDataset, split_name: str) -> np.ndarray:
        """Standardized targets, float32 (networks, targets), computed in float64."""
        if not has_targets(part):
            raise ValueError(
                f"the labels of {part.metadata.name} have dtype {part.label.dtype}; expected floats, "
                f"as the model was trained on targets: label the networks with those"
            )
        values = targets_of(part.metadata, part.label, split_name)
        if values.shape[1] != self.outputs:
            raise ValueError(
                f"the labels of {part.metadata.name} have {values.shape[1]} targets a network; expected "
                f"{self.outputs}, as the model was trained on: keep those"
            )
        return ((values - np.array([self.mean])) / np.array([self.std])).astype(np.float32)

    def loss(self, outputs: Array, label: Array) -> Float[Array, ""]:
        return jnp.mean(jnp.square(outputs - label))

    def score(self, outputs: Array, label: Array) -> Float[Array, ""]:
        """R2.

        Example:
            >>> outputs, label = jnp.array([[1.0], [2.0], [3.0]]), jnp.array([[1.0], [2.0], [6.0]])
            >>> round(float(Regression(1).score(outputs, label)), 4)   # the last is 3 off
            0.3571
        """
        missed = jnp.sum(jnp.square(label - outputs), axis=0)
        varied = jnp.sum(jnp.square(label - jnp.mean(label, axis=0, keepdims=True)), axis=0)
        return jnp.mean(1 - missed / varied)

    def check_outputs(self, shape: tuple[int, ...]) -> None:
        _check_outputs(shape, (self.outputs,), "targets")

    @property
    def out_size(self) -> int:
        return self.outputs

    def in_units(self, model: Reader) -> Reader:
        return Rescaled(model, Units(self.mean, self.std))

    def to_json(self) -> dict[str, Any]:
        return {"name": "regression", "mean": list(self.mean), "std": list(self.std)}


def _check_outputs(found: tuple[int, ...], expected: tuple[int, ...], what: str) -> None:
    if found != expected:
        raise ValueError(
            f"the model's outputs for one network have shape {found}; expected {expected}, one for each of the {what} "
            f"of the data set: make it with out_size={expected[0]}"
        )


def task_for(dataset: WeightDataset) -> Task:
    """The task that the labels of a data set ask for: classification of integers, regression of floats.

    Raises:
        ValueError, DataError: no network to train on, labels without classes, or targets that cannot be learned.
    """
    if not has_targets(dataset):
        if not dataset.metadata.classes:
            raise ValueError(
                f"the labels of {dataset.metadata.name} have dtype {dataset.label.dtype} and its metadata names no "
                f"classes; expected one at least: name them in the metadata, or make the labels floats where they are "
                f"targets"
            )
        return Classification(len(dataset.metadata.classes))
    label = dataset.label[rows_of(dataset, "train")]
    values = targets_of(dataset.metadata, label, "train")
    mean, std = values.mean(axis=0), values.std(axis=0)
    floats, worst = np.finfo(np.float32), np.abs(values).max(axis=0)
    # Outputs are float32: beside a large mean a small deviation would be lost in rounding.
    least = np.maximum(floats.tiny, 1e3 * floats.eps * worst)
    for i, beyond in enumerate((worst > floats.max) | (std < least)):
        if beyond:
            raise ValueError(
                f"target {i} of {dataset.metadata.name} runs from {values[:, i].min():g} to {values[:, i].max():g}, "
                f"with a deviation of {std[i]:g}; expected numbers whose differences float32 holds: give the target in "
                f"another unit, or less an offset"
            )
    return Regression(len(mean), tuple(mean.tolist()), tuple(std.tolist()))


def rows_of(dataset: WeightDataset, split_name: str) -> np.ndarray:
    """The rows of a split; raises ValueError where it has none."""
    rows = split_rows(dataset.columns, split_name)
    if len(rows) == 0:
        raise ValueError(
            f"{dataset.metadata.name} has no network in the split {split_name!r}; expected one at least: split it by "
            f"dataset.random_split(jax.random.key(0), (0.8, 0.1, 0.1)), or fit data.images(pixels, labels, split=...)"
        )
    return rows


def has_targets(dataset: WeightDataset) -> bool:
    """Whether the labels are floats, which are targets; integers are classes."""
    return bool(jnp.issubdtype(dataset.label.dtype, jnp.floating))


def targets_of(metadata: Metadata, label: np.ndarray, split_name: str) -> np.ndarray:
    """The targets of one split by its labels, (networks, targets) in float64.

    Raises:
        ValueError: labels of another shape, metadata that name classes, or a target that is the same everywhere.
        DataError: a target that is not finite.
    """
    name = metadata.name
    if metadata.classes:
        raise ValueError(
            f"the labels of {name} are floats and its metadata names {len(metadata.classes)} classes; expected "
            f"integers, or metadata without classes: replace(dataset, label=dataset.label.astype(int)) where they are "
            f"classes, replace(dataset, metadata=replace(dataset.metadata, classes=())) where they are targets"
        )
    if label.ndim not in (1, 2) or label.size == 0:
        raise ValueError(
            f"the labels of {name} have shape {label.shape}; expected (networks,) or (networks, targets): lay out the "
            f"numbers of each target in a row"
        )
    values = np.asarray(label, np.float64).reshape(len(label), -1)
    for i, column in enumerate(values.T):
        if not np.isfinite(column).all():
            rows = np.flatnonzero(~np.isfinite(column))
            raise DataError(
                f"target {i} of {name} is not finite for {len(rows)} of {len(column)} networks of the split "
                f"{split_name!r} (rows {listing(rows[:5])}{', ...' if len(rows) > 5 else ''}); expected finite "
                f"numbers. Leave those networks out"
            )
        # Not the deviation: that of equal numbers need not come out as 0.
        if column.min() == column.max():
            raise ValueError(
                f"target {i} of {name} is {column[0]:g} for each of {len(column)} networks of the split "
                f"{split_name!r}; expected some that differ, as targets are learned in units of their deviation. Leave "
                f"that target out of the labels, or have other networks in the split"
            )
    return values


def of_classes(spec: str) -> list[str]:
    """The steps of a SPEC that need classes.

    Example:
        >>> of_classes("noise | label_smoothing(rate=0.1)")
        ['label_smoothing']
    """
    return [step for step in OF_CLASSES if step in _names(read_spec(spec))]


def _names(steps: tuple[Call, ...]) -> set[str]:
    inner = (_names(pipe) for step in steps for pipe in step.pipes)
    return {step.name for step in steps}.union(*inner)
