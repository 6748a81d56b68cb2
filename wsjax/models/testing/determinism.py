"""Evaluation is evaluation: without a key nothing is random, and at rate 0 nothing is dropped."""

import inspect

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from wsjax.models.testing.invariance import TOLERANCES
from wsjax.models.testing.precise import Module, case, difference, in_float64, read
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Weights


def check_deterministic(
    reader: Module,
    symmetry: Symmetry,
    weights: Weights | None = None,
    *,
    key: Key,
    tolerance: float | None = None,
) -> float:
    """Prove that a reader evaluates the same way each time, and that its dropout is off when it should be.

    Two compilations without a key agree in every bit; so do two different keys at rate 0. Without a key at any rate,
    and with any key at rate 0, the output is that of a plain call. A reader that does not take both `key` and `rate`,
    by name or as `**settings`, is only compiled twice.

    Args:
        reader: `reader(weights, *, key=None, rate=0.0) -> output`, for one network.
        symmetry: the networks' Symmetry.
        weights: one network's weights; None draws random ones.
        key: a typed key.
        tolerance: the largest difference allowed to the plain call; None as in `check_invariant`.

    Returns:
        The largest difference to the plain call, as a share of the output's root mean square.

    Raises:
        AssertionError: naming the settings, the output and the difference.
        ValueError: weights that do not fit the Symmetry.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp
        >>> check_deterministic(lambda weights: weights[0].bias.mean(), mlp((2, 4, 1)), key=jax.random.key(0))
        0.0
    """
    keys = jax.random.split(key, 3)
    with in_float64():
        reader, weights, plain, dtype = case(reader, symmetry, weights, keys[0])
        allowed = TOLERANCES[dtype] if tolerance is None else tolerance
        again = eqx.filter_jit(lambda module, w: module(w))(reader, weights)  # another function, traced anew
        _check_same(again, plain, "two calls without a key")
        accepted = inspect.signature(reader).parameters.values()
        passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted)
        if not passes_on and not {"key", "rate"} <= {parameter.name for parameter in accepted}:
            return 0.0
        first, second = (read(reader, weights, key=k, rate=0.0) for k in keys[1:])
        _check_same(second, first, "two keys at rate 0")
        off = {"a key at rate 0": first, "rate 0.5 without a key": read(reader, weights, rate=0.5)}
        found = {what: difference(output, plain) for what, output in off.items()}
    for what, (share, leaf) in found.items():
        if not share <= allowed:
            raise AssertionError(
                f"{what} changes {leaf} by {share:.2g} of its root mean square; expected at most {allowed:.2g}, "
                f"computed in {dtype}. Dropout must be off without a key and drop nothing at rate 0."
            )
    return max(share for share, _ in found.values())


def _check_same(found: PyTree, expected: PyTree, what: str) -> None:
    same = all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True))
    if not same:
        share, leaf = difference(found, expected)
        raise AssertionError(
            f"{what} differ in {leaf} by {share:.2g} of its root mean square; expected the same bits. Draw only from "
            f"the key that the call gets, and drop nothing without one."
        )
