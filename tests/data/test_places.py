"""Where programs run: read-only directories, locales without UTF-8, `python -O`, forked workers."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import wsjax
from tests.data.test_dataset import assert_same
from wsjax.data import fit, load, open_dataset, save, stream, verify
from wsjax.data.formats import write_arrays, write_state_dicts
from wsjax.data.formats.paths import find_files, read_json_file
from wsjax.data.store import save_load
from wsjax.storage import orbax_calls

TREES = {path: ast.parse(path.read_bytes()) for path in Path(wsjax.__file__).parent.rglob("*.py")}
"""The whole package."""


OTHERS = ("os.open", "archive.open", "gzip.open", "data.Collection.open", "read_text", "write_text")
"""Functions of these names that open no text file."""


def calls(*names: str):
    """Every call of a function or method of those names, with its file."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None)) in names:
                yield path, node


@pytest.fixture
def read_only(stored):
    """A stored data set that may not be written to: mounted so where that is allowed, else without permission."""
    mount = lambda *options: subprocess.run(["mount", *options, str(stored)], capture_output=True).returncode == 0
    mounted = bool(shutil.which("mount")) and mount("--bind", str(stored)) and mount("-o", "remount,ro,bind")
    places = [stored, *(path for path in stored.rglob("*") if path.is_dir())]
    for place in places if not mounted else ():
        place.chmod(0o500)
    yield stored
    if mounted:
        subprocess.run(["umount", str(stored)], check=True)
    else:
        for place in places:
            place.chmod(0o700)


def test_a_read_only_data_set_is_read_and_what_would_write_there_names_the_place(read_only, images, recipe, fitted):
    assert_same(load(read_only), fitted)
    assert_same(open_dataset(read_only).take(np.array([9, 0])), fitted.take(np.array([9, 0])))
    assert sum(len(batch.label) for batch in stream(read_only, 4, epochs=1)) == 10
    assert verify(read_only).ok
    assert_same(fit(images, recipe=recipe, out=read_only, progress=False), fitted)
    if os.access(read_only, os.W_OK):
        pytest.skip("this user may write anywhere, and may mount nothing")
    for write in (
        lambda path: save(fitted, path),
        lambda path: fit(images, recipe=recipe, out=path, progress=False),
        lambda path: write_arrays(fitted, path, kind="npz"),
        lambda path: write_arrays(fitted, path),
        lambda path: write_state_dicts(fitted, path, progress=False),
    ):
        with pytest.raises(OSError, match=r"new.* cannot be written: .*; name a .* that you may write to"):
            write(read_only / "new")


def test_every_text_file_is_opened_in_a_stated_encoding():
    """A C locale, and Windows, have others."""
    for path, call in calls("open", "read_text", "write_text"):
        texts = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        binary = any("b" in text for text in texts if len(text) < 4)
        foreign = ast.unparse(call.func) in OTHERS
        foreign |= ast.unparse(call.func).partition(".")[0] in ("zipfile", "Image", "webbrowser", "tarfile")
        stated = {keyword.arg for keyword in call.keywords}
        assert binary or foreign or "encoding" in stated, f"{path}:{call.lineno}: {ast.unparse(call)}"


def test_no_law_rests_on_an_assertion_or_a_docstring():
    """`python -O` leaves out assertions, `-OO` docstrings too: what stands in one only tells a type to pyright."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert):
                assert "isinstance(" in (what := ast.unparse(node.test)) or "is not None" in what, f"{path}: {what}"
            assert getattr(node, "attr", None) != "__doc__", f"{path}: {ast.unparse(node)}"


def test_file_names_of_any_script_are_found_and_told_apart_whatever_the_locale(tmp_path, monkeypatch, fitted):
    names = ["ключ.npz", "重み/2.npz", "重み/10.npz", "é.npz"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    labels = tmp_path / "labels.json"
    labels.write_bytes('{"é.npz": 1}'.encode())
    assert list(find_files(tmp_path, r"\.npz$")) == sorted(names, key=lambda name: (name[:2], len(name)))
    assert read_json_file(labels) == {"é.npz": 1}
    save(fitted, tmp_path / "データ 集")
    assert_same(load(tmp_path / "データ 集"), fitted)
    # What Python makes of a name in a locale without its letters.
    strange = os.fsencode("é").decode("ascii", "surrogateescape")
    with pytest.raises(OSError, match=r"has letters that are not in the encoding .* PYTHONUTF8=1"):
        save_load.absolute_path(tmp_path / strange)


def test_a_forked_worker_is_told_to_be_spawned(stored, monkeypatch):
    opened = open_dataset(stored)
    monkeypatch.setattr(orbax_calls, "PROCESS", os.getpid() + 1)
    with pytest.raises(RuntimeError, match=r"this process was forked .*get_context\('spawn'\)"):
        opened.take(np.array([0]))


@pytest.mark.slow
def test_without_assertions_docstrings_and_letters_but_ascii():
    program = """if True:
        import jax, tempfile
        from wsjax.data import WeightDataset, load, save, stream, verify
        from wsjax.networks import Network
        net = Network("mlp", (2, 2, 1), "tanh")
        own = dict(symmetry=net.symmetry, classes=["\\u732b", "\\xe9"], columns={"gr\\xf6\\xdfe": [1, 2]})
        networks, path = [net.init(jax.random.key(i)) for i in range(2)], tempfile.mkdtemp()
        save(WeightDataset.from_networks(networks, [0, 1], **own), path)
        assert False
        print(verify(path).ok, len(list(stream(path, 1, epochs=1))), ascii(load(path).metadata.classes))
    """
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-OO", "-c", program], capture_output=True, text=True, env=plain)
    assert done.stdout.strip() == r"True 2 ('\u732b', '\xe9')", done.stderr
