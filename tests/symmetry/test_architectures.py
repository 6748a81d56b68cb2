"""Specs against real networks: products and sums of axes, convolutions, Flax variables, batch statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import Normed, dense_axes, normed_spec, points, random_weights, touched
from tests.symmetry.architectures import conv_axes
from wsjax import symmetry as ws
from wsjax.symmetry import Axes, Fixed, Group, Sum, Symmetry, symmetry_of
from wsjax.symmetry.element import Element, Move, identity

IMAGES = np.asarray(np.linspace(-1, 1, 2 * 3 * 3).reshape(2, 3, 3, 1) ** 2, np.float32)
FILTER = {"row": Fixed(2), "column": Fixed(2), "color": Fixed(1, "input"), "pixel": Fixed(9), "out": Fixed(2, "output")}


def convolve(x: jax.Array, layer: dict) -> jax.Array:
    y = jax.lax.conv_general_dilated(x, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + layer["bias"][None, None, None, :]


def proven(apply, spec: Symmetry, *inputs, seed: int = 0) -> None:
    worst = ws.check(
        jax.jit(apply), spec, random_weights(jax.random.key(seed), spec), *inputs, key=jax.random.key(seed + 1)
    )
    assert worst < 1e-5


@pytest.mark.parametrize("activation", ["relu", "tanh", "sine"])
def test_a_convolution_flattened_into_a_dense_layer(activation: str):
    nonlinearity = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sine": jnp.sin}[activation]
    spec = symmetry_of(
        {"a": conv_axes("color", "c1"), "b": conv_axes("c1*", "c2"), "dense": dense_axes(("pixel", "c2*"), "out")},
        {**FILTER, "c1": Group(3, activation), "c2": Group(4, activation)},
    )

    def apply(w, x):
        x = nonlinearity(convolve(nonlinearity(convolve(x, w["a"])), w["b"]))
        return x.reshape(len(x), -1) @ w["dense"]["kernel"] + w["dense"]["bias"][None, :]

    proven(apply, spec, IMAGES)
    wrong = symmetry_of(
        {"a": conv_axes("color", "c1"), "b": conv_axes("c1*", "c2"), "dense": dense_axes(("c2*", "pixel"), "out")},
        dict(spec.dimensions),
    )
    with pytest.raises(ValueError, match=r"on group 'c2' changes the function"):
        proven(apply, wrong, IMAGES)


def test_a_product_of_a_sum_the_channels_concatenated_and_then_flattened():
    spec = symmetry_of(
        {
            "a": conv_axes("color", "c1"),
            "b": conv_axes("c1*", "c2"),
            "dense": dense_axes(("pixel", Sum("c1*", "color", "c2*")), "out"),
        },
        {**FILTER, "c1": Group(3, "tanh"), "c2": Group(4, "tanh")},
    )

    def apply(w, x):
        one = jnp.tanh(convolve(x, w["a"]))
        two = jnp.tanh(convolve(one, w["b"]))
        flat = jnp.concatenate([one, x, two], axis=-1).reshape(len(x), -1)
        return flat @ w["dense"]["kernel"] + w["dense"]["bias"][None, :]

    proven(apply, spec, IMAGES)


@pytest.mark.parametrize("activation", ["relu", "sine"])
def test_a_skip_connection_that_concatenates(activation: str):
    nonlinearity = {"relu": jax.nn.relu, "sine": jnp.sin}[activation]
    sizes = {"in": Fixed(2, "input"), "h1": Group(4, activation), "h2": Group(5, activation), "out": Fixed(1, "output")}
    layers = lambda joined: [dense_axes("in", "h1"), dense_axes(joined, "h2"), dense_axes("h2*", "out")]

    def apply(w, x):
        h = nonlinearity(x @ w[0]["kernel"] + w[0]["bias"][None, :])
        h = nonlinearity(jnp.concatenate([x, h], axis=1) @ w[1]["kernel"] + w[1]["bias"][None, :])
        return h @ w[2]["kernel"] + w[2]["bias"][None, :]

    x = points(jax.random.key(0), 2)
    proven(apply, symmetry_of(layers(Sum("in", "h1*")), sizes), x)
    with pytest.raises(ValueError, match=r"'permute' on group 'h1'"):
        proven(apply, symmetry_of(layers(Sum("h1*", "in")), sizes), x)


def test_a_skip_connection_that_adds_shares_its_group():
    sizes = {"in": Fixed(2, "input"), "h": Group(4, "sine"), "out": Fixed(1, "output")}
    spec = symmetry_of([dense_axes("in", "h"), dense_axes("h*", "h"), dense_axes("h*", "out")], sizes)

    def apply(w, x):
        h = jnp.sin(x @ w[0]["kernel"] + w[0]["bias"][None, :])
        h = h + jnp.sin(h @ w[1]["kernel"] + w[1]["bias"][None, :])
        return h @ w[2]["kernel"] + w[2]["bias"][None, :]

    proven(apply, spec, points(jax.random.key(0), 2))


def test_batch_statistics_are_carried_by_permutations_and_by_nothing_else():
    x, apply = points(jax.random.key(0), 3), jax.jit(Normed().apply)
    weights = jax.tree.map(np.abs, random_weights(jax.random.key(2), normed_spec("permute")))
    assert ws.check(apply, normed_spec("permute"), weights, x, key=jax.random.key(1)) < 1e-5
    moved = ws.act(ws.sample(jax.random.key(3), normed_spec("permute")), weights)
    assert touched(moved, weights) >= {
        "['batch_stats']['BatchNorm_0']['mean']",
        "['batch_stats']['BatchNorm_0']['var']",
    }
    with pytest.raises(ValueError, match=r"'sign' on group 'h' changes the function"):
        ws.check(apply, normed_spec("permute", "sign"), weights, x, key=jax.random.key(1))


def test_arrays_of_every_dtype_move_with_their_neurons_and_the_rest_comes_back_as_it_came():
    spec = symmetry_of(
        {"kernel": Axes("in", "h"), "own": Axes("h"), "step": Axes(), "last": Axes("h*", "out")},
        {"in": Fixed(2, "input"), "h": Group(5, "tanh"), "out": Fixed(1, "output")},
    )
    order = np.array([3, 0, 4, 1, 2])
    element = Element(spec, {"h": Move(permutation=order)})
    flips = np.array([1, -1, 1, 1, -1], np.float32)
    signs = Element(spec, {"h": Move(gain=flips)})
    plain = random_weights(jax.random.key(0), spec)
    for dtype in (bool, np.int8, np.uint16, np.int64, np.complex64, np.float16):
        own = np.array([0, 1, 2**40 if dtype == np.int64 else 3, 1, 5]).astype(dtype)
        weights = {**plain, "own": own, "step": np.int64(2**40 + 5)}
        moved = ws.act(element, weights)
        np.testing.assert_array_equal(moved["own"], own[order], err_msg=str(dtype))
        assert moved["own"].dtype == dtype
        assert int(moved["step"]) == int(ws.act(identity(spec), weights)["step"]) == 2**40 + 5
        if np.issubdtype(dtype, np.inexact):
            np.testing.assert_array_equal(ws.act(signs, weights)["own"], own * flips)
        else:
            with pytest.raises(ValueError, match=r"weights\['own'\] holds .* lies along h, where signs.*name actions="):
                ws.act(signs, weights)
