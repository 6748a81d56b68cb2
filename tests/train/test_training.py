"""Training: what it learns, what it keeps, and that a break changes nothing."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wsjax import data
from wsjax.devices import data_mesh
from wsjax.errors import DataError
from wsjax.train import Plan, Trial, evaluate, load, load_trained, metrics, record, train
from wsjax.train.journal import interrupts_held_back
from wsjax.train.loop import arrays
from wsjax.train.step import Arrays, accuracy, epoch_order

PLAN = Plan(
    "dws", {"channels": 2, "head": 8}, "flip_signs | noise(std=0.05)", epochs=6, batch_size=16, evaluate_every=2
)
TRIALS = (Trial(0, 3e-3), Trial(1, 6e-3, dropout=0.1))


def bits(tree) -> list[bytes]:
    raw = jax.tree.map(lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, tree)
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(raw)]


@pytest.fixture(scope="session")
def trained(networks):
    return train(networks, PLAN, TRIALS, progress=False)


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
        for name, split in (("train_accuracy", "train"), ("validation_accuracy", "validation")):
            found = accuracy(reader, arrays(networks, split))
            np.testing.assert_allclose(float(found), score[name], atol=1e-6)


def test_the_test_split_has_no_part_in_training(networks, trained):
    """Other labels and weights in the test split change nothing but the final score."""
    test = networks.columns["split"] == data.SPLITS.index("test")
    label = np.where(test, (networks.label + 1) % 10, networks.label).astype(np.int32)
    weights = jax.tree.map(lambda w: np.where(test.reshape(-1, *[1] * (w.ndim - 1)), w + 1, w), networks.weights)
    other = replace(networks, label=label, weights=weights)
    assert bits(train(other, PLAN, TRIALS, progress=False).state) == bits(trained.state)


def test_the_normaliser_is_untouched(trained):
    before = load_normaliser(trained.frozen)
    assert all(float(s) > 0 for s in before.scale)
    assert jax.tree.leaves(trained.state.parameters.normaliser) == []


def load_normaliser(frozen):
    return frozen.normaliser


@pytest.mark.parametrize(("augment", "asks"), [("mixup_views", True), ("mixup", False)])
def test_views_of_one_image_are_known_to_the_augmentation_that_asks(networks, augment: str, asks: bool):
    one_image = {**networks.columns, "image": np.zeros(len(networks), np.int32)}
    plan = Plan("mlp", {"width": 2, "depth": 1}, augment, epochs=1, batch_size=16, evaluate_every=1)
    apart, together = (
        train(dataset, plan, progress=False) for dataset in (networks, replace(networks, columns=one_image))
    )
    assert (bits(apart.state) != bits(together.state)) == asks


def test_augmentations_in_units_of_the_data_set_know_the_training_split_alone(networks):
    def trained_beside(split: str) -> list[bytes]:
        chosen = networks.columns["split"] == data.SPLITS.index(split)
        weights = jax.tree.map(lambda w: np.where(chosen.reshape(-1, *[1] * (w.ndim - 1)), 2 * w, w), networks.weights)
        plan = Plan("mlp", {"width": 2, "depth": 1}, "noise_shared | towards_mean", 1, 16, evaluate_every=1)
        return bits(train(replace(networks, weights=weights), plan, progress=False).state.parameters)

    validation, test, training = map(trained_beside, ("validation", "test", "train"))
    assert validation == test != training


def test_accuracy_counts_right_answers():
    stacked = Arrays(jnp.eye(4)[:, :3], jnp.array([0, 1, 2, 1]))
    assert float(accuracy(lambda w: w, stacked)) == 0.75


def test_an_epoch_sees_every_network_and_fills_the_last_batch(getkey):
    order = epoch_order(getkey(), jnp.int32(3), 10, 4)
    assert order.shape == (3, 4)
    assert set(np.asarray(order).reshape(-1)[:10]) == set(range(10))
    assert not np.array_equal(order, epoch_order(getkey(), jnp.int32(3), 10, 4))


def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(networks, trained, tmp_path, monkeypatch):
    """Break after the first evaluation, as Ctrl-C would, and go on in a second call."""
    append, calls = metrics.append, []

    def interrupt(path, records):
        append(path, records)
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(metrics, "append", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(networks, PLAN, TRIALS, tmp_path / "run", progress=False)
    resumed = train(networks, PLAN, TRIALS, tmp_path / "run", progress=False)
    assert bits(resumed.state) == bits(trained.state)
    strip = lambda history: [{k: v for k, v in r.items() if k != "seconds"} for r in history]
    assert strip(metrics.read(tmp_path / "run" / record.METRICS)) == strip(trained.history)


def test_loading_gives_the_trained_reader(networks, trained, tmp_path):
    train(networks, PLAN, TRIALS, tmp_path / "run", progress=False)
    loaded = load_trained(tmp_path / "run")
    assert bits(loaded.state) == bits(trained.state)
    network = networks.network(0)
    np.testing.assert_array_equal(load(tmp_path / "run", 1)(network), trained.reader(1)(network))
    assert evaluate(loaded, networks) == evaluate(trained, networks)


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics.append(path, [{"epoch": 1}, {"epoch": 2}])
    path.write_text(path.read_text() + '{"epoch": 3, "lo')
    assert [r["epoch"] for r in metrics.read(path)] == [1, 2]
    assert [r["epoch"] for r in metrics.rewind(path, 1)] == [1]


def test_data_parallel_training_agrees_with_one_device(networks):
    plan = replace(PLAN, epochs=4, evaluate_every=4, batch_size=16)
    alone = train(networks, plan, TRIALS[:1], progress=False)
    spread = train(networks, plan, TRIALS[:1], mesh=data_mesh(4), progress=False)
    assert int(alone.state.step[0]) >= 8
    for a, b in zip(jax.tree.leaves(alone.state.parameters), jax.tree.leaves(spread.state.parameters), strict=True):
        np.testing.assert_allclose(a, np.asarray(b), atol=1e-5)


INTERRUPTED = """
    from wsjax import data
    from wsjax.networks import Network
    from wsjax.train import Plan, Trial, train
    recipe = data.Recipe(Network("siren", (2, 4, 4, 1), w0=(3.0,), offset=0.5), steps=20, learning_rate=2e-2, lanes=8)
    networks = data.fit_dataset_in_memory(data.limit(data.load_images("digits"), 40), recipe, progress=False)
    plan = Plan("mlp", {"width": 8}, "flip_signs", epochs=40000, batch_size=16, evaluate_every=20)
    train(networks, plan, [Trial(0)], "OUT", progress=False, checkpoint_seconds=0.2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_process_stopped_for_real_leaves_a_run_that_loads(number, tmp_path):
    out = tmp_path / "run"
    code = textwrap.dedent(INTERRUPTED).replace("OUT", str(out))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(metrics.read(out / record.METRICS)) < 8 and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, number)
    printed, _ = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert f"is safe in {out}; the same command goes on" in printed
    assert load_trained(out).history[-1]["epoch"] > 0


