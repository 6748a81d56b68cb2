"""README shows the catalogue as it is: `tools/catalogue.py` was run after its last change."""

import re
import runpy
from pathlib import Path

import pytest

from wsjax.augment import CATALOGUE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOOL = ROOT / "tools" / "catalogue.py"
MADE = "README's table is not that of the catalogue: run tools/catalogue.py"


def rows() -> dict[str, list[str]]:
    """The cells of each line of the table, by the augmentation's name."""
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in README.splitlines() if "docs/catalogue/" in line]
    return {name.strip(" `"): [cell.strip().replace(r"\|", "|") for cell in rest] for name, *rest in cells}


def test_every_augmentation_stands_in_the_table():
    found = rows()
    assert list(found) == list(CATALOGUE), MADE
    for name, entry in CATALOGUE.items():
        effect, how, settings, _ = found[name]
        assert effect.startswith(entry.effect), MADE
        assert how == entry.how, MADE
        assert settings == ", ".join(f"{k}&nbsp;=&nbsp;{v}" for k, v in entry.settings.items()), MADE


@pytest.mark.slow
def test_the_table_is_the_one_that_the_tool_makes():
    tool = runpy.run_path(str(TOOL))
    between = README.partition(tool["BEGIN"])[2].partition(tool["END"])[0]
    assert between.strip() == tool["table"](), MADE


def test_every_picture_exists_and_none_is_left_over():
    named = set(re.findall(r"docs/[\w/.-]+\.png", README))
    assert named >= {f"docs/catalogue/{name}.png" for name in CATALOGUE}
    assert named == {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.png")}
