"""The layers of the house: who may import whom, as pyproject.toml says."""

import pathlib
import subprocess
import sys


def test_imports_run_one_way():
    command = [pathlib.Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"]
    found = subprocess.run(
        command, cwd=pathlib.Path(__file__).parent.parent, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
