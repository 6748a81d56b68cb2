"""The confirmation: one random element of the whole group, on weights with noise, compared with the network itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wsjax.errors import leaf_names, listing
from wsjax.symmetry.axes import Axes, base, consumes, follows, on_parts, places_of
from wsjax.symmetry.spec import Symmetry, carries_phase

TOLERANCES = {64: 1e-6, 32: 2e-3, 16: 0.1}
"""The largest difference, as a fraction of the output's root mean square, by the bits of the narrowest numbers that
the program computes with."""


class Motion(NamedTuple):
    """What happens to one group's neurons, for each index of what the group lies within: (*within, neurons)."""

    order: np.ndarray
    gain: np.ndarray
    phase: np.ndarray
    matrix: np.ndarray | None


def confirm(
    apply: Callable[..., Any],
    symmetry: Symmetry,
    weights: Any,
    inputs: Sequence[Any],
    notes: Mapping[str, Sequence[str]],
) -> float:
    """The difference that a random element of the whole group makes; `notes` are the steps that each group passes.

    Raises ValueError where it is too large, naming group, action and steps, or where the network gives no finite
    numbers.
    """
    draw = np.random.default_rng(0)
    program, arrays, rest, tolerance = _program(apply, weights, inputs, draw)
    reference = _outputs(program(arrays, *rest))
    for name, output in reference.items():
        if not np.isfinite(output).all():
            raise ValueError(
                f"{name} of apply is not finite for these weights with a little noise; expected finite numbers, to "
                f"confirm what was inferred: pass weights and inputs for which it is, a trained network's for example"
            )
    leaves, treedef = jax.tree.flatten(arrays)

    def difference(trials: Sequence[tuple[str, str]]) -> float:
        motions = _motions(symmetry, trials, np.random.default_rng(1))
        moved = [_moved(leaf, axes, motions, symmetry) for leaf, axes in zip(leaves, symmetry.axes, strict=True)]
        found = _outputs(program(jax.tree.unflatten(treedef, moved), *rest))
        gaps = [np.max(np.abs(found[n] - r), initial=0) / _size(r) for n, r in reference.items()]
        return float(np.max(gaps, initial=0))

    trials = [(name, action) for name, group in symmetry.groups.items() for action in group.actions or ()]
    worst = difference(trials)
    if worst <= tolerance:
        return worst
    while len(trials) > 1:
        half = trials[: len(trials) // 2]
        trials = half if not difference(half) <= tolerance else trials[len(half) :]
    (name, action), *_ = trials
    own = [n for n, axes in zip(symmetry.names, symmetry.axes, strict=True) if name in axes.names]
    raise ValueError(
        f"{action!r} on the group {name!r} of {listing(own)} was inferred and changes the function by {worst:.2g} of "
        f"its size; expected at most {tolerance:.2g}. It passes {listing(list(notes.get(name, ()))[:6])}: one of these "
        f"does not do what its rule says, or apply is not the same function at each call. Describe the network by "
        f"symmetry_of, or make that step a plain one"
    )


def _program(apply: Callable[..., Any], weights: Any, inputs: Sequence[Any], draw: np.random.Generator) -> tuple:
    """The compiled network, its arrays, its inputs, and a tolerance: in float64 where the program takes it."""
    arrays = jax.tree.map(lambda leaf: _drawn(leaf, draw, True), weights)
    rest = [jax.tree.map(lambda leaf: _drawn(leaf, draw, False), x) for x in inputs]
    try:
        with jax.enable_x64(True), jax.default_matmul_precision("highest"):
            traced = jax.jit(apply).trace(arrays, *rest)
            compiled = traced.lower().compile()
    except Exception:  # the program fixes its dtypes
        back = lambda leaf, like: np.asarray(leaf).astype(like.dtype) if isinstance(leaf, np.ndarray) else leaf
        like = lambda tree: jax.tree.map(lambda leaf: leaf if hasattr(leaf, "dtype") else np.asarray(leaf), tree)
        arrays, rest = (
            jax.tree.map(back, arrays, like(weights)),
            [jax.tree.map(back, x, like(old)) for x, old in zip(rest, inputs, strict=True)],
        )
        with jax.default_matmul_precision("highest"):
            traced = jax.jit(apply).trace(arrays, *rest)
        return traced.lower().compile(), arrays, rest, TOLERANCES[_bits(traced.jaxpr)]

    def run(*arguments: Any) -> Any:
        with jax.enable_x64(True):
            return compiled(*arguments)

    return run, arrays, rest, TOLERANCES[_bits(traced.jaxpr)]


def _bits(jaxpr: Any) -> int:
    """The bits of the narrowest floating-point numbers that a program computes."""
    bits = 64
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        for aval in (var.aval for var in eqn.outvars):
            dtype = getattr(aval, "dtype", np.int32)
            if jnp.issubdtype(dtype, jnp.inexact) and aval.shape:
                bits = min(bits, int(jnp.finfo(dtype).bits))
        for inner in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(getattr(inner, "jaxpr", inner), "eqns"):
                bits = min(bits, _bits(inner))
    return max(bits, 16)


def _drawn(leaf: Any, draw: np.random.Generator, weight: bool) -> Any:
    """An array with noise in float64, random where only its shape is known. Vectors stay positive where they are, as
    variances must."""
    shape, dtype = np.shape(leaf), getattr(leaf, "dtype", np.asarray(leaf).dtype if np.isscalar(leaf) else None)
    abstract = isinstance(leaf, jax.ShapeDtypeStruct)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype) % 2 if abstract else leaf
    noise = draw.normal(size=shape)
    flat = sum(n != 1 for n in shape) < 2 and weight
    if abstract:
        fan_in = max(int(np.prod(sorted(shape)[:-1])), 1)
        return np.abs(noise) + 0.1 if flat else noise / np.sqrt(fan_in) if weight else noise
    values = np.asarray(leaf).astype(np.float64)
    spread = 0.1 * max(float(np.sqrt(np.mean(values**2))), 0.1) if values.size else 0.0
    return values * np.exp(0.1 * draw.normal(size=shape)) + spread * (np.abs(noise) if flat else noise)


