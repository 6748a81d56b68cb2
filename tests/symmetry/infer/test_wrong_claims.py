"""Wrong claims, tried on purpose: none is made, and each fixed axis has its reason."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.symmetry.infer.helpers import groups, reasons
from tests.symmetry.infer.networks import shapes
from wsjax.symmetry.infer import explain, infer, rules

pytestmark = pytest.mark.usefixtures("plain_jax")
X = np.ones((4, 3), np.float32)
WEIGHTS = shapes(a=(3, 8), b=(8,), c=(8, 2))
VARIES, ORDER, UNKNOWN = "a constant that varies along it", "its order matters", "is not understood"
RAMP, MEANS = np.linspace(0.5, 1.0, 8), np.random.default_rng(0).normal(size=8)
HIDDEN = {
    "one neuron apart": (
        lambda h: jnp.concatenate([2 * jax.nn.relu(h[:, :1]), jnp.tanh(h[:, 1:])], 1),
        "7 PS",
        "it has one entry",
    ),
    "one neuron set": (lambda h: h.at[:, 0].set(0.0), "", "it is indexed"),
    "one neuron left out": (
        lambda h: jax.nn.relu(h[:, :7]) @ jnp.ones((7, 8)),
        "7 P, 8 P",
        "it has one entry",
    ),
    "a scale by position": (lambda h: jax.nn.relu(h * RAMP), "", VARIES),
    "closed-over statistics": (lambda h: jax.nn.relu(h - MEANS), "", VARIES),
    "a noise": (lambda h: h * jax.random.normal(jax.random.key(0), h.shape), "", "is made"),
    "argmax": (lambda h: jax.nn.one_hot(h.argmax(1), 8) + h, "", f"{VARIES}, {ORDER}"),
    "sort": (lambda h: jnp.sort(h, 1), "", ORDER),
    "top two": (lambda h: jnp.tile(jax.lax.top_k(h, 2)[0], (1, 4)), "4 P", ORDER),
    "a cumulative sum": (lambda h: jnp.cumsum(h, 1), "", ORDER),
    "reversed": (lambda h: h + h[:, ::-1], "", ORDER),
    "every other one": (
        lambda h: jnp.tile(jnp.tanh(h[:, ::2]), (1, 2)),
        "4 PS, 2 P",
        "every so many entries are taken of it",
    ),
    "a window of neurons": (
        lambda h: jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 2), (1, 1), "SAME"),
        "",
        "a window slides along it",
    ),
    "an index by data": (lambda h: h[:, h[0].argmax()][:, None] * h, "", ORDER),
    "fft": (lambda h: jnp.abs(jnp.fft.fft(h)), "", UNKNOWN),
    "eye": (lambda h: h @ jnp.eye(8), "", VARIES),
    "a callback": (
        lambda h: jax.pure_callback(np.asarray, jax.ShapeDtypeStruct(h.shape, h.dtype), h, vmap_method="sequential"),
        "",
        UNKNOWN,
    ),
    "softmax": (jax.nn.softmax, "8 P", ""),
    "the sum of all": (lambda h: h / (1 + jnp.abs(h).sum(1, keepdims=True)), "8 PS", ""),
    "a maximum of all": (lambda h: h - h.max(1, keepdims=True), "8 P", ""),
    "a shifted relu": (lambda h: jax.nn.relu(h - 0.1), "8 P", ""),
    "relu6": (jax.nn.relu6, "8 P", ""),
    "cosine": (jnp.cos, "8 PS", ""),
    "a sine and its argument": (lambda h: jnp.sin(3 * h) + h, "8 PS", ""),
    "a sine of a square": (lambda h: jnp.sin(h * h), "8 PS", ""),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_treats_neurons_apart_is_not_claimed(name):
    change, expected, reason = HIDDEN[name]

    def apply(w: Any, x: Any) -> Any:
        return change(x @ w["a"] + w["b"]) @ w["c"]

    assert groups(infer(apply, WEIGHTS, X)) == expected
    assert set(filter(None, reason.split(", "))) <= set(reasons(explain(apply, WEIGHTS, X)).split(", "))


def test_the_confirmation_finds_a_rule_that_is_wrong(monkeypatch):
    """As if reversing an axis were nothing: the error names group, leaves and the step."""
    monkeypatch.setitem(rules.RULES, "rev", rules.SAME)
    apply = lambda w, x: (lambda h: h + h[:, ::-1])(jnp.tanh(x @ w["a"] + w["b"])) @ w["c"]
    with pytest.raises(ValueError, match=r"'permute' on the group 'h1' of weights\['a'\], .* add \(") as raised:
        infer(apply, WEIGHTS, X)
    assert "symmetry_of" in str(raised.value)


def test_errors_name_the_leaf_the_value_and_the_remedy():
    layers = {"act": jnp.tanh, "kernel": np.ones((3, 2))}
    with pytest.raises(TypeError, match=r"weights\['act'\] is .*tanh.* expected an array, .* eqx.partition"):
        infer(lambda w, x: w["act"](x @ w["kernel"]), layers, X)
    with pytest.raises(ValueError, match=r"the output of apply is not finite .* expected finite numbers"):
        infer(lambda w, x: jnp.log(-jnp.abs(x @ w["a"])) @ w["c"], WEIGHTS, X)


def test_leaves_that_are_not_floating_point_are_permuted_and_take_no_gains():
    weights = {"a": np.ones((3, 8), np.float32), "mask": np.arange(8) % 2 == 0, "c": np.ones((8, 2), np.float32)}
    weights["key"], weights["step"] = jax.random.key(0), np.int32(3)
    apply = lambda w, x: jnp.where(w["mask"], jax.nn.relu(x @ w["a"]), 0) @ w["c"]
    found = infer(apply, weights, X)
    assert groups(found) == "8 PR"
    assert dict(zip(found.names, found.axes, strict=True))["weights['mask']"].entries == ("h1~",)
    counted = lambda w, x: jax.nn.relu(x @ w["a"]) @ w["counts"].astype(np.float32)
    assert groups(infer(counted, {"a": weights["a"], "counts": np.ones((8, 2), np.int32)}, X)) == "8 P"


def test_a_program_that_fixes_its_dtype_is_confirmed_with_a_tolerance():
    apply = lambda w, x: jax.nn.relu(x.astype(jnp.bfloat16) @ w["a"].astype(jnp.bfloat16)) @ w["c"].astype(jnp.bfloat16)
    assert groups(infer(apply, WEIGHTS, X)) == "8 PR"


def test_the_explanation_names_arrays_axes_groups_and_lines():
    text = explain(lambda w, x: jax.nn.relu(x @ w["a"] + w["b"])[:, ::-1] @ w["c"], WEIGHTS, X)
    assert "no group acts" in text
    for words in ("test_wrong_claims.py", "rev (", "the network's input in dot_general"):
        assert words in text
    text = explain(lambda w, x: jax.nn.relu(x @ w["a"] + w["b"]) @ w["c"], WEIGHTS, X)
    assert "group h1: 8 neurons, relu, permute/rescale" in text
    for words in ("weights['b'] (a bias)\n  axis 0, 8: produces h1", "axis 0, 8: consumes h1*"):
        assert words in text
