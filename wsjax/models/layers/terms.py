"""The basis of all equivariant linear maps between features, factored into reads, one mixing, and writes.

Between a feature with group axes A and one with group axes B there is one basis map for each partition of A and B
together into blocks of axes that share an index, a block never mixing groups. Every such map is a *read* of the
source and a *write* into the target, matched over the axes that go through:

    read:  take the diagonal of each block, average over the blocks that end here, keep the others
    write: repeat over the blocks that start here, put each block of several axes on its diagonal

All reads and writes with the same kept groups meet in one `Term`, so that one matrix mixes them all. Where each
array has each group once a block holds at most one axis of each side, and a term is a set of shared groups.

Signs multiply an axis of a neuron by +1 or -1. A block then needs an even number of signed axes in all: the kept
axes remember whether their block's side is odd, and a block that ends or starts must be even.

A group within others, as the dimensions of attention heads, has an element for each of their indices. Its axes share an
index only where the axes that they lie within do, and they are kept only together with these: an average over heads
that keeps the dimensions would tie the orders in all heads. The kept axes remember which of them they lie within.

Source: partitions of axes, arXiv 2402.05232, section 3, which has no fixed axes, no signs and no groups within others;
even blocks are the commutant of signed permutations, Tanabe 1997.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wsjax.models.layers.feature_layout import Feature

Kind: TypeAlias = tuple[tuple[str, bool, tuple[int, ...]], ...]
"""Of each of a term's axes its group, whether a neuron's sign multiplies it, and the axes that it lies within."""


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def largest_of(x: Array, axis: int | tuple[int, ...]) -> Array:
    """`jnp.max(x, axis)`, whose gradient goes to the place of the largest entry, the first one where several are.

    The gradient of `jnp.max` searches entries equal to the maximum and divides by their number. Where a compiler
    makes entries and maximum anew with other roundings there are none, and the gradient is no number.
    """
    return jnp.max(x, axis=axis)


@largest_of.defjvp
def _along(axis: int | tuple[int, ...], primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (gradient,) = primals, tangents
    axes = (axis,) if isinstance(axis, int) else axis
    first = lambda y: jnp.moveaxis(y, axes, range(len(axes))).reshape(-1, *np.delete(y.shape, axes))
    x_first, gradient_first = first(x), first(gradient)
    place = jnp.argmax(x_first, axis=0)
    chosen = jax.lax.broadcasted_iota(place.dtype, x_first.shape, 0) == place[None]
    return largest_of(x, axis), jnp.sum(jnp.where(chosen, gradient_first, 0), axis=0)


POOLINGS: dict[str, Callable[..., Array]] = {"mean": jnp.mean, "sum": jnp.sum, "max": largest_of}


class Pattern(NamedTuple):
    """Blocks of a feature's group axes that share an index, and the blocks kept, in the order of a term's axes."""

    blocks: tuple[tuple[int, ...], ...]
    kept: tuple[int, ...]

    def read(self, x: Array, pooling: str) -> Array:
        """A feature, (*groups, channels), over the blocks kept, (*kept, channels)."""
        axes = list(range(x.ndim - 1))
        for first, *others in self.blocks:
            for other in others:
                place = axes.index(first)
                x = jnp.moveaxis(jnp.diagonal(x, axis1=place, axis2=axes.index(other)), -1, place)
                axes.remove(other)
        ended = tuple(i for i in range(len(self.blocks)) if i not in self.kept)
        x = POOLINGS[pooling](x, axis=ended) if ended else x
        return _ordered(x, [sorted(self.kept).index(block) for block in self.kept])

    def write(self, y: Array, sizes: tuple[int, ...]) -> Array:
        """A term's axes as a feature's; axes over which it repeats have length one, for broadcasting."""
        y = _ordered(y, [self.kept.index(block) for block in sorted(self.kept)])
        filled = [self.blocks[block][0] for block in self.kept]
        y = jnp.expand_dims(y, [axis for axis in range(len(sizes)) if axis not in filled])
        for first, *others in self.blocks:
            for other in others:
                same = jnp.eye(sizes[first], dtype=y.dtype)  # `first` comes before `other`
                y = y * jnp.expand_dims(same, [axis for axis in range(y.ndim) if axis not in (first, other)])
        return y

    def pooled(self, sizes: tuple[int, ...]) -> int:
        """How many entries are averaged into one by the read."""
        return math.prod(sizes[block[0]] for i, block in enumerate(self.blocks) if i not in self.kept)


class Term(NamedTuple):
    """Everything that is read and written over the same kept groups: pairs of a feature's number and a pattern."""

    kind: Kind
    reads: tuple[tuple[int, Pattern], ...]
    writes: tuple[tuple[int, Pattern], ...]

    def gather(self, xs: list[Array], pooling: str) -> Array:
        """All reads side by side, (*kept, channels)."""
        return jnp.concatenate([pattern.read(xs[i], pooling) for i, pattern in self.reads], axis=-1)


