"""Readers that compute in bfloat16 on parameters in float32."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.helpers import drawn, metadata
from tests.models.readers import fewest, network, tiny
from wsjax.models import READERS, Normalizer, make
from wsjax.models.wrappers import Rescaled, Units, computing_in
from wsjax.networks import Network

pytestmark = pytest.mark.usefixtures("untyped")

# By how much of the largest output a reader may be off. Rounding its parameters alone moves scale_gmn by 4 %: what it
# reads is products of many small factors.
OFF = {"scale_gmn": 0.5, "relational": 0.25}
WEIGHTS = network()
MADE_OF_OTHERS = {"hybrid", "array_encoder"}
"""Those whose numbers are rounded in parts that others have, and are not compiled again."""


@pytest.mark.parametrize("name", list(READERS))
def test_every_reader_computes_in_bfloat16_and_learns_in_float32(name: str):
    parameters, rest = eqx.partition(tiny(name), eqx.is_inexact_array)

    def outputs(parameters, weights):
        model = eqx.combine(parameters, rest)
        return [computing_in(model, dtype)(weights) for dtype in ("float32", "bfloat16")]

    evaluate = functools.partial(jax.eval_shape, outputs) if name in MADE_OF_OTHERS else jax.jit(outputs)
    exact, rounded = evaluate(parameters, WEIGHTS)
    assert (exact.dtype, rounded.dtype) == (jnp.float32, jnp.bfloat16)
    if name not in MADE_OF_OTHERS:
        off = np.abs(rounded.astype(np.float32) - exact).max() / np.abs(exact).max()
        assert 0 < off < OFF.get(name, 0.1)

    # Compiled, this would take minutes; dtypes and shapes are known without, and one trace shows all of it at once:
    # gradients of batches of batches, through checkpoints, with a key of the old kind.
    def loss(parameters, weights, key):
        model = computing_in(eqx.combine(parameters, rest), "bfloat16")
        given = jax.vmap(jax.vmap(jax.checkpoint(lambda w: model(w, key=key, dropout_rate=0.5))))(weights)
        return jnp.mean(jnp.square(given.astype(jnp.float32) - 1)), given

    batches = jax.tree.map(lambda w: np.broadcast_to(w, (2, 3, *w.shape)), WEIGHTS)
    rough, given = jax.eval_shape(jax.grad(loss, has_aux=True), parameters, batches, np.array([0, 3], np.uint32))
    assert {leaf.dtype for leaf in jax.tree.leaves(rough)} == {jnp.dtype("float32")}
    assert (given.shape, given.dtype) == ((2, 3, 4), jnp.bfloat16)


@pytest.mark.parametrize("name", ["dws", "rows", "activation_probe"])  # maps of arrays, attention, runs of the network
def test_gradients_in_bfloat16_point_where_those_in_float32_do(name: str):
    parameters, rest = eqx.partition(tiny(name), eqx.is_inexact_array)

    @jax.jit
    def gradients(parameters, weights):
        loss = lambda p, dtype: jnp.mean(
            (computing_in(eqx.combine(p, rest), dtype)(weights).astype(jnp.float32) - 1) ** 2
        )
        return [jax.grad(loss)(parameters, dtype) for dtype in ("float32", "bfloat16")]

    flat, other = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])
        for gradient in gradients(parameters, WEIGHTS)
    )
    assert flat @ other / np.linalg.norm(flat) / np.linalg.norm(other) > 0.9


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
    for dtype in ("float32", "bfloat16"):
        reads = lambda reader, weights, dtype=dtype: computing_in(reader, dtype)(weights)
        assert products(functools.partial(reads, tiny("dws")), WEIGHTS) == {jnp.dtype(dtype)}


features = eqx.filter_jit(lambda made, weights: computing_in(made, "bfloat16").features(weights).astype(jnp.float32))


@pytest.mark.parametrize("name", ["dws", "nfn", "nft", "scale_gmn", "neural_graph"])
def test_weights_are_normalized_before_they_are_rounded(name: str):
    """Of a mean of a hundred and a deviation of one, bfloat16 would leave a few bits."""
    described = metadata(network=Network("mlp", (2, 4, 3), activation="gelu"))
    statistics = {leaf: {"mean": 0.0, "std": 1.0, "rms": 1.0} for leaf in described.symmetry.names}
    near = drawn(lambda key: make(name, described._replace(statistics=statistics), fewest(name), key=key))
    hundred = [100.0] * len(statistics)
    is_norm = lambda node: isinstance(node, Normalizer)
    far = jax.tree.map(lambda n: Normalizer(hundred, n.scale.value) if is_norm(n) else n, near, is_leaf=is_norm)
    weights = jax.tree.map(lambda leaf: np.round(leaf * 1024) / 1024, WEIGHTS)  # exact beside a hundred, in float32
    found = features(far, jax.tree.map(lambda leaf: leaf + 100, weights))
    np.testing.assert_array_equal(found, features(near, weights))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("hybrid", {"reader": "nfn", "settings": {"channels": 2, "layers": 1, "frequencies": 0}}),
        ("neural_graph", {**fewest("neural_graph"), "probes": 8}),
    ],
)
def test_what_runs_the_networks_does_not_round_them(name: str, settings):
    described = metadata((2, 4, 3), w0=100.0)
    unread = {leaf: {"mean": 0.0, "std": 1e9, "rms": 1e9} for leaf in described.symmetry.names}
    reader = drawn(lambda key: make(name, described._replace(statistics=unread), settings, key=key))
    rounded = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16).astype(leaf.dtype), WEIGHTS)
    assert np.abs(features(reader, WEIGHTS) - features(reader, rounded)).max() > 1e-2


@pytest.mark.parametrize("name", ["editor", "scale editor"])
def test_an_edit_in_bfloat16_does_not_round_the_weights(name):
    still = eqx.tree_at(lambda editor: editor.scale, tiny(name), jax.device_put(np.zeros((), np.float32)))
    edited = eqx.filter_jit(lambda editor, weights: computing_in(editor, "bfloat16")(weights))(still, WEIGHTS)
    assert all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (edited, WEIGHTS)), strict=True))


def test_what_a_rounding_would_spoil_keeps_its_dtype():
    reader = tiny("probe")
    units = Units([1000.0] * 4, [1e-3] * 4)
    rounded = computing_in(Rescaled(reader, units), "bfloat16")
    np.testing.assert_array_equal(rounded.reader.probes.points(), reader.probes.points())
    assert rounded.reader.head.dtype == jnp.bfloat16
    given = eqx.filter_jit(rounded)(WEIGHTS)
    assert given.dtype == jnp.float32
    assert np.abs(given - np.float32(1000)).max() < 1
