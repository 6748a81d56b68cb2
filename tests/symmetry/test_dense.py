"""`dense`: networks of three libraries by the names of their layers in order, and what it refuses."""

from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.helpers import points
from wsjax import symmetry as ws

X, KEY = np.asarray(points(jax.random.key(0), 3)), jax.random.key(1)


def drawn(like):
    """An array for each shape with every entry drawn: biases of zero hide mistakes."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), like)


class Deep(nn.Module):
    """Eleven dense layers of one width: `Dense_10` sorts before `Dense_2`, and kernels are alike but for the first."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(11):
            x = jnp.tanh(nn.Dense(4)(x))
        return nn.Dense(2, name="a_last")(x)


def test_flax_variables_go_by_name_and_not_by_the_order_of_leaves():
    shapes, apply = jax.eval_shape(Deep().init, KEY, X), jax.jit(Deep().apply)
    order = [*(f"Dense_{i}" for i in range(11)), "a_last"]
    spec = ws.dense(shapes, order, activation="tanh")
    assert spec == ws.dense(shapes, [f"params/{name}" for name in order], activation="tanh")
    assert spec.names[2].startswith("weights['params']['Dense_1']")
    assert spec.names[4].startswith("weights['params']['Dense_10']")
    assert {group.actions for group in spec.groups.values()} == {("permute", "sign")}
    assert ws.check(apply, spec, drawn(shapes), X, key=KEY, draws=1) < 1e-5
    wrong = ws.dense(shapes, [*order[:2], "Dense_10", *order[2:10], "a_last"], activation="tanh")
    with pytest.raises(ValueError, match=r"'permute' on group 'h2' changes the function"):
        ws.check(apply, wrong, drawn(shapes), X, key=KEY, draws=1)


class Mixed(nnx.Module):
    """A layer without biases among layers that have them."""

    def __init__(self, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(3, 5, use_bias=False, rngs=rngs), nnx.Linear(5, 4, rngs=rngs)])
        self.head = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = nnx.relu(layer(x))
        return self.head(x)


def test_the_state_of_nnx_and_its_pure_dict_are_described():
    graph, shapes = nnx.split(nnx.eval_shape(lambda: Mixed(nnx.Rngs(0))))
    state = drawn(shapes)
    order = ["layers/0", "layers/1", "head"]
    spec = ws.dense(state, order, activation="relu")
    assert {group.actions for group in spec.groups.values()} == {("permute", "rescale")}
    assert ws.check(jax.jit(lambda w, x: nnx.merge(graph, w)(x)), spec, state, X, key=KEY) < 1e-5
    assert ws.dense(nnx.to_pure_dict(shapes), order, activation="relu").axes == spec.axes


@pytest.mark.parametrize("convention", ["affine", "kernel"])
def test_an_equinox_mlp_has_kernels_from_out_to_in_and_phases_where_it_has_biases(convention):
    w0, order = (2.3, 1.7), ["layers/0", "layers/1", "layers/2"]
    mlp = eqx.filter_eval_shape(lambda: eqx.nn.MLP(3, 2, 5, 2, jnp.sin, key=KEY))
    weights = drawn(eqx.filter(mlp, lambda leaf: hasattr(leaf, "shape")))
    spec = ws.dense(weights, order, activation="sine", w0=w0, convention=convention)

    @jax.jit
    def apply(weights, x):
        *hidden, last = weights.layers
        for layer, w in zip(hidden, w0, strict=True):
            bias = layer.bias[None, :] * (w if convention == "affine" else 1)
            x = jnp.sin(w * (x @ layer.weight.T) + bias)
        return x @ last.weight.T + last.bias[None, :]

    assert ws.check(apply, spec, weights, X, key=KEY) < 1e-5
    bare = eqx.tree_at(lambda mlp: mlp.layers[0].bias, weights, None)
    spec = ws.dense(bare, order, activation="sine", w0=w0, convention=convention)
    assert [group.actions for group in spec.groups.values()] == [("permute", "sign"), ("permute", "sign", "phase")]


LAYERS = {
    name: {"kernel": np.ones((a, b)), "bias": np.ones(b)}
    for name, a, b in (("one", 2, 4), ("two", 4, 3), ("end", 3, 1))
}
ORDER = ("one", "two", "end")


@pytest.mark.parametrize(
    ("params", "order", "message"),
    [
        (LAYERS, ("one", "end", "two"), "'one' in order has 4 outputs and 'end' after it 3 inputs; .* from input to"),
        (LAYERS, ("one", "two"), r"order, one, two, leaves out params\['end'\]\['bias'\], params\['end'\]\['kernel'\]"),
        ({**LAYERS, "norm": {"scale": np.ones(4)}}, ORDER, r"leaves out params\['norm'\]\['scale'\]; .* symmetry_of"),
        (LAYERS, ("one",), "number of layers in order is 1"),
        (LAYERS, ("one", "tow", "end"), "'tow' in order is no layer; expected one of end, one, two"),
        ([], ORDER, "'one' in order is no layer; expected one of params' layers, and there are none"),
        ({"a": LAYERS, "b": LAYERS}, ORDER, "'one' in order is a/one, b/one; expected one of"),
        (LAYERS, ("one", "two", "two", "end"), "'two' and 'two' in order are one layer, two; expected each once"),
        ({**LAYERS, "two": {"bias": np.ones(3)}}, ORDER, "the layer 'two' has bias; expected one of kernel, weight"),
        (jax.tree.map(lambda x: x[None], LAYERS), ORDER, r"\['kernel'\] has shape \(1, 2, 4\); .* not a batch"),
        (
            {**LAYERS, "two": {"kernel": np.ones((4, 3)), "bias": np.ones(4)}},
            ORDER,
            r"params\['two'\]\['bias'\] has shape \(4,\); expected \(3,\), .* params\['two'\]\['kernel'\], \(4, 3\)",
        ),
    ],
)
def test_an_order_that_does_not_fit_is_refused_by_name(params, order, message):
    with pytest.raises(ValueError, match=message):
        ws.dense(params, order, activation="relu")


def test_frequencies_belong_to_sines_and_sines_need_them():
    refused: list[tuple[dict[str, Any], str]] = [
        ({"activation": "sine"}, "w0 None and convention None; expected both"),
        ({"activation": "sine", "w0": 30.0}, "w0 30.0 and convention None; expected both"),
        ({"activation": "sine", "w0": (1.0, 2.0, 3.0), "convention": "affine"}, "w0 has 3 values; .* 2 hidden layers"),
        ({"activation": "tanh", "w0": 30.0}, "are of sines, and activation is 'tanh'"),
        ({"activation": "tanh", "convention": "affine"}, "are of sines, and activation is 'tanh'"),
    ]
    for settings, message in refused:
        with pytest.raises(ValueError, match=message):
            ws.dense(LAYERS, ORDER, **settings)


def test_a_whole_path_names_one_layer_where_other_paths_end_alike():
    spec = ws.dense({"one": LAYERS["one"], "in": {"one": LAYERS["two"]}}, ["one", "in/one"], activation="gelu")
    assert spec.sizes == {"in": 2, "h1": 4, "out": 3}
