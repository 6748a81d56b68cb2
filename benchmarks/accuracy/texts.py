"""A row of a report as words and numbers to read, for any kind of table."""

from collections.abc import Mapping
from typing import Any

HEADINGS = ("cell", "test", "training", "parameters", "step", "points against the baseline")


def texts(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row under `HEADINGS`: accuracies in per cent, differences in points, and nothing where there is none.

    Example:
        >>> row = {"cell": "dws", "test_accuracy_mean": 0.5, "test_accuracy_sd": 0.015, "train_accuracy_mean": 0.75}
        >>> texts({**row, "parameters": 1234, "step_ms": {"median": 2.0}, "paired": {"mean": -0.1, "sd": 0.02}})
        ('dws', '50.0% ± 1.5', '75.0%', '1,234', '2.0 ms', '-10.0 ± 2.0')
        >>> texts({**row, "parameters": 1234, "step_ms": None, "paired": None})[-2:]
        ('', '')
    """
    step, gain = row["step_ms"], row["paired"]
    return (
        row["cell"],
        f"{row['test_accuracy_mean']:.1%} ± {100 * row['test_accuracy_sd']:.1f}",
        f"{row['train_accuracy_mean']:.1%}",
        f"{row['parameters']:,}",
        f"{step['median']:.1f} ms" if step else "",
        f"{100 * gain['mean']:+.1f} ± {100 * gain['sd']:.1f}" if gain else "",
    )
