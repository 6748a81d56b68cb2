"""The figures of how good networks are count each once: of a fit by PSNR and steps, of a zoo at its last step."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from tests.viz.conftest import random_networks
from tests.viz.test_figures import PNG
from wsjax import data, viz
from wsjax.networks import Network
from wsjax.viz.quality import zoo_table


@pytest.fixture
def stopped(dataset):
    """As if networks had stopped at a quality of their own."""
    steps = np.random.default_rng(0).choice([10, 12, 16], len(dataset)).astype(np.int32)
    return replace(dataset, columns={**dataset.columns, "steps": steps})


def test_every_network_counts_once(stopped, tmp_path):
    page = viz.quality(stopped, tmp_path / "quality.png")
    assert (tmp_path / "quality.png").read_bytes().startswith(PNG)
    assert [axes.get_xlabel() for axes in page.axes] == ["PSNR, dB", "steps made"]
    bars = [[bar for bar in axes.patches if isinstance(bar, Rectangle)] for axes in page.axes]
    assert [sum(bar.get_height() for bar in some) for some in bars] == [len(stopped)] * 2
    steps, counts = np.unique(stopped.columns["steps"], return_counts=True)
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bars[1]}
    assert {step: height for step, height in heights.items() if height} == dict(zip(steps, counts, strict=True))
    words = " ".join(text.get_text() for text in page.texts)
    psnr = stopped.columns["psnr"]
    assert f"mean {psnr.mean():.1f} dB, lowest {psnr.min():.1f} dB." in words
    assert " to train on, " in words


def test_a_fit_of_one_number_of_steps_has_no_histogram_of_them(dataset):
    assert len(viz.quality(dataset).axes) == 1


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
    assert (tmp_path / "zoo.png").read_bytes().startswith(PNG)
    words = " ".join(text.get_text() for text in page.texts)
    for said in ("from 20.0% to 70.0%, median 45.0%; 1 diverged (crosses).", "● adam", "● sgd"):
        assert said in words
    histogram, against, *settings = page.axes
    assert sum(bar.get_extents().height > 0 for bar in histogram.patches) == 6
    assert [axes.get_xlabel() for axes in settings] == ["learning rate", "weight decay", "init scale", "train fraction"]
    for axes in (against, *settings):
        points = [line for line in axes.lines if line.get_marker() in ("o", "x")]
        assert sum(len(np.asarray(line.get_xdata())) for line in points) == 6
        assert [len(np.asarray(line.get_xdata())) for line in points if line.get_marker() == "x"] == [0, 1]


def test_a_table_has_a_line_for_each_optimizer(zoo):
    head, adam, sgd = zoo_table(zoo).splitlines()
    assert head.startswith("optimizer")
    assert adam.split() == ["adam", "3", "0", "20.0%", "40.0%", "60.0%", "90.0%"]
    assert sgd.split() == ["sgd", "3", "1", "30.0%", "50.0%", "70.0%", "90.0%"]


def test_what_has_not_the_columns_or_no_network_is_refused(zoo, rows_of_mlp, dataset):
    bare = replace(zoo, columns={n: c for n, c in zoo.columns.items() if n not in ("train_fraction", "diverged")})
    for draw, given, message in (
        (viz.zoo, bare, "tiny-zoo has no columns diverged, train_fraction; expected a zoo"),
        (viz.quality, rows_of_mlp, r"color has the columns \['split'\]; expected psnr and steps"),
        (viz.quality, dataset.take(np.arange(0)), "digits has no networks here; expected at least one"),
    ):
        with pytest.raises(ValueError, match=message):
            draw(given)
