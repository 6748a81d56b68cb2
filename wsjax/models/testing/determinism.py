"""Evaluation is deterministic: without a key nothing is random, and at rate 0 nothing is dropped."""

import inspect

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from wsjax.models.testing.precise import Case, Module, case, difference, in_float64, read, same_program, to_float64
from wsjax.symmetry import Symmetry
from wsjax.typing import Key, Weights


def check_deterministic(
    reader: Module, symmetry: Symmetry, weights: Weights | None = None, *, key: Key, tolerance: float | None = None
) -> float:
    """Prove that a reader evaluates the same way each time, and that its dropout is off when it should be.

    Two traces without a key agree in every operation, or else two compilations in every bit; so do two different keys
    at rate 0. Without a key at any rate, and with any key at rate 0, the output is that of a plain call. A reader that
    does not take both `key` and `dropout_rate`, by name or as `**settings`, is only run twice. Arguments are as in
    `check_invariant`.

    Returns: the largest difference to the plain call, as a fraction of the output's root mean square.

    Raises: AssertionError naming the settings, the output and the difference; ValueError for weights that do not fit.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp
        >>> check_deterministic(lambda weights: weights[0].bias.mean(), mlp((2, 4, 1)), key=jax.random.key(0))
        0.0
    """
    with in_float64():
        reader = to_float64(reader)
        return deterministic(case(reader, symmetry, weights, key), reader, key, tolerance)


def deterministic(one: Case, reader: Module, key: Key, tolerance: float | None = None) -> float:
    """`check_deterministic` of a case of a reader in float64."""
    _check_same(one.evaluate(one.weights), one.output, "two calls without a key")
    accepted = inspect.signature(reader).parameters.values()
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted)
    takes_both = passes_on or {"key", "dropout_rate"} <= {parameter.name for parameter in accepted}
    found = {}
    if not takes_both or not same_program(reader, reader, one.weights, dropout_rate=0.5):
        again = eqx.filter_jit(lambda module, w: module(w))(reader, one.weights)  # another function, traced anew
        _check_same(again, read(reader, one.weights), "two calls without a key")
        if not takes_both:
            return 0.0
        found["rate 0.5 without a key"] = difference(read(reader, one.weights, dropout_rate=0.5), one.output)
    first, second = (keyed(reader, one.weights, k, 0.0) for k in jax.random.split(key))
    _check_same(second, first, "two keys at rate 0")
    found["a key at rate 0"] = difference(first, one.output)
    allowed = one.allowed(tolerance)
    for what, (fraction, leaf) in found.items():
        if not fraction <= allowed:
            raise AssertionError(
                f"{what} changes {leaf} by {fraction:.2g} of its root mean square; expected at most {allowed:.2g}, "
                f"computed in {one.dtype}. Dropout must be off without a key and drop nothing at rate 0."
            )
    return max(fraction for fraction, _ in found.values())


def keyed(reader: Module, weights: Weights, key: Key, rate: float) -> PyTree:
    """The output with a key, from one program for all rates where the reader takes a rate that is traced."""
    try:
        return read(reader, weights, key=key, dropout_rate=np.asarray(rate))
    except jax.errors.JAXTypeError:
        return read(reader, weights, key=key, dropout_rate=rate)


def _check_same(found: PyTree, expected: PyTree, what: str) -> None:
    same = all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True))
    if not same:
        fraction, leaf = difference(found, expected)
        raise AssertionError(
            f"{what} differ in {leaf} by {fraction:.2g} of its root mean square; expected the same bits. Draw "
            f"only from the key that the call gets, and drop nothing without one."
        )