def _ordered(x: Array, order: list[int]) -> Array:
    return x if order == sorted(order) else jnp.transpose(x, (*order, len(order)))


def partitions(groups: Sequence[str], within: Sequence[tuple[int, ...]] = ()) -> list[tuple[tuple[int, ...], ...]]:
    """Every way in which axes of the same group may share an index, all apart first: ((0,), (1,)), ((0, 1),) of two.

    `within` are for each axis those that it lies within, () where no axis does: two share an index only where these do.
    """
    found: list[tuple[tuple[int, ...], ...]] = [()]
    for axis, group in enumerate(groups):
        grown = []
        for blocks in found:
            grown.append((*blocks, (axis,)))
            for i, block in enumerate(blocks):
                if groups[block[0]] == group:
                    grown.append((*blocks[:i], (*block, axis), *blocks[i + 1 :]))
        found = grown

    def agree(blocks: tuple[tuple[int, ...], ...]) -> bool:
        block_of = {axis: b for b, block in enumerate(blocks) for axis in block}
        return all(len({tuple(block_of[a] for a in within[axis]) for axis in block}) == 1 for block in blocks)

    return [blocks for blocks in found if agree(blocks)] if any(within) else found


def patterns(feature: Feature, signed: frozenset[str]) -> list[tuple[Kind, Pattern]]:
    """Every read of a feature, with the kind of term that it belongs to."""
    made = []
    for blocks in partitions(feature.groups, feature.within):
        names = [feature.groups[block[0]] for block in blocks]
        odd = [name in signed and len(block) % 2 == 1 for name, block in zip(names, blocks, strict=True)]
        block_of = {axis: b for b, block in enumerate(blocks) for axis in block}
        outer = [[block_of[axis] for axis in feature.within[block[0]]] for block in blocks]
        ranks = [feature.groups.index(name) for name in names]
        for count in range(len(blocks) + 1):
            for kept in itertools.combinations(range(len(blocks)), count):
                whole = all({*outer[b]} <= {*kept} for b in kept)
                if whole and all(b in kept for b in range(len(blocks)) if odd[b]):
                    # The least of all orders, so that every feature has the same one for a kind.
                    ranked, order = min(
                        ([(ranks[b], odd[b], tuple(order.index(o) for o in outer[b])) for b in order], order)
                        for order in itertools.permutations(kept)
                    )
                    kind = tuple((feature.groups[rank], signs, inside) for rank, signs, inside in ranked)
                    made.append((kind, Pattern(blocks, order)))
    return made


def terms(spec: tuple[Feature, ...], signed: frozenset[str] = frozenset()) -> tuple[Term, ...]:
    """All terms between the features of a Symmetry, those over fewer axes first, in a fixed order.

    `spec` is `features(symmetry)`, `signed` the groups whose signs the maps must respect.
    """
    found = [patterns(feature, signed) for feature in spec]
    largest = max(len(feature.groups) for feature in spec)
    kinds: dict[Kind, None] = {}
    for count in range(largest + 1):
        kinds |= {kind: None for one in found for kind, _ in one if len(kind) == count}
    made = []
    for kind in kinds:
        reads = [(i, pattern) for i, one in enumerate(found) for k, pattern in one if k == kind]
        writes = [(i, pattern._replace(kept=kept)) for i, pattern in reads for kept in _matchings(kind, pattern.kept)]
        made.append(Term(kind, tuple(reads), tuple(writes)))
    return tuple(made)


def _matchings(kind: Kind, kept: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The orders of the kept blocks that leave the kind as it is: which block stands on which of a term's axes."""
    moved = lambda order: tuple((*kind[i][:2], tuple(order.index(axis) for axis in kind[i][2])) for i in order)
    return [tuple(kept[i] for i in o) for o in itertools.permutations(range(len(kind))) if moved(o) == kind]
