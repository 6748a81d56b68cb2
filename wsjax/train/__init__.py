"""Train readers, or models of your own: one compiled step for several runs, selection on validation, checkpoints and
resumption; pre-training without labels."""

from wsjax.train.config import Run, TrainConfig
from wsjax.train.contrastive import Contrastive
from wsjax.train.fit import fit
from wsjax.train.load import load
from wsjax.train.result import Result, evaluate, kendall_tau, predict
from wsjax.train.task import Classification, Metric, Regression, Task

__all__ = [
    "Classification", "Contrastive", "Metric", "Regression", "Result", "Run", "Task", "TrainConfig", "evaluate", "fit",
    "kendall_tau", "load", "predict",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__
