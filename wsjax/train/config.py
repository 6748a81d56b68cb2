"""What one training is: the plan that all its runs share, and each run's own trial."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from wsjax.augment import read_spec
from wsjax.errors import as_python, check_choice, check_number, check_seed, fields_as_python
from wsjax.models import config_of
from wsjax.models.precision import DTYPES
from wsjax.train.gradient import check_microbatches

STRENGTHS = ("constant", "rising", "falling")
"""How strong an augmentation is over a training."""


@dataclass(frozen=True)
class Plan:
    """The shared part: reader, augmentation (a SPEC) and schedule. Runs train side by side under one compiled step.

    reader_settings: as its record, a mapping, or the name of a size. evaluate_every: epochs between evaluations, of
    which `epochs` must be a multiple; 0 takes the largest such number up to 5. trains: `"all"` of the reader, or its
    `"head"` alone on a trunk that stays as it was drawn. compute: the dtype of a step's forward and backward passes,
    `"float32"`, or `"bfloat16"` with parameters, gradients, moments, losses and scores in float32 (for accelerators; a
    CPU is slower for it). microbatches: a step reads its batch in so many parts, one after the other, and takes their
    mean gradient: the same step up to rounding in an m-th of the memory. average: the decay a of an average of the
    parameters, which is scored, selected and kept in their place: after step t it is d mean + (1 - d) parameters with
    d = min(a, (1 + t) / (10 + t)); 0 keeps none. strength: of the augmentation over the training, `"constant"`, or
    `"rising"` from 0 to 1 or `"falling"` from 1 to 0 with the share of steps done (`augment.at_strength`).
    """

    reader: str = "dws"
    reader_settings: Any = None
    augment: str = ""
    epochs: int = 60
    batch_size: int = 128
    warmup: float = 0.05
    clip: float = 1.0
    evaluate_every: int = 0
    trains: str = "all"
    compute: str = "float32"
    microbatches: int = 1
    average: float = 0.0
    strength: str = "constant"

    def __post_init__(self):
        fields_as_python(self)
        settings = self.reader_settings
        if settings is None or isinstance(settings, Mapping | str):
            settings = config_of(self.reader, settings)
        object.__setattr__(self, "reader_settings", replace(settings, **as_python(vars(settings))))
        check_spec("augment", self.augment)
        for name in ("epochs", "batch_size", "microbatches", "evaluate_every"):
            check_number(name, getattr(self, name), low=int(name != "evaluate_every"), whole=True)
        check_number("warmup", self.warmup, low=0, high=1)
        check_number("clip", self.clip, low=0, open_low=True)
        check_choice("trains", self.trains, ("all", "head"))
        check_choice("compute", self.compute, DTYPES)
        check_microbatches(self.batch_size, self.microbatches)
        check_number("average", self.average, low=0, high=1)
        check_choice("strength", self.strength, STRENGTHS)
        if self.evaluate_every == 0:
            object.__setattr__(self, "evaluate_every", max(n for n in range(1, 6) if self.epochs % n == 0))
        if self.epochs % self.evaluate_every:
            raise ValueError(
                f"epochs is {self.epochs} and evaluate_every {self.evaluate_every}; "
                f"the first must be a multiple of the second, so that the last epoch is evaluated: give "
                f"evaluate_every=0 for a number that fits"
            )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Trial:
    """One run's own part: its seed and the settings that may differ between runs trained side by side.

    augment: a SPEC of the plan's steps, each with the same settings named, with numbers of this run's own; None takes
    the plan's. So a search over strengths is one compiled program.
    """

    seed: int = 0
    learning_rate: float = 6e-3
    weight_decay: float = 0.1
    dropout: float = 0.0
    augment: str | None = None

    def __post_init__(self):
        fields_as_python(self)
        check_seed("seed", self.seed)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        check_number("weight_decay", self.weight_decay, low=0)
        check_number("dropout", self.dropout, low=0, high=0.95)
        if self.augment is not None:
            check_spec("augment", self.augment)

    def to_json(self) -> dict[str, Any]:
        """Without `augment` where that is the plan's, as records of before have it."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("augment", None)}


def check_spec(name: str, spec: Any) -> None:
    """Raise ValueError for an augmentation that is no text, or none that `augment.read_spec` can read."""
    if not isinstance(spec, str):
        raise ValueError(
            f"{name} is {spec!r}; expected a SPEC as text, such as 'flip_signs | noise(std=0.1)', which a record of "
            f"the training can hold: name a step of the catalogue"
        )
    read_spec(spec)
