"""The picture of a zoo counts every network once, at its last step, and shows what was drawn."""

from dataclasses import replace

import numpy as np
import pytest

from tests.viz.conftest import random_networks
from wsjax import data, viz
from wsjax.networks import Network


@pytest.fixture(scope="module")
def zoo():
    """Six networks of two snapshots each, the last run diverged; no fit is needed to draw."""
    net = Network("mlp", (4, 2, 3), "relu")
    run, view = np.divmod(np.arange(12), 2)
    rng = np.random.default_rng(0)
    drawn = {n: rng.uniform(0.1, 1, 6)[run] for n in ("learning_rate", "weight_decay", "init_scale", "train_fraction")}
    columns = {
        **drawn,
        "run": run,
        "view": view,
        "split": np.zeros(12, np.int8),
        "dropout": np.zeros(12),
        "label_noise": np.full(12, 0.1),
        "optimizer": (run % 2).astype(np.int8),
        "diverged": (run == 5).astype(np.int8),
        "train_accuracy": np.where(view == 1, 0.9, 0.1),
        "test_accuracy": np.where(view == 1, 0.2 + 0.1 * run, 0.0),
    }
    metadata = data.Metadata("tiny-zoo", None, net.symmetry, label="target", source={"name": "tiny"})
    return data.WeightDataset(random_networks(net, 12), columns["test_accuracy"].astype(np.float32), columns, metadata)


def test_a_zoo_is_drawn_at_its_last_step(zoo, tmp_path):
    page = viz.zoo(zoo, tmp_path / "zoo.png")
    assert (tmp_path / "zoo.png").read_bytes().startswith(b"\x89PNG")
    words = " ".join(text.get_text() for text in page.texts)
    assert "from 20.0% to 70.0%, median 45.0%; 1 diverged (crosses)." in words
    assert "● adam" in words
    assert "● sgd" in words
    histogram, against, *settings = page.axes
    assert sum(bar.get_extents().height > 0 for bar in histogram.patches) == 6
    assert [axes.get_xlabel() for axes in settings] == ["learning rate", "weight decay", "init scale", "train fraction"]
    for axes in (against, *settings):
        points = [line for line in axes.lines if line.get_marker() in ("o", "x")]
        assert sum(len(np.asarray(line.get_xdata())) for line in points) == 6
        assert [len(np.asarray(line.get_xdata())) for line in points if line.get_marker() == "x"] == [0, 1]


def test_a_table_has_a_line_for_each_optimizer(zoo):
    head, adam, sgd = viz.zoo_table(zoo).splitlines()
    assert head.startswith("optimizer")
    assert adam.split() == ["adam", "3", "0", "20.0%", "40.0%", "60.0%", "90.0%"]
    assert sgd.split() == ["sgd", "3", "1", "30.0%", "50.0%", "70.0%", "90.0%"]


def test_another_data_set_is_refused(zoo):
    bare = replace(
        zoo, columns={name: c for name, c in zoo.columns.items() if name not in ("train_fraction", "diverged")}
    )
    with pytest.raises(ValueError, match="tiny-zoo has no columns diverged, train_fraction; expected a zoo"):
        viz.zoo(bare)
