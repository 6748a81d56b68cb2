"""Training: what it learns, what it keeps, and what it refuses."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.helpers import metadata
from tests.train.helpers import CONFIG, RUNS, SMALL, begun, bits, changed, dws, mlp, trained_on
from wsjax import data, models
from wsjax.train import Classification, Regression, Run, TrainConfig, fit
from wsjax.train.model import apart, read_all
from wsjax.train.state import Settings, optimizer, updated
from wsjax.train.step import epoch_order

SEEDS: tuple[Any, ...] = (-1, 2**32, 0.5)


def test_a_reader_learns_its_training_split(networks):
    config = TrainConfig(epochs=60, batch_size=16, evaluate_every=60, learning_rate=1e-2, weight_decay=0.0)
    result = fit(networks, mlp(networks, width=32, depth=2), config, progress=False)
    assert result.history[-1]["train_accuracy"] > 0.9


def test_history_has_a_line_for_each_run_and_evaluation(trained):
    assert [(r["epoch"], r["run"], r["seed"]) for r in trained.history] == [
        (e, r, s) for e in (2, 4, 6) for r, s in ((0, 0), (1, 1))
    ]


def test_how_training_is_cut_into_scans_changes_no_bit(networks, small):
    whole = trained_on(networks, replace(SMALL, evaluate_every=6))
    last = lambda state: bits((state.parameters, state.optimizer, state.step))
    assert last(whole.state) == last(small.state)
    assert [r["validation_accuracy"] for r in whole.history] == [r["validation_accuracy"] for r in small.history[-2:]]
    assert (len(whole.history), len(small.history)) == (2, 6)


def test_progress_counts_epochs_and_shows_the_mean_accuracies(networks, small, capsys):
    fit(networks, mlp(networks), SMALL, runs=RUNS)
    means = [np.mean([r[f"{name}_accuracy"] for r in small.history[-2:]]) for name in ("train", "validation")]
    said = "train mlp (augmented): 6 of 6 epochs, train {:.1%}, validation {:.1%}, ".format(*means)
    assert said in capsys.readouterr().err
    trained_on(networks)
    assert capsys.readouterr().err == ""


def test_the_best_validation_epoch_is_kept(networks, trained):
    """The model given back is the one of the selected epoch: its accuracies are those of that line."""
    splits = [(f"{name}_accuracy", networks.split(name)) for name in ("train", "validation")]
    right = lambda model, part: jnp.mean(
        jnp.argmax(read_all(model, jax.tree.map(jnp.asarray, part.weights))[0], axis=1) == part.label
    )
    reached = eqx.filter_jit(lambda model: {name: right(model, part) for name, part in splits})
    for run, score in enumerate(trained.scores()):
        lines = [r for r in trained.history if r["run"] == run]
        assert score["validation_accuracy"] == max(r["validation_accuracy"] for r in lines)
        assert score["final_train_accuracy"] == lines[-1]["train_accuracy"]
        first = next(r["epoch"] for r in lines if r["validation_accuracy"] == score["validation_accuracy"])
        assert score["epoch"] == first
        for name, found in reached(trained.model(run)).items():
            np.testing.assert_allclose(found, score[name], atol=1e-6)


def test_the_test_split_has_no_part_in_training(networks, trained):
    """Other labels and weights in the test split change nothing but the final score; another seed changes all."""
    test = networks.columns["split"] == data.sources.SPLITS.index("test")
    label = changed(networks.label, test, (networks.label + 1) % 10)
    weights = jax.tree.map(lambda w: changed(w, test, w + 1), networks.weights)
    other = replace(networks, label=label, weights=weights)
    assert bits(fit(other, dws(other), CONFIG, runs=RUNS, progress=False).state) == bits(trained.state)
    kernels = np.asarray(jax.tree.leaves(trained.state.parameters)[0])
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3


def test_the_normalizer_is_untouched(networks, trained):
    before = begun(dws(networks), CONFIG)[1].normalizer
    after = trained.frozen.normalizer
    assert bits(after) == bits(before)
    assert jax.tree.leaves(trained.state.parameters.normalizer) == []


def test_an_epoch_takes_every_network_and_fills_the_last_batch_from_its_own_start(getkey):
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
        rule = optimizer(replace(SMALL, warmup=warmup), Settings(*map(jnp.float32, (0.5, 0.0, 0.0))), steps)
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
    config = replace(SMALL, epochs=1, evaluate_every=1, batch_size=64, warmup=1.0)
    state = begun(mlp(networks), config)[0]
    gradient = jax.tree.map(lambda x: np.ones(x.shape, np.float32), state.parameters)
    after = jax.jit(jax.vmap(lambda state, gradient: updated(config, state, gradient, 1)))(state, gradient)
    assert after.step.tolist() == [1, 1]
    for new, old in zip(*map(jax.tree.leaves, (after.parameters, state.parameters)), strict=True):
        assert np.isfinite(new).all()
        assert not np.array_equal(new, old)


def test_a_loss_that_is_not_finite_is_named(networks, untyped):
    with pytest.raises(FloatingPointError, match=r"loss of run 1 \(seed 7\) is nan.*Lower its learning rate, 1e\+25"):
        trained_on(networks, SMALL, [Run(), Run(7, learning_rate=1e25)])


def test_settings_are_checked_where_they_are_given(untyped):
    text: Any = abs  # no type checker takes these
    fraction: Any = 2.5
    for wrong, message in (
        (lambda: TrainConfig(epochs=5, evaluate_every=2), r"epochs is 5 and evaluate_every 2; .*multiple.*leave eval"),
        (lambda: TrainConfig(epochs=fraction), r"epochs is 2\.5; it must be one integer"),
        (lambda: TrainConfig(microbatches=3), "batch_size is 128 and microbatches 3; the first must be a multiple"),
        (lambda: TrainConfig(microbatches=0), "microbatches is 0; it must be one integer in"),
        (lambda: TrainConfig(freeze="head"), "unknown freeze 'head'; the valid ones are: None, trunk"),
        (lambda: TrainConfig(compute_dtype="float16"), "unknown compute_dtype 'float16'; .* are: float32, bfloat16"),
        (lambda: TrainConfig(ema_decay=1.5), r"ema_decay is 1\.5; it must be one number in \[0, 1\]"),
        (lambda: TrainConfig(schedule="waning"), "schedule.*'waning'.*constant, rising, falling"),
        (lambda: TrainConfig(max_grad_norm=0.0), r"max_grad_norm is 0\.0"),
        (lambda: TrainConfig(augment="rotatee"), r"unknown augmentation .*'rotatee'.*Did you mean 'rotate'\?"),
        (lambda: Classification(0), "classes is 0; it must be one integer in"),
        (lambda: Regression(0), "outputs is 0; it must be one integer in"),
        (lambda: Regression(2, (0.0, 1.0), (1.0, 0.0)), r"std is 0\.0; it must be one number in \(0, inf\)"),
        (lambda: Run(augment="noise(stdd=1)"), r"no setting 'stdd'"),
        (lambda: Run(dropout_rate=1.5), r"dropout_rate is 1\.5; it must be one number in \[0, 0\.95\]"),
        (lambda: Run(learning_rate=float("nan")), r"learning_rate is nan"),
        *[(lambda s=s: Run(s), r"seed is .*; it must be one integer in \[0, 4\.29497e\+09\]") for s in SEEDS],
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
    with pytest.raises(TypeError, match=r"augment is <built-in function abs>; expected a SPEC, .* by augment\.reg"):
        TrainConfig(augment=text)


def test_every_number_of_epochs_is_evaluated_at_the_last_and_about_twelve_times():
    assert [TrainConfig(epochs=n).evaluation_interval for n in (1, 7, 24, 60, 97, 1000)] == [1, 1, 2, 5, 1, 100]
    for epochs in (1, 2, 7, 12, 13, 60, 97):
        for config in (TrainConfig(epochs=epochs), replace(TrainConfig(), epochs=epochs)):
            assert config.epochs % config.evaluation_interval == 0


def test_what_cannot_be_trained_on_is_named(networks, untyped):
    label = networks.label
    for other, runs, message in (
        (networks.split("train"), RUNS, r"digits has no network in the split 'validation'.*dataset\.random_split\(jax"),
        (replace(networks, label=label > 4), RUNS, r"have shape .* dtype bool; expected one integer a"),
        (replace(networks, label=label + np.int32(1)), RUNS, r"run from 1 to 10; its metadata names 10 .*: .* 0 to 9"),
    ):
        with pytest.raises(ValueError, match=message):
            trained_on(other, SMALL, runs)


def test_a_reader_of_any_kind_is_known_to_the_compiled_step_by_its_structure():
    """The step is compiled once for a reader, whatever containers its modules hold: it is looked up by hash."""
    described = metadata()
    for name in models.READERS:
        made = models.NamedReader(name, described, models.registry.SIZES[name]["small"])
        drawn = [eqx.filter_eval_shape(made, jax.random.key(seed)) for seed in (0, 1)]
        (_, one), (_, other) = (apart(eqx.partition(model, eqx.is_inexact_array)[1]) for model in drawn)
        assert hash(one) == hash(other), name
        assert one.structure == other.structure, name


def test_a_step_in_bfloat16_moves_parameters_in_float32(networks, small):
    rounded = trained_on(networks, replace(SMALL, compute_dtype="bfloat16"))
    leaves = zip(*(jax.tree.leaves(t.state.parameters) for t in (rounded, small)), strict=True)
    assert all(a.dtype == b.dtype == jnp.float32 and not np.array_equal(a, b) for a, b in leaves)
    for found, exact in zip(rounded.history, small.history, strict=True):
        np.testing.assert_allclose(found["loss"], exact["loss"], rtol=0.05)
