"""Sizes by name are valid and in order; and the laws at the sizes of networks that people train: SIRENs, CNNs.

And every reader can learn: it fits the labels of 64 networks that have nothing in common but their architecture. What
it is invariant to by its claim it is still invariant to, as exactly, when it has learned.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.models.helpers import drawn, metadata
from tests.models.readers import CLAIMS, fewest
from wsjax.models import READERS, make, parameter_count
from wsjax.models.registry import SIZES
from wsjax.models.testing import check_deterministic, check_gradients, check_invariant, check_sensitive
from wsjax.networks import CNN

pytestmark = pytest.mark.usefixtures("untyped")


@pytest.mark.parametrize("name", sorted({*READERS, *SIZES}))
def test_every_size_can_be_built_and_small_is_smaller_than_base(name: str):
    count = {}

    def build_all(key):
        for size in SIZES[name]:
            count[size] = parameter_count(make(name, metadata((2, 4, 3)), size, key=key))

    jax.eval_shape(build_all, jax.random.key(0))
    assert set(count) <= {"small", "base", "published"}
    assert 0 < count["small"] < count["base"] < 5_000_000


KEY = jax.random.key(1)
DEEP = ("scale_gmn", "neural_graph", "relational")
"""Those that take a layer for each step from an input to an output."""
INVARIANT = [name for name in READERS if CLAIMS[name]]


def settings(name: str) -> dict[str, Any]:
    """Of a toy, with as few layers as it works with on every network here."""
    return {**fewest(name), **({"layers": 4} if name in DEEP else {})}


RUN = ("probe", "activation_probe", "grid_probe", "hybrid")
"""Those that run a network, which a CNN's metadata of images is another thing for."""
WIDTHS = ((3, 64, 64, 64, 1), (2, 32, 32, 3), (2, 32, 1))
SLOW = ("relational", "neural_graph", "scale_gmn", "array_encoder")
"""Those that take many seconds to compile meet the first widths alone, and CNNs without gradients."""


def is_lawful(reader, symmetry, *, sensitive=True):
    assert check_invariant(reader, symmetry, draws=1, key=KEY) < 1e-10
    assert check_deterministic(reader, symmetry, key=KEY) < 1e-10
    if sensitive:
        assert check_sensitive(reader, symmetry, draws=1, key=KEY) > 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("name", INVARIANT)
def test_sirens(name):
    for widths in WIDTHS[:1] if name in SLOW else WIDTHS:
        described = metadata(widths)
        reader = make(name, described, settings(name), key=jax.random.key(2))
        is_lawful(reader, described.symmetry, sensitive=name != "statistics")  # which couples no arrays


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in INVARIANT if name not in RUN])
def test_cnns(name):
    network = CNN((8, 8, 1), (4, 6), 3)
    statistics = {name: {"mean": 0.1, "std": 0.5, "rms": 0.6} for name in network.symmetry.names}
    described = metadata()._replace(symmetry=network.symmetry, network=None, statistics=statistics)
    reader = drawn(lambda key, d=described: make(name, d, settings(name), key=key))
    is_lawful(reader, network.symmetry, sensitive=name != "statistics")
    if name not in SLOW:
        assert check_gradients(reader, network.symmetry, fraction=0, draws=4, key=KEY) > 0


NETWORKS, CLASSES, STEPS, AT_ONCE = 64, 4, 400, 40
WHOLE = {"readout": "graph", "width": 8, "edges": 8, "layers": 2}

FEWER: dict[str, dict[str, Any]] = {
    "hybrid": {"settings": {"channels": 8, "layers": 2}, "probes": 8},
    "scale_gmn": {"channels": 8, "layers": 2},
    "nft": {"width": 8, "layers": 1},
    "array_encoder": {"width": 8, "layers": 1, "latents": 4},
    "neural_graph": WHOLE,
    "relational": {**WHOLE, "frequencies": 4, "attention": 8, "heads": 2, "hidden": 8},
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
