"""Suite `store`: megabytes a second of a stored data set of 2-32-32-1 SIRENs, written, read, and read to the device.

wsjax        `save`, `load`, and one epoch of `stream`: Orbax shards, SHA-256 of every file and every array
npy, npz     plain NumPy files of the same arrays, one each or all in one; nothing is checked
... + sha    the same with a SHA-256 of each array, written beside and verified when read: the least that finds damage

Files are read from the page cache, as a second epoch reads them, so the disk's own speed is not in it.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.speed import harness
from benchmarks.speed.harness import Contestant, Outcome, Row, Timing
from wsjax.data import Metadata, WeightDataset, load, save, stream
from wsjax.data.store.save_load import as_arrays
from wsjax.networks import Network

NETWORK = Network("siren", (2, 32, 32, 1), w0=(30.0,), offset=0.5)
CLASSES = tuple("0123456789")
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Size:
    """How much is measured: networks, rounds, and networks in a batch of the stream."""

    networks: int = 70_000
    rounds: int = 7
    batch: int = 1024


QUICK = Size(networks=8_000, rounds=3)


def run(*, quick: bool) -> dict[str, Any]:
    """Measure on two cores and report."""
    with tempfile.TemporaryDirectory(prefix="wsjax-store-") as work:
        return harness.run("store", lambda _: contest(QUICK if quick else Size(), Path(work)), quick=quick)


def contest(size: Size, work: Path) -> Outcome:
    """Rows, every contestant's times, and notes.

    Raises:
        ValueError: something read back differs from what was written, so the times do not compare.
    """
    dataset = random_networks(size.networks)
    arrays = as_arrays(dataset.weights, dataset.label, dataset.columns)
    megabytes = sum(array.nbytes for array in arrays.values()) / 1e6
    forms: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
        "wsjax": (lambda path: save(dataset, path), lambda path: read_arrays(load(path))),
        **{
            name + " + sha" * checked: (
                lambda path, npz=npz, checked=checked: write_plain(arrays, path, npz, checked),
                lambda path, npz=npz, checked=checked: read_plain(path, npz, checked),
            )
            for name, npz in (("npy", False), ("npz", True))
            for checked in (True, False)
        },
    }
    for name, (write, read) in forms.items():
        write(work / name)
        check_same(name, read(work / name), arrays)
    contestants = [
        contestant
        for name, (write, read) in forms.items()
        for contestant in (
            Contestant(f"write {name}", lambda _, write=write: write_and_remove(write, work / "new"), megabytes),
            Contestant(f"read {name}", lambda _, name=name, read=read: bool(read(work / name)), megabytes),
            Contestant(f"device {name}", lambda _, name=name, read=read: jax.device_put(read(work / name)), megabytes),
        )
    ]
    contestants.append(Contestant("stream wsjax", lambda _: one_epoch(work / "wsjax", size.batch), megabytes))
    timings = harness.measure(contestants, size.rounds)
    others = [name for name in forms if name != "wsjax"]
    rows = [
        throughput(f"store/{what}/vs_{other.replace(' + ', '_')}", timings, f"{what} wsjax", f"{what} {other}")
        for what in ("write", "read", "device")
        for other in others
    ]
    rows.append(throughput("store/stream/vs_read", timings, "stream wsjax", "read wsjax"))
    note = (
        f"{size.networks} networks, {megabytes:.0f} MB; wsjax took {directory_size(work / 'wsjax') / 1e6:.0f} MB on "
        f"disk. Written and removed again in each round; read from the page cache."
    )
    return rows, timings, [note]


def throughput(name: str, timings: dict[str, Timing], ours: str, theirs: str) -> Row:
    """A row in MB/s; the ratio is still how many times faster ours is, round by round.

    Example:
        >>> import numpy as np
        >>> both = {"a": Timing(0.0, np.array([0.5, 0.5]), [], 1.0), "b": Timing(0.0, np.array([0.25, 0.25]), [], 1.0)}
        >>> row = throughput("row", both, "a", "b")
        >>> row.value, row.against_value, row.ratio
        (2.0, 4.0, 0.5)
    """
    mine, other = timings[ours].seconds, timings[theirs].seconds
    low, value, high = harness.quartiles(1 / mine)
    ratio_low, ratio, ratio_high = harness.quartiles(other / mine)
    against = float(np.median(1 / other))
    return Row(name, value, "MB/s", ratio, theirs, against, (low, high), (ratio_low, ratio_high))


def random_networks(count: int) -> WeightDataset:
    """Networks of noise; what the numbers are does not matter to a disk."""
    rng, symmetry = np.random.default_rng(0), NETWORK.symmetry
    leaves = [rng.standard_normal((count, *shape), np.float32) for shape in symmetry.shapes]
    number = np.arange(count, dtype=np.int32)
    columns = {"image": number, "view": np.zeros(count, np.int32), "split": np.zeros(count, np.int8)}
    metadata = Metadata("noise", NETWORK, symmetry, image_shape=(28, 28, 1), classes=CLASSES)
    weights = symmetry.unflatten(leaves)
    metadata = metadata.with_statistics(weights, np.arange(min(count, 1000)))
    label = (number % len(CLASSES)).astype(np.int32)
    return WeightDataset(weights, label, {**columns, "psnr": rng.random(count, np.float32)}, metadata)


def read_arrays(dataset: WeightDataset) -> Arrays:
    return as_arrays(dataset.weights, dataset.label, dataset.columns)


def write_plain(arrays: Arrays, path: Path, npz: bool, checked: bool) -> None:
    """The arrays in one `.npz`, or each in an `.npy`; with their SHA-256 beside."""
    path.mkdir()
    if npz:
        np.savez(path / "all.npz", **arrays)  # pyright: ignore[reportArgumentType]
    else:
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    if checked:
        (path / "sha.json").write_text(json.dumps({name: sha(array) for name, array in arrays.items()}))


def read_plain(path: Path, npz: bool, checked: bool) -> Arrays:
    """What `write_plain` wrote.

    Raises:
        ValueError: an array has another SHA-256.
    """
    if npz:
        with np.load(path / "all.npz") as file:
            arrays = {name: file[name] for name in file.files}
    else:
        arrays = {file.stem: np.load(file) for file in sorted(path.glob("*.npy"))}
    if checked:
        stated = json.loads((path / "sha.json").read_text())
        wrong = [name for name, array in arrays.items() if sha(array) != stated[name]]
        if wrong:
            raise ValueError(f"{path}: {wrong[0]} has another SHA-256 than when it was written")
    return arrays


def sha(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def write_and_remove(write: Callable[[Path], Any], path: Path) -> None:
    """Write, and make room for the next; every contestant pays for both."""
    write(path)
    shutil.rmtree(path)


def one_epoch(path: Path, batch: int) -> int:
    """Read every network once in random order; their number."""
    return sum(len(part.label) for part in stream(path, batch, epochs=1))


def check_same(name: str, found: Arrays, expected: Arrays) -> None:
    """Raise ValueError where something was read back otherwise than it was written."""
    for array_name, array in expected.items():
        other = found.get(array_name)
        if other is None or (other.dtype, other.shape) != (array.dtype, array.shape) or sha(other) != sha(array):
            raise ValueError(f"{name} does not give back {array_name} as it was written: the comparison is void")


def directory_size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
