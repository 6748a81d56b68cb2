"""The trainings that tests share, and how two trees are compared to the bit.

A step is compiled for a configuration, a model's structure and shapes; data and the settings of runs are its arguments.
So a test trains `SMALL` with `RUNS`, or with two runs of its own, wherever that will do. Its augmentations draw a
number each; noise takes twice as long to compile as all the rest.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wsjax.data import WeightDataset
from wsjax.models import NamedReader
from wsjax.train import Result, Run, TrainConfig, fit
from wsjax.train.model import MakeModel, made
from wsjax.train.results import compilations
from wsjax.train.state import TrainState, init_states

DWS = {"channels": 2, "layers": 1, "head": 8}
CONFIG = TrainConfig("flip_signs | rotate(max_degrees=10)", epochs=6, batch_size=16, evaluate_every=2)
RUNS = (Run(0, learning_rate=3e-3), Run(1, learning_rate=6e-3, dropout_rate=0.1))
MLP = {"width": 2, "depth": 1}
SMALL = TrainConfig("rotate(max_degrees=10) | scale(max_log=0.1)", epochs=6, batch_size=16, evaluate_every=2)


def dws(dataset: WeightDataset) -> NamedReader:
    return NamedReader("dws", dataset.metadata, DWS)


def mlp(dataset: WeightDataset, **settings: int) -> NamedReader:
    """With an output for each class, or for each target."""
    targets = None if dataset.metadata.classes else dataset.label.reshape(len(dataset), -1).shape[1]
    return NamedReader("mlp", dataset.metadata, MLP | settings, targets)


def trained_on(dataset: WeightDataset, config: TrainConfig = SMALL, runs=RUNS, out=None, **given: Any) -> Result:
    """A training of the small MLP, with no bar."""
    return fit(dataset, mlp(dataset), config, runs=runs, out=out, progress=False, **given)


def begun(make_model: MakeModel, config: TrainConfig = SMALL, runs=RUNS) -> tuple[TrainState, Any]:
    """The states of runs before their first step, and the models' fixed part."""
    parameters, frozen = made(make_model, [run.seed for run in runs])
    return init_states(config, [run.filled(config) for run in runs], parameters), frozen


def programs(call: Callable[[], object]) -> int:
    """How many programs a call compiles."""
    with compilations() as found:
        call()
    return sum(event.endswith("backend_compile_duration") for event, _, _ in found)


def ctrl_c():
    raise KeyboardInterrupt


def bits(tree) -> list[bytes]:
    raw = jax.tree.map(lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, tree)
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(raw)]


def assert_close(found, expected, atol: float) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


def without_seconds(history: list[dict]) -> list[dict]:
    return [{k: v for k, v in r.items() if k != "seconds"} for r in history]


def changed(leaf: np.ndarray, rows: np.ndarray, new: np.ndarray) -> np.ndarray:
    """An array that is another one at some of its rows."""
    return np.where(rows.reshape(-1, *[1] * (leaf.ndim - 1)), new, leaf).astype(leaf.dtype)
