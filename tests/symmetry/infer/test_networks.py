"""Networks of every kind: every group with its size and its actions, and what fixed the axes that are fixed."""

import re
import time
from collections import Counter
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.symmetry.infer import networks as n
from tests.symmetry.infer.helpers import groups, reasons
from wsjax import symmetry
from wsjax.symmetry import Axes
from wsjax.symmetry.infer import explain, infer

pytestmark = pytest.mark.usefixtures("plain_jax")


IO = "input, output"
WINDOW = "a window slides along it"
CONVOLVED = f"{WINDOW}, {IO}"
BLOCK = "2 P, 4 L in h2, 4 L in h2, 12 P"
"""Heads, queries with keys, values, and the block's own hidden layer."""
SPREAD, UNIT = "its one entry is spread", "its one entry is spread, its one entry is taken"
VARIES = "a constant that varies along it"
NETWORKS = {
    "relu": (lambda: n.mlp(jax.nn.relu), "8 PR, 6 PR", IO),
    "leaky_relu": (lambda: n.mlp(jax.nn.leaky_relu), "8 PR, 6 PR", IO),
    "tanh": (lambda: n.mlp(jnp.tanh), "8 PS, 6 PS", IO),
    "hard_tanh": (lambda: n.mlp(nn.hard_tanh), "8 PS, 6 PS", IO),
    "gelu": (lambda: n.mlp(nn.gelu), "8 P, 6 P", IO),
    "linear": (lambda: n.mlp(lambda z: z), "8 L, 6 L", IO),
    "bottleneck": (lambda: n.linen(n.bottleneck, n.IMAGES), "4 L, 8 PR", CONVOLVED),
    "siren": (lambda: n.siren("affine"), "8 PSW, 6 PSW", IO),
    "siren_kernel": (lambda: n.siren("kernel"), "8 PSW, 6 PSW", IO),
    "cnn_max": (lambda: n.cnn(nn.max_pool), "8 PR, 6 PR, 12 PR", CONVOLVED),
    "cnn_avg": (lambda: n.cnn(nn.avg_pool), "8 PR, 6 PR, 12 PR", CONVOLVED),
    "batch_norm": (lambda: n.normed(n.batch_norm), "8 PR, 8 PR", IO),
    "layer_norm": (lambda: n.normed(lambda x: nn.LayerNorm()(x)), "8 PR, 8 PR", IO),
    "rms_norm": (lambda: n.normed(lambda x: nn.RMSNorm()(x), jnp.tanh), "8 PS, 8 PS", IO),
    "group_norm": (lambda: n.normed(lambda x: nn.GroupNorm(4)(x)), "4 P, 2 PR in h1, 4 P, 2 PR in h3", IO),
    "instance_norm": (lambda: n.linen(n.instance_norm, n.IMAGES), "8 PR", CONVOLVED),
    "resnet": (lambda: n.linen(n.ResNet(1), n.IMAGES), "16 PR, 16 PR, 32 PR, 32 PR, 64 PR, 64 PR", CONVOLVED),
    "depthwise": (
        lambda: n.linen(n.depthwise, n.IMAGES),
        "8 P, 2 PR in h1",
        f"{WINDOW}, input, it has one entry, output",
    ),
    "grouped": (lambda: n.linen(n.grouped, n.IMAGES), "4 P, 2 PR in h1, 3 PR in h1", CONVOLVED),
    "dense_net": (lambda: n.linen(n.dense_net, n.IMAGES), "4 PR, 5 PR, 6 PR", CONVOLVED),
    "u_net": (lambda: n.linen(n.u_net, n.IMAGES), "5 PR, 6 PR, 4 PR, 4 PR", CONVOLVED),
    "inception": (lambda: n.linen(n.inception, n.IMAGES), "3 PR, 4 PR, 3 PR, 4 PR", CONVOLVED),
    "pixel_shuffle": (lambda: n.linen(n.pixel_shuffle, n.IMAGES), "8 PR, 5 PR", CONVOLVED),
    "channel_shuffle": (lambda: n.linen(n.channel_shuffle, n.IMAGES), "3 P, 4 PR in h1, 4 P, 3 PR in h3", CONVOLVED),
    "squeeze_excite": (lambda: n.linen(n.squeeze_excite, n.IMAGES), "8 PR, 3 PR", CONVOLVED),
    "mixer": (lambda: n.linen(n.mixer, n.SEQUENCES), "8 PSR, 10 P, 6 P", IO),
    "lstm": (lambda: n.recurrent(nn.OptimizedLSTMCell), "6 PS", IO),
    "gru": (lambda: n.recurrent(nn.GRUCell), "6 PS", IO),
    "transformer": (lambda: n.linen(n.transformer, n.SEQUENCES), f"8 PSR, {BLOCK}", IO),
    "stacked_blocks": (
        lambda: n.linen(n.stacked_blocks, n.SEQUENCES),
        "8 PSR, 2 P in scan1, 4 L in h2, 4 L in h2, 12 P in scan1",
        f"a scan runs along it, {IO}",
    ),
    "vit": (lambda: n.linen(n.ViT(), n.IMAGES), f"8 PSR, {BLOCK}", f"{WINDOW}, input, {UNIT}, output"),
    "gpt": (lambda: n.linen(n.GPT(), np.ones((2, 5))), f"8 PSR, {BLOCK}", f"input, it is indexed, {SPREAD}"),
    "attention": (lambda: n.attention(4), "8 L, 4 P, 4 L in h2, 4 L in h2", IO),
    "fused_index": (lambda: n.attention(4, "index"), "8 L, 4 P, 4 L in h2, 4 L in h2", IO),
    "fused_transpose": (lambda: n.attention(4, "transpose"), "8 L, 4 P, 4 L in h2, 4 L in h2", IO),
    "fused_split": (lambda: n.attention(4, "split"), "8 L, 4 P, 4 L in h2, 4 L in h2", IO),
    "grouped_queries": (lambda: n.attention(2), "8 L, 2 P, 2 P in h2, 4 L in h2, 4 L in h2", IO),
    "rotary": (lambda: n.attention(2, rotary=True), "8 L, 2 P, 2 P in h2, 4 L in h2", f"{VARIES}, {IO}"),
    "lora": (n.lora, "8 PR, 2 L", IO),
    "lora_of_rank_one": (lambda: n.lora(1), "8 PR, 1 L", IO),
    "weight_norm": (n.weight_norm, "8 PR", IO),
    "einsum": (n.einsum, "4 P, 5 PR in h1", IO),
    "stacked": (n.stacked, "6 PR, 8 PR in scan1", f"a scan runs along it, {IO}"),
    "experts": (lambda: n.experts(nn.relu), "4 P, 6 PR in h1", IO),
    "sine_experts": (lambda: n.experts(jnp.sin), "4 P, 6 PSW in h1", IO),
    "ensemble": (n.ensemble, "5 P, 8 PR in h1", IO),
    "gated": (n.gated, "4 L, 8 PSR", IO),
    "state_space": (n.state_space, "8 PSR", IO),
    "shared": (n.shared, "6 PS", IO),
    "graph": (n.graph, "6 PR", IO),
    "equinox_mlp": (n.equinox_mlp, "5 PR, 5 PR", IO),
    "equinox_cnn": (n.equinox_cnn, "5 PS", f"{WINDOW}, input, {SPREAD}, output"),
    "nnx_cnn": (n.nnx_cnn, "5 PR", CONVOLVED),
}
BIG = {
    "resnet20": (lambda: n.linen(n.ResNet(), n.IMAGES), {16: 4, 32: 4, 64: 4}),
    "resnet20_padded": (lambda: n.linen(n.ResNet(padded=True), n.IMAGES), {16: 6, 8: 2, 32: 3, 64: 3}),
    "vgg16": (lambda: n.linen(n.vgg, np.ones((1, 32, 32, 3))), {64: 2, 128: 2, 256: 3, 512: 7}),
    "resnet50": (
        lambda: n.linen(n.Bottlenecks(), np.ones((1, 64, 64, 3))),
        {64: 7, 128: 8, 256: 13, 512: 7, 1024: 1, 2048: 1},
    ),
    "vit_base": (
        lambda: n.linen(n.ViT(768, 12, 12, 3072, 16), np.ones((1, 224, 224, 3))),
        {768: 1, 12: 12, 64: 24, 3072: 12},
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_groups_of_a_network_are_found_whole(name):
    network, expected, fixed = NETWORKS[name]
    apply, weights, x = network()
    assert groups(infer(apply, weights, x)) == expected
    assert reasons(explain(apply, weights, x)) == fixed


def test_the_page_has_the_groups_of_every_network():
    page = (Path(__file__).parents[3] / "docs" / "infer.md").read_text(encoding="utf-8")
    told = {name: listed for listed, name in re.findall(r"\| ([^|]+) \| `(\w+)` \|$", page, re.MULTILINE)}
    assert told == {name: expected for name, (_, expected, _) in NETWORKS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", BIG)
def test_networks_of_real_sizes(name):
    """Counts of groups by size: those of the published specifications of ResNet-20 and VGG-16 among them."""
    network, expected = BIG[name]
    apply, weights, x = network()
    started = time.perf_counter()
    found = infer(apply, weights, x)
    assert time.perf_counter() - started < 60  # 13 s at most on two idle cores
    assert Counter(group.size for group in found.groups.values()) == expected


def test_dense_networks_and_sirens_equal_the_descriptions_by_hand():
    exact_gelu = lambda z: jax.nn.gelu(z, approximate=False)
    activations = {"relu": nn.relu, "leaky_relu": nn.leaky_relu, "tanh": jnp.tanh, "gelu": exact_gelu}
    for name, activation in activations.items():
        assert infer(*n.mlp(activation)) == symmetry.mlp((3, 8, 6, 1), name)
    for convention in ("affine", "kernel"):
        assert infer(*n.siren(convention)) == symmetry.siren((3, 8, 6, 1), (9.5, 6.25), convention)
    apply, weights, x = n.equinox_mlp()
    by_hand = symmetry.dense(weights, ["layers/0", "layers/1", "layers/2"], activation="relu")
    assert infer(apply, weights, x) == by_hand


def test_a_batch_norm_has_the_marks_of_the_description_by_hand():
    """docs/describe.md: what comes before it, and its statistics, follow."""
    apply, weights, x = n.normed(n.batch_norm)
    marks = dict(zip(infer(apply, weights, x).names, infer(apply, weights, x).axes, strict=True))
    entry = lambda kind, leaf: next(a.entries for name, a in marks.items() if kind in name and f"_0']['{leaf}" in name)
    assert entry("BatchNorm", "mean") == entry("BatchNorm", "var") == ("h1~",)
    assert entry("BatchNorm", "scale") == entry("BatchNorm", "bias") == ("h1",)
    assert entry("Dense", "kernel") == ("in", "h1~")


def test_linear_groups_and_heads_have_the_marks_of_descriptions_by_hand():
    """docs/describe.md: keys consume what queries produce, and their biases do so too."""
    marks = lambda found: {name.split("_")[-1]: axes for name, axes in zip(found.names, found.axes, strict=True)}
    own = marks(infer(*n.linen(n.transformer, n.SEQUENCES)))
    expected = {
        "query": (("h1*", "h2", "h3"), ("h2", "h3")),
        "key": (("h1*", "h2", "h3*"), ("h2", "h3*")),
        "value": (("h1*", "h2", "h4"), ("h2", "h4")),
        "out": (("h2*", "h4*", "h1~"), ("h1~",)),
    }
    for name, (kernel, bias) in expected.items():
        assert own[f"0']['{name}']['kernel']"] == Axes(*kernel)
        assert own[f"0']['{name}']['bias']"].entries == bias
    own = marks(infer(*n.lora()))
    assert (own["weights['a']"], own["weights['b']"]) == (Axes("in", "h2"), Axes("h2*", "h1"))
    assert marks(infer(*n.experts(jnp.sin)))["weights['bias']"] == Axes("h1", "h2", bias=True)
    assert marks(infer(*n.stacked()))["weights['a']"] == Axes("scan1", "h1*", "h2")


CHECKED = ["siren_kernel", "batch_norm", "lstm", "dense_net", "grouped_queries", "fused_split", "stacked"]


@pytest.mark.parametrize("name", CHECKED)
def test_what_is_inferred_passes_the_check_of_descriptions(name, getkey):
    """With the action of the library itself; the confirmation has its own."""
    apply, weights, x = NETWORKS[name][0]()
    rng = np.random.default_rng(0)
    draw = lambda w: rng.uniform(0.1 if w.ndim == 1 else -1, 1, w.shape).astype(np.float32)
    found = infer(apply, weights, x)
    x = np.float32(rng.normal(size=x.shape))
    assert symmetry.check(jax.jit(apply), found, jax.tree.map(draw, weights), x, key=getkey(), draws=1) < 1e-4
