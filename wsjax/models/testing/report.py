"""All checks of a reader in one call, and the numbers they measured as a table."""

from collections.abc import Sequence

import equinox as eqx
import jax

from wsjax.models.testing.determinism import deterministic
from wsjax.models.testing.gradients import check_gradients
from wsjax.models.testing.invariance import invariant
from wsjax.models.testing.parts import check_parts, evaluations
from wsjax.models.testing.precise import TOLERANCES, Module, case, generator, in_float64, network, to_float64
from wsjax.models.testing.sensitivity import LEAST, sensitive
from wsjax.symmetry import Symmetry
from wsjax.symmetry.group import Action
from wsjax.typing import Key, Weights


def check_reader(
    reader: Module,
    symmetry: Symmetry,
    weights: Weights | None = None,
    *,
    actions: Sequence[Action] = ("permute",),
    key: Key,
) -> str:
    """Prove all that a reader of weights should be: invariant, sensitive, trainable, deterministic, in two parts.

    Every check runs, so that one failure hides no other; `features` and `head` are checked where the reader has them.
    For a reader that is its head after its features three programs are compiled: values, with a key, and gradients.

    The reader is called as `reader(weights, *, key=None, dropout_rate=0.0) -> output`; other arguments are as in
    `check_invariant`.

    Returns: a table of each check, the number found, and the one expected.

    Raises: AssertionError with that table, and the message of each check that failed; ValueError for no action, or one
    that no group allows, or weights that do not fit the Symmetry.

    Example:
        >>> import jax
        >>> from wsjax.symmetry import mlp
        >>> mean = lambda weights: weights[0].kernel.mean()
        >>> check_reader(mean, mlp((2, 4, 1)), key=jax.random.key(0))
        Traceback (most recent call last):
        AssertionError: check ... found ... expected, in float64
        invariant to permute ... at most 1e-10
        sensitive ... failed ... more than 1e-08
        ...
    """
    keys = jax.random.split(key, 6)
    with in_float64():
        precise, drawn = to_float64(reader), network(symmetry, weights, generator(key))
        evaluate, evaluate_features = evaluations(precise, drawn)
        whole = case(precise, symmetry, drawn, key, evaluate)
        small, enough = f"at most {TOLERANCES[whole.dtype]:g}", f"more than {LEAST[whole.dtype]:g}"
        checks = [
            (f"invariant to {', '.join(actions)}", lambda: invariant(whole, symmetry, actions, 3, keys[0]), small),
            ("sensitive to other moves", lambda: sensitive(whole, symmetry, 3, keys[1]), enough),
            ("deterministic", lambda: deterministic(whole, precise, keys[2]), small),
        ]
        if jax.tree.leaves(eqx.filter(reader, eqx.is_inexact_array)):
            learns = lambda: check_gradients(reader, symmetry, weights, key=keys[3])
            checks.append(("fraction of parameters that learn", learns, "1"))
        if evaluate_features is not None:
            inside = lambda: case(precise, symmetry, drawn, key, evaluate_features)
            joined = lambda: check_parts(reader, symmetry, drawn, key=keys[5])
            checks.append(("invariant features", lambda: invariant(inside(), symmetry, actions, 3, keys[4]), small))
            checks.append(("head after features", joined, small))
        line = lambda name, found, expected: f"{name:<40}{found:<10}{expected}"
        lines, failures = [line("check", "found", f"expected, in {whole.dtype}")], []
        for name, check, expected in checks:
            try:
                found = f"{check():.2g}"
            except AssertionError as failure:
                found = "failed"
                failures.append(f"{name}: {failure}")
            lines.append(line(name, found, expected))
    if failures:
        raise AssertionError("\n".join([*lines, "", *failures]))
    return "\n".join(lines)
