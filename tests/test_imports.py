"""Who may import whom, and what an import brings: heavy packages with the first call that needs them, help without JAX.

And all of it where Python runs without assertions and docstrings, and where text is ASCII.
"""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

from wsjax import cli, data
from wsjax.train import TrainConfig

HEAVY = ("grain", "h5py", "matplotlib", "orbax", "scipy", "sklearn", "torch", "trimesh", "tyro")

PROGRAM = """
import contextlib, importlib, io, json, pkgutil, sys

heavy, found, stdout = {*json.loads(sys.argv[1]), "jax", "numpy"}, {}, sys.stdout

def step(name, call):
    before = set(sys.modules)
    call()
    found[name] = sorted(heavy & (set(sys.modules) - before))

def help():
    from wsjax import cli

    for arguments in (["--help"], ["train", "--help"]):
        sys.argv = ["wsjax", *arguments]
        sys.stdout = io.TextIOWrapper(io.BytesIO(), encoding=stdout.encoding)
        with contextlib.suppress(SystemExit):
            cli.main()
        sys.stdout.seek(0)
        found[" ".join(arguments)] = sys.stdout.read()
    sys.stdout = stdout

step("wsjax", lambda: importlib.import_module("wsjax"))
step("help", help)
step("what all share", lambda: [importlib.import_module(name) for name in ("jax", "equinox", "optax")])
for name in ("symmetry", "networks", "augment", "models", "data", "train", "viz"):
    step(name, lambda: importlib.import_module("wsjax." + name))
from wsjax import data, models

step("digits", lambda: data.load_images("digits"))
step("orbax", lambda: importlib.import_module("wsjax.storage.orbax_calls"))
for module in pkgutil.walk_packages(sys.modules["wsjax"].__path__, "wsjax."):
    importlib.import_module(module.name)
print(json.dumps(found))
"""


def test_heavy_packages_come_when_they_are_used():
    """In one process, lighter packages first: what an earlier one brings no later one can."""
    command = [sys.executable, "-OO", "-c", PROGRAM, json.dumps(HEAVY)]
    ascii = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=ascii).stdout)
    assert all(found.pop(words).startswith("usage: wsjax") for words in ("--help", "train --help"))
    assert found.pop("wsjax") == []
    assert found.pop("help") == ["tyro"]
    assert found.pop("what all share")[:2] == ["jax", "numpy"]
    # What they do need, when they do.
    assert "sklearn" in found.pop("digits")
    assert "orbax" in found.pop("orbax")
    assert found == {name: [] for name in ("symmetry", "networks", "augment", "models", "data", "train", "viz")}


def test_the_defaults_of_commands_are_those_of_the_library():
    """They are written out there, as the records that have them come with JAX; None: the recipe says which."""
    own = {"steps", "learning_rate", "target_psnr"}
    for command, record, by_recipe, shared in (
        ("fit", data.Recipe, own, 2),
        ("zoo", data.ZooRecipe, set(), 13),
        ("train", TrainConfig, set(), 12),
    ):
        fields = {name: field.default for name, field in record.__dataclass_fields__.items()}
        asked = inspect.signature(cli.COMMANDS[command]).parameters.items()
        found = {{"networks": "count"}.get(name, name): parameter.default for name, parameter in asked}
        names = (found.keys() & fields.keys()) - by_recipe - {"recipe"}
        compared = {name for name in names if found[name] is not inspect.Parameter.empty}
        assert {name: found[name] for name in compared} == {name: fields[name] for name in compared}, command
        assert len(compared) == shared, (command, sorted(compared))


def test_imports_run_one_way():
    """As pyproject.toml says."""
    root, command = Path(__file__).parents[1], [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
