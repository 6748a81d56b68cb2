"""The console command: what it makes, and what it says when it cannot."""

import csv
import dataclasses
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.viz.conftest import random_networks
from wsjax import cli, data, models
from wsjax import train as training
from wsjax.augment import CATALOGUE
from wsjax.data.formats import export, state_dicts
from wsjax.data.store import shards
from wsjax.networks import Network
from wsjax.storage import orbax_calls


@pytest.fixture
def run(monkeypatch, capsys):
    """Call `wsjax ARGUMENTS` in this process; its exit code, and what it printed."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wsjax", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture(scope="session")
def fitted(networks, tmp_path_factory) -> Path:
    """A stored data set of digits."""
    out = tmp_path_factory.mktemp("cli") / "digits"
    data.save(networks, out)
    return out


@pytest.fixture(scope="session")
def targets(networks, tmp_path_factory) -> Path:
    """The same networks with their PSNR for a label."""
    metadata = dataclasses.replace(networks.metadata, classes=(), label="target")
    out = tmp_path_factory.mktemp("cli") / "targets"
    data.save(dataclasses.replace(networks, label=networks.columns["psnr"], metadata=metadata), out)
    return out


@pytest.fixture
def conversion(tmp_path) -> tuple[object, ...]:
    """Three networks of others, and what `wsjax convert` is told of them."""
    (tmp_path / "theirs").mkdir()
    for i in range(3):
        shapes = {"0.weight": (4, 5), "0.bias": (4,), "1.weight": (1, 4), "1.bias": (1,)}
        layers: dict[str, Any] = {name: np.full(shape, i, np.float32) for name, shape in shapes.items()}
        np.savez(tmp_path / "theirs" / f"{i}.npz", label=i % 2, **layers)
    options = {"network": {"kind": "mlp", "widths": [5, 4, 1], "activation": "tanh"}}
    return ("convert", "state-dicts", tmp_path / "theirs", tmp_path / "ours", "--options", json.dumps(options))


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(name in out for name in cli.COMMANDS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_of_a_command_explains_every_argument(command, run):
    code, out, _ = run(command, "--help")
    shown = " ".join(re.sub("[│╭╮╰╯─]", " ", out).split())
    said = dict(re.findall(r"^    (\w+): (.+)$", inspect.getdoc(cli.COMMANDS[command]) or "", re.MULTILINE))
    assert code == 0
    for name, parameter in inspect.signature(cli.COMMANDS[command]).parameters.items():
        assert said[name] in shown
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert f"--{name.strip('_').replace('_', '-')}" in shown


def test_convert_reads_a_directory_of_state_dicts_and_show_describes_them(run, conversion, tmp_path):
    code, out, _ = run(*conversion)
    assert code == 0
    assert f"3 networks: 3 train, 0 validation, 0 test) is in {tmp_path / 'ours'}" in out
    code, out, _ = run("show", tmp_path / "ours")
    assert code == 0
    assert "3 networks" in out
    assert out.endswith("they hold no pictures to draw\n")
    code, _, err = run("convert", "state-dict", tmp_path / "theirs", tmp_path / "other")
    assert (code, "unknown format 'state-dict'" in err) == (2, True)


def test_verify_says_that_all_is_well_and_names_what_is_not(run, fitted, tmp_path):
    code, out, _ = run("verify", fitted)
    assert code == 0
    assert "all is well" in out
    copy = shutil.copytree(fitted, tmp_path / "copy")
    shutil.rmtree(copy / "shards" / "00000")
    code, out, _ = run("verify", copy)
    assert code == 1
    assert "damaged: shard 00000 is missing" in out


def test_version(run):
    assert run("--version")[1].startswith("wsjax 0.")


@pytest.mark.slow
def test_fit_train_evaluate_show(run, tmp_path):
    sets, runs = tmp_path / "set", tmp_path / "run"
    code, out, _ = run("fit", "digits", sets, "--limit", 40, "--steps", 10)
    assert code == 0
    assert f"the data set is in {sets}" in out
    train = ("train", sets, runs, "--reader", "mlp", "--augment", "recommended", "--epochs", 4, "--evaluate-every", 2)
    code, out, _ = run(*train, "--seeds", 2)
    assert code == 0
    assert "curves.png are in" in out
    result = json.loads((runs / "result.json").read_text())
    assert len(result["test_accuracies"]) == 2
    code, out, _ = run("evaluate", runs, sets)
    assert code == 0
    assert f"mean {sum(result['test_accuracies']) / 2:.1%}" in out
    code, out, _ = run("evaluate", runs, sets, "--copies", 3, "--augment", "flip_signs")
    assert code == 0
    assert f"mlp of {runs} on {sets}, over 3 copies augmented by flip_signs: mean " in out
    for path, picture in ((sets, "gallery.png"), (runs, "curves.png")):
        assert run("show", path)[0] == 0
        assert (path / picture).stat().st_size > 1000
    # The run's record holds the steps that the preset stood for.
    assert "augmentation: flip_signs | rotate(max_degrees=15.0) | " in run("show", runs)[1]


def test_fit_of_signals_by_their_options_and_what_it_refuses(run, tmp_path, untyped):
    few = ("--options", '{"count": 20, "points": 16}', "--limit", 10, "--steps", 2)
    code, out, _ = run("fit", "sines", tmp_path / "set", *few)
    assert code == 0
    assert "10 networks, PSNR mean" in out
    assert (tmp_path / "set" / "fits.png").stat().st_size > 1000
    assert data.load(tmp_path / "set").metadata.source["options"] == {"count": 20, "points": 16, "seed": 0}
    assert "10 networks decoded, mean PSNR" in run("verify", tmp_path / "set")[1]
    for arguments, message in {
        ("sines", "--recipe", "dws"): "recipe is 'dws', which is for images; 'sines' gives other signals",
        ("sines", "--options", '{"cuont": 3}'): "unknown option 'cuont' of sines; the valid ones are: count,",
        ("sines", "--options", "{count: 3}"): "options is '{count: 3}'; expected a JSON object",
        ("digits", "--options", '{"count": 3}'): "'digits' takes no options",
        ("meshes",): "the source 'meshes' reads files and no directory is named",
    }.items():
        code, _, err = run("fit", arguments[0], tmp_path / "other", *arguments[1:])
        assert (code, message in err) == (2, True), err


def test_zoo_makes_a_data_set_a_table_and_a_picture(run, tmp_path):
    out = tmp_path / "zoo"
    small = ["--limit", 40, "--networks", 5, "--hidden", 4, "--steps", 3, "--slots", 2, "--snapshots", 0, 1]
    code, printed, _ = run("zoo", "digits", out, *small, "--optimizers", "sgd", "--dropout", 0, 0)
    assert code == 0
    assert re.search(r"^sgd +5 +0 ", printed, re.MULTILINE)
    assert f"the data set is in {out}; a picture of it is in {out / 'zoo.png'}" in printed
    networks = data.load(out)
    assert len(networks) == 15
    assert networks.columns["dropout"].max() == 0
    assert (out / "zoo.png").stat().st_size > 10_000
    code, printed, _ = run("zoo", "digits", out, *small, "--optimizers", "sgd", "--dropout", 0, 0)
    assert (code, "holds all 15 networks: nothing to do" in printed) == (0, True)
    (out / "zoo.png").unlink()
    code, printed, _ = run("show", out)
    assert (code, f"the picture is {out / 'zoo.png'}" in printed) == (0, True)
    assert re.search(r"^sgd +5 +0 ", printed, re.MULTILINE)
    assert (out / "zoo.png").stat().st_size > 10_000
    code, printed, _ = run("verify", out, "--sample", 4)
    assert (code, "4 networks decoded, mean accuracy on the test images " in printed) == (0, True)
    code, printed, _ = run("zoo", "digits", tmp_path / "parts", *small, "--part", "1/2")
    assert (code, "part 1 of 2 is complete" in printed, (tmp_path / "parts" / "zoo.png").exists()) == (0, True, False)


SMALL = ("--reader", "mlp", "--settings", '{"width": 4}', "--epochs", 4, "--evaluate-every", 2, "--seeds", 2)


def check_predictions(path: Path, part: data.WeightDataset, accuracy: float) -> None:
    """A line for each network of the split, whose largest output is the predicted class."""
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    classes = part.metadata.classes
    assert [line["label"] for line in lines] == [classes[label] for label in part.label]
    assert [int(line["object"]) for line in lines] == part.columns["image"].tolist()
    assert np.mean([line["predicted"] == line["label"] for line in lines]) == pytest.approx(accuracy)
    for line in lines:
        assert line["predicted"] == max(classes, key=lambda name: float(line[name]))


def test_a_reader_trains_on_classes_and_is_evaluated_and_shown(run, fitted, tmp_path):
    out = tmp_path / "run"
    code, printed, err = run("train", fitted, out, *SMALL, "--augment", " rotate ")
    assert code == 0, err
    assert "curves.png are in" in printed
    result = json.loads((out / "result.json").read_text())
    assert result["test_accuracies"] == training.evaluate(training.load(out), data.load(fitted))
    code, printed, _ = run("evaluate", out, fitted)
    assert (code, f"mean {sum(result['test_accuracies']) / 2:.1%}" in printed) == (0, True)
    code, printed, _ = run("evaluate", out, fitted, "--copies", 3, "--augment", "rotate")
    assert (code, f"mlp of {out} on {fitted}, over 3 copies augmented by rotate: mean " in printed) == (0, True)
    code, printed, _ = run("evaluate", out, fitted, "--predictions", tmp_path / "out.csv")
    assert (code, f"the outputs of seed 0 are in {tmp_path / 'out.csv'}" in printed) == (0, True)
    check_predictions(tmp_path / "out.csv", data.load(fitted).split("test"), result["test_accuracies"][0])
    (out / "curves.png").unlink()
    code, printed, _ = run("show", out)
    assert (code, "augmentation: rotate\n" in printed) == (0, True)
    assert (out / "curves.png").stat().st_size > 1000


def test_a_reader_predicts_targets(run, targets, tmp_path):
    out = tmp_path / "run"
    code, printed, err = run("train", targets, out, *SMALL)
    assert code == 0, err
    assert re.search(r"^R2 +train +validation +test +test tau$", printed, re.MULTILINE)
    assert (out / "curves.png").stat().st_size > 1000
    result = json.loads((out / "result.json").read_text())
    assert set(result) >= {"train_r2_mean", "validation_r2_mean", "validation_r2_sd", "test_r2_mean", "test_tau_mean"}
    trained, networks = training.load(out), data.load(targets)
    assert result["test_r2s"] == training.evaluate(trained, networks)
    assert result["test_taus"] == training.kendall_tau(trained, networks)
    code, printed, _ = run("evaluate", out, targets, "--predictions", tmp_path / "out.csv")
    assert code == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["row", "object", "label", "output_0"]
    assert [float(line[-1]) for line in lines] == training.predict(trained, networks)[:, 0].tolist()
    for seed in range(2):
        assert f"seed {seed}: test R2 {result['test_r2s'][seed]:.3f}, tau {result['test_taus'][seed]:.3f}\n" in printed
    assert f": mean {result['test_r2_mean']:.3f}, tau {result['test_tau_mean']:.3f}\n" in printed
    best = trained.scores()[1]
    shown = f"seed 1: best validation R2 {best['validation_r2']:.3f} at epoch {best['epoch']}"
    assert shown in run("show", out)[1]
    assert run("train", targets, out, *SMALL)[0] == 0
    assert json.loads((out / "result.json").read_text()) == result


def by_hand(widths: tuple[int, ...]) -> data.WeightDataset:
    """Four networks of a curve, as they were drawn."""
    net = Network("siren", widths)
    weights = random_networks(net, 4)
    metadata = data.Metadata("sines", net, net.symmetry, label="target").with_statistics(weights, np.arange(4))
    return data.WeightDataset(weights, np.zeros((4, 2), np.float32), {"split": np.zeros(4, np.int8)}, metadata)


def test_show_draws_every_member_of_a_collection(run, tmp_path):
    target = {"narrow": by_hand((1, 3, 1)), "wide": by_hand((1, 4, 1))}
    other = by_hand((1, 3, 1))
    unknown = dataclasses.replace(other, metadata=dataclasses.replace(other.metadata, network=None))
    data.collect({**target, "unknown": unknown}).save(tmp_path / "all")
    code, printed, err = run("show", tmp_path / "all")
    assert code == 0, err
    for name in target:
        assert f"the picture is {tmp_path / 'all' / name / 'fields.png'}" in printed
        assert (tmp_path / "all" / name / "fields.png").stat().st_size > 5_000
    assert printed.count("networks Symmetry") == 3
    assert "they hold no pictures to draw" in printed
    run("show", tmp_path / "all", "--out", tmp_path / "mine.png")
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["mine-narrow.png", "mine-wide.png"]
    assert data.verify(tmp_path / "all").ok


def test_what_is_wrong_is_named(run, fitted, tmp_path, untyped):
    """With the valid choices where there are some, and a code of 2."""
    train = ("train", fitted, tmp_path / "run")
    (tmp_path / "a run").mkdir()
    (tmp_path / "a run" / "run.json").touch()
    for arguments, message in (
        (
            ("fit", "digit", tmp_path / "set"),
            "unknown source 'digit'; the valid ones are: digits, mnist, fashion-mnist",
        ),
        (
            (*train, "--augment", "rotate(max_degres=30)"),
            "rotate in 'rotate(max_degres=30)' has no setting 'max_degres'; it takes: max_degrees",
        ),
        ((*train, "--settings", "{channels: 3}"), "settings is '{channels: 3}'; expected a JSON object"),
        ((*train, "--seeds", 0), "seeds is 0; it must be one integer in [1, inf]"),
        (("show", tmp_path / "nothing"), f"{tmp_path / 'nothing'} is no directory; expected"),
        (("verify", tmp_path), f"{tmp_path / 'index.json'} cannot be read"),
        (("train", tmp_path / "a run", tmp_path / "out"), "is a training run, whose networks are readers; expected"),
        (("zoo", "digits", tmp_path / "zoo", "--hidden", 0), "hidden is 0; it must be one integer in [1, inf]"),
    ):
        code, _, err = run(*arguments)
        assert (code, message in err) == (2, True), err


def test_fit_refuses_nought_rather_than_take_the_default(run, tmp_path, untyped):
    for option, message in {
        "--steps": "steps is 0; it must be one integer in [1, inf]",
        "--learning-rate": "learning_rate is 0.0; it must be one number in (0, inf]",
        "--views": "views is 0; it must be one integer in [1, inf]",
    }.items():
        code, _, err = run("fit", "digits", tmp_path / "set", option, 0)
        assert (code, message in err) == (2, True), err


@pytest.fixture
def asked(monkeypatch) -> list[tuple[Any, ...]]:
    """What `wsjax train` asks `train.fit` for; nothing is trained."""
    found = []

    def stop(networks, make_model, config, *, seeds, mesh, **_):
        found.append((make_model, config, list(seeds), mesh))
        raise ValueError("enough")

    monkeypatch.setattr(training, "fit", stop)
    return found


def test_the_command_line_trains_at_the_defaults_of_the_library(run, fitted, tmp_path, asked):
    assert run("train", fitted, tmp_path / "run")[0] == 2
    ((make_model, *others),) = asked
    assert others == [training.TrainConfig(), [0, 1, 2], None]
    assert (make_model.name, make_model.settings) == ("dws", models.settings_of("dws"))


def test_devices_are_those_that_each_batch_is_spread_over(run, fitted, tmp_path, asked, untyped):
    assert run("train", fitted, tmp_path / "run", "--devices", 3)[0] == 2
    assert len(asked[0][-1].devices) == 3
    code, _, err = run("train", fitted, tmp_path / "run", "--devices", 9)
    assert (code, "devices is 9; this process has 4: ask for 1 to 4" in err, len(asked)) == (2, True, 1)


def test_a_reader_and_its_settings_are_checked_before_data_is_read(run, tmp_path):
    for given, message in (
        (("--reader", "dwz"), "unknown reader 'dwz'"),
        (("--settings", '{"chanels": 3}'), "unknown setting 'chanels' of reader 'dws'"),
        (("--settings", "bas"), "unknown size 'bas' of reader 'dws'; the valid ones are: small, base, published"),
    ):
        code, _, err = run("train", tmp_path / "nothing", tmp_path / "run", *given)
        assert (code, message in err) == (2, True), err


MODULE = """
import jax
from wsjax import augment

