"""The harness: quartiles, interleaving, compile time apart, the report and its schema."""

import doctest
import importlib
import itertools
import json

import jsonschema
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks.speed import harness
from benchmarks.speed.harness import Contestant
from tests.benchmarks.reports import FOLDER, SCHEMA


def a_report():
    """A report of two contestants on a clock that ticks once a reading."""
    contestants = [Contestant("a", lambda number: number, 1.0), Contestant("b", lambda number: number, 2.0)]
    timings = harness.measure(contestants, 3, itertools.count(1.0).__next__)
    row = harness.compare("toy/case/vs_b", timings["a"].seconds, "b", timings["b"].seconds, "s")
    return harness.report(
        "toy", quick=True, described=harness.machine(), rows=[row], timings=timings, notes=["A note."]
    )


def test_the_examples_of_all_benchmarks_are_right():
    root = FOLDER.parent
    for path in root.rglob("*.py"):
        if ">>> " in path.read_text(encoding="utf-8"):
            module = importlib.import_module(".".join(path.relative_to(root.parent).with_suffix("").parts))
            assert doctest.testmod(module).failed == 0, path


def test_quartiles_are_those_of_the_samples():
    assert harness.quartiles(np.arange(101.0)[::-1]) == (25.0, 50.0, 75.0)
    assert harness.quartiles(np.array([3.0])) == (3.0, 3.0, 3.0)


def test_rounds_run_every_contestant_forwards_and_backwards_in_turn():
    calls = []

    def contestant(name):
        return Contestant(name, lambda number: calls.append((name, number)), 1.0)

    harness.measure([contestant("a"), contestant("b"), contestant("c")], rounds=3)
    warm_up, rounds = calls[:3], calls[3:]
    assert [name for name, _ in warm_up] == ["a", "b", "c"]
    assert "".join(name for name, _ in rounds) == "abc" + "cba" + "abc"
    assert [number for _, number in rounds] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_the_first_call_is_no_sample_and_its_excess_is_compile_time():
    readings = iter([0.0, 10.0, 10.0, 12.0, 20.0, 24.0, 30.0, 34.0])  # calls of 10, 2, 4 and 4 seconds
    timing = harness.measure([Contestant("a", lambda number: "made", 2.0)], 3, readings.__next__)["a"]
    assert timing.seconds.tolist() == [1.0, 2.0, 2.0]
    assert timing.first == 10.0
    assert timing.compile == 6.0
    assert timing.made == ["made"] * 3


def test_a_drift_that_hits_all_alike_leaves_the_ratio():
    drift = np.array([1.0, 5.0, 2.0, 9.0, 3.0])
    row = harness.compare("toy/case/vs_b", 2 * drift, "b", 14 * drift, "us")
    assert (row.ratio, row.ratio_quartiles) == (7.0, (7.0, 7.0))
    assert (row.value, row.against_value) == (6.0, 42.0)


def test_a_slower_value_has_a_ratio_below_one():
    assert harness.compare("toy/case/vs_mark", np.array([4.0, 4.0]), "mark", 1.0, "us").ratio == 0.25


def test_a_written_report_keeps_the_schema(tmp_path):
    path = tmp_path / "report.json"
    harness.write(a_report(), path)
    read = json.loads(path.read_text())
    jsonschema.validate(read, SCHEMA)
    assert read == a_report() | {"machine": read["machine"]}
    assert {"name", "value", "unit", "ratio", "against"} <= set(read["rows"][0])


def test_the_schema_refuses_a_row_without_its_ratio():
    report = a_report()
    del report["rows"][0]["ratio"]
    with pytest.raises(jsonschema.ValidationError, match="ratio"):
        jsonschema.validate(report, SCHEMA)


def test_every_committed_report_keeps_the_schema_and_is_no_quick_one():
    paths = sorted((FOLDER / "results").glob("*.json"))
    assert {path.name.partition("--")[0] for path in paths} == set(command.SUITES)
    for path in paths:
        report = json.loads(path.read_text())
        jsonschema.validate(report, SCHEMA)
        assert not report["quick"], path
        assert report["suite"] in command.SUITES, path
        assert path.name.startswith(f"{report['suite']}--"), path


def test_the_table_shows_rows_contestants_and_notes():
    text = harness.table(a_report())
    assert "toy/case/vs_b" in text
    assert "quick: not for publication" in text
    assert text.endswith("A note.")


def test_an_unknown_suite_names_the_valid_ones(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["nonsense"])
    assert caught.value.code == 2
    assert "unknown suite 'nonsense'; the valid ones are: fit" in capsys.readouterr().err


def test_a_report_that_could_not_be_saved_is_refused_before_measuring(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["fit", "--json", str(tmp_path / "missing" / "report.json")])
    assert f"make {tmp_path / 'missing'} first" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["fit", "--json", str(tmp_path)])
    assert f"is the directory {tmp_path}; expected a file: give {tmp_path / 'report.json'}" in capsys.readouterr().err
