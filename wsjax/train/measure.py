"""How a training is scored: a classifier by its accuracy, a regressor by R2."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A score where more is better. key: in the names of records, as in `train_accuracy`. title, form: for people."""

    key: str
    title: str
    form: str

    def shown(self, value: float) -> str:
        """A value as text.

        Example:
            >>> ACCURACY.shown(0.8125), R2.shown(0.8125)
            ('81.2%', '0.812')
        """
        return format(value, self.form)


ACCURACY = Measure("accuracy", "accuracy", ".1%")
R2 = Measure("r2", "R2", ".3f")


def measure_in(line: Mapping[str, Any]) -> Measure:
    """What a line of metrics is scored by.

    Raises:
        ValueError: it has no score.

    Example:
        >>> measure_in({"epoch": 1, "train_r2": 0.2, "validation_r2": 0.1}).title
        'R2'
    """
    for measure in (ACCURACY, R2):
        if f"validation_{measure.key}" in line:
            return measure
    raise ValueError(
        f"a line of metrics has {', '.join(map(str, line))}; expected validation_accuracy or validation_r2, as "
        f"wsjax.train writes them"
    )
