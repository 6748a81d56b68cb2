"""The suites of accuracy: resumed cells, one look at the test split, and what a report says."""

import doctest
import json
import re
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from benchmarks import harness
from benchmarks.__main__ import main
from benchmarks.accuracy import cell as cells
from benchmarks.accuracy import networks as networks_of
from benchmarks.accuracy import page, suite_strengths, texts
from benchmarks.accuracy import run as runs
from benchmarks.accuracy.arms import (
    ALIGNED,
    ALIGNED_AT_FULL,
    ARMS,
    CURVE_VIEWS,
    PICTURE_VIEWS,
    SEARCHED,
    SEARCHED_AT_FULL,
    VIEW_ARMS,
)
from benchmarks.accuracy.cell import Cell, read_test_once, run_cell
from benchmarks.accuracy.dws_cells import PLAIN
from benchmarks.accuracy.suite import TIERS, Suite
from benchmarks.accuracy.suite_fitting import RECIPES, RECIPES_AT_FULL
from benchmarks.accuracy.suites import SUITES
from benchmarks.accuracy.views import with_views
from wsjax.augment import format_spec, from_spec, read_spec, statistics_of
from wsjax.data import SPLITS
from wsjax.symmetry import siren
from wsjax.train import Trial, train

RATES = (Trial(), Trial(0, 1e-2), Trial(0, 3e-2))  # as many as there are seeds: one program for both
pytestmark = pytest.mark.xdist_group("accuracy")
TOY = Cell("toy", "mlp", {"width": 4}, epochs=2, evaluate_every=2, batch_size=16, trials=RATES)

HEAD = replace(TOY, reader="probe", settings={"probes": 3, "width": 4}, trains="head")

PLANE_TABLES = (ARMS, VIEW_ARMS, PICTURE_VIEWS, SEARCHED, SEARCHED_AT_FULL, ALIGNED, ALIGNED_AT_FULL)
PLANE_ARMS = [augment for arms in PLANE_TABLES for augment in arms.values()]


def test_a_finished_cell_is_read_and_another_one_there_is_refused(networks, tmp_path, monkeypatch):
    row = run_cell(TOY, networks, tmp_path)
    assert (row["cell"], row["seeds"], len(row["test_accuracies"]), len(row["trials"])) == (
        "toy/mlp/none/1",
        [1, 2, 3],
        3,
        3,
    )
    monkeypatch.setattr(cells, "train", None)
    assert run_cell(TOY, networks, tmp_path) == row
    with pytest.raises(ValueError, match="holds the cell toy/mlp/none/1 with other settings"):
        run_cell(replace(TOY, epochs=4), networks, tmp_path)


def test_a_cell_trains_and_chooses_without_the_test_split(networks, tmp_path):
    test = networks.columns["split"] == SPLITS.index("test")
    spoiled = replace(
        networks,
        weights=jax.tree.map(lambda w: np.where(test.reshape(-1, *[1] * (w.ndim - 1)), -9 * w, w), networks.weights),
    )
    one, other = run_cell(TOY, networks, tmp_path / "one"), run_cell(TOY, spoiled, tmp_path / "other")
    for name in ("trial", "trials", "validation_accuracy_mean", "best_epochs", "train_accuracy_mean"):
        assert one[name] == other[name]


def test_the_test_split_is_read_once_or_again_by_the_same_readers(networks, tmp_path):
    first, second = (train(networks, TOY.plan, [Trial(seed)] * 3, progress=False) for seed in (0, 1))
    assert read_test_once(TOY, first, networks, tmp_path) == read_test_once(TOY, first, networks, tmp_path)
    with pytest.raises(ValueError, match="has had its one look at the test split, with other readers"):
        read_test_once(TOY, second, networks, tmp_path)


def test_a_cell_that_differs_in_the_test_alone_scores_the_readers_of_another(networks, tmp_path):
    """A reader answers alike for copies that a scale of no strength moves, so that all is the same; and nothing is
    trained twice.
    """
    own = replace(TOY, trials=(Trial(),), arm="own")
    other = replace(own, arm="copies", scores="own", copies=3, moved="scale(max_log=0.0)")
    first = run_cell(own, networks, tmp_path / own.title)
    second = run_cell(other, networks, tmp_path / other.title)
    assert second["test_accuracies"] == first["test_accuracies"]
    assert second["identity"] != first["identity"]
    assert not (tmp_path / other.title / "seeds").exists()
    with pytest.raises(ValueError, match=r"own.* holds a training with other settings: plan\.epochs"):
        run_cell(replace(other, arm="longer", epochs=4), networks, tmp_path / other.title.replace("copies", "longer"))


