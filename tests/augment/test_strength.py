"""A strength of 1 is the pipeline, one of 0 the identity, and what lies between is one compiled program."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.augment.test_laws import KEY, SPEC, bound, thing
from tests.helpers import assert_identical, compiled
from wsjax.augment import CATALOGUE, at_strength, from_spec, mixup, rotate, shift_phase
from wsjax.typing import Batch


def scaled(atom: Partial, strength: float) -> Any:
    """A bound augmentation at a strength, which is a `Partial` again."""
    return at_strength(atom, strength)


@pytest.mark.parametrize("name", CATALOGUE)
def test_full_strength_is_the_augmentation_and_none_is_where_it_does_nothing(name: str):
    """That it is the identity there is a law of its own, for every entry."""
    whole = bound(name)
    full, none = scaled(whole, 1.0), scaled(whole, 0.0)
    assert full.func is none.func is whole.func
    numbers = lambda transform: {n: transform.keywords[n] for n in CATALOGUE[name].settings if n in transform.keywords}
    assert numbers(full) == numbers(whole)
    assert numbers(none) == numbers(whole) | CATALOGUE[name].nothing


def test_settings_go_straight_to_where_they_do_nothing():
    degrees = scaled(Partial(rotate, symmetry=SPEC, max_degrees=40.0), 0.25).keywords["max_degrees"]
    mixed = scaled(Partial(mixup, low=0.2, high=0.6, alpha=0.3), 0.5).keywords
    assert degrees == 10.0
    assert mixed == {"low": 0.6, "high": 0.8, "alpha": 0.3}


def test_half_turns_stay_whole():
    turned = Partial(shift_phase, symmetry=SPEC, max_shift=3.0)
    assert [float(scaled(turned, strength).keywords["max_shift"]) for strength in (0.4, 0.6)] == [1, 2]


@pytest.mark.parametrize(
    "spec",
    [
        "one_of(noise(std=0.5), rotate | translate)",
        "with_probability(0.9, scale | noise(std=0.5))",
        'leave_out("bias", noise(std=0.5))',
        "mixup_self(rotate | noise(std=0.5))",
        'mixup_aligned(group="signed") | contrast | label_smoothing',
    ],
)
def test_strengths_reach_through_whatever_stands_around(spec: str):
    batch = Batch(
        SPEC.unflatten([jax.random.normal(jax.random.key(i), (4, *s)) for i, s in enumerate(SPEC.shapes)]), jnp.eye(4)
    )
    pipeline = from_spec(spec, SPEC)
    assert_identical(compiled(at_strength(pipeline, 0.0), KEY, batch), batch)
    changed = compiled(at_strength(pipeline, 0.5), KEY, batch)
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(changed), jax.tree.leaves(batch), strict=True))


def test_a_strength_may_be_traced():
    traces = []
    pipeline, weights = Partial(rotate, symmetry=SPEC), thing("rotate")

    @jax.jit
    def turned(strength):
        traces.append(strength)
        return at_strength(pipeline, strength)(KEY, weights)[0].kernel

    moves = [float(np.abs(turned(s) - weights[0].kernel).max()) for s in (0.0, 0.5, 1.0)]
    assert moves[0] == 0 < moves[1] < moves[2]
    assert len(traces) == 1
