"""The test kit passes what is right and, above all, fails what is wrong, and names it."""

import contextlib
import doctest
import functools
import io
import itertools
import math
import re
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.models.helpers import check_refusals, drawn, metadata
from tests.models.specs import HEADS, WITHIN, lifted, ones
from tests.symmetry import linear
from wsjax.models import EquivariantLinear, make
from wsjax.models.layers.feature_layout import features
from wsjax.models.testing import (
    check_deterministic,
    check_equivariant,
    check_gradients,
    check_invariant,
    check_parts,
    check_reader,
    check_sensitive,
    commutant_dimension,
    random_weights,
    rank,
)
from wsjax.models.testing.precise import difference
from wsjax.models.testing.sensitivity import places_along
from wsjax.symmetry import Axes, Fixed, Group, Sum, Symmetry, act, mlp, siren, symmetry_of
from wsjax.symmetry.element import Element, Move
from wsjax.symmetry.group import Action

WIDTHS = (2, 4, 3, 2)
SPEC = siren(WIDTHS, w0=5.0)
DWS = {"channels": 2, "layers": 1, "head": 4}
KEY = jax.random.key(7)


class Through(eqx.Module):
    """A good reader of our own, small: it sends learned vectors through the network and reads what comes out."""

    initial: jax.Array
    mix: tuple[jax.Array, ...]
    head: eqx.nn.Linear

    def step(self, number, h, layer):
        return jnp.tanh(self.mix[number] @ (h @ layer.kernel + layer.bias[None, :]))

    def features(self, weights, *, key=None, dropout_rate=0.0):
        h = self.initial
        for i, layer in enumerate(weights):
            h = self.step(i, h, layer)
        return h.reshape(-1)

    def __call__(self, weights, *, key=None, dropout_rate=0.0):
        return self.head(self.features(weights))


def made(kind=Through):
    draw = lambda shape: np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)
    head = drawn(lambda key: eqx.nn.Linear(6, 2, key=key))
    mix = tuple(jax.device_put(draw((3, 3)) + np.eye(3, k=k, dtype=np.float32)) for k in range(3))
    return kind(jax.device_put(draw((3, 2))), mix, head)


@pytest.fixture(scope="module")
def good():
    return made()


@pytest.fixture(scope="module")
def dws():
    return drawn(lambda key: make("dws", metadata(WIDTHS), DWS, key=key))


def test_all_of_a_good_reader_is_proved_and_the_numbers_are_shown(good):
    table = check_reader(good, SPEC, key=KEY)
    checks = ["check", "invariant to permute", "sensitive to other moves", "deterministic"]
    checks += ["fraction of parameters that learn", "invariant features", "head after features"]
    assert [line[:40].strip() for line in table.splitlines()] == checks
    assert "float64" in table
    assert "failed" not in table


def one_order_for_all_heads(weights):
    """Invariant to heads in another order, and to neurons in another order that is the same in all heads."""
    return jnp.sort(weights["read"].mean(axis=1), axis=0)


def test_what_a_reader_is_not_invariant_to_is_named(good, dws):
    flat = lambda w: jnp.concatenate([x.reshape(-1) for x in jax.tree.leaves(w)])
    permute: tuple[Action, ...] = ("permute",)
    cases: list[tuple[Any, Symmetry, tuple[Action, ...], str]] = [
        (flat, SPEC, permute, r"'permute' on group 'h1' changes output by .*; expected at most 1e-10"),
        (lambda w: good(w) + w[1].bias[:1], SPEC, permute, r"'permute' on group 'h2' changes output"),
        (lambda w: good(w) + 1e-8 * w[0].bias[0], SPEC, permute, r"'permute' on group 'h1'"),  # float32 would hide it
        (lambda w: good(w) * jnp.nan, SPEC, permute, r"changes output by nan"),
        (dws, SPEC, ("permute", "sign"), r"'sign' on group 'h1' changes output"),
        (good, SPEC, ("phase",), r"'phase' on group 'h1' changes output"),
        (good, mlp(WIDTHS), ("rescale",), r"'rescale' on group 'h1' changes output"),
        (one_order_for_all_heads, HEADS, permute, r"'permute' on group 'key' changes output"),
        (lambda w: jnp.sum(w["down"] ** 2), linear.LORA, ("sign", "linear"), r"'linear' on group 'rank' changes"),
    ]
    for reader, symmetry, actions, message in cases:
        with pytest.raises(AssertionError, match=message):
            check_invariant(reader, symmetry, actions=actions, key=KEY)
    assert check_invariant(good, SPEC, actions=("permute", "sign"), key=KEY) < 1e-10  # tanh is odd
    both = lambda w: w["down"] @ w["up"]
    assert check_invariant(both, linear.LORA, actions=("permute", "sign", "rescale", "linear"), key=KEY) < 1e-10
    assert difference({"a": np.zeros(2)}, {"a": np.array([3.0, 3.0])}) == (1.0, "output['a']")  # of a root mean square


