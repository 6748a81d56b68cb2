"""Named pipelines: the settings of the reference papers, and ours, as SPEC text.

A name of this table stands in a SPEC for its steps: `recommended | mixup(alpha=0.4)`. `dwsa_*` are the single
augmentations of arXiv 2402.04081, one a training, at the magnitudes of its code; `dwsnets*` are those of arXiv
2301.12780. Where a step here means something else than in the published code, a comment says how.
"""

RECOMMENDED = "flip_signs | rotate(max_degrees=15) | scale(max_log=0.1) | translate(max_shift=0.1)"
"""The pipeline that `wsjax demo` uses for fields of small images."""

PRESETS: dict[str, str] = {
    "recommended": RECOMMENDED,
    # There half of the draws move a deeper layer's bias by the shift taken through linear layers; here the first
    # bias alone, which is a translation.
    "dwsa_translate": "translate(max_shift=0.25)",
    "dwsa_rotate": "rotate(max_degrees=30)",
    "dwsa_noise": "noise(std=0.32)",
    # There a factor uniform on [0.8, 1.2]; here log-uniform on [0.82, 1.22].
    "dwsa_scale": "scale(max_log=0.2)",
    # With the survivors multiplied by 1 / 0.9.
    "dwsa_dropout": "dropout(rate=0.1, survivors=1.1111)",
    "dwsa_prune": "prune_global(max_quantile=0.1)",
    "dwsa_flip_signs": "flip_signs(probability=0.5)",
    # There half turns from -4 to 3; here from -4 to 4.
    "dwsa_shift_phase": "shift_phase(max_shift=4)",
    "dwsa_label_smoothing": "label_smoothing(rate=0.1)",
    "dwsa_mixup": "mixup(alpha=1.0)",
    # "weights_only_aug" there.
    "dwsa_mixup_hard": "mixup_hard(alpha=1.0)",
    # There always the anchor is permuted; here the partner, which is the same up to the order of the result.
    "dwsa_mixup_permuted": "mixup_permuted(alpha=1.0)",
    "dwsa_mixup_aligned": 'mixup_aligned(group="permutation", alpha=1.0)',
    # There the anchor alone is changed, its signs before the alignment, which cannot undo them; here both networks
    # are, and signs after it.
    "dwsa_combination": (
        'translate(max_shift=0.25) | noise(std=0.32) | mixup_aligned(group="permutation", alpha=1.0) | '
        "flip_signs(probability=0.5)"
    ),
    # There the label is mixed with that of another network, and the copy is aligned; here the label is its own, and
    # sign flips and phases, which alignment of permutations cannot undo, are left out.
    "dwsa_mixup_self": (
        "mixup_self(one_of(translate(max_shift=0.25), rotate(max_degrees=30), noise(std=0.32), scale(max_log=0.2), "
        "dropout(rate=0.1, survivors=1.1111), prune_global(max_quantile=0.1)), alpha=1.0)"
    ),
    # There "noise" adds one and the same constant to every entry; here noise.
    "dwsnets": (
        "translate(max_shift=0.25) | rotate(max_degrees=45) | noise(std=0.1) | dropout(rate=0.01) | scale(max_log=0.2)"
    ),
    # The two views of its contrastive learning; "noise" as above.
    "dwsnets_contrastive": "noise(std=0.2) | dropout(rate=0.5)",
}
"""Pipelines by name, as SPEC text."""
