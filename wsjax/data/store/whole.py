"""Weight data sets on disk: save and load."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from wsjax.data.card import Card, settings_of
from wsjax.data.dataset import WeightDataset, check_numbers, training_rows
from wsjax.data.store import shards
from wsjax.data.store.directory import CARD, INDEX, LOCK, WAY_OUT, checksum, read_json, write_json
from wsjax.data.store.index import PART_INDICES, Index, read_index
from wsjax.data.store.locks import locked
from wsjax.data.store.parts import CLAIM, PART_LOCKS, way_on
from wsjax.errors import DataError, check_choice, check_finite, check_number, check_shape, leaf_names, listing

COLUMN = "columns."
READERS = 3
DTYPES = ("float32", "bfloat16", "float16")


def save(
    dataset: WeightDataset, path: str | Path, dtype: DTypeLike | None = None, *, shard_networks: int | None = None
) -> None:
    """Write a data set to a new directory, in shards.

    Args:
        dataset: the networks.
        path: the directory.
        dtype: of floating-point weights on disk: float32, bfloat16 or float16; the index states it, `load` gives back
            what is stored, and the card's statistics are those of it. None keeps every bit.
        shard_networks: networks in each shard, the unit of reading; None makes shards of 16 MB.

    Raises:
        ValueError: no networks, another dtype, a directory that holds something, or a container that a file cannot
            bring back.
        DataError: a weight or label that is not finite, or a weight not in `dtype`.
        OSError: the directory cannot be written, or the disk is full.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import tempfile
        >>> path = tempfile.mkdtemp()
        >>> save(networks, path)
        >>> load(path)
        WeightDataset('digits', 40 networks: 24 train, 7 validation, 9 test)
    """
    if not len(dataset):
        raise ValueError(f"the data set {dataset.card.name} has no networks; expected at least one to save")
    check_numbers(dataset, "saving")
    if dtype is not None:
        dataset = cast(dataset, dtype, f"saving {dataset.card.name}")
    each = max(1, shards.SHARD_BYTES // _bytes(dataset)) if shard_networks is None else shard_networks
    check_number("shard_networks", each, low=1, whole=True)
    each = int(each)  # JSON has no numbers of NumPy's
    if not dataset.card.statistics:
        rows = training_rows(dataset.columns["split"])
        dataset = replace(dataset, card=dataset.card.with_statistics(dataset.weights, rows))
    target, card = absolute(path), dataset.card.to_json()
    with locked(target):
        check_free(target)
        index = new_index(target, len(dataset), each, card)
        for number in index.unfinished:
            start = number * index.shard_networks
            part = dataset.take(np.arange(start, start + index.size(number)))
            index = shards.write_shard(target, index, number, flat(part.weights, part.label, part.columns))


def cast(dataset: WeightDataset, dtype: DTypeLike, doing: str) -> WeightDataset:
    """The data set with its floating-point weights in another dtype, and the statistics of those.

    Raises:
        ValueError: a dtype that is none of `DTYPES`.
        DataError: a number too large for it; the message says what was being done.
    """
    check_choice("dtype", dtype if isinstance(dtype, str) else jnp.dtype(dtype).name, DTYPES)
    one = lambda x: np.asarray(x).astype(jnp.dtype(dtype)) if jnp.issubdtype(x.dtype, jnp.floating) else x
    with np.errstate(over="ignore"):
        weights = jax.tree.map(one, dataset.weights)
    way_out = "Those numbers are too large for it: take bfloat16 or float32."
    check_finite(weights, f"{doing} as {jnp.dtype(dtype)}", way_out)
    card = dataset.card.with_statistics(weights, training_rows(dataset.columns["split"]))
    return replace(dataset, weights=weights, card=card)


def _bytes(dataset: WeightDataset) -> int:
    """Of one network with its label and columns."""
    arrays = jax.tree.leaves((dataset.weights, dataset.label, dataset.columns))
    return sum(x.dtype.itemsize * int(np.prod(x.shape[1:])) for x in arrays)


def load(path: str | Path) -> WeightDataset:
    """Read a data set, every array checked against the card and against its SHA-256.

    Args:
        path: the directory of the data set.

    Raises:
        DataError: the directory holds no data set, or an unfinished one; a file, shard or array is missing, altered or
            of another shape or dtype; a number is not finite. The shard and the array are named.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> import tempfile
        >>> save(networks, path := tempfile.mkdtemp())
        >>> len(load(path))
        40
    """
    target = absolute(path)
    return read(target, *describe(target))


def describe(path: Path) -> tuple[Index, Card]:
    """The index and the card of a whole data set; raises DataError where it is unfinished, or one is damaged."""
    index, card = read_index(path), Card.from_json(read_json(path / CARD))
    if index.unfinished or not card.statistics:
        raise DataError(unfinished(path, index, card))
    return index, card


def unfinished(path: Path, index: Index, card: Card) -> str:
    """What there is of a data set that is not whole, and the way out."""
    again = "remove the directory and save the data set again"
    if card.recipe:
        # A fit writes the statistics last, and `save` has them from the start; but a fit may remake a lost shard.
        again = "run the same fit again" + (f", or {again}" if card.statistics else "")
    way_out = way_on(path, index) or f"to go on, {again}"
    return f"{path} is unfinished: {index.finished_networks} of {index.networks} networks are there; {way_out}"


def new_index(path: Path, networks: int, shard_networks: int, card: dict[str, Any], into: str = INDEX) -> Index:
    """Write a new data set's card and its index, which lists no shard yet, in the file of some name."""
    index = Index(networks, shard_networks, card_checksum(card), {}, {})
    write_json(path / CARD, card)
    write_json(path / into, index._asdict())
    return index


