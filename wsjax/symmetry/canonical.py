"""One representative for each orbit, where it can be had in closed form."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wsjax.errors import listing
from wsjax.symmetry.act import act
from wsjax.symmetry.align import floats_as_one, growth_order, ready_first
from wsjax.symmetry.axes import atoms, base, consumes, parts_by_name
from wsjax.symmetry.element import Element, Move, compose, identity, multiply
from wsjax.symmetry.group import Group
from wsjax.symmetry.match import Slices, slices
from wsjax.symmetry.matrices import balanced
from wsjax.symmetry.spec import Symmetry
from wsjax.typing import Weights


def canonicalize(weights: Weights, symmetry: Symmetry) -> Weights:
    """The weights' representative in their orbit: canonicalize(act(g, w)) = canonicalize(w), up to rounding.

    Group by group, from the inputs on, each neuron is brought to

    - sine with phases: 0 <= w0 b <= pi / 2 (b itself where w0 multiplies the kernel alone), by the nearest
      integer number of half turns and then a sign;
    - other odd activations: a bias that is not negative, or where it is 0, a positive largest entry of what makes it;
    - homogeneous ones: what makes the neuron, bias included, of Euclidean norm 1;

    and the neurons are then ordered by bias, where biases are equal by the entries of what makes them. A linear group
    (every matrix acts) is balanced instead: what produces and what consumes it have p p^T = c c^T = diag(s), s the
    singular values of c^T p in descending order, the largest entry of what makes each neuron positive; where c^T p is
    not of full rank, the group is left as it is. Groups within others come before these, index by index.

    **Preserves** the function, up to rounding: the weights move along their orbit, under the actions that the
    `symmetry` allows. It is not continuous: near a border (a bias of 0, two equal biases) networks that are close can
    be sent far apart, so a reader of canonical weights has discontinuities that an augmented or invariant one has not.

    Raises: ValueError for weights of another Symmetry, and for a linear group that cannot be balanced: with fewer
    inputs or consumers than neurons, or beside a group whose signs, scales or matrices are not settled before it.

    Source: the sine case mends what the code of arXiv 2406.10685 (ScaleGMN) intends, whose phase step does nothing;
    here each group has its own w0. Balanced factors: `matrices.balanced`.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry as ws
        >>> spec, w = ws.siren((2, 8, 1)), networks.siren_init(jax.random.key(0), (2, 8, 1), family="nfn")
        >>> moved = jax.jit(lambda w: ws.act(ws.sample(jax.random.key(1), spec), w))(w)
        >>> one, other = (jax.jit(lambda w: ws.canonicalize(w, spec))(x) for x in (w, moved))
        >>> bool(abs(one[0].kernel - other[0].kernel).max() < 1e-5)
        True
    """
    return act(canonical_element(weights, symmetry), weights)


def canonical_element(weights: Weights, symmetry: Symmetry) -> Element:
    """The element that `canonicalize` acts with."""
    leaves, total = floats_as_one(symmetry, weights), identity(symmetry)
    known: frozenset[str] = frozenset()
    for name in inputs_first(symmetry):
        group = symmetry.groups[name]
        linear = group.allows("linear")
        if linear:
            _check_linear(symmetry, name, known)
        for choose in (_balanced,) if linear else (_sized, _ordered):
            of_one = functools.partial(choose, group)
            for _ in symmetry.lead(name):
                of_one = jax.vmap(of_one)
            move = of_one(slices(symmetry, leaves, name, None if linear else known))
            one = Element(symmetry, {**identity(symmetry).moves, name: move})
            leaves = symmetry.leaves(act(one, symmetry.unflatten(leaves)))
            total = compose(one, total)
        known |= {name}
    return total


def inputs_first(symmetry: Symmetry) -> list[str]:
    """The groups in an order in which all that makes one belongs to earlier ones, where there is such an order."""
    makers: dict[str, list[set[str]]] = {name: [] for name in symmetry.groups}
    inner = {name: {n for n in symmetry.groups if name in symmetry.chain(n)} for name in symmetry.groups}
    for axes in symmetry.axes:
        made = {base(atom) for entry in axes.entries for atom in atoms(entry) if not consumes(atom)}
        for name in made & set(symmetry.groups):
            makers[name].append({n for n in axes.names if n in symmetry.groups} - {name, *symmetry.chain(name)})
    reached = lambda name, order: all(others <= {*order} for others in (inner[name], *makers[name]))
    return ready_first(sorted(growth_order(symmetry), key=lambda name: -len(symmetry.chain(name))), reached)


def _check_linear(symmetry: Symmetry, name: str, known: frozenset[str]) -> None:
    """What produces and what consumes a group settle its matrix, up to permutations; it takes enough of both."""
    remedy = f"leave 'linear' out of the actions of {name!r} for a canonical form over signs and scales of its neurons"
    settled = known.union(symmetry.chain(name))
    parts = ((leaf, p) for leaf, a in zip(symmetry.names, symmetry.axes, strict=True) for p in parts_by_name(a.entries))
    for leaf, names in parts:
        others = [base(n) for n in names if base(n) in symmetry.groups]
        if name not in others:
            continue
        others.remove(name)
        if name in others:
            raise ValueError(
                f"{leaf} both produces and consumes {name!r}, on which matrices act; expected arrays that do one: "
                f"{remedy}"
            )
        for other in others:
            actions = symmetry.groups[other].actions or ()
            if other not in settled and not {*actions} <= {"permute"}:
                raise ValueError(
                    f"{leaf} joins {name!r}, on which matrices act, with {other!r}, whose {listing(actions)} no "
                    f"earlier step settles; expected permutations alone there: {remedy}"
                )
    leaves = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in symmetry.shapes]
    own = jax.eval_shape(lambda leaves: slices(symmetry, leaves, name), leaves)
    made, read, size = own.produced.shape[-1] + own.bias.shape[-1], own.consumed.shape[-1], symmetry.sizes[name]
    if min(made, read) < size:
        raise ValueError(
            f"group {name!r} has {size} neurons, with {made} weights each that produce it and {read} that consume it; "
            f"expected at least {size} of both, as fewer have no balanced form: {remedy}"
        )


def _balanced(group: Group, own: Slices) -> Move:
    """The matrix of a linear group, signs included."""
    made = jnp.concatenate([own.bias, own.produced], axis=1)
    matrix, inverse = balanced(made, own.consumed)
    sign = _sign(multiply(matrix.T, made), 0)
    return Move(matrix=matrix * sign[None, :], inverse=inverse * sign[:, None])


def _sized(group: Group, own: Slices) -> Move:
    """Phase, sign and scale of each neuron."""
    made = jnp.concatenate([own.bias, own.produced], axis=1)
    gain = phase = None
    if group.allows("phase"):
        phase = -jnp.round(own.bias[:, 0] / group.half_turn).astype(jnp.int32)
        made = made.at[:, 0].add(phase.astype(made.dtype) * group.half_turn)
    if group.allows("sign"):
        gain = _sign(made, own.bias.shape[1])
        phase = None if phase is None else phase * gain.astype(phase.dtype)
    if group.allows("rescale"):
        largest = jnp.max(jnp.abs(made), axis=1, keepdims=True, initial=0)  # divided out, so that no square overflows
        largest = jnp.where(largest > 0, largest, 1.0)
        norm = jnp.linalg.norm(made / largest, axis=1)
        scale = 1 / jnp.where(norm > 0, norm, 1.0) / largest[:, 0]
        gain = scale if gain is None else gain * scale
    return Move(None, gain, phase)


def _sign(made: Array, biases: int) -> Array:
    """-1 where the first bias is negative, or where there is none or it is 0, the largest other entry."""
    rest = made[:, biases:]
    leading = jnp.zeros(len(made), made.dtype)
    if rest.shape[1]:
        leading = jnp.take_along_axis(rest, jnp.argmax(jnp.abs(rest), axis=1)[:, None], axis=1)[:, 0]
    deciding = jnp.where(made[:, 0] == 0, leading, made[:, 0]) if biases else leading
    return jnp.where(deciding < 0, -1.0, 1.0).astype(made.dtype)


def _ordered(group: Group, own: Slices) -> Move:
    """By the first bias, then by every other entry in turn."""
    made = jnp.concatenate([own.bias, own.produced, own.followed], axis=1)
    if not group.allows("permute") or not made.shape[1]:
        return Move()
    return Move(jnp.lexsort([made[:, i] for i in reversed(range(made.shape[1]))]).astype(jnp.int32))
