"""What a training learns: labels, loss, metric and outputs, for classes, for targets, or a task of your own."""

from abc import ABC, abstractmethod
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
from wsjax.errors import DataError, check_number, listing
from wsjax.models.wrappers import Rescaled, Units
from wsjax.train.config import TrainConfig
from wsjax.train.model import read_all
from wsjax.typing import Batch, Key, Reader, Transform

OF_CLASSES = {"label_smoothing", "mixup_within_class"}
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
        """A value as text."""
        return format(value, self.form)


ACCURACY = Metric("accuracy", "accuracy", ".1%")
R2 = Metric("r2", "R2", ".3f")
CONTRASTIVE_ACCURACY = Metric("contrastive_accuracy", "contrastive accuracy", ".1%")


def metric_named(key: str) -> Metric:
    """The metric of a key; for a task of your own the key is its title."""
    known = {metric.key: metric for metric in (ACCURACY, R2, CONTRASTIVE_ACCURACY)}
    return known.get(key, Metric(key, key.replace("_", " "), ".3f"))


def metric_in(line: Mapping[str, Any]) -> Metric:
    """The metric of a line of a history."""
    keys = [name.removeprefix("validation_") for name in line if str(name).startswith("validation_")]
    if not keys:
        raise ValueError(
            f"a line of metrics has {', '.join(map(str, line))}; expected a score on the validation split, such as "
            f"validation_accuracy, as wsjax.train writes it"
        )
    return metric_named(keys[0])


