"""Float labels: what a regressor learns and gives back, how it is scored, and which targets are refused."""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kendalltau

from tests.train.helpers import DWS, RUNS, begun, bits, changed, mlp, without_seconds
from wsjax import data, models
from wsjax.augment import parse
from wsjax.errors import DataError
from wsjax.models import NamedReader
from wsjax.models.wrappers import head_arrays
from wsjax.networks import siren_init
from wsjax.symmetry import siren
from wsjax.train import Regression, Result, Run, TrainConfig, evaluate, fit, kendall_tau, load, record
from wsjax.train.results import row_of, summary_table
from wsjax.train.source import pipelines_of, resident
from wsjax.train.task import task_for
from wsjax.typing import Batch

WIDTHS = (1, 4, 1)
COUNT = 60
LEARN = TrainConfig(epochs=200, batch_size=12, evaluate_every=40, learning_rate=1e-2, weight_decay=0.0)
SHORT = TrainConfig(epochs=6, batch_size=12, evaluate_every=2)
"""Of 36 networks to train on, so that an epoch takes each once."""


def train(dataset, config=SHORT, runs=RUNS, out=None, checkpoint_seconds=15.0, **settings) -> Result:
    made = mlp(dataset, **{"width": 4} | settings)
    return fit(dataset, made, config, runs=runs, out=out, progress=False, checkpoint_seconds=checkpoint_seconds)


