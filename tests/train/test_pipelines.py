"""Runs side by side, each with numbers of its own in the plan's augmentation."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from tests.train.helpers import SMALL, bits
from wsjax.train import Plan, Trial, checkpoint, contrast, load_trained, train
from wsjax.train.inputs import arrays
from wsjax.train.pipelines import pipelines_of

PLAN = replace(SMALL, augment="rotate(max_degrees=10) | noise(std=0.1)")
STRENGTHS = ("rotate(max_degrees=80) | noise(std=0.1)", "rotate(max_degrees=80) | noise(std=1.0)", None)
TRIALS = [Trial(3, 1e-2, augment=spec) for spec in STRENGTHS]


def test_each_run_is_the_one_that_trains_alone_with_its_numbers(networks):
    together = train(networks, PLAN, TRIALS, progress=False).state.parameters
    runs = [jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), together) for i in range(3)]
    for spec, run in zip(STRENGTHS, runs, strict=True):
        alone = train(networks, replace(PLAN, augment=spec or PLAN.augment), [Trial(3, 1e-2)], progress=False)
        for a, b in zip(jax.tree.leaves(run), jax.tree.leaves(alone.state.parameters), strict=True):
            np.testing.assert_allclose(a, b[0], atol=1e-4)
    apart = lambda a, b: max(np.abs(x - y).max() for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))
    assert min(apart(runs[0], runs[1]), apart(runs[0], runs[2]), apart(runs[1], runs[2])) > 1e-2


def test_a_broken_training_goes_on_with_the_numbers_of_each_run(networks, tmp_path, after_evaluation):
    def stop():
        raise KeyboardInterrupt

    whole = train(networks, PLAN, TRIALS, progress=False)
    after_evaluation(2, stop)
    with pytest.raises(KeyboardInterrupt):
        train(networks, PLAN, TRIALS, tmp_path, progress=False, checkpoint_seconds=0.0)
    assert checkpoint.epochs(tmp_path) == [2]  # it goes on from there, and does not begin anew
    assert bits(train(networks, PLAN, TRIALS, tmp_path, progress=False).state) == bits(whole.state)
    assert load_trained(tmp_path).trials == tuple(TRIALS)
    with pytest.raises(ValueError, match=r"holds a training with other settings: trials\[2\]\.augment is None there"):
        train(networks, PLAN, [*TRIALS[:2], replace(TRIALS[2], augment=STRENGTHS[0])], tmp_path, progress=False)


def test_only_the_numbers_that_differ_are_the_runs_own(networks):
    training = arrays(networks, "train")
    plan = replace(PLAN, augment="mixup_views(alpha=1.0) | noise(std=0.1)")
    trials = [Trial(augment=f"mixup_views(alpha={alpha}) | noise(std=0.1)") for alpha in (0.5, 2)]
    shared, own = pipelines_of(plan, trials, networks.symmetry, training, 10)
    assert [leaf.tolist() for leaf in jax.tree.leaves(own)] == [[0.5, 2.0]]
    held = jax.tree.leaves(shared)
    assert any(leaf is jax.tree.leaves(training.weights)[0] for leaf in held)  # the pool, once for all
    assert 0.1 in [leaf for leaf in held if isinstance(leaf, float)]
    assert not jax.tree.leaves(pipelines_of(plan, [Trial(), Trial(1)], networks.symmetry, training, 10).own)


@pytest.mark.parametrize("spec", ["noise(std=0.1)", "rotate | noise(std=0.1)", "shear(max_shear=0.1) | noise"])
def test_other_steps_are_refused(spec, networks, untyped):
    with pytest.raises(ValueError, match=r"trials\[1\]\.augment is '.*'; expected the steps and the named settings"):
        train(networks, PLAN, [Trial(), Trial(augment=spec)], progress=False)


def test_a_record_of_before_is_that_of_trials_without_their_own():
    assert Trial(1).to_json() == {"seed": 1, "learning_rate": 6e-3, "weight_decay": 0.1, "dropout": 0.0}
    assert Trial(augment="").to_json()["augment"] == ""


def test_contrast_refuses_views_that_differ_from_run_to_run(networks, untyped):
    plan = Plan("statistics", augment="noise(std=0.2)", epochs=2, evaluate_every=2, batch_size=8)
    with pytest.raises(ValueError, match=r"trials\[0\]\.augment is 'noise\(std=0\.3\)'; expected None"):
        contrast(networks, plan, [Trial(augment="noise(std=0.3)")], progress=False)
