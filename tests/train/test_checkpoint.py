"""Checkpoints: what is read is what was written, or it is refused; readers change nothing on the disk."""

import errno
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from tests.helpers import one_save_then
from tests.train.helpers import RUNS, begun, bits, mlp, trained_on, without_seconds
from wsjax.data.store.index import read_stored_json
from wsjax.errors import DataError
from wsjax.storage import orbax_calls
from wsjax.storage.files import file_digests, write_checked_json
from wsjax.train import checkpoint, load, record


@pytest.fixture(scope="module")
def fresh(networks):
    return begun(mlp(networks))[0]


def files(directory: Path) -> list[Path]:
    return sorted(p for p in directory.rglob("*") if p.is_file())


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_the_newest_two_are_kept_and_restored_bit_for_bit(small, run, fresh):
    assert checkpoint.epochs(run) == [4, 6]
    assert sorted(p.name for p in (run / record.CHECKPOINTS).iterdir()) == ["4", "6"]
    state, epoch = checkpoint.restore(run, fresh)
    assert epoch == 6
    assert bits(state) == bits(small.state)
    assert jax.tree.structure(state) == jax.tree.structure(fresh)


def test_every_flipped_bit_of_a_checkpoint_is_refused(run, fresh):
    rng = np.random.default_rng(0)
    for path in (p for p in files(run / record.CHECKPOINTS / "6") if p.stat().st_size):
        count = 8 * path.stat().st_size
        for bit in {0, count - 1, *rng.integers(0, count, 12).tolist()}:
            flip(path, bit)
            with pytest.raises(DataError, match=rf"{path.name} is altered: SHA-256 .* the checkpoint before it"):
                checkpoint.restore(run, fresh)
            flip(path, bit)
    assert checkpoint.restore(run, fresh)[1] == 6


@pytest.mark.parametrize("name", [record.RECORD, record.PROOFS])
def test_every_flipped_bit_of_a_record_is_refused(run, name: str):
    count = 8 * (run / name).stat().st_size
    for bit in {0, count - 10, *np.random.default_rng(1).integers(0, count - 8, 30).tolist()}:
        flip(run / name, bit)
        with pytest.raises(DataError, match=rf"{name} is (altered|damaged).*train again into another directory"):
            load(run)
        flip(run / name, bit)


def test_a_missing_cut_or_filled_file_is_refused(run, fresh):
    for path in files(run / record.CHECKPOINTS / "6"):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] or b"more")
        with pytest.raises(DataError, match=rf"{path.name} is altered"):
            checkpoint.restore(run, fresh)
        path.unlink()
        with pytest.raises(DataError, match=rf"{path.name} is missing"):
            checkpoint.restore(run, fresh)
        path.write_bytes(content)


def test_other_numbers_in_whole_files_are_refused(run, fresh):
    """As Orbax would give back something else than it was given: the files are as stated, an array is not."""
    where = run / record.CHECKPOINTS / "6"
    loaded = ocp.load(str(where))
    name = next(n for n in loaded if "parameters" in n)
    ocp.save(str(where), {**loaded, name: -loaded[name]}, overwrite=True)
    entries = read_stored_json(run / record.PROOFS)
    entries["6"]["files"] = file_digests(where)
    write_checked_json(run / record.PROOFS, entries)
    with pytest.raises(DataError) as caught:
        checkpoint.restore(run, fresh)
    assert f"{name} of the checkpoint {where} is altered" in str(caught.value)


def test_the_state_of_another_model_is_refused(networks, trained, run):
    with pytest.raises(DataError, match=r"holds another state: .* differ; expected that of the recorded configuration"):
        checkpoint.restore(run, trained.state)
    with pytest.raises(DataError, match=r"is \(2,.* float32; expected \(1,.* float32"):
        checkpoint.restore(run, begun(mlp(networks), runs=RUNS[:1])[0])


def test_reading_changes_nothing_on_the_disk(run):
    half_written = run / record.CHECKPOINTS / "8.orbax-checkpoint-tmp"
    half_written.mkdir()
    (half_written / "being written").touch()
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    load(run)
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == before


def test_reading_a_run_without_checkpoints_makes_none(run):
    shutil.rmtree(run / record.CHECKPOINTS)
    (run / record.PROOFS).unlink()
    with pytest.raises(DataError, match=r"run has no checkpoint yet"):
        load(run)
    assert not (run / record.CHECKPOINTS).exists()


def test_training_removes_what_a_kill_left_and_no_more(networks, run):
    for name in ("8", "8.orbax-checkpoint-tmp"):  # whole but not listed yet, and half-written
        shutil.copytree(run / record.CHECKPOINTS / "6", run / record.CHECKPOINTS / name)
    trained_on(networks, out=run)
    assert sorted(p.name for p in (run / record.CHECKPOINTS).iterdir()) == ["4", "6"]


def test_a_removed_checkpoint_is_made_anew_from_the_one_before(networks, run, finished):
    shutil.rmtree(run / record.CHECKPOINTS / "6")
    with pytest.raises(DataError, match="is missing"):
        load(run)
    again = trained_on(networks, out=run)
    whole = load(finished)
    assert bits(again.state) == bits(whole.state)
    assert without_seconds(again.history) == without_seconds(whole.history)
    assert again.history[:4] == whole.history[:4]  # seconds too: those epochs were not trained again


def test_lost_checksums_are_named(networks, run):
    (run / record.PROOFS).unlink()
    for read in (lambda: load(run), lambda: trained_on(networks, out=run)):
        with pytest.raises(DataError, match=r"checkpoints\.json does not exist; expected the checksums of .*checkp"):
            read()


def test_a_full_disk_is_named_the_epoch_before_stays_and_the_training_goes_on(
    networks, finished, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(orbax_calls.ocp, "save", one_save_then(errno.ENOSPC))
        patched.setattr(orbax_calls.gc, "collect", lambda: 0)  # two seconds of it, and Orbax leaves nothing here
        with pytest.raises(OSError, match=r"of epoch 4 cannot be written to .*run/checkpoints/4: No space left.*epoch"):
            trained_on(networks, out=run, checkpoint_seconds=0.0)
    assert checkpoint.epochs(run) == [2]
    assert [path.name for path in (run / record.CHECKPOINTS).iterdir()] == ["2"]
    resumed = trained_on(networks, out=run)
    assert bits(resumed.state) == bits(load(finished).state)


def test_a_directory_that_cannot_be_written_is_named(networks, tmp_path):
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(OSError, match=r"file/run cannot be written: Not a directory; name a directory that you may"):
        trained_on(networks, out=tmp_path / "file" / "run")
