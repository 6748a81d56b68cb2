"""Augmentations that preserve the function: random elements of the network's symmetry group.

Each draws an element of `wsjax.symmetry` and acts with it; the deterministic twin of all of them is `symmetry.act`.
"""

import jax.numpy as jnp
from jaxtyping import ArrayLike, Float

from wsjax.errors import check_number
from wsjax.symmetry import Symmetry, act, sample_permutation, sample_phases, sample_signs
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


def shift_phase(
    key: Key, weights: Weights, *, symmetry: Symmetry, max_shift: int | Float[ArrayLike, ""] | float = 1
) -> Weights:
    """Shift each sine neuron by a whole number k of half turns, uniform on -max_shift..max_shift.

    b_i' = b_i + k pi / w0 (k pi where w0 multiplies the kernel alone), and the neuron's row of W_{i+1} times (-1)^k:
    sin(z + k pi) = (-1)^k sin z. Each group has its own w0.

    **Preserves** the function. The larger w0 |b| and k, the more digits the sum loses: in bfloat16 it perturbs.

    Args:
        key: a typed key.
        weights: one network.
        symmetry: its Symmetry; groups that do not allow phases stay as they are.
        max_shift: [] half turns, a whole number; 0 is the identity.

    Raises:
        ValueError: no group allows phases (a ReLU network), a negative max_shift, or weights of another Symmetry.

    Source: "SIREN bias" of arXiv 2402.04081, section 4, whose code draws k from -4..3 and holds one w0 = 30 for all
    layers; here the range is symmetric and w0 the layer's own.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax import networks, symmetry
        >>> w, x = networks.siren_init(jax.random.key(0), (2, 4, 1)), jnp.ones((1, 2))
        >>> moved = shift_phase(jax.random.key(1), w, symmetry=symmetry.siren((2, 4, 1)))
        >>> bool(jnp.allclose(networks.siren_apply(moved, x), networks.siren_apply(w, x), atol=1e-5))
        True
    """
    _require(symmetry, "phase", "shift_phase")
    check_number("max_shift", max_shift, low=0)
    bound = jnp.asarray(max_shift).astype(jnp.int32)
    return act(sample_phases(key, symmetry, max_shift=bound), weights)
