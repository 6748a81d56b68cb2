"""Wrong claims, tried on purpose: none is made, and each fixed axis has its reason."""

import re
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
    "sines in groups": (lambda h: jnp.sin(h).reshape(-1, 2, 4).swapaxes(1, 2).reshape(h.shape), "2 P, 4 PSW in h1", ""),
    "sines in halves": (lambda h: jnp.concatenate([jnp.sin(h)[:, 4:], jnp.sin(h)[:, :4]], 1), "4 PS, 4 PS", ""),
    "a sine of a square": (lambda h: jnp.sin(h * h), "8 PS", ""),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_treats_neurons_apart_is_not_claimed(name):
    change, expected, reason = HIDDEN[name]

    def apply(w: Any, x: Any) -> Any:
        return change(x @ w["a"] + w["b"]) @ w["c"]

    assert groups(infer(apply, WEIGHTS, X)) == expected
    assert set(filter(None, reason.split(", "))) <= set(reasons(explain(apply, WEIGHTS, X)).split(", "))


SHAPES = {"a": (3, 6), "b": (6,), "c": (6, 2), "d": (6, 6), "gate": (3, 6)}
ROTATION = np.array([[0.6, -0.8], [0.8, 0.6]])
LINEAR = {
    "a bias": (lambda h, x, w: h + w["b"], "6 L"),
    "a gate for each row": (lambda h, x, w: h * jax.nn.sigmoid(x[:, :1]), "6 L"),
    "a sum over rows": (lambda h, x, w: jnp.cumsum(h, 0), "6 L"),
    "a linear recurrence": (
        lambda h, x, w: jax.lax.scan(lambda state, row: (state @ w["d"] + row,) * 2, jnp.zeros(6), h)[1],
        "6 L",
    ),
    "a gate": (lambda h, x, w: h * (x @ w["gate"]), "6 PSR"),
    "a product with what consumes": (lambda h, x, w: h + x @ w["gate"] + h * (x @ w["gate"]) * w["c"][:, 0], "6 PSR"),
    "a scale for each neuron": (lambda h, x, w: h * w["b"], "6 PSR"),
    "a constant bias": (lambda h, x, w: h + 1.0, "6 P"),
    "a norm": (lambda h, x, w: h / jnp.sqrt((h * h).sum(1, keepdims=True)), "6 PS"),
    "a mean over the neurons": (lambda h, x, w: h - h.mean(1, keepdims=True), "6 P"),
    "a maximum over the neurons": (lambda h, x, w: h - h.max(1, keepdims=True), "6 P"),
    "a maximum over rows": (lambda h, x, w: h - h.max(0), "6 PR"),
    "a softmax of the neurons": (lambda h, x, w: jax.nn.softmax(h), "6 P"),
    "one array for both sides": (lambda h, x, w: h @ w["d"] @ w["d"].T, "6 L"),
    "its own consumer": (lambda h, x, w: h @ h.T @ h, "6 PS"),
    "a rotation": (lambda h, x, w: (h.reshape(-1, 3, 2) @ ROTATION).reshape(h.shape), "3 L"),
    "a rotation for each pair": (
        lambda h, x, w: jnp.einsum("bpi,pij->bpj", h.reshape(-1, 3, 2), np.stack([ROTATION, np.eye(2), ROTATION.T])),
        "",
    ),
    "an activation for half": (lambda h, x, w: jnp.concatenate([h[:, :3], jnp.tanh(h[:, 3:])], 1), "3 L, 3 PS"),
    "rounding": (lambda h, x, w: h.astype(jnp.int32).astype(jnp.float32), "6 PS"),
    "rows beside it that do not move": (lambda h, x, w: jnp.pad(h, ((0, 1), (0, 0)), constant_values=1.0)[1:], "6 P"),
    "indices": (lambda h, x, w: jax.lax.top_k(h.T, 4)[1].T.astype(jnp.float32), "6 PR"),
    "rows out of bounds": (lambda h, x, w: jnp.take(h, np.arange(4) * 2, 0, mode="fill", fill_value=1.0), "6 P"),
}


def test_matrices_act_only_where_all_is_linear():
    """Each case between its own two layers, all in one program."""

    def apply(w: Any, x: Any) -> Any:
        return sum(change(x @ w[n]["a"], x, w[n]).reshape(4, 6) @ w[n]["c"] for n, (change, _) in LINEAR.items())

    found = infer(apply, {name: shapes(**SHAPES) for name in LINEAR}, X)
    made = {name: groups(found, f"weights['{name}']['a']") for name in LINEAR}
    assert made == {name: expected for name, (_, expected) in LINEAR.items()}


