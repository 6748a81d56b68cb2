"""Augmentations of weights: transforms (key, x) -> x of one network or of a batch, and what composes them."""

# In this order they stand in the catalogue: what preserves, transforms and perturbs the function, and what mixes it.
from wsjax.augment.exact import flip_signs, permute, rescale, rescale_uniform, shift_phase, shift_turns
from wsjax.augment.inputs import (
    flip,
    rotate,
    rotate_uniform,
    scale,
    scale_axes,
    shear,
    translate,
)
from wsjax.augment.outputs import brightness, contrast, gray, invert, mix_channels
from wsjax.augment.perturb import drop_neurons, dropout, noise, noise_shared, prune, prune_global, towards_mean

# isort: split
from wsjax.augment.compose import batched, chain, compiled, leave_out, on, one_of, static, with_probability
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
from wsjax.augment.presets import PRESETS
from wsjax.augment.register import CATALOGUE, register
from wsjax.augment.statistics import statistics_of
from wsjax.augment.strength import at_strength

__all__ = [
    "CATALOGUE",
    "PRESETS",
    "at_strength",
    "batched",
    "brightness",
    "chain",
    "compiled",
    "contrast",
    "drop_neurons",
    "dropout",
    "flip",
    "flip_signs",
    "gray",
    "invert",
    "label_smoothing",
    "leave_out",
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
    "static",
    "statistics_of",
    "towards_mean",
    "translate",
    "with_probability",
]


def __dir__() -> list[str]:
    return __all__
