"""Several processes that JAX knows of make one data set, the same bit for bit."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import grain
import jax
import numpy as np
import pytest

from wsjax.data import fit, load, stream
from wsjax.data.store.index import read_index
from wsjax.errors import DataError
from wsjax.storage.files import digest

PATIENCE = 300


def together(out: Path, *modes: str) -> list[subprocess.Popen]:
    """Start both processes."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "tests.data.one_process"]
    root = Path(__file__).parents[2]
    return [
        subprocess.Popen(
            [*command, str(i), port, str(out), *modes[i : i + 1]],
            cwd=root,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]


def ended(processes: list[subprocess.Popen]) -> list[str]:
    """What each said. None is left behind, whatever happens."""
    try:
        return [process.communicate(timeout=PATIENCE)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
def test_two_processes_fit_one_data_set_and_stream_it_and_a_kill_of_one_loses_at_most_a_shard(
    tmp_path, images, recipe, small_shards
):
    out = tmp_path / "set"
    killed = together(out, "waits", "dies")
    said = ended(killed)
    # The one is killed in its second shard; the other, which waits for it, is then ended by JAX.
    assert killed[1].returncode == -signal.SIGKILL, said[1]
    assert killed[0].returncode != 0
    with pytest.raises(DataError, match=r"8 of 10 networks are there; part 2 of 2 is missing"):
        load(out)
    assert list(out.glob("shards/00002*tmp"))
    files = lambda: {p: p.stat().st_mtime_ns for n in (0, 1) for p in out.glob(f"shards/0000{n}/**/*")}
    safe = files()

    again = together(out)
    said = ended(again)
    assert [process.returncode for process in again] == [0, 0], "\n".join(said)
    assert files() == safe
    assert not list(out.glob("shards/*tmp*"))
    alone = fit(images, recipe=recipe, out=tmp_path / "alone", progress=False)
    assert read_index(out).fingerprint == read_index(tmp_path / "alone").fingerprint
    assert sorted(p.name for p in out.iterdir()) == ["index.json", "lock", "metadata.json", "shards"]
    found = [json.loads(one.splitlines()[-1]) for one in said]
    leaves = [digest(np.asarray(leaf)) for leaf in jax.tree.leaves(alone.weights)]
    assert [one["leaves"] for one in found] == [leaves, leaves]

    assert [one["batches"] for one in found] == [
        [batch.object.tolist() for batch in stream(out, 2, epochs=2, process=grain.sharding.ShardOptions(i, 2))]
        for i in range(2)
    ]
    steps = len(found[0]["batches"]) // 2
    for epoch in (slice(steps), slice(steps, None)):
        parts = [list(itertools.chain(*one["batches"][epoch])) for one in found]
        assert sorted(parts[0] + parts[1]) == sorted(images.index.tolist())
