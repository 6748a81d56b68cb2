"""Augmentations that preserve the function: random elements of the network's symmetry group.

Each draws an element of `wsjax.symmetry` and acts with it on one network; the deterministic form of all of them is
`symmetry.act`. Groups that do not allow an action stay as they are; where none allows it, it is refused.
"""

from wsjax.augment.register import FRACTION, MAGNITUDE, Range, register
from wsjax.symmetry import Symmetry, act, compose
from wsjax.symmetry.group import Action
from wsjax.symmetry.sample import (
    sample_matrices,
    sample_permutation,
    sample_phases,
    sample_scales,
    sample_scales_uniform,
    sample_signs,
)
from wsjax.typing import Key, Scalar, Weights


def _require(symmetry: Symmetry, action: Action, name: str) -> None:
    if any(group.allows(action) for group in symmetry.groups.values()):
        return
    found = ", ".join(f"{n}: {g.activation} ({'/'.join(g.actions or ())})" for n, g in symmetry.groups.items())
    remedy = "Use it on networks whose activation has that symmetry"
    if action == "linear":
        remedy = "Declare Group(..., 'linear', actions=('linear',)) where only linear maps produce and consume a group"
    raise ValueError(
        f"{name} needs a group that allows {action!r}, and this Symmetry has none: {found}. {remedy}, or leave {name} "
        f"out of the pipeline."
    )


@register(effect="preserves", formula="W_i' = P_i^T W_i P_{i+1}, b_i' = b_i P_{i+1}, P random")
def permute(key: Key, weights: Weights, symmetry: Symmetry) -> Weights:
    """Reorder the neurons of every group uniformly at random.

    **Preserves** the function: W_i' = P_i^T W_i P_{i+1}, b_i' = b_i P_{i+1}, with P = I on the inputs and outputs.

    Args:
        symmetry: its Symmetry; weights of another raise ValueError, here and in all that take one.

    Source: arXiv 2301.12780, section 3; a data-set flag in the code of arXiv 2402.04081.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.mlp_init(jax.random.key(0), (2, 4, 1))
        >>> permute(symmetry.mlp((2, 4, 1)))(jax.random.key(1), w)[0].kernel.shape
        (2, 4)
    """
    return act(sample_permutation(key, symmetry), weights)


@register(
    effect="preserves",
    formula="a neuron's column, its bias and its row of the next kernel times -1",
    ranges={"probability": FRACTION},
)
def flip_signs(key: Key, weights: Weights, symmetry: Symmetry, *, probability: Scalar = 0.5) -> Weights:
    """Negate each neuron of every odd group (sine, tanh) with a given probability.

    **Preserves** the function: a flipped neuron's column of W_i and entry of b_i, and its row of W_{i+1}, change sign,
    as a(-z) = -a(z).

    Args:
        symmetry: its Symmetry.
        probability: [] chance for each neuron, in [0, 1]; 0 is the identity.

    Raises: ValueError: no group allows signs (a ReLU network), or a probability outside [0, 1].

    Source: "SIREN negation" of arXiv 2402.04081, section 4; the same there.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> flipped = flip_signs(symmetry.siren((2, 4, 1)), probability=1.0)(jax.random.key(1), w)
        >>> bool((flipped[0].kernel == -w[0].kernel).all())
        True
    """
    _require(symmetry, "sign", "flip_signs")
    return act(sample_signs(key, symmetry, probability=probability), weights)


@register(
    effect="preserves",
    formula="b_i' = b_i + k pi / w0, the neuron's row of the next kernel times (-1)^k",
    ranges={"max_shift": MAGNITUDE},
)
def shift_phase(key: Key, weights: Weights, symmetry: Symmetry, *, max_shift: Scalar = 1) -> Weights:
    """Shift each sine neuron by an integer k of half turns, uniform on -max_shift..max_shift.

    **Preserves** the function: b_i' = b_i + k pi / w0 (k pi where w0 multiplies the kernel alone), and the neuron's row
    of W_{i+1} times (-1)^k, as sin(z + k pi) = (-1)^k sin z. Each group has its own w0. The larger w0 |b| and k, the
    more digits the sum loses: in bfloat16 it perturbs.

    Args:
        symmetry: its Symmetry.
        max_shift: [] half turns, an integer; 0 is the identity.

    Raises: ValueError: no group allows phases (a ReLU network), or a max_shift that is negative or not whole.

    Source: "SIREN bias" of arXiv 2402.04081, section 4, whose code draws k from -4..3 and holds one w0 = 30 for all
    layers; here the range is symmetric and w0 the layer's own.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax import networks, symmetry
        >>> w, x = networks.siren_init(jax.random.key(0), (2, 4, 1)), jnp.ones((1, 2))
        >>> moved = shift_phase(symmetry.siren((2, 4, 1)))(jax.random.key(1), w)
        >>> bool(jnp.allclose(networks.siren_apply(moved, x), networks.siren_apply(w, x), atol=1e-5))
        True
    """
    _require(symmetry, "phase", "shift_phase")
    return act(sample_phases(key, symmetry, max_shift=max_shift), weights)


