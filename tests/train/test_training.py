"""Training: what it learns, what it keeps, and what it refuses."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.cards import card
from tests.train.helpers import PLAN, SMALL, TRIALS, bits
from wsjax import data
from wsjax.devices import data_mesh
from wsjax.models import CONFIGS, SIZES, build, head_arrays
from wsjax.train import Arrays, Plan, Settings, Trial, accuracy, evaluate, train
from wsjax.train.inputs import arrays
from wsjax.train.loop import start
from wsjax.train.state import apart, optimiser, split
from wsjax.train.step import epoch_order


def test_a_reader_learns_its_training_split(networks):
    plan = Plan("mlp", {"width": 32}, epochs=60, batch_size=16, evaluate_every=60)
    assert train(networks, plan, [Trial(0, 1e-2, 0.0)], progress=False).history[-1]["train_accuracy"] > 0.9


def test_history_has_a_line_for_each_run_and_evaluation(trained):
    assert [(r["epoch"], r["run"], r["seed"]) for r in trained.history] == [
        (e, r, s) for e in (2, 4, 6) for r, s in ((0, 0), (1, 1))
    ]


def test_the_same_seed_gives_the_same_bits(networks, trained):
    again = train(networks, PLAN, TRIALS, progress=False)
    assert bits(again.state) == bits(trained.state)


def test_how_training_is_cut_into_scans_changes_no_bit(networks):
    whole, parts = (train(networks, replace(SMALL, evaluate_every=n), progress=False) for n in (6, 2))
    last = lambda state: bits((state.parameters, state.optimiser, state.step))
    assert last(whole.state) == last(parts.state)
    assert whole.history[-1]["validation_accuracy"] == parts.history[-1]["validation_accuracy"]
    assert (len(whole.history), len(parts.history)) == (1, 3)


def test_a_bar_counts_epochs_and_shows_the_accuracies(networks, capsys):
    last = train(networks, SMALL).history[-1]
    drawn = capsys.readouterr().err.rpartition("\r")[2]
    assert drawn.startswith("train mlp: 100%")
    assert " 6/6 " in drawn
    assert f"train={last['train_accuracy']:.1%}, validation={last['validation_accuracy']:.1%}]" in drawn
    train(networks, SMALL, progress=False)
    assert capsys.readouterr().err == ""


def test_seeds_differ(trained):
    kernels = jax.tree.leaves(trained.state.parameters)[0]
    assert float(jnp.abs(kernels[0] - kernels[1]).max()) > 1e-3


def test_the_best_validation_epoch_is_kept(networks, trained):
    """The reader given back is the one of the selected epoch: its accuracies are those of that line."""
    for run, score in enumerate(trained.scores()):
        lines = [r for r in trained.history if r["run"] == run]
        assert score["validation_accuracy"] == max(r["validation_accuracy"] for r in lines)
        first = next(r["epoch"] for r in lines if r["validation_accuracy"] == score["validation_accuracy"])
        assert score["epoch"] == first
        reader = trained.reader(run)
        for name, part in (("train_accuracy", "train"), ("validation_accuracy", "validation")):
            found = accuracy(reader, arrays(networks, part))
            np.testing.assert_allclose(float(found), score[name], atol=1e-6)


def test_the_test_split_has_no_part_in_training(networks, trained):
    """Other labels and weights in the test split change nothing but the final score."""
    test = networks.columns["split"] == data.SPLITS.index("test")
    label = np.where(test, (networks.label + 1) % 10, networks.label).astype(np.int32)
    weights = jax.tree.map(lambda w: np.where(test.reshape(-1, *[1] * (w.ndim - 1)), w + 1, w), networks.weights)
    other = replace(networks, label=label, weights=weights)
    assert bits(train(other, PLAN, TRIALS, progress=False).state) == bits(trained.state)


def test_the_normaliser_is_untouched(networks, trained):
    before = start(networks.card, PLAN, TRIALS)[1].normaliser
    after = trained.frozen.normaliser
    assert bits(after) == bits(before)
    assert all(float(s) > 0 for s in after.scale)
    assert jax.tree.leaves(trained.state.parameters.normaliser) == []


@pytest.mark.parametrize(("augment", "asks"), [("mixup_views", True), ("mixup", False)])
def test_views_of_one_image_are_known_to_the_augmentation_that_asks(networks, augment: str, asks: bool):
    one_image = {**networks.columns, "image": np.zeros(len(networks), np.int32)}
    plan = replace(SMALL, augment=augment, epochs=1, evaluate_every=1)
    apart, together = (
        train(dataset, plan, progress=False) for dataset in (networks, replace(networks, columns=one_image))
    )
    assert (bits(apart.state) != bits(together.state)) == asks


@pytest.mark.parametrize("augment", ["mixup_with", "mixup_views"])
def test_partners_out_of_a_pool_come_from_the_whole_training_split(networks, augment: str):
    """In a batch of one network a partner of the same batch would be the network itself, and change nothing."""
    plan = replace(SMALL, batch_size=1, epochs=1, evaluate_every=1)
    networks = replace(networks, columns={**networks.columns, "image": np.zeros(len(networks), np.int32)})
    plain, mixed = (
        jax.tree.leaves(train(networks, replace(plan, augment=augment), progress=False).state.parameters)
        for augment in ("", f"{augment}(low=0.5, high=0.5)")
    )
    assert max(float(jnp.abs(a - b).max()) for a, b in zip(plain, mixed, strict=True)) > 1e-3


@pytest.mark.parametrize("augment", ["noise_shared | towards_mean", "mixup_with", "mixup_views"])
def test_augmentations_that_look_beyond_the_batch_know_the_training_split_alone(networks, augment: str):
    plan = replace(SMALL, augment=augment, epochs=1, evaluate_every=1)
    networks = replace(networks, columns={**networks.columns, "image": np.zeros(len(networks), np.int32)})

    def trained_beside(split: str) -> list[bytes]:
        chosen = networks.columns["split"] == data.SPLITS.index(split)
        weights = jax.tree.map(lambda w: np.where(chosen.reshape(-1, *[1] * (w.ndim - 1)), 2 * w, w), networks.weights)
        return bits(train(replace(networks, weights=weights), plan, progress=False).state.parameters)

    validation, test, training = map(trained_beside, ("validation", "test", "train"))
    assert validation == test != training


def test_accuracy_counts_right_answers():
    stacked = Arrays(jnp.eye(4)[:, :3], jnp.array([0, 1, 2, 1]))
    assert float(accuracy(lambda w: w, stacked)) == 0.75


def test_an_epoch_sees_every_network_and_fills_the_last_batch_from_its_own_start(getkey):
    key = getkey()
    order = np.asarray(epoch_order(key, jnp.int32(3), 10, 4))
    assert order.shape == (3, 4)
    assert set(order.reshape(-1)[:10]) == set(range(10))
    np.testing.assert_array_equal(order.reshape(-1)[10:], order.reshape(-1)[:2])
    assert not np.array_equal(order, epoch_order(key, jnp.int32(4), 10, 4))


def test_data_parallel_training_agrees_with_one_device(networks):
    plan = replace(PLAN, epochs=4, evaluate_every=4, batch_size=16)
    alone = train(networks, plan, TRIALS[:1], progress=False)
    spread = train(networks, plan, TRIALS[:1], mesh=data_mesh(4), progress=False)
    assert int(alone.state.step[0]) >= 8
    for a, b in zip(jax.tree.leaves(alone.state.parameters), jax.tree.leaves(spread.state.parameters), strict=True):
        np.testing.assert_allclose(a, np.asarray(b), atol=1e-5)


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.75, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_every_legal_warmup_reaches_the_peak_rate(warmup: float, steps: int):
    """Adam answers a constant gradient with the rate itself."""
    rule = optimiser(replace(SMALL, warmup=warmup), Settings(*map(jnp.float32, (0.5, 0.0, 0.0))), steps)
    weight, rates = jnp.float32(1), []
    with jax.numpy_dtype_promotion("standard"):
        moments = rule.init(weight)
        for _ in range(steps):
            update, moments = rule.update(jnp.float32(1), moments, weight)
            rates.append(-float(update))  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(max(rates), 0.5, rtol=1e-4)


def test_a_training_of_one_step_moves_the_parameters(networks):
    plan = Plan("mlp", {"width": 2, "depth": 1}, epochs=1, batch_size=64, evaluate_every=1, warmup=1.0)
    before, after = start(networks.card, plan, [Trial(0)])[0], train(networks, plan, [Trial(0)], progress=False).state
    assert int(after.step[0]) == 1
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(after.parameters))
    assert bits(after.parameters) != bits(before.parameters)


def test_a_loss_that_is_not_finite_is_named(networks, untyped):
    plan = Plan("mlp", {"width": 8}, epochs=2, batch_size=16, evaluate_every=2, clip=1e30)
    with pytest.raises(FloatingPointError, match=r"loss of run 0 \(seed 7\) is nan.*Lower its learning rate, 1e\+25"):
        train(networks, plan, [Trial(7, learning_rate=1e25)], progress=False)


def test_settings_out_of_range_are_refused(untyped):
    with pytest.raises(ValueError, match=r"epochs is 5 and evaluate_every 2; .*multiple"):
        Plan(epochs=5, evaluate_every=2)
    with pytest.raises(ValueError, match=r"dropout is 1\.5; it must be one number in \[0, 0\.95\]"):
        Trial(dropout=1.5)
    with pytest.raises(ValueError, match=r"unknown reader 'dwz'"):
        Plan("dwz")


def test_no_trials_are_refused(networks):
    with pytest.raises(ValueError, match=r"there are no trials; expected at least one: pass \[Trial\(\)\]"):
        train(networks, SMALL, [], progress=False)


def test_a_missing_split_is_named(networks, untyped):
    only = networks.split("train")
    with pytest.raises(ValueError, match=r"digits has no network in the split 'validation'"):
        train(only, PLAN, TRIALS, progress=False)


def test_labels_that_are_no_classes_are_refused(networks):
    odd = replace(networks, label=networks.label > 4)
    with pytest.raises(ValueError, match=r"labels of digits have shape .* dtype bool; expected one whole number a"):
        train(odd, SMALL, progress=False)
    beyond = replace(networks, label=networks.label + np.int32(1))
    with pytest.raises(ValueError, match=r"labels of digits run from 1 to 10; its card names 10 classes: .* 0 to 9"):
        train(beyond, SMALL, progress=False)


def test_a_head_that_trains_alone_leaves_the_trunk_as_each_seed_drew_it(networks, trained):
    alone = train(networks, replace(PLAN, trains="head"), TRIALS, progress=False)
    drawn = start(networks.card, PLAN, TRIALS)[0].parameters
    moved = jax.tree.map(lambda new, old: bool(jnp.any(new != old)), alone.state.parameters, drawn)
    assert moved == head_arrays(drawn)
    assert all(jax.tree.leaves(jax.tree.map(lambda x, y: bool(jnp.any(x != y)), trained.state.parameters, drawn)))
    with pytest.raises(ValueError, match="unknown trains 'heads'; the valid ones are: all, head"):
        replace(PLAN, trains="heads")


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_reader_of_any_kind_is_known_to_the_compiled_step_by_its_structure(name):
    """The step is compiled once for a reader, whatever containers its modules hold: it is looked up by hash."""
    described = card()
    drawn = [build(name, described, SIZES[name]["small"], key=jax.random.key(seed)) for seed in (0, 1)]
    (_, one), (_, other) = (apart(fixed) for _, fixed in map(split, drawn))
    assert hash(one) == hash(other)
    assert one.structure == other.structure


def test_a_reader_whose_modules_hold_dicts_trains_and_is_scored(networks):
    small = {"width": 2, "edges": 2, "layers": 3, "waves": 0, "head": 2}
    plan = Plan("neural_graph", small, epochs=1, batch_size=16, evaluate_every=1)
    trained = train(networks, plan, progress=False)
    assert 0 <= evaluate(trained, networks)[0] <= 1


def test_a_step_in_bfloat16_moves_parameters_in_float32(networks, trained):
    rounded = train(networks, replace(PLAN, compute="bfloat16"), TRIALS, progress=False)
    leaves = zip(*(jax.tree.leaves(t.state.parameters) for t in (rounded, trained)), strict=True)
    assert all(a.dtype == b.dtype == jnp.float32 and bool(jnp.any(a != b)) for a, b in leaves)
    for found, exact in zip(rounded.history, trained.history, strict=True):
        np.testing.assert_allclose(found["loss"], exact["loss"], rtol=0.05)
    with pytest.raises(ValueError, match="unknown compute 'float16'; the valid ones are: float32, bfloat16"):
        replace(PLAN, compute="float16")
