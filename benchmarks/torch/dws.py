"""The DWS network in PyTorch, block by block from its definition: a map of its own from each array to each other.

Arrays are features: neurons first, then channels, with inputs and outputs flattened into the channels:

    W_0 (batch, d_1, d_0 F)    W_i (batch, d_i, d_i+1, F)    W_L-1 (batch, d_L-1, d_L F)
    b_i (batch, d_i+1, F)      b_L-1 (batch, d_L F)

The block from A to B averages A over the neurons that B does not have, maps, and repeats over those that A lacks:

    one hidden layer in both    a map of sets: DeepSets, x Gamma + mean(x) Lambda, or self-attention
    the same hidden kernel      x A + rows(x) B + columns(x) C + all(x) D
    none                        x M

and an array is the sum of the blocks from all arrays, kernels and biases alike. All blocks into W_L-1 and b_L-1 reach
every entry of the output axis.

Written to be quick: averages are taken once for a layer, maps act before anything is repeated, so that small sums meet
a large array once, and there in place.

Source: Navon et al., arXiv 2301.12780, section 5 and appendix; the attention block of Lee et al., arXiv 1810.00825.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from benchmarks.torch.loop import load_torch

torch: Any = load_torch()
nn: Any = torch.nn
functional: Any = nn.functional

Axes: TypeAlias = tuple[int, ...]
"""Hidden layers, counted from 1."""


class Feature(NamedTuple):
    """The hidden layers along an array, and how many entries of its fixed axes the channels hold."""

    axes: Axes
    fixed: int


def features_of(widths: Sequence[int]) -> list[Feature]:
    """The features of a perceptron of two layers or more: kernel and bias of each layer in turn.

    Example:
        >>> [tuple(feature) for feature in features_of((2, 8, 8, 3))]
        [((1,), 2), ((1,), 1), ((1, 2), 1), ((2,), 1), ((2,), 3), ((), 3)]
    """
    hidden = range(1, len(widths) - 1)
    made = []
    for source, target in itertools.pairwise(range(len(widths))):
        for layers in ((source, target), (target,)):
            axes = tuple(layer for layer in layers if layer in hidden)
            fixed = [widths[layer] for layer in layers if layer not in hidden]
            made.append(Feature(axes, fixed[0] if fixed else 1))
    return made


def lift(leaves: Sequence[Any]) -> list[Any]:
    """Stacked kernels (batch, in, out) and biases (batch, out), in turn, as features of one channel."""
    first, *between, kernel, bias = leaves
    return [first.transpose(1, 2), *(leaf.unsqueeze(-1) for leaf in between), kernel, bias]


def averages(x: Any, axes: Axes) -> dict[Axes, Any]:
    """A feature itself, and its averages that keep fewer of its axes."""
    if len(axes) == 2:
        rows, columns = x.mean(2), x.mean(1)
        return {axes: x, axes[:1]: rows, axes[1:]: columns, (): rows.mean(1)}
    return {axes: x, (): x.mean(1)} if axes else {(): x}


def spread(sums: dict[Axes, Any], axes: Axes) -> Any:
    """The sum of the averages mapped to an array, small ones first; written into the given tensors."""
    constant = sums[()]
    if not axes:
        return constant
    if len(axes) == 1:
        return sums[axes].add_(constant.unsqueeze(1))
    rows = sums[axes[:1]].add_(constant.unsqueeze(1))
    return sums[axes].add_(rows.unsqueeze(2)).add_(sums[axes[1:]].unsqueeze(1))


class SetAttention(nn.Module):
    """Elements (batch, n, rows) to (batch, n, columns): H = Q + softmax(Q K^T / sqrt(d)) V, then H + relu(fc(H))."""

    def __init__(self, rows: int, columns: int, heads: int):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(rows, 3 * columns)
        self.out = nn.Linear(columns, columns)

    def forward(self, x: Any) -> Any:
        parts = self.project(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, keys, values = parts.unbind(0)
        mixed = query + functional.scaled_dot_product_attention(query, keys, values)
        mixed = mixed.transpose(1, 2).flatten(2)
        return mixed + functional.relu(self.out(mixed))


class Blocks(nn.Module):
    """One layer: a block for each pair of arrays, and a bias for each array.

    Args:
        features: of the networks.
        inputs, outputs: channels for each entry of an array's fixed axes.
        heads: of the attention that maps sets; None for DeepSets.
    """

    def __init__(self, features: Sequence[Feature], inputs: int, outputs: int, heads: int | None = None):
        super().__init__()
        self.features, self.wires, maps = features, [], []
        for (s, source), (t, target) in itertools.product(enumerate(features), repeat=2):
            rows, columns = source.fixed * inputs, target.fixed * outputs
            shared = tuple(axis for axis in source.axes if axis in target.axes)
            if heads is not None and len(shared) == 1:
                self.wires.append((s, t, shared))
                maps.append(SetAttention(rows, columns, heads))
                continue
            for count in range(len(shared) + 1):
                for kept in itertools.combinations(shared, count):
                    self.wires.append((s, t, kept))
                    maps.append(nn.Linear(rows, columns, bias=False))
        self.maps = nn.ModuleList(maps)
        self.biases = nn.ParameterList(torch.zeros(feature.fixed * outputs) for feature in features)
        self._initialize(inputs)

    def _initialize(self, inputs: int) -> None:
        """Linear maps from N(0, 1 / fan-in), the fan-in of an array counted over all maps into it."""
        for t in range(len(self.features)):
            reach = [
                (m, self.features[s].fixed) for m, (s, to, _) in zip(self.maps, self.wires, strict=True) if to == t
            ]
            fan_in = inputs * sum(fixed for _, fixed in reach)
            for module, _ in reach:
                if isinstance(module, nn.Linear):
                    nn.init.normal_(module.weight, std=fan_in**-0.5)

    def forward(self, xs: Sequence[Any]) -> list[Any]:
        found = [averages(x, feature.axes) for x, feature in zip(xs, self.features, strict=True)]
        sums: list[dict[Axes, Any]] = [{} for _ in xs]
        for module, (s, t, kept) in zip(self.maps, self.wires, strict=True):
            made = module(found[s][kept])
            sums[t][kept] = sums[t][kept].add_(made) if kept in sums[t] else made
        for each, bias in zip(sums, self.biases, strict=True):
            each[()].add_(bias)
        return [spread(each, feature.axes) for each, feature in zip(sums, self.features, strict=True)]


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": functional.relu_,
    "gated": lambda y: (lambda u, v: u * v.tanh())(*y.chunk(2, -1)),
}
"""They may write to the given tensor."""


class DWS(nn.Module):
    """Normalize, lift, layers with an activation, each but the first added to its input, average, two dense layers.

    Args:
        widths: of the networks that are read.
        outputs: their number.
        channels, layers, head, activation: as `models.DWS` has them.
        layer: makes a layer of features, channels in and channels out.
        shift, scale: of each array.
    """

    def __init__(
        self,
        widths: Sequence[int],
        outputs: int,
        *,
        channels: int,
        layers: int,
        head: int,
        activation: str,
        layer: Callable[[Sequence[Feature], int, int], Any],
        shift: Sequence[float],
        scale: Sequence[float],
    ):
        super().__init__()
        features = features_of(widths)
        made = channels * (2 if activation == "gated" else 1)
        self.layers = nn.ModuleList(layer(features, 1 if i == 0 else channels, made) for i in range(layers))
        self.hidden = nn.Linear(channels * sum(feature.fixed for feature in features), head)
        self.last = nn.Linear(head, outputs)
        self.activate, self.shift, self.scale = ACTIVATIONS[activation], shift, scale

    def forward(self, leaves: Sequence[Any]) -> Any:
        """Stacked arrays, kernel and bias of each layer in turn, to (batch, outputs)."""
        plain = [(leaf - m) / s for leaf, m, s in zip(leaves, self.shift, self.scale, strict=True)]
        xs = [self.activate(y) for y in self.layers[0](lift(plain))]
        for layer in self.layers[1:]:
            xs = [x + self.activate(y) for x, y in zip(xs, layer(xs), strict=True)]
        pooled = [x.flatten(1, -2).mean(1) if x.ndim > 2 else x for x in xs]
        return self.last(functional.relu(self.hidden(torch.cat(pooled, -1))))