def test_a_reader_that_rounds_to_float32_is_allowed_what_that_loses(good):
    to_float32 = lambda tree: jax.tree.map(lambda x: x.astype(jnp.float32), tree)
    rounds_weights = Partial(lambda model, w: model(to_float32(w)), good)
    rounds_outputs = Partial(lambda model, w: model(w).astype(jnp.float32), good)
    for reader in (rounds_weights, rounds_outputs):
        assert check_invariant(reader, SPEC, actions=("sign",), key=KEY) < 1e-4
        with pytest.raises(AssertionError, match=r"at most 0\.0001, computed in float32"):
            check_invariant(reader, SPEC, actions=("phase",), key=KEY)


def test_actions_that_no_group_allows_are_refused(good, untyped):
    check = functools.partial(check_invariant, good, SPEC, key=KEY)
    check_refusals(
        (check, {"actions": ("rescale",)}, r"no group of .* allows 'rescale'; leave it out"),
        (check, {"actions": ("signs",)}, r"unknown action 'signs'.*mean 'sign'"),
        (check, {"draws": 0}, r"draws is 0"),
        (check, {"actions": ()}, r"actions is empty; expected one at least, of permute, sign"),
    )
    for call in (check, functools.partial(commutant_dimension, SPEC)):
        with pytest.raises(TypeError, match="actions is 'sign', one name"):
            call(actions="sign")  # pyright: ignore[reportArgumentType]


def test_weights_of_another_network_are_refused_before_the_reader_meets_them(good, untyped):
    first, second, third = random_weights(KEY, SPEC)
    other = (first, second._replace(kernel=np.ones((4, 5))), third)
    for check in (check_invariant, check_sensitive, check_gradients, check_deterministic, check_parts, check_reader):
        with pytest.raises(ValueError, match=r"weights\[1\]\.kernel has shape \(4, 5\)"):
            check(good, SPEC, other, key=KEY)


def edit(weights):
    """An equivariant editor: each kernel gets the product of its neurons' biases, biases sums of weights."""
    first, second, third = weights
    second = second._replace(kernel=second.kernel + first.bias[:, None] * second.bias[None, :])
    return first._replace(bias=first.bias + first.kernel.sum(axis=0)), second, third


def test_editors_move_along_with_their_input():
    assert check_equivariant(edit, SPEC, actions=("permute", "sign"), key=KEY) < 1e-10
    with pytest.raises(AssertionError, match=r"'phase' on group 'h1' moves output\[1\]\.kernel away"):
        check_equivariant(edit, SPEC, actions=("phase",), key=KEY)

    def uneven(weights):
        first, second, third = edit(weights)
        return first, second._replace(bias=second.bias + jnp.arange(3.0)), third

    with pytest.raises(AssertionError, match=r"'permute' on group 'h2' moves output\[1\]\.bias away .* at most 1e-10"):
        check_equivariant(uneven, SPEC, key=KEY)


