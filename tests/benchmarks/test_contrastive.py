"""Cells of contrastive pre-training: what their rows say, and which splits they use."""

import json
from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest

from benchmarks.accuracy import contrastive
from benchmarks.accuracy.cell import run_cell
from benchmarks.accuracy.contrastive import PretrainCell, pretrained, run_pretrain_cell, score_test_once
from benchmarks.accuracy.probes import NEIGHBORS, C, Split, fit_probes
from tests.benchmarks.test_accuracy import TOY as LABELED
from wsjax.data.sources import SPLITS
from wsjax.models import make
from wsjax.train import Run

pytestmark = pytest.mark.xdist_group("accuracy")
VIEWS = "rotate(max_degrees=20) | scale(max_log=0.2)"
TOY = PretrainCell("toy", "probe", {"probes": 3, "width": 4}, "views", VIEWS, 2, 2, 16, Run(0, 1e-2), seeds=(1, 2))


def test_a_row_has_what_every_row_has_and_the_neighbors(networks, tmp_path):
    row = run_pretrain_cell(TOY, networks, tmp_path / "a")
    plain = run_cell(replace(LABELED, tried=(Run(),)), networks, tmp_path / "b")
    of_trained_readers = {"best_epochs", "train_accuracy_selected_mean"}  # the last step is kept
    assert set(plain) - of_trained_readers < set(row)
    assert (row["cell"], row["metric"], row["seeds"]) == ("toy/probe_pretrained/views/1", "accuracy", [1, 2])
    assert len(row["test_accuracies"]) == len(row["knn_tests"]) == 2
    assert row["knn_test_mean"] == pytest.approx(np.mean(row["knn_tests"]))
    assert all(choice["C"] in C and choice["neighbors"] in NEIGHBORS for choice in row["chosen"])
    assert row["parameters"] == 3 * 2  # the inputs
    assert row["history"]["epoch"] == [2, 2]
    assert set(row["history"]) == set(contrastive.CURVE)


def test_a_finished_cell_is_reused_and_another_one_there_is_refused(networks, tmp_path, monkeypatch):
    row = TOY.run(networks, tmp_path)
    monkeypatch.setattr(contrastive, "fit", None)
    assert TOY.run(networks, tmp_path) == row
    assert row == json.loads((tmp_path / "result.json").read_text())
    with pytest.raises(ValueError, match="holds the cell toy/probe_pretrained/views/1 with other settings"):
        replace(TOY, epochs=4).run(networks, tmp_path)


@pytest.fixture
def regression(networks):
    """The same networks with two targets each."""
    target = np.stack([networks.label, networks.columns["psnr"]], axis=1).astype(np.float32)
    return replace(networks, label=target, metadata=replace(networks.metadata, classes=()))


def test_a_cell_trains_and_chooses_without_the_test_split(regression, tmp_path):
    test = regression.columns["split"] == SPLITS.index("test")
    other = lambda w: np.where(test.reshape(-1, *[1] * (w.ndim - 1)), 5.0, w)
    spoiled = replace(regression, weights=jax.tree.map(other, regression.weights))
    one, two = TOY.run(regression, tmp_path / "one"), TOY.run(spoiled, tmp_path / "two")
    for name in ("chosen", "validation_accuracy_mean", "train_accuracy_mean", "history"):
        assert one[name] == two[name]
    assert one["test_accuracies"] != two["test_accuracies"]


def test_the_test_split_is_used_once_or_again_by_the_same_readers(networks, tmp_path):
    cell = replace(TOY, augment="", seeds=(1,))
    (reader,), _ = pretrained(cell, networks)
    features = [contrastive._split(reader, networks, name) for name in ("train", "validation")]
    probes = fit_probes(*features)
    assert score_test_once([reader], [probes], networks, tmp_path) == score_test_once(
        [reader], [probes], networks, tmp_path
    )
    (other,), _ = pretrained(replace(cell, seeds=(2,)), networks)
    chosen = probes._replace(linear=probes.linear._replace(setting=77.0))
    for readers, choices in (([other], [probes]), ([reader], [chosen])):
        with pytest.raises(ValueError, match="has used the test split once, with other readers"):
            score_test_once(readers, choices, networks, tmp_path)


def test_without_an_augmentation_the_trunk_stays_as_it_was_initialized(networks, tmp_path, monkeypatch):
    monkeypatch.setattr(contrastive, "fit", None)
    cell = replace(TOY, configuration="random", augment="")
    row = cell.run(networks, tmp_path)
    assert (row["epochs"], row["history"]["loss"]) == (0, [])
    (reader, *_), _ = pretrained(cell, networks)
    assert eqx.tree_equal(reader, make("probe", networks.metadata, TOY.settings, out_size=64, key=jax.random.key(1)))


def test_targets_are_scored_by_r2(regression, tmp_path):
    row = replace(TOY, augment="", seeds=(1, 2)).run(regression, tmp_path)
    assert row["metric"] == "r2"
    assert max(row["test_accuracies"]) < 1


def test_a_linear_model_finds_what_is_linear_and_neighbors_what_is_not():
    x = np.random.default_rng(0).normal(size=(400, 2)) * [1, 100]
    ring = (np.hypot(x[:, 0], x[:, 1] / 100) > 1.2).astype(np.int32)
    half = (x[:, 0] > 0).astype(np.int32)
    for label, better in ((half, 0), (ring, 1)):
        train, validation, test = (Split(x[i::3], label[i::3]) for i in range(3))
        scores = fit_probes(train, validation).scores(test)
        assert scores[better] > 0.9
        assert scores[better] > scores[1 - better]
    line = (x @ np.array([[1.0, 0.0], [2.0, 0.01]])).astype(np.float32)
    train, validation, test = (Split(x[i::3], line[i::3]) for i in range(3))
    linear, near = fit_probes(train, validation).scores(test)
    assert linear > 0.999 > near > 0.9


def test_the_strength_that_validation_likes_is_taken():
    rng = np.random.default_rng(1)
    x, label = rng.normal(size=(60, 40)), rng.integers(0, 2, 60)
    x[:, 0] += 2 * label  # one feature in forty says something: a strong penalty is better
    validation = Split(x[40:], label[40:])
    found = fit_probes(Split(x[:40], label[:40]), validation)
    assert found.linear.validation == found.scores(validation)[0]
    assert found.neighbors.validation == found.scores(validation)[1]
    assert (
        found.linear.validation
        >= fit_probes(Split(x[:40], label[:40]), Split(x[:40], label[:40])).scores(validation)[0]
    )