def _motions(symmetry: Symmetry, trials: Sequence[tuple[str, str]], draw: np.random.Generator) -> dict[str, Motion]:
    """A random motion of each group; those within others come after these."""
    motions = {}
    for name in sorted(symmetry.groups, key=lambda name: len(symmetry.chain(name))):
        group, acts = symmetry.groups[name], {action for owner, action in trials if owner == name}
        shape = *symmetry.lead(name), group.size
        same = np.broadcast_to(np.arange(group.size), shape)
        order, signs = draw.permuted(same, axis=-1), draw.choice([-1.0, 1.0], shape)
        scales, phase = np.exp(0.3 * draw.normal(size=shape)), draw.integers(-1, 2, shape)
        matrix: Any = None
        if group.allows("linear"):
            left, right = np.linalg.qr(draw.normal(size=(2, *shape, group.size)))[0]
            matrix = (left * np.exp(draw.uniform(-0.5, 0.5, shape))[..., None, :]) @ right
        motions[name] = Motion(
            order if "permute" in acts else same,
            (signs if "sign" in acts else 1.0) * (scales if "rescale" in acts else np.ones(shape)),
            phase if "phase" in acts else np.zeros(shape, int),
            matrix if "linear" in acts else None,
        )
    return motions


def _moved(leaf: Any, axes: Axes, motions: Mapping[str, Motion], symmetry: Symmetry) -> Any:
    """One array under these motions, on the host."""

    def change(part: Any, names: tuple[str, ...]) -> Any:
        for group, motion in motions.items():
            for axis in (i for i, atom in enumerate(names) if base(atom) == group):
                places = (*places_of(symmetry.chain(group), names, axis), axis)
                front = np.moveaxis(part, places, range(len(places)))
                moved = np.empty_like(front)
                for index in np.ndindex(*symmetry.lead(group)):
                    moved[index] = _rows_moved(front[index], names[axis], jax.tree.map(lambda x, i=index: x[i], motion))
                if symmetry.groups[group].allows("phase") and carries_phase(axes, group, symmetry):
                    shift = motion.phase * symmetry.groups[group].half_turn
                    moved += shift.reshape(*shift.shape, *[1] * (moved.ndim - shift.ndim))
                part = np.moveaxis(moved, range(len(places)), places)
        return part

    if not set(axes.names) & set(motions):
        return leaf
    array = np.asarray(leaf)
    return on_parts(array, axes.entries, symmetry.sizes, change).astype(array.dtype)


def _rows_moved(rows: np.ndarray, atom: str, motion: Motion) -> np.ndarray:
    """Rows that lie along one group."""
    gain = motion.gain
    if consumes(atom):
        gain = (1 - 2 * (motion.phase % 2)) / gain
    if motion.matrix is not None:
        rows = np.tensordot(np.linalg.inv(motion.matrix) if consumes(atom) else motion.matrix.T, rows, 1)
    rows = rows[motion.order]
    return rows if follows(atom) or (gain == 1).all() else rows * gain.reshape(-1, *[1] * (rows.ndim - 1))


def _outputs(tree: Any) -> dict[str, np.ndarray]:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    wide = [leaf.astype(np.complex128 if np.iscomplexobj(leaf) else np.float64) for leaf in leaves]
    return dict(zip(leaf_names(tree, "the output"), wide, strict=True))


def _size(output: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.abs(output) ** 2))) or 1.0 if output.size else 1.0