def dataset_of(label, **columns) -> data.WeightDataset:
    stacked = jax.jit(jax.vmap(lambda key: siren_init(key, WIDTHS)))(jax.random.split(jax.random.key(0), len(label)))
    networks = [jax.tree.map(lambda w, i=i: np.asarray(w)[i], stacked) for i in range(len(label))]
    split = np.array([0, 0, 0, 1, 2] * (len(label) // 5), np.int8)
    given = {"split": split, **columns}
    return data.WeightDataset.from_networks(networks, label, symmetry=siren(WIDTHS), columns=given, name="zoo")


def known(weights) -> np.ndarray:
    """A function of the weights that a dense network can learn from 36 of them."""
    first, last = weights
    return np.asarray(first.kernel.sum(axis=(1, 2)) + 2 * last.kernel.sum(axis=(1, 2)))


@pytest.fixture(scope="module")
def zoo() -> data.WeightDataset:
    """The labels are a function of the weights, of mean near 0.5 as accuracies have."""
    plain = dataset_of(np.zeros(COUNT, np.float32))
    return replace(plain, label=(0.5 + 0.1 * known(plain.weights)).astype(np.float32))


@pytest.fixture(scope="module")
def two(zoo) -> data.WeightDataset:
    """Two targets in units far apart."""
    return replace(zoo, label=np.stack([zoo.label, 1e3 * zoo.label**2 + 7], axis=1))


@pytest.fixture(scope="module")
def short(zoo):
    return train(zoo)


@pytest.fixture(scope="module")
def learned(two):
    return train(two, LEARN, [Run(0), Run(1)], width=32)


def outputs(model, dataset) -> np.ndarray:
    return np.asarray(stacked_outputs(model, dataset.weights))


@eqx.filter_jit
def stacked_outputs(model, weights):
    return jax.vmap(model)(weights)


def units_of(result) -> tuple:
    """Mean and deviation, which are no part of a task's equality: they compile no other program."""
    return result.task, result.task.mean, result.task.std


def rows_of(dataset, name: str) -> np.ndarray:
    return dataset.columns["split"] == data.sources.SPLITS.index(name)


def r2_of(given, target) -> float:
    given, target = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (given, target))
    return float(np.mean(1 - ((given - target) ** 2).sum(axis=0) / ((target - target.mean(axis=0)) ** 2).sum(axis=0)))


def test_a_regressor_learns_every_target_in_its_own_unit(two, learned):
    last = learned.history[-1]
    assert last["train_r2"] > 0.9
    # Standardized by the training split, the mean square is 1 - R2; the loss is that of the epochs before.
    assert last["loss"] < 0.1
    given = outputs(learned.model(), two)
    assert given.shape == (COUNT, 2)
    for name, score in (("train", learned.scores()[0]["train_r2"]), ("test", evaluate(learned, two)[0])):
        rows = rows_of(two, name)
        assert r2_of(given[rows], two.label[rows]) == pytest.approx(score, abs=1e-4)
    assert evaluate(learned, two, "train")[0] == pytest.approx(learned.scores()[0]["train_r2"], abs=1e-5)
    assert kendall_tau(learned, two, "train")[0] > 0.7
    rows = rows_of(two, "train")
    assert min(r2_of(given[rows, i], two.label[rows, i]) for i in range(2)) > 0.8


def test_the_first_loss_is_that_of_standardized_targets(zoo):
    """While it does not move, the model is off (t - mean) / std of the training split by the loss, a mean square."""
    still = [Run(0, 1e-12), Run(1, 1e-12)]
    trained = train(zoo, SHORT, still)
    label = zoo.label[rows_of(zoo, "train")]
    state, frozen = begun(mlp(zoo, width=4), SHORT, still)
    for run in range(2):
        model = eqx.combine(jax.tree.map(lambda x, run=run: np.asarray(x)[run], state.parameters), frozen)
        given = outputs(model, zoo)[rows_of(zoo, "train"), 0]
        expected = float(np.mean((given - (label - label.mean()) / label.std()) ** 2))
        assert [line["loss"] for line in trained.history if line["run"] == run] == pytest.approx([expected] * 3, 1e-4)


def test_a_score_below_every_accuracy_is_selected_too(zoo):
    """Far off, R2 is far below -1, from where an accuracy's selection might begin."""
    far = replace(zoo, label=changed(zoo.label, rows_of(zoo, "validation"), zoo.label + 50))
    for chosen in train(far).scores():
        assert chosen["validation_r2"] < -100
        assert chosen["epoch"] > 0


def test_units_change_the_outputs_and_nothing_else(zoo, short):
    """Targets times 1000 plus 5: the same training, and outputs in the new units."""
    other = replace(zoo, label=(1000 * zoo.label.astype(np.float64) + 5).astype(np.float32))
    trained = train(other)
    for mine, theirs in zip(short.scores(), trained.scores(), strict=True):
        assert mine["epoch"] == theirs["epoch"]
        for name in ("train_r2", "validation_r2", "loss"):
            assert mine[name] == pytest.approx(theirs[name], abs=1e-4)
    np.testing.assert_allclose(evaluate(trained, other), evaluate(short, zoo), atol=1e-4)
    np.testing.assert_allclose(
        outputs(trained.model(1), other), 1000 * outputs(short.model(1), zoo) + 5, rtol=1e-3, atol=0.05
    )


def test_r2_is_that_of_numpy():
    given, target = np.random.default_rng(0).normal(size=(2, 300, 3)).astype(np.float32)
    target += np.array([2.0, 0.0, -1.0], np.float32)
    found = jax.jit(lambda given: Regression(3).score(given, jnp.asarray(target)))
    assert float(found(given)) == pytest.approx(r2_of(given, target), rel=1e-5)
    assert float(found(target)) == 1
    mean = np.broadcast_to(target.mean(axis=0), target.shape)
    assert float(found(mean)) == pytest.approx(0, abs=1e-5)


def test_tau_is_that_of_scipy_on_the_models_outputs(two, learned):
    """Targets of a few values, so that many tie."""
    rounded = replace(two, label=np.stack([np.round(two.label[:, 0], 1), two.label[:, 1]], axis=1))
    rows = rows_of(two, "test")
    label = rounded.label[rows]
    assert len(np.unique(label[:, 0])) < len(label)
    for run, tau in enumerate(kendall_tau(learned, rounded)):
        given = outputs(learned.model(run), two)[rows]
        found: list[Any] = [kendalltau(given[:, i], label[:, i], variant="b") for i in range(2)]
        assert tau == pytest.approx(float(np.mean([result.statistic for result in found])), abs=1e-6)


def test_a_model_whose_outputs_are_equal_has_no_rank_correlation(zoo, short):
    zeros = jax.tree.map(lambda x: jax.device_put(np.zeros(x.shape, x.dtype)), short.state.best)
    same = short._replace(state=short.state._replace(best=zeros))
    assert kendall_tau(same, zoo) == [0.0, 0.0]
    assert all(score <= 0 for score in evaluate(same, zoo))
    np.testing.assert_allclose(outputs(same.model(), zoo), zoo.split("train").label.mean(), rtol=1e-5)


def test_a_split_is_gathered_once(zoo, short, monkeypatch):
    counts, take = [], data.WeightDataset.take
    monkeypatch.setattr(data.WeightDataset, "take", lambda self, rows: counts.append(len(rows)) or take(self, rows))
    train(zoo)
    assert counts == [36, 12]
    kendall_tau(short, zoo)
    assert counts[2:] == [12]


def test_other_splits_have_no_part_in_what_is_learned_nor_in_its_units(zoo, short):
    """Other targets and weights to choose by change the choice, those of the test split the final score alone."""
    for name in ("validation", "test"):
        rows = rows_of(zoo, name)
        weights = jax.tree.map(lambda w, rows=rows: changed(w, rows, w + 1), zoo.weights)
        other = replace(zoo, label=changed(zoo.label, rows, 3 - 2 * zoo.label), weights=weights)
        again = train(other)
        assert units_of(again) == units_of(short)
        assert bits(again.state.parameters) == bits(short.state.parameters)
        assert (without_seconds(again.history) == without_seconds(short.history)) == (name == "test")
    assert evaluate(again, other) != evaluate(short, zoo)


def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(zoo, short, tmp_path, broken):
    broken(partial(train, zoo), tmp_path / "run")
    resumed = train(zoo, out=tmp_path / "run")
    assert bits(resumed.state) == bits(short.state)
    assert without_seconds(resumed.history) == without_seconds(short.history)
    loaded = load(tmp_path / "run")
    assert units_of(loaded) == units_of(short)
    np.testing.assert_array_equal(loaded.predict(zoo.weights, 1), outputs(short.model(1), zoo))
    assert evaluate(loaded, zoo) == evaluate(short, zoo)
    other = replace(zoo, label=2 * zoo.label)
    with pytest.raises(ValueError, match=r"holds a training with other settings: .*task\.mean\[0\] is .* there and"):
        train(other, out=tmp_path / "run")
    names = ["epoch", "run", "seed", "loss", "train_r2", "validation_r2", "seconds"]
    lines = (tmp_path / "run" / record.METRICS).read_text().splitlines()
    assert [list(json.loads(line)) for line in lines] == [names] * 6


MIXED = {"mixup(low=0.5, high=0.5)", "mixup_with(low=0.5, high=0.5)", "mixup_hard(low=0.9, high=0.9)"}


def test_targets_are_mixed_by_the_coefficient_of_the_weights(zoo):
    """A target that is linear in the weights stays the same function of them; `mixup_hard` keeps one of the two."""
    task = task_for(zoo)
    assert isinstance(task, Regression)
    training = resident(zoo, "train", task)
    pipes = {s: pipelines_of(replace(SHORT, augment=s), [Run()], zoo.symmetry, training, task).shared for s in MIXED}
    mix = jax.jit(lambda key, pipes: {s: pipe(key, Batch(*training[:2])) for s, pipe in pipes.items()})
    for spec, mixed in mix(jax.random.key(0), pipes).items():
        assert bits(mixed.weights) != bits(training.weights), spec
        if "hard" in spec:
            np.testing.assert_array_equal(mixed.label, training.label, err_msg=spec)
        else:
            same_function = (0.5 + 0.1 * known(mixed.weights)[:, None] - task.mean[0]) / task.std[0]
            np.testing.assert_allclose(mixed.label, same_function, atol=1e-4, err_msg=spec)
            assert bits(mixed.label) != bits(training.label), spec


def test_what_works_on_classes_is_refused(zoo, two):
    for dataset in (zoo, two):
        for step in ("label_smoothing(rate=0.1)", "mixup_within_class", "dwsa_label_smoothing"):
            config = replace(SHORT, augment=f"noise | with_probability(0.5, {step})")
            name = step.split("(")[0].removeprefix("dwsa_")
            with pytest.raises(ValueError, match=rf"^{name} in '.*': the labels of zoo are targets, .*; leave it out"):
                train(dataset, config)


def test_labels_that_cannot_be_learned_are_named(zoo, two):
    label, wide = zoo.label, zoo.label.astype(np.float64)
    constant = np.stack([label, np.full(COUNT, np.float32(0.1))], axis=1)
    alike = changed(label, rows_of(zoo, "validation"), np.full_like(label, 0.25))
    bad = [changed(two.label, np.isin(np.arange(COUNT), [0, 5]), np.array([1, x])) for x in (np.nan, np.inf, -np.inf)]
    for other, message in (
        (constant, r"target 1 of zoo is 0\.1 for each of 36 networks of the split 'train'; .*Leave"),
        (alike, r"target 0 of zoo is 0\.25 for each of 12 networks of the split 'validation'"),
        *[(x, r"target 1 of zoo is not finite for 2 of 36 networks .*'train' \(rows 0, 3\)") for x in bad],
        (two.label[:, :, None], r"labels of zoo have shape \(36, 2, 1\); expected \(networks,\) or \(networks, t"),
        (wide * 1e50, r"target 0 of zoo runs from .*e\+.*; expected numbers whose differences "),
        # float32 has steps of 0.06 there
        (1e6 + 0.01 * wide, r"target 0 of zoo .* give the target in another unit, or less an offset"),
        (np.arange(COUNT, dtype=np.int32) % 3, r"its metadata names no classes; expected one at least"),
    ):
        with pytest.raises(DataError if "finite" in message else ValueError, match=message):
            train(replace(zoo, label=other))
    named = replace(zoo, metadata=replace(zoo.metadata, classes=("a", "b")))
    with pytest.raises(ValueError, match=r"labels of zoo are floats and its metadata names 2 classes; expected integ"):
        train(named)


def test_other_targets_than_those_trained_on_are_not_scored(zoo, two, short, networks, trained):
    whole = replace(zoo, label=np.arange(COUNT, dtype=np.int32))
    integers = r"labels of zoo have dtype int32; expected floats, as the model was trained on targets"
    for read, of, dataset, message in (
        (evaluate, short, two, r"labels of zoo have 2 targets a network; expected 1, as the model was trained"),
        (evaluate, short, whole, integers),
        (kendall_tau, short, whole, integers),
        (kendall_tau, trained, networks, r"task of the model is Classification; expected Regression.*its accuracy"),
    ):
        with pytest.raises(ValueError, match=message):
            read(of, dataset)


def test_scores_over_copies_are_those_of_the_averaged_model(zoo, short):
    moved = {"copies": 3, "augment": "scale(max_log=0.5)"}
    averaged = models.TestTimeAugmentation(
        short.model(), parse("scale(max_log=0.5)", zoo.symmetry), 3, key=jax.random.key(0)
    )
    part = zoo.split("test")
    given = outputs(averaged, part)[:, 0]
    by_hand = 1 - np.sum((part.label - given) ** 2) / np.sum((part.label - part.label.mean()) ** 2)
    assert evaluate(short, zoo, **moved)[0] == pytest.approx(by_hand, abs=1e-4)
    rank: Any = kendalltau(given, part.label)
    assert kendall_tau(short, zoo, **moved)[0] == pytest.approx(rank.statistic, abs=1e-6)
    assert evaluate(short, zoo, **moved) != evaluate(short, zoo)


def test_scores_of_a_regressor_are_r2_and_tau_in_rows_and_tables(zoo, short):
    test, taus = evaluate(short, zoo), kendall_tau(short, zoo)
    row = row_of(short, test, taus)
    assert row["test_r2_mean"] == pytest.approx(np.mean(test))
    assert (row["test_r2s"], row["test_taus"]) == (test, taus)
    assert not [name for name in row if "accurac" in name]
    table = summary_table({"mlp": row})
    assert "test tau" in table
    assert f"{np.mean(test):.3f} ± {np.std(test, ddof=1):.3f}" in table
    assert "tau" not in summary_table({"mlp": row_of(short, test)})
    assert "%" not in table


def test_targets_of_any_floating_type_train(zoo):
    for dtype in (np.float64, np.float16, jnp.bfloat16):
        trained = train(replace(zoo, label=zoo.label.astype(dtype)))
        assert jax.eval_shape(trained.model(), zoo.network(0)).dtype == jnp.float32, dtype


def test_a_head_that_trains_alone_leaves_the_trunk_as_each_seed_drew_it_and_learns_from_mixed_targets(zoo):
    """Of two networks half each, and of one alone, the heads learn something else."""
    config = replace(SHORT, freeze="trunk", augment="mixup_with(low=0.5, high=0.5)", learning_rate=1e-2)
    runs = [Run(0), Run(0, augment="mixup_with(low=1.0, high=1.0)"), Run(1)]
    make_model = NamedReader("dws", zoo.metadata, DWS, 1)
    state = fit(zoo, make_model, config, runs=runs, progress=False).state
    drawn = begun(make_model, config, runs)[0].parameters
    moved = jax.tree.map(lambda new, old: not np.array_equal(new, old), state.parameters, drawn)
    assert moved == head_arrays(drawn)
    last = np.asarray(jax.tree.leaves(state.parameters.head.layers[-1])[0])
    assert np.abs(last[0] - last[1]).max() > 1e-4
