"""Float labels: what a regressor learns and gives back, how it is scored, and which targets are refused."""

import json
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kendalltau

from tests.train.helpers import TRIALS, bits, without_seconds
from wsjax import data
from wsjax.augment import network_from_spec
from wsjax.demo import score_row, summary_table
from wsjax.errors import DataError
from wsjax.models import OverCopies
from wsjax.networks import siren_init
from wsjax.symmetry import siren
from wsjax.train import (
    Arrays,
    Plan,
    Trial,
    checkpoint,
    evaluate,
    kendall_tau,
    load,
    load_trained,
    metrics,
    r2,
    record,
    train,
)
from wsjax.train.loop import start

WIDTHS = (1, 4, 1)
COUNT = 60
LEARN = Plan("mlp", {"width": 32, "depth": 1}, epochs=200, batch_size=16, evaluate_every=20)
SHORT = Plan("mlp", {"width": 4, "depth": 1}, epochs=6, batch_size=16, evaluate_every=2)


def dataset_of(label, **columns) -> data.WeightDataset:
    networks = [siren_init(jax.random.key(i), WIDTHS) for i in range(len(label))]
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
    return train(zoo, SHORT, TRIALS, progress=False)


def outputs(reader, dataset) -> np.ndarray:
    return np.asarray(jax.vmap(reader)(jax.tree.map(jnp.asarray, dataset.weights)))


def r2_of(given, target) -> float:
    given, target = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (given, target))
    return float(np.mean(1 - ((given - target) ** 2).sum(axis=0) / ((target - target.mean(axis=0)) ** 2).sum(axis=0)))


def test_a_regressor_learns_a_function_of_the_weights(zoo):
    trained = train(zoo, LEARN, [Trial(0, 1e-2, 0.0)], progress=False)
    last = trained.history[-1]
    assert last["train_r2"] > 0.9
    # Standardised by the training split, the mean square is 1 - R2; the loss is that of the epochs before.
    assert last["loss"] < 0.1
    reader, training = trained.reader(), zoo.split("train")
    assert outputs(reader, zoo).shape == (COUNT, 1)
    assert r2_of(outputs(reader, training), training.label) == pytest.approx(trained.scores()[0]["train_r2"], abs=1e-4)
    assert evaluate(trained, zoo, "train")[0] == pytest.approx(trained.scores()[0]["train_r2"], abs=1e-5)
    assert kendall_tau(trained, zoo, "train")[0] > 0.7


def test_the_first_loss_is_that_of_standardised_targets(zoo):
    """Before it moves, the reader misses (t - mean) / std of the training split by the mean square that is the loss."""
    plan = replace(SHORT, epochs=1, evaluate_every=1, batch_size=36)
    trained = train(zoo, plan, [Trial(0, 1e-12)], progress=False)
    training = zoo.split("train")
    state, frozen = start(zoo.card, plan, [Trial(0)], trained.targets)
    given = outputs(eqx.combine(jax.tree.map(lambda x: x[0], state.parameters), frozen), training)[:, 0]
    standard = (training.label - training.label.mean()) / training.label.std()
    assert trained.history[0]["loss"] == pytest.approx(float(np.mean((given - standard) ** 2)), rel=1e-4)


def test_the_best_validation_epoch_is_kept(zoo, short):
    for run, chosen in enumerate(short.scores()):
        lines = [r for r in short.history if r["run"] == run]
        assert chosen["validation_r2"] == max(r["validation_r2"] for r in lines)
        assert chosen["final_train_r2"] == lines[-1]["train_r2"]
        for name in ("train", "validation"):
            part = zoo.split(name)
            assert r2_of(outputs(short.reader(run), part), part.label) == pytest.approx(chosen[f"{name}_r2"], abs=1e-4)


def test_a_score_below_every_accuracy_is_selected_too(zoo):
    """Far off, R2 is far below -1, from where an accuracy's selection might begin."""
    validation = zoo.columns["split"] == data.SPLITS.index("validation")
    far = replace(zoo, label=np.where(validation, zoo.label + 50, zoo.label).astype(np.float32))
    trained = train(far, replace(SHORT, epochs=2), [Trial(0)], progress=False)
    assert trained.scores()[0]["validation_r2"] < -100
    assert trained.scores()[0]["epoch"] == 2