def test_rows_are_compared_seed_by_seed_and_only_then():
    row = {"cell": "a", "seeds": [1, 2], "test_accuracies": [0.5, 0.7]}
    base = {"cell": "b", "seeds": [1, 2], "test_accuracies": [0.4, 0.8]}
    found = runs.paired(row, base)
    assert found is not None
    np.testing.assert_allclose(found["differences"], [0.1, -0.1])
    assert runs.paired(base, base) is None
    with pytest.raises(ValueError, match=r"a has the seeds \[1, 2\] and b \[1, 3\]; expected the same"):
        runs.paired(row, {**base, "seeds": [1, 3]})


def test_text_and_page_hold_the_same_cells():
    row = {"cell": "a", "test_accuracy_mean": 0.5, "test_accuracy_sd": 0.015, "train_accuracy_mean": 0.75}
    rows = [
        {**row, "parameters": 1234, "step_ms": {"median": 2.0}, "paired": {"mean": -0.1, "sd": 0.02}},
        {**row, "cell": "longer", "parameters": 5, "step_ms": None, "paired": None},
    ]
    assert [re.split(" {2,}", line.strip()) for line in runs.table({"rows": rows}).splitlines()] == [
        ["cell", "test", "training", "parameters", "step", "points against the baseline"],
        ["a", "50.0% ± 1.5", "75.0%", "1,234", "2.0 ms", "-10.0 ± 2.0"],
        ["longer", "50.0% ± 1.5", "75.0%", "5"],
    ]
    assert page.table({"rows": rows}).splitlines() == [
        "| cell | test | training | parameters | step | points against the baseline |",
        "| --- | --- | --- | --- | --- | --- |",
        "| `a` | 50.0% ± 1.5 | 75.0% | 1,234 | 2.0 ms | -10.0 ± 2.0 |",
        "| `longer` | 50.0% ± 1.5 | 75.0% | 5 |  |  |",
    ]


def test_r2_is_named_and_no_percentage_and_neighbours_have_a_column_where_a_report_has_them():
    row = {"cell": "a", "test_accuracy_mean": -0.5, "test_accuracy_sd": 0.015, "train_accuracy_mean": 0.75}
    row |= {"parameters": 9, "step_ms": None, "paired": {"mean": -0.1, "sd": 0.02}}
    rows = [
        {**row, "measure": "r2", "knn_test_mean": 0.25, "knn_test_sd": 0.125},
        {**row, "measure": "accuracy", "knn_test_mean": 0.25, "knn_test_sd": 0.125},
    ]
    assert page.table({"rows": rows}).splitlines() == [
        "| cell | test | training | parameters | step | points against the baseline | test, nearest neighbours |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| `a` | R2 -0.500 ± 0.015 | R2 0.750 | 9 |  | R2 -0.100 ± 0.020 | R2 0.250 ± 0.125 |",
        "| `a` | -50.0% ± 1.5 | 75.0% | 9 |  | -10.0 ± 2.0 | 25.0% ± 12.5 |",
    ]
    assert "R2 -0.500 ± 0.015" in runs.table({"rows": rows[:1]})
    assert doctest.testmod(texts).failed == 0


def paged():
    """What the page reads of a row beside its scores."""
    row = {"machine": harness.machine(), "commit": "a", "seconds": 60.0, "parameters": 1, "paired": None}
    return row | {"networks": dict(zip(SPLITS, (3, 4, 5), strict=True)), "step_ms": None, "history": {}}


def test_accuracies_and_r2_are_drawn_apart(tmp_path):
    row = {"test_accuracy_mean": 0.5, "test_accuracy_sd": 0.0, "train_accuracy_mean": 0.9}
    report = {"rows": [{**row, "cell": "a/b/c/1"}, {**row, "cell": "d/b/c/1", "measure": "r2"}]}
    page.draw(report, tmp_path / "report.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report-r2.png", "report.png"]
    assert list(page.pictures(tmp_path / "report.json", {"rows": report["rows"][1:]})) == ["R2"]
    named = {
        "suite": "toy",
        "tier": "smoke",
        "command": "x",
        "rows": [{**whole, **paged()} for whole in report["rows"]],
    }
    text = page.section(tmp_path / "x.json", named)
    assert "![accuracies](results/x.png)\n\n![R2](results/x-r2.png)" in text
    assert "3 networks to train on, 4 to choose by,\n5 to test on" in text


