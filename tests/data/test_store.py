"""What is on disk is what was saved, or an error says what is wrong with it: never other numbers."""

import dataclasses
import errno
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data.conftest import copy_of, diverging, flip, largest
from tests.data.producer import Killed
from tests.data.test_dataset import FLAX, assert_same, flax_weights
from tests.helpers import one_save_then
from wsjax.data import WeightDataset, fit, load, open_dataset, save, verify
from wsjax.data import metadata as metadata_module
from wsjax.data.store import save_load as store
from wsjax.data.store import shards
from wsjax.data.store.index import read_index, read_stored_json, shard_name
from wsjax.errors import DataError
from wsjax.networks import Network
from wsjax.storage import orbax_calls
from wsjax.storage.files import CHECKSUM, digest, file_digests, write_checked_json
from wsjax.symmetry import Axes, Fixed, Group, symmetry_of


def altered(stored: Path, number: int, change) -> None:
    """A shard that Orbax wrote whole, files and all, and the index does not know."""
    name = shard_name(number)
    shard = stored / "shards" / name
    arrays = {n: np.array(a) for n, a in orbax_calls.ocp.load(str(shard)).items()}
    change(arrays)
    shutil.rmtree(shard)
    orbax_calls.ocp.save(str(shard), arrays)
    listed = read_index(stored).shards
    listed[name]["files"] = file_digests(shard)
    rewrite(stored / "index.json", shards=listed)


def rewrite(file: Path, **changes) -> None:
    content = json.loads(file.read_text())
    content.pop(CHECKSUM)
    write_checked_json(file, {**content, **changes})


def test_a_fit_on_disk_is_the_fit_in_memory(stored, images, recipe, fitted, capsys):
    assert_same(load(stored), fitted)
    assert sorted(p.name for p in (stored / "shards").iterdir()) == ["00000", "00001", "00002"]
    before = {p: p.stat().st_mtime_ns for p in stored.rglob("*")}
    assert_same(fit(images, recipe=recipe, out=stored), fitted)
    assert "holds all 10 networks: nothing to do" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in stored.rglob("*")} == before


