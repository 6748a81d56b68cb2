"""Random group elements: the distributions that the augmentations which preserve the function draw from."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wsjax.errors import as_integer, check_choice, check_number, check_several
from wsjax.symmetry.draws import permutations, uniform_integers, words
from wsjax.symmetry.element import Element, Move, compose, identity, multiply, refined
from wsjax.symmetry.group import ACTIONS, ALL_ACTIONS, Action
from wsjax.symmetry.spec import Symmetry
from wsjax.typing import Key, Scalar

LARGEST_STRETCH = 3  # deviations


def sample_permutation(key: Key, symmetry: Symmetry) -> Element:
    """A uniformly random order of the neurons of every group, within another axis one for each index of it."""
    permuted = [name for name, group in symmetry.groups.items() if group.allows("permute")]
    names = [name for name in permuted if not symmetry.chain(name)]
    drawn = dict(zip(names, permutations(key, [symmetry.sizes[name] for name in names]), strict=True))
    for i, name in enumerate(name for name in permuted if name not in drawn):
        shape = (*symmetry.lead(name), symmetry.sizes[name])
        drawn[name] = jnp.argsort(words(jax.random.fold_in(key, i + 1), shape), axis=-1).astype(jnp.int32)
    return Element(symmetry, {name: Move(permutation=drawn.get(name)) for name in symmetry.groups})


def sample_signs(key: Key, symmetry: Symmetry, *, probability: Scalar = 0.5) -> Element:
    """Flip each neuron of every odd group (sine, tanh) with a probability in [0, 1]; 0 is the identity."""
    check_number("probability", probability, low=0, high=1)
    flip = lambda key, shape: Move(gain=jnp.where(jax.random.bernoulli(key, probability, shape), -1.0, 1.0))
    return _per_group(key, symmetry, "sign", flip)


def sample_phases(key: Key, symmetry: Symmetry, *, max_shift: Scalar = 1) -> Element:
    """Shift each sine neuron by k*pi, k uniform on the integers -max_shift..max_shift; 0 is the identity."""
    check_number("max_shift", as_integer(max_shift), low=0, integer=True)
    turns = lambda key, shape: uniform_integers(key, math.prod(shape), max_shift).reshape(shape)
    return _per_group(key, symmetry, "phase", lambda key, shape: Move(phase=turns(key, shape)))


def sample_scales(key: Key, symmetry: Symmetry, *, std: Scalar = 0.3) -> Element:
    """Scale each homogeneous neuron (ReLU) by exp(std * normal), a positive number with median 1; 0 is the identity."""
    check_number("std", std, low=0)
    scale = lambda key, shape: Move(gain=jnp.exp(std * jax.random.normal(key, shape)))
    return _per_group(key, symmetry, "rescale", scale)


def sample_scales_uniform(key: Key, symmetry: Symmetry, *, max_log: Scalar = 0.7) -> Element:
    """Scale each homogeneous neuron (ReLU) by exp(u), u uniform on [-max_log, max_log]; 0 is the identity."""
    check_number("max_log", max_log, low=0)
    scale = lambda key, shape: Move(gain=jnp.exp(max_log * jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)))
    return _per_group(key, symmetry, "rescale", scale)


def sample_matrices(key: Key, symmetry: Symmetry, *, std: Scalar = 0.3) -> Element:
    """For each linear group M = U diag(s) V with U, V uniform orthogonal matrices and log s normal with deviation std.

    log s is cut off at 3 std, so that the condition number is at most exp(6 std); 0 draws orthogonal matrices.
    """
    check_number("std", std, low=0)

    def draw(key: Key, shape: tuple[int, ...]) -> Move:
        left, right, stretch = (jax.random.fold_in(key, i) for i in range(3))
        u, v = (_orthogonal(k, (*shape, shape[-1])) for k in (left, right))
        s = jnp.exp(std * jax.random.truncated_normal(stretch, -LARGEST_STRETCH, LARGEST_STRETCH, shape))
        matrix = multiply(u * s[..., None, :], v)
        inverse = multiply(jnp.swapaxes(v, -1, -2) / s[..., None, :], jnp.swapaxes(u, -1, -2))
        return Move(matrix=matrix, inverse=refined(inverse, matrix))

    return _per_group(key, symmetry, "linear", draw)


def _orthogonal(key: Key, shape: tuple[int, ...]) -> Array:
    """Uniform (Haar) orthogonal matrices. Source: Mezzadri 2007, "How to generate random matrices"."""
    q, r = jnp.linalg.qr(jax.random.normal(key, shape))
    signs = jnp.where(jnp.diagonal(r, axis1=-2, axis2=-1) < 0, -1, 1).astype(q.dtype)
    return q * signs[..., None, :]


def sample(key: Key, symmetry: Symmetry, *, actions: Sequence[Action] = ALL_ACTIONS) -> Element:
    """Draw from all that may act: permutations and signs uniformly, phases in -1..1, scales log-normal (std 0.3).

    `key` is a typed key; a group of the `symmetry` takes those of the `actions`, `"permute"`, `"sign"`, `"phase"`,
    `"rescale"` and `"linear"`, that it allows. A matrix, U diag(s) V with uniform orthogonal U, V and log-normal s
    (std 0.3, cut off at 3 of them), includes the others. A group within another axis has a draw for each index.

    Raises:
        ValueError: an unknown action.

    Example:
        >>> import jax
        >>> from wsjax import networks, symmetry as ws
        >>> spec, w = ws.siren((2, 8, 1)), networks.siren_init(jax.random.key(0), (2, 8, 1))
        >>> x = jax.numpy.ones((1, 2))
        >>> moved = jax.jit(lambda w: ws.act(ws.sample(jax.random.key(1), spec), w))(w)
        >>> bool(abs(networks.siren_apply(moved, x) - networks.siren_apply(w, x)).max() < 1e-5)
        True
    """
    check_several("actions", actions)
    for action in actions:
        check_choice("action", action, ALL_ACTIONS)
    element = identity(symmetry)
    for i, draw in ((0, sample_permutation), (3, sample_scales), (1, sample_signs), (2, sample_phases)):
        if ACTIONS[i] in actions:
            element = compose(draw(jax.random.fold_in(key, i), symmetry), element)
    linear = {name for name, group in symmetry.groups.items() if group.allows("linear")}
    if linear and "linear" in actions:
        matrices = sample_matrices(jax.random.fold_in(key, len(ACTIONS)), symmetry)
        element = Element(symmetry, {n: (matrices if n in linear else element).moves[n] for n in symmetry.groups})
    return element


def _per_group(key: Key, symmetry: Symmetry, action: Action, draw: Callable[[Key, tuple[int, ...]], Move]) -> Element:
    moves = {}
    for i, (name, group) in enumerate(symmetry.groups.items()):
        shape = (*symmetry.lead(name), group.size)
        moves[name] = draw(jax.random.fold_in(key, i), shape) if group.allows(action) else Move()
    return Element(symmetry, moves)
