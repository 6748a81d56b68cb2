"""A program as one list of steps: nested programs entered, constants computed, dead steps dropped.

`scan`, `while` and `cond` become steps of three kinds of their own: `fresh` values (carries, and what branches return),
`tie`s, which say that two values have the same axes, and `row`/`rows`, which take one slice of a leading axis, or
stack slices.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.extend import core
from jax.interpreters import partial_eval

from wsjax.symmetry.infer.elementwise import ELEMENTWISE, evaluate

LARGEST_FOLDED = 2**22
"""Constants of more entries are not computed, and then nothing acts on their axes."""


@dataclass(eq=False)
class Value:
    """One value of the program: `constant` where no weight and no input enters it."""

    shape: tuple[int, ...]
    dtype: Any
    constant: np.ndarray | None = None
    weights: bool = False
    inputs: bool = False
    step: "Step | None" = None
    leaf: int | None = None


@dataclass(eq=False)
class Step:
    """One primitive: what goes in, what comes out, and the line of the source that called it."""

    name: str
    params: dict[str, Any]
    ins: list[Value]
    outs: list[Value]
    source: str

    @property
    def note(self) -> str:
        return f"{self.name} ({self.source})" if self.source else self.name


@dataclass
class Tape:
    """A whole program: its leaves of weights, its other inputs, its steps, its outputs."""

    leaves: list[Value]
    inputs: list[Value]
    outputs: list[Value]
    steps: list[Step] = field(default_factory=list)


def record(apply: Callable[..., Any], weights: Any, inputs: Sequence[Any]) -> Tape:
    """Trace `apply(weights, *inputs)`. Leaves may be arrays, Python numbers, or shapes (`jax.ShapeDtypeStruct`)."""
    closed = jax.make_jaxpr(apply)(weights, *inputs)
    jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    count = len(jax.tree.leaves(weights))
    avals: list[Any] = [var.aval for var in jaxpr.invars]
    values = [Value(tuple(aval.shape), aval.dtype) for aval in avals]
    for i, value in enumerate(values):
        value.weights, value.inputs, value.leaf = i < count, i >= count, i if i < count else None
    tape = Tape(values[:count], values[count:], [])
    tape.outputs = _Recorder(tape).enter(jaxpr, closed.consts, values)
    tape.steps = _alive(tape)
    return tape


def _alive(tape: Tape) -> list[Step]:
    """The steps on which an output depends; a tie is alive with the value that it ties."""
    wanted, kept = set(map(id, tape.outputs)), set[int]()
    ties = [step for step in tape.steps if step.name == "tie"]
    while True:  # ties run backwards in the list: repeat until nothing is added
        before = len(kept)
        for step in reversed(tape.steps):
            targets = step.ins[1:] if step.name == "tie" else step.outs
            if id(step) not in kept and any(id(value) in wanted for value in targets):
                kept.add(id(step))
                wanted |= set(map(id, step.ins))
        if len(kept) == before or not ties:
            return [step for step in tape.steps if id(step) in kept]


class _Recorder:
    """Writes the equations of a jaxpr, and of those inside it, to a tape."""

    def __init__(self, tape: Tape):
        self.tape = tape
        self.inner = ""
        self.scans = 0

    def enter(self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Value]) -> list[Value]:
        """Run a jaxpr on values; gives its outputs."""
        env: dict[Any, Value] = dict(zip(jaxpr.invars, arguments, strict=True))
        env |= {var: _constant(value, var.aval) for var, value in zip(jaxpr.constvars, constants, strict=True)}
        read = lambda atom: _constant(atom.val, atom.aval) if isinstance(atom, core.Literal) else env[atom]
        for eqn in jaxpr.eqns:
            outs = self.equation(eqn, [read(atom) for atom in eqn.invars])
            env.update(zip(eqn.outvars, outs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def enter_closed(self, closed: Any, arguments: Sequence[Value]) -> list[Value]:
        return self.enter(getattr(closed, "jaxpr", closed), getattr(closed, "consts", ()), arguments)

    def equation(self, eqn: Any, ins: list[Value]) -> list[Value]:
        name, params = eqn.primitive.name, eqn.params
        self.source = _source(eqn) or self.inner
        if name in ("scan", "while", "cond"):
            return {"scan": self.scan, "while": self.while_loop, "cond": self.cond}[name](params, ins)
        for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
            inner = params.get(key)
            open_ = getattr(inner, "jaxpr", inner)
            if hasattr(open_, "eqns") and len(open_.invars) == len(ins) and not name.startswith(OPAQUE):
                outer, self.inner = self.inner, self.source
                outs = self.enter_closed(inner, ins)
                self.inner = outer
                return outs
        return self.write(name, params, ins, [var.aval for var in eqn.outvars], eqn)

    def write(self, name: str, params: dict[str, Any], ins: list[Value], avals: Sequence[Any], eqn: Any = None) -> Any:
        """One step; computed at once where all that enters is constant."""
        outs = [Value(tuple(getattr(aval, "shape", ())), getattr(aval, "dtype", None)) for aval in avals]
        if eqn is not None and all(value.constant is not None for value in ins) and _fold(eqn, ins, outs):
            return outs
        if name == "slice" and (sliced := self.sliced(params, ins[0], outs[0])) is not None:
            return [sliced]
        step = Step(name, params, ins, outs, self.source)
        for out in outs:
            out.weights, out.inputs = any(v.weights for v in ins), any(v.inputs for v in ins)
            out.step = step
        self.tape.steps.append(step)
        return outs

    def sliced(self, params: dict[str, Any], source: Value, out: Value) -> Value | None:
        """A slice of a reshaped or transposed value as a reshaped or transposed slice: so the parts of a fused axis,
        reshaped to (3, heads, size) and then taken apart, need not be alike."""
        step = source.step
        if step is None or any(stride != 1 for stride in params["strides"] or ()):
            return None
        starts, limits = list(params["start_indices"]), list(params["limit_indices"])
        moved = [a for a, n in enumerate(source.shape) if limits[a] - starts[a] != n]
        if len(moved) != 1 or step.name not in ("reshape", "transpose"):
            return None
        inner, axis = step.ins[0], moved[0]
        if step.name == "transpose":
            order = step.params["permutation"]
            place, at, end = order[axis], starts[axis], limits[axis]
        else:
            found = _segment_of(inner.shape, source.shape, axis)
            if found is None:
                return None
            place, rows = found
            at, end = starts[axis] * rows, limits[axis] * rows
        begin = [at if a == place else 0 for a in range(len(inner.shape))]
        stop = [end if a == place else n for a, n in enumerate(inner.shape)]
        shape = tuple(np.subtract(stop, begin).tolist())
        settings = {"start_indices": tuple(begin), "limit_indices": tuple(stop), "strides": None}
        part = self.write("slice", settings, [inner], [jax.ShapeDtypeStruct(shape, inner.dtype)])[0]
        again = {**step.params, "new_sizes": out.shape} if step.name == "reshape" else step.params
        return self.write(step.name, again, [part], [out])[0]

    def fresh(self, like: Sequence[Any]) -> list[Value]:
        """Values whose axes are not known yet."""
        outs = self.write("fresh", {}, [], like)
        for out in outs:
            out.weights = out.inputs = True
        return outs

    def tie(self, values: Sequence[Value], targets: Sequence[Value]) -> None:
        for value, target in zip(values, targets, strict=True):
            self.write("tie", {}, [value, target], [])

    def scan(self, params: dict[str, Any], ins: list[Value]) -> list[Value]:
        first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
        carry = self.fresh(ins[first:last])
        self.tie(ins[first:last], carry)
        self.scans += 1
        settings, row = {"scan": self.scans}, lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
        rows = [self.write("row", settings, [x], [row(x)])[0] for x in ins[last:]]
        outs = self.enter_closed(params["jaxpr"], [*ins[:first], *carry, *rows])
        self.tie(outs[: len(carry)], carry)
        stack = lambda x: self.write("rows", {}, [x], [jax.ShapeDtypeStruct((params["length"], *x.shape), x.dtype)])[0]
        return [*carry, *map(stack, outs[len(carry) :])]

    def while_loop(self, params: dict[str, Any], ins: list[Value]) -> list[Value]:
        a, b = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        carry = self.fresh(ins[b:])
        self.tie(ins[b:], carry)
        goes_on = self.enter_closed(params["cond_jaxpr"], [*ins[:a], *carry])
        self.tie(self.enter_closed(params["body_jaxpr"], [*ins[a:b], *carry]), carry)
        for value in carry:  # how often the loop runs must not depend on what acts
            self.write("tie", {"scalar": True}, [goes_on[0], value], [])
        return carry

    def cond(self, params: dict[str, Any], ins: list[Value]) -> list[Value]:
        branches = params["branches"]
        if params.get("branches_platforms") is not None:  # all compute the same; the last is the default
            return self.enter_closed(branches[-1], ins[1:])
        outs = self.fresh(branches[0].out_avals)
        for branch in branches:
            self.tie(self.enter_closed(branch, ins[1:]), outs)
        for value in outs:
            self.write("tie", {"scalar": True}, [ins[0], value], [])
        return outs


OPAQUE = ("reduce", "scatter", "pallas", "custom_linear_solve", "custom_root", "run_state", "shard_map")


def _segment_of(inner: tuple[int, ...], outer: tuple[int, ...], axis: int) -> tuple[int, int] | None:
    """Of a reshape, the inner axis that begins with this outer one, and how many entries one outer entry holds."""
    before = int(np.prod(outer[:axis], dtype=int))
    for place in range(len(inner)):
        if int(np.prod(inner[:place], dtype=int)) == before and inner[place] % outer[axis] == 0 and inner[place] > 1:
            rest, after = inner[place] // outer[axis], int(np.prod(inner[place + 1 :], dtype=int))
            if rest * after == int(np.prod(outer[axis + 1 :], dtype=int)):
                return place, rest
    return None


def _constant(value: Any, aval: Any) -> Value:
    dtype = getattr(aval, "dtype", None)
    number = dtype is not None and not jax.numpy.issubdtype(dtype, jax.dtypes.extended)  # no key
    return Value(tuple(getattr(aval, "shape", ())), dtype, np.asarray(value) if number else None)


def _fold(eqn: Any, ins: list[Value], outs: list[Value]) -> bool:
    """Compute a step of constants; False where that is too large, or not possible."""
    name, arrays = eqn.primitive.name, [value.constant for value in ins]
    if name == "broadcast_in_dim":
        found: Any = [_broadcast(arrays[0], eqn.params["broadcast_dimensions"], outs[0].shape)]
    elif sum(np.prod(out.shape, dtype=float) for out in outs) > LARGEST_FOLDED:
        return False
    else:
        try:
            if name in ELEMENTWISE:
                found = np.asarray(evaluate(name, eqn.params, arrays)).astype(outs[0].dtype)
            else:
                found = eqn.primitive.bind(*map(jax.numpy.asarray, arrays), **eqn.params)
            found = list(map(np.asarray, found if eqn.primitive.multiple_results else [found]))
        except Exception:  # whatever cannot be computed here is not understood, and fixes what it touches
            return False
    for out, array in zip(outs, found, strict=True):
        out.constant = array
    return True


def _broadcast(array: Any, places: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    inner = [array.shape[places.index(axis)] if axis in places else 1 for axis in range(len(shape))]
    return np.broadcast_to(np.reshape(array, inner), shape)


def _source(eqn: Any) -> str:
    try:
        from jax._src import source_info_util  # JAX has no public name for it

        return source_info_util.summarize(eqn.source_info)
    except Exception:  # it is for messages alone
        return ""
