"""The plans that tests of training share, and how two trees are compared to the bit.

A step is compiled for a plan, a reader and shapes; data and the numbers of trials are its arguments. So a test trains
`SMALL` with `TRIALS`, or with two trials of its own, wherever that will do. Its augmentations draw a number each; noise
takes twice as long to compile as all the rest.
"""

import jax
import jax.numpy as jnp
import numpy as np

from wsjax.train import Plan, Trial

DWS = {"channels": 2, "layers": 1, "head": 8}
PLAN = Plan("dws", DWS, "flip_signs | rotate(max_degrees=10)", 6, batch_size=16, evaluate_every=2)
TRIALS = (Trial(0, 3e-3), Trial(1, 6e-3, dropout=0.1))
MLP = {"width": 2, "depth": 1}
SMALL = Plan("mlp", MLP, "rotate(max_degrees=10) | scale(max_log=0.1)", 6, batch_size=16, evaluate_every=2)


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
