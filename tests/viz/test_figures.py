"""Every figure says what it should and is written as it should; how good it looks, eyes must judge."""

import importlib
from dataclasses import replace

import jax
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from tests.helpers import assert_identical
from wsjax import viz
from wsjax.augment import CATALOGUE
from wsjax.train.task import R2
from wsjax.viz.examples import caption, examples, line_of, partner_of

PNG = b"\x89PNG\r\n\x1a\n"


def texts(figure: Figure) -> list[str]:
    """All words of a figure, those of its axes included."""
    own = [*figure.texts, *(text for axes in figure.axes for text in (axes.xaxis.label, axes.title, *axes.texts))]
    return [text.get_text() for text in own if text.get_text()]


def drawn(axes: Axes) -> np.ndarray:
    """The one image of some axes."""
    return np.asarray(axes.images[0].get_array())


NOT_FOR_THESE = {"rescale", "rescale_uniform", "mix_basis", "mix_channels", "gray"}
"""What a SIREN of one color does not allow."""


@pytest.mark.slow
def test_the_gallery_shows_the_whole_catalogue(twins, tmp_path):
    figure = viz.gallery(twins, 0, tmp_path / "new" / "gallery.png", draws=2)
    words = texts(figure)
    assert set(CATALOGUE) <= set(words)
    assert {entry.effect for entry in CATALOGUE.values()} <= set(words)
    refused = [text for text in words if text.startswith("not for these networks: ")]
    assert {text.split(": ")[1].split()[0] for text in refused} == NOT_FOR_THESE
    assert "offset = 0.5" in "\n".join(words).splitlines()  # the metadata's own, and no default
    # An image over a strip: the network and its draws, in each line as many.
    assert len(figure.axes) == 2 * 3 * (len(CATALOGUE) - len(refused))
    line = np.stack([drawn(axes) for axes in figure.axes[: 2 * 3 : 2]])
    np.testing.assert_allclose(line, np.broadcast_to(line[:1], line.shape), atol=1e-4)
    content = (tmp_path / "new" / "gallery.png").read_bytes()
    assert content.startswith(PNG)
    assert imread(tmp_path / "new" / "gallery.png").ndim == 3


def test_networks_of_images_are_drawn_as_the_gallery_of_the_first(dataset, monkeypatch):
    given = []
    gallery = lambda *arguments: given.append(arguments) or Figure()
    monkeypatch.setattr(importlib.import_module("wsjax.viz.draw"), "gallery", gallery)
    viz.draw(dataset, "some.png")
    assert given == [(dataset, 0, "some.png")]


def test_the_gallery_says_what_a_network_does_not_allow(rows_of_mlp):
    chosen = {name: CATALOGUE[name] for name in ("flip_signs", "rotate", "mixup_views")}
    figure = viz.gallery(rows_of_mlp, 1, entries=chosen, draws=2)
    refused = [text for text in texts(figure) if text.startswith("not for these networks: ")]
    assert refused[0].startswith("not for these networks: flip_signs needs")
    assert refused[1] == "not for these networks: mixup_views needs another network of the same image"
    assert len(figure.axes) == 2 * 3


def test_mixing_shows_a_partner_that_it_allows(twins):
    image, label = twins.columns["image"], twins.label
    for row in range(len(twins)):
        assert partner_of(twins, row, "mixup_self") == partner_of(twins, row, "label_smoothing") == row
        assert label[partner_of(twins, row, "mixup")] != label[row]
        for name, column in (("mixup_within_class", label), ("mixup_views", image)):
            partner = partner_of(twins, row, name)
            assert partner != row
            assert column[partner] == column[row]


def test_a_line_holds_the_network_its_draws_and_its_partner(dataset):
    shown = examples(dataset, 3, [CATALOGUE["mixup"]], keys=[jax.random.key(0)], draws=[2])[0]
    line = line_of(dataset, 3, shown)
    ends = dataset.take(np.array([3, partner_of(dataset, 3)])).weights
    at = lambda *rows: jax.tree.map(lambda leaf: np.asarray(leaf)[list(rows)], line)
    assert_identical(at(0, 3), ends)
    assert_identical(at(1, 2), jax.tree.map(np.asarray, shown.weights))


