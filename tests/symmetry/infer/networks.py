"""Networks of every kind, each with a function that gives `apply`, weights (shapes are enough) and an input."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests.helpers import kernel_siren
from wsjax import networks

ROWS, IMAGES, SEQUENCES = np.ones((4, 3)), np.ones((2, 8, 8, 3)), np.ones((2, 5, 3))
Network = tuple[Callable[..., Any], Any, Any]


def shapes(**of: tuple[int, ...]) -> dict[str, jax.ShapeDtypeStruct]:
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in of.items()}


def linen(call: Callable[[Any], Any] | nn.Module, x: np.ndarray) -> Network:
    """A Flax Linen network from its `__call__`, or from a module."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            return call(x)

    module = call if isinstance(call, nn.Module) else Net()
    x = np.asarray(x, np.int32 if isinstance(module, GPT) else np.float32)
    return module.apply, jax.eval_shape(module.init, jax.random.key(0), x), x


def conv(channels: int, window: int = 3, stride: int = 1, **settings: Any) -> Callable[[Any], Any]:
    return nn.Conv(channels, (window, window), (stride, stride), **settings)


def batch_norm(x: Any) -> Any:
    return nn.BatchNorm(use_running_average=True)(x)


def mean(x: Any) -> Any:
    return x.mean(axis=tuple(range(1, x.ndim - 1)))


def mlp(activation: Callable[[Any], Any]) -> Network:
    def apply(w: Any, x: Any) -> Any:
        for layer in w[:-1]:
            x = activation(x @ layer.kernel + layer.bias)
        return x @ w[-1].kernel + w[-1].bias

    return apply, jax.eval_shape(lambda key: networks.mlp_init(key, (3, 8, 6, 1)), jax.random.key(0)), ROWS


def siren(convention: str) -> Network:
    affine = lambda w, x: networks.siren_apply(w, x, w0=(9.5, 6.25))
    _, weights, x = mlp(jnp.tanh)
    return (affine if convention == "affine" else kernel_siren), weights, x


def cnn(pool: Callable[..., Any]) -> Network:
    def call(x: Any) -> Any:
        x = pool(nn.relu(conv(8)(x)), (2, 2), strides=(2, 2))
        x = nn.relu(conv(6)(x))
        return nn.Dense(3)(nn.relu(nn.Dense(12)(x.reshape(len(x), -1))))

    return linen(call, IMAGES)


def normed(norm: Callable[[Any], Any], activation: Callable[[Any], Any] = nn.relu) -> Network:
    def call(x: Any) -> Any:
        for _ in range(2):
            x = activation(norm(nn.Dense(8)(x)))
        return nn.Dense(3)(x)

    return linen(call, ROWS)


def instance_norm(x: Any) -> Any:
    return nn.Dense(2)(mean(nn.relu(nn.InstanceNorm()(conv(8)(x)))))


