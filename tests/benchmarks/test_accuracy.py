"""The suites of accuracy: resumed cells, one use of the test split, and what a report says."""

import json
import re
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.accuracy import cell as cells
from benchmarks.accuracy import headlines, page, suites_dws
from benchmarks.accuracy import networks as networks_of
from benchmarks.accuracy import run as runs
from benchmarks.accuracy.augmentations import (
    ALIGNED,
    ALIGNED_AT_FULL,
    AUGMENTATIONS,
    CURVE_VIEWS,
    IMAGE_VIEWS,
    OF_VIEWS,
    SEARCHED,
    SEARCHED_AT_FULL,
)
from benchmarks.accuracy.cell import Cell, run_cell, score_test_once, with_views
from benchmarks.accuracy.suite import TIERS, Suite
from benchmarks.accuracy.suites import SUITES
from benchmarks.accuracy.suites_dws import PLAIN, RECIPES, RECIPES_AT_FULL
from benchmarks.speed import harness
from wsjax.augment import parse_batch
from wsjax.augment.grammar import format_spec, read_spec
from wsjax.augment.statistics import statistics_of
from wsjax.data.sources import SPLITS
from wsjax.symmetry import siren
from wsjax.train import Run

RATES = (Run(), Run(0, 1e-2), Run(0, 3e-2))  # as many as there are seeds: one program for both
pytestmark = pytest.mark.xdist_group("accuracy")
TOY = Cell("toy", "mlp", {"width": 4}, epochs=2, evaluate_every=2, batch_size=16, tried=RATES)

HEAD = replace(TOY, reader="probe", settings={"probes": 3, "width": 4}, freeze="trunk")

PLANE_TABLES = (AUGMENTATIONS, OF_VIEWS, IMAGE_VIEWS, SEARCHED, SEARCHED_AT_FULL, ALIGNED, ALIGNED_AT_FULL)
PLANE = [augment for table in PLANE_TABLES for augment in table.values()]


def test_a_finished_cell_is_reused_and_another_one_there_is_refused(networks, tmp_path, monkeypatch):
    row = run_cell(TOY, networks, tmp_path)
    assert (row["cell"], row["seeds"], len(row["test_accuracies"]), len(row["tried"])) == (
        "toy/mlp/none/1",
        [1, 2, 3],
        3,
        3,
    )
    monkeypatch.setattr(cells, "fit", None)
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
    for name in ("run", "tried", "validation_accuracy_mean", "best_epochs", "train_accuracy_mean"):
        assert one[name] == other[name]


def test_the_test_split_is_used_once_or_again_by_the_same_readers(networks, tmp_path):
    first, second = (TOY.fit(networks, [Run(seed + n) for n in (0, 2, 4)], tmp_path / f"{seed}") for seed in (0, 1))
    assert score_test_once(TOY, first, networks, tmp_path) == score_test_once(TOY, first, networks, tmp_path)
    with pytest.raises(ValueError, match="has used the test split once, with other readers"):
        score_test_once(TOY, second, networks, tmp_path)


def test_a_cell_that_differs_in_the_test_alone_scores_the_readers_of_another(networks, tmp_path):
    """Copies moved by a scale of strength 0 give the same outputs, so that all scores are equal; nothing is trained
    twice.
    """
    own = replace(TOY, tried=(Run(),), configuration="own")
    other = replace(own, configuration="copies", scores="own", copies=3, moved="scale(max_log=0.0)")
    first = run_cell(own, networks, tmp_path / own.title)
    second = run_cell(other, networks, tmp_path / other.title)
    assert second["test_accuracies"] == first["test_accuracies"]
    assert second["identity"] != first["identity"]
    assert not (tmp_path / other.title / "seeds").exists()
    with pytest.raises(ValueError, match=r"own.* holds a training with other settings: config\.epochs"):
        run_cell(
            replace(other, configuration="longer", epochs=4),
            networks,
            tmp_path / other.title.replace("copies", "longer"),
        )


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


