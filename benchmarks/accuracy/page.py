"""Tables and figures of the reports of accuracy, of which `python -m benchmarks.accuracy.page` makes RESULTS.md and the
tables of the suite `full` in docs/results.md."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.accuracy import headlines
from benchmarks.accuracy.costs import draw_costs
from benchmarks.accuracy.growth import curves_of, draw_growth
from benchmarks.accuracy.texts import metric_of, texts_of
from wsjax import viz
from wsjax.data.sources import SPLITS
from wsjax.errors import listing
from wsjax.train.task import ACCURACY, R2

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).with_name("RESULTS.md")
FINDINGS = Path(__file__).with_name("findings.md")
"""What the numbers say of the papers' claims, written by hand."""
HEAD = """# Results

Made from the reports in `results/` by `python -m benchmarks.accuracy.page`, which draws the scores of each too with
`--figures PATH`. [README.md](../README.md) says how a cell is trained and scored. Accuracies are means and sample
deviations over seeds; differences are seed by seed.
"""


def main(arguments: list[str] | None = None) -> None:
    """Write the pages and the curves that they show; with `--figures` draw the scores of every report too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.page", description="Write RESULTS.md.")
    parser.add_argument("--figures", type=Path, metavar="PATH", help="a directory to draw every report's scores in")
    asked = parser.parse_args(arguments)
    reports = committed()
    for path, report in reports.items():
        if asked.figures:
            asked.figures.mkdir(parents=True, exist_ok=True)
            draw(report, asked.figures / path.name)
        for reader, histories in overfitting(report).items():
            viz.curves(histories, curves_path(path, reader))
        for dataset, rows in grown(report).items():
            if curves_of(rows):
                draw_growth(rows, path.with_name(f"{path.stem}-growth-{dataset}.png"))
            draw_costs(rows, path.with_name(f"{path.stem}-costs-{dataset}.png"))
        if grown(report):
            page = headlines.PAGE.read_text(encoding="utf-8")
            headlines.PAGE.write_text(headlines.rewritten(page, path.stem, report), encoding="utf-8")
    PAGE.write_text(whole(reports))
    print(f"{PAGE} holds {len(reports)} reports")


def committed() -> dict[Path, dict[str, Any]]:
    """The reports in `RESULTS`, by path."""
    return {path: json.loads(path.read_text()) for path in sorted(RESULTS.glob("accuracy-*.json"))}


def whole(reports: Mapping[Path, Mapping[str, Any]]) -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, FINDINGS.read_text(), *[section(path, report) for path, report in reports.items()]])


def section(path: Path, report: Mapping[str, Any]) -> str:
    """One report as Markdown."""
    rows = report["rows"]
    seconds = sum(row["seconds"] for row in rows)
    train, validation, test = (counts(report, name) for name in SPLITS)
    where = {"{cpu} ({vector}), {cores} cores, {device}, jax {jax}".format(**row["machine"]) for row in rows}
    return f"""## {report["suite"]}, {report["tier"]}

`{report["command"]}` at {", ".join(sorted({str(row["commit"]) for row in rows}))} on {"; ".join(sorted(where))};
{seconds / 60:.0f} minutes of training. {train} networks to train on, {validation} to choose by,
{test} to test on, used once by each cell.{unrun(report)}

