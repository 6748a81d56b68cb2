"""Random group elements: the distributions that the augmentations which preserve the function draw from."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from wsjax.errors import as_integer, check_choice, check_number
from wsjax.symmetry.draws import permutations, uniform_integers
from wsjax.symmetry.element import Element, Move, compose, identity
from wsjax.symmetry.group import ACTIONS, Action, Group
from wsjax.symmetry.spec import Symmetry
from wsjax.typing import Key, Scalar


def sample_permutation(key: Key, symmetry: Symmetry) -> Element:
    """A uniformly random order of the neurons of every group.

    Args:
        key: a typed key.
        symmetry: of the networks to act on.

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

    Args:
        key: a typed key.
        symmetry: of the networks to act on.
        probability: [] for each neuron, in [0, 1]; 0 is the identity.

    Raises:
        ValueError: a probability outside [0, 1].

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


def sample_phases(key: Key, symmetry: Symmetry, *, max_shift: Scalar = 1) -> Element:
    """Shift each sine neuron by k*pi, k uniform on the integers -max_shift..max_shift (symmetric about 0).

    Args:
        key: a typed key.
        symmetry: of the networks to act on.
        max_shift: [] half turns, an integer; 0 is the identity.

    Raises:
        ValueError: a max_shift below 0, or none of the integers.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import siren
        >>> bool((abs(sample_phases(jax.random.key(0), siren((2, 3, 1)), max_shift=2).moves["h1"].phase) <= 2).all())
        True
    """
    check_number("max_shift", as_integer(max_shift), low=0, integer=True)

    def draw(k: Key, group: Group) -> Move:
        return Move(phase=uniform_integers(k, group.size, max_shift))

    return _per_group(key, symmetry, "phase", draw)


def sample_scales(key: Key, symmetry: Symmetry, *, std: Scalar = 0.3) -> Element:
    """Scale each homogeneous neuron (ReLU) by exp(std * normal), a positive number with median 1.

    Args:
        key: a typed key.
        symmetry: of the networks to act on.
        std: [] of the factors' logarithms; 0 is the identity.

    Raises:
        ValueError: a negative std.

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

    Args:
        key: a typed key.
        symmetry: of the networks to act on.
        max_log: [] of the factors; 0 is the identity.

    Raises:
        ValueError: a negative max_log.

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


def sample(key: Key, symmetry: Symmetry, *, actions: Sequence[Action] = ACTIONS) -> Element:
    """Draw from all that may act: permutations and signs uniformly, phases in -1..1, scales log-normal (std 0.3).

    Args:
        key: a typed key.
        symmetry: the network's Symmetry.
        actions: what to draw, among `"permute"`, `"sign"`, `"phase"`, `"rescale"`; a group takes what it allows.

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


def _per_group(key: Key, symmetry: Symmetry, action: Action, draw: Callable[[Key, Group], Move]) -> Element:
    moves = {}
    for i, (name, group) in enumerate(symmetry.groups.items()):
        moves[name] = draw(jax.random.fold_in(key, i), group) if group.allows(action) else Move()
    return Element(symmetry, moves)
