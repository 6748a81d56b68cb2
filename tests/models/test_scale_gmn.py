"""ScaleGMN: signs and scales of neurons change nothing, forward and backward, zeros among the weights or not."""

import functools
from typing import Any

import equinox as eqx
import jax
import pytest

from tests.models.helpers import check_laws, toy
from tests.models.readers import used
from tests.models.scale_laws import along_the_weights, check_uncoupled_phases, check_weight_gradients, check_wide_scales
from tests.models.specs import CONVOLUTION, IN, OUT, RECURRENT, dense_axes, random_weights
from wsjax.models.readers.scale_gmn import ScaleGMN
from wsjax.models.testing import check_invariant, check_sensitive
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, mlp, siren, symmetry_of
from wsjax.symmetry.group import Action

pytestmark = pytest.mark.usefixtures("untyped")

KINDS = ("tanh", "linear", "relu", "gelu")
MIXED = symmetry_of(
    [dense_axes(a, b) for a, b in zip(("in", *(f"{name}*" for name in KINDS)), (*KINDS, "out"), strict=True)],
    {"in": IN, **{name: Group(3, name) for name in KINDS}, "out": OUT},
)
"""A group of every kind, signs, both, scales, neither: kernels from signs to signs, and from scales to scales."""

LOOP = symmetry_of(
    {"in": dense_axes("in", "h"), "step": Axes("h*", "h"), "gate": Axes("h*"), "out": dense_axes("h*", "out")},
    {"in": IN, "h": Group(3, "relu"), "out": Fixed(1, "output")},
)
"""Scales in a recurrent kernel, and an array that consumes neurons and produces none."""

GATED = symmetry_of(
    {"in": dense_axes("in", "h"), "gate": Axes("h*"), "out": dense_axes("h*", "out")},
    {"in": IN, "h": Group(3, "sine", 5.0), "out": Fixed(1, "output")},
)
"""Phases, and an array that consumes neurons and produces none."""

Actions = tuple[Action, ...]
SIGNS: Actions = ("permute", "sign")
SCALES: Actions = ("permute", "rescale")
PHASES: Actions = ("permute", "sign", "phase")
BOTH = {"direction": "bidirectional"}
CASES: dict[str, tuple[Symmetry, Actions, dict[str, Any]]] = {
    "phases": (siren((2, 4, 3, 2)), PHASES, {}),
    "phases, outputs alone": (siren((2, 3, 2), 5.0, "kernel"), PHASES, {**BOTH, "readout": "outputs", "layers": 3}),
    "phases, gated": (GATED, PHASES, BOTH),
    "scales": (mlp((2, 3, 2)), SCALES, {}),
    "mixed": (MIXED, ("permute", "sign", "rescale"), BOTH),
    "one hidden layer": (mlp((2, 3, 2)), SCALES, BOTH),
    "convolution": (CONVOLUTION, SCALES, BOTH),
    "recurrent signs": (RECURRENT, SIGNS, BOTH),
    "recurrent scales": (LOOP, SCALES, BOTH),
}
KEY = jax.random.key(8)


@functools.cache
def reader_of(name: str) -> ScaleGMN:
    symmetry, _, settings = CASES[name]
    return toy(ScaleGMN, scale=1.5, seed=1, channels=3, layers=2, head=4)(symmetry, **settings)


@pytest.mark.parametrize("name", CASES)
def test_it_is_invariant_to_all_that_it_claims(name):
    symmetry, actions, _ = CASES[name]
    check_laws(reader_of(name), symmetry, actions, sensitive=False, parts=True, key=KEY)


@pytest.mark.parametrize(
    "name", ["phases, outputs alone", "one hidden layer"]
)  # the others are held to their law alone
def test_it_is_sensitive_to_all_else_and_learns_and_gradients_are_finite_where_weights_are_zero(name):
    symmetry, _, _ = CASES[name]
    assert check_sensitive(reader_of(name), symmetry, key=KEY) > 1e-8
    check_weight_gradients(reader_of(name), symmetry, 1.0)


@pytest.mark.parametrize("name", ["one hidden layer", "mixed"])
def test_zeros_among_the_weights_and_large_scales_are_no_exception(name):
    check_wide_scales(reader_of(name), CASES[name][0])


def mistaken(reader: ScaleGMN) -> ScaleGMN:
    return eqx.tree_at(lambda r: r.trunk, reader, along_the_weights(reader.trunk))


def test_half_of_a_shift_or_a_sign_is_no_symmetry():
    check_uncoupled_phases(reader_of("phases"), CASES["phases"][0])


def test_weights_that_lead_forward_do_not_serve_backward():
    symmetry, actions, _ = CASES["one hidden layer"]
    with pytest.raises(AssertionError, match=r"'rescale' on group 'h1' changes output by"):
        check_invariant(mistaken(reader_of("one hidden layer")), symmetry, actions=actions, key=KEY)
    for name in ("phases, outputs alone", "scales"):  # their own reciprocals, and nothing sent backward
        check_invariant(mistaken(reader_of(name)), CASES[name][0], actions=CASES[name][1], key=KEY)


def test_backward_messages_make_hidden_nodes_depend_on_later_kernels():
    """One round forward leaves the first hidden nodes independent of the last kernel."""
    for name, reached in (("scales", False), ("one hidden layer", True)):
        arrays, tree = jax.tree.flatten(random_weights(KEY, CASES[name][0]))
        hidden = lambda arrays, name=name, tree=tree: reader_of(name).trunk(jax.tree.unflatten(tree, arrays)).nodes[1]
        assert used(hidden, arrays)[0] == [True, True, reached, reached]


def test_a_bias_of_inputs_and_neurons_whose_phases_shift_is_refused():
    axes = {"in": Axes("in", "h"), "bias": Axes("in", "h", bias=True), "out": Axes("h*", "out")}
    symmetry = symmetry_of(axes, {"in": IN, "h": Group(3, "sine", 5.0), "out": OUT})
    with pytest.raises(ValueError, match="expected a bias of group 'h' alone"):
        ScaleGMN(symmetry, 3, channels=2, key=KEY)
