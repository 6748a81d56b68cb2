"""Augmentations of weights: transforms (key, x) -> x of one network or of a batch, and what composes them.

At this level stand all augmentations and what pipelines are made of. `augment.compose` has the rarer combinators
(`leave_out`, `static`, `compiled`), `augment.statistics` the statistics of a data set, `augment.presets` the pipelines
of the papers, `augment.strength` one number for the strength of a whole pipeline.
"""

# In this order they stand in the catalogue: what preserves, transforms and perturbs the function, and what mixes it.
from wsjax.augment.exact import flip_signs, mix_basis, permute, rescale, rescale_uniform, shift_phase, shift_turns
from wsjax.augment.inputs import flip, rotate, rotate_uniform, scale, scale_axes, shear, translate
from wsjax.augment.outputs import brightness, contrast, gray, invert, mix_channels
from wsjax.augment.perturb import drop_neurons, dropout, noise, noise_shared, prune, prune_global, towards_mean

# isort: split
from wsjax.augment import compose as compose
from wsjax.augment import presets as presets
from wsjax.augment import statistics as statistics
from wsjax.augment import strength as strength
from wsjax.augment.compose import batched, chain, on, one_of, with_probability
from wsjax.augment.grammar import parse, parse_batch
from wsjax.augment.mixup import (
    label_smoothing,
    mixup,
    mixup_aligned,
    mixup_hard,
    mixup_permuted,
    mixup_self,
    mixup_views,
    mixup_with,
    mixup_within_class,
)
from wsjax.augment.register import CATALOGUE, register

__all__ = [
    "CATALOGUE",
    "batched",
    "brightness",
    "chain",
    "contrast",
    "drop_neurons",
    "dropout",
    "flip",
    "flip_signs",
    "gray",
    "invert",
    "label_smoothing",
    "mix_basis",
    "mix_channels",
    "mixup",
    "mixup_aligned",
    "mixup_hard",
    "mixup_permuted",
    "mixup_self",
    "mixup_views",
    "mixup_with",
    "mixup_within_class",
    "noise",
    "noise_shared",
    "on",
    "one_of",
    "parse",
    "parse_batch",
    "permute",
    "prune",
    "prune_global",
    "register",
    "rescale",
    "rescale_uniform",
    "rotate",
    "rotate_uniform",
    "scale",
    "scale_axes",
    "shear",
    "shift_phase",
    "shift_turns",
    "towards_mean",
    "translate",
    "with_probability",
]


def __dir__() -> list[str]:
    return __all__
