"""The three programs that fit a zoo's classifiers over a fixed number of lanes: begin, make steps, measure.

Every network draws its settings, its weights, its share of the images and its batches from `fold_in(key(seed),
number)`, and knows nothing of its neighbours.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from wsjax.data.zoo.recipe import OPTIMISERS, Drawn, ZooRecipe, draw
from wsjax.networks.mlp import Between, unchanged
from wsjax.typing import Key

LIMIT = 1e4
"""A step that would make a weight larger than this in size, or no number, is not made, nor any after it."""
MOMENTUM = 0.9
SETTINGS, START, ORDER, NOISE, STEPS = range(5)
"""What a network draws, each from a key of its own."""


class Labelled(NamedTuple):
    """The images of one split in chunks, the last filled up with black ones, and the labels of the true ones."""

    images: Float[Array, "chunks chunk rows columns channels"]
    label: Int[Array, " count"]


class Lane(NamedTuple):
    """One network being fitted; `order` begins with the images it sees, `label` has what it is told of each."""

    key: Key
    drawn: Drawn
    order: Int[Array, " count"]
    label: Int[Array, " count"]
    weights: PyTree
    adam: PyTree
    momentum: PyTree
    diverged: Bool[Array, ""]


class Measured(NamedTuple):
    """How well a network does: on the images it sees, with the labels it was told, and on all test images."""

    train_accuracy: Any
    train_loss: Any
    test_accuracy: Any
    test_loss: Any


@functools.partial(jax.jit, static_argnums=0)
def begin(recipe: ZooRecipe, train: Labelled, number: Int[Array, " lanes"]) -> Lane:
    """Networks before their first step."""

    def one(number: Array) -> Lane:
        key = jax.random.fold_in(jax.random.key(recipe.seed), number)
        drawn = draw(recipe, jax.random.fold_in(key, SETTINGS))
        start = recipe.network.init(jax.random.fold_in(key, START))
        weights = jax.tree.map(lambda x: x * drawn.init_scale if x.ndim > 1 else x, start)
        order = jax.random.permutation(jax.random.fold_in(key, ORDER), len(train.label))
        label = with_noise(jax.random.fold_in(key, NOISE), train.label, drawn.label_noise, recipe.classes)
        adam, momentum = optax.scale_by_adam().init(weights), optax.trace(MOMENTUM).init(weights)
        return Lane(key, drawn, order, label, weights, adam, momentum, jnp.zeros((), bool))

    return jax.vmap(one)(number)


@functools.partial(jax.jit, static_argnums=0)
def advance(recipe: ZooRecipe, train: Labelled, lanes: Lane, start: Int[Array, ""], stop: Int[Array, ""]) -> Lane:
    """Networks after further steps, from number `start` up to `stop`."""
    images = train.images.reshape(-1, *train.images.shape[2:])

    def step(number: Array, lane: Lane) -> Lane:
        key = jax.random.fold_in(jax.random.fold_in(lane.key, STEPS), number)
        batch, drop = (jax.random.fold_in(key, i) for i in range(2))
        rows = lane.order[jax.random.randint(batch, (recipe.batch_size,), 0, _seen(lane))]
        between = dropped(drop, lane.drawn.dropout) if recipe.dropout[1] else unchanged

        def loss(weights: PyTree) -> Array:
            return _errors(recipe.apply(weights, images[rows], between), lane.label[rows]).mean()

        return updated(lane, jax.grad(loss)(lane.weights))

    return jax.lax.fori_loop(start, stop, lambda number, lanes: jax.vmap(step, (None, 0))(number, lanes), lanes)


@functools.partial(jax.jit, static_argnums=0)
def measure(recipe: ZooRecipe, train: Labelled, test: Labelled, lanes: Lane) -> Measured:
    """Accuracies, and mean cross-entropies in nats."""

    def one(lane: Lane) -> Measured:
        first = (jnp.arange(len(lane.order)) < _seen(lane)).astype(jnp.float32)
        seen = jnp.zeros_like(first).at[lane.order].set(first)
        return Measured(
            *_score(recipe, lane.weights, train._replace(label=lane.label), seen),
            *_score(recipe, lane.weights, test, jnp.ones(len(test.label))),
        )

    return jax.vmap(one)(lanes)


def _seen(lane: Lane) -> Int[Array, ""]:
    """How many images a network sees, one at least."""
    return jnp.maximum(1, jnp.round(lane.drawn.share * len(lane.order))).astype(jnp.int32)


def with_noise(key: Key, label: Int[Array, " count"], share: Array, classes: int) -> Int[Array, " count"]:
    """Labels of which a share is drawn anew; a draw may hit the true one."""
    chosen, drawn = (jax.random.fold_in(key, i) for i in range(2))
    return jnp.where(
        jax.random.uniform(chosen, label.shape) < share, jax.random.randint(drawn, label.shape, 0, classes), label
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


def updated(lane: Lane, gradient: PyTree) -> Lane:
    """One step of the network's own optimiser; a network that would leave the bounds stays as it is for good."""
    drawn = lane.drawn
    decayed = lambda g, w: g + drawn.weight_decay * w if w.ndim > 1 else g
    gradient = jax.tree.map(decayed, gradient, lane.weights)
    with jax.numpy_dtype_promotion("standard"):
        by_adam, adam = optax.scale_by_adam().update(gradient, lane.adam)
        by_momentum, momentum = optax.trace(MOMENTUM).update(gradient, lane.momentum)
    is_adam = drawn.optimiser == OPTIMISERS.index("adam")
    moved = jax.tree.map(
        lambda w, a, m: w - drawn.learning_rate * jnp.where(is_adam, a, m), lane.weights, by_adam, by_momentum
    )
    inside = jnp.all(jnp.stack([jnp.max(jnp.abs(x)) <= LIMIT for x in jax.tree.leaves(moved)]))
    diverged = lane.diverged | ~inside
    weights = jax.tree.map(lambda new, old: jnp.where(diverged, old, new), moved, lane.weights)
    return lane._replace(weights=weights, adam=adam, momentum=momentum, diverged=diverged)


def _errors(logits: Float[Array, "images classes"], label: Int[Array, " images"]) -> Float[Array, " images"]:
    """Cross-entropy of each image, in nats."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return optax.softmax_cross_entropy_with_integer_labels(logits, label)


def _score(recipe: ZooRecipe, weights: PyTree, split: Labelled, counted: Float[Array, " count"]) -> tuple[Array, Array]:
    """Accuracy and mean cross-entropy over the images that count."""
    chunks = split.images.shape[:2]
    filled = lambda x: jnp.pad(x, (0, chunks[0] * chunks[1] - len(x))).reshape(chunks)

    def chunk(sums: tuple[Array, Array], part: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], None]:
        images, label, counted = part
        logits = recipe.apply(weights, images)
        right = (jnp.argmax(logits, axis=-1) == label).astype(jnp.float32)
        return (sums[0] + jnp.sum(counted * right), sums[1] + jnp.sum(counted * _errors(logits, label))), None

    nothing = (jnp.zeros(()), jnp.zeros(()))
    (right, error), _ = jax.lax.scan(chunk, nothing, (split.images, filled(split.label), filled(counted)))
    return right / jnp.sum(counted), error / jnp.sum(counted)
