"""`python -m benchmarks accuracy`: run a suite, or what is left of it, and report it."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.cell import commit, same_cell
from benchmarks.accuracy.costs import reading_costs
from benchmarks.accuracy.suite import TIERS, AnyCell
from benchmarks.accuracy.suites import SUITES
from benchmarks.accuracy.texts import spread, texts_of
from benchmarks.speed import harness
from benchmarks.speed.harness import Contestant
from benchmarks.speed.readers_step import Steps, Subject
from wsjax.data import WeightDataset
from wsjax.errors import check_choice, listing
from wsjax.host import use_host_well
from wsjax.storage import files
from wsjax.train import record
from wsjax.train.results import deviation

ROUNDS, STEPS = 5, 2


def run(
    suite: str,
    tier: str,
    out: Path,
    *,
    files: Path | None = None,
    finished: bool = False,
    only: Sequence[str] = (),
    earlier: Path | None = None,
) -> dict[str, Any]:
    """The cells of a suite at a tier, in `out`, and their report.

    All cells run, or those with one of `only` in their titles; with `finished` none is trained and those that are
    finished are reported. The report lists those that are not finished as `missing`, and those not selected by `only`
    as `left_out`. A cell is compared with its baseline where that is finished, selected or not.

    Args:
        suite, tier: their names.
        out: a directory for data sets and cells.
        files: where the images or meshes are; None for the usual places.
        finished: whether to leave out what is not finished.
        only: parts of titles, as "weight_gcn" or "/recommended/"; none takes every cell.
        earlier: a report whose rows are those of cells that `out` lacks, where the cells are still the same.

    Raises:
        ValueError: an unknown suite or tier, a part that no title has, a directory that holds other cells, or files
            for a suite without any.
    """
    check_choice("suite", suite, tuple(SUITES))
    check_choice("tier", tier, TIERS)
    asked = SUITES[suite](tier, files)
    out.mkdir(parents=True, exist_ok=True)
    if earlier is not None:
        restore(asked.cells, earlier, out)
    wanted = chosen(asked.cells, only)
    cells = [cell for cell in wanted if not finished or (out / cell.title / record.RESULT).exists()]
    networks: dict[str, WeightDataset] = {}
    rows = []
    for number, cell in enumerate(cells, 1):
        print(f"\n[{number}/{len(cells)}] {cell.title}")
        row = finished_row(cell, out)
        if row is None:
            if cell.dataset not in networks:
                networks[cell.dataset] = asked.datasets[cell.dataset](out / "data" / cell.dataset)
            row = cell.run(networks[cell.dataset], out / cell.title)
        rows.append({"name": f"accuracy/{suite}/{cell.title}", **row})
        print(f"{cell.title}: test {spread(row, 'test_accuracy')}")
    subjects = subjects_of(cells, rows)
    times = measured(step_times, cells, subjects, out / "step_times.json")
    costs = measured(reading_costs, cells, subjects, out / "reading_costs.json")
    baselines = {asked.against(cell) for cell in cells}
    there = {cell.title: finished_row(cell, out) for cell in asked.cells if cell.title in baselines}
    for row, cell in zip(rows, cells, strict=True):
        base = there[asked.against(cell)]
        row["step_ms"] = times.get(cell.title)
        row["reading"] = costs.get(cell.title)
        row["paired"] = None if base is None else paired(row, base)
    return {
        "format": 1,
        "suite": suite,
        "tier": tier,
        "command": f"python -m benchmarks accuracy --suite {suite} --tier {tier}"
        + " --directory PATH" * bool(files)
        + (f" --cells {' '.join(only)}" if only else ""),
        "rows": rows,
        "missing": [cell.title for cell in wanted if cell not in cells],
        "left_out": [cell.title for cell in asked.cells if cell not in wanted],
    }


def restore(cells: Sequence[AnyCell], earlier: Path, out: Path) -> None:
    """Write the rows of an earlier report to `out`, for the cells that are still the same and not finished there."""
    known = {(row["cell"], row["identity"]): row for row in files.read_json(earlier)["rows"]}
    for cell in cells:
        path = out / cell.title / record.RESULT
        row = known.get((cell.title, cell.identity))
        if row is not None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(path, row)


def finished_row(cell: AnyCell, out: Path) -> dict[str, Any] | None:
    """What a cell gave, if it has been run in `out`."""
    path = out / cell.title / record.RESULT
    return same_cell(files.read_json(path), cell.identity, path.parent) if path.exists() else None


def chosen(cells: Sequence[AnyCell], only: Sequence[str]) -> list[AnyCell]:
    """Those with one of the given parts in their titles, or all where none is given.

    Raises:
        ValueError: a part that no title has.
    """
    for part in only:
        if not any(part in cell.title for cell in cells):
            raise ValueError(
                f"no cell has {part!r} in its title; expected a part of one of: {listing([c.title for c in cells])}"
            )
    return [cell for cell in cells if not only or any(part in cell.title for part in only)]


def paired(row: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any] | None:
    """Seed by seed, how many points a row lies above another; None for the row itself.

    Example:
        >>> row = {"cell": "a", "seeds": [1, 2, 3], "test_accuracies": [0.5, 0.75, 1.0]}
        >>> paired(row, {**row, "cell": "b", "test_accuracies": [0.25, 0.25, 0.25]})
        {'against': 'b', 'differences': [0.25, 0.5, 0.75], 'mean': 0.5, 'sd': 0.25}
    """
    if row["cell"] == base["cell"]:
        return None
    if row["seeds"] != base["seeds"]:
        raise ValueError(
            f"{row['cell']} has the seeds {row['seeds']} and {base['cell']} {base['seeds']}; expected the same, as "
            f"they are compared seed by seed"
        )
    differences = [a - b for a, b in zip(row["test_accuracies"], base["test_accuracies"], strict=True)]
    return {
        "against": base["cell"],
        "differences": differences,
        "mean": float(np.mean(differences)),
        "sd": deviation(differences),
    }


def subjects_of(cells: Sequence[AnyCell], rows: Sequence[Mapping[str, Any]]) -> dict[str, Subject]:
    """What is timed of each cell that trains all of a reader of SIRENs, by title; augmentation is left out."""
    return {
        cell.title: Subject(cell.reader, cell.settings or {}, tuple(row["siren_widths"]), cell.batch_size)
        for cell, row in zip(cells, rows, strict=True)
        if row["siren_widths"] and cell.freeze is None
    }


def measured(
    measure: Callable[[Mapping[str, Subject]], dict[str, dict[str, float]]],
    cells: Sequence[AnyCell],
    subjects: Mapping[str, Subject],
    path: Path,
) -> dict[str, dict[str, Any]]:
    """What `measure` gives of the subjects, which runs once all cells are done, and again where `path` holds that of
    other cells."""
    known = {cell.title: cell.identity for cell in cells if cell.title in subjects}
    if path.exists():
        found = files.read_json(path)
        if {title: numbers["identity"] for title, numbers in found.items()} == known:
            return found
    ran = str(commit())
    found = {t: {**numbers, "identity": known[t], "commit": ran} for t, numbers in measure(subjects).items()}
    files.write_json(path, found)
    return found


def step_times(subjects: Mapping[str, Subject]) -> dict[str, dict[str, float]]:
    """Milliseconds of one training step by title, measured side by side; equal subjects share one time."""
    distinct = {repr(subject): subject for subject in subjects.values()}
    contestants = [Contestant(name, Steps(subject, STEPS), STEPS) for name, subject in distinct.items()]
    timings = harness.measure(contestants, ROUNDS)
    found = {}
    for title, subject in subjects.items():
        low, middle, high = harness.quartiles(1e3 * timings[repr(subject)].seconds)
        found[title] = {"median": middle, "low": low, "high": high}
    return found


def table(report: Mapping[str, Any]) -> str:
    """A report as text, a line a cell."""
    rows = texts_of(report["rows"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join([cell.ljust(widths[0]), *map(str.rjust, numbers, widths[1:])]) for cell, *numbers in rows
    )


def save(report: Mapping[str, Any], path: Path) -> None:
    """Write a report whole or not at all."""
    files.write_json(path, json.loads(json.dumps(report)))


def main(arguments: list[str]) -> None:
    """Run one suite, print its table, save its report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks accuracy", description="Train readers and score each once on the test split."
    )
    parser.add_argument("--suite", required=True, metavar="NAME", help=listing(tuple(SUITES)))
    parser.add_argument("--tier", default="small", metavar="TIER", help=f"{listing(TIERS)} (default: small)")
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"), help="where the cells lie (runs/accuracy)")
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="PATH",
        help="of the suite's images; of OFF meshes for shapes (as ModelNet40's)",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="save the report here")
    parser.add_argument("--finished", action="store_true", help="report the cells that are finished, and train none")
    parser.add_argument(
        "--earlier", type=Path, metavar="PATH", help="a report: train no cell again that it has, if unchanged"
    )
    parser.add_argument(
        "--cells", nargs="+", default=(), metavar="PART", help="only cells with a PART in their title, as weight_gcn"
    )
    asked = parser.parse_args(arguments)
    if asked.json:
        harness.check_writable(asked.json)
    use_host_well()
    out = asked.out / f"{asked.suite}-{asked.tier}"
    report = run(
        asked.suite,
        asked.tier,
        out,
        files=asked.directory,
        finished=asked.finished,
        only=asked.cells,
        earlier=asked.earlier,
    )
    save(report, out / "report.json")
    print(f"\n{table(report)}\n")
    if report["missing"]:
        print(f"not run yet: {listing(report['missing'])}")
    print(f"the cells and report.json are in {out}")
    if asked.json:
        save(report, asked.json)
        print(f"saved in {asked.json}")
