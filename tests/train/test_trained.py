"""What a training leaves: it loads as it was, is scored on its own kind of networks only, and gives rows of tables.

And what JAX's users switch on: a training goes through it, and gives what it gives without where that may be.
"""

import contextlib
import copy
import itertools
import json
import pickle
import time
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from tests.train.helpers import CONFIG, RUNS, SMALL, assert_close, bits, dws, programs, trained_on
from wsjax.errors import DataError, json_differences
from wsjax.floats import on_device
from wsjax.models import DWS, FlatMLP, NamedReader
from wsjax.storage.files import write_checked_json
from wsjax.train import Contrastive, Run, TrainConfig, evaluate, fit, kendall_tau, load, predict, record, results
from wsjax.train.contrastive import features_of
from wsjax.train.model import contents_of
from wsjax.train.results import row_of, stopwatch, summary_table


def test_loading_by_name_gives_the_trained_reader(networks, trained, tmp_path):
    """And what it gives is what `predict` gives, for one network, stacked ones and a split."""
    fit(networks, dws(networks), CONFIG, runs=RUNS, out=tmp_path / "run", progress=False)
    loaded = load(tmp_path / "run")
    assert bits(loaded.state) == bits(trained.state)
    assert (loaded.metadata, loaded.task, loaded.name) == (trained.metadata, trained.task, "dws")
    assert evaluate(loaded, networks) == evaluate(trained, networks)
    stacked = loaded.predict(networks.weights, 1)
    np.testing.assert_array_equal(stacked, trained.predict(networks.weights, 1))
    np.testing.assert_allclose(predict(loaded, networks, run=1), stacked[networks.columns["split"] == 2], atol=1e-6)
    one, model = loaded.predict(networks.network(3), run=1), trained.model(1)
    by_hand = jax.jit(lambda w: model(w))(networks.network(3))
    assert (one.shape, stacked.shape) == ((10,), (40, 10))
    for found in (one, stacked[3]):
        np.testing.assert_allclose(found, by_hand, atol=1e-6)
    right = np.argmax(predict(loaded, networks), axis=1) == networks.split("test").label
    np.testing.assert_allclose(right.mean(), evaluate(loaded, networks)[0], atol=1e-6)


def test_a_reader_with_other_constants_is_not_loaded(networks, run):
    """Its parameters have the same shapes."""
    plain = lambda key: FlatMLP(networks.symmetry, 10, width=2, depth=1, key=key)
    with pytest.raises(ValueError, match=r"run in .*: constants\.model\.normalizer\.scale\.bits is 'SHA-256 .*' there"):
        load(run, plain)
    one, other = [
        contents_of(DWS(networks.symmetry, 10, channels=2, pooling=p, key=jax.random.key(0))) for p in ("max", "mean")
    ]
    assert one["parameters"] == other["parameters"]
    assert any("pooling" in line for line in json_differences(one, other))
    assert contents_of({"rows": np.int64(8)}) == contents_of({"rows": 8}) != contents_of({"rows": 9})


def test_loading_reads_no_spec(networks, run):
    """It may name augmentations that a process which predicts has not registered."""
    content = record.read_proved(run / record.RECORD)
    write_checked_json(run / record.RECORD, {**content, "config": {**content["config"], "augment": "unregistered"}})
    found = load(run)
    assert found.config.augment == "unregistered"
    mean = np.mean([line["validation_accuracy"] for line in found.scores()])
    assert repr(found) == f"Result(mlp, 2 runs, 6 epochs, mean validation accuracy {mean:.1%})"


def test_a_history_that_lacks_an_evaluation_is_named(networks, run):
    """Where a checkpoint stands beside it: the scores of the epochs that are left would be those of the training."""
    path = run / record.METRICS
    lines = path.read_text().splitlines(keepends=True)
    for left in (lines[2:], lines[:2], [*lines[:3], *lines[4:]], []):
        path.write_text("".join(left))
        for read in (lambda: load(run), lambda: trained_on(networks, out=run)):
            with pytest.raises(
                DataError, match=rf"metrics\.jsonl has {len(left)} records up to epoch 6; expected 6, one"
            ):
                read()


def test_networks_of_another_symmetry_have_no_prediction(networks, trained, untyped):
    for other in ([*networks.weights, networks.weights[0]], [], networks.network(0)[:1]):
        with pytest.raises(ValueError, match=r"structure of this Symmetry|expected"):
            trained.predict(other)
    with pytest.raises(TypeError, match=r"weights is the data set digits; expected networks: result\.predict\(dataset"):
        trained.predict(networks)
    calls: list[Any] = [predict, evaluate, kendall_tau]
    for of_a_split in calls:
        with pytest.raises(TypeError, match=r"result is 'runs/mine'; expected what train\.fit or train\.load gave: tr"):
            of_a_split("runs/mine", networks)
        with pytest.raises(TypeError, match=r"dataset is 'runs/set'; expected a WeightDataset, such as data"):
            of_a_split(trained, "runs/set")
    assert trained.predict(networks.take([]).weights).shape == (0, 10)