def test_own_networks_and_jax_arrays_survive_the_disk(tmp_path, fitted, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = {"accuracy": np.linspace(0, 1, 6), "it's": np.arange(6)}
    networks = [flax_weights(seed) for seed in range(6)]
    own = WeightDataset.from_networks(networks, np.linspace(0, 1, 6), symmetry=FLAX, columns=columns)
    bare = dataclasses.replace(fitted, metadata=dataclasses.replace(fitted.metadata, statistics={}))
    cases = {"a/b": (own, own), "jax": (fitted.to_device(), fitted), tmp_path / "bare": (bare, fitted)}
    for path, (data, expected) in cases.items():
        save(data, path)
        assert_same(load(path), expected)
        with pytest.raises(ValueError, match="is not empty; expected a new directory"):
            save(data, path)
    with pytest.raises(ValueError, match="has no networks; expected at least one"):
        save(fitted.take(np.array([], int)), "empty")


def test_weights_are_stored_in_the_dtype_asked_for(tmp_path, fitted):
    for i, dtype in enumerate(("float32", "bfloat16", jnp.float16, np.dtype("float16"), jnp.bfloat16)):
        asked, path = jnp.dtype(dtype), tmp_path / f"set {i}"
        save(fitted, path, dtype, shard_networks=6 if i == 1 else None)
        loaded = load(path)
        for found, whole in zip(jax.tree.leaves(loaded.weights), jax.tree.leaves(fitted.weights), strict=True):
            assert found.dtype == asked
            assert found.tobytes() == np.asarray(whole).astype(asked).tobytes()
        cast, nobody = (dataset.astype(asked) for dataset in (fitted, fitted.take(np.arange(0))))
        assert_same(cast.to_device(), loaded)
        assert (len(nobody), nobody.metadata.statistics) == (0, fitted.metadata.statistics)
        stated = read_index(path).arrays
        assert {a["dtype"] for name, a in stated.items() if name.startswith("weights")} == {asked.name}
        assert loaded.columns["psnr"].dtype == fitted.columns["psnr"].dtype == np.float32
        train = np.flatnonzero(loaded.columns["split"] == 0)
        assert loaded.metadata.statistics == metadata_module.leaf_statistics(loaded.weights, train)
    half = load(tmp_path / "set 1")
    save(half, tmp_path / "again")
    assert_same(load(tmp_path / "again"), half)
    assert_same(open_dataset(tmp_path / "set 1").take(np.array([7, 2])), half.take(np.array([7, 2])))


def test_integers_keep_their_dtype_and_other_dtypes_are_refused(tmp_path, fitted):
    tree = {"a": Axes("in", "h"), "b": Axes("h*", "out"), "count": Axes("out")}
    spec = symmetry_of(tree, {"in": Fixed(2), "h": Group(3, "tanh"), "out": Fixed(1)})
    network = {"a": np.ones((2, 3), np.float32), "b": np.ones((3, 1), np.float32), "count": np.array([300])}
    save(WeightDataset.from_networks([network], [0.5], symmetry=spec), tmp_path / "set", "float16")
    loaded = load(tmp_path / "set").network(0)
    assert {name: str(leaf.dtype) for name, leaf in loaded.items()} == {
        "a": "float16",
        "b": "float16",
        "count": "int64",
    }
    assert digest(np.zeros(2, np.float32)) != digest(np.zeros(2, np.int32)) != digest(np.zeros((1, 2), np.int32))
    for dtype in ("float64", "int8", "float8", jnp.int32):
        with pytest.raises(ValueError, match=r"unknown dtype '\w+'; the valid ones are: float32, bfloat16, float16"):
            save(fitted, tmp_path / "other", dtype)
    assert not (tmp_path / "other").exists()


def test_a_number_too_large_for_the_dtype_is_named(tmp_path, fitted):
    data = copy_of(fitted)
    data.weights[1].bias[4, 0] = 1e5
    message = (
        r"converting digits to float16: weights\[1\].bias is not finite in 1 of 10 networks \(rows 4\).*take bfloat16"
    )
    with pytest.raises(DataError, match=message):
        save(data, tmp_path / "set", "float16")
    save(data, tmp_path / "set", "bfloat16")


def test_shards_are_as_large_as_asked(tmp_path, fitted, monkeypatch):
    data = fitted.take(np.arange(5))
    sizes = lambda name: [p.name for p in sorted((tmp_path / name / "shards").iterdir())]
    save(data, tmp_path / "a")
    save(data, tmp_path / "b", shard_networks=3)
    one = sum(x.nbytes for x in jax.tree.leaves((data.weights, data.label, data.columns))) // 5
    monkeypatch.setattr(shards, "SHARD_BYTES", 4 * one + 1)
    save(data, tmp_path / "c")
    monkeypatch.setattr(shards, "SHARD_BYTES", one // 2)
    save(data, tmp_path / "d")
    assert [len(sizes(name)) for name in "abcd"] == [1, 2, 2, 5]
    for name in "abcd":
        assert_same(load(tmp_path / name), data)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=r"shard_networks is .*it must be one integer"):
            save(data, tmp_path / "e", shard_networks=wrong)


def test_every_flipped_bit_and_every_cut_is_named(stored):
    """By its file's SHA-256, before Orbax reads anything."""
    index, expected, rng = read_index(stored), load(stored), np.random.default_rng(0)
    files = [p for p in sorted((stored / "shards" / "00001").rglob("*")) if p.is_file() and p.stat().st_size]
    assert len(files) > 5
    for file in files:
        original = file.read_bytes()
        damaged = [original[:length] for length in (0, len(original) // 2, len(original) - 1)]
        for offset in rng.choice(len(original), min(8, len(original)), replace=False):
            damaged.append(bytearray(original))
            damaged[-1][offset] ^= 1 << rng.integers(8)
        for content in damaged:
            file.write_bytes(content)
            with pytest.raises(DataError, match=f"00001: the file .*{file.name} is altered: SHA-256 .* remove"):
                shards.read_shard(stored, index, 1)
        with pytest.raises(DataError, match=f"shard 00001: the file .*{file.name} is altered"):
            load(stored)
        file.write_bytes(original)
    assert_same(load(stored), expected)
    files[0].unlink()
    with pytest.raises(DataError, match=f"shard 00001: the file .*{files[0].name} is missing"):
        load(stored)


def contents(directory: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_a_fit_that_is_given_again_names_damage_and_writes_nothing(stored, images, recipe):
    flip(largest(stored, 1))
    before = contents(stored)
    for _ in range(2):
        with pytest.raises(DataError, match=r"shard 00001: the file .* is altered: SHA-256 .* remove .*shards/00001"):
            fit(images, recipe=recipe, out=stored, progress=False)
        assert contents(stored) == before


@pytest.fixture
def begun(tmp_path, small_shards, images, recipe, monkeypatch):
    """A fit that failed in its second shard write of three."""
    with monkeypatch.context() as patch:
        patch.setattr(orbax_calls.ocp, "save", one_save_then(errno.EIO))
        with pytest.raises(OSError, match="What was finished, 4 of 10 networks, stays"):
            fit(images, recipe=recipe, out=tmp_path / "begun", progress=False)
    return tmp_path / "begun"


def test_a_fit_that_goes_on_names_damage_to_what_was_finished(begun, images, recipe, fitted):
    """It may fit the rest first; the damaged shard stays as it is, for who restores it, and nothing calls it well."""
    (name,) = read_index(begun).shards
    listed, shard = read_index(begun).shards[name], begun / "shards" / name
    flip(largest(begun, int(name)))
    before = contents(shard)
    for _ in range(2):
        with pytest.raises(DataError, match=f"shard {name}: the file .* is altered: SHA-256 .* remove {shard} and run"):
            fit(images, recipe=recipe, out=begun, progress=False)
        assert contents(shard) == before
        # The index still holds it to what was written, and the metadata has no statistics, which whole data sets have.
        assert read_index(begun).shards[name] == listed
        assert not read_stored_json(begun / "metadata.json")["statistics"]
        with pytest.raises(DataError, match="is unfinished"):
            load(begun)
        assert not verify(begun).ok
    shutil.rmtree(shard)
    assert_same(fit(images, recipe=recipe, out=begun, progress=False), fitted)


def test_a_shard_that_orbax_cannot_read_is_named(stored):
    shard = stored / "shards" / "00000"
    shutil.rmtree(shard)
    shard.mkdir()
    listed = read_index(stored).shards
    listed["00000"]["files"] = {}
    rewrite(stored / "index.json", shards=listed)
    with pytest.raises(DataError, match=r"shard 00000 in .* cannot be read: .* remove"):
        shards.read_shard(stored, read_index(stored), 0)
    gc.collect()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a["weights[1].kernel"].fill(2), r"weights\[1\].kernel is altered: SHA-256 .*; expected"),
        (lambda a: a.pop("label"), "do not hold the same arrays: label differ"),
        (lambda a: a.update(more=a["label"]), "do not hold the same arrays: more differ"),
        (
            lambda a: a.update({"weights[0].bias": a["weights[0].bias"][:3]}),
            r"weights\[0\].bias is \(3, 4\) float32; expected \(4, 4\) float32",
        ),
        (
            lambda a: a.update({"weights[0].bias": a["weights[0].bias"].astype(np.float16)}),
            r"weights\[0\].bias is \(4, 4\) float16; expected \(4, 4\) float32",
        ),
    ],
)
def test_an_altered_array_is_named(stored, change, message):
    altered(stored, 0, change)
    with pytest.raises(DataError, match=f"shard 00000.*{message}"):
        load(stored)


def test_metadata_that_is_not_the_arrays_own(stored, recipe):
    wider, deeper = (Network("siren", widths, w0=(5.0,), offset=0.5) for widths in ((2, 4, 5, 1), (2, 4, 4, 4, 1)))
    slower = dataclasses.replace(recipe.network, w0=(6.0,) * 2)
    metadata = load(stored).metadata
    for other, message in [
        (wider, r"do not belong together: weights\[1\].kernel has shape \(4, 4\); the metadata expects \(4, 5\)"),
        (deeper, r"do not belong together: weights\[3\].bias, weights\[3\].kernel differ"),
        (slower, "metadata.json is not the metadata that index.json was written with"),
    ]:
        write_checked_json(
            stored / "metadata.json", dataclasses.replace(metadata, network=other, symmetry=other.symmetry).to_json()
        )
        with pytest.raises(DataError, match=message):
            load(stored)


@pytest.mark.parametrize("name", ["metadata.json", "index.json"])
def test_a_damaged_or_missing_description_is_named(stored, name):
    file, original = stored / name, (stored / name).read_text()
    for content, message in [
        (original[: len(original) // 2], "is damaged"),
        ("", "is damaged"),
        ("[]", "is damaged"),
        (original.replace("0", "1", 1), "is altered"),
    ]:
        file.write_text(content)
        with pytest.raises(DataError, match=f"{name} {message}"):
            load(stored)
    file.unlink()
    with pytest.raises(DataError, match=f"{name} cannot be read: No such file.*expected a directory that"):
        load(stored)


@pytest.mark.parametrize("name", ["metadata", "index"])
def test_an_unknown_format_is_named_and_nothing_is_overwritten(stored, images, recipe, name):
    rewrite(stored / f"{name}.json", format_version=9, invented=True)
    before = {p: p.read_bytes() for p in stored.rglob("*") if p.is_file()}
    for call in (load, open_dataset, verify, lambda path: fit(images, recipe=recipe, out=path, progress=False)):
        with pytest.raises(ValueError, match="has format_version 9; this wsjax reads 1: use the wsjax that wrote it"):
            call(stored)
    assert {p: p.read_bytes() for p in stored.rglob("*") if p.is_file()} == before


def test_an_index_from_before_it_stated_its_format_is_read(stored):
    expected = load(stored)
    content = read_stored_json(stored / "index.json")
    del content["format_version"]
    write_checked_json(stored / "index.json", content)
    assert_same(load(stored), expected)
    rewrite(stored / "index.json", invented=True)
    with pytest.raises(DataError, match=r"index.json is not the index of a data set: invented differ"):
        load(stored)


def test_an_infinite_number_is_refused_at_save_and_at_load(tmp_path, fitted, monkeypatch):
    data = copy_of(fitted)
    data.weights[1].bias[4, 0] = np.inf
    with pytest.raises(DataError, match=r"saving digits: weights\[1\].bias is not finite in 1 of 10 .* \(rows 4\)"):
        save(data, tmp_path / "set")
    with monkeypatch.context() as patch:
        patch.setattr(store, "check_numbers", lambda *_: None)
        save(data, tmp_path / "set")
    with pytest.raises(DataError, match=r"loading .*set: weights\[1\].bias is not finite"):
        load(tmp_path / "set")


def test_the_same_directory_with_other_settings_is_refused(stored, images, recipe):
    expected = load(stored)
    faster = dataclasses.replace(recipe, steps=5, network=dataclasses.replace(recipe.network, offset=0.0))
    with pytest.raises(ValueError, match=r"other settings: .*recipe.steps is 3 there and 5 here") as caught:
        fit(images, recipe=faster, out=stored, progress=False)
    assert "network.offset is 0.5 there and 0.0 here" in str(caught.value)
    with pytest.raises(ValueError, match=r"source.images is 10 there and 9 here"):
        fit(images.take(np.arange(9)), recipe=recipe, out=stored, progress=False)
    with pytest.raises(ValueError, match=r"source.sha256 is"):
        fit(images._replace(pixels=1 - images.pixels), recipe=recipe, out=stored, progress=False)
    assert_same(load(stored), expected)


def test_a_start_without_a_finished_shard_binds_nobody(tmp_path, small_shards, images, recipe):
    other = images._replace(name="others")
    with diverging(images.index[0]), pytest.raises(DataError, match="lower the learning rate"):
        fit(other, recipe=recipe, out=tmp_path, progress=False)
    with pytest.raises(DataError, match="is unfinished: 0 of 10 networks are there; to go on, run the same fit again"):
        load(tmp_path)
    assert len(fit(images, recipe=recipe, out=tmp_path, progress=False)) == 10


def test_a_directory_that_cannot_be_made_is_named(tmp_path, images, recipe, fitted):
    (tmp_path / "file").write_text("")
    for call in (lambda path: fit(images, recipe=recipe, out=path, progress=False), lambda path: save(fitted, path)):
        with pytest.raises(OSError, match="file/set cannot be written: Not a directory; name a directory that you may"):
            call(tmp_path / "file" / "set")


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A directory with room for one or two shards, and a way to make room: a tmpfs, or else a save that fails."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = lambda *options: subprocess.run(["mount", *options, str(where)], capture_output=True).returncode == 0
    if os.name == "posix" and shutil.which("mount") and mount("-t", "tmpfs", "-o", "size=100k", "tmpfs"):
        yield where, lambda: mount("-o", "remount,size=8m")
        subprocess.run(["umount", str(where)], check=True)
        return
    saved = orbax_calls.ocp.save
    monkeypatch.setattr(orbax_calls.ocp, "save", one_save_then(errno.ENOSPC))
    yield where, lambda: monkeypatch.setattr(orbax_calls.ocp, "save", saved)


def test_a_full_disk_is_named_and_what_was_finished_stays(small_disk, small_shards, images, recipe, fitted):
    where, make_room = small_disk
    with pytest.raises(OSError, match=r"No space left on device") as caught:
        fit(images, recipe=recipe, out=where / "set", progress=False)
    assert str(where / "set") in str(caught.value)
    assert "stay" in str(caught.value)
    index = read_index(where / "set")
    assert 0 < len(index.shards) < 3
    for number in range(len(index.shards)):
        shards.read_shard(where / "set", index, number)
    gc.collect()
    make_room()
    assert_same(fit(images, recipe=recipe, out=where / "set", progress=False), fitted)


def test_a_save_to_a_full_disk_is_named(small_disk, fitted, capfd):
    where, make_room = small_disk
    data = fitted.take(np.arange(1000) % 10)
    with pytest.raises(OSError, match=r"(shard 0000\d|index.json) cannot be written.*No space left on device"):
        save(data, where / "set", shard_networks=100)
    gc.collect()
    assert capfd.readouterr().err == ""
    with pytest.raises(DataError, match=r"to go on, run the same fit again, or remove the directory and save"):
        load(where / "set")
    make_room()
    save(data, where / "other")
    assert_same(load(where / "other"), data)


@pytest.mark.parametrize(("how", "safe"), [("Ctrl-C", 8), ("a kill", 4)])
def test_a_stopped_fit_goes_on_to_the_same_bits(
    tmp_path, small_shards, images, recipe, fitted, monkeypatch, capsys, how, safe
):
    """Stopped in its second shard write of three; a real kill leaves on the disk what this one does."""
    path, calls = tmp_path / "set", []

    def stop(where, arrays, real=orbax_calls.ocp.save):
        calls.append(where)
        if len(calls) == 2 and how == "a kill":
            os.makedirs(f"{where}.orbax-checkpoint-tmp/state")
            raise Killed
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        real(where, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(orbax_calls.ocp, "save", stop)
        with pytest.raises((KeyboardInterrupt, Killed)):
            fit(images, recipe=recipe, out=path, progress=False)
    # Ctrl-C waits for the shard that is being written.
    assert len(list(path.glob("shards/*.orbax-checkpoint-tmp"))) == (how == "a kill")
    said = f"interrupted: {safe} of 10 networks are safe in {path}; the same command"
    assert (said in capsys.readouterr().out) == (how == "Ctrl-C")
    with pytest.raises(DataError, match=f"is unfinished: {safe} of 10 networks are there; to go on, run the same fit"):
        load(path)
    first = path / "shards" / "00000" / "_CHECKPOINT_METADATA"
    kept = first.stat().st_mtime_ns
    assert_same(fit(images, recipe=recipe, out=path, progress=False), fitted)
    assert first.stat().st_mtime_ns == kept
    assert_same(load(path), fitted)
    assert not list(path.glob("shards/*tmp*"))


@pytest.mark.slow
def test_kills_at_any_moment_change_no_bit():
    """A few of what `python tools/kills.py` does a hundred times."""
    root = Path(__file__).parents[2]
    # Its exit status is 0 only if one kill at least hit a shard write and every fit equals the unbroken one.
    command = [sys.executable, str(root / "tools" / "kills.py"), "--kills", "2", "--writes", "1", "--seed", "1"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all equal to the unbroken one" in done.stdout
