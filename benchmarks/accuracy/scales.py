"""The loss barrier between two ReLU classifiers of digits, with permutations, scales, both or nothing matched.

`python -m benchmarks.accuracy.scales --json benchmarks/accuracy/scales.json` trains pairs of 64-64-64-10 ReLU networks
from independent initializations, brings the second to the first in each of `WAYS`, and takes the cross-entropy of test
images along the straight path between the two. *Normalized* networks are `symmetry.canonicalize`d first: every neuron's
weights are of norm 1.
"""

import argparse
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from wsjax import networks, symmetry
from wsjax.symmetry.align import Over
from wsjax.typing import Key, Weights

WIDTHS, STEPS, BATCH, PAIRS = (64, 64, 64, 10), 1000, 128, 3
WAYS: dict[str, tuple[bool, Over | None]] = {
    "as trained": (False, None),
    "permutation": (False, "permutation"),
    "full": (False, "full"),
    "normalized, as trained": (True, None),
    "normalized, permutation": (True, "permutation"),
    "normalized, full": (True, "full"),
}
"""Whether both are normalized first, and the group that is matched."""


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training and test images, 64 pixels from 0 to 1, with their labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = (images[order] / 16).astype(np.float32), labels[order].astype(np.int32)
    return (images[:1300], labels[:1300]), (images[1300:], labels[1300:])


@functools.partial(jax.jit, static_argnames="steps")
def trained(key: Key, images: jax.Array, labels: jax.Array, steps: int) -> Weights:
    """A network after Adam at a rate of 1e-3 that falls to 0 along a cosine, with a weight decay of 1e-2."""
    optimizer = optax.adamw(optax.cosine_decay_schedule(1e-3, steps), weight_decay=1e-2)

    def loss(weights: Weights, rows: jax.Array) -> jax.Array:
        return cross_entropy(networks.mlp_apply(weights, images[rows]), labels[rows])

    def step(i: jax.Array, carry: tuple[Weights, Any]) -> tuple[Weights, Any]:
        weights, state = carry
        rows = jax.random.randint(jax.random.fold_in(key, i), (BATCH,), 0, len(images))
        updates, state = optimizer.update(jax.grad(loss)(weights, rows), state, weights)
        return optax.apply_updates(weights, updates), state

    initial = networks.mlp_init(jax.random.fold_in(key, 1), WIDTHS)
    return jax.lax.fori_loop(0, steps, step, (initial, optimizer.init(initial)))[0]


@functools.partial(jax.jit, static_argnames="way")
def path(first: Weights, second: Weights, images: jax.Array, labels: jax.Array, way: str) -> dict[str, jax.Array]:
    """The barrier's height, the Euclidean distance of the two networks that it lies between, and the loss of one."""
    spec, (normalized, group) = symmetry.mlp(WIDTHS), WAYS[way]
    if normalized:
        first, second = (symmetry.canonicalize(weights, spec) for weights in (first, second))
    if group is not None:
        second = symmetry.align(second, first, spec, group=group).weights
    found = symmetry.interpolation_barrier(
        networks.mlp_apply, first, second, images, steps=25, loss=lambda logits: cross_entropy(logits, labels)
    )
    distance = jnp.sqrt(symmetry.squared_distance(first, second))
    return {"barrier": found.height, "distance": distance, "end_loss": found.loss[0]}


def measured(pair: int, steps: int) -> dict[str, dict[str, float]]:
    """Each way's figures for one pair of networks."""
    train, test = digits()
    both = [trained(jax.random.key(2 * pair + i), *train, steps) for i in range(2)]
    return {way: {k: float(v) for k, v in path(*both, *test, way).items()} for way in WAYS}


def report(pairs: int = PAIRS, steps: int = STEPS) -> dict[str, Any]:
    """Every pair's figures, and their means and sample deviations."""
    runs = [measured(pair, steps) for pair in range(pairs)]
    collected = {way: {k: [run[way][k] for run in runs] for k in runs[0][way]} for way in WAYS}
    spread = lambda values: float(np.std(values, ddof=1)) if len(values) > 1 else None
    summary = {
        way: {k: {"mean": float(np.mean(v)), "sd": spread(v)} for k, v in columns.items()}
        for way, columns in collected.items()
    }
    return {"settings": settings(pairs, steps), "runs": runs, "summary": summary}


def settings(pairs: int = PAIRS, steps: int = STEPS) -> dict[str, Any]:
    return {"widths": WIDTHS, "steps": steps, "pairs": pairs, "data": "digits", "loss": "test cross-entropy"}


def table(found: dict[str, Any]) -> str:
    lines = [f"{'':<26} {'barrier':>16} {'distance':>16}"]
    for way, columns in found["summary"].items():
        both = (columns["barrier"], columns["distance"])
        cells = [f"{c['mean']:.3g}" + (f" +- {c['sd']:.2g}" if c["sd"] is not None else "") for c in both]
        lines.append(f"{way:<26} {cells[0]:>16} {cells[1]:>16}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.scales", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="save the figures here")
    asked = parser.parse_args()
    found = report()
    print(table(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