def test_the_command_makes_a_report_of_every_cell_and_a_second_one_trains_nothing(
    networks, tmp_path, monkeypatch, capsys
):
    suite = Suite({"toy": lambda out: networks}, (TOY, HEAD), against=lambda cell: TOY.title)
    monkeypatch.setitem(SUITES, "readers", lambda tier, files: suite)
    command = ["accuracy", "--suite", "readers", "--tier", "smoke", "--out", str(tmp_path / "cells")]
    main([*command, "--json", str(tmp_path / "report.json")])
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["name"] for row in report["rows"]] == [
        f"accuracy/readers/toy/{name}/none/1" for name in ("mlp", "probe_head_only")
    ]
    whole, head = report["rows"]
    pairs = zip(head["test_accuracies"], whole["test_accuracies"], strict=True)
    assert head["paired"]["differences"] == [ours - theirs for ours, theirs in pairs]
    assert head["parameters"] == 3 * 4 + 4 + 4 * 4 + 4 + 4 * 10 + 10  # and none of the inputs, which do not train
    assert head["step_ms"] is None
    assert report["rows"][0]["step_ms"]["median"] > 0
    assert whole["psnr"] == head["psnr"] == pytest.approx(np.mean(networks.columns["psnr"]))
    assert "toy/probe_head_only/none/1" in capsys.readouterr().out
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "RESULTS.md")
    (tmp_path / "report.json").rename(tmp_path / "accuracy-readers-smoke--here.json")
    page.main()
    mean, deviation = (report["rows"][0][f"test_accuracy_{name}"] for name in ("mean", "sd"))
    assert f"| `toy/mlp/none/1` | {mean:.1%} ± {100 * deviation:.1f} | " in (tmp_path / "RESULTS.md").read_text()
    assert (tmp_path / "accuracy-readers-smoke--here.png").stat().st_size > 10_000
    monkeypatch.setattr(cells, "train", None)
    monkeypatch.setattr(runs, "Steps", None)
    main(command)
    again = json.loads((tmp_path / "cells" / "readers-smoke" / "report.json").read_text())
    assert again["rows"] == report["rows"]
    assert again["missing"] == []
    assert list(whole["history"]) == list(cells.CURVE)
    assert whole["history"]["epoch"] == [2, 2, 2]
    later = replace(TOY, arm="flip_signs", augment="flip_signs")
    monkeypatch.setitem(SUITES, "readers", lambda tier, files: replace(suite, cells=(TOY, later, HEAD)))
    main([*command, "--finished", "--json", str(tmp_path / "accuracy-readers-smoke--here.json")])
    some = json.loads((tmp_path / "accuracy-readers-smoke--here.json").read_text())
    assert some["rows"] == report["rows"]
    assert some["missing"] == [later.title]
    assert "not run yet: toy/mlp/flip_signs/1" in capsys.readouterr().out
    main([*command, "--cells", "head_only"])
    part = json.loads((tmp_path / "cells" / "readers-smoke" / "report.json").read_text())
    assert [row["cell"] for row in part["rows"]] == [HEAD.title]
    assert (part["missing"], part["left_out"]) == ([], [TOY.title, later.title])
    assert part["rows"][0]["paired"] == report["rows"][1]["paired"]  # its baseline was finished before
    assert "not run yet" not in capsys.readouterr().out
    assert part["command"].endswith(" --cells head_only")
    with pytest.raises(SystemExit):
        main([*command, "--cells", "head_only", "head_alone"])
    assert "no cell has 'head_alone' in its title; expected a part of one of: toy/mlp" in capsys.readouterr().err
    page.main()
    assert "Not run yet: `toy/mlp/flip_signs/1`." in (tmp_path / "RESULTS.md").read_text()


@pytest.mark.parametrize("name", list(SUITES))
def test_every_suite_names_each_cell_once_and_what_it_is_compared_with(name):
    for tier in TIERS:
        suite = SUITES[name](tier, None)
        titles = [cell.title for cell in suite.cells]
        assert len(set(titles)) == len(titles), tier
        assert {suite.against(cell) for cell in suite.cells} < set(titles), tier
        assert {cell.dataset for cell in suite.cells} == set(suite.datasets), tier
        assert len({cell.seeds for cell in suite.cells}) == 1, tier
        # The same budget: as many trials, and as many steps where a reader has several networks of each image.
        tried = [(len(c.trials), c.trial_seeds) if isinstance(c, Cell) else c.trial for c in suite.cells]
        assert len({(t, c.epochs * c.views) for t, c in zip(tried, suite.cells, strict=True)}) == 1, tier


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SUITES))
def test_every_suite_runs_at_the_size_of_a_toy(name, tmp_path):
    main(["accuracy", "--suite", name, "--tier", "smoke", "--out", str(tmp_path)])
    report = json.loads((tmp_path / f"{name}-smoke" / "report.json").read_text())
    assert [row["cell"] for row in report["rows"]] == [cell.title for cell in SUITES[name]("smoke", None).cells]
    for row in report["rows"]:
        least = -np.inf if row.get("measure") == "r2" else 0
        assert all(least < score <= 1 or score == least for score in row["test_accuracies"])


