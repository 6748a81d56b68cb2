"""Training checkpoints: Orbax writes a state, our own index proves it, and a restart goes on from the newest.

    checkpoints/4/      Orbax: the state after epoch 4, a flat dict from a leaf's name to the leaf
    checkpoints.json    for each kept epoch the SHA-256 of its arrays and of its files

A checkpoint exists once the index lists it, and the index is replaced whole, so a kill at any moment leaves the one
before. The checksums are ours because Orbax reads most flipped bits as other numbers without an error: those of the
files keep damage from reaching it, those of the arrays prove what it gave back.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from wsjax.errors import DataError, leaf_names, listing
from wsjax.storage.files import digest, file_digests, why, write_checked_json
from wsjax.train.record import CHECKPOINTS, PROOFS, read_proved
from wsjax.train.state import TrainState

KEPT = 2
Entries = dict[int, dict[str, Any]]


def epochs(run: Path) -> list[int]:
    """The epochs whose states are kept, oldest first."""
    return sorted(_read(run))


def clean(run: Path) -> None:
    """Remove what a kill left half-written, and forget checkpoints that were removed. For the one who writes."""
    kept = {epoch: entry for epoch, entry in _read(run).items() if _place(run, epoch).is_dir()}
    for path in (run / CHECKPOINTS).glob("*"):
        if path.name not in {str(epoch) for epoch in kept}:
            shutil.rmtree(path, ignore_errors=True)
    _write(run, kept)


def save(run: Path, epoch: int, state: TrainState) -> None:
    """Write the state after an epoch, wait until it is whole, list it, and keep the newest two.

    A full disk is an OSError that names the checkpoint, and says what stays.
    """
    from wsjax.storage import orbax_calls

    arrays = {name: np.asarray(leaf) for name, leaf in _flat(state).items()}
    where = _place(run, epoch)
    shutil.rmtree(where, ignore_errors=True)  # one that is not listed
    try:
        orbax_calls.save(where, arrays)
    except orbax_calls.OrbaxError as error:
        for leftover in where.parent.glob(f"{where.name}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        listed = _read(run)
        kept = f"epoch {max(listed)} stays" if listed else "nothing was saved before"
        again = "goes on from there" if listed else "begins anew"
        raise OSError(
            f"the checkpoint of epoch {epoch} cannot be written to {where}: {why(error, run)}; {kept}. Make room: the "
            f"same training {again}"
        ) from None
    proof = {"arrays": {n: digest(a) for n, a in arrays.items()}, "files": file_digests(_place(run, epoch))}
    entries = {**_read(run), epoch: proof}
    kept = dict(sorted(entries.items())[-KEPT:])
    _write(run, kept)
    for old in set(entries) - set(kept):
        shutil.rmtree(_place(run, old), ignore_errors=True)


def restore(run: Path, like: TrainState) -> tuple[TrainState, int]:
    """The newest checkpoint as a state with the structure of `like`, and its epoch; `like` and 0 where there is none.

    Raises DataError where a file is missing or altered, or the state is another model's.
    """
    stored = newest(run)
    return (like, 0) if stored is None else (stored.state(like), stored.epoch)


class Stored(NamedTuple):
    """A checkpoint as it was read: where, of which epoch, its arrays by name, and the SHA-256 stated for each."""

    where: Path
    epoch: int
    arrays: dict[str, np.ndarray]
    stated: dict[str, str]

    def state(self, like: TrainState) -> TrainState:
        """The arrays as a state with the structure of `like`."""
        where, expected = self.where, _flat(like)
        if wrong := set(expected) ^ set(self.arrays):
            raise DataError(
                f"the checkpoint {where} holds another state: {listing(sorted(wrong)[:6])} differ; "
                f"expected that of the recorded configuration. Train again into another directory"
            )
        for name, leaf in expected.items():
            found = self.arrays[name]
            if (found.shape, found.dtype) != (leaf.shape, leaf.dtype):
                raise DataError(
                    f"{name} of the checkpoint {where} is {found.shape} {found.dtype}; expected {leaf.shape} "
                    f"{leaf.dtype}. Train again into another directory"
                )
            _check_sha(f"{name} of the checkpoint {where}", digest(found), self.stated.get(name), where)
        raw = like._replace(key=jax.random.key_data(like.key))
        raw = jax.tree.unflatten(jax.tree.structure(raw), jax.device_put([self.arrays[name] for name in expected]))
        return raw._replace(key=jax.random.wrap_key_data(raw.key))

    @contextmanager
    def under_its_settings(self) -> Iterator[None]:
        """JAX with the precision and the generator of keys that the training ran under, whatever the process has."""
        words = self.arrays["state.key"].shape[-1]
        with (
            jax.enable_x64(any(array.dtype == np.float64 for array in self.arrays.values())),
            jax.default_prng_impl({2: "threefry2x32", 4: "rbg"}[words]),
        ):
            yield


def newest(run: Path) -> Stored | None:
    """The newest checkpoint, its files proved; None where there is none."""
    from wsjax.storage import orbax_calls

    entries = _read(run)
    if not entries:
        return None
    epoch = max(entries)
    where, stated = _place(run, epoch), entries[epoch]
    found = file_digests(where)
    for file, sha in stated["files"].items():
        _check_sha(str(where / file), found.get(file), sha, where)
    try:
        loaded = {name: np.asarray(leaf) for name, leaf in orbax_calls.load(where, None).items()}
    except orbax_calls.OrbaxError as error:
        raise DataError(f"the checkpoint {where} cannot be read: {error}. {_way_out(where)}") from None
    return Stored(where, epoch, loaded, stated["arrays"])


def _flat(state: TrainState) -> dict[str, jax.Array | np.ndarray]:
    """Leaves by path, keys as their raw data: no container that Orbax would give back as another."""
    raw = state._replace(key=jax.random.key_data(state.key))
    return dict(zip(leaf_names(raw, "state"), jax.tree.leaves(raw), strict=True))


def _place(run: Path, epoch: int) -> Path:
    return run.resolve() / CHECKPOINTS / str(epoch)


def _read(run: Path) -> Entries:
    path = run / PROOFS
    if not path.exists():
        if any((run / CHECKPOINTS).glob("*")):
            raise DataError(
                f"{path} does not exist; expected the checksums of {run / CHECKPOINTS}. "
                f"Restore it from a copy, or train again into another directory"
            )
        return {}
    return {int(epoch): entry for epoch, entry in read_proved(path).items()}


def _write(run: Path, entries: Entries) -> None:
    write_checked_json(run / PROOFS, {str(epoch): entry for epoch, entry in entries.items()})


def _check_sha(what: str, found: str | None, expected: str | None, where: Path) -> None:
    if found != expected:
        wrong = "is missing; expected it" if found is None else f"is altered: SHA-256 {found}; expected {expected}"
        raise DataError(f"{what} {wrong}. {_way_out(where)}")


def _way_out(where: Path) -> str:
    return f"Restore it from a copy, or remove {where} and train on: the training goes on from the checkpoint before it"
