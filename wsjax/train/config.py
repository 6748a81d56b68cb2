"""What one training is: the configuration that all its runs share, and each run's own part."""

from dataclasses import asdict, dataclass
from typing import Any

from wsjax.augment.grammar import read_spec
from wsjax.errors import check_choice, check_number, check_seed, fields_as_python
from wsjax.models.wrappers import DTYPES

SCHEDULES = ("constant", "rising", "falling")
"""How strong an augmentation is over a training."""
EVALUATIONS = 12
"""About how often a training is evaluated where `evaluate_every` is not given."""


@dataclass(frozen=True)
class TrainConfig:
    """What all runs of a training share. They train side by side under one compiled step.

    Attributes:
        augment: a SPEC, such as `"flip_signs | mixup"`; empty for none. See `augment.register` for your own.
        epochs: passes over the training split.
        batch_size: networks in a step.
        learning_rate: the peak, after the warm-up and before the cosine decay.
        weight_decay: decoupled, as in AdamW.
        dropout_rate: what a model is called with in a step.
        warmup: the fraction of all steps over which the learning rate rises linearly.
        max_grad_norm: the global norm to which a gradient is clipped; 1e9 clips none.
        evaluate_every: epochs between evaluations, a divisor of `epochs`; None evaluates about twelve times.
        freeze: `"trunk"` trains the head alone, on a trunk that stays as it was initialized; None trains all.
        compute_dtype: of a step's forward and backward passes, `"float32"`, or `"bfloat16"` with parameters, gradients,
            moments, losses and scores in float32 (for accelerators; a CPU is slower for it).
        microbatches: parts into which a step cuts its batch, one after the other; their mean gradient is that of the
            batch up to rounding, in an m-th of the memory.
        ema_decay: the decay a of a moving average of the parameters, which is scored, selected and kept in their place:
            after step t it is d mean + (1 - d) parameters with d = min(a, (1 + t) / (10 + t)); 0 keeps none.
        schedule: of the augmentation's strength, `"constant"`, or `"rising"` from 0 to 1 or `"falling"` from 1 to 0
            with the fraction of steps done (`augment.strength.at_strength`).

    Raises:
        ValueError: a setting out of its range, or a SPEC that cannot be parsed. TypeError: `augment` is no text.
    """

    augment: str = ""
    epochs: int = 60
    batch_size: int = 128
    learning_rate: float = 6e-3
    weight_decay: float = 0.1
    dropout_rate: float = 0.0
    warmup: float = 0.05
    max_grad_norm: float = 1.0
    evaluate_every: int | None = None
    freeze: str | None = None
    compute_dtype: str = "float32"
    microbatches: int = 1
    ema_decay: float = 0.0
    schedule: str = "constant"

    def __post_init__(self):
        fields_as_python(self)
        _check_spec(self.augment)
        for name in ("epochs", "batch_size", "microbatches"):
            check_number(name, getattr(self, name), low=1, integer=True)
        if self.evaluate_every is not None:
            check_number("evaluate_every", self.evaluate_every, low=1, integer=True)
        _check_rates(self)
        check_number("warmup", self.warmup, low=0, high=1)
        check_number("max_grad_norm", self.max_grad_norm, low=0, open_low=True)
        check_choice("freeze", self.freeze, (None, "trunk"))
        check_choice("compute_dtype", self.compute_dtype, DTYPES)
        if self.batch_size % self.microbatches:
            raise ValueError(
                f"batch_size is {self.batch_size} and microbatches {self.microbatches}; the first must be a multiple "
                f"of the second, so that every network counts the same"
            )
        check_number("ema_decay", self.ema_decay, low=0, high=1)
        check_choice("schedule", self.schedule, SCHEDULES)
        if self.epochs % self.evaluation_interval:
            raise ValueError(
                f"epochs is {self.epochs} and evaluate_every {self.evaluate_every}; the first must be a multiple of "
                f"the second, so that the last epoch is evaluated: leave evaluate_every out for one that fits"
            )

    @property
    def evaluation_interval(self) -> int:
        """Epochs between evaluations; where `evaluate_every` is None, the divisor nearest to a twelfth of all."""
        if self.evaluate_every is not None:
            return self.evaluate_every
        divisors = (d for d in range(1, self.epochs + 1) if self.epochs % d == 0)
        return min(divisors, key=lambda d: abs(d - self.epochs / EVALUATIONS))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Run:
    """One run's own part: its seed, and settings in which it may differ from those that train beside it.

    Attributes:
        seed: of the model's initialization, the order of networks and all draws.
        learning_rate, weight_decay, dropout_rate: in place of the configuration's; None takes those.
        augment: the configuration's SPEC with other numbers: the same steps, with the same settings named. So a search
            over strengths is one compiled program. None takes the configuration's.
    """

    seed: int = 0
    learning_rate: float | None = None
    weight_decay: float | None = None
    dropout_rate: float | None = None
    augment: str | None = None

    def __post_init__(self):
        fields_as_python(self)
        check_seed("seed", self.seed)
        _check_rates(self)
        if self.augment is not None:
            _check_spec(self.augment)

    def filled(self, config: TrainConfig) -> "Run":
        """With the configuration's settings where it has none of its own."""
        own = {name: value for name, value in asdict(self).items() if value is not None}
        return Run(**{name: getattr(config, name) for name in RATES} | own)

    def to_json(self) -> dict[str, Any]:
        """Its own settings alone."""
        return {name: value for name, value in asdict(self).items() if value is not None}


RATES: dict[str, dict[str, Any]] = {
    "learning_rate": {"low": 0, "open_low": True},
    "weight_decay": {"low": 0},
    "dropout_rate": {"low": 0, "high": 0.95},
}
"""What a run may have of its own, and within which bounds."""


def _check_rates(record: TrainConfig | Run) -> None:
    for name, bounds in RATES.items():
        if (value := getattr(record, name)) is not None:
            check_number(name, value, **bounds)


def _check_spec(augment: Any) -> None:
    if not isinstance(augment, str):
        raise TypeError(
            f"augment is {augment!r}; expected a SPEC, text such as 'flip_signs | mixup': give a function of your own "
            f"a name by augment.register, and write that"
        )
    read_spec(augment)
