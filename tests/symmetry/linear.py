"""Networks on which matrices act, and groups within others, for tests."""

from typing import Any

import jax
import jax.numpy as jnp

from wsjax.symmetry import Axes, Fixed, Group, Sum, symmetry_of

LINEAR = ("linear",)
PERMUTE = ("permute",)

LORA = symmetry_of(
    {"down": Axes("in", "rank"), "up": Axes("rank*", "out")},
    {"in": Fixed(7, "input"), "rank": Group(3, "linear", actions=LINEAR), "out": Fixed(6, "output")},
)


def lora(weights: Any, x: jax.Array) -> jax.Array:
    return x @ weights["down"] @ weights["up"]


def _stream(name: str = "stream") -> dict[str, Any]:
    return {"in": Fixed(3, "input"), name: Group(6, "linear", actions=PERMUTE), "out": Fixed(2, "output")}


HEADS = symmetry_of(
    {
        "embed": Axes("in", "stream"),
        "query": {"kernel": Axes("stream*", "head", "query", "key"), "bias": Axes("head", "query", "key")},
        "key": {"kernel": Axes("stream*", "head", "key*"), "bias": Axes("head", "key*")},
        "value": {"kernel": Axes("stream*", ("head", "value")), "bias": Axes(("head", "value"))},
        "out": {"kernel": Axes(("head*", "query*", "value*"), "stream"), "bias": Axes("stream", bias=True)},
        "last": Axes("stream*", "out"),
    },
    {
        **_stream(),
        "head": Group(3, "linear", actions=PERMUTE),
        "query": Group(2, "linear", actions=PERMUTE, within="head"),
        "key": Group(4, "linear", actions=LINEAR, within="head"),
        "value": Group(3, "linear", actions=LINEAR, within="head"),
    },
)
"""Grouped queries: 3 heads of keys and values, each read by 2 of queries."""


def heads(weights: Any, x: jax.Array) -> jax.Array:
    """Attention over the rows of x."""
    stream = x @ weights["embed"]
    q, k, v, o = (weights[name] for name in ("query", "key", "value", "out"))
    query = jnp.einsum("td,dhqk->thqk", stream, q["kernel"]) + q["bias"][None]
    key = jnp.einsum("td,dhk->thk", stream, k["kernel"]) + k["bias"][None]
    value = (stream @ v["kernel"] + v["bias"][None, :]).reshape(len(x), 3, 3)
    attention = jax.nn.softmax(jnp.einsum("thqk,shk->hqts", query, key), axis=-1)
    read = jnp.einsum("hqts,shv->thqv", attention, value).reshape(len(x), -1)
    return (stream + read @ o["kernel"] + o["bias"][None, :]) @ weights["last"]


EXPERTS = symmetry_of(
    {
        "gate": Axes("in", "expert"),
        "up": {"kernel": Axes("expert", "in", "h"), "bias": Axes("expert", "h", bias=True)},
        "down": {"kernel": Axes("expert*", "h*", "out"), "bias": Axes("expert", "out")},
    },
    {
        "in": Fixed(4, "input"),
        "expert": Group(4, "linear", actions=PERMUTE),
        "h": Group(5, "relu", within="expert"),
        "out": Fixed(3, "output"),
    },
)


def experts(weights: Any, x: jax.Array) -> jax.Array:
    gate = jax.nn.softmax(x @ weights["gate"], axis=-1)
    h = jax.nn.relu(jnp.einsum("ni,eih->neh", x, weights["up"]["kernel"]) + weights["up"]["bias"][None])
    out = jnp.einsum("neh,eho->neo", h, weights["down"]["kernel"]) + weights["down"]["bias"][None]
    return jnp.einsum("ne,neo->no", gate, out)


LAYERS = symmetry_of(
    {
        "first": Axes("in", "stream"),
        "up": {"kernel": Axes("layer", "stream*", "h"), "bias": Axes("layer", "h", bias=True)},
        "down": Axes("layer", "h*", "stream"),
        "last": Axes("stream*", "out"),
    },
    {**_stream(), "layer": Fixed(3), "h": Group(5, "sine", w0=2.0, within="layer")},
)
"""Layers stacked for a scan."""


def layers(weights: Any, x: jax.Array) -> jax.Array:
    def step(stream: jax.Array, layer: Any) -> tuple[jax.Array, None]:
        up, down = layer
        h = jnp.sin(2.0 * (stream @ up["kernel"] + up["bias"][None, :]))
        return stream + h @ down, None

    stream, _ = jax.lax.scan(step, x @ weights["first"], (weights["up"], weights["down"]))
    return stream @ weights["last"]


STACKED = symmetry_of(
    {
        "embed": Axes("in", "stream"),
        "value": Axes("layer", "stream*", ("head", "value")),
        "out": Axes("layer", ("head*", "value*"), "stream"),
        "slope": Axes("layer", "head"),
        "last": Axes("stream*", "out"),
    },
    {
        **_stream(),
        "layer": Fixed(2),
        "head": Group(3, "linear", actions=PERMUTE, within="layer"),
        "value": Group(2, "linear", actions=LINEAR, within="head"),
    },
)
"""Heads within layers, and a matrix within each head."""


def stacked(weights: Any, x: jax.Array) -> jax.Array:
    stream = x @ weights["embed"]
    for value, out, slope in zip(weights["value"], weights["out"], weights["slope"], strict=True):
        read = (stream @ value).reshape(len(x), 3, 2) * slope[None, :, None]
        stream = stream + read.reshape(len(x), 6) @ out
    return stream @ weights["last"]


FUSED = symmetry_of(
    {"made": Axes("in", ("head", Sum("key", "key*", "value"))), "out": Axes(("head*", "value*"), "out")},
    {
        "in": Fixed(4, "input"),
        "head": Group(3, "linear", actions=PERMUTE),
        "key": Group(2, "linear", actions=LINEAR, within="head"),
        "value": Group(3, "linear", actions=LINEAR, within="head"),
        "out": Fixed(4, "output"),
    },
)
"""Queries, keys and values from one kernel, head by head."""


def fused(weights: Any, x: jax.Array) -> jax.Array:
    query, key, value = jnp.split((x @ weights["made"]).reshape(len(x), 3, 7), [2, 4], axis=-1)
    attention = jax.nn.softmax(jnp.einsum("thk,shk->hts", query, key), axis=-1)
    return jnp.einsum("hts,shv->thv", attention, value).reshape(len(x), -1) @ weights["out"]