@augment.register(identity={"factor": 1.0})
def shrink_by(key, weights, *, factor=0.5):
    return jax.tree.map(lambda w: w * factor, weights)
"""


def test_a_module_of_ones_own_registers_augmentations(run, fitted, tmp_path, monkeypatch):
    """`--import` stands before the SPEC is read, in training and wherever the run is read again."""
    (tmp_path / "users_steps.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    out, imported = tmp_path / "run", ("--import", "users_steps")
    train = ("train", fitted, out, *SMALL, "--augment", "rotate(10) | shrink_by(0.9)")
    code, _, err = run(*train)
    assert (code, "shrink_by" in err, out.exists()) == (2, True, False)
    try:
        code, _, err = run(*train, *imported)
        assert code == 0, err
        assert "augmentation: rotate(max_degrees=10.0) | shrink_by(factor=0.9)\n" in run("show", out, *imported)[1]
        assert run("evaluate", out, fitted, *imported)[0] == 0
    finally:
        CATALOGUE.pop("shrink_by", None)
        sys.modules.pop("users_steps", None)
    code, _, err = run(*train, "--import", "users_step")
    assert (code, "import is 'users_step': No module named 'users_step'; expected a module" in err) == (2, True)


@pytest.fixture
def stop_at(monkeypatch) -> Callable[[ModuleType, str], None]:
    """Ctrl-C at the second call of a function, and at no later one."""

    def stop(module: ModuleType, name: str) -> None:
        calls, before = [], getattr(module, name)

        def call(*arguments, **settings):
            calls.append(name)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.05)
            return before(*arguments, **settings)

        monkeypatch.setattr(module, name, call)

    return stop


def test_ctrl_c_while_convert_reads_leaves_nothing(run, conversion, stop_at, tmp_path):
    stop_at(state_dicts, "read_contents")
    assert run(*conversion)[0] == 130
    assert not (tmp_path / "ours").exists()
    assert run(*conversion)[0] == 0


def test_ctrl_c_while_convert_writes_leaves_what_is_not_taken_for_whole(
    run, conversion, stop_at, tmp_path, monkeypatch
):
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)  # a network in each shard
    stop_at(orbax_calls.ocp, "save")
    assert run(*conversion)[0] == 130
    # Ctrl-C waited until the shard was whole and listed.
    assert sorted(path.name for path in (tmp_path / "ours" / "shards").iterdir()) == ["00000", "00001"]
    code, _, err = run("show", tmp_path / "ours")
    assert (code, "is unfinished: 2 of 3 networks are there; to go on, remove the directory" in err) == (2, True)
    code, _, err = run(*conversion)
    assert (code, "is not empty; expected a new directory: name another one, or remove it" in err) == (2, True)
    shutil.rmtree(tmp_path / "ours")
    assert run(*conversion)[0] == 0
    assert data.load(tmp_path / "ours").label.tolist() == [0, 1, 0]


def test_ctrl_c_while_an_export_writes_leaves_what_is_not_read_back(run, conversion, stop_at, tmp_path):
    assert run(*conversion)[0] == 0
    there = ("convert", "to-state-dicts", tmp_path / "ours", tmp_path / "out", "--options", '{"kind": "npz"}')
    back = ("convert", "state-dicts", tmp_path / "out", tmp_path / "again")
    stop_at(export, "write_file")
    assert run(*there)[0] == 130
    code, _, err = run(*back)
    assert (code, "of an export that was stopped remove the directory and export again" in err) == (2, True)
    assert not (tmp_path / "again").exists()
    code, _, err = run(*there)
    assert (code, "is not empty; expected a new directory: name another one, or remove it" in err) == (2, True)
    shutil.rmtree(tmp_path / "out")
    assert run(*there)[0] == run(*back)[0] == 0
    assert len(data.load(tmp_path / "again")) == 3


@pytest.mark.slow
def test_ctrl_c_during_fit_keeps_what_is_finished_and_the_same_command_goes_on(tmp_path):
    out = tmp_path / "set"
    command = [sys.executable, "-c", "from wsjax.cli import main; main()", "fit", "digits", str(out)]
    command += ["--steps", "60"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 120
    while not any(out.glob("shards/*/")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"networks are safe in {out}; the same command goes on" in printed
    again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    assert len(data.load(out)) == 1797
