"""docs/describe.md: every description on the page is proved, and one step beside it is refused."""

import re
from pathlib import Path

import pytest

from tests.symmetry.architectures import NORMED
from wsjax.models.graph.graph import graph_of
from wsjax.models.layers.equivariant import layout
from wsjax.models.scale.trunk import wiring_of

PAGE = (Path(__file__).parents[2] / "docs" / "describe.md").read_text(encoding="utf-8")
START, *BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
HEADINGS = ["dense network", "NNX", "MLP", "BatchNorm", "GroupNorm", "LayerNorm", "residual", "Flattened"]
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
