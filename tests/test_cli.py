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
from wsjax import __version__, cli, data, models
from wsjax import train as training
from wsjax.augment import CATALOGUE
from wsjax.data.formats import contents, state_dicts
from wsjax.data.store import shards
from wsjax.networks import Network
from wsjax.storage import orbax_calls


@pytest.fixture
def run(monkeypatch, capsys):
    """Call `wsjax ARGUMENTS` in this process, which ends with a code; what it printed, of a failure as an error."""

    def call(*arguments: object, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["wsjax", *map(str, arguments)])
        ended = 0
        try:
            cli.main()
        except SystemExit as stop:
            ended = stop.code if isinstance(stop.code, int) else 1
        printed = capsys.readouterr()
        assert ended == code, printed.err
        return printed.err if code == 2 else printed.out

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


def test_help_names_every_command_and_explains_every_argument(run):
    assert all(name in run("--help") for name in cli.COMMANDS)
    for command, function in cli.COMMANDS.items():
        shown = " ".join(re.sub("[│╭╮╰╯─]", " ", run(command, "--help")).split())
        said = dict(re.findall(r"^    (\w+): (.+)$", inspect.getdoc(function) or "", re.MULTILINE))
        for name, parameter in inspect.signature(function).parameters.items():
            assert said[name] in shown
            if parameter.kind is parameter.KEYWORD_ONLY:
                assert f"--{name.strip('_').replace('_', '-')}" in shown


