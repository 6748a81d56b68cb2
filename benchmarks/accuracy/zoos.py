"""Readers of networks whose Symmetry is inferred from their program, with and without augmentation by its group.

`python -m benchmarks.accuracy.zoos --json benchmarks/accuracy/zoos.json --out runs/zoos` trains two zoos, many networks
side by side by `jax.vmap`, each with settings of its own: small residual CNNs with LayerNorm on Fashion-MNIST at 14 x
14 pixels, and adapters of rank 4 of one transformer of characters, trained on Python's source code. The Symmetry of a
zoo is `symmetry.infer` of its program. Readers then predict the test accuracy of a CNN and the test loss of an adapter.

Each reader tries three learning rates and is trained from three seeds at the one that validation has chosen; its test
split is used once. What is finished, a part of a zoo or a reader, is kept in `--out`: the same command goes on.
"""

import argparse
import functools
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from benchmarks.accuracy.cell import Cell, choose, commit, same_cell, score_test_once
from benchmarks.accuracy.merging import (
    Examples,
    Task,
    Transformer,
    adapted,
    cross_entropy,
    garments,
    new_adapter,
    texts,
    trained,
)
from benchmarks.speed.harness import check_writable, machine
from wsjax import data, symmetry
from wsjax.data.sources import SPLITS
from wsjax.host import use_host_well
from wsjax.models import NamedReader
from wsjax.networks.cnn import by_patches
from wsjax.storage import files
from wsjax.train import Result, Run, fit, kendall_tau, record
from wsjax.train.results import row_of, stopwatch, summary_table
from wsjax.typing import Key

COUNT, PART = 500, 25
"""Networks of a zoo, and those that one program trains side by side, which are stored together."""
SCORED = 100
"""Examples on which a network is scored at the same time."""
FRACTIONS = (0.6, 0.2, 0.2)
"""Of the networks, to train readers on, to choose by, and to test on."""


class Zoo(NamedTuple):
    """Networks of one program, each trained with AdamW on part of the examples, with settings of its own.

    Attributes:
        init, apply: of one network.
        examples: what they are trained and tested on; classes: the number of labels.
        steps: the most of them; batch: examples in one.
        target: the column that readers predict.
    """

    init: Callable[[Key], PyTree]
    apply: Callable[..., Any]
    examples: Examples
    classes: int
    steps: int
    batch: int
    target: str


class Residual(nn.Module):
    """A CNN of two residual blocks with LayerNorm, the second at half the resolution and twice the channels."""

    channels: int = 6

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = functools.partial(nn.Conv, use_bias=False, conv_general_dilated=by_patches)
        x = nn.relu(nn.LayerNorm()(conv(self.channels, (3, 3), (2, 2))(x)))
        for channels, stride in ((self.channels, 1), (2 * self.channels, 2)):
            y = nn.relu(nn.LayerNorm()(conv(channels, (3, 3), (stride, stride))(x)))
            y = nn.LayerNorm()(conv(channels, (3, 3))(y))
            if stride == 2:
                x = conv(channels, (1, 1), (2, 2))(x)
            x = nn.relu(x + y)
        return nn.Dense(10)(x.mean(axis=(1, 2)))


def cnns() -> Zoo:
    """Of 1,000 images to train on and 2,000 to test on, each pixel the mean of four."""
    images = garments()
    halved = lambda x: x.reshape(len(x), 14, 2, 14, 2, 1).mean(axis=(2, 4))
    examples = Examples(
        halved(images.inputs[:1000]), images.labels[:1000], halved(images.test_inputs), images.test_labels
    )
    module = Residual()
    return Zoo(lambda key: module.init(key, examples.inputs[:1]), module.apply, examples, 10, 200, 32, "test_accuracy")


def loras() -> Zoo:
    """Of a transformer trained on Python's documentation; they have 600 windows of its source, and 200 to test on."""
    vocabulary, documentation, source = texts()
    module = Transformer(vocabulary, width=32, heads=2)
    examples = Examples(source.inputs[:600], source.labels[:600], source.test_inputs[:200], source.test_labels[:200])
    key = jax.random.key(0)
    initial = jax.jit(module.init)(key, examples.inputs[:1])
    base = trained(module.apply, initial, Task(module, documentation, 1000, 16, 3e-3), key)
    apply = lambda adapter, tokens: module.apply(adapted(base, adapter), tokens)
    return Zoo(lambda key: new_adapter(base, key), apply, examples, vocabulary, 120, 8, "test_loss")


ZOOS: dict[str, Callable[[], Zoo]] = {"cnn": cnns, "lora": loras}


