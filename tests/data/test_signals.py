"""Functions known at any points are fitted as images are, at all points in each step or at some; sine curves too."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.data.conftest import RANGED
from tests.data.test_dataset import assert_same
from tests.data.test_fit import by_job, fit_in_two_goes
from wsjax.data import Recipe, Signals, fit, limit, load, load_images, recipe_named, save, verify
from wsjax.data.fitting.grouped import drawn_points, fit_groups, groups, psnr
from wsjax.data.fitting.job import fit_weights
from wsjax.data.fitting.refill import fit_refilled
from wsjax.data.sources import SOURCES, Source, load_source, sines
from wsjax.data.sources.signals import as_signals, check_signals
from wsjax.errors import DataError
from wsjax.networks import Network

pytestmark = pytest.mark.usefixtures("plain_module")

SETTINGS = {"learning_rate": 2e-2, "slots": 3, "check_every": 5, "schedule": "constant", "batch_points": 4}
RECIPE = Recipe(Network("siren", (1, 6, 2), w0=(4.0,)), steps=40, **SETTINGS)
STOPPING = dataclasses.replace(RECIPE, target_psnr=28.0)
values = jax.jit(jax.vmap(RECIPE.network.apply))


def curves(count: int = 10, *, shift: float = 0.0) -> Signals:
    """Points on ellipses, each curve at times of its own: one input, two channels, the axes as its target."""
    rng = np.random.default_rng(0)
    axes = rng.uniform(0.5, 3.0, (count, 2)).astype(np.float32)
    times = np.sort(rng.uniform(-1, 1, (count, 12, 1)), axis=1).astype(np.float32)
    values = axes[:, None] * np.concatenate([np.cos(2 * times + shift), np.sin(2 * times + shift)], axis=-1)
    rows = np.arange(count, dtype=np.int32)
    arrays = (times, values.astype(np.float32), axes, (rows % 3).astype(np.int8), rows + 5)
    options = {"count": count, "shift": shift}
    return Signals("curves", *arrays, quantity="place", value_range=(-3.0, 3.0), options=options)


@pytest.fixture(scope="module")
def signals() -> Signals:
    return check_signals(curves())


@pytest.fixture(scope="module")
def jobs(signals):
    return groups(RECIPE, len(signals.values))


@pytest.fixture(scope="module")
def reference(signals, jobs):
    return {
        "together": by_job(fit_groups(signals, RECIPE, jobs, workers=1)),
        "stopping": by_job(fit_refilled(signals, STOPPING, np.concatenate(jobs), workers=1)),
    }


@pytest.fixture
def source(monkeypatch):
    """The curves as a source that needs no files."""
    monkeypatch.setitem(SOURCES, "curves", Source(curves, RECIPE, images=False))


def test_images_and_their_pixels_as_signals_fit_to_the_same_bits(images):
    found = by_job([fit_weights(as_signals(images, RANGED), RANGED, progress=False)])
    assert found == by_job([fit_weights(images, RANGED, progress=False)])


def test_points_shared_and_the_same_points_for_each_fit_to_one_function(signals):
    shared = signals._replace(points=signals.points[0])
    own = shared._replace(points=np.repeat(shared.points[None], len(shared.values), axis=0))
    one, other = (fit_weights(check_signals(found), RECIPE, progress=False) for found in (shared, own))
    np.testing.assert_allclose(values(one.weights, own.points), values(other.weights, own.points), atol=1e-5)
    np.testing.assert_array_equal(one.steps, other.steps)


@pytest.mark.parametrize("workers", [1, 3])
def test_with_points_drawn_a_network_depends_on_nothing_but_its_signal(signals, jobs, reference, workers):
    shuffled = np.random.default_rng(workers).permutation(np.concatenate(jobs))
    parts = [shuffled[:1], shuffled[1:3], *np.split(shuffled[3:9], 2), shuffled[9:]]
    assert by_job(fit_groups(signals, RECIPE, parts, workers=workers)) == reference["together"]
    assert by_job(fit_refilled(signals, STOPPING, shuffled, workers=workers)) == reference["stopping"]


def test_refilled_slots_that_stand_at_other_steps_draw_what_networks_side_by_side_draw(signals):
    together, refilled = (fit_weights(signals, recipe, progress=False) for recipe in (RECIPE, STOPPING))
    late = refilled.steps == RECIPE.steps
    assert 2 < late.sum() < 8  # the others gave their slots away
    for a, b in zip(jax.tree.leaves(together.weights), jax.tree.leaves(refilled.weights), strict=True):
        np.testing.assert_allclose(a[late], b[late], atol=1e-4)
        assert np.abs(a - b)[~late].max() > 1e-2


def test_every_step_draws_anew_and_every_point_has_its_turn():
    draw = jax.vmap(lambda step: [drawn_points(r, 12, step) for r in (RECIPE, dataclasses.replace(RECIPE, seed=1))])
    rows, others = np.asarray(jax.jit(draw)(np.arange(600)))
    assert len({row.tobytes() for row in rows}) > 550
    counts = np.bincount(rows.reshape(-1), minlength=12)
    assert len(counts) == 12
    assert np.abs(counts - 200).max() < 60  # over four deviations of 13.5
    assert (others != rows).any(axis=1).all()


def test_all_points_and_some_are_other_fits_and_psnr_is_that_of_all(signals, reference):
    fitted = fit_weights(signals, dataclasses.replace(RECIPE, batch_points=None), progress=False)
    assert by_job([fitted]).keys() == reference["together"].keys()
    assert not set(by_job([fitted]).values()) & set(reference["together"].values())
    some = fit_weights(signals, RECIPE, progress=False)
    error = np.square(np.asarray(values(some.weights, signals.points)) - signals.values).mean(axis=(1, 2))
    np.testing.assert_allclose(some.psnr, 10 * np.log10(6.0**2 / error), rtol=1e-5)


def test_targets_of_ones_own_curves_go_through_fit_save_load_and_verify(signals, tmp_path):
    fitted = fit(signals, recipe=RECIPE, out=tmp_path / "fit", progress=False)
    metadata = fitted.metadata
    assert (metadata.image_shape, metadata.label, metadata.classes) == (None, "target", ())
    assert (metadata.value_range, metadata.coordinate_range) == ((-3.0, 3.0), (-1.0, 1.0))
    assert Recipe.from_json(metadata.recipe or {}) == RECIPE
    assert {name: value for name, value in metadata.source.items() if name != "sha256"} == {
        "name": "curves",
        "signals": 10,
        "quantity": "place",
        "inputs": 1,
        "options": {"count": 10, "shift": 0.0},
    }
    save(load(tmp_path / "fit"), tmp_path / "copy")
    found = load(tmp_path / "copy")
    np.testing.assert_array_equal(found.label, signals.label)
    np.testing.assert_array_equal(found.columns["image"], signals.index)
    assert_same(found, fit(signals, recipe=RECIPE, progress=False))
    compared = verify(tmp_path / "copy", images=signals)
    assert (compared.ok, compared.decoded, compared.notes) == (True, 10, ())
    assert compared.psnr == pytest.approx(compared.recorded, abs=1e-3)
    unknown = verify(tmp_path / "copy")
    assert (unknown.ok, unknown.decoded) == (True, 0)
    assert "no network was decoded: the metadata's source is 'curves', which wsjax cannot load" in unknown.notes[0]


def test_a_fit_of_drawn_points_that_was_stopped_goes_on_to_the_same_networks(signals, tmp_path, monkeypatch):
    monkeypatch.setattr("wsjax.data.store.shards.SHARD_NETWORKS", 3)
    found = fit_in_two_goes(signals, STOPPING, tmp_path, 7)
    assert_same(found, fit(signals, recipe=STOPPING, progress=False))


def test_a_source_without_files_is_made_again_to_verify(source, tmp_path):
    few = limit(load_source("curves", options={"shift": 1.0}), 7)
    fit(few, recipe=RECIPE, out=tmp_path / "set", progress=False)
    found = verify(tmp_path / "set")
    assert (found.ok, found.decoded, found.notes) == (True, 7, ())
    assert found.psnr == pytest.approx(found.recorded, abs=1e-3)
    data = load(tmp_path / "set")
    data.weights[1].bias[2] += 3.0
    save(data, tmp_path / "moved")
    (line,) = verify(tmp_path / "moved").damage
    assert line.startswith("1 of 7 networks do not decode to the recorded PSNR within 0.1 dB; the network of curves")
    assert f"number {few.index[2]} has" in line
    for wrong, why in (
        (load_images("digits"), "digits has 2 inputs and 1 outputs; the networks of curves have widths (1, 6, 2)"),
        (curves(3), "numbers 8, 9, 11, 12, 13 are not among the 3 of curves"),
    ):
        assert f"no network was decoded: {why}" in verify(tmp_path / "set", images=wrong).notes[0]


def test_a_source_that_gives_other_signals_now_blames_no_network(source, tmp_path, monkeypatch):
    fit(load_source("curves"), recipe=RECIPE, out=tmp_path / "set", progress=False)
    for change, notes in ((1.0, 1), (1e-6, 0)):  # other curves, and another machine's rounding
        changed = lambda count=10, shift=0.0, change=change: curves(count, shift=shift + change)
        monkeypatch.setitem(SOURCES, "curves", Source(changed, RECIPE, images=False))
        found = verify(tmp_path / "set")
        assert (found.ok, found.decoded, len(found.notes)) == (True, 10, notes)
        assert all("10 of 10 networks do not decode" in note for note in found.notes)
        assert all(note.endswith("made here are not those that were fitted, to the last bit") for note in found.notes)
    monkeypatch.setitem(SOURCES, "curves", Source(lambda count: curves(count), RECIPE, images=False))
    assert "unknown option 'shift' of curves; the valid ones are: count" in verify(tmp_path / "set").notes[0]


def test_a_source_says_what_it_takes(source, monkeypatch):
    assert len(load_source("curves", options={"count": 4}).split) == 4
    assert recipe_named("curves") == RECIPE
    with pytest.raises(ValueError, match=r"the source 'curves' gives signals, no images; .* use load_source"):
        load_images("curves")
    reads = Source(lambda directory, count=10: curves(count), RECIPE, images=False, directory="named")
    monkeypatch.setitem(SOURCES, "files", reads)
    for arguments, message in [
        (("curves", None, {"cuont": 4}), "unknown option 'cuont' of curves; the valid ones are: count, shift. Did you"),
        (("curves", "here"), "directory is here; 'curves' needs no files: leave the directory out"),
        (("digits", "here"), "directory is here; 'digits' needs no files: leave the directory out"),
        (("digits", None, {"count": 4}), "'digits' takes no options; found 'count': leave them out"),
        (("files",), "the source 'files' reads files and no directory is named"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_source(*arguments)
    assert len(load_source("files", "here", {"count": 4}).split) == 4


def test_limit_keeps_every_split_of_signals_and_their_own_points(signals):
    few = limit(signals, 4)
    assert set(few.split) == {0, 1, 2}
    np.testing.assert_array_equal(few.points, signals.points[few.index - 5])
    assert limit(signals._replace(points=signals.points[0]), 4).points.shape == (12, 1)


def whole(label: np.ndarray) -> dict:
    return {"label": label, "classes": ("a", "b")}


def test_signals_that_are_not_as_they_should_be_are_named(signals):
    s = signals
    cases = [
        ({"values": s.values[0]}, r"values has shape \(12, 2\); expected \(signals, points, channels\)"),
        ({"values": s.values[..., :0]}, r"values has shape \(10, 12, 0\); expected"),
        ({"points": s.points[:, :5]}, r"points has shape \(10, 5, 1\) and values \(10, 12, 2\); expected \(12,"),
        ({"points": s.points[:5]}, r"points has shape \(5, 12, 1\)"),
        ({"points": s.points[0, :5]}, r"points has shape \(5, 1\) and values"),
        ({"points": s.points[..., 0]}, r"points has shape \(10, 12\) and values"),
        ({"label": s.label[:3]}, "label has 3 entries for 10 signals; expected one each"),
        ({"values": s.values.astype(np.float64)}, r"values has dtype float64; expected float32: convert it wi"),
        ({"split": s.split.astype(np.int64)}, r"split has dtype int64; expected int8: .*astype\(np.int8\)"),
        ({"split": s.split + np.int8(1)}, r"split of row 2 is 3; expected 0, 1 or 2"),
        ({"index": s.index * 0}, "10 signals have the number 0 in index; expected one each"),
        ({"values": s.values * np.float32("nan")}, r"values\[0\] is not finite, the first of 10"),
        ({"label": s.label * np.float32("inf")}, r"label\[0\] is not finite"),
        ({"points": 2 * s.points}, r"points run from -.* to .*, outside coordinate_range \(-1.0, 1.0\): give the"),
        ({"value_range": (-1.0, 1.0)}, r"values run from .*, outside value_range \(-1.0, 1.0\)"),
        ({"value_range": (3.0, -3.0)}, r"value_range is \(3.0, -3.0\); expected a lower and a higher number"),
        ({"coordinate_range": (0.0, np.inf)}, r"coordinate_range is \(0.0, inf\); .*, both finite"),
        ({"classes": ("a",)}, "label is float32 and there are 1 class names; expected int32 labels with names"),
        ({"label": s.index}, r"label has shape \(10,\) and runs from 5 to 14; there are 0 class names: give"),
        (whole(s.index), r"label has shape \(10,\) and runs from 5 to 14; there are 2 class names"),
        (whole(-s.index), ".* runs from -14 to -5"),
    ]
    for change, message in cases:
        wrong = s._replace(**change)
        with pytest.raises(DataError, match=f"curves: {message}"):
            check_signals(wrong)
        with pytest.raises(DataError, match=message):
            fit(wrong, recipe=RECIPE, progress=False)


def test_labels_and_rounding_within_the_ranges_pass(signals):
    classes = signals._replace(**whole((signals.index % 2).astype(np.int32)))
    assert check_signals(classes) is classes
    at_the_edge = signals._replace(points=np.clip(10 * signals.points, -1 - 1e-6, 1 + 1e-6))
    assert check_signals(at_the_edge) is at_the_edge


def test_psnr_is_measured_against_a_range_of_large_integers(signals):
    wide = signals._replace(value_range=(0, 65535))
    assert abs(float(psnr(np.float32(1), wide.peak)) - 20 * np.log10(65535)) < 1e-4


def test_a_recipe_for_other_signals_is_refused(signals, images, untyped):
    for change, message in [
        ({"network": Network("siren", (2, 4, 1))}, r"has widths \(2, 4, 1\); curves needs 1 inputs and 2 outputs"),
        ({"batch_points": 13}, "batch_points is 13; curves is known at 12 points: give as many at most, or None"),
        (
            {"value_range": (-1.0, 1.0)},
            r"value_range is \(-1.0, 1.0\), which is for pixels; the signals of curves have",
        ),
        ({"coordinate_order": "ij"}, "coordinate_order is 'ij', which is for pixels; the signals of curves have"),
    ]:
        with pytest.raises(ValueError, match=message):
            fit(signals, recipe=dataclasses.replace(RECIPE, **change), progress=False)
    for wrong in (0, 2.5):
        with pytest.raises(ValueError, match=rf"batch_points is {wrong}; it must be one integer in \[1, inf\)"):
            dataclasses.replace(RECIPE, batch_points=wrong)
    many = dataclasses.replace(RECIPE, network=Network("siren", (2, 4, 1)), batch_points=65)
    for wrong in (many, dataclasses.replace(many, target_psnr=30.0)):
        with pytest.raises(ValueError, match="batch_points is 65; digits is known at 64 points"):
            fit_weights(images, wrong, progress=False)


def test_other_points_or_options_are_another_fit(signals, tmp_path):
    fit(signals, recipe=RECIPE, out=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"recipe.batch_points is 4 there and None here"):
        fit(signals, recipe=dataclasses.replace(RECIPE, batch_points=None), out=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"source.sha256 is '.*' there and '.*' here"):
        fit(signals._replace(points=-signals.points), recipe=RECIPE, out=tmp_path, progress=False)


@pytest.fixture(scope="module")
def sine_curves():
    return check_signals(sines(400, points=33))


def test_each_sine_curve_is_the_sine_of_its_label(sine_curves):
    amplitude, frequency = sine_curves.label.astype(np.float64).T
    expected = amplitude[:, None] * np.sin(frequency[:, None] * sine_curves.points[:, 0].astype(np.float64))
    np.testing.assert_allclose(sine_curves.values[..., 0], expected, atol=5e-5)
    np.testing.assert_allclose(sine_curves.points[[0, 16, -1], 0], [-np.pi, 0, np.pi], atol=1e-6)
    assert repr(sine_curves) == "Signals('sines', 400 signals of (33, 1), targets: 320 train, 40 validation, 40 test)"
    assert (sine_curves.shared, sine_curves.classes, sine_curves.value_range) == (True, (), (-10.0, 10.0))
    assert np.bincount(sine_curves.split).tolist() == [320, 40, 40]
    assert np.bincount(sine_curves.split[:10]).tolist() == [8, 1, 1]


def test_labels_of_sines_are_uniform_and_independent(sine_curves):
    assert 0 <= sine_curves.label.min() < sine_curves.label.max() <= 10
    np.testing.assert_allclose(sine_curves.label.mean(axis=0), 5, atol=4 * 10 / (12 * 400) ** 0.5)
    np.testing.assert_allclose(sine_curves.label.var(axis=0), 100 / 12, rtol=0.2)
    assert abs(np.corrcoef(sine_curves.label.T)[0, 1]) < 4 / 400**0.5


def test_a_sine_curve_depends_on_its_number_and_the_seed_alone(sine_curves):
    few = sines(7, points=33)
    np.testing.assert_array_equal(few.label, sine_curves.label[:7])
    np.testing.assert_allclose(few.values, sine_curves.values[:7], atol=1e-5)
    assert (sines(7, points=33, seed=1).label != few.label).all()


def test_sines_of_no_curves_or_points_are_refused(untyped):
    for settings, message in (({"points": 1}, r"points is 1; .* integer in \[2, inf\)"), ({"count": 0}, "count is 0")):
        with pytest.raises(ValueError, match=message):
            sines(**settings)


@pytest.mark.slow
def test_the_recipe_of_sines_keeps_the_papers_bound_on_the_error():
    networks = fit(sines(16), recipe=SOURCES["sines"].recipe, workers=1, progress=False)
    # A mean squared error of 1e-4, at which the paper's fits stop, on values that span 20.
    assert networks.columns["psnr"].min() > 10 * np.log10(20**2 / 1e-4)
