"""The proof of a Symmetry: act with random elements and compare the function with itself."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import ArrayLike, PyTree

from wsjax.symmetry.act import act
from wsjax.symmetry.element import Element, Move
from wsjax.symmetry.sample import sample, sample_permutation, sample_phases, sample_scales, sample_signs
from wsjax.symmetry.spec import Symmetry
from wsjax.typing import Key, Weights

SAMPLERS = {"permute": sample_permutation, "sign": sample_signs, "phase": sample_phases, "rescale": sample_scales}


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

    Args:
        apply: the network, `apply(weights, *inputs) -> outputs`.
        symmetry: the description to prove.
        weights: one network's weights, best a trained one: zero biases hide mistakes.
        inputs: what `apply` takes after the weights.
        key: a typed key.
        draws: how many random elements for each.
        tolerance: the largest difference allowed, as a share of the root mean square of the output it is seen in.

    Returns:
        The largest difference seen, as that share.

    Raises:
        ValueError: naming the group, the action and the difference found.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry as ws
        >>> w = networks.mlp_init(jax.random.key(0), (2, 4, 1))
        >>> worst = ws.check(networks.mlp_apply, ws.mlp((2, 4, 1)), w, jax.numpy.ones((3, 2)), key=jax.random.key(1))
        >>> worst < 1e-5
        True
    """
    reference = [np.asarray(leaf) for leaf in jax.tree.leaves(apply(weights, *inputs))]
    sizes = [float(np.sqrt(np.mean(np.square(leaf)))) or 1.0 for leaf in reference]

    def difference(element: Element) -> float:
        moved = jax.tree.leaves(apply(act(element, weights), *inputs))
        # np.max, for Python's own max loses a NaN
        return float(np.max([np.max(np.abs(m - r)) / s for m, r, s in zip(moved, reference, sizes, strict=True)]))

    def prove(what: str, draw: Callable[[Key], Element], salt: int) -> float:
        keys = jax.random.split(jax.random.fold_in(key, salt), draws)
        worst = float(np.max([difference(draw(k)) for k in keys]))
        if worst <= tolerance:
            return worst
        raise ValueError(
            f"{what} changes the function by {worst:.2g} of its size; expected at most {tolerance:.2g}. "
            f"Correct the Axes that name it, or its Group's activation, w0, w0_convention or actions."
        )

    seen = [0.0]
    trials = [(g, a) for g, group in symmetry.groups.items() for a in group.actions or ()]
    for salt, (group, action) in enumerate(trials):
        draw = lambda k, g=group, a=action: _only(SAMPLERS[a](k, symmetry), g)
        seen.append(prove(f"{action!r} on group {group!r}", draw, salt))
    return max(*seen, prove("all actions together", lambda k: sample(k, symmetry), len(trials)))


def _only(element: Element, group: str) -> Element:
    return Element(element.symmetry, {n: m if n == group else Move() for n, m in element.moves.items()})
