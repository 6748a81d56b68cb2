"""Runs side by side in one program, each with numbers of its own in the configuration's augmentation."""

import re
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from tests.train.helpers import RUNS as TWO
from tests.train.helpers import SMALL, assert_close, bits, changed, trained_on
from wsjax.augment import parse_batch
from wsjax.data.sources import SPLITS
from wsjax.train import Run, load
from wsjax.train.source import pipelines_of, resident
from wsjax.train.task import task_for
from wsjax.typing import Batch

STRENGTHS = ("rotate(max_degrees=80) | scale(max_log=0.1)", "rotate(max_degrees=80) | scale(max_log=2.0)", None)
RUNS = [Run(3, 1e-2, augment=spec) for spec in STRENGTHS]


AVERAGED = replace(SMALL, ema_decay=0.6)


@pytest.fixture(scope="module")
def together(networks):
    return trained_on(networks, AVERAGED, RUNS)


@pytest.fixture(scope="module")
def training(networks):
    return resident(networks, "train", task_for(networks))


def made_of(networks, training, augment, runs):
    return pipelines_of(replace(SMALL, augment=augment), runs, networks.symmetry, training, task_for(networks))


def test_each_run_is_the_one_that_trains_with_its_numbers_shared(networks, together, training):
    """And averaging changes what is kept, not what is trained."""
    runs = [jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], together.state.parameters) for i in range(3)]
    for spec, run in zip(STRENGTHS, runs, strict=True):
        alike = [Run(3, 1e-2, augment=spec), Run(4, 1e-2, augment=spec)]
        shared, own = made_of(networks, training, SMALL.augment, alike)
        assert jax.tree.leaves(shared) == jax.tree.leaves(parse_batch(spec or SMALL.augment, networks.symmetry))
        assert not jax.tree.leaves(own)
        alone = trained_on(networks, SMALL, alike).state
        assert_close(jax.tree.map(lambda leaf: np.asarray(leaf)[0], alone.parameters), run, 1e-4)
        assert alone.average is None
    apart = lambda a, b: max(np.abs(x - y).max() for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))
    assert min(apart(runs[0], runs[1]), apart(runs[0], runs[2]), apart(runs[1], runs[2])) > 1e-2
    state = together.state
    assert apart(state.best, state.parameters) > 1e-2
    last = np.asarray(state.best_epoch) == SMALL.epochs
    for kept, mean in zip(*map(jax.tree.leaves, (state.best, state.average)), strict=True):
        np.testing.assert_array_equal(np.asarray(kept)[last], np.asarray(mean)[last])


def test_a_broken_training_goes_on_with_the_numbers_of_each_run(networks, together, tmp_path, broken):
    broken(partial(trained_on, networks, AVERAGED, RUNS), tmp_path)
    assert bits(trained_on(networks, AVERAGED, RUNS, tmp_path).state) == bits(together.state)
    assert load(tmp_path).runs == tuple(RUNS)
    with pytest.raises(ValueError, match=r"holds a training with other settings: runs\[2\]\.augment is "):
        trained_on(networks, AVERAGED, [*RUNS[:2], Run(3, 1e-2, augment=AVERAGED.augment)], tmp_path)


def test_only_the_numbers_that_differ_are_the_runs_own(networks, training):
    runs = [Run(augment=f"mixup_views(alpha={alpha}) | noise(std=0.1)") for alpha in (0.5, 2)]
    shared, own = made_of(networks, training, "mixup_views(alpha=1.0) | noise(std=0.1)", runs)
    assert [leaf.tolist() for leaf in jax.tree.leaves(own)] == [[0.5, 2.0]]
    held = jax.tree.leaves(shared)
    assert any(leaf is jax.tree.leaves(training.weights)[0] for leaf in held)  # the pool, once for all
    assert 0.1 in [leaf for leaf in held if isinstance(leaf, float)]


def test_partners_out_of_a_pool_come_from_the_whole_training_split(networks, training):
    """In a batch of one network a partner of the same batch would be the network itself, and change nothing."""
    training = training._replace(object=np.zeros(len(training.label), np.int32))
    one = jax.tree.map(
        lambda x: np.asarray(x)[:1], Batch(training.weights, np.eye(10)[training.label], training.object)
    )
    specs = [f"{name}(low=0.5, high=0.5)" for name in ("mixup", "mixup_with", "mixup_views")]
    pipes = [made_of(networks, training, spec, [Run()]).shared for spec in specs]
    found = jax.jit(lambda key, pipes: [pipe(key, one).weights for pipe in pipes])(jax.random.key(0), pipes)
    assert_close(found[0], one.weights, 1e-6)
    for mixed in found[1:]:  # half way to another one
        partner = jax.tree.map(lambda half, own: 2 * np.asarray(half) - own, mixed, one.weights)
        off = lambda all_of, own: np.abs(np.asarray(all_of) - own).reshape(len(all_of), -1).max(axis=1)
        farthest = np.max(jax.tree.leaves(jax.tree.map(off, training.weights, partner)), axis=0)
        assert farthest.min() < 1e-5 < farthest[0]


def test_augmentations_beyond_the_batch_depend_on_the_objects_and_the_training_split_alone(networks, small):
    def after(**changes) -> list[bytes]:
        config = replace(SMALL, augment="towards_mean | mixup_views")
        return bits(trained_on(replace(networks, **changes), config, TWO).state.parameters)

    def doubled(split: str):
        rows = networks.columns["split"] == SPLITS.index(split)
        return jax.tree.map(lambda w: changed(w, rows, 2 * w), networks.weights)

    plain = after()
    assert after(weights=doubled("validation")) == after(weights=doubled("test")) == plain
    assert after(weights=doubled("train")) != plain
    image = np.arange(len(networks), dtype=np.int32) // 2
    twins, renumbered = ({**networks.columns, "image": image + n} for n in (0, 1))
    assert after(columns=twins) == after(columns=renumbered) != plain
    other = trained_on(replace(networks, columns=twins), SMALL, TWO)
    assert bits(other.state) == bits(small.state)  # its augmentation takes no objects


def test_other_steps_are_refused(networks, untyped):
    for spec in ("scale(max_log=0.1)", "rotate | scale(max_log=0.1)", "shear(max_shear=0.1) | scale"):
        message = rf"runs\[1\]\.augment is '{re.escape(spec)}'; expected the steps and the named settings"
        with pytest.raises(ValueError, match=message):
            trained_on(networks, SMALL, [Run(), Run(augment=spec)])


def test_a_record_holds_a_runs_own_settings_alone():
    assert Run(1).to_json() == {"seed": 1}
    assert Run(augment="", dropout_rate=0).to_json() == {"seed": 0, "dropout_rate": 0, "augment": ""}
