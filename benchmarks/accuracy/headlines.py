"""The tables of the suite `full` in docs/results.md: each reader with and without augmentation, on each data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy.growth import curves_of, gains, named, worth
from benchmarks.accuracy.texts import spread

PAGE = Path(__file__).parents[2] / "docs" / "results.md"
BEGIN, END = "<!-- made by python -m benchmarks.accuracy.page -->\n", "<!-- end -->\n"
FIGURES = "../benchmarks/accuracy/results"


def rewritten(page: str, stem: str, report: Mapping[str, Any]) -> str:
    """The page with the block between `BEGIN` and `END` made anew; `stem` names the report and its figures.

    Example:
        >>> rewritten(f"before {BEGIN}old{END} after", "full", {"rows": []}) == f"before {BEGIN}{END} after"
        True
    """
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + block(stem, report["rows"]) + END + rest.partition(END)[2]


def block(stem: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Both tables of accuracies, costs, and what augmentation gains, in Markdown; nothing without rows."""
    if not rows:
        return ""
    whole = [row for row in rows if not named(row)[2]]
    passes = [row for row in whole if evaluates(row)]
    said = ["Readers of weights, which never evaluate the networks:", accuracies([r for r in whole if r not in passes])]
    said += ["Readers with passes, which do:", accuracies(passes)] if passes else []
    for dataset in dict.fromkeys(row["cell"].split("/")[0] for row in rows):
        own = [row for row in rows if row["cell"].startswith(f"{dataset}/")]
        said += [f"![accuracy against the cost of reading one network]({FIGURES}/{stem}-costs-{dataset}.png)"]
        if curves_of(own):
            said += [f"Points that augmentation gains on the first so many networks of `{dataset}`:", gains(own)]
            said += ["How many networks without augmentation reach the accuracy of so many with it:", worth(own)]
            said += [f"![accuracy against the number of networks]({FIGURES}/{stem}-growth-{dataset}.png)"]
    return "\n\n".join(said) + "\n"


def evaluates(row: Mapping[str, Any]) -> bool:
    """Whether a row's reader evaluates the networks that it reads."""
    return "probe" in named(row)[0]


def accuracies(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table of test accuracies: a row for each reader and configuration, a column for each data set."""
    datasets = list(dict.fromkeys(row["cell"].split("/")[0] for row in rows))
    best = {name: max((r for r in rows if r["cell"].startswith(f"{name}/")), key=score) for name in datasets}
    lines = [["reader", "augmentation", *(f"`{name}`" for name in datasets), "parameters", "reading one network"]]
    lines += [["---"] * (4 + len(datasets))]
    by_kind: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        by_kind.setdefault(named(row)[:2], {})[row["cell"].split("/")[0]] = row
    for (reader, name), found in by_kind.items():
        one = next(iter(found.values()))
        cells = [
            (f"**{spread(found[d], 'test_accuracy')}**" if best[d] is found[d] else spread(found[d], "test_accuracy"))
            if d in found
            else ""
            for d in datasets
        ]
        cost = f"{one['reading']['us']:.0f} us" if one["reading"] else ""
        lines.append([f"`{reader}`", f"`{name}`", *cells, f"{one['parameters']:,}", cost])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def score(row: Mapping[str, Any]) -> float:
    return row["test_accuracy_mean"]
