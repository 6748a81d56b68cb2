"""The report of a toy run, which the suites' tests share."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from benchmarks.speed import harness

FOLDER = Path(harness.__file__).parent
SCHEMA = json.loads((FOLDER / "schema.json").read_text())


def checked_report(suite: str, rows: Any, timings: Any, notes: Any) -> dict[str, Any]:
    """What a toy run measured as a report, which keeps the schema."""
    report = harness.report(suite, quick=True, described=harness.machine(), rows=rows, timings=timings, notes=notes)
    jsonschema.validate(report, SCHEMA)
    return report
