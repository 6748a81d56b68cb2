"""A fit that stops in its second shard write: `python -m tests.data.stopped KIND PATH killed|held`."""

import dataclasses
import os
import shutil
import signal
import sys
from pathlib import Path

import jax

from tests.data.conftest import RECIPE
from wsjax.data import WeightDataset, ZooRecipe, fit, limit, load_images
from wsjax.data.store import shards
from wsjax.data.zoo import zoo_network
from wsjax.storage import orbax_calls

STOPPING = dataclasses.replace(RECIPE, steps=6, target_psnr=8.0, check_every=1)


def refilled(path: Path) -> WeightDataset:
    return fit(limit(load_images("digits"), 10), recipe=STOPPING, out=path, progress=False)


def part(path: Path, number: int) -> WeightDataset | None:
    return fit(limit(load_images("digits"), 10), recipe=STOPPING, out=path, part=f"{number}/2", progress=False)


def zoo(path: Path) -> WeightDataset:
    images = limit(load_images("digits"), 40)
    recipe = ZooRecipe(zoo_network("mlp", images, (4,)), count=10, steps=3, slots=2, batch_size=8, snapshots=(1,))
    return fit(images, recipe=recipe, out=path, progress=False)


KINDS = {
    "refilled": refilled,
    "zoo": zoo,
    "first part": lambda path: part(path, 1),
    "second part": lambda path: part(path, 2),
}


def main(kind: str, path: Path, how: str) -> None:
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    shards.SHARD_NETWORKS = 4
    save, calls = orbax_calls.ocp.save, []

    def stop(path, arrays):
        calls.append(path)
        if len(calls) == 2:
            # As Orbax leaves it in the middle of a write.
            draft = Path(f"{path}.orbax-checkpoint-tmp")
            (draft / "state").mkdir(parents=True)
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            print("begun", flush=True)
            sys.stdin.readline()
            shutil.rmtree(draft)
        save(path, arrays)

    orbax_calls.ocp.save = stop
    KINDS[kind](path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