def test_the_page_draws_how_the_fewest_and_the_most_views_overfit(tmp_path, monkeypatch):
    history = {"epoch": [1, 2], "run": [0, 0], "train_accuracy": [0.5, 0.9], "validation_accuracy": [0.4, 0.3]}
    row = {"test_accuracy_mean": 0.5, "test_accuracy_sd": 0.0, "train_accuracy_mean": 0.9}
    row |= {**paged(), "history": history, "test_accuracies": [0.5]}
    rows = [{**row, "cell": f"toy/dws/none/{views}"} for views in (1, 2, 5)]
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "RESULTS.md")
    (tmp_path / "accuracy-views.json").write_text(
        json.dumps({"suite": "views", "tier": "smoke", "command": "x", "rows": rows})
    )
    page.main()
    assert (tmp_path / "accuracy-views-curves-dws.png").stat().st_size > 10_000
    assert "![curves of dws](results/accuracy-views-curves-dws.png)" in (tmp_path / "RESULTS.md").read_text()
    assert doctest.testmod(page).failed == 0


def test_shapes_are_read_from_a_directory_of_meshes_too(tmp_path, monkeypatch):
    for kind in ("cube", "slab"):
        for part, names in (("train", range(4)), ("test", range(1))):
            for number in names:
                write_box(tmp_path / kind / part / f"{number}.off", (1.0, 1.0, 0.2 if kind == "slab" else 0.9))
    assert list(SUITES["shapes"]("smoke", tmp_path).datasets) == ["meshes"]
    monkeypatch.setattr(networks_of.data, "fit_dataset", lambda signals, recipe, out: (signals, recipe))
    found: Any = networks_of.fields(tmp_path / "out", None, tmp_path, 10)
    assert (found[0].classes, len(found[0].label), found[1].steps) == (("cube", "slab"), 10, 10)


def test_a_random_search_begins_with_what_the_other_suites_take_and_draws_the_rest_once_and_for_all():
    assert doctest.testmod(suite_strengths).failed == 0
    for draw in (suite_strengths.settings_drawn, suite_strengths.strengths_drawn, suite_strengths.shapes_drawn):
        assert draw(8)[0] == PLAIN
        assert draw(32)[:8] == draw(8)
        assert len(set(draw(32))) == 32


def test_so_many_images_are_taken_of_each_split():
    assert doctest.testmod(networks_of).failed == 0


def write_box(path, size):
    corners = [[x * size[0], y * size[1], z * size[2]] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    lines = ["OFF", "8 6 0", *(" ".join(map(str, c)) for c in corners), *(f"4 {' '.join(map(str, f))}" for f in faces)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_an_unknown_suite_or_tier_lists_the_known_ones(tmp_path, capsys, untyped):
    for wrong in (["--suite", "reader"], ["--suite", "readers", "--tier", "big"]):
        with pytest.raises(SystemExit):
            main(["accuracy", *wrong, "--out", str(tmp_path)])
        assert "the valid ones are: " in capsys.readouterr().err


def test_a_single_trial_is_taken_untried(networks, tmp_path):
    row = run_cell(replace(TOY, trials=(Trial(0, 1e-2),)), networks, tmp_path)
    assert row["trials"] == []
    assert not (tmp_path / "trials").exists()
    assert row["trial"]["learning_rate"] == 1e-2


@pytest.mark.parametrize(("inputs", "arms"), [(2, PLANE_ARMS), (1, CURVE_VIEWS.values())])
def test_every_arm_is_an_augmentation_of_the_networks_that_it_is_for(inputs, arms):
    """Step by step, each of them once: a message names the step."""
    spec = siren((inputs, 4, 1))
    stacked = spec.unflatten([np.ones((3, *shape), np.float32) for shape in spec.shapes])
    steps = dict.fromkeys(step for augment in arms for step in read_spec(augment))
    from_spec(format_spec(tuple(steps)), spec, jax.jit(statistics_of)(stacked))


def test_no_two_ways_of_fitting_are_the_same():
    recipes = [*RECIPES.values(), *RECIPES_AT_FULL.values()]
    assert len(set(recipes)) == len(recipes) == len({*RECIPES, *RECIPES_AT_FULL})


def test_views_are_for_training_and_one_is_scored(networks):
    split, count = networks.columns["split"], len(networks)
    rows = np.repeat(np.arange(count), 3)
    several = networks.take(rows)
    several.columns["view"][:] = np.tile(np.arange(3), count)
    for views in (1, 2, 3):
        chosen = with_views(several, views)
        sizes = [len(chosen.split(name)) for name in SPLITS]
        assert sizes == [np.sum(split == i) * (views if i == 0 else 1) for i in range(3)]
        assert set(chosen.columns["view"][chosen.columns["split"] > 0]) == {0}
        assert set(chosen.columns["view"]) == set(range(views))
    with pytest.raises(ValueError, match="has 3 views of an image; expected 4: fit it with that many"):
        with_views(several, 4)
    assert with_views(networks, 1) is networks
