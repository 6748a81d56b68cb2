"""Group elements as public values: sample one, act with it, invert it, compose two.

For every group an element holds what happens to its pre-activations z (for a sine, z = w0 (x W + b)):

    z'[j] = gain[j] * z[permutation[j]] + phase[j] * pi

The neurons' outputs then change by the factor gain * (-1)^phase, which the arrays that consume the group
divide out. `gain` is -1 or +1 for odd activations and positive for homogeneous ones. A part that is None does
nothing and costs nothing. Because an element is a value, the one drawn for a network can act on its target too.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from wsjax.errors import check_number
from wsjax.symmetry.axes import Axes, Entry, Sum, base, consumes, size
from wsjax.symmetry.draws import permutations, whole_numbers
from wsjax.symmetry.group import Group
from wsjax.symmetry.spec import Symmetry
from wsjax.typing import Key, Scalar, Weights


class Move(NamedTuple):
    """What one group's neurons undergo: z'[j] = gain[j] z[permutation[j]] + phase[j] pi."""

    permutation: Int[ArrayLike, " neurons"] | None = None
    gain: Float[ArrayLike, " neurons"] | None = None
    phase: Int[ArrayLike, " neurons"] | None = None


@jax.tree_util.register_pytree_node_class
class Element:
    """An element of a network's symmetry group: a `Move` for each group, and the Symmetry it belongs to."""

    def __init__(self, symmetry: Symmetry, moves: dict[str, Move]):
        self.symmetry = symmetry
        self.moves = moves

    def tree_flatten(self):
        return tuple(self.moves.values()), (self.symmetry, tuple(self.moves))

    @classmethod
    def tree_unflatten(cls, aux, children):
        symmetry, names = aux
        return cls(symmetry, dict(zip(names, children, strict=True)))

    def __repr__(self) -> str:
        return f"Element({self.moves})"


def identity(symmetry: Symmetry) -> Element:
    """The element that does nothing.

    Example:
        >>> from wsjax.symmetry import siren
        >>> identity(siren((2, 4, 1)))
        Element({'h1': Move(permutation=None, gain=None, phase=None)})
    """
    return Element(symmetry, {name: Move() for name in symmetry.groups})


def _per_group(key: Key, symmetry: Symmetry, action: str, draw) -> Element:
    moves = {}
    for i, (name, group) in enumerate(symmetry.groups.items()):
        moves[name] = draw(jax.random.fold_in(key, i), group) if group.allows(action) else Move()  # type: ignore[arg-type]
    return Element(symmetry, moves)


def sample_permutation(key: Key, symmetry: Symmetry) -> Element:
    """A uniformly random order of the neurons of every group.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp
        >>> sample_permutation(jax.random.key(0), mlp((2, 3, 1))).moves["h1"].permutation.shape
        (3,)
    """
    names = [name for name, group in symmetry.groups.items() if group.allows("permute")]
    drawn = dict(zip(names, permutations(key, [symmetry.sizes[name] for name in names]), strict=True))
    return Element(symmetry, {name: Move(permutation=drawn.get(name)) for name in symmetry.groups})


def sample_signs(key: Key, symmetry: Symmetry, *, probability: Scalar = 0.5) -> Element:
    """Flip each neuron of every odd group (sine, tanh) with the given probability.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp
        >>> sample_signs(jax.random.key(0), mlp((2, 3, 1), "tanh"), probability=1.0).moves["h1"].gain.tolist()
        [-1.0, -1.0, -1.0]
    """
    check_number("probability", probability, low=0, high=1)

    def draw(k: Key, group: Group) -> Move:
        return Move(gain=jnp.where(jax.random.bernoulli(k, probability, (group.size,)), -1.0, 1.0))

    return _per_group(key, symmetry, "sign", draw)


def sample_phases(key: Key, symmetry: Symmetry, *, max_shift: int | Int[ArrayLike, ""] = 1) -> Element:
    """Shift each sine neuron by k*pi, k uniform on the whole numbers -max_shift..max_shift (symmetric about 0).

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> bool((abs(sample_phases(jax.random.key(0), siren((2, 3, 1)), max_shift=2).moves["h1"].phase) <= 2).all())
        True
    """
    check_number("max_shift", max_shift, low=0)
    bound = jnp.asarray(max_shift)

    def draw(k: Key, group: Group) -> Move:
        return Move(phase=whole_numbers(k, group.size, bound))

    return _per_group(key, symmetry, "phase", draw)


def sample_scales(key: Key, symmetry: Symmetry, *, std: Scalar = 0.3) -> Element:
    """Scale each homogeneous neuron (ReLU) by exp(std * normal), a positive number with median 1.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp
        >>> bool((sample_scales(jax.random.key(0), mlp((2, 3, 1))).moves["h1"].gain > 0).all())
        True
    """
    check_number("std", std, low=0)

    def draw(k: Key, group: Group) -> Move:
        return Move(gain=jnp.exp(std * jax.random.normal(k, (group.size,))))

    return _per_group(key, symmetry, "rescale", draw)


