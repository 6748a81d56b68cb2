"""The convolutional classifier: a plain Flax network in all but how its convolutions are computed."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from wsjax.networks import CNN
from wsjax.networks.cnn import by_patches
from wsjax.symmetry import check

SAME = CNN((5, 8, 2), (3, 4), 6, "tanh")
VALID = CNN((9, 7, 1), (4, 3), 5, "relu", "VALID")


def fitted_like(net: CNN, key: jax.Array):
    """Weights with biases that are not zero."""
    rng = np.random.default_rng(1)
    draw = lambda x: rng.normal(0, (x.size / x.shape[-1]) ** -0.5, x.shape).astype(x.dtype)
    return jax.tree.map(draw, jax.eval_shape(net.init, key))


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "kernel", "strides", "padding"),
    [
        ((2, 7, 6, 3), (3, 3), (2, 2), "SAME"),
        ((1, 8, 9, 2), (3, 2), (2, 3), "VALID"),
        ((2, 4, 4, 1), (1, 4), (1, 1), "SAME"),
    ],
)
def test_a_convolution_by_patches_is_a_convolution(shape, kernel, strides, padding):
    x, weights = images(*shape), images(*kernel, shape[-1], 4)

    @jax.jit
    def both(x, weights):
        numbers = jax.lax.conv_dimension_numbers(shape, weights.shape, ("NHWC", "HWIO", "NHWC"))
        expected = jax.lax.conv_general_dilated(x, weights, strides, padding, dimension_numbers=numbers)
        return by_patches(x, weights, strides, padding), expected

    np.testing.assert_allclose(*both(x, weights), atol=1e-5)


@pytest.mark.parametrize("net", [SAME, VALID], ids=["same", "valid"])
def test_it_computes_what_plain_flax_computes(net, getkey):
    class Plain(nn.Module):
        @nn.compact
        def __call__(self, h):
            for i, channels in enumerate(net.channels):
                h = nn.Conv(channels, (3, 3), strides=(2, 2), padding=net.padding, name=f"conv{i + 1}")(h)
                h = {"relu": nn.relu, "tanh": nn.tanh}[net.activation](h)
            return nn.Dense(net.outputs, name="dense")(h.mean(axis=(1, 2)))

    weights, x = fitted_like(net, getkey()), images(3, *net.image_shape)
    found, expected = jax.jit(lambda weights, x: (net.apply(weights, x), Plain().apply(weights, x)))(weights, x)
    assert found.shape == (3, net.outputs)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("net", [SAME, VALID], ids=["same, tanh", "valid, relu"])
def test_its_symmetry_is_proved(net, getkey):
    actions = {group.actions for group in net.symmetry.groups.values()}
    assert actions == {("permute", "sign" if net.activation == "tanh" else "rescale")}
    x = images(3, *net.image_shape)
    assert check(jax.jit(net.apply), net.symmetry, fitted_like(net, getkey()), x, key=getkey(), draws=2) < 1e-5


def test_it_starts_he_normal_with_zero_biases(getkey):
    net = CNN((8, 8, 1), (64, 64), 10)
    layers = jax.jit(net.init)(getkey())["params"]
    for name, fan_in in (("conv1", 9), ("conv2", 9 * 64), ("dense", 64)):
        assert not np.asarray(layers[name]["bias"]).any()
        np.testing.assert_allclose(np.std(np.asarray(layers[name]["kernel"])), (2 / fan_in) ** 0.5, rtol=0.1)


def test_what_happens_between_layers_gets_each_of_them(getkey):
    seen = []

    def between(layer, h):
        seen.append((layer, h.shape))
        return 0 * h

    weights, x = fitted_like(SAME, getkey()), images(2, 5, 8, 2)
    logits = jax.jit(lambda w, x: SAME.apply(w, x, between=between))(weights, x)
    assert seen == [(0, (2, 3, 4, 3)), (1, (2, 2, 2, 4))]
    np.testing.assert_array_equal(logits, np.tile(weights["params"]["dense"]["bias"], (2, 1)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "rleu"}, "unknown activation 'rleu'.*Did you mean 'relu'"),
        ({"padding": "full"}, "unknown padding 'full'"),
        ({"channels": ()}, "number of channels is 0"),
        ({"channels": (4, 0)}, "each of channels is 0"),
        ({"outputs": 0}, "outputs is 0"),
        ({"image_shape": (8, 8)}, "number of axes in image_shape is 2"),
        ({"padding": "VALID"}, r"3 convolutions without padding need 15 pixels a side: take fewer, or padding 'SAME'"),
    ],
)
def test_settings_that_make_no_network_are_named(settings, message, untyped):
    with pytest.raises(ValueError, match=message):
        CNN(**{"image_shape": (8, 8, 1), **settings})