def test_the_table_is_that_of_the_selected_epochs(trained):
    head, *lines = trained.table().splitlines()
    assert head.split() == ["seed", "epoch", "train", "validation"]
    for line, chosen in zip(lines, trained.scores(), strict=True):
        shown = [f"{chosen[f'{name}_accuracy']:.1%}" for name in ("train", "validation")]
        assert line.split() == [str(chosen["seed"]), str(chosen["epoch"]), *shown]


def test_one_program_predicts_one_more_scores_and_none_makes_the_model(networks, trained):
    few = networks.take(np.arange(len(networks) - 1))  # shapes that no other test compiled
    assert programs(lambda: trained.model(1)) == 0
    assert [programs(lambda: trained.predict(few.weights)) for _ in range(2)] == [1, 0]
    for settings, first in (({}, 2), ({"copies": 2, "augment": "flip_signs | noise(std=0.1)"}, 1)):
        of = lambda settings=settings: programs(lambda: evaluate(trained, few, "train", **settings))
        assert [of() for _ in range(3)] == [first, 0, 0]


def test_a_users_arrays_may_change_after_they_are_put_on_the_device():
    """On a CPU JAX would share the memory of an aligned array."""
    memory = np.zeros(4 * 64, np.uint8)
    weights = memory[-memory.ctypes.data % 64 :][:64].view(np.float32)
    found = on_device([weights])[0]
    weights[:] = 5
    assert not np.asarray(found).any()


def test_networks_of_another_kind_are_not_scored(networks, trained):
    metadata = networks.metadata
    for change, named in (
        ({"classes": metadata.classes[::-1]}, r"classes is \('9'.*; expected \('0'"),
        ({"network": replace(metadata.network, offset=0.0)}, r"network is Network\(.*offset=0\.0.*offset=0\.5"),
        ({"network": None}, r"network is None; expected Network\("),
    ):
        other = replace(networks, metadata=replace(metadata, **change))
        for read in (evaluate, predict):
            with pytest.raises(ValueError, match=rf"(?s)is not of the kind that the model was trained on.*{named}"):
                read(trained, other)
    renamed = replace(networks, metadata=replace(metadata, name="others"))
    assert evaluate(trained, renamed) == evaluate(trained, networks)


def test_a_run_that_there_is_not_is_refused(networks, trained):
    for run in (2, 7, -3):
        for read in (trained.model, lambda run: trained.predict(networks.weights, run)):
            with pytest.raises(IndexError, match=rf"there is no run {run}; expected 0 to 1, or -2 to -1 from the end"):
                read(run)


def test_a_run_loads_under_other_settings_of_jax(networks, run):
    expected, key = bits(load(run).state), np.asarray(jax.random.key_data(load(run).state.key))
    weights = networks.network(0)
    plain = np.asarray(load(run).model()(weights))
    for settings in (jax.enable_x64(True), jax.default_prng_impl("rbg")):
        with settings:
            found = load(run)
            assert bits(found.state) == expected
            np.testing.assert_array_equal(jax.random.key_data(found.state.key), key)
            np.testing.assert_allclose(found.model()(weights), plain, atol=1e-6)


def test_networks_that_are_not_finite_are_not_scored(networks, trained):
    broken = jax.tree.map(np.array, networks.weights)
    broken[0].kernel[networks.columns["split"] == 2] = np.nan
    with pytest.raises(DataError, match=r"the split 'test' of digits: weights\[0\]\.kernel is not finite"):
        evaluate(trained, replace(networks, weights=broken))


def test_settings_take_numpys_numbers(networks, untyped):
    number: Any = lambda kind, value: kind(value)  # settings are declared as Python's
    run = Run(number(np.int64, 3), number(np.float32, 0.25), augment=None)
    config = TrainConfig(epochs=number(np.int32, 4), evaluate_every=number(np.int8, 2))
    named = NamedReader("mlp", networks.metadata, {"width": np.int64(2)})
    stored = json.loads(json.dumps([run.to_json(), config.to_json(), named.to_json()]))
    assert stored[0] == {"seed": 3, "learning_rate": 0.25}
    assert (type(run.seed), type(config.epochs), stored[2]["settings"]["width"]) == (int, int, 2)


def test_a_row_has_the_means_and_deviations_of_its_runs(networks, trained):
    test, chosen = evaluate(trained, networks), trained.scores()
    row = row_of(trained, test)
    assert row["test_accuracies"] == test
    assert row["best_epochs"] == [line["epoch"] for line in chosen]
    for name, key in (("train_accuracy", "final_train_accuracy"), ("validation_accuracy", "validation_accuracy")):
        assert row[f"{name}_mean"] == pytest.approx(np.mean([line[key] for line in chosen]))
    assert row["test_accuracy_sd"] == pytest.approx(np.std(test, ddof=1))
    assert row["run"] == {"learning_rate": 3e-3, "weight_decay": 0.1, "dropout_rate": 0.0}
    assert row["augment"] == trained.config.augment
    assert f"{np.mean(test):.1%} ± {np.std(test, ddof=1):.1%}" in summary_table({"dws": row}, {"dws": "DWS"})


