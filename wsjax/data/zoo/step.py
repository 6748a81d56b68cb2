"""The three programs that fit a zoo's classifiers in a fixed number of slots: begin, make steps, evaluate.

Every network draws its settings, its weights, its part of the images and its batches from `fold_in(key(seed),
number)`, and does not depend on its neighbors.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from wsjax.data.sources.images import SPLITS, Images
from wsjax.data.zoo.recipe import OPTIMIZERS, Drawn, ZooRecipe, draw
from wsjax.networks.mlp import Between, unchanged
from wsjax.typing import Key

CHUNK = 64
"""Images on which a network is evaluated at the same time."""
LIMIT = 1e4
"""A step that would make a weight larger than this in size, or no number, is not made, nor any after it."""
MOMENTUM = 0.9
SETTINGS, INITIALIZATION, ORDER, NOISE, STEPS = range(5)
"""What a network draws, each from a key of its own."""


class Labeled(NamedTuple):
    """The images of one split in chunks, the last filled up with black ones, and the labels of the true ones."""

    images: Float[Array, "chunks chunk rows columns channels"]
    label: Int[Array, " count"]


def labeled(images: Images, split: str) -> Labeled:
    """The images of one split, in chunks. Raises ValueError where there are none."""
    rows = np.flatnonzero(images.split == SPLITS.index(split))
    if not len(rows):
        raise ValueError(f"{images.name} has no {split} images; a zoo needs some to train on and some to test on")
    chunk = min(CHUNK, len(rows))
    padded = np.zeros((-(-len(rows) // chunk) * chunk, *images.pixels.shape[1:]), np.float32)
    padded[: len(rows)] = images.pixels[rows]
    chunks = padded.reshape(-1, chunk, *images.pixels.shape[1:])
    return Labeled(jax.device_put(chunks), jax.device_put(images.label[rows]))


class Slot(NamedTuple):
    """One network being fitted; `order` begins with the images it is trained on, `label` has its label of each."""

    key: Key
    drawn: Drawn
    order: Int[Array, " count"]
    label: Int[Array, " count"]
    weights: PyTree
    adam: PyTree
    momentum: PyTree
    diverged: Bool[Array, ""]


class Metrics(NamedTuple):
    """How well a network does: on the images that it is trained on, with their labels there, and on all test images."""

    train_accuracy: Any
    train_loss: Any
    test_accuracy: Any
    test_loss: Any


@functools.partial(jax.jit, static_argnums=0)
def begin(recipe: ZooRecipe, train: Labeled, number: Int[Array, " slots"]) -> Slot:
    """Networks before their first step."""

    def one(number: Array) -> Slot:
        key = jax.random.fold_in(jax.random.key(recipe.seed), number)
        drawn = draw(recipe, jax.random.fold_in(key, SETTINGS))
        initial = recipe.network.init(jax.random.fold_in(key, INITIALIZATION))
        weights = jax.tree.map(lambda x: x * drawn.init_scale if x.ndim > 1 else x, initial)
        order = jax.random.permutation(jax.random.fold_in(key, ORDER), len(train.label))
        label = with_noise(jax.random.fold_in(key, NOISE), train.label, drawn.label_noise, recipe.classes)
        adam, momentum = optax.scale_by_adam().init(weights), optax.trace(MOMENTUM).init(weights)
        return Slot(key, drawn, order, label, weights, adam, momentum, jnp.zeros((), bool))

    return jax.vmap(one)(number)


@functools.partial(jax.jit, static_argnums=0)
def make_steps(recipe: ZooRecipe, train: Labeled, slots: Slot, start: Int[Array, ""], stop: Int[Array, ""]) -> Slot:
    """Networks after further steps, from number `start` up to `stop`."""
    images = train.images.reshape(-1, *train.images.shape[2:])

    def step(number: Array, slot: Slot) -> Slot:
        key = jax.random.fold_in(jax.random.fold_in(slot.key, STEPS), number)
        batch, drop = (jax.random.fold_in(key, i) for i in range(2))
        rows = slot.order[jax.random.randint(batch, (recipe.batch_size,), 0, _train_count(slot))]
        between = dropped(drop, slot.drawn.dropout) if recipe.dropout[1] else unchanged

        def loss(weights: PyTree) -> Array:
            return _errors(recipe.apply(weights, images[rows], between), slot.label[rows]).mean()

        return updated(slot, jax.grad(loss)(slot.weights))

    return jax.lax.fori_loop(start, stop, lambda number, slots: jax.vmap(step, (None, 0))(number, slots), slots)


@functools.partial(jax.jit, static_argnums=0)
def evaluate(recipe: ZooRecipe, train: Labeled, test: Labeled, slots: Slot) -> Metrics:
    """Accuracies, and mean cross-entropies in nats."""

    def one(slot: Slot) -> Metrics:
        first = (jnp.arange(len(slot.order)) < _train_count(slot)).astype(jnp.float32)
        counted = jnp.zeros_like(first).at[slot.order].set(first)
        return Metrics(
            *_score(recipe, slot.weights, train._replace(label=slot.label), counted),
            *_score(recipe, slot.weights, test, jnp.ones(len(test.label))),
        )

    return jax.vmap(one)(slots)


def _train_count(slot: Slot) -> Int[Array, ""]:
    """How many images a network is trained on, one at least."""
    return jnp.maximum(1, jnp.round(slot.drawn.train_fraction * len(slot.order))).astype(jnp.int32)


def with_noise(key: Key, label: Int[Array, " count"], fraction: Array, classes: int) -> Int[Array, " count"]:
    """Labels of which a fraction is drawn anew; a draw may hit the true one."""
    chosen, drawn = (jax.random.fold_in(key, i) for i in range(2))
    return jnp.where(
        jax.random.uniform(chosen, label.shape) < fraction, jax.random.randint(drawn, label.shape, 0, classes), label
    )


def dropped(key: Key, rate: Array) -> Between:
    """Dropout of whole units or channels, the rest scaled up."""

    def between(layer: int, h: Array) -> Array:
        count, units = h.shape[0], h.shape[-1]
        # Sixteen random bits a unit are enough; thirty-two take as long again as the rest of a small network's step.
        words = jax.random.bits(jax.random.fold_in(key, layer), (count, -(-units // 2)))
        halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(count, -1)[:, :units]
        kept = jnp.where(halves.astype(jnp.float32) >= rate * 2**16, 1 / (1 - rate), 0.0)
        return h * kept.reshape(count, *(1,) * (h.ndim - 2), units)

    return between


def updated(slot: Slot, gradient: PyTree) -> Slot:
    """One step of the network's own optimizer; a network that would leave the bounds stays as it is for good."""
    drawn = slot.drawn
    decayed = lambda g, w: g + drawn.weight_decay * w if w.ndim > 1 else g
    gradient = jax.tree.map(decayed, gradient, slot.weights)
    with jax.numpy_dtype_promotion("standard"):
        by_adam, adam = optax.scale_by_adam().update(gradient, slot.adam)
        by_momentum, momentum = optax.trace(MOMENTUM).update(gradient, slot.momentum)
    is_adam = drawn.optimizer == OPTIMIZERS.index("adam")
    moved = jax.tree.map(
        lambda w, a, m: w - drawn.learning_rate * jnp.where(is_adam, a, m), slot.weights, by_adam, by_momentum
    )
    inside = jnp.all(jnp.stack([jnp.max(jnp.abs(x)) <= LIMIT for x in jax.tree.leaves(moved)]))
    diverged = slot.diverged | ~inside
    weights = jax.tree.map(lambda new, old: jnp.where(diverged, old, new), moved, slot.weights)
    return slot._replace(weights=weights, adam=adam, momentum=momentum, diverged=diverged)


def _errors(logits: Float[Array, "images classes"], label: Int[Array, " images"]) -> Float[Array, " images"]:
    """Cross-entropy of each image, in nats."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return optax.softmax_cross_entropy_with_integer_labels(logits, label)


def _score(recipe: ZooRecipe, weights: PyTree, split: Labeled, counted: Float[Array, " count"]) -> tuple[Array, Array]:
    """Accuracy and mean cross-entropy over the images that count."""
    chunks = split.images.shape[:2]
    filled = lambda x: jnp.pad(x, (0, chunks[0] * chunks[1] - len(x))).reshape(chunks)

    def chunk(part: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        images, label, counted = part
        logits = recipe.apply(weights, images)
        right = (jnp.argmax(logits, axis=-1) == label).astype(jnp.float32)
        return jnp.sum(counted * right), jnp.sum(counted * _errors(logits, label))

    right, error = jax.lax.map(chunk, (split.images, filled(split.label), filled(counted)))
    return jnp.sum(right) / jnp.sum(counted), jnp.sum(error) / jnp.sum(counted)
