"""Axes, groups and the closed Symmetry: what they hold, that they are static, and what they refuse.

And docs/describe.md: every description on the page is proved, and one step beside it is refused.
"""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import assert_identical, random_weights
from tests.symmetry.architectures import NORMED
from wsjax import augment
from wsjax.models.graph.graph import graph_of
from wsjax.models.layers.equivariant import layout
from wsjax.models.scale.trunk import wiring_of
from wsjax.symmetry import Axes, Fixed, Group, Sum, mlp, siren, symmetry_of
from wsjax.symmetry.axes import atoms, size
from wsjax.symmetry.group import actions_of

IN, OUT = Fixed(2, "input"), Fixed(1, "output")


def test_axes_are_leaves_that_compare_and_hash():
    axes = Axes(("pixel", Sum("in", "c*")), "h", bias=False)
    assert jax.tree.leaves({"kernel": axes}) == [axes]
    assert hash(axes) == hash(Axes(("pixel", Sum("in", "c*")), "h"))
    assert axes.names == ("pixel", "in", "c", "h")
    assert Axes("h") != Axes("h", bias=True)


def test_the_length_of_an_axis_multiplies_products_and_adds_sums():
    sizes = {"pixel": 4, "in": 2, "c": 3}
    assert size("c*", sizes) == 3
    assert size(Sum("in", "c*"), sizes) == 5
    assert size(("pixel", Sum("in", "c*")), sizes) == 20
    assert atoms(("pixel", Sum("in", "c*"))) == ("pixel", "in", "c*")


@pytest.mark.parametrize(
    ("activation", "actions"),
    [
        ("sine", ("permute", "sign", "phase")),
        ("tanh", ("permute", "sign")),
        ("relu", ("permute", "rescale")),
        ("leaky_relu", ("permute", "rescale")),
        ("linear", ("permute", "sign", "rescale")),
        ("gelu", ("permute",)),
    ],
)
def test_an_activation_allows_what_its_functional_equation_says(activation: str, actions: tuple[str, ...]):
    assert actions_of(activation) == actions
    assert Group(3, activation).actions == actions


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, r"size of a group is 0; it must be one integer in \[1, inf\)"),
        ({"size": 2, "activation": "sine", "w0": 0.0}, r"w0 of a group is 0.0; it must be one number in \(0, inf\)"),
        ({"size": 2, "w0_convention": "afine"}, "unknown w0 convention 'afine'.*Did you mean 'affine'"),
        ({"size": 2, "actions": ("flip",)}, "unknown action 'flip'; the valid ones are: permute, sign, phase, rescale"),
        (
            {"size": 2, "actions": ("sign",)},
            "'sign' does not preserve the function of 'relu' neurons; those allow: permute, rescale",
        ),
        ({"size": 2, "activation": "tanh", "actions": ("phase",)}, "'phase' does not preserve the function of 'tanh'"),
        ({"size": 2, "role": "inputs"}, "unknown role 'inputs' of a fixed axis.*Did you mean 'input'"),
    ],
)
def test_a_group_refuses_what_its_activation_does_not_allow_and_a_fixed_axis_other_roles(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        (Fixed if "role" in arguments else Group)(**arguments)


@pytest.mark.parametrize(
    ("axes", "dimensions", "message"),
    [
        ({"k": Axes("in", "h"), "o": Axes("h*", "out")}, {"in": IN, "h": Group(3)}, "axes out have no Group or Fixed"),
        *(
            (
                {"k": Axes("in", "h"), "o": Axes(("in", f"h{marks}"), "out")},
                {"in": IN, "h": Group(3), "out": OUT},
                rf"weights\['o'\] lies along 'h{re.escape(marks)}'; expected one mark at most: .*consumes 'h'",
            )
            for marks in ("*~", "**", "~*")
        ),
        ({"k": Axes("in", "out")}, {"in": IN, "out": OUT, "h": Group(3)}, "dimensions h name no axis of any array"),
        (
            {"k": Axes("in", "h"), "b": Axes("h*", bias=True), "o": Axes("h*", "out")},
            {"in": IN, "h": Group(3), "out": OUT},
            r"weights\['b'\] is a bias but consumes a group",
        ),
        (
            {"k": Axes("g", "h"), "b": Axes("g", "h", bias=True)},
            {"g": Group(3), "h": Group(3)},
            r"weights\['b'\] is a bias over g, h; a bias belongs to one group: leave bias=True out where",
        ),
        ({"o": Axes("h*", "out")}, {"h": Group(3), "out": OUT}, "no array produces group 'h'"),
        (
            {"k": Axes("in", "h~"), "o": Axes("h*", "out")},
            {"in": IN, "h": Group(3), "out": OUT},
            "no array produces group 'h'",
        ),
        (
            {"k": Axes("in", "h"), "o": Axes("h*", "out")},
            {"in": IN, "h": Group(3, "sine"), "out": OUT},
            "group 'h' allows 'phase' but no array is its bias",
        ),
        (
            {"k": Axes("in", "h"), "b": Axes(("in", "h"), bias=True), "o": Axes("h*", "out")},
            {"in": IN, "h": Group(3, "sine"), "out": OUT},
            "group 'h' allows 'phase' but no array is its bias",
        ),
    ],
)
def test_a_description_that_cannot_be_is_refused(axes: dict, dimensions: dict, message: str):
    with pytest.raises(ValueError, match=message):
        symmetry_of(axes, dimensions)


@pytest.mark.usefixtures("untyped")
def test_a_leaf_that_is_no_axes_and_a_dimension_that_is_none_are_named():
    with pytest.raises(TypeError, match=r"dimension 'in' is 2; expected a Group, or Fixed\(size\)"):
        symmetry_of({"k": Axes("in")}, {"in": 2})  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"an axis is None; expected a name, or a tuple or Sum of names: a Fixed's"):
        symmetry_of({"k": Axes(None, "in")}, {"in": IN})  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"weights\['k'\] is 'in'; expected Axes\(...\)"):
        symmetry_of({"k": "in"}, {"in": IN})