def test_one_seed_has_no_deviation(trained):
    row = row_of(trained, [0.25, 0.5], runs=[1])
    assert (row["test_accuracies"], row["test_accuracy_sd"], row["validation_accuracy_sd"]) == ([0.5], None, None)
    assert row["run"]["dropout_rate"] == 0.1
    assert "±" not in summary_table({"dws": row})
    assert summary_table({"dws": row_of(trained, [0.25, 0.5])}).count("±") == 2


def test_seconds_are_those_of_all_starts_until_the_work_was_finished(tmp_path, monkeypatch):
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr(results.time, "monotonic", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt), stopwatch(tmp_path / "work"):
        raise KeyboardInterrupt
    for _ in range(2):  # the second finds all done
        with stopwatch(tmp_path / "work") as spent:
            pass
        assert spent["seconds"] == 20.0
    spans = [("", 0.0, 3.0), ("", 1.0, 2.0), ("", 2.5, 4.0), ("", 10.0, 11.0)]  # a second counts once
    monkeypatch.setattr(results, "compilations", lambda: contextlib.nullcontext(spans))
    with stopwatch(tmp_path / "compiled") as spent:
        pass
    assert spent["compile_seconds"] == 5.0


def test_compilation_is_counted_and_told_apart_from_the_rest(tmp_path):
    with stopwatch(tmp_path) as spent:
        program = jax.jit(lambda x: x + 1)
        program(np.float32(0))
        program(np.float32(1))
        time.sleep(0.5)
    assert spent["programs"] == 1
    assert 0 < spent["compile_seconds"] <= spent["seconds"] - 0.5


PLAIN = TrainConfig(epochs=1, batch_size=64)
"""One step."""


def test_debug_nans_finds_none(networks, small):
    with jax.debug_nans(True):
        found = trained_on(networks)
        scores = evaluate(found, networks)
        learned = trained_on(networks, replace(SMALL, epochs=12, evaluate_every=4), task=Contrastive())
    assert bits(found.state) == bits(small.state)
    assert scores == evaluate(small, networks)
    assert np.isfinite(learned.history[-1]["loss"])


@pytest.mark.slow
def test_without_compilation_a_step_is_the_same_up_to_rounding(networks):
    few = networks.take(np.concatenate([np.flatnonzero(networks.columns["split"] == n)[:4] for n in range(3)]))
    expected = trained_on(few, PLAIN)
    with jax.disable_jit():
        found = trained_on(few, PLAIN)
        scores = evaluate(found, few)
        features = features_of(found.model(), few.weights)
    assert_close(found.state.parameters, expected.state.parameters, 1e-6)
    np.testing.assert_allclose(scores, evaluate(expected, few), atol=1e-6)
    np.testing.assert_allclose(features, features_of(expected.model(), few.weights), atol=1e-6)


def test_a_training_under_other_settings_loads_under_any_and_goes_on_under_its_own_alone(networks, tmp_path):
    with (
        jax.enable_x64(True),
        jax.default_prng_impl("unsafe_rbg"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        expected = trained_on(networks, PLAIN, out=tmp_path)
        assert {leaf.dtype for leaf in jax.tree.leaves(expected.state.parameters)} == {np.dtype(np.float64)}
        assert bits(trained_on(networks, PLAIN, out=tmp_path).state) == bits(expected.state)
    assert bits(load(tmp_path).state) == bits(expected.state)
    named = (
        r"other settings: jax\.default_prng_impl is 'unsafe_rbg' there and 'threefry2x32' here, jax\.enable_x64 is True"
    )
    with pytest.raises(ValueError, match=named):
        trained_on(networks, PLAIN, out=tmp_path)


def test_keys_of_before_draw_as_typed_ones_do(networks, small):
    keys = jax.random.key(3), jax.random.PRNGKey(3)
    read = jax.jit(lambda weights: [small.model()(weights, key=key, dropout_rate=0.5) for key in keys])
    typed, legacy = read(networks.network(0))
    np.testing.assert_array_equal(typed, legacy)


def test_a_state_may_be_donated_and_one_array_is_never_two_leaves_of_it(small):
    state = pickle.loads(pickle.dumps(small.state))
    moved = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf, state), donate_argnums=0)(jax.device_put(state))
    assert bits(moved) == bits(small.state)
    for own in (small.state.parameters, small.state.best, small.state.optimizer):
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(own))
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(small.state._replace(key=None))]
    assert len(set(places)) == len(places)


def test_what_a_training_leaves_pickles_and_copies(networks, small, run):
    pickled = lambda value: pickle.loads(pickle.dumps(value))
    for other in (pickled(small), copy.deepcopy(small), pickled(load(run))):
        assert bits(other.state) == bits(small.state)
        assert (other.config, other.runs, other.task) == (small.config, small.runs, small.task)
        assert evaluate(other, networks) == evaluate(small, networks)
    model, weights = pickled(load(run).model(1)), networks.network(0)
    np.testing.assert_array_equal(jax.jit(lambda w: model(w))(weights), jax.jit(lambda w: small.model(1)(w))(weights))
