"""Sizes of neurons that scale along with them: what turns a weight around without a division by it.

Write g_i > 0 for the scale of neuron i: its bias has the gain g_i, the weight W_ji from neuron j the gain g_i / g_j. A
message backward from i to j needs something with the gain g_j / g_i. Published is 1 / W_ji, which has no value at a
weight of zero and is huge beside it. Here each neuron gets a size

    D_i^2 = mean(b_i^2,  mean over j of W_ji^2 D_j^2  for each array of weights that leads to i)

with D = 1 where no scale acts, at inputs and outputs to begin with. By induction from the inputs D_i has the gain g_i:
the terms W_ji D_j do, and a mean of squares takes their common factor out. So

    R_ji = W_ji D_j^2 / D_i^2       has the gain   (g_i / g_j) g_j^2 / g_i^2 = g_j / g_i

exactly and for every g > 0, and it is smooth in every weight: all that is divided by is D_i^2, which is zero only
where everything that leads to the neuron is. Such a neuron is dead, its output is zero whatever the input, and it
has no backward messages: 1 / D_i^2 is then taken as 0, and its gradient as well. No epsilon is added anywhere.
It is bounded: the fraction W_ji D_j / D_i of a weight in its neuron's size has no gain at all and is at most the root
of the number of squares it is averaged with, and R_ji is that times D_j / D_i.

R_ji is a product of a factor of j, the weight, and a factor of i. So no reader forms it for each weight: it divides
what i sends by D_i^2, lets it through the weight forward, and multiplies what j receives by D_j^2.

Where neurons form a cycle (recurrence), a size counts the paths that go around it once at most.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

Wire = tuple[int, int]
"""From which set of nodes to which an array of weights leads."""


def order(count: int, wires: Sequence[Wire]) -> tuple[int, ...]:
    """Sets of nodes such that each comes after those that lead to it; a cycle, after all that leads to it, is entered
    at the first of its sets that one of those leads to, or at its first where none does.
    """
    leads = set(wires)
    for through in range(count):
        leads |= {(s, t) for s, a in leads if a == through for b, t in leads if b == through}
    done: list[int] = []
    while len(done) < count:
        left = [i for i in range(count) if i not in done]
        ready = [i for i in left if all(s in done or s == i for s, t in wires if t == i)]
        entries = [i for i in left if all(s in done or (i, s) in leads for s, t in leads if t == i)]
        fed = [i for i in entries if any(t == i and s in done for s, t in wires)]
        done.append((ready or fed or entries)[0])
    return tuple(done)


def squared_sizes(
    rescaled: Sequence[bool],
    nodes: Sequence[Float[Array, "_ _"]],
    edges: Sequence[Float[Array, "_ _ _"]],
    wires: Sequence[Wire],
) -> list[Float[Array, " _"]]:
    """D^2 of every neuron, for each set (size,), ones in the sets that no scale acts on.

    `rescaled` says where positive scales act, `nodes` holds the entries of each set that have its gain, biases,
    (size, channels), of which there may be none, and `edges` the weights, (source size, target size, channels).
    """
    sizes = [jnp.full(len(x), float(not acts), x.dtype) for x, acts in zip(nodes, rescaled, strict=True)]
    incoming = [[(e, s) for e, (s, t) in zip(edges, wires, strict=True) if t == i] for i in range(len(rescaled))]

    def size(i: int) -> Array:
        terms = [jnp.mean(jnp.square(nodes[i]), axis=-1)] if nodes[i].shape[-1] else []
        for edge, source in incoming[i]:
            terms.append(sizes[source] @ jnp.mean(jnp.square(edge), axis=-1) / len(edge))
        return sum(terms[1:], terms[0]) / len(terms)

    for i in order(len(rescaled), wires):
        sizes[i] = size(i) if rescaled[i] else sizes[i]
    # Once more from all sizes, so that weights within a cycle count too: what is turned around must stay small.
    return [size(i) if acts else sizes[i] for i, acts in enumerate(rescaled)]


def inverted(x: Array) -> Array:
    """1 / x, and 0 where x is 0, with a gradient of 0 there."""
    some = x > jnp.finfo(x.dtype).tiny
    return jnp.where(some, 1 / jnp.where(some, x, 1), 0)
