"""What a function of one number lets through: powers of scales, signs, half periods. Evaluated, not looked up by name.

A *region* is what elementwise steps make of a single value; `Curve` is that function, evaluated on a grid of |z| from
1e-9 to 1e9 and classified.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from wsjax.symmetry.infer.elementwise import ELEMENTWISE, evaluate, special
from wsjax.symmetry.infer.linear import PRIME
from wsjax.symmetry.infer.tape import Step, Tape, Value

GRID = np.geomspace(1e-9, 1e9, 145) * np.linspace(1, 1.01, 145)
MODEST = np.linspace(-4.03, 4.01, 163)
NAMED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "gelu": lambda z: z * special("ndtr")(z),
    "gelu_tanh": lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z * special("expit")(z),
    "sigmoid": special("expit"),
    "softplus": lambda z: np.logaddexp(z, 0),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
}


@dataclass(frozen=True)
class Kind:
    """What a region lets through. `power`: f(s z) = s^power f(z) for s > 0, modulo PRIME, or None. `parity`: 1 odd, 0
    even, None neither. `slope`: f(z) = slope z. `half_period`: f(z + half_period) = -f(z). `zero`: f(0) = 0."""

    name: str
    power: int | None = None
    parity: int | None = None
    slope: float | None = None
    half_period: float | None = None
    zero: bool = False


def roots(tape: Tape) -> dict[int, Value]:
    """For each value that elementwise steps make of one other value alone, that value, by identity."""
    found: dict[int, Value] = {}
    for step in tape.steps:
        if step.name not in ELEMENTWISE or len(step.outs) != 1:
            continue
        out, sources = step.outs[0], [v for v in step.ins if not _uniform(v)]
        starts = {id(found.get(id(v), v)): found.get(id(v), v) for v in sources}
        if len(starts) == 1 and all(v.shape == out.shape for v in sources):
            found[id(out)] = next(iter(starts.values()))
    return found


def _uniform(value: Value) -> bool:
    array = value.constant
    return array is not None and array.size > 0 and bool(np.all(array == array.flat[0]))


def _number(value: Value) -> Any:
    assert value.constant is not None
    return value.constant.flat[0]


class Activations:
    """The kinds of the regions of one program; equal regions are evaluated once."""

    def __init__(self, roots: dict[int, Value]):
        self.roots = roots
        self.known: dict[tuple, Kind] = {}

    def kind(self, value: Value) -> Kind:
        """Of the function that makes a value of its root."""
        root, chain = self.roots[id(value)], self._chain(value)
        numbers = {id(root): 0}
        signature: list = []
        for step in chain:
            numbers[id(step.outs[0])] = len(numbers)
            own = [numbers[id(v)] if id(v) in numbers else ("c", repr(_number(v))) for v in step.ins]
            plain = {k: str(v) for k, v in step.params.items() if k in ("y", "new_dtype", "rounding_method")}
            signature.append((step.name, tuple(plain.items()), tuple(own)))
        key = tuple(signature)
        if key not in self.known:
            self.known[key] = classify(lambda z: self._evaluate(chain, root, z))
        return self.known[key]

    def _chain(self, value: Value) -> list[Step]:
        """The steps from the root to a value, in order."""
        root, found, order = self.roots[id(value)], set[int](), []
        stack: list[tuple[Value, bool]] = [(value, False)]
        while stack:
            at, done = stack.pop()
            if at is root or at.constant is not None or (id(at) in found and not done):
                continue
            assert at.step is not None
            if done:
                order.append(at.step)
                continue
            found.add(id(at))
            stack.append((at, True))
            stack += [(v, False) for v in at.step.ins]
        return order

    def _evaluate(self, chain: list[Step], root: Value, z: np.ndarray) -> np.ndarray:
        values = {id(root): z}
        with np.errstate(all="ignore"):
            for step in chain:
                operands = [values[id(v)] if id(v) in values else _number(v) for v in step.ins]
                values[id(step.outs[0])] = np.asarray(evaluate(step.name, step.params, operands))
            last = values[id(chain[-1].outs[0])]
            if np.iscomplexobj(last):
                raise TypeError("complex values")  # `classify` takes it for a function that lets nothing through
            return np.broadcast_to(last, z.shape).astype(np.float64)


def classify(f: Callable[[np.ndarray], np.ndarray]) -> Kind:
    """The kind of a function of one number; one that cannot be evaluated, or is constant, lets nothing through."""
    try:
        up, down, modest, zero = f(GRID), f(-GRID), f(MODEST), f(np.zeros(1)).tolist() == [0.0]
    except Exception:  # what cannot be evaluated here is not understood
        return Kind("other")
    if not np.isfinite(np.concatenate([up, down])).sum() > len(GRID) // 2 or np.ptp(np.nan_to_num(modest)) == 0:
        return Kind("other")
    parity = 1 if _close(down, -up) else 0 if _close(down, up) else None
    power, exact = _power(f, up, down)
    slope = float(up[72] / GRID[72]) if exact == 1 and _close(up, up[72] / GRID[72] * GRID) and parity == 1 else None
    name = next((n for n, g in NAMED.items() if _near(modest, g(MODEST))), "other")
    half = _half_period(f) if parity == 1 and power is None else None
    if half is not None:
        name = "sine"
    elif slope is not None:
        name = "linear"
    elif name == "other" and power is not None and exact == 1:
        name = "leaky_relu"
    return Kind(name, power, parity, slope, half, zero)


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to the rounding of coefficients in float32, where both are numbers."""
    both = np.isfinite(a) & np.isfinite(b)
    same = (np.isfinite(a) == np.isfinite(b)).all()
    return bool(same and np.all(np.abs(a - b)[both] <= 1e-9 * np.abs(b)[both]))


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=1e-5, atol=1e-6))


def _power(f: Callable[[np.ndarray], np.ndarray], up: np.ndarray, down: np.ndarray) -> tuple[int | None, Fraction]:
    """The k for which f(s z) = s^k f(z), s > 0, on both sides."""
    none = (None, Fraction(0))
    found = set()
    for values, sign in ((up, 1.0), (down, -1.0)):
        number = np.isfinite(values) & (values != 0)
        if not number.any():
            if np.isnan(values).any() or (values == 0).all():
                continue
            return none
        if np.isnan(values).any() or not number.all():
            return none
        moved = f(sign * GRID * 3.0)
        with np.errstate(all="ignore"):
            exponents = np.log(np.abs(moved / values)) / np.log(3.0)
        k = Fraction(float(np.median(exponents))).limit_denominator(12)
        if not np.isfinite(exponents).all() or not _close(moved, 3.0 ** float(k) * values):
            return none
        found.add(k)
    if len(found) != 1:
        return none
    k = found.pop()
    return k.numerator * pow(k.denominator, -1, PRIME) % PRIME, k


def _half_period(f: Callable[[np.ndarray], np.ndarray]) -> float | None:
    """The smallest T > 0 with f(z + T) = -f(z) of an odd function: its first zero."""
    for length in (0.005, 0.05, 0.5, 5.0, 50.0):
        z = np.linspace(0, length, 2001)[1:]
        values = f(z)
        change = np.flatnonzero(np.sign(values[20:-1]) != np.sign(values[21:]))
        if len(change):
            low, high = z[20 + change[0]], z[21 + change[0]]
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (middle, high) if np.sign(f(np.array([middle]))) == np.sign(values[20]) else (low, middle)
            points = np.linspace(-3.3 * high, 2.7 * high, 301)
            return float(high) if _near(f(points + high), -f(points)) else None
    return None