def test_python_runs_the_package_as_the_command():
    command = [sys.executable, "-m", "wsjax", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"wsjax {__version__}\n"


def test_convert_reads_a_directory_of_state_dicts_and_show_describes_them(run, conversion, tmp_path):
    assert f"3 networks: 3 train, 0 validation, 0 test) is in {tmp_path / 'ours'}" in run(*conversion)
    out = run("show", tmp_path / "ours")
    assert "3 networks" in out
    assert out.endswith("there is nothing to draw of them\n")
    err = run("convert", "state-dict", tmp_path / "theirs", tmp_path / "other", code=2)
    assert "unknown format 'state-dict'" in err


def test_verify_says_that_all_is_well_and_names_what_is_not(run, fitted, tmp_path):
    assert "all is well" in run("verify", fitted)
    copy = shutil.copytree(fitted, tmp_path / "copy")
    shutil.rmtree(copy / "shards" / "00000")
    assert "damaged: shard 00000 is missing" in run("verify", copy, code=1)


def test_fit_of_signals_by_their_options_and_what_it_refuses(run, tmp_path, untyped):
    few = ("--options", '{"count": 20, "points": 16}', "--limit", 10, "--steps", 2)
    assert "10 networks, PSNR mean" in run("fit", "sines", tmp_path / "set", *few)
    assert (tmp_path / "set" / "fits.png").stat().st_size > 1000
    assert data.load(tmp_path / "set").metadata.source["options"] == {"count": 20, "points": 16, "seed": 0}
    assert "10 networks decoded, mean PSNR" in run("verify", tmp_path / "set")
    for (source, *options), message in {
        ("sines", "--recipe", "dws"): "recipe is 'dws', which is for images; 'sines' gives other signals",
        ("sines", "--options", '{"cuont": 3}'): "unknown option 'cuont' of sines; the valid ones are: count,",
        ("sines", "--options", "{count: 3}"): "options is '{count: 3}'; expected a JSON object",
        ("digits", "--options", '{"count": 3}'): "'digits' takes no options",
        ("meshes",): "the source 'meshes' reads files and no directory is named",
        ("digits", "--steps", 0): "steps is 0; it must be one integer in [1, inf)",
        ("digits", "--learning-rate", 0): "learning_rate is 0.0; it must be one number in (0, inf)",
        ("digits", "--views", 0): "views is 0; it must be one integer in [1, inf)",
    }.items():
        assert message in run("fit", source, tmp_path / "other", *options, code=2)


def test_zoo_makes_a_data_set_a_table_and_a_figure(run, tmp_path):
    """Options stand before the directories too: one of several values takes them as one."""
    out = tmp_path / "zoo"
    small = ("--limit", 40, "--networks", 5, "--steps", 3, "--slots", 2, "--dropout", 0, 0, "--hidden", "4,3")
    zoo = ("zoo", *small, "--snapshots", "0,1", "--optimizers", "sgd", "digits")
    printed = run(*zoo, out)
    assert re.search(r"^sgd +5 +0 ", printed, re.MULTILINE)
    assert f"the data set is in {out}; a figure of it is in {out / 'zoo.png'}" in printed
    networks = data.load(out)
    assert (len(networks), networks.columns["dropout"].max()) == (15, 0)
    assert networks.symmetry.shapes[:3:2] == [(64, 4), (4, 3)]
    assert (out / "zoo.png").stat().st_size > 10_000
    assert "holds all 15 networks: nothing to do" in run(*zoo, out)
    (out / "zoo.png").unlink()
    printed = run("show", out)
    assert f"the figure is {out / 'zoo.png'}" in printed
    assert re.search(r"^sgd +5 +0 ", printed, re.MULTILINE)
    assert (out / "zoo.png").stat().st_size > 10_000
    assert "4 networks decoded, mean accuracy on the test images " in run("verify", out, "--sample", 4)
    assert "part 1 of 2 is complete" in run(*zoo, tmp_path / "parts", "--part", "1/2")
    assert not (tmp_path / "parts" / "zoo.png").exists()


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
    assert "curves.png are in" in run("train", fitted, out, *SMALL, "--augment", " rotate ")
    result = json.loads((out / "result.json").read_text())
    assert result["test_accuracies"] == training.evaluate(training.load(out), data.load(fitted))
    assert f"mean {sum(result['test_accuracies']) / 2:.1%}" in run("evaluate", out, fitted)
    printed = run("evaluate", out, fitted, "--copies", 3, "--augment", "rotate")
    assert f"mlp of {out} on {fitted}, over 3 copies augmented by rotate: mean " in printed
    printed = run("evaluate", out, fitted, "--predictions", tmp_path / "out.csv")
    assert f"the outputs of seed 0 are in {tmp_path / 'out.csv'}" in printed
    check_predictions(tmp_path / "out.csv", data.load(fitted).split("test"), result["test_accuracies"][0])
    (out / "curves.png").unlink()
    assert "augmentation: rotate\n" in run("show", out)
    assert (out / "curves.png").stat().st_size > 1000


def test_a_reader_predicts_targets(run, targets, tmp_path):
    out = tmp_path / "run"
    assert re.search(r"^R2 +train +validation +test +test tau$", run("train", targets, out, *SMALL), re.MULTILINE)
    assert (out / "curves.png").stat().st_size > 1000
    result = json.loads((out / "result.json").read_text())
    assert set(result) >= {"train_r2_mean", "validation_r2_mean", "validation_r2_sd", "test_r2_mean", "test_tau_mean"}
    trained, networks = training.load(out), data.load(targets)
    assert result["test_r2s"] == training.evaluate(trained, networks)
    assert result["test_taus"] == training.kendall_tau(trained, networks)
    printed = run("evaluate", out, targets, "--predictions", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["row", "object", "label", "output_0"]
    assert [float(line[-1]) for line in lines] == training.predict(trained, networks)[:, 0].tolist()
    for seed in range(2):
        assert f"seed {seed}: test R2 {result['test_r2s'][seed]:.3f}, tau {result['test_taus'][seed]:.3f}\n" in printed
    assert f": mean {result['test_r2_mean']:.3f}, tau {result['test_tau_mean']:.3f}\n" in printed
    best = trained.scores()[1]
    assert f"seed 1: best validation R2 {best['validation_r2']:.3f} at epoch {best['epoch']}" in run("show", out)
    run("train", targets, out, *SMALL)
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
    data.Collection.from_datasets({**target, "unknown": unknown}).save(tmp_path / "all")
    printed = run("show", tmp_path / "all")
    for name in target:
        assert f"the figure is {tmp_path / 'all' / name / 'fields.png'}" in printed
        assert (tmp_path / "all" / name / "fields.png").stat().st_size > 5_000
    assert printed.count("networks Symmetry") == 3
    assert "there is nothing to draw of them" in printed
    run("show", tmp_path / "all", "--out", tmp_path / "mine.png")
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["mine-narrow.png", "mine-wide.png"]
    assert data.verify(tmp_path / "all").ok


def test_what_is_wrong_is_named(run, fitted, tmp_path, untyped):
    """With the valid choices where there are some, and a reader and its settings before data is read."""
    train, early, out = ("train", fitted, tmp_path / "run"), ("train", tmp_path / "nothing", tmp_path / "run"), tmp_path
    (tmp_path / "a run").mkdir()
    (tmp_path / "a run" / "run.json").touch()
    for arguments, message in {
        ("fit", "digit", out): "unknown source 'digit'; the valid ones are: digits, mnist, fashion-mnist",
        (*train, "--augment", "rotate(max_degres=30)"): (
            "rotate in 'rotate(max_degres=30)' has no setting 'max_degres'; it takes: max_degrees"
        ),
        (*train, "--settings", "{channels: 3}"): "settings is '{channels: 3}'; expected a JSON object",
        (*train, "--seeds", 0): "seeds is 0; it must be one integer in [1, inf)",
        (*early, "--reader", "dwz"): "unknown reader 'dwz'",
        (*early, "--settings", '{"chanels": 3}'): "unknown setting 'chanels' of reader 'dws'",
        (*early, "--settings", "bas"): "unknown size 'bas' of reader 'dws'; the valid ones are: small, base, published",
        (*early, "--import", "users_step"): "import is 'users_step': No module named 'users_step'; expected a module",
        ("show", out / "nothing"): f"{out / 'nothing'} is no directory; expected",
        ("verify", out): f"{out / 'index.json'} cannot be read",
        ("train", out / "a run", out / "out"): "is a training run, whose networks are readers; expected",
        ("zoo", "digits", out / "zoo", "--hidden", 0): "hidden is 0; it must be one integer in [1, inf)",
        ("zoo", "digits", out / "zoo", "--hidden", "8,x"): "Error parsing --hidden: invalid literal for int()",
    }.items():
        assert message in run(*arguments, code=2)


@pytest.fixture
def asked(monkeypatch) -> list[tuple[Any, ...]]:
    """What `wsjax train` asks `train.fit` for; nothing is trained."""
    found = []

    def stop(networks, make_model, config, *, seeds, mesh, **_):
        found.append((make_model, config, list(seeds), mesh))
        raise ValueError("enough")

    monkeypatch.setattr(training, "fit", stop)
    return found


def test_the_command_line_trains_at_the_defaults_of_the_library(run, fitted, tmp_path, asked, untyped):
    train = ("train", fitted, tmp_path / "run")
    run(*train, code=2)
    ((make_model, *others),) = asked
    assert others == [training.TrainConfig(), [0, 1, 2], None]
    assert (make_model.name, make_model.settings) == ("dws", models.registry.settings_of("dws"))
    run(*train, "--devices", 3, "--augment", "recommended", code=2)
    _, config, _, mesh = asked[-1]
    assert len(mesh.devices) == 3
    assert config.augment.startswith("flip_signs | rotate(max_degrees=15.0) | ")  # what the preset stands for
    assert "devices is 9; this process has 4: ask for 1 to 4" in run(*train, "--devices", 9, code=2)
    assert len(asked) == 2


MODULE = """
import jax
from wsjax import augment

@augment.register(identity={"factor": 1.0})
def shrink_by(key, weights, *, factor=0.5):
    return jax.tree.map(lambda w: w * factor, weights)
"""


def test_modules_of_ones_own_register_augmentations(run, fitted, tmp_path, monkeypatch):
    """Before the SPEC is read, in training and wherever the run is read again; the directories may come behind them."""
    (tmp_path / "users_steps.py").write_text(MODULE)
    (tmp_path / "users_others.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    out, imported = tmp_path / "run", ("--import", "users_steps", "--import", "users_others")
    train = (fitted, out, *SMALL, "--augment", "rotate(10) | shrink_by(0.9)")
    assert "shrink_by" in run("train", *train, code=2)
    assert not out.exists()
    try:
        run("train", *imported, *train)
        assert "users_others" in sys.modules
        assert "augmentation: rotate(max_degrees=10.0) | shrink_by(factor=0.9)\n" in run("show", *imported, out)
        run("evaluate", *imported, out, fitted)
    finally:
        CATALOGUE.pop("shrink_by", None)
        for name in imported[1::2]:
            sys.modules.pop(name, None)


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
    stop_at(contents, "read_contents")
    run(*conversion, code=130)
    assert not (tmp_path / "ours").exists()
    run(*conversion)


def test_ctrl_c_while_convert_writes_leaves_what_is_not_taken_for_whole(
    run, conversion, stop_at, tmp_path, monkeypatch
):
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)  # a network in each shard
    stop_at(orbax_calls.ocp, "save")
    run(*conversion, code=130)
    # Ctrl-C waited until the shard was whole and listed.
    assert sorted(path.name for path in (tmp_path / "ours" / "shards").iterdir()) == ["00000", "00001"]
    unfinished = "is unfinished: 2 of 3 networks are there; to go on, remove the directory"
    assert unfinished in run("show", tmp_path / "ours", code=2)
    assert NOT_EMPTY in run(*conversion, code=2)
    shutil.rmtree(tmp_path / "ours")
    run(*conversion)
    assert data.load(tmp_path / "ours").label.tolist() == [0, 1, 0]


NOT_EMPTY = "is not empty; expected a new directory: name another one, or remove it"


def test_ctrl_c_while_an_export_writes_leaves_what_is_not_read_back(run, conversion, stop_at, tmp_path):
    run(*conversion)
    there = ("convert", "to-state-dicts", tmp_path / "ours", tmp_path / "out", "--options", '{"kind": "npz"}')
    back = ("convert", "state-dicts", tmp_path / "out", tmp_path / "again")
    stop_at(state_dicts, "write_file")
    run(*there, code=130)
    assert "of an export that was stopped remove the directory and export again" in run(*back, code=2)
    assert not (tmp_path / "again").exists()
    assert NOT_EMPTY in run(*there, code=2)
    shutil.rmtree(tmp_path / "out")
    run(*there)
    run(*back)
    assert len(data.load(tmp_path / "again")) == 3


@pytest.mark.slow
def test_ctrl_c_during_fit_keeps_what_is_finished_and_the_same_command_goes_on(tmp_path):
    out = tmp_path / "set"
    command = [sys.executable, "-m", "wsjax", "fit", "digits", str(out), "--steps", "60"]
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
