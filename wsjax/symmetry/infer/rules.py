"""What each primitive does to the axes of its operands. All passes run these rules.

A rule takes the pass, the step, and the terms of each operand's axes; it gives those of each result. What no rule
understands fixes every axis that it touches.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from wsjax.symmetry.infer.elementwise import ELEMENTWISE
from wsjax.symmetry.infer.tape import Step, Value
from wsjax.symmetry.infer.terms import Free, Pinned, Term, Why, concatenation, nonzero, product, resolve

Axis: TypeAlias = list[Term]
Rule: TypeAlias = Callable[[Any, Step, list[Axis]], list[Axis]]

MULTIPLY = {"mul": "mul", "div": "div"}
ADD = ("add", "add_any", "sub", "select_n", "copy", "copy_p", "convert_element_type", "neg")
EXTREMA = ("max", "min", "clamp")
ORDER = (*EXTREMA, "lt", "le", "gt", "ge", "eq", "ne")
"""Those that compare: what they compare has one gain, and no sign."""
LINEAR = ("reduce_sum", "cumsum", "reduce_window_sum", "rev", "gather", "dynamic_slice", "dynamic_update_slice")


def apply_rule(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """The axes of what a step gives."""
    terms.note = step.note
    if step.outs and all(0 in out.shape for out in step.outs):  # nothing is said of no entries
        return [[Free(size, zero=True) for size in out.shape] for out in step.outs]
    if step.name in ELEMENTWISE:
        return elementwise(terms, step, axes)
    rule = RULES.get(step.name) or next((r for prefix, r in PREFIXES.items() if step.name.startswith(prefix)), unknown)
    return rule(terms, step, axes)


def constant_axes(value: Value) -> Axis:
    """A constant array: constant along an axis, or else fixed there."""
    array, found = value.constant, []
    if array is None:
        return [Pinned(size, Why("a constant that varies along it")) for size in value.shape]
    zero = array.size > 0 and not np.any(array)
    for axis, size in enumerate(value.shape):
        same = array.strides[axis] == 0 or size == 1 or _alike(array, axis)
        found.append(Free(size, bool(zero)) if same else Pinned(size, Why("a constant that varies along it")))
    return found


def _alike(array: np.ndarray, axis: int) -> bool:
    first = np.take(array, [0], axis)
    return bool(np.all((array == first) | ((array != array) & (first != first))))


def unknown(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """Fix everything."""
    for axis in (a for operand in axes for a in operand):
        terms.fix(axis, "is not understood")
    why = terms.why("is made")
    return [[Pinned(size, why) for size in out.shape] for out in step.outs]


def _joined(terms: Any, columns: Sequence[Term], how: str) -> Term:
    return reduce(lambda a, b: terms.join(a, b, how), columns)


def _widened(terms: Any, axis: Term, size: int, zero: bool) -> Term:
    """An axis, or a unit axis made constant along a longer one."""
    if axis.size == size:
        return axis
    terms.fix(axis, "its one entry is spread")
    return Free(size, zero)


def aligned(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """The axes of operands that broadcast: a unit axis is constant along the result's."""
    shape = step.outs[0].shape
    full = []
    for value, own in zip(step.ins, axes, strict=True):
        zero = value.constant is not None and not np.any(value.constant)
        if len(own) < len(shape):
            full.append([Free(size, zero) for size in shape])
        else:
            full.append([_widened(terms, a, n, zero) for a, n in zip(own, shape, strict=True)])
    return full