def test_r2_is_named_and_no_percentage_and_neighbors_have_a_column_where_a_report_has_them():
    row = {"cell": "a", "test_accuracy_mean": -0.5, "test_accuracy_sd": 0.015, "train_accuracy_mean": 0.75}
    row |= {"parameters": 9, "step_ms": None, "paired": {"mean": -0.1, "sd": 0.02}}
    rows = [
        {**row, "metric": "r2", "knn_test_mean": 0.25, "knn_test_sd": 0.125},
        {**row, "metric": "accuracy", "knn_test_mean": 0.25, "knn_test_sd": 0.125},
    ]
    assert page.table({"rows": rows}).splitlines() == [
        "| cell | test | training | parameters | step | points against the baseline | test, nearest neighbors |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| `a` | R2 -0.500 ± 0.015 | R2 0.750 | 9 |  | R2 -0.100 ± 0.020 | R2 0.250 ± 0.125 |",
        "| `a` | -50.0% ± 1.5 | 75.0% | 9 |  | -10.0 ± 2.0 | 25.0% ± 12.5 |",
    ]
    assert "R2 -0.500 ± 0.015" in runs.table({"rows": rows[:1]})


def paged():
    """What the page reads of a row beside its scores."""
    row = {"machine": harness.machine(), "commit": "a", "seconds": 60.0, "parameters": 1, "paired": None}
    return row | {"networks": dict(zip(SPLITS, (3, 4, 5), strict=True)), "step_ms": None, "history": {}}


def test_the_committed_page_is_made_of_the_committed_reports():
    assert len(page.committed()) == 12
    assert page.whole(page.committed()) == page.PAGE.read_text()
    path, full = next((path, report) for path, report in page.committed().items() if report["suite"] == "full")
    assert headlines.rewritten(headlines.PAGE.read_text(), path.stem, full) == headlines.PAGE.read_text()


def test_accuracies_and_r2_are_drawn_apart(tmp_path):
    row = {"test_accuracy_mean": 0.5, "test_accuracy_sd": 0.0, "train_accuracy_mean": 0.9}
    report = {"rows": [{**row, "cell": "a/b/c/1"}, {**row, "cell": "d/b/c/1", "metric": "r2"}]}
    page.draw(report, tmp_path / "report.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report-r2.png", "report.png"]
    assert list(page.figures(tmp_path / "report.json", {"rows": report["rows"][1:]})) == ["R2"]
    named = {
        "suite": "toy",
        "tier": "smoke",
        "command": "x",
        "rows": [{**whole, **paged()} for whole in report["rows"]],
    }
    text = page.section(tmp_path / "x.json", named)
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
    page.main(["--figures", str(tmp_path / "figures")])
    mean, deviation = (report["rows"][0][f"test_accuracy_{name}"] for name in ("mean", "sd"))
    assert f"| `toy/mlp/none/1` | {mean:.1%} ± {100 * deviation:.1f} | " in (tmp_path / "RESULTS.md").read_text()
    assert (tmp_path / "figures" / "accuracy-readers-smoke--here.png").stat().st_size > 10_000
    monkeypatch.setattr(cells, "fit", None)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "Steps", None)
        main(command)
    again = json.loads((tmp_path / "cells" / "readers-smoke" / "report.json").read_text())
    assert again["rows"] == report["rows"]
    assert again["missing"] == []
    assert list(whole["history"]) == list(cells.CURVE)
    assert whole["history"]["epoch"] == [2, 2, 2]
    later = replace(TOY, configuration="flip_signs", augment="flip_signs")
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
    stored = tmp_path / "accuracy-readers-smoke--here.json"
    main([*command[:-1], str(tmp_path / "elsewhere"), "--earlier", str(stored), "--finished"])
    restored = json.loads((tmp_path / "elsewhere" / "readers-smoke" / "report.json").read_text())
    assert restored["missing"] == [later.title]
    assert [{**row, "step_ms": None, "reading": None} for row in restored["rows"]] == [
        {**row, "step_ms": None, "reading": None} for row in report["rows"]
    ]
    stored.write_text(json.dumps({"rows": [{**row, "identity": "other"} for row in report["rows"]]}))
    main([*command[:-1], str(tmp_path / "third"), "--earlier", str(stored), "--finished"])
    third = json.loads((tmp_path / "third" / "readers-smoke" / "report.json").read_text())
    assert (third["rows"], len(third["missing"])) == ([], 3)  # those cells have changed
    stored.write_text(json.dumps(some))
    page.main([])
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
        cells = {cell.title: cell for cell in suite.cells}
        for cell in suite.cells:
            (tried, others), (most, same) = budget(cell), budget(cells[suite.against(cell)])
            assert (others == same, tried <= most) == (True, True), cell.title


