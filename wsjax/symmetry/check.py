"""The proof of a Symmetry: act with random elements and compare the function with itself."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import ArrayLike, PyTree

from wsjax.errors import check_number, leaf_names
from wsjax.symmetry.act import act
from wsjax.symmetry.element import Element, Move
from wsjax.symmetry.group import Group
from wsjax.symmetry.spec import Symmetry
from wsjax.typing import Key, Weights


def check(
    apply: Callable[..., PyTree],
    symmetry: Symmetry,
    weights: Weights,
    *inputs: ArrayLike,
    key: Key,
    draws: int = 4,
    tolerance: float = 1e-4,
) -> float:
    """Prove a description against the function: apply(act(g, w), *inputs) = apply(w, *inputs) for random g.

    Every action of every group is tried alone, so that an error names the one that is wrong, then all at once.

    Returns the largest difference found, as a fraction of the root mean square of the output where it occurs.

    Args:
        apply: the network, `apply(weights, *inputs) -> outputs`.
        symmetry: the description to prove.
        weights: one network's, best a trained one: zero biases hide mistakes.
        inputs: what `apply` takes after the weights.
        key, draws: a typed key, and how many random elements are drawn for each action.
        tolerance: the largest difference allowed; outputs are compared in float64, whatever their dtype.

    Raises:
        ValueError: naming the group, the action and the difference found; an output that is not finite, or none at all.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry as ws
        >>> w = networks.mlp_init(jax.random.key(0), (2, 4, 1))
        >>> worst = ws.check(networks.mlp_apply, ws.mlp((2, 4, 1)), w, jax.numpy.ones((3, 2)), key=jax.random.key(1))
        >>> worst < 1e-5
        True
    """
    check_number("draws", draws, low=1, integer=True)
    reference = _outputs(apply(weights, *inputs))
    if not sum(leaf.size for leaf in reference.values()):
        raise ValueError("apply returns no number; expected one at least, or nothing is compared")
    for name, leaf in reference.items():
        if not np.isfinite(leaf).all():
            raise ValueError(
                f"{name} of apply is not finite in {(~np.isfinite(leaf)).sum()} of {leaf.size} entries for the weights "
                f"as they are; expected finite numbers to compare others with: check weights and inputs, or compute in "
                f"a wider dtype"
            )
    sizes = {name: _root_mean_square(leaf) for name, leaf in reference.items()}

    leaves = symmetry.leaves(weights)
    move = act if any(isinstance(leaf, np.ndarray) for leaf in leaves) else _moved  # integers that JAX would cut

    def difference(element: Element) -> float:
        moved = _outputs(apply(move(element, weights), *inputs))
        # np.max, for Python's own max loses a NaN
        return float(np.max([np.max(np.abs(moved[n] - leaf), initial=0) / sizes[n] for n, leaf in reference.items()]))

    def prove(what: str, acting: Sequence[tuple[str, str]]) -> float:
        worst = float(np.max([difference(_drawn(draw, symmetry, acting)) for _ in range(draws)]))
        if worst <= tolerance:
            return worst
        raise ValueError(
            f"{what} changes the function by {worst:.2g} of its size; expected at most {tolerance:.2g}. "
            f"Correct the Axes that name it, or its Group's activation, w0, w0_convention or actions."
        )

    draw = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    trials = [(g, a) for g, group in symmetry.groups.items() for a in group.actions or ()]
    alone = [prove(f"{action!r} on group {group!r}", [(group, action)]) for group, action in trials]
    return max(*alone, 0.0, prove("all actions together", trials))


_moved = jax.jit(act)


def _drawn(draw: np.random.Generator, symmetry: Symmetry, acting: Sequence[tuple[str, str]]) -> Element:
    """An element with every part written out, so that one program serves all; of (group, action) those `acting` do
    something."""

    def move(name: str, group: Group) -> Move:
        acts, shape = (lambda action: (name, action) in acting), (*symmetry.lead(name), group.size)
        order = np.broadcast_to(np.arange(group.size), shape)
        order = draw.permuted(order, axis=-1) if acts("permute") else order
        signs = draw.choice([-1.0, 1.0], shape) if acts("sign") else np.ones(shape)
        scales = np.exp(0.3 * draw.normal(size=shape)) if acts("rescale") else 1.0
        phase = draw.integers(-1, 2, shape) if acts("phase") else np.zeros(shape)
        gained = group.allows("sign") or group.allows("rescale")
        if group.allows("linear"):
            matrix = np.take_along_axis(np.eye(group.size) * (signs * scales)[..., None, :], order[..., None, :], -1)
            if acts("linear"):
                left, right = (np.linalg.qr(draw.normal(size=matrix.shape))[0] for _ in range(2))
                matrix = matrix @ (left * np.exp(draw.uniform(-0.5, 0.5, shape))[..., None, :]) @ right
            return Move(matrix=matrix.astype(np.float32), inverse=np.linalg.inv(matrix).astype(np.float32))
        return Move(
            order.astype(np.int32) if group.allows("permute") else None,
            (signs * scales).astype(np.float32) if gained else None,
            phase.astype(np.int32) if group.allows("phase") else None,
        )

    return Element(symmetry, {name: move(name, group) for name, group in symmetry.groups.items()})


def _outputs(tree: PyTree) -> dict[str, np.ndarray]:
    """Each output by its name, in float64: half types and float32 overflow where they are squared."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    wide = [leaf.astype(np.complex128 if np.iscomplexobj(leaf) else np.float64) for leaf in leaves]
    return dict(zip(leaf_names(tree, "the output"), wide, strict=True))


def _root_mean_square(leaf: np.ndarray) -> float:
    """Of the entries, 1 where all are zero. The largest is divided out first, so that no square over- or underflows."""
    largest = float(np.max(np.abs(leaf), initial=0))
    return largest * float(np.sqrt(np.mean(np.square(np.abs(leaf) / largest)))) if largest else 1.0
