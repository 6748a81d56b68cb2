"""Every reader can learn: it fits the labels of 64 networks that have nothing in common but their architecture."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

from tests.models.cards import card
from wsjax.models import CONFIGS, build, trainable

NETWORKS, CLASSES, STEPS = 64, 4, 400


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CONFIGS))
def test_every_reader_overfits_64_networks(name: str):
    described = card(classes=CLASSES)
    assert described.network is not None
    networks = jax.vmap(described.network.init)(jax.random.split(jax.random.key(0), NETWORKS))
    label = jnp.arange(NETWORKS) % CLASSES
    reader = build(name, described, "small", key=jax.random.key(1))
    parameters, rest = eqx.partition(reader, trainable(reader))
    rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(1e-2, STEPS)))

    def logits(parameters, weights):
        return jax.vmap(eqx.combine(parameters, rest))(weights)

    def loss(parameters, weights):
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits(parameters, weights), label))

    def step(carry, _):
        parameters, state = carry
        value, gradient = jax.value_and_grad(loss)(parameters, networks)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, state = rule.update(gradient, state, parameters)
            return (optax.apply_updates(parameters, updates), state), value

    run = jax.jit(lambda parameters: jax.lax.scan(step, (parameters, rule.init(parameters)), length=STEPS))
    (fitted, _), losses = run(parameters)
    assert float(losses[0]) > 1.0  # of four classes, log 4 where nothing is known
    right = jnp.argmax(jax.jit(logits)(fitted, networks), axis=1) == label
    assert float(jnp.mean(right)) >= 0.95