def sample_scales_uniform(key: Key, symmetry: Symmetry, *, max_log: Scalar = 0.7) -> Element:
    """Scale each homogeneous neuron (ReLU) by exp(u), u uniform on [-max_log, max_log].

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp
        >>> gain = sample_scales_uniform(jax.random.key(0), mlp((2, 3, 1)), max_log=0.1).moves["h1"].gain
        >>> bool((abs(gain - 1) < 0.11).all())
        True
    """
    check_number("max_log", max_log, low=0)

    def draw(k: Key, group: Group) -> Move:
        return Move(gain=jnp.exp(jax.random.uniform(k, (group.size,), minval=-1.0, maxval=1.0) * max_log))

    return _per_group(key, symmetry, "rescale", draw)


def sample(key: Key, symmetry: Symmetry) -> Element:
    """Draw from all that may act: permutations and signs uniformly, phases in -1..1, scales log-normal (std 0.3).

    Args:
        key: a typed key.
        symmetry: the network's Symmetry.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry as ws
        >>> spec, w = ws.siren((2, 8, 1)), networks.siren_init(jax.random.key(0), (2, 8, 1))
        >>> x = jax.numpy.ones((1, 2))
        >>> moved = ws.act(ws.sample(jax.random.key(1), spec), w)
        >>> bool(abs(networks.siren_apply(moved, x) - networks.siren_apply(w, x)).max() < 1e-5)
        True
    """
    keys = [jax.random.fold_in(key, i) for i in range(4)]
    gains = compose(sample_signs(keys[1], symmetry), sample_scales(keys[3], symmetry))
    return compose(sample_phases(keys[2], symmetry), compose(gains, sample_permutation(keys[0], symmetry)))


def compose(second: Element, first: Element) -> Element:
    """The element that acts as `first`, then `second`: act(compose(b, a), w) = act(b, act(a, w)).

    gain = b.gain * a.gain[b.permutation], phase = b.phase + sign(b.gain) * a.phase[b.permutation].

    Raises:
        ValueError: the two belong to different Symmetries.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp
        >>> flip = sample_signs(jax.random.key(0), mlp((2, 3, 1), "tanh"), probability=1.0)
        >>> compose(flip, flip).moves["h1"].gain.tolist()
        [1.0, 1.0, 1.0]
    """
    if second.symmetry != first.symmetry:
        raise ValueError(
            f"cannot compose elements of {second.symmetry} and {first.symmetry}; use one Symmetry for both"
        )
    moves = {name: _compose(second.moves[name], first.moves[name]) for name in first.moves}
    return Element(first.symmetry, moves)


def _compose(b: Move, a: Move) -> Move:
    def reorder(x: ArrayLike | None) -> Array | None:
        return None if x is None else (jnp.asarray(x) if b.permutation is None else jnp.take(x, b.permutation))

    permutation, gain, phase = reorder(a.permutation), reorder(a.gain), reorder(a.phase)
    permutation = b.permutation if permutation is None else permutation
    if phase is not None and b.gain is not None:
        phase = phase * jnp.sign(b.gain).astype(phase.dtype)
    gain = b.gain if gain is None else (gain if b.gain is None else gain * b.gain)
    phase = b.phase if phase is None else (phase if b.phase is None else phase + b.phase)
    return Move(permutation, gain, phase)


def inverse(element: Element) -> Element:
    """The element that undoes this one: compose(inverse(g), g) is the identity.

    For a scale, 1/(1/s) may differ from s in the last bit.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> g = sample(jax.random.key(0), siren((2, 3, 1)))
        >>> compose(inverse(g), g).moves["h1"].permutation.tolist()
        [0, 1, 2]
    """
    return Element(element.symmetry, {name: _inverse(move) for name, move in element.moves.items()})


def _inverse(move: Move) -> Move:
    gain = None if move.gain is None else 1 / jnp.asarray(move.gain)
    phase = None if move.phase is None else -jnp.asarray(move.phase)
    if phase is not None and gain is not None:
        phase = phase * jnp.sign(gain).astype(phase.dtype)
    if move.permutation is None:
        return Move(None, gain, phase)
    back = jnp.argsort(jnp.asarray(move.permutation))
    take = lambda x: None if x is None else jnp.take(x, back)
    return Move(back, take(gain), take(phase))


