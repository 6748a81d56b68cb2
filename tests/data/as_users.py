"""A tiny fit as users run it, in a process of its own, without the tests' XLA flags.

`python -m tests.data.as_users DEVICES` prints as JSON the SHA-256 of each network, in several orders, for fits by
groups (at all points, and at some drawn for each step by an optimizer that is not elementwise), one with refilled
slots, and a zoo. The last of the fits by groups at all points, and of those with refilled slots, are over all devices
of the process; "devices" says how many made them.
"""

import contextlib
import dataclasses
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
import numpy as np

from wsjax.data import Recipe, ZooRecipe, limit, load_images
from wsjax.data.fitting import grouped, refill
from wsjax.data.fitting.grouped import fit_groups, groups
from wsjax.data.fitting.refill import fit_refilled
from wsjax.data.zoo import zoo_network
from wsjax.data.zoo.fit import fit_zoo_groups
from wsjax.networks import Network

PATIENCE = 300


def networks(parts: list[Any]) -> dict[str, str]:
    """SHA-256 of each network's weights, by what it was fitted to."""
    found = {}
    for part in parts:
        jobs = part.number if hasattr(part, "number") else np.stack([part.row, part.view], axis=1)
        for i, job in enumerate(jobs.tolist()):
            leaves = b"".join(np.ascontiguousarray(leaf[i]).tobytes() for leaf in jax.tree.leaves(part.weights))
            found[str(job)] = hashlib.sha256(leaves).hexdigest()
    return found


@contextlib.contextmanager
def over(devices: list[Any], patience: int) -> Iterator[set[Any]]:
    """Fits by as many workers as devices take each; gives the set of those that made something.

    CPU devices are the same cores, so that a fit by itself takes the first alone.
    """
    used, begun, meet = set(), set(), threading.Barrier(len(devices), timeout=patience)

    def seen(program):
        def one(*arguments):
            # No worker goes on before each has begun.
            if threading.get_ident() not in begun:
                begun.add(threading.get_ident())
                meet.wait()
            made = program(*arguments)
            used.update(jax.tree.leaves(made)[0].devices())
            return made

        return one

    with contextlib.ExitStack() as patched:
        for module, program in ((grouped, "fit_group"), (refill, "advance_slots")):
            patched.enter_context(mock.patch.object(module, program, seen(getattr(module, program))))
            patched.enter_context(mock.patch.object(module, "fit_devices", return_value=devices))
        yield used


def main(count: int) -> None:
    jax.config.update("jax_num_cpu_devices", count)
    devices = jax.local_devices()
    images = limit(load_images("digits"), 20)
    # Wide enough for vector units and fused loops to have their ends, which is where neighbors could matter.
    network = Network("siren", (2, 19, 19, 1), w0=(8.0,), offset=0.5, family="nfn")
    recipe = Recipe(network, steps=12, learning_rate=1e-2, slots=8)
    stopping = dataclasses.replace(recipe, target_psnr=9.0, check_every=3, schedule="constant")
    zoo = ZooRecipe(zoo_network("mlp", images, (7,)), count=6, steps=8, slots=4, batch_size=16)
    jobs = np.concatenate(groups(recipe, len(images.pixels)))
    shuffled = np.random.default_rng(0).permutation(jobs)
    odd = [shuffled[:3], shuffled[3:11], shuffled[11:12], shuffled[12:]]
    drawing = dataclasses.replace(recipe, batch_points=21, optimizer="lamb")
    runs = [np.array([5, 0]), np.array([3]), np.array([4, 2, 1])]
    made = {
        **{
            kind: [
                networks(list(fit_groups(images, one, groups(one, len(jobs)), workers=1))),
                networks(list(fit_groups(images, one, odd, workers=3))),
            ]
            for kind, one in (("groups", recipe), ("drawn points, lamb", drawing))
        },
        "refilled": [
            networks(list(fit_refilled(images, stopping, jobs, workers=1))),
            networks(list(fit_refilled(images, stopping, shuffled, workers=2))),
            networks(list(fit_refilled(images, stopping, shuffled[7:8], workers=1))),
        ],
        "zoo": [
            networks(list(fit_zoo_groups(images, zoo, [np.arange(4), np.arange(4, 6)], workers=1))),
            networks(list(fit_zoo_groups(images, zoo, runs, workers=2))),
        ],
    }
    used = {}
    with over(devices, PATIENCE) as used["groups"]:
        made["groups"].append(networks(list(fit_groups(images, recipe, odd, workers=count))))
    with over(devices, PATIENCE) as used["refilled"]:
        made["refilled"].append(networks(list(fit_refilled(images, stopping, jobs, workers=count))))
    print(json.dumps({**made, "devices": {kind: len(found) for kind, found in used.items()}}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
