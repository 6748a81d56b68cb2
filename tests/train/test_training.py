"""Training: what it learns, what it keeps, and what it refuses."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.cards import card
from tests.train.helpers import PLAN, SMALL, TRIALS, bits, changed
from wsjax import data
from wsjax.augment import from_spec
from wsjax.models import CONFIGS, SIZES, build
from wsjax.train import Arrays, Plan, Settings, Trained, Trial, accuracy, evaluate, train
from wsjax.train.inputs import arrays
from wsjax.train.loop import start
from wsjax.train.pipelines import Pipelines
from wsjax.train.state import Packing, apart, init_states, optimiser, split, updated
from wsjax.train.step import advance, epoch_order

pytestmark = pytest.mark.xdist_group("train")


def test_a_reader_learns_its_training_split(networks):
    plan = Plan("mlp", {"width": 32}, epochs=60, batch_size=16, evaluate_every=60)
    assert train(networks, plan, [Trial(0, 1e-2, 0.0)], progress=False).history[-1]["train_accuracy"] > 0.9


def test_history_has_a_line_for_each_run_and_evaluation(trained):
    assert [(r["epoch"], r["run"], r["seed"]) for r in trained.history] == [
        (e, r, s) for e in (2, 4, 6) for r, s in ((0, 0), (1, 1))
    ]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(networks, trained):
    again = train(networks, PLAN, TRIALS, progress=False)
    assert bits(again.state) == bits(trained.state)
    kernels = np.asarray(jax.tree.leaves(trained.state.parameters)[0])
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3


def test_how_training_is_cut_into_scans_changes_no_bit(networks, small):
    whole = train(networks, replace(SMALL, evaluate_every=6), TRIALS, progress=False)
    last = lambda state: bits((state.parameters, state.optimiser, state.step))
    assert last(whole.state) == last(small.state)
    assert [r["validation_accuracy"] for r in whole.history] == [r["validation_accuracy"] for r in small.history[-2:]]
    assert (len(whole.history), len(small.history)) == (2, 6)


def test_progress_counts_epochs_and_shows_the_mean_accuracies(networks, small, capsys):
    train(networks, SMALL, TRIALS)
    means = [np.mean([r[f"{name}_accuracy"] for r in small.history[-2:]]) for name in ("train", "validation")]
    said = "train mlp (augmented): 6 of 6 epochs, train {:.1%}, validation {:.1%}, ".format(*means)
    assert said in capsys.readouterr().err
    train(networks, SMALL, TRIALS, progress=False)
    assert capsys.readouterr().err == ""


def test_the_best_validation_epoch_is_kept(networks, trained):
    """The reader given back is the one of the selected epoch: its accuracies are those of that line."""
    splits = [(f"{name}_accuracy", arrays(networks, name)) for name in ("train", "validation")]
    reached = eqx.filter_jit(lambda reader: {name: accuracy(reader, part) for name, part in splits})
    for run, score in enumerate(trained.scores()):
        lines = [r for r in trained.history if r["run"] == run]
        assert score["validation_accuracy"] == max(r["validation_accuracy"] for r in lines)
        first = next(r["epoch"] for r in lines if r["validation_accuracy"] == score["validation_accuracy"])
        assert score["epoch"] == first
        for name, found in reached(trained.reader(run)).items():
            np.testing.assert_allclose(found, score[name], atol=1e-6)


def test_the_test_split_has_no_part_in_training(networks, trained):
    """Other labels and weights in the test split change nothing but the final score."""
    test = networks.columns["split"] == data.SPLITS.index("test")
    label = changed(networks.label, test, (networks.label + 1) % 10)
    weights = jax.tree.map(lambda w: changed(w, test, w + 1), networks.weights)
    other = replace(networks, label=label, weights=weights)
    assert bits(train(other, PLAN, TRIALS, progress=False).state) == bits(trained.state)


def test_the_normaliser_is_untouched(networks, trained):
    before = start(networks.card, PLAN, TRIALS)[1].normaliser
    after = trained.frozen.normaliser
    assert bits(after) == bits(before)
    assert all(float(s) > 0 for s in after.scale)
    assert jax.tree.leaves(trained.state.parameters.normaliser) == []


def test_accuracy_counts_right_answers():
    stacked = Arrays(jnp.eye(4)[:, :3], jnp.array([0, 1, 2, 1]))
    assert float(accuracy(lambda w: w, stacked)) == 0.75


def test_an_epoch_sees_every_network_and_fills_the_last_batch_from_its_own_start(getkey):
    of = jax.jit(lambda key, epoch: epoch_order(key, epoch, 10, 4))
    key = getkey()
    order = np.asarray(of(key, jnp.int32(3)))
    assert order.shape == (3, 4)
    assert set(order.reshape(-1)[:10]) == set(range(10))
    np.testing.assert_array_equal(order.reshape(-1)[10:], order.reshape(-1)[:2])
    assert not np.array_equal(order, of(key, jnp.int32(4)))


def test_every_legal_warmup_reaches_the_peak_rate():
    """Adam answers a constant gradient with the rate itself."""

    def peak(warmup: float, steps: int) -> jax.Array:
        rule = optimiser(replace(SMALL, warmup=warmup), Settings(*map(jnp.float32, (0.5, 0.0, 0.0))), steps)
        weight, rates = jnp.float32(1), []
        moments = rule.init(weight)
        for _ in range(steps):
            update, moments = rule.update(jnp.float32(1), moments, weight)
            rates.append(-jnp.asarray(update))
        return jnp.max(jnp.stack(rates))

    cases = [(warmup, steps) for warmup in (0.0, 0.05, 0.75, 1.0) for steps in (1, 2, 3, 10)]
    with jax.numpy_dtype_promotion("standard"):
        found = jax.jit(lambda: [peak(*case) for case in cases])()
    for case, reached in zip(cases, found, strict=True):
        np.testing.assert_allclose(reached, 0.5, rtol=1e-4, err_msg=f"warm-up and steps {case}")


def test_a_training_of_one_step_moves_the_parameters(networks):
    plan = replace(SMALL, epochs=1, evaluate_every=1, batch_size=64, warmup=1.0)
    state = start(networks.card, plan, TRIALS)[0]
    gradient = jax.tree.map(lambda x: np.ones(x.shape, np.float32), state.parameters)
    after = jax.jit(jax.vmap(lambda state, gradient: updated(plan, state, gradient, 1)))(state, gradient)
    assert after.step.tolist() == [1, 1]
    for new, old in zip(*map(jax.tree.leaves, (after.parameters, state.parameters)), strict=True):
        assert np.isfinite(new).all()
        assert not np.array_equal(new, old)


def test_a_loss_that_is_not_finite_is_named(networks, untyped):
    with pytest.raises(FloatingPointError, match=r"loss of run 1 \(seed 7\) is nan.*Lower its learning rate, 1e\+25"):
        train(networks, SMALL, [Trial(), Trial(7, learning_rate=1e25)], progress=False)


def test_settings_out_of_range_are_refused(untyped):
    for wrong, message in (
        (lambda: Plan(epochs=5, evaluate_every=2), r"epochs is 5 and evaluate_every 2; .*multiple"),
        (lambda: Trial(dropout=1.5), r"dropout is 1\.5; it must be one number in \[0, 0\.95\]"),
        (lambda: Plan("dwz"), r"unknown reader 'dwz'"),
        (lambda: Plan(trains="heads"), "unknown trains 'heads'; the valid ones are: all, head"),
        (lambda: Plan(compute="float16"), "unknown compute 'float16'; the valid ones are: float32, bfloat16"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


def test_what_cannot_be_trained_on_is_named(networks, untyped):
    label = networks.label
    for other, trials, message in (
        (networks, [], r"there are no trials; expected at least one: pass \[Trial\(\)\]"),
        (networks.split("train"), TRIALS, r"digits has no network in the split 'validation'"),
        (replace(networks, label=label > 4), TRIALS, r"have shape .* dtype bool; expected one whole number a"),
        (replace(networks, label=label + np.int32(1)), TRIALS, r"run from 1 to 10; its card names 10 cl.*: .* 0 to 9"),
    ):
        with pytest.raises(ValueError, match=message):
            train(other, SMALL, trials, progress=False)


def test_a_reader_of_any_kind_is_known_to_the_compiled_step_by_its_structure():
    """The step is compiled once for a reader, whatever containers its modules hold: it is looked up by hash."""
    described = card()
    for name in CONFIGS:
        made = lambda key, name=name: build(name, described, SIZES[name]["small"], key=key)
        drawn = [eqx.filter_eval_shape(made, jax.random.key(seed)) for seed in (0, 1)]
        (_, one), (_, other) = (apart(split(model)[1]) for model in drawn)
        assert hash(one) == hash(other), name
        assert one.structure == other.structure, name


class Named(eqx.Module):
    """A reader whose modules are in a dict."""

    parts: dict[str, eqx.nn.Linear]

    def __call__(self, weights, *, key=None, rate=0.0):
        return self.parts["last"](weights[-1].kernel[:, 0])


def test_a_reader_whose_modules_hold_dicts_trains_and_is_scored(networks):
    parameters, frozen = split(Named({"last": eqx.nn.Linear(4, 10, key=jax.random.key(0))}))
    state = init_states(SMALL, TRIALS, jax.tree.map(lambda x: np.stack([x, x]), parameters))
    arrays_of_frozen, static = apart(frozen)
    splits = [arrays(networks, name) for name in ("train", "validation")]
    pipelines = Pipelines(from_spec("", networks.symmetry))
    state, metrics = advance(SMALL, static, Packing(), arrays_of_frozen, pipelines, state, *splits, 10)
    trained = Trained(SMALL, TRIALS, state, frozen, [], networks.card)
    assert evaluate(trained, networks, "validation") == metrics.validation.tolist()


def test_a_step_in_bfloat16_moves_parameters_in_float32(networks, small):
    rounded = train(networks, replace(SMALL, compute="bfloat16"), TRIALS, progress=False)
    leaves = zip(*(jax.tree.leaves(t.state.parameters) for t in (rounded, small)), strict=True)
    assert all(a.dtype == b.dtype == jnp.float32 and not np.array_equal(a, b) for a, b in leaves)
    for found, exact in zip(rounded.history, small.history, strict=True):
        np.testing.assert_allclose(found["loss"], exact["loss"], rtol=0.05)
