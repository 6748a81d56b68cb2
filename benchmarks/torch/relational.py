"""The relational transformer of neural graphs in PyTorch, dense: a feature for every pair of neurons.

Nodes are neurons (feature: the bias, 0 for inputs), edges are all pairs i, j (feature: the weight from i to j, or 0).
Both are lifted by Gaussian Fourier features; nodes get an embedding, of their own at inputs and outputs and one for
each hidden layer. Then for each layer, with learned maps of the edge e_ij,

    q_ij = q(n_i) + e^q_ij    k_ij = k(n_j) + e^k_ij    v_ij = v(n_j) e^s_ij + e^b_ij
    n_i <- norm(n_i + out(sum_j softmax_j(q_ij . k_ij / sqrt(attention)) v_ij)),    n_i <- norm(n_i + mlp(n_i))
    e_ij <- norm(e_ij + map(gelu(A e_ij + B e_ji + S n_i + T n_j))),    e_ij <- norm(e_ij + mlp(e_ij))

the edges not in the last one. The output neurons, side by side, go through two dense layers.

Written to be quick: what depends on a node alone is mapped at the node; nothing is concatenated along edges; no axis
moves, so that nothing is copied to move it.

Source: Kofinas et al., arXiv 2403.12143, its settings for implicit neural representations.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.torch.loop import load_torch

torch: Any = load_torch()
nn: Any = torch.nn
functional: Any = nn.functional


@dataclass(frozen=True)
class Widths:
    """As published: 376,586 parameters for 2-32-32-1 networks and ten classes."""

    node: int = 64
    edge: int = 32
    attention: int = 128
    node_hidden: int = 128
    edge_hidden: int = 64
    head: int = 128
    layers: int = 4
    heads: int = 8
    fourier: int = 128


class Fourier(nn.Module):
    """(..., 1) to (..., columns): a linear map of sines and cosines at fixed random frequencies."""

    def __init__(self, frequencies: int, columns: int):
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * torch.randn(frequencies))
        self.sines = nn.Linear(frequencies, columns)
        self.cosines = nn.Linear(frequencies, columns, bias=False)

    def forward(self, x: Any) -> Any:
        angles = x * self.frequencies
        return self.sines(angles.sin()).add_(self.cosines(angles.cos()))


class Attention(nn.Module):
    """Nodes (batch, N, node) and edges (batch, N, N, edge) to (batch, N, attention)."""

    def __init__(self, w: Widths):
        super().__init__()
        self.heads, self.scale = w.heads, w.attention**-0.5
        self.nodes = nn.Linear(w.node, 3 * w.attention, bias=False)
        self.edges = nn.Linear(w.edge, 4 * w.attention, bias=False)

    def forward(self, nodes: Any, edges: Any) -> Any:
        query, key, value = self.nodes(nodes).chunk(3, -1)
        by_query, by_key, shift, factor = self.edges(edges).chunk(4, -1)
        products = (query.unsqueeze(2) + by_query) * (key.unsqueeze(1) + by_key)
        attention = (products.unflatten(-1, (self.heads, -1)).sum(-1) * self.scale).softmax(2)
        values = torch.addcmul(shift, factor, value.unsqueeze(1)).unflatten(-1, (self.heads, -1))
        return (attention.unsqueeze(-1) * values).sum(2).flatten(2)


class NodeUpdate(nn.Module):
    """n <- norm(n + out(attention)), then n <- norm(n + mlp(n))."""

    def __init__(self, w: Widths):
        super().__init__()
        self.attention = Attention(w)
        self.out = nn.Sequential(nn.Linear(w.attention, w.node), nn.Linear(w.node, w.node))
        self.mlp = nn.Sequential(
            nn.Linear(w.node, w.node_hidden, bias=False), nn.GELU(), nn.Linear(w.node_hidden, w.node)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(w.node) for _ in range(2))

    def forward(self, nodes: Any, edges: Any) -> Any:
        nodes = self.norms[0](nodes + self.out(self.attention(nodes, edges)))
        return self.norms[1](nodes + self.mlp(nodes))


class EdgeUpdate(nn.Module):
    """e <- norm(e + out(gelu(maps of the edge, its reverse and its two nodes))), then e <- norm(e + mlp(e))."""

    def __init__(self, w: Widths):
        super().__init__()
        self.own = nn.Linear(w.edge, w.edge_hidden)
        self.reverse = nn.Linear(w.edge, w.edge_hidden, bias=False)
        self.source, self.target = (nn.Linear(w.node, w.edge_hidden) for _ in range(2))
        self.out = nn.Linear(w.edge_hidden, w.edge)
        self.mlp = nn.Sequential(
            nn.Linear(w.edge, w.edge_hidden, bias=False), nn.GELU(), nn.Linear(w.edge_hidden, w.edge)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(w.edge) for _ in range(2))

    def forward(self, nodes: Any, edges: Any) -> Any:
        mixed = self.own(edges).add_(self.reverse(edges).transpose(1, 2))
        mixed = mixed.add_(self.source(nodes).unsqueeze(2)).add_(self.target(nodes).unsqueeze(1))
        edges = self.norms[0](edges + self.out(functional.gelu(mixed)))
        return self.norms[1](edges + self.mlp(edges))


class RelationalTransformer(nn.Module):
    """From networks of these widths to (batch, outputs); each array is normalized by its `shift` and `scale`."""

    def __init__(
        self, widths: Sequence[int], outputs: int, w: Widths, *, shift: Sequence[float], scale: Sequence[float]
    ):
        super().__init__()
        self.widths, self.shift, self.scale = tuple(widths), shift, scale
        self.lift_nodes = nn.Sequential(Fourier(w.fourier, w.node), nn.Linear(w.node, w.node))
        self.lift_edges = nn.Sequential(Fourier(w.fourier, w.edge), nn.Linear(w.edge, w.edge))
        repeats = [1] * widths[0] + list(widths[1:-1]) + [1] * widths[-1]
        self.embeddings = nn.Parameter(torch.randn(len(repeats), w.node))
        rows = torch.repeat_interleave(torch.arange(len(repeats)), torch.tensor(repeats))
        self.register_buffer("embedding_of_node", rows)
        self.node_updates = nn.ModuleList(NodeUpdate(w) for _ in range(w.layers))
        self.edge_updates = nn.ModuleList(EdgeUpdate(w) for _ in range(w.layers - 1))
        self.head = nn.Sequential(nn.Linear(widths[-1] * w.node, w.head), nn.ReLU(), nn.Linear(w.head, outputs))

    def graph(self, leaves: Sequence[Any]) -> tuple[Any, Any]:
        """Biases (batch, N, 1) and weights (batch, N, N, 1) of stacked arrays, kernel and bias in turn."""
        plain = [(leaf - m) / s for leaf, m, s in zip(leaves, self.shift, self.scale, strict=True)]
        batch, total = len(plain[0]), sum(self.widths)
        nodes = torch.cat([plain[0].new_zeros(batch, self.widths[0]), *plain[1::2]], 1)
        edges = plain[0].new_zeros(batch, total, total)
        first = list(itertools.accumulate(self.widths, initial=0))
        for i, kernel in enumerate(plain[::2]):
            edges[:, first[i] : first[i + 1], first[i + 1] : first[i + 2]] = kernel
        return nodes.unsqueeze(-1), edges.unsqueeze(-1)

    def forward(self, leaves: Sequence[Any]) -> Any:
        """Stacked arrays to (batch, outputs)."""
        nodes, edges = self.graph(leaves)
        nodes, edges = self.lift_nodes(nodes) + self.embeddings[self.embedding_of_node], self.lift_edges(edges)
        for update_nodes, update_edges in itertools.zip_longest(self.node_updates, self.edge_updates):
            nodes = update_nodes(nodes, edges)
            edges = update_edges(nodes, edges) if update_edges is not None else edges
        return self.head(nodes[:, -self.widths[-1] :].flatten(1))