class ResNet(nn.Module):
    """Of CIFAR: three stages of blocks; shortcuts that widen by a convolution, or by padding."""

    blocks: int = 3
    padded: bool = False

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.relu(batch_norm(conv(16, use_bias=False)(x)))
        stages = [(c, s if i == 0 else 1) for c, s in ((16, 1), (32, 2), (64, 2)) for i in range(self.blocks)]
        for channels, stride in stages:
            y = nn.relu(batch_norm(conv(channels, 3, stride, use_bias=False)(x)))
            y = batch_norm(conv(channels, use_bias=False)(y))
            if stride == 2 and self.padded:
                x = jnp.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (channels // 4, channels // 4)))
            elif stride == 2:
                x = batch_norm(conv(channels, 1, 2, use_bias=False)(x))
            x = nn.relu(x + y)
        return nn.Dense(10)(mean(x))


class Bottlenecks(nn.Module):
    """A ResNet-50."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.max_pool(nn.relu(batch_norm(conv(64, 7, 2, use_bias=False)(x))), (3, 3), (2, 2), "SAME")
        for stage, blocks in enumerate((3, 4, 6, 3)):
            for block in range(blocks):
                inner, stride = 64 * 2**stage, 2 if stage and not block else 1
                y = nn.relu(batch_norm(conv(inner, 1, use_bias=False)(x)))
                y = nn.relu(batch_norm(conv(inner, 3, stride, use_bias=False)(y)))
                y = batch_norm(conv(4 * inner, 1, use_bias=False)(y))
                x = x if block else batch_norm(conv(4 * inner, 1, stride, use_bias=False)(x))
                x = nn.relu(x + y)
        return nn.Dense(1000)(mean(x))


def vgg(x: Any) -> Any:
    for channels in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        x = nn.relu(batch_norm(conv(channels)(x))) if channels else nn.max_pool(x, (2, 2), (2, 2))
    return nn.Dense(10)(nn.relu(nn.Dense(512)(x.reshape(len(x), -1))))


def depthwise(x: Any) -> Any:
    x = nn.relu(conv(16, feature_group_count=8)(nn.relu(conv(8)(x))))
    return nn.Dense(3)(mean(x))


def grouped(x: Any) -> Any:
    x = nn.relu(conv(12, feature_group_count=4)(nn.relu(conv(8)(x))))
    return nn.Dense(3)(mean(x))


def dense_net(x: Any) -> Any:
    a = nn.relu(conv(4)(x))
    b = nn.relu(conv(5)(a))
    c = nn.relu(conv(6)(jnp.concatenate([a, b], -1)))
    return nn.Dense(3)(mean(jnp.concatenate([a, b, c], -1)))


def u_net(x: Any) -> Any:
    a = nn.relu(conv(5)(x))
    b = nn.relu(conv(6)(nn.max_pool(a, (2, 2), (2, 2))))
    up = nn.relu(nn.ConvTranspose(4, (2, 2), (2, 2))(b))
    return conv(3, 1)(nn.relu(conv(4)(jnp.concatenate([a, up], -1))))


def inception(x: Any) -> Any:
    x = nn.relu(conv(3)(x))
    x = jnp.concatenate([nn.relu(conv(c, k)(x)) for c, k in ((4, 1), (3, 3), (4, 5))], -1)
    return nn.Dense(3)(mean(x))


def pixel_shuffle(x: Any) -> Any:
    x = nn.relu(conv(20)(nn.relu(conv(8)(x))))
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c // 4)
    return conv(3)(x)


def channel_shuffle(x: Any) -> Any:
    x = nn.relu(conv(12, feature_group_count=3)(nn.relu(conv(12)(x))))
    x = x.reshape(*x.shape[:3], 3, 4).swapaxes(-1, -2).reshape(x.shape)
    return nn.Dense(3)(mean(nn.relu(conv(12, feature_group_count=4)(x))))


def squeeze_excite(x: Any) -> Any:
    x = nn.relu(conv(8)(x))
    gate = nn.sigmoid(nn.Dense(8)(nn.relu(nn.Dense(3)(mean(x)))))
    return nn.Dense(3)(mean(x * gate[:, None, None, :]))


def mixer(x: Any) -> Any:
    x = nn.Dense(8)(x)
    y = nn.LayerNorm()(x).swapaxes(1, 2)
    x = x + nn.Dense(5)(nn.gelu(nn.Dense(10)(y))).swapaxes(1, 2)
    x = x + nn.Dense(8)(nn.gelu(nn.Dense(6)(nn.LayerNorm()(x))))
    return nn.Dense(3)(mean(x))


def recurrent(cell: Callable[..., Any]) -> Network:
    return linen(lambda x: nn.Dense(3)(jnp.asarray(nn.RNN(cell(6))(x))[:, -1]), SEQUENCES)


def block(x: Any, heads: int = 2, width: int = 12, mask: Any = None) -> Any:
    x = x + nn.MultiHeadDotProductAttention(heads)(nn.LayerNorm()(x), mask=mask)
    return x + nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(width)(nn.LayerNorm()(x))))


def transformer(x: Any) -> Any:
    return nn.Dense(3)(nn.LayerNorm()(block(nn.Dense(8)(x))))


class Block(nn.Module):
    @nn.compact
    def __call__(self, x: Any, _: Any) -> Any:
        return block(x), None


def stacked_blocks(x: Any) -> Any:
    """Three blocks of a transformer under one scan."""
    layers = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
    return nn.Dense(3)(nn.LayerNorm()(layers()(nn.Dense(8)(x), None)[0]))


class ViT(nn.Module):
    """With a class token and positions."""

    size: int = 8
    blocks: int = 1
    heads: int = 2
    width: int = 12
    patch: int = 4

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = conv(self.size, self.patch, self.patch, padding="VALID")(x).reshape(len(x), -1, self.size)
        token = self.param("class", nn.initializers.normal(), (1, 1, self.size))
        x = jnp.concatenate([jnp.tile(token, (len(x), 1, 1)), x], 1)
        x = x + self.param("positions", nn.initializers.normal(), (1, *x.shape[1:]))
        for _ in range(self.blocks):
            x = block(x, self.heads, self.width)
        return nn.Dense(10)(nn.LayerNorm()(x)[:, 0])


class GPT(nn.Module):
    """A causal mask, and an embedding tied to the output."""

    @nn.compact
    def __call__(self, tokens: Any) -> Any:
        embed = nn.Embed(7, 8)
        x = embed(tokens) + self.param("positions", nn.initializers.normal(), (1, tokens.shape[1], 8))
        return embed.attend(nn.LayerNorm()(block(x, mask=nn.make_causal_mask(tokens))))


def attention(groups: int, fused: str = "", rotary: bool = False) -> Network:
    """Four heads of size 4; `groups` of keys and values; one kernel for all three, taken apart in several ways."""
    heads, size = 4, 4

    def apply(w: Any, x: Any) -> Any:
        x = x @ w["embed"]
        b, n, _ = x.shape
        if fused == "index":
            q, k, v = ((x @ w["qkv"]).reshape(b, n, 3, heads, size)[:, :, i] for i in range(3))
        elif fused == "transpose":
            q, k, v = (x @ w["qkv"]).reshape(b, n, 3, heads, size).transpose(2, 0, 1, 3, 4)
        elif fused:
            q, k, v = (part.reshape(b, n, heads, size) for part in jnp.split(x @ w["qkv"], 3, -1))
        else:
            q, k, v = ((x @ w[name]).reshape(b, n, -1, size) for name in "qkv")
        if rotary:
            angle = np.arange(n)[:, None] * np.array([1.0, 0.1])
            cos, sin = np.cos(angle)[None, :, None], np.sin(angle)[None, :, None]
            turn = lambda z: jnp.concatenate(
                [z[..., :2] * cos - z[..., 2:] * sin, z[..., :2] * sin + z[..., 2:] * cos], -1
            )
            q, k = turn(q), turn(k)
        k, v = (jnp.repeat(z, heads // groups, 2) for z in (k, v))
        weight = jax.nn.softmax(jnp.einsum("bihk,bjhk->bhij", q, k))
        mixed = jnp.einsum("bhij,bjhk->bihk", weight, v).reshape(b, n, heads * size)
        return (x + mixed @ w["mix"]) @ w["out"]

    own = {"q": (8, 16), "k": (8, 4 * groups), "v": (8, 4 * groups)}
    return (
        apply,
        shapes(embed=(3, 8), mix=(16, 8), out=(8, 3), **({"qkv": (8, 48)} if fused else own)),
        np.float32(SEQUENCES),
    )


def lora(rank: int = 2) -> Network:
    apply = lambda w, x: nn.relu(x @ (w["base"] + w["a"] @ w["b"]) + w["bias"]) @ w["out"]
    return apply, shapes(base=(3, 8), a=(3, rank), b=(rank, 8), bias=(8,), out=(8, 3)), ROWS


def bottleneck(x: Any) -> Any:
    """Without an activation, pooled on its way, and with a bias."""
    return nn.Dense(3)(nn.relu(nn.Dense(8)(mean(nn.avg_pool(conv(4)(x), (2, 2))))))


def state_space() -> Network:
    """A diagonal linear recurrence of complex states, run by `associative_scan`."""

    def apply(w: Any, x: Any) -> Any:
        rate = jnp.exp(jax.lax.complex(-jnp.exp(w["decay"]), w["turn"]))
        drive = x @ jax.lax.complex(w["real"], w["imag"])
        after = lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1])
        _, h = jax.lax.associative_scan(after, (jnp.broadcast_to(rate, drive.shape), drive), axis=1)
        return jnp.real(h @ w["out"].astype(jnp.complex64))

    arrays = shapes(decay=(8,), turn=(8,), real=(3, 8), imag=(3, 8), out=(8, 2))
    return apply, arrays, np.float32(SEQUENCES)


def weight_norm() -> Network:
    def apply(w: Any, x: Any) -> Any:
        kernel = w["v"] / jnp.linalg.norm(w["v"], axis=0, keepdims=True) * w["g"]
        return nn.relu(x @ kernel + w["bias"]) @ w["out"]

    return apply, shapes(v=(3, 8), g=(8,), bias=(8,), out=(8, 3)), ROWS


def einsum() -> Network:
    def apply(w: Any, x: Any) -> Any:
        return jnp.einsum("bjk,jkl->bl", nn.relu(jnp.einsum("bi,ijk->bjk", x, w["a"])), w["b"])

    return apply, shapes(a=(3, 4, 5), b=(4, 5, 2)), ROWS


def stacked() -> Network:
    """Four residual blocks under one scan."""

    def apply(w: Any, x: Any) -> Any:
        step = lambda h, layer: (nn.relu(h + nn.relu(h @ layer["a"]) @ layer["b"]), None)
        h, _ = jax.lax.scan(step, nn.relu(x @ w["in"]), {"a": w["a"], "b": w["b"]})
        return h @ w["out"]

    return apply, shapes(**{"in": (3, 6)}, a=(4, 6, 8), b=(4, 8, 6), out=(6, 2)), ROWS


def experts(activation: Callable[[Any], Any]) -> Network:
    def apply(w: Any, x: Any) -> Any:
        h = activation(jnp.einsum("bi,eih->beh", x, w["a"]) + w["bias"])
        return jnp.einsum("beh,eho,be->bo", h, w["b"], jax.nn.softmax(x @ w["gate"]))

    return apply, shapes(gate=(3, 4), a=(4, 3, 6), bias=(4, 6), b=(4, 6, 2)), ROWS


def ensemble() -> Network:
    one = lambda w, x: nn.relu(x @ w["a"]) @ w["b"]
    return lambda w, x: jax.vmap(one, (0, None))(w, x).mean(0), shapes(a=(5, 3, 8), b=(5, 8, 2)), ROWS


def gated() -> Network:
    def apply(w: Any, x: Any) -> Any:
        h = x @ w["in"]
        return (jax.nn.silu(h @ w["gate"]) * (h @ w["up"])) @ w["down"]

    return apply, shapes(**{"in": (3, 4)}, gate=(4, 8), up=(4, 8), down=(8, 2)), ROWS


def shared() -> Network:
    """One kernel used three times, which ties both of its axes."""

    def apply(w: Any, x: Any) -> Any:
        h = jnp.tanh(x @ w["in"])
        for _ in range(3):
            h = jnp.tanh(h @ w["again"])
        return h @ w["out"]

    return apply, shapes(**{"in": (3, 6)}, again=(6, 6), out=(6, 2)), ROWS


def graph() -> Network:
    """Messages along edges, summed by `segment_sum`."""
    sends, receives = np.array([0, 1, 2, 3, 0]), np.array([1, 2, 3, 0, 2])

    def apply(w: Any, x: Any) -> Any:
        h = nn.relu(x @ w["in"])
        h = nn.relu(jax.ops.segment_sum((h @ w["message"])[sends], receives, 4) + h)
        return h.sum(0) @ w["out"]

    return apply, shapes(**{"in": (3, 6)}, message=(6, 6), out=(6, 2)), ROWS


def equinox_mlp() -> Network:
    model = eqx.nn.MLP(3, 2, 5, 2, activation=jax.nn.relu, key=jax.random.key(0))
    weights, static = eqx.partition(model, eqx.is_inexact_array)
    return lambda w, x: jax.vmap(eqx.combine(w, static))(x), weights, np.float32(ROWS)


def equinox_cnn() -> Network:
    keys = jax.random.split(jax.random.key(0))
    layers = [eqx.nn.Conv2d(3, 5, 3, key=keys[0]), eqx.nn.Lambda(jnp.tanh), eqx.nn.Conv2d(5, 2, 3, key=keys[1])]
    weights, static = eqx.partition(eqx.nn.Sequential(layers), eqx.is_inexact_array)
    return (
        lambda w, x: jax.vmap(eqx.combine(w, static))(x),
        weights,
        np.float32(IMAGES.transpose(0, 3, 1, 2)),
    )


class NNX(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.conv, self.norm = nnx.Conv(3, 5, (3, 3), rngs=rngs), nnx.BatchNorm(5, use_running_average=True, rngs=rngs)
        self.drop, self.last = nnx.Dropout(0.1, deterministic=True, rngs=rngs), nnx.Linear(5, 2, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.last(mean(self.drop(nnx.relu(self.norm(self.conv(x))))))


def nnx_cnn() -> Network:
    definition, weights, rest = nnx.split(NNX(nnx.Rngs(0)), (nnx.Param, nnx.BatchStat), ...)
    return lambda w, x: nnx.merge(definition, w, rest, copy=True)(x), weights, np.float32(IMAGES)
