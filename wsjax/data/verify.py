"""Check all that is stored of a data set: every checksum, and a sample of networks compared with their source."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsjax.data.collection import members_in
from wsjax.data.concatenate import concatenate
from wsjax.data.dataset import WeightDataset
from wsjax.data.fidelity import Fidelity, fidelity
from wsjax.data.metadata import Metadata
from wsjax.data.sources.images import Images
from wsjax.data.sources.signals import Signals
from wsjax.data.store import shards
from wsjax.data.store.index import INDEX, SHARDS, Index, shard_name
from wsjax.data.store.save_load import absolute_path, check_metadata, described, from_arrays, unfinished
from wsjax.errors import DataError, check_number
from wsjax.storage.files import checksum


@dataclass(frozen=True)
class Verified:
    """What `verify` found; printed, it is a summary.

    networks: that the index promises; shards: found whole; fingerprint: SHA-256 of the metadata and all arrays, however
    they were written; decoded: how many networks were decoded, or run on images; psnr,
    recorded: their mean PSNR in dB, now and as the data set records it, None where it was not compared; damage: a line
    for each thing that is wrong; notes: what could not be checked and why, and what does no harm; accuracy,
    recorded_accuracy: of a zoo's classifiers on the test images, as psnr and recorded.
    """

    path: Path
    networks: int
    shards: int
    fingerprint: str
    decoded: int
    psnr: float | None
    recorded: float | None
    damage: tuple[str, ...]
    notes: tuple[str, ...]
    accuracy: float | None = None
    recorded_accuracy: float | None = None

    @property
    def ok(self) -> bool:
        return not self.damage

    def __str__(self) -> str:
        run = f"{self.decoded} networks decoded"
        if self.psnr is not None:
            run += f", mean PSNR {self.psnr:.2f} dB, recorded {self.recorded:.2f} dB"
        if self.accuracy is not None:
            run += f", mean accuracy on the test images {self.accuracy:.2%}, recorded {self.recorded_accuracy:.2%}"
        whole = f"every checksum is right in {self.shards} shards" if self.ok else f"{self.shards} shards are whole"
        lines = [
            f"{self.path}: {self.networks} networks",
            f"{whole}; fingerprint {self.fingerprint}",
            run,
            *(f"note: {note}" for note in self.notes),
            *(f"damaged: {line}" for line in self.damage),
            "all is well" if self.ok else f"found wrong: {len(self.damage)}",
        ]
        return "\n".join(lines)


def verify(
    path: str | Path, *, sample: int = 64, images: Images | Signals | None = None, directory: str | Path | None = None
) -> Verified:
    """Check a stored data set or collection: all checksums, and a sample of networks decoded beside what they hold.

    Every shard is read, one at a time, and all damage is reported, not only the first. Networks spread evenly over the
    data set are decoded, and their PSNR is compared with the column `psnr`; those of a zoo are run on images, and
    compared with their recorded accuracies. Nothing is written or downloaded.

    Args:
        path: the directory.
        sample: how many networks to decode or to run, of each member of a collection.
        images: the images or signals that were fitted; None looks for the source that the metadata names.
        directory: where that source's files are.

    Raises:
        DataError: the metadata or the index is missing or damaged, so that nothing can be said of the rest.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import tempfile
        >>> from wsjax.data import save
        >>> save(networks, path := tempfile.mkdtemp())
        >>> verify(path).ok
        True
    """
    check_number("sample", sample, low=0, integer=True)
    target = absolute_path(path)
    prints = members_in(target)
    if prints is None:
        return _verify_one(target, sample, images, directory)
    return _joined(target, prints, sample, images, directory)


def _verify_one(path: Path, sample: int, images: Images | Signals | None, directory: str | Path | None) -> Verified:
    index, metadata = described(path)
    damage = []
    if index.unfinished or not metadata.statistics:
        damage.append(unfinished(path, index, metadata))
    known: Metadata | None = metadata
    try:
        check_metadata(path, index, metadata)
    except DataError as error:
        damage.append(str(error))
        known = None
    parts, broken = _read(path, index, known, sample)
    found = fidelity(concatenate(parts), images, directory) if parts else Fidelity(0)
    by_hand = index.unfinished and not metadata.recipe  # only a fit goes on
    way_out = "remove the whole directory, as nothing goes on there" if by_hand else "the next start removes it"
    remains = shards.remains(path, index)
    left = (f"{entry} is not in the index: a kill left it; {way_out}" for entry in remains)
    told = {"damage": (*damage, *broken, *found.damage), "notes": (*left, *found.notes)}
    whole = len(index.shards) - len(broken)
    return Verified(path, index.networks, whole, index.fingerprint, **{**found._asdict(), **told})


def _read(path: Path, index: Index, metadata: Metadata | None, sample: int) -> tuple[list[WeightDataset], list[str]]:
    """Read every shard; networks of the whole ones, where there is metadata; what is wrong with the others."""
    rows = np.unique(np.linspace(0, index.networks - 1, min(sample, index.networks)).astype(int))
    parts, broken = [], []
    for number in range(index.shard_count):
        if number in index.unfinished:
            continue
        try:
            arrays = shards.read_shard(path, index, number)
            if metadata is not None:
                where = path / SHARDS / shard_name(number)
                part = from_arrays(where, metadata, arrays)
                chosen = np.isin(np.arange(len(part)) + number * index.shard_networks, rows)
                if chosen.any():
                    # A mask copies, so that the shard itself can go.
                    parts.append(from_arrays(where, metadata, {name: array[chosen] for name, array in arrays.items()}))
        except DataError as error:
            broken.append(str(error))
    return parts, broken


def _joined(
    path: Path, prints: dict[str, str], sample: int, images: Images | Signals | None, directory: str | Path | None
) -> Verified:
    """One report of a collection's members, each line under its member's name."""
    found: dict[str, Verified] = {}
    damage, notes = [], []
    for name, stated in prints.items():
        try:
            found[name] = one = _verify_one(path / name, sample, images, directory)
        except DataError as error:
            damage.append(f"{name}: {error}")
            continue
        exchanged = [f"{path / name} is not the member that {INDEX} was written with"] * (one.fingerprint != stated)
        damage += [f"{name}: {line}" for line in (*exchanged, *one.damage)]
        notes += [f"{name}: {line}" for line in one.notes]
    whole = list(found.values())
    networks, shard_count, decoded = (
        sum(getattr(one, field) for one in whole) for field in ("networks", "shards", "decoded")
    )
    means = {field: _mean(whole, field) for field in ("psnr", "recorded", "accuracy", "recorded_accuracy")}
    fingerprint = checksum({name: one.fingerprint for name, one in found.items()})
    return Verified(
        path, networks, shard_count, fingerprint, decoded, damage=tuple(damage), notes=tuple(notes), **means
    )


def _mean(whole: list[Verified], field: str) -> float | None:
    """The mean of one field over the networks of those members in which it was compared."""
    known = [(one.decoded, getattr(one, field)) for one in whole if getattr(one, field) is not None]
    total = sum(count for count, _ in known)
    return sum(count * value for count, value in known) / total if total else None
