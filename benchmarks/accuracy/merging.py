"""Networks that were trained independently, merged with and without alignment by the symmetry of their own program.

`python -m benchmarks.accuracy.merging --json benchmarks/accuracy/merging.json` trains pairs from independent
initializations, infers the symmetry of the network from its program (`symmetry.infer`), and takes the loss along the
straight path between the two, as arXiv 2209.04836 does: of two Flax CNNs and of two narrow ResNet-20 with LayerNorm on
Fashion-MNIST, and of two transformers that predict the next character of Python's documentation. Then two low-rank
adapters of one such transformer, trained on Python's source code, are merged: their factors averaged as they are, after
alignment of their ranks, and, for comparison, the average of their products, which no adapter of that rank holds.
"""

import argparse
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from benchmarks.speed.harness import check_writable, machine
from wsjax import data, symmetry
from wsjax.host import use_host_well
from wsjax.storage import files
from wsjax.symmetry.align import Over
from wsjax.typing import Key

PAIRS, POINTS, RANK = 3, 25, 4
LENGTH, HELD_BACK = 64, 20_000
"""Characters that a transformer is given at once, and those at a text's end that losses are taken on."""
WAYS: dict[str, Over | None] = {"as trained": None, "permutation": "permutation", "full": "full"}


class Examples(NamedTuple):
    """Inputs with integer labels, to train and to test on."""

    inputs: np.ndarray
    labels: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray


class Task(NamedTuple):
    """A network, its examples, and how it is trained: Adam on batches, at a rate that falls to 0 along a cosine."""

    module: nn.Module
    examples: Examples
    steps: int
    batch: int
    rate: float


class CNN(nn.Module):
    channels: tuple[int, ...] = (32, 64)
    width: int = 128

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for channels in self.channels:
            x = nn.max_pool(nn.relu(nn.Conv(channels, (3, 3))(x)), (2, 2), strides=(2, 2))
        return nn.Dense(10)(nn.relu(nn.Dense(self.width)(x.reshape(len(x), -1))))


class ResNet(nn.Module):
    """A ResNet-20 with LayerNorm, three blocks a stage."""

    channels: int = 8
    blocks: int = 3

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = functools.partial(nn.Conv, use_bias=False)
        x = nn.relu(nn.LayerNorm()(conv(self.channels, (3, 3))(x)))
        for stage in range(3):
            for block in range(self.blocks):
                channels, stride = self.channels * 2**stage, 2 if stage and not block else 1
                y = nn.relu(nn.LayerNorm()(conv(channels, (3, 3), (stride, stride))(x)))
                y = nn.LayerNorm()(conv(channels, (3, 3))(y))
                if stride == 2:
                    x = nn.LayerNorm()(conv(channels, (1, 1), (2, 2))(x))
                x = nn.relu(x + y)
        return nn.Dense(10)(x.mean(axis=(1, 2)))


class Transformer(nn.Module):
    """A causal transformer of characters."""

    vocabulary: int
    width: int = 64
    heads: int = 4
    blocks: int = 2

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        places = self.param("places", nn.initializers.normal(0.02), (LENGTH, self.width))
        x = nn.Embed(self.vocabulary, self.width)(tokens) + places[None, : tokens.shape[1]]
        mask = nn.make_causal_mask(tokens)
        for _ in range(self.blocks):
            x = x + nn.MultiHeadDotProductAttention(self.heads)(nn.LayerNorm()(x), mask=mask)
            x = x + nn.Dense(self.width)(nn.gelu(nn.Dense(2 * self.width)(nn.LayerNorm()(x))))
        return nn.Dense(self.vocabulary)(nn.LayerNorm()(x))


def garments() -> Examples:
    """10,000 images of Fashion-MNIST to train on and 2,000 to test on, pixels from 0 to 1."""
    images = data.load_images("fashion-mnist")
    train, test = (np.flatnonzero(images.split == number) for number in (0, 2))
    take = lambda rows: (images.pixels[rows].astype(np.float32), images.label[rows].astype(np.int32))
    return Examples(*take(train[:10_000]), *take(test[:2000]))