def test_ctrl_c_while_a_checkpoint_is_written_waits_until_it_is_whole():
    done = []

    def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        done.append("went on")

    def saving():
        with interrupts_held_back():
            interrupted()

    with pytest.raises(KeyboardInterrupt):
        saving()
    assert done == ["went on"]
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["went on"]


def test_other_settings_in_the_same_place_are_refused(networks, tmp_path, untyped):
    short = replace(PLAN, epochs=2)
    train(networks, short, TRIALS, tmp_path / "run", progress=False)
    with pytest.raises(
        ValueError, match=r"run holds a training with other settings: plan\.epochs is 2 there and 4 here"
    ):
        train(networks, replace(PLAN, epochs=4), TRIALS, tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match=r"trials\[1\]\.learning_rate is 0\.006 there and 0\.1 here"):
        train(networks, short, (TRIALS[0], replace(TRIALS[1], learning_rate=0.1)), tmp_path / "run", progress=False)


def test_a_directory_that_is_no_run_is_named(tmp_path, untyped):
    with pytest.raises(DataError, match=r"run\.json does not exist; expected the directory of a run"):
        load(tmp_path)
    (tmp_path / record.RECORD).write_text('{"plan": ')
    with pytest.raises(DataError, match=r"run\.json is damaged at line 1"):
        load(tmp_path)


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


def test_a_missing_split_is_named(networks, untyped):
    only = networks.split("train")
    with pytest.raises(ValueError, match=r"digits has no network in the split 'validation'"):
        train(only, PLAN, TRIALS, progress=False)


def test_metrics_are_plain_json(networks, tmp_path):
    train(networks, replace(PLAN, epochs=2), TRIALS, tmp_path / "run", progress=False)
    lines = (tmp_path / "run" / record.METRICS).read_text().splitlines()
    names = {"epoch", "run", "seed", "loss", "train_accuracy", "validation_accuracy", "seconds"}
    assert all(set(json.loads(line)) == names for line in lines)