def elementwise(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """Operands share one order. Products add gains, sums need equal ones; comparisons take no signs, others no gain."""
    full, name = aligned(terms, step, axes), step.name
    if name == "select_n":
        which, full = full[0], full[1:]
        joined = [_joined(terms, column, "add") for column in zip(*full, strict=True)]
        flags = (terms.zero(nonzero(flag)) for flag in which)
        return [[terms.join(value, flag, "mul") for value, flag in zip(joined, flags, strict=True)]]
    if name not in MULTIPLY and name not in ADD and name not in EXTREMA:
        full = [[nonzero(axis) for axis in operand] for operand in full]
        if name not in ORDER:
            full = [[terms.zero(axis) for axis in operand] for operand in full]
    how = MULTIPLY.get(name, "add")
    joined = [_joined(terms, column, how) for column in zip(*full, strict=True)]
    if name in ORDER:
        joined = [terms.unsigned(axis) for axis in joined]
        if name not in EXTREMA:
            joined = [terms.scale(axis, 0) for axis in joined]
    return [joined]


def broadcast_in_dim(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """New axes are constant."""
    value, places = step.ins[0], step.params["broadcast_dimensions"]
    zero = value.constant is not None and not np.any(value.constant)
    out: Axis = [Free(size, zero) for size in step.outs[0].shape]
    for axis, place in zip(axes[0], places, strict=True):
        out[place] = _widened(terms, axis, step.outs[0].shape[place], zero)
    return [out]


def _tiled(terms: Any, axis: Term, count: int) -> Term:
    return _widened(terms, axis, count, False) if axis.size == 1 else product([Free(count), axis])


def squeeze(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    gone = step.params["dimensions"]
    for i in gone:
        terms.fix(axes[0][i], "its one entry is taken")
    return [[axis for i, axis in enumerate(axes[0]) if i not in gone]]


def expand_dims(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    out, own = [], iter(axes[0])
    for i, size in enumerate(step.outs[0].shape):
        out.append(Free(size) if i in step.params["dimensions"] else next(own))
    return [out]


def reshape(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """Inner and outer axes correspond in segments of equal size; each is flattened and divided anew."""
    if step.params.get("dimensions") is not None:
        return unknown(terms, step, axes)
    own, sizes, out = list(axes[0]), list(step.outs[0].shape), []
    while own or sizes:
        taken, wanted = [own.pop(0)] if own else [], [sizes.pop(0)] if sizes else []
        while math.prod(a.size for a in taken) != math.prod(wanted):
            if math.prod(a.size for a in taken) < math.prod(wanted):
                taken.append(own.pop(0))
            else:
                wanted.append(sizes.pop(0))
        if [axis.size for axis in taken] != wanted:
            for axis in (a for a in taken if a.size == 1):
                terms.fix(axis, "its one entry is taken")
            taken = _divided(terms, taken, wanted)
        out += taken
    return [out]


def _divided(terms: Any, taken: list[Term], wanted: list[int]) -> list[Term]:
    rest, out = product(taken) if taken else None, []
    for i, size in enumerate(wanted):
        if rest is None or size == math.prod(wanted[i:]):
            out.append(rest if rest is not None and rest.size == size else Pinned(size, Why("it has one entry")))
            rest = None if rest is None or rest.size == size else rest
            continue
        pair = terms.divide(rest, size)
        if pair is None:
            why = terms.fix(rest, "a reshape cuts across its parts").why
            return out + [Pinned(n, why) for n in wanted[i:]]
        out.append(pair[0])
        rest = pair[1]
    return out


def dot_general(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    (left, right), (left_batch, right_batch) = step.params["dimension_numbers"]
    for a, b in zip(left, right, strict=True):
        terms.contract(axes[0][a], axes[1][b], step)
    batch = [terms.join(axes[0][a], axes[1][b], "mul") for a, b in zip(left_batch, right_batch, strict=True)]
    free = lambda operand, used: [axis for i, axis in enumerate(operand) if i not in used]
    return [batch + free(axes[0], (*left, *left_batch)) + free(axes[1], (*right, *right_batch))]


def convolution(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """Channels as a dense layer's; windows and positions are fixed. Grouped channels are products (group, inside)."""
    numbers, groups = step.params["dimension_numbers"], step.params["feature_group_count"]
    if step.params["batch_group_count"] != 1:
        return unknown(terms, step, axes)
    (batch, channels, *places), (outs, ins, *window) = numbers.lhs_spec, numbers.rhs_spec
    for axis in (*(axes[0][i] for i in places), *(axes[1][i] for i in window)):
        terms.fix(axis, "a window slides along it")
    why = terms.why("a window slides along it")
    channel, made, inside = axes[0][channels], axes[1][outs], axes[1][ins]
    if groups > 1:
        pair, other = terms.divide(channel, groups), terms.divide(made, groups)
        if pair is None or other is None:
            return unknown(terms, step, axes)
        channel, made = pair[1], product([terms.join(pair[0], other[0], "mul"), other[1]])
    terms.contract(channel, inside, step)
    out = [Pinned(size, why) for size in step.outs[0].shape]
    named: Axis = list(out)
    named[numbers.out_spec[0]], named[numbers.out_spec[1]] = axes[0][batch], made
    return [named]


def reduction(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """Sums and extrema are the same in any order of what they reduce; arguments of extrema are not."""
    gone, out = step.params["axes"], []
    for i, axis in enumerate(axes[0]):
        if i in gone:
            if step.name in ("argmax", "argmin"):
                terms.fix(axis, "its order matters")
            terms.zero(axis)
        else:
            out.append(_after(terms, step, axis))
    return [out]


def _after(terms: Any, step: Step, axis: Term) -> Term:
    """An axis that a step keeps: linear ones keep gains, extrema positive ones, others none."""
    if step.name in LINEAR:
        return axis
    if any(word in step.name for word in ("max", "min", "sort", "top_k")):
        axis = terms.unsigned(axis)
        return terms.scale(axis, 0) if step.name.startswith("arg") else axis
    return terms.scale(terms.zero(nonzero(axis)), 0)


def generic_reduce(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    return reduction(terms, step, axes) if "axes" in step.params and len(axes) == 1 else unknown(terms, step, axes)


def window_reduction(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """A pooling: fixed along its window."""
    params = step.params
    if len(axes) != 1 or "window_dimensions" not in params:
        return unknown(terms, step, axes)
    out = []
    for i, axis in enumerate(axes[0]):
        stride, padding = params["window_strides"][i], params.get("padding", ((0, 0),) * (i + 1))[i]
        if params["window_dimensions"][i] == 1 and stride == 1 and tuple(padding) == (0, 0):
            out.append(_after(terms, step, axis))
        else:
            out.append(Pinned(step.outs[0].shape[i], terms.fix(axis, "a window slides along it").why))
    return [out]


def along(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """Cumulative sums, sorts, reversals: the axis along which they run is fixed."""
    params = step.params
    run = params.get("axis", params.get("dimension", params.get("dimensions", -1)))
    run = tuple(range(len(axes[0])))[run] if isinstance(run, int) else tuple(run)
    run = (run,) if isinstance(run, int) else run
    joined = [_joined(terms, column, "add") for column in zip(*axes, strict=True)] if len(axes) > 1 else axes[0]
    out = []
    for i, axis in enumerate(joined):
        if i in run:
            why = terms.fix(axis, "its order matters").why
            out.append(Pinned(step.outs[0].shape[i], why))
        else:
            out.append(_after(terms, step, axis))
    if step.name == "top_k":  # the second result holds indices
        return [out, [terms.scale(nonzero(axis), 0) for axis in out]]
    return [list(out) for _ in step.outs]


def concatenate(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """A sum of terms; `stack` makes a fixed axis."""
    at = step.params.get("dimension")
    columns = list(zip(*axes, strict=True))
    out = [concatenation(c) if i == at else _joined(terms, c, "add") for i, c in enumerate(columns)]
    if at is None:
        out.insert(step.params["axis"], Pinned(len(axes), terms.why("values are stacked along it")))
    return [out]


def _range(terms: Any, axis: Term, start: int, stop: int) -> Term:
    axis = resolve(axis)
    if start == stop:
        return Pinned(0, terms.why("is empty"))
    tail = terms.cut(axis, start)[1] if start else axis
    return terms.cut(tail, stop - start)[0] if stop - start < resolve(tail).size else tail


def slice_(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """A part of a concatenation; with a stride that divides the axis, one place of an inner factor."""
    params, out = step.params, []
    strides = params["strides"] or (1,) * len(axes[0])
    for axis, start, stop, stride in zip(
        axes[0], params["start_indices"], params["limit_indices"], strides, strict=True
    ):
        start, stop, stride = int(start), int(stop), int(stride)
        count = -(-(stop - start) // stride)
        if stride == 1:
            out.append(_range(terms, axis, start, stop))
        elif axis.size % stride == 0 and count == axis.size // stride and (pair := terms.divide(axis, count)):
            terms.fix(pair[1], "every so many entries are taken of it")
            out.append(pair[0])
        else:
            out.append(Pinned(count, terms.fix(axis, "every so many entries are taken of it").why))
    return [out]


def split(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    at, ends = step.params["axis"], np.cumsum([0, *step.params["sizes"]]).tolist()
    cut = lambda i: _range(terms, axes[0][at], ends[i], ends[i + 1])
    return [[cut(i) if a == at else axis for a, axis in enumerate(axes[0])] for i in range(len(step.outs))]


def pad(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """A concatenation with a value that is constant along all other axes, too."""
    value, sizes, out = step.ins[1].constant, step.outs[0].shape, []
    config = [tuple(map(int, amounts)) for amounts in step.params["padding_config"]]
    zero = value is not None and not np.any(value)
    for i, (axis, (low, high, inner), size) in enumerate(zip(axes[0], config, sizes, strict=True)):
        if any(max(amounts) > 0 for amounts in config[:i] + config[i + 1 :]):
            axis = terms.join(axis, Free(axis.size, zero), "add")
        if inner or low < 0 or high < 0:
            out.append(Pinned(size, terms.fix(axis, "it is padded inside, or cut").why))
        else:
            out.append(concatenation([Free(low, zero), axis, Free(high, zero)]) if low or high else axis)
    return [out]


def gather(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """Axes of which all is taken stay; those that are indexed are fixed."""
    numbers, sizes = step.params["dimension_numbers"], step.params["slice_sizes"]
    operand, indices = axes[0], axes[1][:-1]
    shared = dict(zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True))
    kept: Axis = []
    for i, axis in enumerate(operand):
        if i in shared:
            indices[shared[i]] = terms.join(axis, indices[shared[i]], "mul")
        elif sizes[i] == axis.size and i not in numbers.start_index_map:
            kept.append(terms.zero(nonzero(axis)) if step.params.get("fill_value") else axis)
        else:
            why = terms.fix(axis, "it is indexed").why
            kept += [] if i in numbers.collapsed_slice_dims else [Pinned(sizes[i], why)]
    rest = iter(terms.zero(nonzero(axis)) for axis in indices)
    offsets = iter(kept)
    return [[next(offsets) if i in numbers.offset_dims else next(rest) for i in range(len(step.outs[0].shape))]]


def dynamic_slice(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    out, starts = [], [value.constant for value in step.ins[1:]]
    for axis, size, start in zip(axes[0], step.params["slice_sizes"], starts, strict=True):
        if size == axis.size:
            out.append(axis)
        elif start is not None:
            begin = int(np.clip(start, 0, axis.size - size))
            out.append(_range(terms, axis, begin, begin + size))
        else:
            out.append(Pinned(size, terms.fix(axis, "it is indexed").why))
    return [out]


def dynamic_update_slice(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    out = []
    for axis, part in zip(axes[0], axes[1], strict=True):
        if axis.size == part.size:
            out.append(terms.join(axis, part, "add"))
        else:
            terms.fix(part, "it is indexed")
            out.append(terms.fix(axis, "it is indexed"))
    return [out]


def scatter(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """As `gather`: axes that updates hold as wholes stay. Sums of updates keep gains, all others none."""
    numbers, (operand, indices, updates) = step.params["dimension_numbers"], axes
    if numbers.operand_batching_dims:
        return unknown(terms, step, axes)
    window, out = iter(numbers.update_window_dims), []
    rest = [axis for i, axis in enumerate(updates) if i not in numbers.update_window_dims]
    for axis, other in zip(indices[:-1], rest, strict=True):
        terms.fix(axis, "it is indexed")
        terms.fix(other, "it is indexed")
    for i, axis in enumerate(operand):
        own = None if i in numbers.inserted_window_dims else updates[next(window)]
        if own is None or own.size != axis.size or i in numbers.scatter_dims_to_operand_dims:
            out.append(terms.fix(axis, "it is indexed"))
            if own is not None:
                terms.fix(own, "it is indexed")
        else:
            joined = terms.join(axis, own, "add")
            out.append(joined if step.name in ("scatter", "scatter-add") else terms.zero(joined))
    return [out]


def tie(terms: Any, step: Step, axes: list[Axis]) -> list[Axis]:
    """Two values, one of which stands for the other."""
    if not step.params.get("scalar"):
        for a, b in zip(*axes, strict=True):
            terms.join(a, b, "add")
    return []


SAME: Rule = lambda terms, step, axes: axes
SCANNED = "a scan runs along it"
RULES: dict[str, Rule] = {
    "transpose": lambda terms, step, axes: [[axes[0][axis] for axis in step.params["permutation"]]],
    "tile": lambda terms, step, axes: [
        [_tiled(terms, axis, n) for axis, n in zip(axes[0], step.params["reps"], strict=True)]
    ],
    "row": lambda terms, step, axes: [axes[0][1:]] if terms.fix(axes[0][0], SCANNED) else [],
    "rows": lambda terms, step, axes: [[Pinned(step.outs[0].shape[0], terms.why(SCANNED)), *axes[0]]],
    "fresh": lambda terms, step, axes: [
        terms.fresh((id(step), i), [terms.new(n) for n in out.shape]) for i, out in enumerate(step.outs)
    ],
    "broadcast_in_dim": broadcast_in_dim, "squeeze": squeeze,
    **dict.fromkeys(("real", "imag", "conj"), SAME),
    "complex": lambda terms, step, axes: [[terms.join(a, b, "add") for a, b in zip(*axes, strict=True)]],
    "expand_dims": expand_dims, "reshape": reshape, "dot_general": dot_general, "concatenate": concatenate,
    "conv_general_dilated": convolution, "argmax": reduction, "argmin": reduction, "stack": concatenate,
    "slice": slice_, "split": split, "pad": pad, "gather": gather, "dynamic_slice": dynamic_slice,
    "sort": along, "rev": along, "dynamic_update_slice": dynamic_update_slice, "tie": tie,
    **dict.fromkeys(("name", "sharding_constraint", "device_put", "pvary", "optimization_barrier"), SAME),
    "scatter": scatter, "scatter-add": scatter, "scatter-mul": scatter, "scatter-min": scatter, "scatter-max": scatter,
    "top_k": along, "cumsum": along, "cumprod": along, "cummax": along, "cummin": along, "cumlogsumexp": along,
}  # fmt: skip
PREFIXES: dict[str, Rule] = {"reduce_window": window_reduction, "reduce_": generic_reduce}
