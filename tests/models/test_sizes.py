"""Sizes by name: every reader has them, they build, and they are in order."""

import jax
import pytest

from tests.models.cards import card
from wsjax.models import CONFIGS, SIZES, build, config_of, parameter_count
from wsjax.train import Plan


@pytest.mark.parametrize("name", list(CONFIGS))
def test_small_is_smaller_than_base(name: str):
    count = {}

    def build_both(key):
        for size in ("small", "base"):
            count[size] = parameter_count(build(name, card((2, 4, 3)), size, key=key))

    jax.eval_shape(build_both, jax.random.key(0))
    assert 0 < count["small"] < count["base"] < 5_000_000


def test_every_reader_has_sizes_and_the_settings_of_each_are_valid():
    assert set(SIZES) == set(CONFIGS)
    for name, sizes in SIZES.items():
        assert {"small", "base"} <= set(sizes) <= {"small", "base", "published"}
        for size, settings in sizes.items():
            assert config_of(name, size) == config_of(name, settings)


def test_a_plan_takes_a_size_and_an_unknown_one_is_refused():
    assert Plan("probe", "small").reader_settings == config_of("probe", {"probes": 32, "width": 64})
    with pytest.raises(ValueError, match=r"unknown size of reader 'dws' 'bas'.*small, base, published.*mean 'base'"):
        config_of("dws", "bas")