def test_ready_descriptions_check_their_widths():
    with pytest.raises(ValueError, match=r"w0 has 1 values; the network has 2 hidden layers: give one number or 2"):
        siren((2, 4, 4, 1), w0=[30.0])
    for ready in (siren, mlp):
        with pytest.raises(ValueError, match=r"number of widths is 2"):
            ready((2, 1))


def test_each_sine_layer_keeps_its_own_frequency():
    assert [g.w0 for g in siren((2, 4, 4, 1), w0=(20.0, 10.0)).groups.values()] == [20.0, 10.0]
    assert siren((2, 4, 4, 1)) == siren((2, 4, 4, 1), w0=(30.0, 30.0)) != siren((2, 4, 4, 1), convention="kernel")


def test_a_symmetry_is_static():
    spec = siren((2, 4, 1))
    assert jax.tree.leaves(spec) == []
    assert jax.tree.leaves(augment.permute(spec)) == []
    assert hash(spec) == hash(siren((2, 4, 1)))
    traces = []

    def count(s, x):
        traces.append(s)
        return s.sizes["h1"] * x

    compiled = jax.jit(count, static_argnums=0)
    assert float(compiled(spec, 1.0)) == float(compiled(siren((2, 4, 1)), 1.0)) == 4.0
    assert len(traces) == 1
    assert jax.jit(lambda s: s)(spec) == spec


def test_leaves_are_checked_and_come_back():
    spec = mlp((2, 4, 1))
    weights = random_weights(jax.random.key(0), spec)
    assert_identical(spec.unflatten(spec.leaves(weights)), weights)
    assert spec.shapes == [(2, 4), (4,), (4, 1), (1,)]
    assert spec.names == ["weights[0].kernel", "weights[0].bias", "weights[1].kernel", "weights[1].bias"]
    with pytest.raises(ValueError, match=r"weights\[1\].kernel has shape \(5, 1\); this Symmetry expects \(4, 1\)"):
        spec.leaves((weights[0], weights[1]._replace(kernel=np.zeros((5, 1)))))
    with pytest.raises(ValueError, match=r"unexpected weights\[2\].kernel, weights\[2\].bias"):
        spec.leaves((*weights, weights[1]))
    with pytest.raises(ValueError, match=r"one leading axis more"):
        spec.leaves(jax.tree.map(lambda x: jnp.stack([x, x]), weights))


def test_numbers_of_other_machines_are_taken_and_those_that_jax_lacks_are_named(untyped):
    spec = mlp((2, 4, 1))
    weights = random_weights(jax.random.key(0), spec)
    swapped = jax.tree.map(lambda w: w.astype(w.dtype.newbyteorder(">")), weights)
    assert_identical(spec.unflatten(spec.leaves(swapped)), weights)
    for leaf, dtype in (
        (weights[0].bias.astype(np.longdouble), np.dtype(np.longdouble)),
        (np.array(list("abcd")), "<U1"),
    ):
        with pytest.raises(TypeError, match=rf"weights\[0\].bias holds {dtype}; expected numbers that JAX has"):
            spec.leaves((weights[0]._replace(bias=leaf), weights[1]))


PAGE = (Path(__file__).parents[2] / "docs" / "describe.md").read_text(encoding="utf-8")
START, *BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
HEADINGS = [
    "Inferred",
    "dense network",
    "NNX",
    "MLP",
    "BatchNorm",
    "GroupNorm",
    "LayerNorm",
    "residual",
    "Flattened",
    "LoRA",
    "heads",
]
WRONG = {'conv("color", "c~")': 'conv("color", "c")', '"g~", "c~"': '"g", "c"', '("in", "h~")': '("in", "h")'}
"""Where signs or scales of what comes after a normalization are said to act before it too."""


@pytest.fixture(scope="module")
def names() -> dict:
    made: dict = {}
    exec(START, made)
    return made


@pytest.mark.parametrize("number", range(len(HEADINGS)), ids=HEADINGS)
def test_each_block_proves_its_description(number: int, names: dict):
    assert len(BLOCKS) == len(HEADINGS)
    assert HEADINGS[number] in PAGE.split("\n## ")[number + 1].partition("\n")[0]
    exec(BLOCKS[number], dict(names))
    for right, wrong in WRONG.items():
        if right in BLOCKS[number]:
            with pytest.raises(ValueError, match=r"'(rescale|sign)' on group '[cgh]' changes the function"):
                exec(BLOCKS[number].replace(right, wrong), dict(names))


def test_readers_of_signs_and_scales_refuse_what_follows_and_others_take_it():
    spec = NORMED
    with pytest.raises(
        ValueError, match=r"weights\[0\]\['kernel'\] follows group 'h' \('h~'\).*actions=\('permute',\)"
    ):
        layout(spec, 1, 1, signs=True)
    with pytest.raises(ValueError, match=r"expected none that follows for layers with gains"):
        wiring_of(graph_of(spec), spec)
    layout(spec, 1, 1)