def test_mixing_tells_the_labels_also_where_there_is_one_class(dataset, rows_of_mlp):
    alone = replace(rows_of_mlp, metadata=replace(rows_of_mlp.metadata, classes=("only",)))
    for name, drawn_from, own in (
        ("mixup", dataset, f"“{dataset.label[0]}”"),
        ("mixup", alone, "100% “only”"),
        ("label_smoothing", alone, "100% “only”"),
    ):
        figure = viz.gallery(drawn_from, 0, entries={name: CATALOGUE[name]}, draws=3)
        captions = [text for text in texts(figure) if "%" in text]
        assert len(captions) == 2
        assert all(own in text for text in captions)
    assert caption(("cat", "dog", "bat"), np.array([0.05, 0.9, 0.05])) == "90% “dog”\n10% all others"


def test_fits_show_the_right_image_and_its_psnr(images, dataset, tmp_path):
    figure = viz.fits(images, dataset, tmp_path / "fits.png", rows=[4, 2])
    assert (tmp_path / "fits.png").read_bytes().startswith(PNG)
    originals = np.stack([drawn(axes) for axes in figure.axes[:2]])
    at = [int(np.flatnonzero(images.index == dataset.columns["image"][row])[0]) for row in (4, 2)]
    np.testing.assert_allclose(originals, images.pixels[at, :, :, 0], atol=1e-6)
    written = [text for text in texts(figure) if text.endswith("dB")]
    assert written == [f"{dataset.columns['psnr'][row]:.1f} dB" for row in (4, 2)]
    error = np.square(viz.decode(dataset, dataset.network(4)) - images.pixels[at[0]]).mean()
    assert written[0] == f"{-10 * np.log10(error):.1f} dB"
    with pytest.raises(ValueError, match="are not among the 3 of digits"):
        viz.fits(images.take(np.arange(3)), dataset)


def history(lift: float) -> list[dict]:
    return [
        {"epoch": e, "run": r, "train_accuracy": 0.1 * e, "validation_accuracy": 0.1 * e - 0.1 * r + lift}
        for e in (1, 2, 3)
        for r in (0, 1)
    ]


def test_curves_have_a_mean_and_a_band_for_each_configuration(tmp_path):
    figure = viz.curves({"dws": history(0.0), "dws, augmented": history(0.1)}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)
    training, validation = figure.axes[:2]
    plain, augmented = validation.lines
    np.testing.assert_allclose(np.asarray(plain.get_ydata()), [0.05, 0.15, 0.25])
    assert len(training.collections) == len(validation.collections) == 2
    assert plain.get_color() == augmented.get_color()
    assert plain.get_linestyle() != augmented.get_linestyle()
    assert {"dws", "dws, augmented"} <= set(texts(figure))


def test_the_names_of_many_configurations_stay_on_the_page():
    names = [f"a rather long name, {i}" for i in range(7)]
    figure = viz.curves({name: history(0.0) for name in names})
    figure.canvas.draw()
    found = {text.get_text(): text.get_window_extent() for text in figure.findobj(Text) if text.get_text() in names}
    assert set(found) == set(names)
    edge = figure.bbox
    assert all(0 <= box.x0 < box.x1 <= edge.width and 0 <= box.y0 < box.y1 <= edge.height for box in found.values())
    places = [(round(box.x0), round(box.y0)) for box in found.values()]
    assert len(set(places)) == len(names) > len({x for x, _ in places}) > 1


def test_curves_of_one_history_and_of_one_evaluation():
    figure = viz.curves(history(0.0)[:1])
    assert "One run: on the networks trained on, and on the validation split." in texts(figure)
    own = viz.curves([{"epoch": 1, "run": 0, "train_own_score": 0.5, "validation_own_score": 0.5}])
    assert "Own score while training" in texts(own)