def move_features(element: Element, xs):
    moved = []
    for x, feature in zip(xs, features(SPEC), strict=True):
        for axis, group in enumerate(feature.groups):
            order = element.moves[group].permutation
            x = x if order is None else np.take(np.asarray(x), np.asarray(order), axis=axis)
        moved.append(x)
    return moved


def test_features_move_as_the_caller_says():
    layer = drawn(lambda key: EquivariantLinear(SPEC, 1, 2, key=key))
    lift_and_map = Partial(lambda layer, w: layer(lifted(SPEC, w)), layer)
    assert check_equivariant(lift_and_map, SPEC, act_on_output=move_features, key=KEY) < 1e-10
    with pytest.raises(AssertionError, match=r"'permute' on group 'h1' moves output\[\d\] away"):
        check_equivariant(lift_and_map, SPEC, act_on_output=lambda g, xs: xs, key=KEY)


class InvariantToOutputs(Through):
    def features(self, weights, *, key=None, dropout_rate=0.0):
        h = super().features(weights).reshape(3, -1)
        return jnp.broadcast_to(h.mean(axis=1, keepdims=True), h.shape).reshape(-1)


class InvariantToInputs(Through):
    def features(self, weights, *, key=None, dropout_rate=0.0):
        first, *others = weights
        kernel = jnp.broadcast_to(first.kernel.mean(axis=0, keepdims=True), first.kernel.shape)
        return super().features((first._replace(kernel=kernel), *others))


class DropsGroup(Through):
    def step(self, number, h, layer):
        h = super().step(number, h, layer)
        return jnp.broadcast_to(h.mean(axis=1, keepdims=True), h.shape) if number == 1 else h


def sorts(weights):
    """Each array on its own: invariant to every coupling."""
    return jnp.stack([jnp.sort(x.reshape(-1)) @ jnp.arange(1.0, x.size + 1) for x in jax.tree.leaves(weights)])


SORTED = ["axis 'h1' of weights[0].kernel", "axis 'h1' of weights[0].bias", "axis 'h1*' of weights[1].kernel"]
SORTED += ["axis 'h2' of weights[1].kernel", "axis 'h2' of weights[1].bias", "axis 'h2*' of weights[2].kernel"]
SORTED += ["the input axis 'in'", "the output axis 'out'"]


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (InvariantToOutputs, ["the output axis 'out'"]),
        (InvariantToInputs, ["the input axis 'in'"]),
        (DropsGroup, ["axis 'h2*' of weights[2].kernel"]),
        (None, SORTED),
    ],
)
def test_an_invariant_reader_that_is_invariant_to_another_axis_too_fails(kind, named):
    reader = made(kind) if kind else sorts
    assert check_invariant(reader, SPEC, key=KEY) < 1e-10
    with pytest.raises(AssertionError) as failure:
        check_sensitive(reader, SPEC, key=KEY)
    named_there = str(failure.value).split(": its output")[0].removeprefix("the reader is invariant to ").split("; ")
    assert [b.split(" (change")[0] for b in named_there] == named


def test_a_network_with_equal_entries_proves_nothing_about_sensitivity(good, untyped):
    zero_biases = jax.tree.map(lambda w: np.asarray(w) * (w.ndim - 1), random_weights(KEY, SPEC))
    with pytest.raises(ValueError, match=r"along axis 'h1' of weights\[0\]\.bias are all equal.*pass trained weights"):
        check_sensitive(good, SPEC, zero_biases, key=KEY)


def test_a_name_inside_a_product_or_a_concatenation_is_moved_alone():
    swap = np.array([1, 0])
    assert places_along(("p", "h*"), "h*", swap, {"p": 3, "h": 2}).tolist() == [1, 0, 3, 2, 5, 4]
    assert places_along(("h*", "p"), "h*", swap, {"p": 3, "h": 2}).tolist() == [3, 4, 5, 0, 1, 2]
    assert places_along(Sum("p", "h*"), "h*", swap, {"p": 3, "h": 2}).tolist() == [0, 1, 2, 4, 3]
    every = lambda w: jnp.concatenate([x.reshape(-1) for x in jax.tree.leaves(w)])
    assert check_sensitive(every, MIXED, key=KEY) > 0.1
    with pytest.raises(AssertionError, match=r"axis 'h\*' of weights\['b'\] .*; axis 'g' of weights\['b'\] "):
        check_sensitive(lambda w: w["a"].sum(), PATCHES, key=KEY)


