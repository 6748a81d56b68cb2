"""The elementwise primitives of one value, on the host in float64: what activations are made of."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

ROUND = {0: lambda x: np.trunc(x + np.copysign(0.5, x)), 1: np.rint}


def special(name: str) -> Callable[..., Any]:
    """A function of scipy.special, which is imported when it is first needed."""
    return lambda *x: getattr(importlib.import_module("scipy.special"), name)(*x)


SIMPLE: dict[str, Callable[..., Any]] = {
    **{n: getattr(np, n) for n in ("exp", "log", "tanh", "sin", "cos", "tan", "sinh", "cosh", "sign", "abs", "floor")},
    **{n: getattr(np, n) for n in ("ceil", "sqrt", "cbrt", "log1p", "expm1", "exp2", "square", "nextafter")},
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "neg": np.negative, "erf": special("erf"), "erfc": special("erfc"),
    "erf_inv": special("erfinv"),
    "logistic": special("expit"), "rsqrt": lambda x: 1 / np.sqrt(x), "is_finite": np.isfinite, "add": np.add,
    "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "max": np.maximum,
    "min": np.minimum, "pow": np.power, "atan2": np.arctan2, "rem": np.fmod, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert, "stop_gradient": np.asarray, "copy": np.asarray,
    "copy_p": np.asarray, "reduce_precision": lambda x, *_: np.asarray(x), "lgamma": special("gammaln"),
    "digamma": special("digamma"), "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
}  # fmt: skip

ELEMENTWISE = frozenset((*SIMPLE, "integer_pow", "convert_element_type", "select_n", "round"))


def evaluate(name: str, params: dict[str, Any], operands: Sequence[Any]) -> Any:
    """One elementwise primitive; floating-point numbers keep the width in which they came."""
    with np.errstate(all="ignore"):
        if name == "integer_pow":
            return np.power(operands[0], float(params["y"])) if params["y"] < 0 else operands[0] ** params["y"]
        if name == "convert_element_type":
            return _converted(np.asarray(operands[0]), params["new_dtype"])
        if name == "round":
            return ROUND[int(params["rounding_method"])](operands[0])
        if name == "select_n":
            which, *cases = (np.asarray(x) for x in operands)
            return np.choose(which.astype(int), np.broadcast_arrays(*cases) if cases else cases)
        if name == "div" and all(np.asarray(x).dtype.kind in "iu" for x in operands):
            return np.trunc(np.divide(*operands)).astype(np.asarray(operands[0]).dtype)
        return SIMPLE[name](*operands)


def _converted(x: np.ndarray, dtype: Any) -> np.ndarray:
    if jax.numpy.issubdtype(dtype, np.inexact):
        return x if x.dtype.kind in "fc" else x.astype(np.float64)
    return x.astype(dtype)
