"""Results as rows and tables, and the seconds that they took."""

import itertools
import time

import jax
import numpy as np
import pytest

from wsjax.train import evaluate, results
from wsjax.train.results import row_of, stopwatch, summary_table


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


def test_compilation_is_counted_and_told_apart_from_the_rest(tmp_path):
    with stopwatch(tmp_path) as spent:
        program = jax.jit(lambda x: x + 1)
        program(np.float32(0))
        program(np.float32(1))
        time.sleep(0.5)
    assert spent["programs"] == 1
    assert 0 < spent["compile_seconds"] <= spent["seconds"] - 0.5