def texts() -> tuple[int, Examples, Examples]:
    """The number of characters, ASCII alone, and windows of Python's documentation and source, to predict the next."""
    import argparse as module_of_the_library
    import pydoc_data.topics

    documentation = "".join(pydoc_data.topics.topics.values())
    library = sorted(Path(module_of_the_library.__file__).parent.glob("*.py"))
    source = "".join(path.read_text(encoding="utf-8", errors="replace") for path in library)[: len(documentation)]
    known = {character: i for i, character in enumerate(sorted({*documentation, *source} & {*map(chr, range(128))}))}
    coded = lambda text: np.array([known[c] for c in text if c in known], np.int32)

    def windows(text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = text[: len(text) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)
        return rows[:, :-1], rows[:, 1:]

    both = [
        Examples(*windows(text[:-HELD_BACK]), *windows(text[-HELD_BACK:]))
        for text in map(coded, (documentation, source))
    ]
    return len(known), both[0], both[1]


def cross_entropy(logits: Any, labels: jax.Array | np.ndarray) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def trained(apply: Callable[..., Any], initial: PyTree, task: Task, key: Key) -> PyTree:
    """The weights after the task's steps."""
    optimizer = optax.adam(optax.cosine_decay_schedule(task.rate, task.steps))
    inputs, labels = map(jnp.asarray, task.examples[:2])

    def loss(weights: PyTree, rows: jax.Array) -> jax.Array:
        return cross_entropy(apply(weights, inputs[rows]), labels[rows])

    @jax.jit
    def step(i: int, weights: PyTree, state: Any) -> tuple[PyTree, Any]:
        rows = jax.random.randint(jax.random.fold_in(key, i), (task.batch,), 0, len(inputs))
        updates, state = optimizer.update(jax.grad(loss)(weights, rows), state, weights)
        return optax.apply_updates(weights, updates), state

    weights, state = initial, optimizer.init(initial)
    for i in range(task.steps):  # in a compiled loop XLA's convolutions on the CPU take 15 times as long
        weights, state = step(i, weights, state)
    return weights


def barrier(
    apply: Callable[..., Any],
    spec: symmetry.Symmetry,
    group: Over | None,
    first: PyTree,
    second: PyTree,
    inputs: jax.Array | np.ndarray,
    labels: jax.Array | np.ndarray,
) -> tuple[jax.Array, jax.Array]:
    """Between two networks, the second aligned to the first over a group: the barrier, and the loss of the first."""
    if group is not None:
        second = symmetry.align(second, first, spec, group=group).weights
    loss = lambda logits: cross_entropy(logits, labels)
    found = symmetry.interpolation_barrier(apply, first, second, inputs, steps=POINTS, loss=loss)
    return found.height, found.loss[0]


def barriers(task: Task, pairs: int) -> dict[str, Any]:
    """For each way the barriers of some pairs, with the loss of the networks between which they lie."""
    sample, test = task.examples.inputs[:2], task.examples[2:]
    apply: Callable[..., Any] = task.module.apply
    initial = jax.jit(task.module.init)
    spec = symmetry.infer(apply, jax.eval_shape(initial, jax.random.key(0), sample), sample)
    paths = {way: jax.jit(functools.partial(barrier, apply, spec, group)) for way, group in WAYS.items()}
    found: dict[str, Any] = {"symmetry": str(spec), **{way: [] for way in WAYS}, "end_loss": []}
    for pair in range(pairs):
        keys = [jax.random.key(2 * pair + i) for i in range(2)]
        both = [trained(apply, initial(key, sample), task, key) for key in keys]
        measured = {way: path(*both, *test) for way, path in paths.items()}
        for way, (height, _) in measured.items():
            found[way].append(float(height))
        found["end_loss"].append(float(measured["as trained"][1]))
    return found


def adapted(base: PyTree, adapter: Mapping[str, Mapping[str, jax.Array]]) -> PyTree:
    """A network whose kernels have a product of two factors added; each adapter is named by its kernel's path."""

    def add(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        own = adapter.get(jax.tree_util.keystr(path))
        return leaf if own is None else leaf + (own["down"] @ own["up"]).reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(add, base)


def new_adapter(base: PyTree, key: Key) -> dict[str, dict[str, jax.Array]]:
    """Factors for every dense kernel: the first random, the second 0, so that nothing is changed yet."""
    found = {}
    for i, (path, leaf) in enumerate(jax.tree_util.tree_leaves_with_path(base)):
        name = jax.tree_util.keystr(path)
        if "kernel" in name and leaf.ndim == 2:
            down = jax.random.normal(jax.random.fold_in(key, i), (leaf.shape[0], RANK)) * leaf.shape[0] ** -0.5
            found[name] = {"down": down, "up": jnp.zeros((RANK, leaf.shape[1]))}
    return found


def merged(base: PyTree, spec: symmetry.Symmetry, first: PyTree, second: PyTree) -> dict[str, PyTree]:
    """The network without an adapter, with one, and with two merged in each way."""
    mean = lambda a, b: jax.tree.map(lambda x, y: (x + y) / 2, a, b)
    aligned = symmetry.align(second, first, spec).weights
    return {
        "base": base,
        "one adapter": adapted(base, first),
        "factors": adapted(base, mean(first, second)),
        "factors, aligned": adapted(base, mean(first, aligned)),
        "products": mean(adapted(base, first), adapted(base, second)),
    }


def adapters(vocabulary: int, documentation: Examples, source: Examples, pairs: int, steps: int) -> dict[str, Any]:
    """Losses on source code: of the base, of one adapter, and of two adapters merged in each way."""
    module = Transformer(vocabulary)
    pretraining = Task(module, documentation, steps, 32, 2e-3)
    key, sample = jax.random.key(0), source.inputs[:2]
    base = trained(module.apply, module.init(key, sample), pretraining, key)
    apply = lambda adapter, x: module.apply(adapted(base, adapter), x)
    spec = symmetry.infer(apply, jax.eval_shape(lambda key: new_adapter(base, key), key), sample)
    task = Task(module, source, steps // 2, 32, 2e-3)
    loss = lambda network: cross_entropy(module.apply(network, source.test_inputs), source.test_labels)
    losses = jax.jit(lambda *both: {name: loss(network) for name, network in merged(base, spec, *both).items()})
    found: dict[str, Any] = {"symmetry": str(spec)}
    for pair in range(pairs):
        keys = [jax.random.key(100 + 2 * pair + i) for i in range(2)]
        for name, value in losses(*(trained(apply, new_adapter(base, key), task, key) for key in keys)).items():
            found.setdefault(name, []).append(float(value))
    return found


def report(
    pairs: int = PAIRS, shorter: int = 1, save: Callable[[Mapping[str, Any]], None] = lambda found: None
) -> dict[str, Any]:
    """Every pair's figures; `shorter` divides the numbers of steps, and `save` is given all that is known so far."""
    images, (vocabulary, documentation, source) = garments(), texts()
    tasks = {
        "cnn": Task(CNN(), images, 1500 // shorter, 64, 1e-3),
        "resnet20": Task(ResNet(), images, 1000 // shorter, 64, 2e-3),
        "transformer": Task(Transformer(vocabulary), documentation, 2000 // shorter, 32, 2e-3),
    }
    found: dict[str, Any] = {"settings": {"pairs": pairs, "points": POINTS, "rank": RANK}, "machine": machine()}
    for name, task in tasks.items():
        print(f"{name}: {pairs} pairs, {task.steps} steps each", flush=True)
        found[name] = barriers(task, pairs)
        save(found)
        print(table({name: found[name]}), flush=True)
    print("lora", flush=True)
    found["lora"] = adapters(vocabulary, documentation, source, pairs, 2000 // shorter)
    save(found)
    return found


def table(found: Mapping[str, Any]) -> str:
    """Means and sample deviations over pairs, a line for each network and way."""
    lines = []
    for name, columns in found.items():
        if not isinstance(columns, dict) or "symmetry" not in columns:
            continue
        for way, values in columns.items():
            if isinstance(values, list):
                spread = f" +- {np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
                lines.append(f"{name:<12} {way:<20} {np.mean(values):.3g}{spread}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.merging", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="save the figures here")
    asked = parser.parse_args()
    if asked.json:
        check_writable(asked.json)
    use_host_well()
    save = functools.partial(files.write_json, asked.json) if asked.json else lambda found: None
    print(table(report(save=save)))


if __name__ == "__main__":
    main()
