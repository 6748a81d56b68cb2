"""MNIST and Fashion-MNIST: where their four IDX files are looked for, how they are fetched, and how they are read.

IDX is a big-endian header, then unsigned bytes: two zero bytes, the type 0x08, the number of dimensions, and each
dimension as a uint32 (the page of MNIST; LeCun, Cortes, Burges).
"""

import contextlib
import gzip
import hashlib
import http.client
import math
import os
import struct
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsjax.data.sources.images import SPLIT_SEED, SPLITS, Images
from wsjax.errors import DataError, listing
from wsjax.progress import progress_of

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 16
UNSIGNED_BYTE = 0x08

DIGITS = tuple("0123456789")
GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@dataclass(frozen=True)
class Archive:
    """A published set of IDX files: its classes, its address, the authors' MD5 of each gzipped file, and Debian's
    package of it."""

    classes: tuple[str, ...]
    address: str
    md5: Mapping[str, str]
    package: str | None = None
    package_directory: str | None = None


# The checksums are those of the files that the authors publish. Debian's package holds the same content compressed
# anew, so its files have others (train-images cf8536b0aa1a6ac5fa3f23001093305c) and are checked as IDX only.
ARCHIVES = {
    "mnist": Archive(
        DIGITS,
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion-mnist": Archive(
        GARMENTS,
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        "dataset-fashion-mnist",
        "/usr/share/datasets/fashion-mnist",
    ),
}


def idx_images(source: str, directory: str | Path | None) -> Images:
    """The images of an archive, of whose training file a twelfth, 5000 of 60000, is for validation."""
    files = locate(source, directory)
    train, test = (_idx_pair(files, part) for part in ("train", "t10k"))
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(
            f"{files['t10k-images-idx3-ubyte']} has images of {test[0].shape[1:]}; expected {train[0].shape[1:]} as "
            f"in {files['train-images-idx3-ubyte']}"
        )
    pixels = np.concatenate([train[0], test[0]])[..., None] / np.float32(255)
    label = np.concatenate([train[1], test[1]]).astype(np.int32)
    split = np.full(len(label), SPLITS.index("test"), np.int8)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(train[1]))
    split[order] = SPLITS.index("train")
    split[order[: len(order) // 12]] = SPLITS.index("validation")
    return Images(source, pixels, label, split, np.arange(len(label), dtype=np.int32), ARCHIVES[source].classes)


def _idx_pair(files: dict[str, Path], part: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = files[f"{part}-images-idx3-ubyte"], files[f"{part}-labels-idx1-ubyte"]
    pixels, label = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(label):
        raise DataError(f"{labels} holds {len(label)} labels; expected {len(pixels)}, one for each image of {images}")
    return pixels, label


def locate(source: str, directory: str | Path | None = None) -> dict[str, Path]:
    """The four files of a source by name, each plain or with `.gz`: in `directory` alone where one is given, else in
    the first of `places` that has them all, else from the network. Raises DataError where none has them."""
    names = ARCHIVES[source].md5
    if directory is not None:
        found = _files(Path(directory), names)
        missing = [name for name in names if name not in found]
        if missing:
            raise DataError(
                f"{directory} has no {listing(missing)} (plain or .gz); expected the four IDX files of {source}: name "
                f"the directory that holds them, or leave the directory out"
            )
        return found
    for place in places(source):
        found = _files(place, names)
        if len(found) == len(names):
            return found
    try:
        return _files(download_images(source), names)
    except (OSError, http.client.HTTPException) as error:
        archive = ARCHIVES[source]
        ways = [f"pass directory= (or --directory) with the four files {listing(names)}, plain or .gz"]
        ways += [f"install Debian's package: apt-get install {archive.package}"] * bool(archive.package)
        ways += [f"go online, and they are downloaded from {archive.address}"]
        raise DataError(
            f"no files of {source}: looked in {listing(places(source))}, and the download failed ({error}). The ways "
            f"to get them: {'; '.join(f'({i + 1}) {way}' for i, way in enumerate(ways))}"
        ) from None


def places(source: str) -> list[Path]:
    """Where files are looked for before they are downloaded: `$WSJAX_DATA/SOURCE`, Debian's package, the cache."""
    own, packaged = os.environ.get("WSJAX_DATA"), ARCHIVES[source].package_directory
    found = [Path(own) / source] if own else []
    found += [Path(packaged)] if packaged else []
    with contextlib.suppress(DataError):
        found.append(cache_directory(source))
    return found


def cache_directory(source: str) -> Path:
    """Where downloads of a source go: `~/.cache/wsjax/SOURCE`."""
    try:
        return Path.home() / ".cache" / "wsjax" / source
    except RuntimeError:  # neither HOME nor the system knows one, as in a container that runs under a number
        raise DataError(
            f"there is no home directory to keep {source} in; set HOME, or WSJAX_DATA to a directory that holds "
            f"{source}/, or name the directory of its files"
        ) from None


def _files(directory: Path, names: Mapping[str, str]) -> dict[str, Path]:
    candidates = {name: (directory / f"{name}.gz", directory / name) for name in names}
    return {name: path for name, pair in candidates.items() for path in reversed(pair) if path.is_file()}


def download_images(source: str) -> Path:
    """Fetch a source's four gzipped files into the cache, each checked against its authors' MD5 before it gets its
    name; files already there are kept."""
    place = cache_directory(source)
    place.mkdir(parents=True, exist_ok=True)
    for name, md5 in ARCHIVES[source].md5.items():
        if name not in _files(place, {name: md5}):
            _fetch(f"{ARCHIVES[source].address}{name}.gz", place / f"{name}.gz", md5)
    return place


def _fetch(address: str, target: Path, md5: str) -> None:
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer, draft.open("wb") as file:
            size = int(answer.headers.get("Content-Length") or 0) or None
            with progress_of(total=size, unit="B", desc=target.name) as bar:
                while chunk := answer.read(CHUNK_BYTES):
                    digest.update(chunk)
                    bar.update(file.write(chunk))
        if digest.hexdigest() != md5:
            raise DataError(
                f"{address} has MD5 {digest.hexdigest()}; expected {md5}, which its authors published: try again, or "
                f"fetch the file by other means and pass its directory"
            )
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes in so many dimensions, plain or gzipped, as a uint8 array.

    Raises DataError, naming the file, the bytes found and those expected.
    """
    way_out = f"remove {path.name} and put a whole copy in its place"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; expected an IDX file: {way_out}") from None
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(
                f"{path} holds {len(content)} bytes of a damaged or cut-off gzip file ({error}); expected a whole one: "
                f"{way_out}"
            ) from None
    start, expected = 4 + 4 * dimensions, bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if len(content) < start:
        raise DataError(
            f"{path} holds {len(content)} bytes; expected an IDX header of {start} bytes and data: {way_out}"
        )
    if content[:4] != expected:
        raise DataError(
            f"{path} begins with bytes {content[:4].hex(' ')}; expected {expected.hex(' ')}, an IDX file of unsigned "
            f"bytes in {dimensions} dimensions: {way_out}"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    size = start + math.prod(shape)
    if len(content) != size:
        raise DataError(
            f"{path} holds {len(content)} bytes; expected {size} for the shape {shape} in its header: {way_out}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
