"""What both readers of graphs are proved on: architectures, and the law of padding."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tests.models.specs import SKIP, double, random_weights
from wsjax.models import Normaliser, normaliser
from wsjax.models.graph import graph_of
from wsjax.models.graph_reader import GraphConfig
from wsjax.models.padding import pad, union, whole
from wsjax.models.testing import check_invariant, check_reader, check_sensitive
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, mlp, siren, symmetry_of


def convolutional(window: int, channels: int = 3) -> Symmetry:
    """A convolution, a residual one tied to its channels, a dense layer after flattening two pixels."""
    kernel = lambda reads: {"kernel": Axes("row", "column", reads, "c"), "bias": Axes("c", bias=True)}
    return symmetry_of(
        {
            "first": kernel("in"),
            "second": {**kernel("c*"), "scale": Axes("c")},
            "dense": {"kernel": Axes(("pixel", "c*"), "out"), "bias": Axes("out", bias=True)},
        },
        {
            "row": Fixed(window),
            "column": Fixed(window),
            "in": Fixed(2, "input"),
            "c": Group(channels, "tanh"),
            "pixel": Fixed(2),
            "out": Fixed(2, "output"),
        },
    )


ARCHITECTURES = {
    "three outputs": siren((2, 4, 3, 3)),
    "one hidden layer": mlp((2, 4, 1)),
    "residual convolutions": convolutional(2),
    "skip": SKIP,
}


def plain(symmetry: Symmetry) -> Normaliser:
    return normaliser(symmetry, {name: {"mean": 0.1, "std": 0.5, "rms": 0.6} for name in symmetry.names})


def small(kind: Callable[..., Any], config: GraphConfig) -> Callable[..., Any]:
    """Makes a reader with these settings, but for those that a call changes."""

    def make(symmetry, norm, outputs, *, network=None, key, **settings):
        return kind(symmetry, norm, outputs, replace(config, **settings), network=network, key=key)

    return make


def check_laws(make: Callable[..., Any], name: str, getkey: Callable[[], jax.Array]) -> None:
    """The laws of a reader on one of the architectures; the whole kit, which takes long to compile, on one alone."""
    symmetry = ARCHITECTURES[name]
    settings = {"skip": {"readout": "graph", "layers": 2, "waves": 0}, "one hidden layer": {"layers": 2}}.get(name, {})
    reader = make(symmetry, plain(symmetry), 4, key=getkey(), **settings)
    if name == "one hidden layer":
        check_reader(reader, symmetry, key=getkey())
    else:
        check_invariant(reader, symmetry, key=getkey())
        check_sensitive(reader, symmetry, draws=1, key=getkey())


def padding_difference(make: Callable[..., Any], getkey: Callable[[], jax.Array]) -> float:
    """The largest between networks alone and padded to a union of depths, widths, inputs and kernel sizes."""
    specs = [siren((3, 2, 3, 2)), convolutional(2, 2), convolutional(3)]
    graphs = [graph_of(spec) for spec in specs]
    with jax.enable_x64(True):
        reader = double(make(union(graphs), None, 4, key=getkey()))
        read = eqx.filter_jit(lambda reader, network: reader(network))
        found = []
        for spec, graph in zip(specs, graphs, strict=True):
            leaves = spec.leaves(random_weights(getkey(), spec))
            alone = read(reader, whole(graph, leaves))
            assert alone.dtype == jnp.float64
            assert float(jnp.std(alone)) > 1e-3
            found.append(np.abs(alone - read(reader, pad(graph, leaves, union(graphs)))).max())
        return max(found)


def batch_shape(make: Callable[..., Any], getkey: Callable[[], jax.Array]) -> tuple[int, ...]:
    """Of the outputs for one batch of two architectures."""
    specs = [siren((2, 4, 1)), siren((2, 2, 3, 1))]
    graphs = [graph_of(spec) for spec in specs]
    reader = make(union(graphs), None, 4, key=getkey())
    stacks = []
    for spec, graph in zip(specs, graphs, strict=True):
        drawn = jax.vmap(lambda key, spec=spec: random_weights(key, spec))(jax.random.split(getkey(), 3))
        stacks.append(jax.vmap(lambda w, s=spec, g=graph: pad(g, s.leaves(w), union(graphs)))(drawn))
    batch = jax.tree.map(lambda *xs: jnp.concatenate(xs), *stacks)
    return jax.jit(jax.vmap(reader))(batch).shape
