"""ScaleGMN: signs and scales of neurons change nothing, forward and backward, zeros among the weights or not."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.scale_laws import along_the_weights, check_finite_slopes, check_wide_scales
from tests.models.specs import CONVOLUTION, IN, OUT, RECURRENT, dense_axes
from wsjax.models import Normaliser
from wsjax.models.scale_gmn import ScaleGMN, ScaleGMNConfig
from wsjax.models.testing import check_invariant, check_reader, random_weights
from wsjax.symmetry import Axes, Fixed, Group, Symmetry, mlp, siren, symmetry_of
from wsjax.symmetry.group import Action

KINDS = ("relu", "tanh", "linear", "gelu")
MIXED = symmetry_of(
    [dense_axes(a, b) for a, b in zip(("in", *(f"{name}*" for name in KINDS)), (*KINDS, "out"), strict=True)],
    {"in": IN, **{name: Group(3, name) for name in KINDS}, "out": OUT},
)
"""A group of every kind: scales, signs, both, neither."""

LOOP = symmetry_of(
    {"in": dense_axes("in", "h"), "step": Axes("h*", "h"), "gate": Axes("h*"), "out": dense_axes("h*", "out")},
    {"in": IN, "h": Group(3, "relu"), "out": Fixed(1, "output")},
)
"""Scales in a recurrent kernel, and an array that reads neurons without making any."""

Actions = tuple[Action, ...]
SIGNS: Actions = ("permute", "sign")
SCALES: Actions = ("permute", "rescale")
BOTH = {"direction": "bidirectional"}
CASES: dict[str, tuple[Symmetry, Actions, dict[str, Any]]] = {
    "signs": (siren((2, 4, 3, 2)), SIGNS, {}),
    "signs, both ways": (siren((2, 4, 3, 2)), SIGNS, BOTH),
    "signs, outputs alone": (siren((2, 3, 2)), SIGNS, {**BOTH, "readout": "outputs"}),
    "scales": (mlp((2, 4, 3, 2)), SCALES, {}),
    "scales, both ways": (mlp((2, 4, 3, 2)), SCALES, BOTH),
    "mixed": (MIXED, ("permute", "sign", "rescale"), BOTH),
    "one hidden layer": (mlp((2, 3, 2)), SCALES, BOTH),
    "convolution": (CONVOLUTION, SCALES, BOTH),
    "recurrent signs": (RECURRENT, SIGNS, BOTH),
    "recurrent scales": (LOOP, SCALES, BOTH),
}
WHOLE = {"signs, outputs alone", "one hidden layer"}
"""Those on which the whole kit is run; the others are held to their law alone."""


def reader_of(name: str, key) -> ScaleGMN:
    symmetry, _, settings = CASES[name]
    plain = Normaliser(*(tuple(jnp.float32(v) for _ in symmetry.axes) for v in (0.0, 1.5)))
    return ScaleGMN(symmetry, plain, 3, ScaleGMNConfig(**{"channels": 3, "layers": 2, "head": 4, **settings}), key=key)


@pytest.mark.parametrize("name", CASES)
def test_it_is_invariant_to_all_that_it_claims(name, getkey):
    symmetry, actions, _ = CASES[name]
    reader = reader_of(name, getkey())
    if name in WHOLE:
        check_reader(reader, symmetry, actions=actions, key=getkey())
    else:
        check_invariant(reader, symmetry, actions=actions, draws=1, key=getkey())


@pytest.mark.parametrize("name", ["scales, both ways", "mixed"])
def test_zeros_among_the_weights_and_large_scales_are_no_exception(name, getkey):
    check_wide_scales(reader_of(name, getkey()), CASES[name][0], getkey)


def test_gradients_are_finite_where_weights_are_zero(getkey):
    name = "one hidden layer"
    check_finite_slopes(reader_of(name, getkey()), CASES[name][0], getkey)


def mistaken(reader: ScaleGMN) -> ScaleGMN:
    return eqx.tree_at(lambda r: r.trunk, reader, along_the_weights(reader.trunk))


def test_weights_that_lead_forward_do_not_serve_backward(getkey):
    reader = mistaken(reader_of("scales, both ways", getkey()))
    with pytest.raises(AssertionError, match=r"'rescale' on group 'h1' changes output by"):
        check_invariant(reader, CASES["scales, both ways"][0], actions=SCALES, draws=1, key=getkey())
    for name in ("signs, both ways", "scales"):  # their own reciprocals, and nothing sent backward
        reader = mistaken(reader_of(name, getkey()))
        check_invariant(reader, CASES[name][0], actions=CASES[name][1], draws=1, key=getkey())


def test_backward_messages_tell_the_hidden_nodes_of_what_follows(getkey):
    """One round forward leaves the first hidden nodes ignorant of the last kernel, wherever its messages go."""
    for name, told in (("scales", False), ("scales, both ways", True)):
        reader, weights = reader_of(name, getkey()), random_weights(getkey(), CASES[name][0])
        other = (*weights[:2], weights[2]._replace(kernel=2 * weights[2].kernel))
        states = eqx.filter_jit(lambda reader, weights: reader.trunk(weights).nodes[1])
        assert (np.abs(states(reader, weights) - states(reader, other)).max() > 1e-4) == told


@pytest.mark.usefixtures("untyped")
def test_settings_that_cannot_be_are_refused(getkey):
    with pytest.raises(ValueError, match=r"unknown direction 'both'; the valid ones are: forward, bidirectional"):
        ScaleGMNConfig(direction="both")
    with pytest.raises(ValueError, match=r"channels is 1; it must be one whole number in \[2, inf\]"):
        ScaleGMNConfig(channels=1)
    few = {"signs": (siren((2, 4, 3, 2)), SIGNS, {"layers": 2, "readout": "outputs"})}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CASES, "signs", few["signs"])
        with pytest.raises(ValueError, match=r"layers is 2: the outputs .* nothing of the weights from 'in' to 'h1'"):
            reader_of("signs", getkey())
