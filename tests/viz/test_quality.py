"""The histograms of PSNR and steps count every network once."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from wsjax import viz


@pytest.fixture
def stopped(dataset):
    """As if networks had stopped at a quality of their own."""
    steps = np.random.default_rng(0).choice([10, 12, 16], len(dataset)).astype(np.int32)
    return replace(dataset, columns={**dataset.columns, "steps": steps})


def test_every_network_counts_once(stopped, tmp_path):
    page = viz.quality(stopped, tmp_path / "quality.png")
    assert (tmp_path / "quality.png").read_bytes().startswith(b"\x89PNG")
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


def test_what_was_not_fitted_is_refused(rows_of_mlp):
    with pytest.raises(ValueError, match=r"color has the columns \['split'\]; expected psnr and steps"):
        viz.quality(rows_of_mlp)


def test_no_networks_are_refused(dataset):
    with pytest.raises(ValueError, match="digits has no networks here; expected at least one"):
        viz.quality(dataset.take(np.arange(0)))
