"""A strength of 1 is the pipeline, one of 0 the identity, and what lies between is one compiled program."""

from typing import Any

import jax
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.augment.test_laws import KEY, SPEC, bound, changed, thing
from tests.helpers import assert_identical, touched
from wsjax.augment import (
    CATALOGUE,
    Entry,
    at_strength,
    chain,
    from_spec,
    mixup,
    mixup_aligned,
    mixup_self,
    rotate,
    shift_phase,
    with_probability,
)
from wsjax.typing import Batch


def scaled(atom: Partial, strength: float) -> Any:
    """A bound augmentation at a strength, which is a `Partial` again."""
    return at_strength(atom, strength, nothing={changed: {}})


def test_full_strength_is_the_augmentation_and_none_is_where_it_does_nothing():
    """That it is the identity there is a law of its own, for every entry."""
    for name, entry in CATALOGUE.items():
        whole = bound(name)
        full, none = scaled(whole, 1.0), scaled(whole, 0.0)
        assert full.func is none.func is whole.func
        full, none, whole = ({n: t.keywords[n] for n in entry.settings if n in t.keywords} for t in (full, none, whole))
        assert full == whole, name
        assert none == whole | entry.nothing, name


def test_settings_go_straight_to_where_they_do_nothing():
    degrees = scaled(Partial(rotate, symmetry=SPEC, max_degrees=40.0), 0.25).keywords["max_degrees"]
    mixed = scaled(Partial(mixup, low=0.2, high=0.6, alpha=0.3), 0.5).keywords
    assert degrees == 10.0
    assert mixed == {"low": 0.6, "high": 0.8, "alpha": 0.3}


def test_half_turns_stay_whole():
    turned = Partial(shift_phase, symmetry=SPEC, max_shift=3.0)
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
    pipelines = {spec: from_spec(spec, SPEC) for spec in SPECS}
    run = jax.jit(lambda strength: {s: at_strength(p, strength)(KEY, batch) for s, p in pipelines.items()})
    none, half = run(0.0), run(0.5)
    for spec in SPECS:
        assert_identical(none[spec], batch)
        assert touched(half[spec], batch), spec


def test_strengths_reach_settings_beside_text():
    pipeline: Any = from_spec('mixup_aligned(group="signed", low=0.2)', SPEC)
    signed = scaled(pipeline.args[0][0], 0.5)
    assert signed.keywords["low"] == 0.6
    assert signed.func is not mixup_aligned
    assert signed.func.function is mixup_aligned


def fade(key, x, *, gain=1.0, kind="slow"):
    return gain * x


def test_functions_of_ones_own_are_scaled_as_they_say_or_refused_by_name(monkeypatch):
    mine = chain(with_probability(0.5, Partial(fade, gain=3.0)), Partial(rotate, symmetry=SPEC, max_degrees=40.0))
    for strength, gain in ((0.0, 1.0), (0.5, 2.0), (1.0, 3.0)):
        found = at_strength(mine, strength, nothing={fade: {"gain": 1.0}})
        assert jax.tree.leaves(found) == [0.5, gain, 40.0 * strength]
    assert jax.tree.leaves(at_strength(mine, 0.5, nothing={fade: {}})) == [0.5, 3.0, 20.0]
    unknown = "fade is no augmentation whose strength is known.*nothing={fade: {'setting': value}}"
    for pipeline in (fade, mine, Partial(mixup_self, transform=Partial(fade))):
        with pytest.raises(ValueError, match=unknown):
            at_strength(pipeline, 0.5)
    with pytest.raises(ValueError, match=r"fade has no value of 'gian', .*it has gain"):
        at_strength(mine, 0.5, nothing={fade: {"gian": 1.0}})
    monkeypatch.setitem(CATALOGUE, "fade", Entry("fade", fade, "mixes", "batch", "y' = g y"))
    with pytest.raises(ValueError, match=unknown):
        at_strength(mine, 0.5)


def test_a_strength_may_be_traced():
    traces = []
    pipeline, weights = Partial(rotate, symmetry=SPEC), thing("rotate")

    @jax.jit
    def turned(strength):
        traces.append(strength)
        return at_strength(pipeline, strength)(KEY, weights)[0].kernel

    moves = [float(np.abs(np.asarray(turned(s)) - weights[0].kernel).max()) for s in (0.0, 0.5, 1.0)]
    assert moves[0] == 0 < moves[1] < moves[2]
    assert len(traces) == 1
