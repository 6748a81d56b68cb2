"""The suites `fit` and `recipes` at a toy size: the contestants do the same work. Nothing here asserts a time."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks.speed import fit, fit_cases, fit_sine, recipes
from benchmarks.speed import fit_contestants as contestants
from benchmarks.torch import loop as torch_loop
from tests.benchmarks.reports import checked_report
from wsjax.data.fitting.grouped import Fitted
from wsjax.data.recipe import Recipe
from wsjax.data.sources.signals import as_signals
from wsjax.networks.sine import sine
from wsjax.typing import Layer

TOY = fit.Size(steps=3, rounds=2, groups=1, slots=(2, 3), pixels=6, product=16)


def test_plain_network_computes_what_ours_does():
    recipe = Recipe(fit.NETWORK, steps=1)
    x = np.random.default_rng(0).uniform(-1, 1, (7, 2)).astype(np.float32)

    @jax.jit
    def both(x):
        weights = contestants.initial_weights(recipe, 5)
        return contestants.plain_apply(fit.NETWORK, weights, x), fit.NETWORK.apply(weights, x)

    np.testing.assert_allclose(*both(x), atol=2e-5)


def test_plain_vmap_reaches_the_same_psnr_as_ours():
    recipe = Recipe(fit.NETWORK, steps=5, learning_rate=1e-3)
    signals = as_signals(fit.smooth_images(3, 6), recipe)
    ours = contestants.wsjax_contestant(recipe, signals).run(0)
    plain = contestants.vmap_contestant(recipe, signals, 3).run(0)
    assert list(plain) == list(ours) == [0, 1, 2]
    np.testing.assert_allclose(list(plain.values()), list(ours.values()), atol=1e-2)


@pytest.mark.parametrize("adam", ["foreach", "fused"])
def test_torch_loop_reaches_the_same_psnr_as_ours(adam):
    recipe = Recipe(fit.NETWORK, steps=5, learning_rate=1e-3)
    signals = as_signals(fit.smooth_images(2, 6), recipe)
    ours = contestants.wsjax_contestant(recipe, signals).run(0)
    loop = contestants.torch_contestant(
        [contestants.torch_problem(recipe, signals, row) for row in (0, 1)], 5, adam, 1
    ).run(1)
    assert loop[1] == pytest.approx(ours[1], abs=1e-2)


@pytest.mark.slow
def test_a_toy_run_gives_the_promised_rows_in_a_valid_report():
    rows, timings, notes = fit.contest(TOY, load=0.0)
    report = checked_report("fit", rows, timings, notes)
    asked = ("vs_torch_loop", "vs_plain_vmap", "vs_products", "vs_floor", "torch_loop_vs_mark")
    assert [row["name"] for row in report["rows"]] == [f"fit/siren_2-32-32-1_784/{name}" for name in asked]
    assert any("the mark of 1311 us" in note for note in notes)


def test_contestants_of_another_quality_make_the_comparison_void():
    made = {"wsjax": [{0: 30.0, 1: 40.0}], "other": [{1: 38.0}]}
    with pytest.raises(ValueError, match=r"other reached 38\.0 dB and wsjax 40\.0 dB on the same 1 signals"):
        contestants.check_quality(made, "wsjax")
    assert "within 0.50 dB" in contestants.check_quality(made | {"other": [{0: 29.5}, {1: 39.5}]}, "wsjax")


def test_a_network_that_diverged_makes_the_comparison_void():
    with pytest.raises(ValueError, match="void"):
        contestants.check_quality({"wsjax": [{0: 30.0}], "other": [{0: float("nan")}]}, "wsjax")


@pytest.mark.parametrize(
    ("loop", "parts", "expected"),
    [(2000.0, (600.0, 900.0, 400.0), "5.0 times slower"), (2000.0, (200.0, 300.0, 100.0), "quiet machine")],
)
def test_a_loop_far_above_its_mark_is_explained(loop, parts, expected):
    assert expected in fit.notes(loop, np.array(parts), rate=90.0, load=0.1)[-1]


def test_a_loop_near_its_mark_needs_no_explanation():
    assert not any("Why" in note for note in fit.notes(1400.0, np.array([400.0, 600.0, 300.0]), rate=90.0, load=0.1))


def test_operations_of_a_step():
    products = 2 * 32 + 32 * 32 + 32 * 1
    assert fit.operations(fit.NETWORK, 784) == 2 * 784 * (products + products + 32 * 32 + 32 * 1)


def test_without_torch_the_suite_says_how_to_install_it(monkeypatch, capsys):
    def stop():
        raise ImportError("PyTorch is not installed: run `make bench-setup`")

    monkeypatch.setattr(torch_loop, "load_torch", stop)
    with pytest.raises(SystemExit) as caught:
        command.main(["fit", "--quick"])
    assert caught.value.code == 2
    assert "make bench-setup" in capsys.readouterr().err


def test_missing_torch_is_worded_by_the_loader(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="make bench-setup"):
        torch_loop.load_torch()


@pytest.mark.slow
def test_other_cases_have_their_rows_and_points_drawn_anew_reach_the_same_quality():
    case = fit_cases.Case((3, 4, 4, 2), 40, batch_points=16, steps=30)
    size = fit_cases.Size((case, case._replace(batch_points=None)), rounds=2, groups=1, slots=(2,))
    rows, timings, notes = fit_cases.contest(size)
    names = ["fit/siren_3-4-4-2_40_batch16", "fit/siren_3-4-4-2_40"]
    assert [row.name for row in rows] == [f"{n}/vs_{other}" for n in names for other in ("torch_loop", "plain_vmap")]
    assert len(timings) == 2 * len([timing for timing in timings if timing.endswith("batch16")])
    assert [note.partition(":")[0] for note in notes] == names


def test_rows_of_the_value_and_of_the_gradient_in_a_valid_report():
    rows, timings, notes = fit_sine.contest(fit_sine.Size(rounds=2, calls=1, shape=(3, 5)))
    report = checked_report("fit", rows, timings, notes)
    assert [row["name"] for row in report["rows"]] == ["fit/sine/value", "fit/sine/gradient"]
    assert "`networks.sine` takes the polynomial" in notes[0]


def test_the_gradient_is_that_of_the_public_sine():
    x = np.linspace(-5.0, 5.0, 7, dtype=np.float32)
    public = jax.vmap(jax.value_and_grad(lambda x: sine(x)))
    (value, gradient), found = jax.jit(lambda x: (public(x), fit_sine.polynomial_gradient(x)))(x)
    np.testing.assert_allclose(found, np.asarray(value) + np.asarray(gradient), atol=1e-6)


def test_sides_that_differ_make_the_comparison_void():
    with pytest.raises(ValueError, match=r"the value of the polynomial and that of jnp.sin differ by 0.5"):
        fit_sine.check_same("value", [jnp.zeros(2), jnp.full(2, 0.5)])


FEW = recipes.Size(images=4, refilled=8, folds=2, rounds=1, most_steps=100, source="digits")


@pytest.mark.slow
def test_a_toy_run_of_recipes_gives_the_promised_rows_in_a_valid_report():
    rows, timings, notes = recipes.contest(FEW)
    report = checked_report("recipes", rows, timings, notes)
    names = [row["name"] for row in report["rows"]]
    assert names[0] == "recipes/dws_kernel0/vs_published"
    assert names[-1] == "recipes/fast/vs_all_steps"
    assert len(names) == 13
    assert max(abs(row["ratio"] - 1) for row in report["rows"][:3]) > 0.1  # a hundred steps are too few


def test_deviations_are_those_of_all_entries_and_compared_with_the_published_ones():
    rng = np.random.default_rng(0)
    stack = lambda *shape, std: rng.normal(0, std, (400, *shape))
    stds = recipes.PUBLISHED["dws"][1]
    layers = tuple(
        Layer(stack(a, b, std=k), stack(b, std=s))
        for (a, b), k, s in zip(((2, 32), (32, 32), (32, 1)), stds[:3], stds[3:], strict=True)
    )
    ones = np.ones(400)
    rows = recipes.deviation_rows("dws", Fitted(layers, ones, ones, ones, ones), folds=4)
    np.testing.assert_allclose([row.ratio for row in rows], 1, atol=0.08)