def test_units_change_the_outputs_and_nothing_else(zoo, short):
    """Targets times 1000 plus 5: the same training, and outputs in the new units."""
    other = replace(zoo, label=(1000 * zoo.label.astype(np.float64) + 5).astype(np.float32))
    trained = train(other, SHORT, TRIALS, progress=False)
    for mine, theirs in zip(short.scores(), trained.scores(), strict=True):
        assert mine["epoch"] == theirs["epoch"]
        for name in ("train_r2", "validation_r2", "loss"):
            assert mine[name] == pytest.approx(theirs[name], abs=1e-4)
    np.testing.assert_allclose(evaluate(trained, other), evaluate(short, zoo), atol=1e-4)
    np.testing.assert_allclose(
        outputs(trained.reader(1), other), 1000 * outputs(short.reader(1), zoo) + 5, rtol=1e-3, atol=0.05
    )


def test_every_target_has_its_own_unit_and_counts_alike(two):
    trained = train(two, LEARN, [Trial(0, 1e-2, 0.0)], progress=False)
    assert trained.history[-1]["train_r2"] > 0.9
    given, training = outputs(trained.reader(), two), two.split("train")
    assert given.shape == (COUNT, 2)
    for i in range(2):
        assert r2_of(given[two.columns["split"] == 0, i], training.label[:, i]) > 0.8
    test = two.split("test")
    assert evaluate(trained, two)[0] == pytest.approx(r2_of(outputs(trained.reader(), test), test.label), abs=1e-4)


def test_r2_is_that_of_numpy(getkey):
    target, given = jax.random.normal(getkey(), (300, 3)), jax.random.normal(getkey(), (300, 3))
    target = target + jnp.array([[2.0, 0.0, -1.0]])
    assert float(r2(lambda w: w, Arrays(given, target))) == pytest.approx(r2_of(given, target), rel=1e-5)
    assert float(r2(lambda w: w, Arrays(target, target))) == 1
    mean = jnp.broadcast_to(target.mean(axis=0), target.shape)
    assert float(r2(lambda w: w, Arrays(mean, target))) == pytest.approx(0, abs=1e-5)


def test_tau_is_that_of_scipy_on_what_the_reader_gives(two):
    """Targets of a few values, so that many tie."""
    rounded = replace(two, label=np.stack([np.round(two.label[:, 0], 1), two.label[:, 1]], axis=1))
    trained = train(rounded, SHORT, TRIALS, progress=False)
    test = rounded.split("test")
    assert len(np.unique(test.label[:, 0])) < len(test)
    for run, tau in enumerate(kendall_tau(trained, rounded)):
        given = outputs(trained.reader(run), test)
        found: list[Any] = [kendalltau(given[:, i], test.label[:, i], variant="b") for i in range(2)]
        expected = [result.statistic for result in found]
        assert tau == pytest.approx(float(np.mean(expected)), abs=1e-6)


def test_a_reader_that_gives_the_same_everywhere_ranks_nothing(zoo, short):
    same = short._replace(state=short.state._replace(best=jax.tree.map(jnp.zeros_like, short.state.best)))
    assert kendall_tau(same, zoo) == [0.0, 0.0]
    assert all(score <= 0 for score in evaluate(same, zoo))
    np.testing.assert_allclose(outputs(same.reader(), zoo), zoo.split("train").label.mean(), rtol=1e-5)


def test_the_test_split_has_no_part_in_training(zoo, short):
    test = zoo.columns["split"] == data.SPLITS.index("test")
    weights = jax.tree.map(lambda w: np.where(test.reshape(-1, *[1] * (w.ndim - 1)), w + 1, w), zoo.weights)
    other = replace(zoo, label=np.where(test, 9 - zoo.label, zoo.label).astype(np.float32), weights=weights)
    again = train(other, SHORT, TRIALS, progress=False)
    assert (bits(again.state), again.targets) == (bits(short.state), short.targets)
    assert evaluate(again, other) != evaluate(short, zoo)


@pytest.fixture
def gathered(monkeypatch) -> list[int]:
    """How many networks each call of `take` copied."""
    counts, take = [], data.WeightDataset.take

    def counted(self, rows):
        counts.append(len(rows))
        return take(self, rows)

    monkeypatch.setattr(data.WeightDataset, "take", counted)
    return counts


def test_a_split_is_gathered_once(zoo, short, gathered):
    train(zoo, SHORT, TRIALS, progress=False)
    assert gathered == [36, 12]
    gathered.clear()
    kendall_tau(short, zoo)
    assert gathered == [12]