def budget(cell):
    """How many runs are tried, no more than of the baseline; the rest of the budget is the baseline's: the seeds that
    try, and the steps where a reader has several networks of each image."""
    tried, others = (len(cell.tried), cell.tried_seeds) if isinstance(cell, Cell) else (1, cell.run_settings)
    return tried, (others, cell.epochs * cell.views)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SUITES))
def test_every_suite_runs_at_the_size_of_a_toy(name, tmp_path):
    main(["accuracy", "--suite", name, "--tier", "smoke", "--out", str(tmp_path)])
    report = json.loads((tmp_path / f"{name}-smoke" / "report.json").read_text())
    assert [row["cell"] for row in report["rows"]] == [cell.title for cell in SUITES[name]("smoke", None).cells]
    for row in report["rows"]:
        least = -np.inf if row.get("metric") == "r2" else 0
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
    page.main([])
    assert (tmp_path / "accuracy-views-curves-dws.png").stat().st_size > 10_000
    assert "![curves of dws](results/accuracy-views-curves-dws.png)" in (tmp_path / "RESULTS.md").read_text()


def test_shapes_come_from_a_directory_of_meshes_too(tmp_path, monkeypatch):
    for kind in ("cube", "slab"):
        for part, names in (("train", range(4)), ("test", range(1))):
            for number in names:
                write_box(tmp_path / kind / part / f"{number}.off", (1.0, 1.0, 0.2 if kind == "slab" else 0.9))
    assert list(SUITES["shapes"]("smoke", tmp_path).datasets) == ["meshes"]
    monkeypatch.setattr(networks_of.data, "fit", lambda signals, *, recipe, out: (signals, recipe))
    found: Any = networks_of.fields(tmp_path / "out", None, tmp_path, 10)
    assert (found[0].classes, len(found[0].label), found[1].steps) == (("cube", "slab"), 10, 10)


def test_a_random_search_begins_with_what_the_other_suites_take_and_draws_the_rest_once_and_for_all():
    for draw in (suites_dws.settings_drawn, suites_dws.strengths_drawn, suites_dws.shapes_drawn):
        assert draw(8)[0] == PLAIN
        assert draw(32)[:8] == draw(8)
        assert len(set(draw(32))) == 32


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


def test_a_single_run_is_taken_untried(networks, tmp_path):
    row = run_cell(replace(TOY, tried=(Run(0, 1e-2),)), networks, tmp_path)
    assert row["tried"] == []
    assert not (tmp_path / "tried").exists()
    assert row["run"]["learning_rate"] == 1e-2


@pytest.mark.parametrize(("inputs", "augmentations"), [(2, PLANE), (1, CURVE_VIEWS.values())])
def test_every_configuration_has_an_augmentation_for_its_networks(inputs, augmentations):
    """Step by step, each of them once: a message names the step."""
    spec = siren((inputs, 4, 1))
    stacked = spec.unflatten([np.ones((3, *shape), np.float32) for shape in spec.shapes])
    steps = dict.fromkeys(step for augment in augmentations for step in read_spec(augment))
    parse_batch(format_spec(tuple(steps)), spec, jax.jit(statistics_of)(stacked))


def test_no_two_ways_of_fitting_are_the_same():
    recipes = [*RECIPES.values(), *RECIPES_AT_FULL.values()]
    assert len(set(recipes)) == len(recipes) == len({*RECIPES, *RECIPES_AT_FULL})


def test_several_views_are_for_training_and_one_is_scored(networks):
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
