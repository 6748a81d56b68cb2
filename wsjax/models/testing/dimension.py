"""How large the space of equivariant linear maps is, and how much of it a layer spans."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from wsjax.errors import check_choice, check_several
from wsjax.models.layers.feature_layout import features, group_names
from wsjax.models.layers.terms import partitions
from wsjax.models.testing.precise import Module, generator, in_float64, to_float64
from wsjax.symmetry import Group, Symmetry
from wsjax.symmetry.axes import consumes, follows
from wsjax.symmetry.group import Action
from wsjax.typing import Key

BLOCK = 64


def commutant_dimension(symmetry: Symmetry, *, actions: Sequence[Action] = ("permute",)) -> int:
    """The dimension of the space of all linear maps from weights to weights that commute with the group.

    It is the group's mean squared character, counted without listing the group: one basis map for each orbit of the
    group on pairs of entries whose stabiliser acts on the pair trivially. The indices of a pair that belong to one
    group of n neurons fall into blocks of equal ones, so permutations leave one orbit for each set partition of them
    into at most n blocks; signs keep those whose blocks are even, scales those whose blocks produce on the one side
    what they produce on the other. For a group within others this holds index by index of these. Groups multiply, and
    fixed axes count in full.

    `actions` is what the maps commute with, of "permute", "sign" and "rescale", where a group allows them; any other
    raises ValueError: phases shift biases, so they are no linear action.

    Source: the basis from partitions is that of arXiv 2402.05232 with fixed axes besides; signs and scales as for any
    monomial representation.

    Example:
        >>> from wsjax.symmetry import siren
        >>> commutant_dimension(siren((2, 4, 4, 1))), commutant_dimension(siren((2, 32, 32, 1)))
        (75, 75)
        >>> commutant_dimension(siren((2, 3, 3, 1)), actions=("permute", "sign"))
        15
    """
    check_several("actions", actions)
    for action in actions:
        check_choice("action for a linear map", action, ("permute", "sign", "rescale"))
    groups = {own: symmetry.groups[name] for own, name in group_names(symmetry).items()}
    kinds: Counter[tuple[Slot, ...]] = Counter()  # how many entries there are for each tuple of group indices
    for feature in features(symmetry):
        atoms = [feature.names[axis] for axis in feature.order[: len(feature.groups)]]
        kinds[tuple(map(Slot, feature.groups, map(_exponent, atoms), feature.within))] += feature.fixed
    total = 0
    for (source, sources), (target, targets) in itertools.product(kinds.items(), repeat=2):
        moved = [Slot(s.group, -s.exponent, tuple(len(target) + a for a in s.within)) for s in source]
        total += sources * targets * _orbits(groups, (*target, *moved), actions)
    return total


class Slot(NamedTuple):
    """An index of a tuple of them: its group, the power in which the gain acts, and the indices that it lies within."""

    group: str
    exponent: int
    within: tuple[int, ...]


def _exponent(atom: str) -> int:
    return -1 if consumes(atom) else 0 if follows(atom) else 1


def _orbits(groups: Mapping[str, Group], slots: Sequence[Slot], actions: Sequence[Action]) -> int:
    """How many orbits of the group on tuples of indices have a stabiliser that acts trivially."""
    acts = lambda slot, action: action in actions and groups[slot.group].allows(action)
    count = 0
    for blocks in partitions([slot.group for slot in slots], [slot.within for slot in slots]):
        firsts = [slots[block[0]] for block in blocks]
        powers = [sum(slots[i].exponent for i in block) for block in blocks]
        pairs = list(zip(firsts, powers, strict=True))
        if any((acts(one, "rescale") and power) or (acts(one, "sign") and power % 2) for one, power in pairs):
            continue
        block_of = {axis: b for b, block in enumerate(blocks) for axis in block}
        apart = Counter((one.group, tuple(block_of[axis] for axis in one.within)) for one in firsts)
        orders = [(groups[group], math.perm(groups[group].size, n)) for (group, _), n in apart.items()]  # or 0
        permuted = lambda group: "permute" in actions and group.allows("permute")
        count += math.prod(bool(places) if permuted(group) else places for group, places in orders)
    return count


def rank(linear_map: Module, example: PyTree, *, key: Key, tolerance: float = 1e-9) -> int:
    """The dimension of the space of linear maps that a layer reaches as its parameters vary, in float64.

    Parameters p_i, inputs x_j and output directions y_j are drawn at random; the matrix with the entries
    y_j . (L_{p_i}(x_j) - L_{p_i}(0)) has the rank of the span of all L_p once it is larger than that. It grows until
    it is. Compare with `commutant_dimension`: a layer that spans less has lost maps, and tests of equivariance
    cannot find it.

    Args:
        linear_map: a module that is affine in its input; its floating arrays vary. A function of a module is
            `jax.tree_util.Partial(function, module)`.
        example: an input; only its structure and shapes count.
        key: a typed key.
        tolerance: singular values below it, as a fraction of the largest, count as zero.

    Raises: ValueError for a module without parameters that train, or one that is not affine.

    Example:
        >>> import equinox as eqx, jax
        >>> rank(eqx.nn.Linear(3, 2, key=jax.random.key(0)), jax.numpy.zeros(3), key=jax.random.key(1))
        6
    """
    with in_float64():
        module, example = to_float64(linear_map), to_float64(example)
        varying, rest = eqx.partition(module, eqx.is_inexact_array)
        parameters, entries = (sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (varying, example))
        if not parameters:
            raise ValueError("the linear map has no parameters that train; expected a module, or a Partial of one")
        affine = jax.jit(lambda *arrays: _outputs(rest, *arrays))

        def linear(ps: np.ndarray, xs: np.ndarray) -> np.ndarray:
            outputs = np.asarray(affine(varying, example, ps, np.concatenate([np.zeros_like(xs[:1]), xs])))
            return outputs[:, 1:] - outputs[:, :1]

        def draw(index: int, i: int, length: int) -> np.ndarray:
            return generator(key, index, i).normal(size=(BLOCK, length))

        size = _check_affine(linear, draw(0, 0, parameters), draw(1, 0, entries))
        blocks = 1
        while True:
            lengths = (parameters, entries, size)
            ps, xs, ys = ([draw(index, i, n) for i in range(blocks)] for index, n in enumerate(lengths))
            rows = [[np.einsum("pxo,xo->px", linear(p, x), y) for x, y in zip(xs, ys, strict=True)] for p in ps]
            found = int(np.linalg.matrix_rank(np.block(rows), rtol=tolerance))
            if found < blocks * BLOCK:
                return found
            blocks *= 2


def _outputs(rest: PyTree, varying: PyTree, example: PyTree, ps: Array, xs: Array) -> Array:
    """A flat output for each flat vector of parameters and each flat input."""
    to_parameters, to_input = ravel_pytree(varying)[1], ravel_pytree(example)[1]
    output = lambda p, x: ravel_pytree(eqx.combine(to_parameters(p), rest)(to_input(x)))[0]
    return jax.vmap(jax.vmap(output, in_axes=(None, 0)), in_axes=(0, None))(ps, xs)


def _check_affine(linear: Callable[[np.ndarray, np.ndarray], np.ndarray], ps: np.ndarray, xs: np.ndarray) -> int:
    """The number of outputs, of a map that is affine."""
    outputs = linear(ps, np.concatenate([xs[:2], 2 * xs[:1] + xs[1:2], xs[3:]]))
    x, y, both = outputs[:, :3].swapaxes(0, 1)
    if not np.allclose(both, 2 * x + y, rtol=1e-8, atol=1e-8 * np.abs(both).max()):
        raise ValueError(
            "the map is not affine in its input: L(2x + y) - L(0) differs from 2 (L(x) - L(0)) + L(y) - L(0); expected "
            "a linear layer without its activation, and one that computes in the type of its parameters"
        )
    return outputs.shape[-1]