def act(element: Element, weights: Weights) -> Weights:
    """Apply a group element to one network's weights.

    Axes that produce a group are reordered and multiplied by its gain; a bias moves by k*pi/w0 (k*pi where w0
    multiplies the kernel alone); axes that consume it are reordered and multiplied by (-1)^k / gain.

    **Preserves** the function, up to rounding. Structure, shapes and dtypes stay; leaves that are not floating
    point pass untouched.

    Raises:
        ValueError: the weights do not have the structure or shapes of the element's Symmetry; the leaf is named.

    Source: arXiv 2402.04081, section 4, for signs and phases; its code draws phases from -4..3 and holds one
    w0 = 30 for every layer, here each group has its own and the range is symmetric.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry as ws
        >>> spec, w = ws.mlp((2, 4, 1)), networks.mlp_init(jax.random.key(0), (2, 4, 1))
        >>> g = ws.sample_permutation(jax.random.key(1), spec)
        >>> back = ws.act(ws.inverse(g), ws.act(g, w))
        >>> bool((back[0].kernel == w[0].kernel).all())
        True
    """
    symmetry = element.symmetry
    leaves = symmetry.leaves(weights)
    moved = [_act_on_leaf(leaf, axes, element) for leaf, axes in zip(leaves, symmetry.axes, strict=True)]
    return symmetry.unflatten(moved)


def _act_on_leaf(leaf: Array, axes: Axes, element: Element) -> Array:
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    wide = np.promote_types(leaf.dtype, np.float32)  # JAX's own refuses under strict promotion
    moves = [_along(entry, element, wide) for entry in axes.entries]
    leaf = _reordered(leaf, [index for index, _ in moves])
    for axis, (entry, (_, factor)) in enumerate(zip(axes.entries, moves, strict=True)):
        if factor is not None:
            leaf = leaf * _broadcast(factor.astype(leaf.dtype), axis, leaf.ndim)
        if axes.bias:
            shift = _shift(entry, element, wide)
            leaf = leaf if shift is None else leaf + _broadcast(shift.astype(leaf.dtype), axis, leaf.ndim)
    return leaf


def _reordered(leaf: Array, indices: list[Array | None]) -> Array:
    """One gather for all axes that are reordered: a fifth of the time of one after the other."""
    given = {axis: index for axis, index in enumerate(indices) if index is not None}
    places = tuple(given)
    if len(given) < 2:
        return jnp.take(leaf, given[places[0]], axis=places[0]) if given else leaf
    front = jnp.moveaxis(leaf, places, range(len(places)))
    grid = jnp.ix_(*given.values())
    moved = front.at[grid].get(mode="promise_in_bounds", unique_indices=True)
    return jnp.moveaxis(moved, range(len(places)), places)


def _broadcast(vector: Array, axis: int, ndim: int) -> Array:
    return jnp.expand_dims(vector, [a for a in range(ndim) if a != axis])


def _along(entry: Entry, element: Element, dtype) -> tuple[Array | None, Array | None]:
    """The reordering and the factor along one axis; None where there is none."""
    if isinstance(entry, str):
        move = element.moves.get(base(entry), Move())
        return (None if move.permutation is None else jnp.asarray(move.permutation)), _factor(entry, move, dtype)
    parts = entry.parts if isinstance(entry, Sum) else entry
    sizes = element.symmetry.sizes
    moves = [_along(part, element, dtype) for part in parts]
    lengths = [size(part, sizes) for part in parts]
    index = factor = None
    if any(i is not None for i, _ in moves):
        whole = [jnp.arange(n) if i is None else i for (i, _), n in zip(moves, lengths, strict=True)]
        index = _concatenate(whole, lengths) if isinstance(entry, Sum) else _product_index(whole, lengths)
    if any(f is not None for _, f in moves):
        whole = [jnp.ones(n, dtype) if f is None else f for (_, f), n in zip(moves, lengths, strict=True)]
        factor = jnp.concatenate(whole) if isinstance(entry, Sum) else _product_factor(whole)
    return index, factor


def _factor(name: str, move: Move, dtype) -> Array | None:
    gain = None if move.gain is None else jnp.asarray(move.gain).astype(dtype)
    if not consumes(name):
        return gain
    sign = None if move.phase is None else (1 - 2 * (jnp.asarray(move.phase) % 2)).astype(dtype)
    if gain is None:
        return sign
    return 1 / gain if sign is None else sign / gain


def _shift(entry: Entry, element: Element, dtype) -> Array | None:
    if not isinstance(entry, str):
        return None
    move = element.moves.get(entry, Move())
    if move.phase is None:
        return None
    group = element.symmetry.groups[entry]
    step = jnp.pi / group.w0 if group.w0_convention == "affine" else jnp.pi
    return jnp.asarray(move.phase).astype(dtype) * jnp.asarray(step, dtype)


def _concatenate(indices: list[Array], lengths: list[int]) -> Array:
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return jnp.concatenate([index + start for index, start in zip(indices, starts, strict=True)])


def _product_index(indices: list[Array], lengths: list[int]) -> Array:
    whole = indices[0]
    for index, length in zip(indices[1:], lengths[1:], strict=True):
        whole = (whole[:, None] * length + index[None, :]).reshape(-1)
    return whole


def _product_factor(factors: list[Array]) -> Array:
    whole = factors[0]
    for factor in factors[1:]:
        whole = (whole[:, None] * factor[None, :]).reshape(-1)
    return whole
