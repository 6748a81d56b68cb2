"""One small plan and its trials, and how two trees are compared to the bit."""

import jax
import jax.numpy as jnp
import numpy as np

from wsjax.train import Plan, Trial

PLAN = Plan(
    "dws", {"channels": 2, "head": 8}, "flip_signs | noise(std=0.05)", epochs=6, batch_size=16, evaluate_every=2
)
TRIALS = (Trial(0, 3e-3), Trial(1, 6e-3, dropout=0.1))
SMALL = Plan("mlp", {"width": 2, "depth": 1}, epochs=6, batch_size=16, evaluate_every=2)


def bits(tree) -> list[bytes]:
    raw = jax.tree.map(lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, tree)
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(raw)]


def without_seconds(history: list[dict]) -> list[dict]:
    return [{k: v for k, v in r.items() if k != "seconds"} for r in history]
