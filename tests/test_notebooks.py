"""Every notebook runs from top to bottom, and is stored with the figures and numbers it made."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
LARGEST = 1_000_000
USERS = ("06_any_network",)
"""Notebooks that train Flax networks, which mix ranks and dtypes."""


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.mark.slow
def test_it_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("WSJAX_NOTEBOOK_QUICK", "1")
    if path.stem not in USERS:
        monkeypatch.setenv("JAX_NUMPY_DTYPE_PROMOTION", "strict")
        monkeypatch.setenv("JAX_NUMPY_RANK_PROMOTION", "raise")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()


def test_it_is_stored_as_it_was_run(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any("execution" in cell.metadata for cell in code)  # times of day, which change with every run
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert "stderr" not in {output.get("name") for output in outputs}
    assert path.stat().st_size < LARGEST
