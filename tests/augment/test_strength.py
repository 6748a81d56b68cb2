"""A strength of 1 is the pipeline, one of 0 the identity, and what lies between is one compiled program."""

from typing import Any

import jax
import numpy as np
import pytest

from tests.augment.test_laws import KEY, SPEC, bound, thing
from tests.helpers import assert_identical, touched
from wsjax.augment import CATALOGUE, mixup, parse_batch, rotate, shift_phase
from wsjax.augment.strength import at_strength
from wsjax.typing import Batch


def scaled(augmentation: Any, strength: float) -> Any:
    """A `Partial` again, whose settings can be read."""
    return at_strength(augmentation, strength)


def test_full_strength_is_the_augmentation_and_none_is_where_it_does_nothing():
    """That it is the identity there is a law of its own, for every entry."""
    for name, entry in CATALOGUE.items():
        whole: Any = bound(name)
        if "transform" in entry.needs:
            whole.keywords["transform"] = rotate(SPEC)
        full, none = scaled(whole, 1.0), scaled(whole, 0.0)
        assert full.func is none.func is whole.func
        full, none, whole = ({n: t.keywords[n] for n in entry.settings if n in t.keywords} for t in (full, none, whole))
        assert full == whole, name
        assert none == whole | entry.identity, name


def test_settings_go_straight_to_where_they_do_nothing():
    degrees = scaled(rotate(SPEC, max_degrees=40.0), 0.25).keywords["max_degrees"]
    mixed = scaled(mixup(low=0.2, high=0.6, alpha=0.3), 0.5).keywords
    assert degrees == 10.0
    assert mixed == {"low": 0.6, "high": 0.8, "alpha": 0.3}
    turned = shift_phase(SPEC, max_shift=3.0)
    # half turns stay whole
    assert [float(scaled(turned, strength).keywords["max_shift"]) for strength in (0.4, 0.6)] == [1, 2]


SPECS = [
    "one_of(scale, rotate | translate)",
    "with_probability(0.9, scale | translate)",
    'leave_out("bias", scale | translate)',
    "mixup_self(rotate | scale)",
    "mixup | contrast | label_smoothing",
]


def test_strengths_reach_through_whatever_stands_around():
    nets = jax.tree.map(lambda *x: np.stack(x), *[thing("rotate", which=i) for i in range(4)])
    batch = Batch(nets, np.eye(4, dtype=np.float32))
    pipelines = {spec: parse_batch(spec, SPEC) for spec in SPECS}
    run = jax.jit(lambda strength: {s: at_strength(p, strength)(KEY, batch) for s, p in pipelines.items()})
    none, half = run(0.0), run(0.5)
    for spec in SPECS:
        assert_identical(none[spec], batch)
        assert touched(half[spec], batch), spec


def test_strengths_reach_settings_beside_text():
    pipeline: Any = parse_batch('mixup_aligned(group="signed", low=0.2)', SPEC)
    signed = scaled(pipeline.args[0][0], 0.5)
    assert signed.keywords["low"] == 0.6
    assert signed.func.function is CATALOGUE["mixup_aligned"].function


def test_a_strength_may_be_traced():
    traces = []
    pipeline, weights = rotate(SPEC), thing("rotate")

    @jax.jit
    def turned(strength):
        traces.append(strength)
        return at_strength(pipeline, strength)(KEY, weights)[0].kernel

    moves = [float(np.abs(np.asarray(turned(s)) - weights[0].kernel).max()) for s in (0.0, 0.5, 1.0)]
    assert moves[0] == 0 < moves[1] < moves[2]
    assert len(traces) == 1


def test_a_negative_strength_is_refused():
    with pytest.raises(ValueError, match=r"strength is -0.5; it must be one number in \[0, inf\)"):
        at_strength(rotate(SPEC), -0.5)
