"""Readers that compute in bfloat16 on parameters in float32."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from tests.models.cards import card
from tests.models.fewer import FEWER
from wsjax.models import (
    CONFIGS,
    Editor,
    Probe,
    Rescaled,
    ScaleEditor,
    Units,
    build,
    computing_in,
    normaliser,
    trainable,
)
from wsjax.models.testing import random_weights
from wsjax.networks import Network

# By how much of the largest output a reader may be off. Rounding its parameters alone moves scale_gmn by 4 %: what it
# sees is products of many small factors.
OFF = {"scale_gmn": 0.5, "hybrid": 0.5, "relational": 0.25}


def made(name: str) -> tuple[Any, Any]:
    described = card(classes=3)
    assert described.network is not None
    networks = jax.vmap(described.network.init)(jax.random.split(jax.random.key(0), 4))
    return build(name, described, FEWER.get(name, "small"), key=jax.random.key(1)), networks


def learning(name: str) -> tuple[Any, Any]:
    """What trains of a reader, and its loss on four networks in a dtype, with what the reader gives."""
    reader, networks = made(name)
    parameters, rest = eqx.partition(reader, trainable(reader))

    def loss(parameters, dtype, key=None):
        model = computing_in(eqx.combine(parameters, rest), dtype)
        given = jax.vmap(lambda w: model(w, key=key, rate=0.0))(networks)
        return jnp.mean(jnp.square(given.astype(jnp.float32) - 1)), given

    return parameters, loss


@pytest.mark.parametrize("name", list(CONFIGS))
def test_every_reader_computes_in_bfloat16_and_learns_in_float32(name: str):
    parameters, loss = learning(name)
    exact, rounded = (eqx.filter_jit(loss)(parameters, dtype)[1] for dtype in ("float32", "bfloat16"))
    assert (exact.dtype, rounded.dtype) == (jnp.float32, jnp.bfloat16)
    off = float(jnp.max(jnp.abs(rounded.astype(jnp.float32) - exact)) / jnp.max(jnp.abs(exact)))
    assert 0 < off < OFF.get(name, 0.1)
    # Compiled, these would take minutes; their dtypes and that of what dropout gives are known without.
    slopes = eqx.filter_grad(lambda parameters: loss(parameters, "bfloat16", jax.random.key(2)), has_aux=True)
    rough, given = eqx.filter_eval_shape(slopes, parameters)
    assert {leaf.dtype for leaf in jax.tree.leaves(rough)} == {jnp.dtype("float32")}
    assert given.dtype == jnp.bfloat16


@pytest.mark.parametrize("name", ["dws", "rows", "activation_probe"])  # maps of arrays, attention, runs of the network
def test_gradients_in_bfloat16_point_where_those_in_float32_do(name: str):
    parameters, loss = learning(name)
    gradient = eqx.filter_jit(eqx.filter_grad(loss, has_aux=True))
    flat, other = (
        jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradient(parameters, dtype)[0])])
        for dtype in ("float32", "bfloat16")
    )
    assert float(flat @ other / jnp.linalg.norm(flat) / jnp.linalg.norm(other)) > 0.9


def products(function, *arguments) -> set[jnp.dtype]:
    """The dtypes that a function's products read."""
    found, left = set(), [jax.make_jaxpr(function)(*arguments).jaxpr]
    while left:
        for equation in left.pop().eqns:
            if equation.primitive.name == "dot_general":
                found |= {value.aval.dtype for value in equation.invars}
            left += [value.jaxpr for value in equation.params.values() if hasattr(value, "jaxpr")]
    return found


def test_no_product_of_a_weight_reader_is_left_in_float32():
    reader, networks = made("dws")
    one = jax.tree.map(lambda leaf: leaf[0], networks)
    assert products(reader, one) == {jnp.dtype("float32")}
    assert products(computing_in(reader, "bfloat16"), one) == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("name", ["dws", "nfn", "nft", "scale_gmn", "neural_graph"])
def test_weights_are_normalised_before_they_are_rounded(name: str):
    """Of a mean of a hundred and a deviation of one, bfloat16 would leave a few bits."""
    described = card(network=Network("mlp", (2, 5, 4, 3), activation="gelu"))
    weights = random_weights(jax.random.key(0), described.symmetry)
    far = jax.tree.map(lambda leaf: leaf + 100, weights)

    def read(mean: float, weights):
        statistics = {leaf: {"mean": mean, "std": 1.0, "rms": 1.0} for leaf in described.symmetry.names}
        made: Any = build(
            name, described._replace(statistics=statistics), FEWER.get(name, "small"), key=jax.random.key(1)
        )
        return eqx.filter_jit(computing_in(made, "bfloat16").features)(weights).astype(jnp.float32)

    near = read(0.0, weights)
    assert float(jnp.max(jnp.abs(read(100.0, far) - near)) / jnp.max(jnp.abs(near))) < 0.05


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("hybrid", {"reader": "nfn", "settings": {"channels": 2, "bands": 0}}),
        ("neural_graph", {**FEWER["neural_graph"], "probes": 8}),
        ("probed_dws", {"channels": 2}),
    ],
)
def test_what_runs_the_networks_does_not_round_them(name: str, settings):
    described = card(w0=30.0)
    unread = {leaf: {"mean": 0.0, "std": 1e9, "rms": 1e9} for leaf in described.symmetry.names}
    made: Any = build(name, described._replace(statistics=unread), settings, key=jax.random.key(0))
    reader = computing_in(made, "bfloat16")
    weights = random_weights(jax.random.key(1), described.symmetry)
    rounded = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16).astype(leaf.dtype), weights)
    features = eqx.filter_jit(reader.features)
    assert float(jnp.max(jnp.abs(features(weights) - features(rounded)).astype(jnp.float32))) > 1e-2


@pytest.mark.parametrize("editor", [Editor, ScaleEditor])
def test_an_edit_in_bfloat16_does_not_round_the_weights(editor):
    described = card()
    own = normaliser(described.symmetry, described.statistics)
    made = computing_in(editor(described.symmetry, own, key=jax.random.key(0)), "bfloat16")
    still = eqx.tree_at(lambda editor: editor.scale, made, jnp.zeros((), jnp.bfloat16))
    weights = random_weights(jax.random.key(1), described.symmetry)
    edited = eqx.filter_jit(still)(weights)
    assert all(bool(jnp.all(a == b)) for a, b in zip(*map(jax.tree.leaves, (edited, weights)), strict=True))


def test_what_a_rounding_would_spoil_keeps_its_dtype():
    reader, networks = made("probe")
    units = Units(jnp.full(3, 1000.0), jnp.full(3, 1e-3))
    rounded = computing_in(Rescaled(reader, units), "bfloat16")
    assert isinstance(reader, Probe)
    assert bool(jnp.all(rounded.reader.points() == reader.points()))
    assert rounded.reader.head.dtype == jnp.bfloat16
    given = jax.vmap(rounded)(networks)
    assert given.dtype == jnp.float32
    assert float(jnp.max(jnp.abs(given - 1000))) < 1


def test_float16_is_refused():
    with pytest.raises(
        ValueError, match="unknown dtype to compute in 'float16'; the valid ones are: float32, bfloat16"
    ):
        computing_in(made("mlp")[0], "float16")