class Shifted(Through):
    shift: jax.Array = eqx.field(default_factory=lambda: jax.device_put(np.ones(3, np.float32)))


class Cancels(Shifted):
    def __call__(self, weights, *, key=None, dropout_rate=0.0):
        return jax.nn.softmax(super().__call__(weights) + self.shift[:1])


class HalfUsed(Through):
    def __call__(self, weights, *, key=None, dropout_rate=0.0):
        return self.head(self.features(weights).at[1:3].set(0.0))


def test_a_parameter_that_cannot_learn_is_named(good):
    for kind, message in (
        (Shifted, r"no gradient reaches reader\.shift \(0 of its 3 entries"),
        (HalfUsed, r"no gradient reaches reader\.head\.weight \(8 of its 12 entries get one\): expected 100%"),
        (Cancels, r"no gradient reaches reader\.shift \(0 of its 3 entries"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_gradients(made(kind), SPEC, key=KEY)
    assert check_gradients(made(HalfUsed), SPEC, fraction=0.5, key=KEY) == pytest.approx(8 / 12)
    rooted = Partial(lambda model, w: jnp.sqrt(0 * model(w)), good)
    with pytest.raises(AssertionError, match=r"the gradient of reader.*\.initial.* is not finite"):
        check_gradients(rooted, SPEC, key=KEY)
    with pytest.raises(ValueError, match=r"no parameters that train"):
        check_gradients(lambda w: w[0].bias, SPEC, key=KEY)


class StaysOn(Through):
    def __call__(self, weights, *, key=None, dropout_rate=0.0):
        key = jax.random.key(0) if key is None else key
        return self.head(self.features(weights) * jax.random.bernoulli(key, 0.5, (6,)))


class NeedsNoKey(Through):
    def __call__(self, weights, *, key=None, dropout_rate=0.0):
        kept = jax.random.bernoulli(jax.random.key(0), 1 - jnp.asarray(dropout_rate), (6,))
        return self.head(self.features(weights) * kept)


class Counts(Through):
    calls = itertools.count()

    def __call__(self, weights, *, key=None, dropout_rate=0.0):
        return self.head(self.features(weights)) + float(next(Counts.calls))


class Branches(Through):
    """Asks what the rate is, and draws above 0 alone."""

    def __call__(self, weights, *, key=None, dropout_rate=0.0):
        noise = 0 if key is None or dropout_rate == 0 else jax.random.normal(key, (6,))
        return self.head(self.features(weights) + noise)


def test_randomness_at_evaluation_fails_and_a_reader_may_draw_above_rate_0():
    always, rate_05 = made(NeedsNoKey), r"rate 0\.5 without a key changes output"
    for reader, message in (
        (made(StaysOn), r"two keys at rate 0 differ in output by .* the same bits"),
        (always, rate_05),
        (lambda weights, **settings: always(weights, **settings), rate_05),
        (made(Counts), r"two calls without a key differ in output"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_deterministic(reader, SPEC, key=KEY)
    assert check_deterministic(made(Branches), SPEC, key=KEY) < 1e-10
    closes_over = lambda weights, *, key=None, dropout_rate=0.0: weights[0].bias + jax.random.normal(KEY, (4,))
    assert check_deterministic(closes_over, SPEC, key=KEY) == 0


def test_a_field_called_features_is_no_part(good):
    class Named(eqx.Module):
        inside: Through
        features: tuple[str, ...] = eqx.field(static=True, default=("a",))

        def __call__(self, weights):
            return self.inside(weights)

    assert "features" not in check_reader(Named(good), SPEC, key=KEY)


def test_parts_that_are_not_the_reader_fail(good):
    assert check_parts(good, SPEC, key=KEY) < 1e-10
    with pytest.raises(AssertionError, match=r"differs from the reader in output by"):
        check_parts(made(HalfUsed), SPEC, key=KEY)
    with pytest.raises(AssertionError, match=r"has no features and no head"):
        check_parts(lambda w: w[0].bias, SPEC, key=KEY)


def test_every_failure_of_a_reader_stands_in_one_report():
    with pytest.raises(AssertionError) as failure:
        check_reader(made(Cancels), mlp(WIDTHS), actions=("permute", "rescale"), key=KEY)
    text = str(failure.value)
    assert re.search(r"sensitive to other moves +\d", text)
    for line in ("invariant to permute, rescale: 'rescale' on group 'h1'", "that learn: no gradient", "head after"):
        assert line in text


MIXED = symmetry_of(
    {"a": Axes("in", "h"), "b": Axes(Sum("in", "h*"), "out"), "c": Axes("h*", "h"), "d": Axes("h", bias=True)},
    {"in": Fixed(1, "input"), "h": Group(2, "linear"), "out": Fixed(2, "output")},
)
PATCHES = symmetry_of(
    {"a": Axes("in", "h"), "b": Axes(("pixel", "h*"), "g"), "c": Axes("g*", "out")},
    {
        "in": Fixed(1, "input"),
        "pixel": Fixed(2),
        "h": Group(3, "tanh", actions=("sign",)),
        "g": Group(2, "tanh"),
        "out": Fixed(1, "output"),
    },
)

FOLLOWED = symmetry_of(
    {"a": Axes("in", "h~"), "b": Axes("h~"), "c": Axes("h"), "d": Axes("h*", "out")},
    {"in": Fixed(1, "input"), "h": Group(2, "tanh"), "out": Fixed(1, "output")},
)
"""Its first kernel and a statistic follow the group, and take none of its signs."""


def test_a_dimension_depends_on_no_width_from_some_size_on_and_phases_are_no_linear_action():
    """test_equivariant.py holds dimensions to the papers' counts."""
    assert commutant_dimension(siren((2, 4, 4, 1))) == commutant_dimension(siren((2, 32, 32, 1))) == 75
    with pytest.raises(ValueError, match=r"unknown action for a linear map 'phase'"):
        commutant_dimension(SPEC, actions=("phase",))


def generators(symmetry: Symmetry, actions):
    """Elements that generate the group, scales up to closure: a cycle and a swap, a sign and a scale of each neuron.

    Every part that a group allows is there, if it does nothing, so that one program moves them all. Of a group within
    others they are those of each index.
    """
    groups = symmetry.groups.items()
    gains = lambda group: group.allows("sign") or group.allows("rescale")
    whole = lambda name, x: np.broadcast_to(x, (*symmetry.lead(name), len(x))).copy()
    still = {n: Move(whole(n, np.arange(g.size)), whole(n, np.ones(g.size)) if gains(g) else None) for n, g in groups}

    def one(name, part, index, row):
        changed = np.copy(getattr(still[name], part))
        changed[index] = row
        return Element(symmetry, {**still, name: still[name]._replace(**{part: changed})})

    for name, group in groups:
        order = np.arange(group.size)
        for index in np.ndindex(*symmetry.lead(name)):
            if "permute" in actions and group.allows("permute"):
                yield one(name, "permutation", index, np.roll(order, 1))
                yield one(name, "permutation", index, np.array([*order[:2][::-1], *order[2:]]))
            for action, gain in (("sign", -1.0), ("rescale", 2.0)):
                if action in actions and action in (group.actions or ()):
                    yield from (one(name, "gain", index, np.where(order == i, gain, 1.0)) for i in order)


@pytest.mark.parametrize(
    ("symmetry", "actions"),
    [
        (mlp((1, 2, 2, 2)), ("permute",)),
        (mlp((1, 2, 2, 2)), ("permute", "rescale")),
        (siren((1, 3, 1, 1)), ("permute", "sign")),
        (siren((2, 1, 2, 1)), ("permute",)),
        (siren((2, 3, 1)), ("sign",)),
        (MIXED, ("permute",)),
        (MIXED, ("permute", "sign", "rescale")),
        (PATCHES, ("permute",)),
        (PATCHES, ("permute", "sign")),
        (FOLLOWED, ("permute", "sign")),
        *((symmetry, actions) for symmetry in WITHIN.values() for actions in (("permute",), ("permute", "sign"))),
        (HEADS, ("sign",)),
    ],
)
def test_a_dimension_is_that_of_all_matrices_which_commute_with_the_generators(symmetry, actions):
    """M R(g) = R(g) M is linear in M, so its solutions are counted by a null space."""
    sizes = [math.prod(shape) for shape in symmetry.shapes]
    flat = lambda weights: np.concatenate([np.asarray(x).reshape(-1) for x in jax.tree.leaves(weights)])
    whole = lambda row: symmetry.unflatten(
        [x.reshape(s) for x, s in zip(np.split(row, np.cumsum(sizes)[:-1]), symmetry.shapes, strict=True)]
    )
    ones, count = whole(np.ones(sum(sizes))), whole(np.arange(sum(sizes), dtype=float))
    identity, squares = np.eye(sum(sizes)), 0.0
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        move = jax.jit(lambda element: (act(element, ones), act(element, count)))
        for element in generators(symmetry, actions):
            factors, counted = map(flat, move(element))
            matrix = factors[:, None] * identity[(counted / factors).astype(int)]
            equations = np.kron(matrix, identity) - np.kron(identity, matrix.T)
            squares = squares + equations.T @ equations
    assert commutant_dimension(symmetry, actions=actions) == int((np.linalg.eigvalsh(squares) < 1e-8).sum())


def test_a_layer_that_lost_maps_spans_less():
    """A kernel that is constant along the output axis, as in earlier code, still commutes with every permutation."""
    symmetry = siren((2, 4, 3, 2))
    layer = drawn(lambda key: EquivariantLinear(symmetry, 1, 1, key=key))

    def constant_along_outputs(layer, xs):
        *others, kernel, bias = layer(xs)
        return [*others, jnp.broadcast_to(kernel.mean(axis=1, keepdims=True), kernel.shape), bias]

    assert rank(layer, ones(symmetry), key=KEY) == commutant_dimension(symmetry)
    found = rank(Partial(constant_along_outputs, layer), ones(symmetry), key=KEY)
    assert found == commutant_dimension(symmetry) - 13  # for one of two outputs, all 13 maps that reach one


def test_rank_counts_the_span_and_not_the_parameters_of_a_linear_layer(good):
    layers = lambda *sizes: tuple(drawn(lambda key, a=a, b=b: eqx.nn.Linear(a, b, key=key)) for a, b in sizes)
    twice = Partial(lambda both, x: both[0](both[1](x)), layers((2, 5), (5, 2)))
    assert rank(twice, np.zeros(5), key=KEY) == 25  # products of 5x2 and 2x5 span all matrices
    pair = Partial(lambda both, x: both[0](x) + both[1](x), layers((5, 5), (5, 5)))
    assert rank(pair, np.zeros(5), key=KEY) == 25
    with pytest.raises(ValueError, match=r"not affine in its input"):
        rank(good, random_weights(KEY, SPEC), key=KEY)
    with pytest.raises(ValueError, match=r"no parameters that train"):
        rank(lambda x: x, np.zeros(3), key=KEY)


def test_the_page_shows_what_its_code_prints():
    page = (Path(__file__).parents[2] / "docs" / "testing_readers.md").read_text(encoding="utf-8")
    names, printed = {"__name__": "page"}, ""
    for kind, text in re.findall(r"```(python|text)\n(.*?)```", page, flags=re.DOTALL):
        if kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(text, names)
            printed = out.getvalue()
        else:
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            assert doctest.OutputChecker().check_output(text, printed, flags), printed