def test_curves_of_a_regressor_are_cut_off_far_below_the_mean():
    """An early R2 of -80 would leave the rest one flat line."""
    lines = [{"epoch": e, "run": 0, "train_r2": 0.5, "validation_r2": v} for e, v in ((1, -80.0), (2, -0.5), (3, 0.75))]
    figure = viz.curves(lines)
    assert "R2 while training" in texts(figure)
    for axes in figure.axes[:2]:
        low, high = axes.get_ylim()
        assert (low, high > 0.75) == (-1.0, True)
    np.testing.assert_array_equal(np.asarray(figure.axes[1].lines[0].get_ydata()), [-80.0, -0.5, 0.75])
    assert viz.curves(lines[1:]).axes[0].get_ylim()[0] > -1


def test_histories_that_cannot_be_drawn_are_named():
    line = {"epoch": 1, "run": 0, "train_r2": 0.5, "validation_r2": 0.5}
    for histories, message in (
        ({"dws": history(0.0), "zoo": [line]}, "several metrics: 'dws' has accuracy, 'zoo' has R2; expected one: draw"),
        ([{"epoch": 1, "run": 0}], "a line of metrics has epoch, run; expected a score on the validation split"),
        ({"dws": []}, "the history 'dws' has no records"),
        ({}, "no history to draw; expected that of one training"),
    ):
        with pytest.raises(ValueError, match=message):
            viz.curves(histories)
    with pytest.raises(ValueError, match="no results to draw"):
        viz.scores({})


def test_scores_show_every_row_with_its_numbers(tmp_path):
    row = {"test_accuracy_mean": 0.8125, "test_accuracy_sd": 0.012, "train_accuracy_mean": 1.0}
    rows = {"mlp": row, "dws": {**row, "test_accuracies": [0.8, 0.825]}, "one run": {**row, "test_accuracy_sd": None}}
    figure = viz.scores(rows, tmp_path / "scores.png")
    assert texts(figure).count("± 1.2") == 2  # one run has no deviation
    assert (tmp_path / "scores.png").read_bytes().startswith(PNG)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["mlp", "dws", "one run"]
    assert {"81.2%", "± 1.2", "100.0%"} <= set(texts(figure))


@pytest.mark.parametrize("spread", [0.02, 0.05, 0.1, 0.3, 0.9])
def test_a_mark_on_an_axis_of_scores_stands_where_it_says(spread):
    row = {"test_accuracy_mean": 0.05, "test_accuracy_sd": 0.0, "train_accuracy_mean": 0.05 + spread}
    axis = viz.scores({"dws": row}).axes[0].xaxis
    said = [float(label.get_text().rstrip("%")) / 100 for label in axis.get_majorticklabels()]
    np.testing.assert_allclose(said, axis.get_majorticklocs(), atol=1e-9)


def test_scores_of_regressors_are_r2():
    row = {"test_accuracy_mean": -0.25, "test_accuracy_sd": 0.01, "train_accuracy_mean": 0.5}
    figure = viz.scores({"dws": row}, metric=R2)
    words = [*texts(figure), *(label.get_text() for label in figure.axes[0].get_xticklabels())]
    assert {"-0.250", "± 0.010", "0.500", "R2 on networks never seen, and on those trained on"} <= set(words)
    assert not any("%" in word for word in words)


def test_any_networks_side_by_side(rows_of_mlp, tmp_path):
    figure = viz.images(rows_of_mlp, rows_of_mlp.weights, tmp_path / "some.png", captions=list("abcd"))
    assert (tmp_path / "some.png").read_bytes().startswith(PNG)
    assert texts(figure) == list("abcd")
    expected = np.clip(viz.decode(rows_of_mlp, rows_of_mlp.network(2)), 0, 1)
    np.testing.assert_allclose(drawn(figure.axes[2]), expected, atol=1e-6)
    with pytest.raises(ValueError, match="1 captions for 4 networks"):
        viz.images(rows_of_mlp, rows_of_mlp.weights, captions=["a"])