{table(report)}
{curves_text(path, report)}"""


def counts(report: Mapping[str, Any], split_name: str) -> str:
    """How many networks the cells' splits of a name hold.

    Example:
        >>> counts({"rows": [{"networks": {"test": count}} for count in (30, 20, 30)]}, "test")
        '20 to 30'
    """
    found = sorted({row["networks"][split_name] for row in report["rows"]})
    return f"{found[0]} to {found[-1]}" if len(found) > 1 else str(found[0])


def overfitting(report: Mapping[str, Any]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """By reader, the histories of the fewest and of the most views, of configurations that have both, epochs counted in
    those of one view.

    Nothing where all cells have as many views.

    Example:
        >>> run = {"epoch": [1], "run": [0], "train_accuracy": [0.5], "validation_accuracy": [0.4]}
        >>> cells = ("none/1", "none/2", "none/5", "mixup_views/5")
        >>> found = overfitting({"rows": [{"cell": f"digits/dws/{cell}", "history": run} for cell in cells]})
        >>> {name: records[0]["epoch"] for name, records in found["dws"].items()}
        {'none, 1 view': 1, 'none, 5 views': 5}
    """
    views = {row["cell"]: int(row["cell"].rpartition("/")[2]) for row in report["rows"]}
    ends = {min(views.values()), max(views.values())}
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in report["rows"]:
        count = views[row["cell"]]
        both = {f"{row['cell'].rpartition('/')[0]}/{end}" for end in ends} <= set(views)
        if len(ends) > 1 and count in ends and both:
            lines = zip(*row["history"].values(), strict=True)
            records = [dict(zip(row["history"], line, strict=True)) for line in lines]
            _, reader, configuration, _ = row["cell"].split("/")
            name = f"{configuration}, {count} view{'s' * (count > 1)}"
            found.setdefault(reader, {})[name] = [{**record, "epoch": record["epoch"] * count} for record in records]
    return found


def curves_path(path: Path, reader: str) -> Path:
    """Where the curves of a reader are drawn."""
    return path.with_name(f"{path.stem}-curves-{reader}.png")


def curves_text(path: Path, report: Mapping[str, Any]) -> str:
    """The curves in Markdown, where there are any."""
    shown = [f"![curves of {reader}](results/{curves_path(path, reader).name})" for reader in overfitting(report)]
    if not shown:
        return ""
    said = (
        "One epoch in these curves is as many steps as one of a single view; the test split is used once, at the end."
    )
    return "\n" + "\n\n".join([said, *shown]) + "\n"


def grown(report: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of the suite `full` by data set; nothing of others."""
    if report["suite"] != "full":
        return {}
    names = dict.fromkeys(row["cell"].split("/")[0] for row in report["rows"])
    return {name: [row for row in report["rows"] if row["cell"].startswith(f"{name}/")] for name in names}


def unrun(report: Mapping[str, Any]) -> str:
    """The cells of the suite that a report lacks, in words: those not run yet, and the number of those left out.

    Example:
        >>> unrun({"rows": [{}, {}], "missing": [], "left_out": ["a/b/c/1"] * 7})
        " 7 of the suite's 9 cells were left out."
    """
    missing, left_out = report.get("missing", []), report.get("left_out", [])
    said = f" Not run yet: {listing(f'`{title}`' for title in missing)}." if missing else ""
    whole = len(report["rows"]) + len(missing) + len(left_out)
    return said + (f" {len(left_out)} of the suite's {whole} cells were left out." if left_out else "")


def table(report: Mapping[str, Any]) -> str:
    """The rows of a report as a Markdown table."""
    headings, *rows = texts_of(report["rows"])
    lines = [headings, ["---"] * len(headings), *[(f"`{cell}`", *rest) for cell, *rest in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(path: Path, report: Mapping[str, Any]) -> dict[str, Path]:
    """Where the scores of a report are drawn, by what they are: accuracies beside the report, R2 in a figure apart.

    Example:
        >>> report = {"rows": [{}, {"metric": "r2"}]}
        >>> {title: figure.name for title, figure in figures(Path("report.json"), report).items()}
        {'accuracies': 'report.png', 'R2': 'report-r2.png'}
    """
    metrics = {metric_of(row) for row in report["rows"]}
    found = {"accuracies": path.with_suffix(".png")} if ACCURACY in metrics else {}
    return {**found, "R2": path.with_name(f"{path.stem}-r2.png")} if R2 in metrics else found


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draw the scores, the best cell first."""
    rows = sorted(report["rows"], key=lambda row: -row["test_accuracy_mean"])
    for title, figure in figures(path, report).items():
        metric = R2 if title == "R2" else ACCURACY
        viz.scores({row["cell"]: row for row in rows if metric_of(row) == metric}, figure, metric=metric)


if __name__ == "__main__":
    main()
