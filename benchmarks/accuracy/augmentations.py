"""The configurations of the suites: augmentations by name."""

from wsjax.augment.presets import PRESETS, RECOMMENDED

INPUTS = "rotate(max_degrees=15) | scale(max_log=0.1) | translate(max_shift=0.1)"
AUGMENTATIONS = {
    "none": "",
    "flip_signs": "flip_signs",
    "shift_phase": PRESETS["dwsa_shift_phase"],
    "inputs": INPUTS,
    "outputs": "contrast | brightness",
    "noise": PRESETS["dwsa_noise"],
    "dropout": PRESETS["dwsa_dropout"],
    "mixup": PRESETS["dwsa_mixup"],
    "mixup_permuted": PRESETS["dwsa_mixup_permuted"],
    "mixup_aligned": PRESETS["dwsa_mixup_aligned"],
    "combination": PRESETS["dwsa_combination"],
    "recommended": RECOMMENDED,
    "inputs_aligned": f"{INPUTS} | mixup_aligned(alpha=1.0)",
}
"""Symmetries, of inputs and outputs, perturbations, MixUp in three forms, and pipelines."""

OF_VIEWS = {
    **{configuration: AUGMENTATIONS[configuration] for configuration in ("none", "recommended")},
    "mixup_views": "mixup_views(alpha=1.0)",
    "mixup_views_recommended": f"mixup_views(alpha=1.0) | {RECOMMENDED}",
}
"""Of several networks of each image; the last mixes first, so that what it moves is of one image, and moves as one."""

FEW = (
    *("none", "recommended", "flip_signs", "shift_phase", "inputs", "noise"),
    *("mixup", "mixup_permuted", "mixup_aligned", "combination"),
)
"""Those of the size `small`: of each kind one, and what the papers compare."""

TURNED = "flip_signs | rotate_uniform | scale(max_log=0.1)"
OF_SHAPES = {
    **{configuration: AUGMENTATIONS[configuration] for configuration in ("none", "flip_signs")},
    "rotate": "rotate_uniform",
    **{
        configuration: AUGMENTATIONS[configuration]
        for configuration in ("noise", "mixup", "mixup_aligned", "combination")
    },
    "turned": TURNED,
    "turned_aligned": f"{TURNED} | mixup_aligned(alpha=1.0)",
}
"""Of fields in space; `turned` is what `recommended` is in the plane, with any rotation."""

FEW_OF_SHAPES = ("none", "turned", "flip_signs", "rotate", "mixup_aligned", "turned_aligned")
"""Those of the size `small`."""

VIEWS = {
    "random": "",
    **{configuration: AUGMENTATIONS[configuration] for configuration in ("flip_signs", "noise", "dropout")},
    "noise_dropout": PRESETS["dwsnets_contrastive"],
}
"""Of both views of contrastive learning; `random` is none, and no such learning."""

IMAGE_VIEWS = {**VIEWS, **{configuration: AUGMENTATIONS[configuration] for configuration in ("inputs", "recommended")}}
CURVE_VIEWS = {**VIEWS, "unrotated": "flip_signs | scale(max_log=0.1) | translate(max_shift=0.1)"}
"""Of networks of images, and of curves; `unrotated` is what `recommended` is on a line."""

TURNS, ZOOM, MOVES = "rotate(max_degrees=15)", "scale(max_log=0.1)", "translate(max_shift=0.1)"
SEARCHED = {
    "recommended": RECOMMENDED,
    "none": "",
    "without_signs": INPUTS,
    "without_rotate": f"flip_signs | {ZOOM} | {MOVES}",
    "without_scale": f"flip_signs | {TURNS} | {MOVES}",
    "without_translate": f"flip_signs | {TURNS} | {ZOOM}",
    "milder": "flip_signs | rotate(max_degrees=7.5) | scale(max_log=0.05) | translate(max_shift=0.05)",
    "stronger": "flip_signs | rotate(max_degrees=30) | scale(max_log=0.2) | translate(max_shift=0.2)",
    "mixup_1": f"{RECOMMENDED} | mixup(alpha=1.0)",
    "mixup_signed": f'{RECOMMENDED} | mixup_aligned(group="signed", alpha=1.0)',
    "mixup_full": f'{RECOMMENDED} | mixup_aligned(group="full", alpha=1.0)',
}
"""`recommended`, without each of its parts, in other strengths, and with things that might be added to it."""

SEARCHED_AT_FULL = {
    "mirrored": f"{RECOMMENDED} | flip(axis=0)",
    "noise": f"{RECOMMENDED} | noise(std=0.1)",
    "mixup_permutation": f'{RECOMMENDED} | mixup_aligned(group="permutation", alpha=1.0)',
    "mixup_02": f"{RECOMMENDED} | mixup(alpha=0.2)",
    "mixup_within_class": f"{RECOMMENDED} | mixup_within_class(alpha=1.0)",
    "dropout": f"{RECOMMENDED} | dropout(rate=0.02)",
    "label_smoothing": f"{RECOMMENDED} | label_smoothing(rate=0.1)",
}
"""What else might be added."""

ALIGNED = {"inputs_mixup": f"{INPUTS} | mixup(alpha=1.0)"}
ALIGNED_AT_FULL = {"none": "", "inputs": INPUTS, "mixup": "mixup(alpha=1.0)", "recommended": RECOMMENDED}
"""Of networks that were all brought near to one; sign flips undo that."""
