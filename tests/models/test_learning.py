"""Every reader can learn: it fits the labels of 64 networks that have nothing in common but their architecture.

What it claims to be blind to it is still blind to, as exactly, when it has learned.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

from tests.models.cards import card
from tests.models.fewer import FEWER
from wsjax.models import CONFIGS, build, trainable
from wsjax.models.testing import check_invariant

NETWORKS, CLASSES, STEPS, AT_ONCE = 64, 4, 400, 40

CLAIMS = {
    **dict.fromkeys(CONFIGS, ("permute",)),
    **dict.fromkeys(("scale_gmn", "weight_gcn", "hybrid"), ("permute", "sign")),
    **dict.fromkeys(("probe", "activation_probe"), ("permute", "sign", "phase")),
    **dict.fromkeys(("mlp", "rows"), ()),  # which see the order of neurons
}
"""What the readers of SIRENs are blind to, at their sizes `small` or with fewer layers."""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CONFIGS))
def test_every_reader_overfits_64_networks(name: str):
    described = card(classes=CLASSES)
    assert described.network is not None
    networks = jax.vmap(described.network.init)(jax.random.split(jax.random.key(0), NETWORKS))
    label = jnp.arange(NETWORKS) % CLASSES
    reader = build(name, described, FEWER.get(name, "small"), key=jax.random.key(1))
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

    @jax.jit
    def advance(carry):
        carry, losses = jax.lax.scan(step, carry, length=AT_ONCE)
        right = jnp.argmax(logits(carry[0], networks), axis=1) == label
        return carry, losses[0], jnp.mean(right)

    carry = parameters, rule.init(parameters)
    carry, first, right = advance(carry)
    assert float(first) > 1.0  # of four classes, log 4 where nothing is known
    for _ in range(STEPS // AT_ONCE - 1):
        if float(right) >= 0.95:
            break
        carry, _, right = advance(carry)
    assert float(right) >= 0.95
    trained = eqx.combine(carry[0], rest)
    for action in CLAIMS[name]:
        assert check_invariant(trained, described.symmetry, actions=(action,), key=jax.random.key(2)) < 1e-10
    if "permute" not in CLAIMS[name]:
        with pytest.raises(AssertionError, match="'permute' on group"):
            check_invariant(trained, described.symmetry, key=jax.random.key(2))
