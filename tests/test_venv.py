"""`tools/venv.sh` says in one line what is missing, and makes nothing; `tools/release.sh` says which Pythons are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"

# A Python that is another one to whom it asks: this one, after a change to what it knows of itself.
FAKE = """#!/bin/sh
if [ "$1" = --version ]; then echo "Python {version}"; exit 0; fi
exec "{python}" -c 'import sys; {change}; exec(sys.argv[1])' "$2"
"""
KINDS = {
    "old": (
        "3.8.10",
        "sys.version_info = (3, 8, 10)",
        "is Python 3.8.10; wsjax needs Python 3.11 or newer: make PYTHON=",
    ),
    "without venv": ("3.12.1", 'sys.modules["venv"] = None', "lacks the venv module (Debian: apt install"),
}


def made_with(python: Path, venv: Path) -> str:
    """The one line that is said when it fails, as it must."""
    run = subprocess.run(
        ["sh", TOOLS / "venv.sh", venv],
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode != 0
    assert run.stdout == ""
    assert not venv.exists()
    (line,) = run.stderr.splitlines()
    assert line.startswith("error: ")
    assert f"'{python}'" in line
    return line


def test_no_python_is_one_line_with_the_way_out(tmp_path: Path):
    line = made_with(tmp_path / "python9", tmp_path / "venv")
    assert "wsjax needs Python 3.11 or newer" in line
    assert "apt install python3" in line
    assert "make PYTHON=" in line


@pytest.mark.parametrize("kind", KINDS)
def test_a_python_that_does_not_do_is_one_line_with_the_way_out(kind: str, tmp_path: Path):
    version, change, words = KINDS[kind]
    python = tmp_path / "python"
    python.write_text(FAKE.format(version=version, python=sys.executable, change=change))
    python.chmod(0o755)
    assert words in made_with(python, tmp_path / "venv")


def test_other_pythons_are_tested_where_they_are_and_named_where_not(tmp_path: Path):
    def told(make: str, *pythons: str) -> tuple[int, str]:
        command = ["sh", TOOLS / "release.sh", *pythons]
        run = subprocess.run(command, env={**os.environ, "MAKE": make}, capture_output=True, text=True, timeout=60)
        return run.returncode, run.stdout + run.stderr

    own, here = f"3.{sys.version_info.minor}", sys.executable
    code, words = told("true", here, "python3.99")
    assert code == 0
    assert "not here, so not tested: python3.99" in words
    assert f"the tests pass under: {own}" in words
    code, words = told("false", here)
    assert (code, f"error: the tests failed under: {own}" in words) == (1, True)
    code, words = told("true", "python3.99")
    assert (code, "name one: make test-release PYTHON=/path/to/python3.12" in words) == (1, True)
