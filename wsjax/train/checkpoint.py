"""Training checkpoints in Orbax: the newest complete one is what a restart goes on from."""

from pathlib import Path

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from wsjax.errors import DataError, leaf_names, listing
from wsjax.train.state import TrainState


def _flat(state: TrainState) -> dict[str, jax.Array]:
    """Leaves by path, keys as their raw data: no container that Orbax would give back as another."""
    raw = state._replace(key=jax.random.key_data(state.key))
    return dict(zip(leaf_names(raw, "state"), jax.tree.leaves(raw), strict=True))


def open_checkpoints(directory: Path) -> ocp.training.Checkpointer:
    """The checkpoints of a run: saved when told to, the newest two kept, what a kill left half-written removed."""
    policies = ocp.training.preservation_policies
    return ocp.training.Checkpointer(
        str(directory.resolve()),
        save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),  # pyright: ignore[reportArgumentType]
        preservation_policy=policies.LatestN(2),  # pyright: ignore[reportArgumentType]
        cleanup_tmp_directories=True,
    )


def save(checkpoints: ocp.training.Checkpointer, epoch: int, state: TrainState) -> None:
    """Write the state after an epoch, and wait until it is whole."""
    checkpoints.save(epoch, _flat(state), force=True, overwrite=True)


def restore(checkpoints: ocp.training.Checkpointer, like: TrainState) -> tuple[TrainState, int]:
    """The newest checkpoint as a state with the structure of `like`, and its epoch; `like` and 0 where there is none.

    Raises:
        DataError: a checkpoint of another reader: names, shapes or dtypes differ.
    """
    latest = checkpoints.latest
    if latest is None:
        return like, 0
    expected = _flat(like)
    # Orbax casts dtypes and takes other shapes in silence: what is there is compared first.
    found = checkpoints.metadata(latest.step).metadata
    wrong = set(expected) ^ set(found)
    if wrong:
        raise DataError(
            f"the checkpoint at epoch {latest.step} holds another state: {listing(sorted(wrong)[:6])} differ; "
            f"expected that of the recorded plan. Train again into another directory"
        )
    for name, leaf in expected.items():
        have, want = (tuple(found[name].shape), found[name].dtype), (leaf.shape, leaf.dtype)
        if have != want:
            raise DataError(
                f"{name} of the checkpoint at epoch {latest.step} is {have[0]} {have[1]}; "
                f"expected {want[0]} {want[1]}. Train again into another directory"
            )
    loaded = checkpoints.load(latest.step, {name: np.zeros(x.shape, x.dtype) for name, x in expected.items()})
    leaves = [jax.numpy.asarray(loaded[name]) for name in expected]
    raw = jax.tree.unflatten(jax.tree.structure(like._replace(key=jax.random.key_data(like.key))), leaves)
    return raw._replace(key=jax.random.wrap_key_data(raw.key)), int(latest.step)
