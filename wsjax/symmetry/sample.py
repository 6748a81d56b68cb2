"""Random group elements: the distributions that the augmentations which preserve the function draw from."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from wsjax.errors import as_integer, check_choice, check_number
from wsjax.symmetry.draws import permutations, uniform_integers
from wsjax.symmetry.element import Element, Move, compose, identity
from wsjax.symmetry.group import ACTIONS, Action
from wsjax.symmetry.spec import Symmetry
from wsjax.typing import Key, Scalar


def sample_permutation(key: Key, symmetry: Symmetry) -> Element:
    """A uniformly random order of the neurons of every group."""
    names = [name for name, group in symmetry.groups.items() if group.allows("permute")]
    drawn = dict(zip(names, permutations(key, [symmetry.sizes[name] for name in names]), strict=True))
    return Element(symmetry, {name: Move(permutation=drawn.get(name)) for name in symmetry.groups})


def sample_signs(key: Key, symmetry: Symmetry, *, probability: Scalar = 0.5) -> Element:
    """Flip each neuron of every odd group (sine, tanh) with a probability in [0, 1]; 0 is the identity."""
    check_number("probability", probability, low=0, high=1)
    flip = lambda key, size: Move(gain=jnp.where(jax.random.bernoulli(key, probability, (size,)), -1.0, 1.0))
    return _per_group(key, symmetry, "sign", flip)


def sample_phases(key: Key, symmetry: Symmetry, *, max_shift: Scalar = 1) -> Element:
    """Shift each sine neuron by k*pi, k uniform on the integers -max_shift..max_shift; 0 is the identity."""
    check_number("max_shift", as_integer(max_shift), low=0, integer=True)
    return _per_group(key, symmetry, "phase", lambda key, size: Move(phase=uniform_integers(key, size, max_shift)))


def sample_scales(key: Key, symmetry: Symmetry, *, std: Scalar = 0.3) -> Element:
    """Scale each homogeneous neuron (ReLU) by exp(std * normal), a positive number with median 1; 0 is the identity."""
    check_number("std", std, low=0)
    scale = lambda key, size: Move(gain=jnp.exp(std * jax.random.normal(key, (size,))))
    return _per_group(key, symmetry, "rescale", scale)


def sample_scales_uniform(key: Key, symmetry: Symmetry, *, max_log: Scalar = 0.7) -> Element:
    """Scale each homogeneous neuron (ReLU) by exp(u), u uniform on [-max_log, max_log]; 0 is the identity."""
    check_number("max_log", max_log, low=0)
    scale = lambda key, size: Move(gain=jnp.exp(max_log * jax.random.uniform(key, (size,), minval=-1.0, maxval=1.0)))
    return _per_group(key, symmetry, "rescale", scale)


def sample(key: Key, symmetry: Symmetry, *, actions: Sequence[Action] = ACTIONS) -> Element:
    """Draw from all that may act: permutations and signs uniformly, phases in -1..1, scales log-normal (std 0.3).

    `key` is a typed key; a group of the `symmetry` takes those of the `actions`, `"permute"`, `"sign"`, `"phase"` and
    `"rescale"`, that it allows.

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
    for action in actions:
        check_choice("action", action, ACTIONS)
    element = identity(symmetry)
    for i, draw in ((0, sample_permutation), (3, sample_scales), (1, sample_signs), (2, sample_phases)):
        if ACTIONS[i] in actions:
            element = compose(draw(jax.random.fold_in(key, i), symmetry), element)
    return element


def _per_group(key: Key, symmetry: Symmetry, action: Action, draw: Callable[[Key, int], Move]) -> Element:
    moves = {}
    for i, (name, group) in enumerate(symmetry.groups.items()):
        moves[name] = draw(jax.random.fold_in(key, i), group.size) if group.allows(action) else Move()
    return Element(symmetry, moves)
