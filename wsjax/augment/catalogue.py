"""The registry of every augmentation: what it does to the function, on what it works, and its settings."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from wsjax.augment.colours import grey, mix_channels
from wsjax.augment.coordinates import flip, scale, scale_axes, shear, translate
from wsjax.augment.exact import flip_signs, permute, rescale, rescale_uniform, shift_phase, shift_turns
from wsjax.augment.labels import label_smoothing
from wsjax.augment.mix import mixup, mixup_hard, mixup_with
from wsjax.augment.mix_moved import mixup_aligned, mixup_permuted, mixup_self
from wsjax.augment.mix_within import mixup_views, mixup_within_class
from wsjax.augment.outputs import brightness, contrast, invert
from wsjax.augment.perturb import drop_neurons, dropout, noise, noise_shared, towards_mean
from wsjax.augment.prune import prune, prune_global
from wsjax.augment.rotations import rotate, rotate_uniform

Effect: TypeAlias = Literal["preserves", "transforms", "perturbs", "mixes"]
Level: TypeAlias = Literal["network", "batch"]

BOUND = ("symmetry", "statistics", "transform", "pool")
"""Arguments that are no settings: the networks' Symmetry, the data set's statistics, steps on networks, partners."""

NOTHING = {
    **dict.fromkeys(("probability", "rate", "std", "max_degrees", "max_log", "max_quantile"), 0.0),
    **dict.fromkeys(("max_shear", "max_shift", "max_share", "max_turns"), 0.0),
    "survivors": 1.0,
}
"""The values of settings at which an augmentation is the identity; those of MixUp are its shares, all 1."""


@dataclass(frozen=True)
class Entry:
    """One augmentation: what it does to the function, on what it works, how, and its settings' names and defaults."""

    name: str
    function: Callable[..., Any]
    effect: Effect
    level: Level
    how: str

    @property
    def nothing(self) -> dict[str, float]:
        """The settings at which it is the identity, all of them together; none where no setting makes it that."""
        shares = {name: 1.0 for name in ("low", "high") if self.effect == "mixes"}
        return {name: value for name, value in {**NOTHING, **shares}.items() if name in self.settings}

    @property
    def settings(self) -> dict[str, Any]:
        """Names and defaults: numbers, text, or None for a number that another setting stands in for."""
        return {n: p.default for n, p in self._named.items() if n not in BOUND}

    @property
    def needs(self) -> tuple[str, ...]:
        """Which of `BOUND` it takes."""
        return tuple(name for name in BOUND if name in self._named)

    @property
    def required(self) -> tuple[str, ...]:
        """Which of them it cannot do without."""
        return tuple(name for name in self.needs if self._named[name].default is inspect.Parameter.empty)

    @property
    def _named(self) -> dict[str, inspect.Parameter]:
        parameters = inspect.signature(self.function).parameters
        return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.settings.items())})"


def _table(*rows: tuple[Callable[..., Any], Effect, Level, str]) -> dict[str, Entry]:
    return {f.__name__: Entry(f.__name__, f, effect, level, how) for f, effect, level, how in rows}


CATALOGUE: dict[str, Entry] = _table(
    (permute, "preserves", "network", "W_i' = P_i^T W_i P_{i+1}, b_i' = b_i P_{i+1}, P random"),
    (flip_signs, "preserves", "network", "a neuron's column, its bias and its row of the next kernel times -1"),
    (shift_phase, "preserves", "network", "b_i' = b_i + k pi / w0, the neuron's row of the next kernel times (-1)^k"),
    (shift_turns, "preserves", "network", "b_i' = b_i + 2 k pi / w0"),
    (rescale, "preserves", "network", "a neuron's column and bias times s, its next row / s, log s ~ N(0, std^2)"),
    (rescale_uniform, "preserves", "network", "the same, log s uniform on [-max_log, max_log]"),
    (rotate, "transforms", "network", "f'(x) = f(x R): W_0' = R W_0, R by an angle up to max_degrees"),
    (rotate_uniform, "transforms", "network", "f'(x) = f(x R): W_0' = R W_0, R any rotation alike"),
    (translate, "transforms", "network", "f'(x) = f(x + t): b_0' = b_0 + t W_0"),
    (scale, "transforms", "network", "f'(x) = f(s x): W_0' = s W_0"),
    (scale_axes, "transforms", "network", "f'(x) = f(x S): W_0' = S W_0, S diagonal"),
    (shear, "transforms", "network", "f'(x) = f(x A): W_0' = A W_0, A with ones on its diagonal"),
    (flip, "transforms", "network", "f'(x) = f(x D): W_0' = D W_0, D diagonal of -1 and 1"),
    (contrast, "transforms", "network", "v' = c + g (v - c), v the decoded value"),
    (brightness, "transforms", "network", "v' = v + d"),
    (invert, "transforms", "network", "v' = low + high - v"),
    (mix_channels, "transforms", "network", "v' = v M, the columns of M summing to 1: grey stays grey"),
    (grey, "transforms", "network", "v' = (1 - s) v + s luma(v)"),
    (noise, "perturbs", "network", "w' = w + std sd(w) N(0, 1), sd of each array of the network"),
    (noise_shared, "perturbs", "network", "the same, sd of each array over the data set"),
    (dropout, "perturbs", "network", "w' = survivors w B, B ~ Bernoulli(1 - rate) for each weight"),
    (drop_neurons, "perturbs", "network", "all that makes and reads a neuron is 0, with chance rate"),
    (prune, "perturbs", "network", "0 where |w| is below its array's q-quantile, q uniform on [0, max_quantile]"),
    (prune_global, "perturbs", "network", "the same, one quantile for all arrays"),
    (towards_mean, "perturbs", "network", "w' = (1 - s) w + s mean of the data set"),
    (mixup, "mixes", "batch", "s w + (1 - s) w_partner, labels alike, s = low + (high - low) Beta(alpha, beta)"),
    (mixup_aligned, "mixes", "batch", "the same, the partner brought near first by an element of its group"),
    (mixup_permuted, "mixes", "batch", "the same, the partner's neurons in random order: the control"),
    (mixup_hard, "mixes", "batch", "weights mixed, the label that of the larger share"),
    (mixup_self, "mixes", "batch", "s w + (1 - s) T(w), T the steps given; the label its own"),
    (mixup_with, "mixes", "batch", "as mixup, the partner out of a pool: in training, the whole training split"),
    (mixup_within_class, "mixes", "batch", "as mixup, the partner of the same class"),
    (mixup_views, "mixes", "batch", "as mixup, the partner another fit of the same object"),
    (label_smoothing, "mixes", "batch", "y' = (1 - rate) y + rate / classes; the weights stay"),
)
"""Every augmentation by name. Tests run the laws over this table."""