def card_checksum(card: dict[str, Any]) -> str:
    """SHA-256 of what a card's JSON says of its networks, the same for the same settings."""
    return checksum(settings_of(card))


def absolute(path: str | Path) -> Path:
    """A path as Orbax wants it. Raises OSError for a name that it cannot be given, as Python took it for no text."""
    found = Path(path).expanduser().resolve()
    try:
        str(found).encode()
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        raise OSError(
            f"{str(found)!a} has letters that are not in the encoding of file names here ({encoding}); set "
            f"PYTHONUTF8=1, or name a directory in plain letters"
        ) from None
    return found


def is_free(path: Path) -> bool:
    """Whether a directory holds nothing, or no more than a start that was killed leaves."""
    own = {LOCK, CARD, f"{CARD}.tmp", f"{INDEX}.tmp", CLAIM}
    patterns = (PART_LOCKS, f"{PART_INDICES}.tmp")
    return all(entry.name in own or any(map(entry.match, patterns)) for entry in path.glob("*"))


def check_free(path: Path) -> None:
    """Raise ValueError where a directory is not free for something new."""
    if not is_free(path):
        raise ValueError(f"{path} is not empty; expected a new directory: name another one, or remove it")


def flat(weights: Any, label: np.ndarray, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A data set as the flat dict that shards hold."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(weights)]
    named = dict(zip(leaf_names(weights), leaves, strict=True))
    return {**named, "label": np.asarray(label), **{COLUMN + name: np.asarray(c) for name, c in columns.items()}}


def check_card(path: Path, index: Index, card: Card) -> None:
    """Raises DataError where an index lists other arrays than the card needs, or was written with another card."""
    names, sizes = card.symmetry.names, card.symmetry.shapes
    columns = [name for name in index.arrays if name.startswith(COLUMN)]
    wrong = sorted({*names, "label", *columns} ^ set(index.arrays))
    if wrong:
        raise DataError(f"{path}: card and arrays do not belong together: {listing(wrong)} differ. {WAY_OUT}")
    for name, shape in zip(names, sizes, strict=True):
        try:
            check_shape(name, tuple(index.arrays[name]["shape"]), shape, "the card")
        except ValueError as error:
            raise DataError(f"{path}: card and arrays do not belong together: {error}") from None
    if card_checksum(card.to_json()) != index.card:
        raise DataError(f"{path}: {CARD} is not the card that {INDEX} was written with. {WAY_OUT}")


def read(path: Path, index: Index, card: Card) -> WeightDataset:
    """A whole data set, card against arrays and arrays against checksums; raises as `load` does."""
    check_card(path, index, card)
    whole = empty(index, index.networks)

    def fill(number: int) -> None:
        start = number * index.shard_networks
        for name, array in shards.read_shard(path, index, number).items():
            whole[name][start : start + len(array)] = array

    # While Orbax reads one shard, others are hashed and copied.
    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(fill, range(len(index.shards))))
    return assemble(path, card, whole)


def empty(index: Index, networks: int) -> dict[str, np.ndarray]:
    """Room for the arrays of some networks."""
    return {n: np.empty((networks, *a["shape"]), jnp.dtype(a["dtype"])) for n, a in index.arrays.items()}


def assemble(path: Path | str, card: Card, arrays: dict[str, np.ndarray]) -> WeightDataset:
    """The data set of which `flat` made these arrays. Raises DataError where a number is not finite."""
    weights = card.symmetry.unflatten([arrays[name] for name in card.symmetry.names])
    check_finite(weights, f"loading {path}", WAY_OUT)
    columns = {name.removeprefix(COLUMN): array for name, array in arrays.items() if name.startswith(COLUMN)}
    return WeightDataset(weights, arrays["label"], columns, card)
