"""One of several processes that fit and stream together: `python -m tests.data.one_process NUMBER PORT OUT [MODE]`.

With a mode it soon finds others dead. The mode `waits` makes directories slowly: whoever takes the other's for its own
writes into one that is not there yet. The mode `dies` ends it by a kill in the middle of its second shard, once the
first process has listed its own.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from wsjax.devices import start_processes

PROCESSES = 2
SLOW = 1.0  # seconds


def main(process: int, port: str, out: Path, mode: str = "") -> None:
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    start_processes(f"localhost:{port}", PROCESSES, process, patience=10 if mode else 100)
    from wsjax.data import Recipe, fit, limit, load_images, stream
    from wsjax.data.store import shards
    from wsjax.data.store.parts import Part
    from wsjax.networks import Network
    from wsjax.storage import orbax_calls
    from wsjax.storage.files import digest

    shards.SHARD_NETWORKS = 4
    if mode == "waits":
        os.mkdir = slowly(os.mkdir)
    if mode == "dies":
        die_in_the_second_write(orbax_calls, out / Part(1, PROCESSES).index)
    recipe = Recipe(Network("siren", (2, 4, 4, 1), w0=(5.0,), offset=0.5), steps=3, learning_rate=1e-2, slots=4)
    fitted = fit(limit(load_images("digits"), 10), recipe=recipe, out=out, progress=False)
    batches = [batch.object for batch in stream(out, 2, epochs=2)]
    leaves = [digest(np.asarray(leaf)) for leaf in jax.tree.leaves(fitted.weights)]
    print(json.dumps({"leaves": leaves, "batches": [np.asarray(rows).tolist() for rows in batches]}))


def slowly(make: Callable[..., None]) -> Callable[..., None]:
    def one(path, *more, **settings):
        time.sleep(SLOW if ".orbax-checkpoint-tmp" in str(path) else 0)
        make(path, *more, **settings)

    return one


def die_in_the_second_write(orbax_calls, others: Path) -> None:
    save, saved = orbax_calls.ocp.save, []

    def stop(path, arrays):
        saved.append(path)
        if len(saved) == 2:
            os.makedirs(f"{path}.orbax-checkpoint-tmp/state")
            # JAX ends the other soon after this one: without the wait it might not have written anything yet.
            while not (others.exists() and json.loads(others.read_text())["shards"]):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        save(path, arrays)

    orbax_calls.ocp.save = stop


if __name__ == "__main__":
    number, port, out, *mode = sys.argv[1:]
    main(int(number), port, Path(out), *mode)
