"""What holds under the XLA flags of the tests holds for the code that users run, and across real kills."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.stopped import KINDS
from tests.data.test_dataset import assert_same
from wsjax.data import load
from wsjax.data.store.index import read_index

ROOT = Path(__file__).parents[2]
PATIENCE = 300
FLAGS = ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS", "JAX_COMPILATION_CACHE_DIR")


@pytest.mark.slow
def test_order_slots_workers_devices_and_processes_do_not_matter_without_the_tests_flags():
    plain = {name: value for name, value in os.environ.items() if name not in FLAGS}
    command = [sys.executable, "-m", "tests.data.as_users"]
    # Two processes at once: one has two devices, the other one device and a core to itself.
    cores = sorted(os.sched_getaffinity(0))
    running = [
        subprocess.Popen(line, cwd=ROOT, env={**plain, "JAX_PLATFORMS": "cpu"}, stdout=subprocess.PIPE, text=True)
        for line in ([*command, "2"], ["taskset", "-c", str(cores[0]), *command, "1"])
    ]
    said = [process.communicate(timeout=PATIENCE)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    one, other = (json.loads(text.splitlines()[-1]) for text in said)
    assert [found.pop("devices") for found in (one, other)] == [{"groups": n, "refilled": n} for n in (2, 1)]
    assert one == other
    counts = {"groups": 20, "drawn points, lamb": 20, "refilled": 20, "zoo": 6}
    assert list(one) == list(counts)
    for kind, count in counts.items():
        first, *others = one[kind]
        assert len(set(first.values())) == len(first) == count
        for found in others:
            assert found.items() <= first.items(), kind
        assert len(others[0]) == count
    # All that was asked for, the fits over all devices last.
    assert [len(found) for found in one["groups"]] == [20, 20, 20]
    assert [len(found) for found in one["refilled"]] == [20, 20, 1, 20]


def command(kind: str, path: Path, how: str = "killed") -> list[str]:
    return [sys.executable, "-m", "tests.data.stopped", kind, str(path), how]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["refilled", "zoo"])
def test_a_killed_fit_goes_on_to_the_same_bits(tmp_path, kind, small_shards):
    path = tmp_path / "set"
    child = subprocess.run(command(kind, path), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert child.returncode == -signal.SIGKILL, child.stderr
    (name,) = read_index(path).shards
    assert list(path.glob("shards/*.orbax-checkpoint-tmp"))
    kept = (path / "shards" / name / "_CHECKPOINT_METADATA").stat().st_mtime_ns
    resumed, unbroken = KINDS[kind](path), KINDS[kind](tmp_path / "unbroken")
    assert (path / "shards" / name / "_CHECKPOINT_METADATA").stat().st_mtime_ns == kept
    assert_same(resumed, unbroken)
    assert_same(load(path), unbroken)
    assert read_index(path).fingerprint == read_index(tmp_path / "unbroken").fingerprint
    assert not list(path.glob("shards/*tmp*"))
    if kind == "refilled":
        assert len(set(unbroken.columns["steps"].tolist())) > 1  # slots were refilled at different times


@pytest.mark.slow
def test_a_second_process_at_the_same_part_is_refused_and_a_killed_one_holds_nothing(tmp_path, small_shards):
    path, pipe = tmp_path / "set", subprocess.PIPE
    line = command("second part", path, "held")
    with subprocess.Popen(line, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        # It is in the middle of writing its second shard; the first one is there.
        assert holder.stdout.readline() == "begun\n"
        others = {"second part": f"part 2 of 2 of {path}", "refilled": str(path)}
        running = [subprocess.Popen(command(kind, path), cwd=ROOT, stderr=pipe, text=True) for kind in others]
        for one, what in zip(running, others.values(), strict=True):
            said = one.communicate(timeout=PATIENCE)[1]
            assert f"BlockingIOError: {what} is being written by another process; expected one writer" in said
            assert one.returncode == 1
        assert holder.poll() is None
        (name,) = read_index(path).shards
        before = {file: file.stat().st_mtime_ns for file in (path / "shards" / name).rglob("*")}
        holder.kill()
    # Its lock ended with it: the same part goes on at once and takes up what is there.
    assert before
    assert KINDS["second part"](path) is None
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert_same(KINDS["first part"](path), KINDS["refilled"](tmp_path / "unbroken"))
    assert read_index(path).fingerprint == read_index(tmp_path / "unbroken").fingerprint