def test_validation_is_in_the_units_of_the_training_split(zoo, short):
    """Other targets to choose by change the choice, not what is learned."""
    validation = zoo.columns["split"] == data.SPLITS.index("validation")
    other = replace(zoo, label=np.where(validation, 3 - 2 * zoo.label, zoo.label).astype(np.float32))
    again = train(other, SHORT, TRIALS, progress=False)
    assert again.targets == short.targets
    assert bits(again.state.parameters) == bits(short.state.parameters)
    assert [r["validation_r2"] for r in again.history] != [r["validation_r2"] for r in short.history]


def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(zoo, short, tmp_path, monkeypatch):
    append = metrics.append

    def stop_after_two(path, records):
        append(path, records)
        if records[0]["epoch"] == 4:
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(metrics, "append", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        train(zoo, SHORT, TRIALS, tmp_path / "run", progress=False, checkpoint_seconds=0.0)
    assert checkpoint.epochs(tmp_path / "run") == [2]
    resumed = train(zoo, SHORT, TRIALS, tmp_path / "run", progress=False)
    assert bits(resumed.state) == bits(short.state)
    assert without_seconds(resumed.history) == without_seconds(short.history)
    loaded = load_trained(tmp_path / "run")
    assert loaded.targets == short.targets
    network = zoo.network(0)
    np.testing.assert_array_equal(load(tmp_path / "run", 1)(network), short.reader(1)(network))
    assert evaluate(loaded, zoo) == evaluate(short, zoo)
    other = replace(zoo, label=2 * zoo.label)
    with pytest.raises(ValueError, match=r"holds a training with other settings: .*targets\.mean\[0\] is .* there and"):
        train(other, SHORT, TRIALS, tmp_path / "run", progress=False)


@pytest.mark.parametrize("augment", ["mixup(low=0.5, high=0.5)", "mixup_with(low=0.5, high=0.5)", "mixup_hard"])
def test_mixing_takes_part(zoo, short, augment: str):
    mixed = train(zoo, replace(SHORT, augment=augment), TRIALS, progress=False)
    assert bits(mixed.state.parameters) != bits(short.state.parameters)


def test_mixed_targets_are_mixed_with_the_share_of_the_weights(zoo):
    """A target that is linear in the weights stays the same function of them: a linear reader goes on learning it."""
    linear = Plan("mlp", {"width": 32, "depth": 1}, "mixup(alpha=1.0)", epochs=200, batch_size=16, evaluate_every=50)
    assert train(zoo, linear, [Trial(0, 1e-2, 0.0)], progress=False).history[-1]["train_r2"] > 0.9


def test_what_works_on_classes_is_refused(zoo, two):
    for dataset in (zoo, two):
        for step in ("label_smoothing(rate=0.1)", "mixup_within_class", "dwsa_label_smoothing"):
            plan = replace(SHORT, augment=f"noise | with_probability(0.5, {step})")
            name = step.split("(")[0].removeprefix("dwsa_")
            with pytest.raises(ValueError, match=rf"^{name} in '.*': the labels of zoo are targets, .*; leave it out"):
                train(dataset, plan, progress=False)


def test_targets_that_cannot_be_learned_are_named(zoo, two):
    constant = replace(two, label=np.stack([two.label[:, 0], np.full(COUNT, np.float32(0.1))], axis=1))
    with pytest.raises(
        ValueError, match=r"target 1 of zoo is 0\.1 for each of 36 networks of the split 'train'; .*Leave"
    ):
        train(constant, SHORT, progress=False)
    validation = zoo.columns["split"] == data.SPLITS.index("validation")
    same = replace(zoo, label=np.where(validation, np.float32(0.25), zoo.label))
    with pytest.raises(ValueError, match=r"target 0 of zoo is 0\.25 for each of 12 networks of the split 'validation'"):
        train(same, SHORT, progress=False)
    for bad in (np.nan, np.inf, -np.inf):
        label = two.label.copy()
        label[[0, 5], 1] = bad
        with pytest.raises(
            DataError, match=r"target 1 of zoo is not finite for 2 of 36 networks .*'train' \(rows 0, 3\)"
        ):
            train(replace(two, label=label), SHORT, progress=False)
    with pytest.raises(
        ValueError, match=r"labels of zoo have shape \(36, 2, 1\); expected \(networks,\) or \(networks, t"
    ):
        train(replace(two, label=two.label[:, :, None]), SHORT, progress=False)
    with pytest.raises(ValueError, match=r"target 0 of zoo runs from .*e\+.*; expected numbers whose differences "):
        train(replace(zoo, label=zoo.label.astype(np.float64) * 1e50), SHORT, progress=False)
    far = 1e6 + 0.01 * zoo.label.astype(np.float64)  # float32 has steps of 0.06 there
    with pytest.raises(ValueError, match=r"target 0 of zoo .* give the target in another unit, or less an offset"):
        train(replace(zoo, label=far), SHORT, progress=False)


def test_floats_where_the_card_names_classes_are_refused(zoo):
    named = replace(zoo, card=replace(zoo.card, classes=("a", "b")))
    with pytest.raises(
        ValueError, match=r"labels of zoo are floats and its card names 2 classes; expected whole numbers"
    ):
        train(named, SHORT, progress=False)


def test_whole_numbers_without_classes_are_refused_as_before(zoo):
    with pytest.raises(ValueError, match=r"the card names no classes; expected one at least"):
        train(replace(zoo, label=np.arange(COUNT, dtype=np.int32) % 3), SHORT, progress=False)


def test_other_targets_than_those_trained_on_are_not_scored(zoo, two, short, networks, trained):
    with pytest.raises(
        ValueError, match=r"labels of zoo have 2 targets a network; expected 1, as the reader was trained"
    ):
        evaluate(short, two)
    whole = replace(zoo, label=np.arange(COUNT, dtype=np.int32))
    for read in (evaluate, kendall_tau):
        with pytest.raises(
            ValueError, match=r"labels of zoo have dtype int32; expected floats, as the reader gives targ"
        ):
            read(short, whole)
    with pytest.raises(ValueError, match=r"trained on the classes of digits; expected one trained on float targets"):
        kendall_tau(trained, networks)


def test_scores_over_copies_are_those_of_the_averaged_reader(zoo, short):
    moved = {"copies": 3, "augment": "noise(std=0.5)"}
    averaged = OverCopies(short.reader(), network_from_spec("noise(std=0.5)", zoo.symmetry), 3, key=jax.random.key(0))
    part = zoo.split("test")
    given = np.asarray(jax.jit(jax.vmap(averaged))(part.weights))[:, 0]
    by_hand = 1 - np.sum((part.label - given) ** 2) / np.sum((part.label - part.label.mean()) ** 2)
    assert evaluate(short, zoo, **moved)[0] == pytest.approx(by_hand, abs=1e-4)
    rank: Any = kendalltau(given, part.label)
    assert kendall_tau(short, zoo, **moved)[0] == pytest.approx(rank.statistic, abs=1e-6)
    assert evaluate(short, zoo, **moved) != evaluate(short, zoo)


def test_scores_of_a_regressor_are_r2_and_tau_in_rows_and_tables(zoo, short):
    test, taus = evaluate(short, zoo), kendall_tau(short, zoo)
    row = score_row(short, test, taus)
    assert row["test_r2_mean"] == pytest.approx(np.mean(test))
    assert (row["test_r2s"], row["test_taus"]) == (test, taus)
    assert not [name for name in row if "accurac" in name]
    table = summary_table({"mlp": row})
    assert "test tau" in table
    assert f"{np.mean(test):.3f} ± {np.std(test, ddof=1):.3f}" in table
    assert "tau" not in summary_table({"mlp": score_row(short, test)})
    assert "%" not in table


def test_metrics_are_r2(zoo, tmp_path):
    train(zoo, replace(SHORT, epochs=2), out=tmp_path / "run", progress=False)
    (line,) = (tmp_path / "run" / record.METRICS).read_text().splitlines()
    names = ["epoch", "run", "seed", "loss", "train_r2", "validation_r2", "seconds"]
    assert list(json.loads(line)) == names


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_targets_of_any_floating_type_train(zoo, dtype: str):
    label = np.asarray(jnp.asarray(zoo.label).astype(dtype)) if dtype != "float64" else zoo.label.astype(dtype)
    trained = train(replace(zoo, label=label), replace(SHORT, epochs=2), progress=False)
    assert trained.reader()(zoo.network(0)).dtype == jnp.float32


def test_a_head_that_trains_alone_predicts_targets(zoo):
    plan = Plan("dws", {"channels": 2, "head": 8}, epochs=2, batch_size=16, evaluate_every=2, trains="head")
    trained = train(zoo, plan, progress=False)
    drawn = start(zoo.card, plan, [Trial()], trained.targets)[0].parameters
    assert bits(trained.state.parameters.layers) == bits(drawn.layers)
    assert bits(trained.state.parameters.last) != bits(drawn.last)
