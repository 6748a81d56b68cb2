"""README shows the catalogue as it is: `tools/catalogue.py` was run after its last change."""

import re
import runpy
from pathlib import Path

import pytest

from wsjax.augment import CATALOGUE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOOL = ROOT / "tools" / "catalogue.py"


@pytest.mark.slow
def test_the_table_is_the_one_that_the_tool_makes():
    tool = runpy.run_path(str(TOOL))
    between = README.partition(tool["BEGIN"])[2].partition(tool["END"])[0]
    assert between.strip() == tool["table"](), "README's table is not that of the catalogue: run tools/catalogue.py"


def test_every_picture_exists_and_none_is_left_over():
    named = set(re.findall(r"docs/[\w/.-]+\.png", README))
    assert named >= {f"docs/catalogue/{name}.png" for name in CATALOGUE}
    assert named == {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.png")}
