"""All checks of a reader in one call, and the numbers they measured as a table."""

from collections.abc import Callable, Sequence
from functools import partial

import jax

from wsjax.models.build import trainable
from wsjax.models.testing.determinism import check_deterministic
from wsjax.models.testing.gradients import check_gradients
from wsjax.models.testing.invariance import TOLERANCES, check_invariant
from wsjax.models.testing.parts import check_parts
from wsjax.models.testing.precise import Module, case, in_float64
from wsjax.models.testing.sensitivity import LEAST, check_sensitive
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

    Args:
        reader: `reader(weights, *, key=None, rate=0.0) -> output`, for one network.
        symmetry: the networks' Symmetry.
        weights: one network's weights; None draws random ones.
        actions: what the reader claims to be invariant to, of "permute", "sign", "rescale", "phase".
        key: a typed key.

    Returns:
        A table: each check, the number found, and the one expected.

    Raises:
        AssertionError: with that table, and the message of each check that failed below it.
        ValueError: no action, or one that no group allows, or weights that do not fit the Symmetry.

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
    with in_float64():
        dtype = case(reader, symmetry, weights, key).dtype
    small = f"at most {TOLERANCES[dtype]:g}"
    checks: list[tuple[str, Callable[..., float], str]] = [
        (f"invariant to {', '.join(actions)}", partial(check_invariant, reader, actions=actions), small),
        ("sensitive to other moves", partial(check_sensitive, reader), f"more than {LEAST[dtype]:g}"),
        ("deterministic", partial(check_deterministic, reader), small),
    ]
    if any(jax.tree.leaves(trainable(reader))):
        checks.append(("share of parameters that learn", partial(check_gradients, reader), "1"))
    if callable(getattr(reader, "features", None)):
        features = reader.features  # type: ignore[attr-defined]
        checks.append(("invariant features", partial(check_invariant, features, actions=actions), small))
        checks.append(("head after features", partial(check_parts, reader), small))
    lines, failures = [_line("check", "found", f"expected, in {dtype}")], []
    for i, (name, check, expected) in enumerate(checks):
        try:
            found = f"{check(symmetry, weights, key=jax.random.fold_in(key, i)):.2g}"
        except AssertionError as failure:
            found = "failed"
            failures.append(f"{name}: {failure}")
        lines.append(_line(name, found, expected))
    if failures:
        raise AssertionError("\n".join([*lines, "", *failures]))
    return "\n".join(lines)


def _line(name: str, found: str, expected: str) -> str:
    return f"{name:<40}{found:<10}{expected}"