@register(effect="preserves", formula="b_i' = b_i + 2 k pi / w0", ranges={"max_turns": MAGNITUDE})
def shift_turns(key: Key, weights: Weights, symmetry: Symmetry, *, max_turns: Scalar = 1) -> Weights:
    """Shift each sine neuron by an integer n of full turns, uniform on -max_turns..max_turns.

    **Preserves** the function, as `shift_phase` by k = 2 n does: b_i' = b_i + 2 n pi / w0, and no array that reads the
    neuron changes.

    Args:
        symmetry: its Symmetry.
        max_turns: [] full turns, an integer; 0 is the identity.

    Raises: ValueError: no group allows phases (a ReLU network), or a max_turns that is negative or not whole.

    Source: the even half of "SIREN bias" of arXiv 2402.04081, section 4, which shifts by half turns.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.siren_init(jax.random.key(0), (2, 4, 1))
        >>> moved = shift_turns(symmetry.siren((2, 4, 1)))(jax.random.key(1), w)
        >>> bool((moved[1].kernel == w[1].kernel).all()), bool((moved[0].bias == w[0].bias).all())
        (True, False)
    """
    _require(symmetry, "phase", "shift_turns")
    half = sample_phases(key, symmetry, max_shift=max_turns)
    moved = symmetry.leaves(act(compose(half, half), weights))
    # A whole turn changes no sign, so what consumes the neurons stays, and compiled code does not compute it.
    pairs = zip(symmetry.axes, moved, symmetry.leaves(weights), strict=True)
    return symmetry.unflatten([new if axes.bias else old for axes, new, old in pairs])


@register(
    effect="preserves",
    formula="a neuron's column and bias times s, its next row / s, log s ~ N(0, std^2)",
    ranges={"std": MAGNITUDE},
)
def rescale(key: Key, weights: Weights, symmetry: Symmetry, *, std: Scalar = 0.3) -> Weights:
    """Multiply each neuron of every homogeneous group (ReLU, leaky ReLU, linear) by s = exp(std * N(0, 1)).

    **Preserves** the function: the neuron's column of W_i and entry of b_i times s, its row of W_{i+1} divided by s, as
    a(s z) = s a(z) for s > 0.

    Args:
        symmetry: its Symmetry.
        std: [] standard deviation of log s; 0.3 puts 95 % of the factors between 0.56 and 1.8. 0 is the identity.

    Raises: ValueError: no group allows scales (a SIREN), or a negative std.

    Source: the scaling symmetry of arXiv 2406.10685; the code of arXiv 2301.12780 has it as an option that is off.
    The distribution is ours: log-normal, so that s and 1/s are equally likely.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax import networks, symmetry
        >>> w, x = networks.mlp_init(jax.random.key(0), (2, 4, 1)), jnp.ones((1, 2))
        >>> moved = rescale(symmetry.mlp((2, 4, 1)))(jax.random.key(1), w)
        >>> bool(jnp.allclose(networks.mlp_apply(moved, x), networks.mlp_apply(w, x), atol=1e-5))
        True
    """
    _require(symmetry, "rescale", "rescale")
    return act(sample_scales(key, symmetry, std=std), weights)


@register(effect="preserves", formula="the same, log s uniform on [-max_log, max_log]", ranges={"max_log": MAGNITUDE})
def rescale_uniform(key: Key, weights: Weights, symmetry: Symmetry, *, max_log: Scalar = 0.7) -> Weights:
    """As `rescale`, with log s uniform on [-max_log, max_log]: a bounded factor.

    **Preserves** the function.

    Args:
        symmetry: its Symmetry.
        max_log: [] natural logarithm of the largest factor; 0.7 allows 0.5 to 2. 0 is the identity.

    Raises: ValueError: no group allows scales (a SIREN), or a negative max_log.

    Source: as `rescale`.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry
        >>> w = networks.mlp_init(jax.random.key(0), (2, 4, 1))
        >>> factor = rescale_uniform(symmetry.mlp((2, 4, 1)))(jax.random.key(1), w)[0].kernel / w[0].kernel
        >>> bool(((0.49 < factor) & (factor < 2.02)).all())
        True
    """
    _require(symmetry, "rescale", "rescale_uniform")
    return act(sample_scales_uniform(key, symmetry, max_log=max_log), weights)


@register(
    effect="preserves",
    formula="what produces a linear group times M, what consumes it times M^-1, M = U diag(s) V, log s ~ N(0, std^2)",
    ranges={"std": Range()},
)
def mix_basis(key: Key, weights: Weights, symmetry: Symmetry, *, std: Scalar = 0.3) -> Weights:
    """Change the basis of every linear group (the rank of a LoRA pair, the dimensions of an attention head) at random.

    **Preserves** the function: x A B = x (A M) (M^-1 B), with M = U diag(s) V, U and V uniform orthogonal matrices and
    log s normal, cut off at 3 std: the condition number of M is at most exp(6 std). A group within another axis, as
    the dimensions of a head, has a matrix for each index. It includes `permute`, `flip_signs` and `rescale` there.

    Args:
        symmetry: its Symmetry, with a group that allows `"linear"`.
        std: [] standard deviation of log s; 0 draws orthogonal matrices.

    Raises: ValueError: no group allows matrices, a negative std, or an array of integers along such a group.

    Source: the symmetry of low-rank adapters in arXiv 2410.04207; the distribution is ours.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from wsjax.symmetry import Axes, Fixed, Group, symmetry_of
        >>> sizes = {"in": Fixed(4), "rank": Group(2, "linear", actions=("linear",)), "out": Fixed(3)}
        >>> spec = symmetry_of({"down": Axes("in", "rank"), "up": Axes("rank*", "out")}, sizes)
        >>> w = {"down": jax.random.normal(jax.random.key(0), (4, 2)), "up": jnp.ones((2, 3))}
        >>> mixed = mix_basis(spec)(jax.random.key(1), w)
        >>> bool(jnp.allclose(mixed["down"] @ mixed["up"], w["down"] @ w["up"], atol=1e-5))
        True
    """
    _require(symmetry, "linear", "mix_basis")
    return act(sample_matrices(key, symmetry, std=std), weights)
