"""MNIST and Fashion-MNIST: where their four IDX files are looked for, and how they are fetched."""

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wsjax.errors import DataError, check_choice, listing
from wsjax.progress import progress_of

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Archive:
    """A published set of IDX files: its address, the authors' MD5 of each gzipped file, and Debian's package of it."""

    address: str
    md5: Mapping[str, str]
    package: str | None = None
    package_directory: str | None = None


# The checksums are those of the files that the authors publish. Debian's package holds the same content compressed
# anew, so its files have others (train-images cf8536b0aa1a6ac5fa3f23001093305c) and are checked as IDX only.
ARCHIVES = {
    "mnist": Archive(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
    "fashion-mnist": Archive(
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


def cache_directory(source: str) -> Path:
    """Where downloads of a source go: `~/.cache/wsjax/SOURCE`.

    Raises:
        DataError: there is no home directory.
    """
    home = _home()
    if home is None:
        raise DataError(
            f"there is no home directory to keep {source} in; set HOME, or WSJAX_DATA to a directory that holds "
            f"{source}/, or name the directory of its files"
        )
    return home / ".cache" / "wsjax" / source


def _home() -> Path | None:
    """None where neither HOME nor the system knows one, as in a container that runs under a number."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def locate(source: str, directory: str | Path | None = None) -> dict[str, Path]:
    """The four files of a source by name, each plain or with `.gz`.

    Looked for in `directory` alone where one is given; else in `$WSJAX_DATA/SOURCE`, Debian's package, the cache,
    and, when none of these holds them, on the network.

    Raises:
        DataError: the given directory lacks a file; or no place has them and the download failed: the ways to get
            them are listed.
    """
    names = ARCHIVES[source].md5
    if directory is not None:
        found = _files(Path(directory), names)
        missing = [name for name in names if name not in found]
        if missing:
            raise DataError(
                f"{directory} has no {listing(missing)} (plain or .gz); expected the four IDX files of {source}. "
                f"Name the directory that holds them, or leave the directory out"
            )
        return found
    for place in places(source):
        found = _files(place, names)
        if len(found) == len(names):
            return found
    try:
        return _files(download_images(source), names)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(_no_source(source, error)) from None


def places(source: str) -> list[Path]:
    """Where the files of a source are looked for before they are downloaded, first place first.

    Example:
        >>> places("mnist")[-1] == cache_directory("mnist")
        True
    """
    own, packaged = os.environ.get("WSJAX_DATA"), ARCHIVES[source].package_directory
    return [
        *([Path(own) / source] if own else []),
        *([Path(packaged)] if packaged else []),
        *([cache_directory(source)] if _home() else []),
    ]


def _files(directory: Path, names: Mapping[str, str]) -> dict[str, Path]:
    candidates = {name: (directory / f"{name}.gz", directory / name) for name in names}
    return {name: path for name, pair in candidates.items() for path in reversed(pair) if path.is_file()}


def _no_source(source: str, error: Exception) -> str:
    archive = ARCHIVES[source]
    ways = [f"pass directory= (or --directory) with the four files {listing(archive.md5)}, plain or .gz"]
    ways += [f"install Debian's package: apt-get install {archive.package}"] * bool(archive.package)
    ways += [f"go online, and they are downloaded from {archive.address}"]
    return (
        f"no files of {source}: looked in {listing(places(source))}, and the download failed ({error}). "
        f"The ways to get them: {'; '.join(f'({i + 1}) {way}' for i, way in enumerate(ways))}"
    )


def download_images(source: str, directory: str | Path | None = None, *, progress: bool = True) -> Path:
    """Fetch a source's four gzipped files, each checked against its authors' MD5 before it gets its name.

    Files already there are kept.

    Args:
        source: `"mnist"` or `"fashion-mnist"`.
        directory: where to put them; None takes the cache.
        progress: show a bar.

    Returns:
        The directory.

    Raises:
        ValueError: an unknown source.
        OSError: the network or the disk failed.
        DataError: a checksum differs; both are named.

    Example:
        >>> download_images("cifar")
        Traceback (most recent call last):
        ValueError: unknown source to download 'cifar'; the valid ones are: mnist, fashion-mnist.
    """
    check_choice("source to download", source, tuple(ARCHIVES))
    place = cache_directory(source) if directory is None else Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    for name, md5 in ARCHIVES[source].md5.items():
        if name not in _files(place, {name: md5}):
            _fetch(f"{ARCHIVES[source].address}{name}.gz", place / f"{name}.gz", md5, progress)
    return place


def _fetch(address: str, target: Path, md5: str, progress: bool) -> None:
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer, draft.open("wb") as file:
            size = int(answer.headers.get("Content-Length") or 0) or None
            with progress_of(total=size, unit="B", desc=target.name, disable=not progress) as bar:
                while chunk := answer.read(CHUNK_BYTES):
                    digest.update(chunk)
                    bar.update(file.write(chunk))
        if digest.hexdigest() != md5:
            raise DataError(
                f"{address} has MD5 {digest.hexdigest()}; expected {md5}, which its authors published. "
                f"Try again, or fetch the file by other means and pass its directory"
            )
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
