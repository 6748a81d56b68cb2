"""Every reader can learn: it fits the labels of 64 networks that have nothing in common but their architecture.

What it is invariant to by its claim it is still invariant to, as exactly, when it has learned.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.models.helpers import metadata
from tests.models.readers import CLAIMS
from wsjax.models import READERS, make
from wsjax.models.testing import check_invariant

pytestmark = pytest.mark.usefixtures("untyped")

NETWORKS, CLASSES, STEPS, AT_ONCE = 64, 4, 400, 40
GRAPH = {"readout": "graph", "width": 8, "edges": 8, "layers": 2}

FEWER: dict[str, dict[str, Any]] = {
    "hybrid": {"settings": {"channels": 8, "layers": 2}, "probes": 8},
    "scale_gmn": {"channels": 8, "layers": 2},
    "nft": {"width": 8, "layers": 1},
    "array_encoder": {"width": 8, "layers": 1, "latents": 4},
    "neural_graph": GRAPH,
    "relational": {**GRAPH, "frequencies": 4, "attention": 8, "heads": 2, "hidden": 8},
}
"""Settings of readers with fewer layers than at the size `small`, at which they take long to compile."""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(READERS))
def test_every_reader_overfits_64_networks(name: str):
    described = metadata(classes=CLASSES)
    assert described.network is not None
    networks = jax.jit(jax.vmap(described.network.init))(jax.random.split(jax.random.key(0), NETWORKS))
    label = np.arange(NETWORKS) % CLASSES
    reader = make(name, described, FEWER.get(name, "small"), key=jax.random.key(1))
    parameters, rest = eqx.partition(reader, eqx.is_inexact_array)
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

    @jax.jit
    def advance(carry):
        carry, losses = jax.lax.scan(step, carry, length=AT_ONCE)
        right = jnp.argmax(logits(carry[0], networks), axis=1) == label
        return carry, losses[0], jnp.mean(right)

    carry = parameters, jax.jit(rule.init)(parameters)
    carry, first, right = advance(carry)
    assert float(first) > 1.0  # of four classes, log 4 at chance
    for _ in range(STEPS // AT_ONCE - 1):
        if float(right) >= 0.95:
            break
        carry, _, right = advance(carry)
    assert float(right) >= 0.95
    trained = eqx.combine(carry[0], rest)
    if CLAIMS[name]:
        assert check_invariant(trained, described.symmetry, actions=CLAIMS[name], key=jax.random.key(2)) < 1e-10
    else:
        with pytest.raises(AssertionError, match="'permute' on group"):
            check_invariant(trained, described.symmetry, key=jax.random.key(2))
