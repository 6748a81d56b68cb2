"""Images by name: where they come from, and the messages where they do not."""

import dataclasses
import gzip
import hashlib
import io
import json
import struct
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from wsjax.data import Signals, limit, load_images, recipe_named
from wsjax.data.sources import SOURCES, SPLITS, load_source, mnist
from wsjax.data.sources.images import check_images
from wsjax.errors import DataError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_source(directory: Path, *, compress: bool = False) -> Path:
    """Four small IDX files, 36 and 12 images of 4 x 4."""
    rng = np.random.default_rng(0)
    directory.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", 36), ("t10k", 12)):
        arrays = {"images-idx3-ubyte": rng.integers(0, 256, (count, 4, 4)), "labels-idx1-ubyte": np.arange(count) % 10}
        for name, array in arrays.items():
            content = idx(array.astype(np.uint8))
            file = directory / f"{part}-{name}{'.gz' * compress}"
            file.write_bytes(gzip.compress(content) if compress else content)
    return directory


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No place has any files, and the network is down."""
    monkeypatch.delenv("WSJAX_DATA", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    for name, archive in mnist.ARCHIVES.items():
        gone = archive.package_directory and str(tmp_path / "package")
        monkeypatch.setitem(mnist.ARCHIVES, name, dataclasses.replace(archive, package_directory=gone))

    down = mock.Mock(side_effect=urllib.error.URLError("no route to host"))
    monkeypatch.setattr(urllib.request, "urlopen", down)
    return tmp_path


def test_digits_have_the_stated_split_with_a_part_of_each_class():
    digits = load_images("digits")
    assert np.bincount(digits.split).tolist() == [1100, 297, 400]
    whole = np.bincount(digits.label) / len(digits.label)
    for i in range(len(SPLITS)):
        counts = np.bincount(digits.label[digits.split == i])
        assert np.abs(counts - whole * counts.sum()).max() <= 1.5
    assert (digits.pixels.max(), digits.pixels.dtype) == (1, np.float32)


def test_limit_keeps_the_requested_number_and_every_split(untyped):
    digits = load_images("digits")
    for count in (3, 4, 100, 1795, 1796, 1797, None):
        few = limit(digits, count)
        assert len(few.pixels) == len(np.unique(few.index)) == (count or 1797)
        assert set(few.split) == {0, 1, 2}
        np.testing.assert_array_equal(few.pixels, digits.pixels[few.index])
    for count in (2, 1798, 2.5):
        with pytest.raises(ValueError, match=f"limit is {count}; digits has 1797, in 3 splits"):
            limit(digits, count)  # pyright: ignore[reportArgumentType]


def test_check_images_names_the_array():
    digits = limit(load_images("digits"), 5)
    for change, message in [
        ({"pixels": digits.pixels * 16}, r"run from 0 to 16; expected \[0, 1\]"),
        ({"pixels": digits.pixels[..., 0]}, "expected .images, rows, columns, channels"),
        ({"label": digits.label[:3]}, "label has 3 entries for 5 images"),
        ({"label": digits.label + 9}, "there are 10 class names"),
        ({"split": digits.split + 2}, r"split of row 2 is 3; expected 0, 1 or 2, an index into"),
        ({"index": digits.index * 0}, r"5 images have the number 0 in index; expected one each"),
        ({name: getattr(digits, name)[:0] for name in ("pixels", "label", "split", "index")}, "has no images"),
    ]:
        with pytest.raises(DataError, match=message):
            check_images(digits._replace(**change))


def test_unknown_source_lists_the_valid_ones_which_all_have_recipes():
    for call in (load_images, load_source):
        with pytest.raises(ValueError, match=r"unknown source 'fashion'; .*digits, mnist, fashion-mnist.*Did you mean"):
            call("fashion")
    for name, source in SOURCES.items():
        assert recipe_named(name) == source.recipe
        assert not source.images or source.recipe.network.widths[0] == 2


@pytest.mark.parametrize("name", [name for name, source in SOURCES.items() if not source.images])
def test_signals_bear_the_name_of_their_source_and_the_options_that_give_them_again(name, tmp_path):
    (tmp_path / "pyramid").mkdir()
    corners, faces = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n", "3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
    (tmp_path / "pyramid" / "one.off").write_text(f"OFF\n4 4 0\n{corners}{faces}")
    directory = tmp_path if SOURCES[name].directory == "named" else None
    options = {"points": 1 if name == "solids" else 4, **({} if directory else {"count": 1})}
    found = load_source(name, directory, options)
    assert isinstance(found, Signals)
    assert found.name == name
    assert {**found.options, **options} == found.options
    assert found.values.shape[1] == options["points"]
    widths = SOURCES[name].recipe.network.widths
    assert (widths[0], widths[-1]) == (found.points.shape[-1], found.values.shape[-1])
    again = load_source(name, directory, json.loads(json.dumps(dict(found.options))))
    for a, b in zip(found[1:6], again[1:6], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("place", ["directory", "variable", "package", "cache"])
def test_idx_files_are_found_in_each_place(nowhere, monkeypatch, place, compress):
    monkeypatch.setenv("WSJAX_DATA", str(nowhere / "variable"))
    own = nowhere / "own"
    where = {
        "directory": own,
        "variable": nowhere / "variable" / "fashion-mnist",
        "package": nowhere / "package",
        "cache": nowhere / "home/.cache/wsjax/fashion-mnist",
    }[place]
    write_source(where, compress=compress)
    images = load_images("fashion-mnist", own if place == "directory" else None)
    assert (images.pixels.shape, images.classes[9]) == ((48, 4, 4, 1), "Ankle boot")
    assert np.bincount(images.split).tolist() == [33, 3, 12]
    assert (images.split[36:] == SPLITS.index("test")).all()
    np.testing.assert_array_equal(images.label, np.r_[np.arange(36) % 10, np.arange(12) % 10])


def test_no_source_at_all_lists_every_way(nowhere):
    with pytest.raises(DataError) as caught:
        load_images("fashion-mnist")
    for part in ("directory=", "apt-get install dataset-fashion-mnist", "amazonaws.com", "no route to host"):
        assert part in str(caught.value)
    with pytest.raises(DataError, match=r"no files of mnist: looked in ((?!apt-get).)*$"):
        load_images("mnist")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b"", "holds 0 bytes; expected an IDX header of 16 bytes"),
        (lambda b: b[:7], "holds 7 bytes; expected an IDX header of 16 bytes"),
        (lambda b: b[:100], r"holds 100 bytes; expected 592 for the shape \(36, 4, 4\)"),
        (lambda b: b + b"x", "holds 593 bytes; expected 592"),
        (lambda b: b"\x00\x00\x0d\x03" + b[4:], "begins with bytes 00 00 0d 03; expected 00 00 08 03"),
        (lambda b: gzip.compress(b)[:60], "holds 60 bytes of a damaged or cut-off gzip file"),
        (lambda b: gzip.compress(b)[:-8] + bytes(8), "damaged or cut-off gzip file"),
        (lambda b: gzip.compress(b"")[:10], "damaged or cut-off gzip file"),
    ],
)
def test_a_damaged_idx_file_is_named_with_its_bytes(tmp_path, damage, message):
    file = write_source(tmp_path) / "train-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        load_images("mnist", tmp_path)
    assert str(file) in str(caught.value)
    assert "put a whole copy in its place" in str(caught.value)


def test_files_that_do_not_belong_together(tmp_path):
    file = write_source(tmp_path) / "train-labels-idx1-ubyte"
    file.write_bytes(idx(np.zeros(35, np.uint8)))
    with pytest.raises(DataError, match="holds 35 labels; expected 36"):
        load_images("mnist", tmp_path)
    write_source(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((12, 5, 5), np.uint8)))
    with pytest.raises(DataError, match=r"has images of \(5, 5\); expected \(4, 4\)"):
        load_images("mnist", tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"has no t10k-labels-idx1-ubyte .plain or .gz.; expected the four IDX files"):
        load_images("mnist", tmp_path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        mnist.read_idx(tmp_path / "none", 1)


def test_a_download_is_checked_and_takes_its_name_last(nowhere, monkeypatch):
    served = {f.name: f.read_bytes() for f in write_source(nowhere / "web", compress=True).iterdir()}

    def answer(address, timeout):
        content = io.BytesIO(served[address.rsplit("/", 1)[1]])
        content.headers = Message()  # type: ignore[attr-defined]
        content.headers["Content-Length"] = str(len(content.getvalue()))  # type: ignore[attr-defined]
        return content

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    with pytest.raises(DataError, match=r"has MD5 .*; expected f68b3c2dcbeaaa9fbdd348bbdeb94873"):
        load_images("mnist")
    cache = mnist.cache_directory("mnist")
    assert not list(cache.iterdir())

    sums = {name: hashlib.md5(served[f"{name}.gz"]).hexdigest() for name in mnist.ARCHIVES["mnist"].md5}
    monkeypatch.setitem(mnist.ARCHIVES, "mnist", dataclasses.replace(mnist.ARCHIVES["mnist"], md5=sums))
    assert load_images("mnist").pixels.shape == (48, 4, 4, 1)
    assert {f.name: f.read_bytes() for f in cache.iterdir()} == served
    monkeypatch.setattr(urllib.request, "urlopen", None)
    assert mnist.download_images("mnist") == cache


def test_debians_package_is_fashion_mnist_or_the_way_to_it_is_named(nowhere):
    if not DEBIAN.is_dir():
        with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist"):
            load_images("fashion-mnist")
        return
    images = load_images("fashion-mnist", DEBIAN)
    assert images.pixels.shape == (70000, 28, 28, 1)
    assert np.bincount(images.split).tolist() == [55000, 5000, 10000]
    assert np.bincount(images.label).tolist() == [7000] * 10


def test_without_a_home_directory_the_other_places_serve(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", mock.Mock(side_effect=RuntimeError("Could not determine home directory.")))
    monkeypatch.setenv("WSJAX_DATA", str(tmp_path))
    assert mnist.places("mnist") == [tmp_path / "mnist"]
    with pytest.raises(DataError, match="there is no home directory to keep mnist in; set HOME, or WSJAX_DATA"):
        mnist.cache_directory("mnist")