PADDED = {"a": (3, 6), "b": (3, 6), "more": (9,), "c": (9, 2)}
ZEROS = {
    "nothing": (lambda h, g: h, "3 PR"),
    "an odd function": (lambda h, g: jnp.tanh(h), "3 PR"),
    "a product": (lambda h, g: h * (1 + g), "3 PR"),
    "a maximum": (lambda h, g: jnp.maximum(h, g), "3 PR"),
    "a mean": (lambda h, g: h - h.mean(1, keepdims=True), "3 P"),
    "a cosine": (lambda h, g: jnp.cos(h), "3 P"),
    "a comparison": (lambda h, g: (h <= g).astype(jnp.float32), "3 P"),
    "a power": (lambda h, g: jnp.abs(h) ** jnp.abs(g), "3 P"),
    "a choice": (lambda h, g: jnp.where(np.zeros((4, 9), bool), h, jnp.exp(g)), "3 P"),
    "a sum of exponentials": (lambda h, g: jax.lax.cumlogsumexp(h, 0), "3 P"),
    "rows of ones": (lambda h, g: jnp.pad(h, ((1, 0), (0, 0)), constant_values=1.0)[:4], "3 P"),
    "indices": (lambda h, g: jnp.tile(jax.lax.top_k(h.T, 2)[1].T.astype(jnp.float32), (2, 1)), "3 P"),
    "a branch": (lambda h, g: jax.lax.cond(g.sum() > 0, lambda h: h, lambda h: h + 1, h), "3 P"),
}
"""What is made of neurons beside zeros, to which weights of their own are added before a ReLU; how these move."""


def test_what_is_added_to_zeros_is_scaled_only_where_they_stay_zeros():
    def apply(w: Any, x: Any) -> Any:
        pad = lambda h: jnp.pad(h, ((0, 0), (0, 3)))
        one = lambda change, own: jax.nn.relu(change(pad(x @ own["a"]), pad(x @ own["b"])) + own["more"]) @ own["c"]
        return sum(one(change, w[name]) for name, (change, _) in ZEROS.items())

    found = infer(apply, {name: shapes(**PADDED) for name in ZEROS}, X)
    made = {name: groups(found, f"weights['{name}']['more']").split(", ")[1] for name in ZEROS}
    assert made == {name: expected for name, (_, expected) in ZEROS.items()}
    gathered = lambda w, x: jnp.einsum("ij,ik->k", jax.nn.relu((x @ w["a"])[jnp.zeros(5, int)] + w["b"]), w["c"])
    assert groups(infer(gathered, shapes(a=(3, 6), b=(5, 6), c=(5, 2)), X)) == "6 P, 5 P"


def _attention(q: Any, k: Any, v: Any, mix: Any = lambda scores: scores) -> Any:
    return jnp.einsum("hts,shk->thk", jax.nn.softmax(mix(jnp.einsum("thk,shk->hts", q, k))), v)


def _turned(z: Any) -> Any:
    cos, sin = np.cos(ANGLE), np.sin(ANGLE)
    return jnp.concatenate([z[..., :2] * cos - z[..., 2:] * sin, z[..., :2] * sin + z[..., 2:] * cos], -1)


def _sum(x: Any) -> Any:
    return x.sum((1, 2), keepdims=True)


HEADS = {"q": (3, 2, 4), "k": (3, 2, 4), "v": (3, 2, 4), "out": (2, 4, 2), "mix": (2, 2), "dim": (4,), "both": (2, 4)}
EACH, ALL = "2 P, 4 L in each", "2 P, 4 L"
ANGLE = np.linspace(0.1, 1.0, 4)[:, None, None] * np.array([1.0, 0.1])
WITHIN = {
    "attention": (lambda q, k, v, w: _attention(q, k, v), EACH, EACH),
    "a bias in each head": (lambda q, k, v, w: _attention(q + w["both"], k, v), EACH, EACH),
    "a bias for all heads": (lambda q, k, v, w: _attention(q + w["dim"], k, v), ALL, EACH),
    "a gate": (lambda q, k, v, w: _attention(q, k, v * w["both"]), EACH, "2 P, 4 PSR in each"),
    "a gate for all heads": (lambda q, k, v, w: _attention(q, k, v * w["dim"]), EACH, "2 P, 4 PSR"),
    "a maximum in each head": (lambda q, k, v, w: _attention(q, k, v - v.max(2)[..., None]), EACH, "2 P, 4 P in each"),
    "a maximum over heads": (lambda q, k, v, w: _attention(q, k, v - v.max(1)[:, None]), EACH, "2 P, 4 PR"),
    "a norm of all": (
        lambda q, k, v, w: _attention(q, k, v / jnp.sqrt(_sum(v * v))),
        EACH,
        "2 P, 4 PS in each",
    ),
    "scores of heads mixed": (
        lambda q, k, v, w: _attention(q, k, v, lambda s: s + jnp.einsum("hts,hg->gts", s, w["mix"])),
        EACH,
        EACH,
    ),
    "values of heads mixed": (
        lambda q, k, v, w: _attention(q, k, v + jnp.einsum("thk,hg->tgk", v, w["mix"])),
        EACH,
        "2 P, 4 L",
    ),
    "each head with each": (
        lambda q, k, v, w: jax.nn.relu(q + k + v) + _sum(jnp.abs(jnp.einsum("thk,tgk->thg", q, k))),
        "2 P, 4 P",
        "2 P, 4 P",
    ),
    "one head apart": (
        lambda q, k, v, w: _attention(q, k, jnp.concatenate([jax.nn.relu(v[:, :1]), v[:, 1:]], 1)),
        "4 L",
        "4 PR",
    ),
    "heads told apart": (
        lambda q, k, v, w: _attention(q, k, v, lambda s: s - np.array([0.5, 2.0])[:, None, None]),
        "4 L",
        "4 L",
    ),
    "rotated": (lambda q, k, v, w: _attention(_turned(q), _turned(k), v), "2 P", EACH),
}
"""What is made of queries, keys and values; how queries, and how values move."""