def settings(zoo: Zoo, key: Key) -> dict[str, jax.Array]:
    """A network's own: `label_noise`, the fraction of labels drawn anew, uniformly, the others log-uniformly."""
    ranges = {
        "learning_rate": (1e-3, 3e-2),
        "weight_decay": (1e-3, 1.0),
        "fraction": (0.02, 1.0),
        "steps": (zoo.steps / 10, zoo.steps),
    }
    drawn = {
        name: jnp.exp(jax.random.uniform(jax.random.fold_in(key, i), (), minval=math.log(low), maxval=math.log(high)))
        for i, (name, (low, high)) in enumerate(ranges.items())
    }
    return {**drawn, "label_noise": jax.random.uniform(jax.random.fold_in(key, len(ranges)), maxval=0.5)}


def network(zoo: Zoo, number: jax.Array) -> tuple[PyTree, dict[str, jax.Array]]:
    """The weights of one network of a zoo, and its columns."""
    keys = [jax.random.fold_in(jax.random.fold_in(jax.random.key(0), number), i) for i in range(6)]
    own, weights = settings(zoo, keys[0]), zoo.init(keys[1])
    inputs, labels, *test = map(jnp.asarray, zoo.examples)
    anew = jax.random.uniform(keys[2], labels.shape) < own["label_noise"]
    labels = jnp.where(anew, jax.random.randint(keys[3], labels.shape, 0, zoo.classes), labels)
    order = jax.random.permutation(keys[4], len(inputs))
    count = jnp.ceil(own["fraction"] * len(inputs)).astype(jnp.int32)
    optimizer = optax.adamw(own["learning_rate"], weight_decay=own["weight_decay"])

    def step(i: jax.Array, carry: tuple[PyTree, Any]) -> tuple[PyTree, Any]:
        weights, state = carry
        rows = order[jax.random.randint(jax.random.fold_in(keys[5], i), (zoo.batch,), 0, count)]
        loss = lambda weights: cross_entropy(zoo.apply(weights, inputs[rows]), labels[rows])
        updates, state = optimizer.update(jax.grad(loss)(weights), state, weights)
        updates = jax.tree.map(lambda update: jnp.where(i < own["steps"], update, 0.0), updates)
        return optax.apply_updates(weights, updates), state

    weights, _ = jax.lax.fori_loop(0, zoo.steps, step, (weights, optimizer.init(weights)))
    known = (jnp.arange(len(inputs)) < count).astype(jnp.float32)

    def score(example: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
        logits, label = zoo.apply(weights, example[0][None])[0], example[1]
        right = (jnp.argmax(logits, axis=-1) == label).astype(jnp.float32)
        return {"loss": cross_entropy(logits, label), "accuracy": right.mean()}

    everything = tuple(jnp.concatenate([x[order], y]) for x, y in zip((inputs, labels), test, strict=True))
    for name, each in jax.lax.map(score, everything, batch_size=SCORED).items():
        own[f"train_{name}"] = (each[: len(inputs)] * known).sum() / known.sum()
        own[f"test_{name}"] = each[len(inputs) :].mean()
    return weights, own


def networks_of(name: str, make: Callable[[], Zoo], out: Path, count: int, part: int) -> data.WeightDataset:
    """A zoo in three splits. Its parts are made where `out` lacks them, on all cores."""
    paths = {first: out / f"{first:04d}-{part}" for first in range(0, count, part)}
    missing = [first for first in paths if not paths[first].exists()]
    if missing:
        zoo = make()
        print(f"{name}: making {len(missing) * part} of {count} networks", flush=True)
        spec = symmetry.infer(zoo.apply, jax.eval_shape(zoo.init, jax.random.key(0)), zoo.examples.inputs[:2])
        print(f"{name}: {spec}", flush=True)
        several = jax.jit(jax.vmap(functools.partial(network, zoo))).lower(np.arange(part, dtype=np.int32)).compile()

        def store(first: int) -> None:
            numbers = np.arange(first, first + part, dtype=np.int32)
            weights, columns = jax.tree.map(np.asarray, several(numbers))
            each = [spec.unflatten([leaf[i] for leaf in jax.tree.leaves(weights)]) for i in range(part)]
            columns["image"], label = numbers, columns[zoo.target]
            made = data.WeightDataset.from_networks(each, label, symmetry=spec, columns=columns, name=name)
            unfinished = paths[first].with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            data.save(made, unfinished)
            unfinished.rename(paths[first])
            print(f"{name}: {first} to {first + part - 1}, mean {zoo.target} {label.mean():.3f}", flush=True)

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            list(threads.map(store, missing))
    return data.concatenate([data.load(path) for path in paths.values()]).random_split(jax.random.key(0), FRACTIONS)


@dataclass(frozen=True)
class TargetCell(Cell):
    """A cell of a data set with one target, whose scores are R2 and Kendall's tau."""

    def fit(self, networks: data.WeightDataset, runs: Sequence[Run], out: Path) -> Result:
        make_model = NamedReader(self.reader, networks.metadata, self.settings, out_size=1)
        return fit(networks, make_model, self.config, runs=runs, out=out, progress=False)

    def run(self, networks: data.WeightDataset, out: Path) -> dict[str, Any]:
        """Its row; a finished one is read from `out`. Choices are made without the test split."""
        path = out / record.RESULT
        if path.exists():
            return same_cell(files.read_json(path), self.identity, out)
        untested = networks.where(lambda columns: columns["split"] != SPLITS.index("test"))
        with stopwatch(out) as spent:
            best, tried = choose(self, untested, out / "tried")
            result = self.fit(untested, [replace(best, seed=seed) for seed in self.seeds], out / "seeds")
            test = score_test_once(self, result, networks, out)
        row = {
            "cell": self.title,
            "identity": self.identity,
            **row_of(result, test, kendall_tau(result, networks)),
            "seeds": list(self.seeds),
        }
        row |= {"tried": tried, "epochs": self.epochs, "commit": commit(), "machine": machine(), **spent}
        files.write_json(path, row)
        return row


AUGMENTATIONS = {
    "cnn": {"none": "", "group": "permute | rescale", "noise": "noise(std=0.1)", "mixup": "mixup"},
    "lora": {"none": "", "group": "mix_basis", "noise": "noise(std=0.1)", "mixup": "mixup"},
}
"""Of each zoo; `group` draws from the group that was inferred."""
READERS: dict[str, tuple[str, ...]] = {
    "statistics": ("none",),
    "mlp": ("none", "group"),
    "dws": ("none", "group", "noise", "mixup"),
    "weight_gcn": ("none", "group", "noise", "mixup"),
    "array_encoder": ("none", "group"),
}
"""The augmentations of each reader; the first two are baselines."""
EPOCHS, RATES = 60, (1e-3, 4e-3, 1.6e-2)


def cells_of(zoo: str) -> list[TargetCell]:
    return [
        TargetCell(
            zoo,
            reader,
            "small",
            configuration,
            AUGMENTATIONS[zoo][configuration],
            epochs=EPOCHS,
            evaluate_every=min(EPOCHS, 5),
            batch_size=60,
            tried=tuple(Run(learning_rate=rate) for rate in RATES),
        )
        for reader, configurations in READERS.items()
        for configuration in configurations
    ]


def described(networks: data.WeightDataset) -> dict[str, Any]:
    """The inferred Symmetry, the sizes of splits, and the range of each column."""
    ranges = {
        name: [float(x) for x in np.quantile(column, (0.0, 0.25, 0.5, 0.75, 1.0))]
        for name, column in networks.columns.items()
        if column.dtype == np.float32
    }
    return {
        "symmetry": str(networks.symmetry),
        "weights": sum(leaf[0].size for leaf in jax.tree.leaves(networks.weights)),
        "networks": {split: len(networks.split(split)) for split in SPLITS},
        "quartiles": ranges,
    }


def report(
    out: Path, save: Callable[[Mapping[str, Any]], None] = lambda found: None, count: int = COUNT, part: int = PART
) -> dict[str, Any]:
    """Every row; `save` is given all that is known whenever something is finished."""
    found: dict[str, Any] = {
        "command": "python -m benchmarks.accuracy.zoos",
        "machine": machine(),
        "zoos": {},
        "rows": [],
    }
    for name, make in ZOOS.items():
        networks = networks_of(name, make, out / "data" / name, count, part)
        found["zoos"][name] = described(networks)
        for cell in cells_of(name):
            row = cell.run(networks, out / cell.title)
            found["rows"].append(row)
            save(found)
            print(f"{cell.title}: R2 {row['test_r2_mean']:.3f} +- {row['test_r2_sd']:.3f}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.zoos", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="save the figures here")
    parser.add_argument("--out", type=Path, default=Path("runs/zoos"), help="where zoos and readers lie (runs/zoos)")
    asked = parser.parse_args()
    if asked.json:
        check_writable(asked.json)
    use_host_well()
    found = report(asked.out, functools.partial(files.write_json, asked.json) if asked.json else lambda found: None)
    print(summary_table({row["cell"]: row for row in found["rows"]}))


if __name__ == "__main__":
    main()