class Task(ABC):
    """Labels, loss and metric of a training. A task of your own gives `metric`, `labels`, `loss` and `score`.

    A step is compiled for a task and its settings: those of a frozen dataclass, or none.

    Attributes:
        metric: the score that selects the best epoch on the validation split.
        selects: whether the best epoch is kept, or the last.
        out_size: the number of outputs of a model, which is checked; None leaves it free.

    Example:
        The PSNR of each network, with the mean absolute difference as the loss.

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

    def check(self, dataset: WeightDataset, config: TrainConfig) -> None:  # noqa: B027 - most tasks refuse nothing
        """Raise ValueError for a data set or a configuration that it cannot learn from."""

    @abstractmethod
    def labels(self, part: WeightDataset, split_name: str) -> np.ndarray:
        """The labels of one split, (networks, ...); raises ValueError or DataError where it cannot learn them."""

    def in_batch(self, label: Array) -> Array:
        """Labels as a batch holds them, and MixUp mixes them: floating point, (batch, ...)."""
        return label

    def drawn(self, augment: Transform[Batch], key: Key, batch: Batch) -> Batch:
        """What a step's model is applied to: the batch, augmented."""
        return augment(key, batch)

    @abstractmethod
    def loss(self, outputs: Float[Array, "batch outputs"], label: Array) -> Float[Array, ""]:
        """The mean loss of a batch, of its labels as `in_batch` gives them."""

    @abstractmethod
    def score(self, outputs: Float[Array, "networks outputs"], label: Array) -> Float[Array, ""]:
        """The metric over a split, of its labels as `labels` gives them."""

    def scores(
        self, model: Reader, augment: Transform[Batch], key: Key, *splits: Any, batch_size: int
    ) -> list[Float[Array, ""]]:
        """The metric over each of some splits."""
        outputs = read_all(model, *[split.weights for split in splits])
        return [self.score(found, split.label) for found, split in zip(outputs, splits, strict=True)]

    @property
    def out_size(self) -> int | None:
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

    Example:
        >>> float(Classification(2).score(jnp.eye(2), jnp.array([0, 0])))   # the largest logit is that of the class
        0.5
    """

    metric: ClassVar[Metric] = ACCURACY
    classes: int

    def __post_init__(self):
        check_number("classes", self.classes, low=1, integer=True)

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
        return jnp.mean((jnp.argmax(outputs, axis=1).astype(label.dtype) == label).astype(jnp.float32))

    @property
    def out_size(self) -> int:
        return self.classes

    def to_json(self) -> dict[str, Any]:
        return {"name": "classification", "classes": self.classes}


@dataclass(frozen=True)
class Regression(Task):
    """Float labels, targets t: the model learns (t - mean) / std, of mean 0 and variance 1, by the mean square.

    The metric is R2 = 1 - sum (t - y)^2 / sum (t - mean)^2 over the split, averaged over targets: 1 without errors, 0
    for outputs that are always the mean, and unbounded below.

    Attributes:
        outputs: the number of targets.
        mean, std: of each target over the training split. Trainings that differ in them alone share one program.

    Example:
        >>> outputs, label = jnp.array([[1.0], [2.0], [3.0]]), jnp.array([[1.0], [2.0], [6.0]])
        >>> round(float(Regression(1).score(outputs, label)), 4)   # the last is 3 off
        0.3571
    """

    metric: ClassVar[Metric] = R2
    outputs: int
    mean: tuple[float, ...] = field(compare=False, default=())
    std: tuple[float, ...] = field(compare=False, default=())

    def __post_init__(self):
        check_number("outputs", self.outputs, low=1, integer=True)
        for deviation in self.std:
            check_number("std", deviation, low=0, open_low=True)

    def check(self, dataset: WeightDataset, config: TrainConfig) -> None:
        if found := of_classes(config.augment):
            raise ValueError(
                f"{listing(found)} in {config.augment!r}: the labels of {dataset.metadata.name} are targets, and that "
                f"works on distributions over classes; leave it out, or mix targets by mixup, mixup_aligned or the like"
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
        missed = jnp.sum(jnp.square(label - outputs), axis=0)
        varied = jnp.sum(jnp.square(label - jnp.mean(label, axis=0, keepdims=True)), axis=0)
        return jnp.mean(1 - missed / varied)

    @property
    def out_size(self) -> int:
        return self.outputs

    def in_units(self, model: Reader) -> Reader:
        return Rescaled(model, Units(self.mean, self.std))

    def to_json(self) -> dict[str, Any]:
        return {"name": "regression", "mean": list(self.mean), "std": list(self.std)}


def task_for(dataset: WeightDataset) -> Task:
    """Classification of integer labels, regression of float ones; raises where they cannot be learned."""
    if not has_targets(dataset):
        if not dataset.metadata.classes:
            raise ValueError(
                f"the labels of {dataset.metadata.name} have dtype {dataset.label.dtype} and its metadata names no "
                f"classes; expected one at least: name them in the metadata, or make the labels floats where they are "
                f"targets"
            )
        return Classification(len(dataset.metadata.classes))
    values = targets_of(dataset.metadata, dataset.label[rows_of(dataset, "train")], "train")
    mean, std = values.mean(axis=0), values.std(axis=0)
    floats, worst = np.finfo(np.float32), np.abs(values).max(axis=0)
    # Outputs are float32: beside a large mean a small deviation would be lost in rounding.
    least = np.maximum(floats.tiny, 1e3 * floats.eps * worst)
    for i in np.flatnonzero((worst > floats.max) | (std < least)):
        raise ValueError(
            f"target {i} of {dataset.metadata.name} runs from {values[:, i].min():g} to {values[:, i].max():g}, "
            f"with a deviation of {std[i]:g}; expected numbers whose differences float32 holds: give the target in "
            f"another unit, or less an offset"
        )
    return Regression(len(mean), tuple(mean.tolist()), tuple(std.tolist()))


def check_dataset(dataset: WeightDataset) -> None:
    """Raise TypeError for what is no data set, such as the directory of one."""
    if not isinstance(dataset, WeightDataset):
        raise TypeError(f"dataset is {dataset!r:.60}; expected a WeightDataset, such as data.load(directory) gives")


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
    """The targets of one split by its labels, (networks, targets) in float64; raises where they cannot be learned."""
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
        of = f"{len(column)} networks of the split {split_name!r}"
        if len(rows := np.flatnonzero(~np.isfinite(column))):
            raise DataError(
                f"target {i} of {name} is not finite for {len(rows)} of {of} (rows {listing(rows[:5])}"
                f"{', ...' if len(rows) > 5 else ''}); expected finite numbers. Leave those networks out"
            )
        # Not the deviation: that of equal numbers need not come out as 0.
        if column.min() == column.max():
            raise ValueError(
                f"target {i} of {name} is {column[0]:g} for each of {of}; expected some that differ, as targets are "
                f"learned in units of their deviation. Leave that target out of the labels, or have other networks in "
                f"the split"
            )
    return values


def of_classes(spec: str) -> list[str]:
    """The steps of a SPEC, at any depth, that need classes."""

    def names(steps: tuple[Call, ...]) -> set[str]:
        return {step.name for step in steps}.union(*(names(pipe) for step in steps for pipe in step.pipes))

    return sorted(OF_CLASSES & names(read_spec(spec)))
