"""Augmentations that preserve the function: random elements of the network's symmetry group.

Each draws an element of `wsjax.symmetry` and acts with it; the deterministic twin of all of them is `symmetry.act`.
"""

from wsjax.symmetry import Symmetry, act, sample_permutation, sample_signs
from wsjax.symmetry.group import Action
from wsjax.typing import Key, Scalar, Weights


def _require(symmetry: Symmetry, action: Action, name: str) -> None:
    if any(group.allows(action) for group in symmetry.groups.values()):
        return
    found = ", ".join(f"{n}: {g.activation} ({'/'.join(g.actions or ())})" for n, g in symmetry.groups.items())
    raise ValueError(
        f"{name} needs a group that allows {action!r}, and this Symmetry has none: {found}. "
        f"Use it on networks whose activation has that symmetry, or leave {name} out of the pipeline."
    )


def permute(key: Key, weights: Weights, *, symmetry: Symmetry) -> Weights:
    """Reorder the neurons of every group uniformly at random.

    W_i' = P_i^T W_i P_{i+1}, b_i' = b_i P_{i+1}, with P = I on the inputs and outputs.

    **Preserves** the function.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry.

    Raises:
        ValueError: the weights are not of that Symmetry.

    Source: arXiv 2301.12780, section 3; a data-set flag in the code of arXiv 2402.04081.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.mlp_init(jax.random.key(0), (2, 4, 1))
        >>> permute(jax.random.key(1), w, symmetry=symmetry.mlp((2, 4, 1)))[0].kernel.shape
        (2, 4)
    """
    return act(sample_permutation(key, symmetry), weights)


def flip_signs(key: Key, weights: Weights, *, symmetry: Symmetry, probability: Scalar = 0.5) -> Weights:
    """Negate each neuron of every odd group (sine, tanh) with a given probability.

    A flipped neuron's column of W_i and entry of b_i, and its row of W_{i+1}, change sign: a(-z) = -a(z).

    **Preserves** the function.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry; groups that do not allow signs stay as they are.
        probability: [] chance for each neuron, in [0, 1]; 0 is the identity.

    Raises:
        ValueError: no group allows signs (a ReLU network), or the weights are not of that Symmetry.

    Source: "SIREN negation" of arXiv 2402.04081, section 4; the same there.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> flipped = flip_signs(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 1)), probability=1.0)
        >>> bool((flipped[0].kernel == -w[0].kernel).all())
        True
    """
    _require(symmetry, "sign", "flip_signs")
    return act(sample_signs(key, symmetry, probability=probability), weights)