def test_a_single_neuron_has_the_matrices_of_its_gains_and_none_where_it_is_spread():
    one = shapes(a=(3, 1), b=(1,), c=(1, 2), wide=(4, 2))
    assert groups(infer(lambda w, x: (x @ w["a"] + w["b"]) @ w["c"], one, X)) == "1 L"
    assert groups(infer(lambda w, x: jnp.tile(jax.nn.relu(x @ w["a"]), (1, 4)) @ w["wide"], one, X)) == "4 P"


def test_heads_have_elements_of_their_own_only_where_the_program_keeps_them_apart():
    def apply(w: Any, x: Any) -> Any:
        def one(change: Any, own: Any) -> Any:
            q, k, v = (jnp.einsum("ti,ihk->thk", x, own[name]) for name in "qkv")
            return jnp.einsum("thk,hko->to", change(q, k, v, own), own["out"])

        return sum(one(change, w[name]) for name, (change, *_) in WITHIN.items())

    found = infer(apply, {name: shapes(**HEADS) for name in WITHIN}, X)
    moved = {name: tuple(_each(found, name, leaf) for leaf in "qv") for name in WITHIN}
    assert moved == {name: tuple(expected) for name, (_, *expected) in WITHIN.items()}


def _each(found: Any, case: str, leaf: str) -> str:
    return re.sub(r"in \w+\d", "in each", groups(found, f"weights['{case}']['{leaf}']"))


def _layer(h: Any, w: Any) -> tuple[Any, Any]:
    inner = jax.nn.relu(h @ w["a"])
    return h + inner @ w["b"], inner


def _stack(h: Any, w: Any, **settings: Any) -> tuple[Any, Any]:
    return jax.lax.scan(_layer, h, {"a": w["a"], "b": w["b"]}, **settings)


LAYERS = {"in": (3, 6), "a": (4, 6, 8), "b": (4, 8, 6), "c": (8,), "out": (6, 2)}
SCANNED = {
    "a stack": (lambda h, w: _stack(h, w)[0], "8 PR in each"),
    "backwards": (lambda h, w: _stack(h, w, reverse=True)[0], "8 PR in each"),
    "there and back": (lambda h, w: _stack(_stack(h, w)[0], w, reverse=True)[0], "8 PR"),
    "one order of kernels": (lambda h, w: _stack(h, {"a": w["a"], "b": w["b"][::-1]})[0], "8 PR"),
    "neurons stacked": (lambda h, w: sum(x if x.ndim == 2 else x.sum((0, 2))[:, None] for x in _stack(h, w)), "8 P"),
    "a bias for all layers": (
        lambda h, w: jax.lax.scan(
            lambda h, own: (h + jax.nn.relu(h @ own[0] + w["c"]) @ own[1], None), h, (w["a"], w["b"])
        )[0],
        "8 PR",
    ),
    "neurons carried": (
        lambda h, w: jax.lax.scan(
            lambda both, own: ((both[0] + both[1] @ own[1], jax.nn.relu(both[0] @ own[0])), None),
            (h, jnp.zeros((4, 8))),
            (w["a"], w["b"]),
        )[0][0],
        "8 PR",
    ),
    "used outside": (lambda h, w: _stack(h, w)[0] + jnp.tanh(w["a"]).sum(2)[0], "8 P"),
}


def test_layers_of_a_scan_have_elements_of_their_own_only_where_nothing_leaves_a_layer():
    def apply(w: Any, x: Any) -> Any:
        one = lambda change, own: change(jnp.tanh(x @ own["in"]), own) @ own["out"]
        return sum(one(change, w[name]) for name, (change, _) in SCANNED.items())

    found = infer(apply, {name: shapes(**LAYERS) for name in SCANNED}, X)
    made = {name: _each(found, name, "b").split(", ")[0] for name in SCANNED}
    assert made == {name: expected for name, (_, expected) in SCANNED.items()}


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
    for words in (f"({__file__}:", "rev (", "the network's input in dot_general"):
        assert words in text
    text = explain(lambda w, x: jax.nn.relu(x @ w["a"] + w["b"]) @ w["c"], WEIGHTS, X)
    assert "group h1: 8 neurons, relu, permute/rescale" in text
    for words in ("weights['b'] (a bias)\n  axis 0, 8: produces h1", "axis 0, 8: consumes h1*"):
        assert words in text
