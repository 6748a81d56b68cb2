"""`data.fit` in all its forms, images of one's own, random splits, and a data set as a sequence."""

import dataclasses
import sys
import threading
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data.conftest import RECIPE
from tests.data.test_dataset import assert_same
from wsjax import data
from wsjax.data import WeightDataset, ZooRecipe, fit, load, sources
from wsjax.data.zoo import zoo_network
from wsjax.errors import DataError
from wsjax.networks import Network

pytestmark = pytest.mark.usefixtures("plain_module")


def test_a_source_by_name_images_and_pixels_become_the_same_networks(images, fitted, monkeypatch, tmp_path):
    source = dataclasses.replace(sources.SOURCES["digits"], recipe=RECIPE, load=lambda: images)
    monkeypatch.setitem(sources.SOURCES, "digits", source)
    by_name = fit("digits", progress=False)
    assert by_name.metadata.recipe is not None
    assert by_name.metadata.recipe["named"] == "digits"
    pixels = fit(images.pixels, images.label, recipe=RECIPE, progress=False)
    stored = fit(images, recipe=RECIPE, out=tmp_path / "set", progress=False)
    assert_same(stored, load(tmp_path / "set"))
    for found, expected in ((by_name, fitted.weights), (stored, fitted.weights)):
        jax.tree.map(np.testing.assert_array_equal, found.weights, expected)
    # Pixels are numbered from 0, and are all for training.
    numbered = fit(images._replace(index=np.arange(10, dtype=np.int32)), recipe=RECIPE, progress=False)
    jax.tree.map(np.testing.assert_array_equal, pixels.weights, numbered.weights)
    assert (pixels.columns["split"] == 0).all()
    np.testing.assert_array_equal(pixels.label, images.label)


def test_sources_recipes_and_parts_that_are_refused(images):
    signals = sources.sines(count=10)
    zoo = ZooRecipe(zoo_network("mlp", images, (4,)), count=1, steps=1, slots=1)
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ("digits", {"labels": [0]}, "labels are given, and 'digits' has its own"),
        ("digit", {}, "unknown source 'digit'"),
        (np.zeros((2, 4, 4, 3)), {"recipe": RECIPE}, r"has widths \(2, 4, 4, 1\); images needs 2 inputs and 3 outputs"),
        (images, {"recipe": "dsw"}, "unknown recipe 'dsw'; the valid ones are: dws, nfn, .* Did you mean 'dws'"),
        (images, {"recipe": RECIPE, "part": "1/2"}, "part is 1/2 and out is None; .*: give out"),
        (signals, {}, "recipe is None; expected a Recipe for the signals of sines"),
        (signals, {"recipe": zoo}, "a zoo is of classifiers of images; sines gives other signals"),
    ]
    for source, settings, message in cases:
        with pytest.raises(ValueError, match=message):
            fit(source, **settings, progress=False)


def test_images_of_one_s_own():
    gray = np.arange(160, dtype=np.uint8).reshape(10, 4, 4)
    found = data.images(gray, np.arange(10) % 2, split=(0.8, 0.1, 0.1), classes=("even", "odd"))
    np.testing.assert_array_equal(found.pixels, gray[..., None] / np.float32(255))
    assert (found.pixels.dtype, found.classes) == (np.float32, ("even", "odd"))
    assert np.bincount(found.split).tolist() == [8, 1, 1]
    color = data.images(np.full((3, 4, 4, 3), 0.5), split=np.array([2, 0, 1]))
    assert (color.split.tolist(), color.label.tolist(), color.classes) == ([2, 0, 1], [0, 0, 0], ("0",))
    assert repr(found) == "Images('images', 10 images of (4, 4, 1), 2 classes: 8 train, 1 validation, 1 test)"
    again = data.images(gray, split=(0.8, 0.1, 0.1))
    np.testing.assert_array_equal(again.split, found.split)


def test_images_that_are_refused():
    good = np.zeros((4, 2, 2), np.uint8)
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (np.zeros((4, 2)), {}, r"pixels has shape \(4, 2\); expected \(images, rows, columns\)"),
        (np.zeros((4, 0, 2)), {}, r"pixels has shape \(4, 0, 2, 1\); expected .*, none of them 0"),
        (good.astype(np.int32), {}, "pixels has dtype int32; expected uint8, or floats in"),
        (good + 1.5, {}, r"pixels run from 1\.5 to 1\.5; expected \[0, 1\]"),
        (good, {"labels": [0, 1, 2]}, r"labels have shape \(3,\).*; expected \(4,\) integers from 0"),
        (good, {"labels": np.zeros(4)}, "labels have .* dtype float64; expected"),
        (good, {"labels": [0, 1, 2, -1]}, "expected .* integers from 0"),
        (good, {"labels": [0, 1, 2, 0], "classes": ("a", "b")}, "label runs from 0 to 2; there are 2 class names"),
        (good, {"labels": [0, 1, 2, 2**32]}, "expected .* integers from 0"),  # not cut to the 32 bits of a 0
        (good, {"split": [0, 1, 2, 3]}, "split of row 3 is 3; expected 0, 1 or 2"),
        (good, {"split": [0, 1, 2, 256]}, "split of row 3 is 256; expected 0, 1 or 2"),  # nor to 8 bits
        (np.zeros((4, 3, 8, 8)), {}, r"has shape \(4, 3, 8, 8\), with 8 channels; .*numpy.moveaxis\(pixels, 1, -1\)"),
        (good, {"split": (0.5, 0.4)}, r"the fractions of the split are \[0\.5, 0\.4\]; expected three that sum to 1"),
        (good, {"split": (0.5, 0.4, 0.2)}, "expected three that sum to 1"),
        (good, {"split": (1.5, -0.5, 0.0)}, "fraction of train is 1.5"),
    ]
    for pixels, settings, message in cases:
        with pytest.raises((ValueError, DataError), match=message):
            data.images(pixels, settings.pop("labels", None), **settings)


@pytest.fixture(scope="module")
def of_objects():
    """Networks of 20 objects, 1 to 4 views of each, in any order."""
    net = Network("siren", (2, 3, 1))
    image = np.random.default_rng(0).permutation(np.repeat(np.arange(20) * 7, np.arange(20) % 4 + 1))
    draw = np.random.default_rng(1).normal
    leaves = [draw(size=(len(image), *shape)).astype(np.float32) for shape in net.symmetry.shapes]
    columns = {"image": image.astype(np.int32), "split": np.zeros(len(image), np.int8)}
    weights = net.symmetry.unflatten(leaves)
    metadata = data.Metadata("objects", net, net.symmetry, classes=("a",))
    return WeightDataset(weights, np.zeros(len(image), np.int32), columns, metadata)


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.1), (0.5, 0.5, 0.0), (0.0, 0.0, 1.0)])
def test_all_views_of_an_object_are_in_one_part_of_a_random_split(of_objects, fractions):
    found = of_objects.random_split(jax.random.key(3), fractions)
    image, split = found.columns["image"], found.columns["split"]
    parts = [split[image == number] for number in np.unique(image)]
    assert all(len(set(part.tolist())) == 1 for part in parts)
    objects = np.bincount([part[0] for part in parts], minlength=3)
    np.testing.assert_array_equal(objects, np.rint(20 * np.array(fractions)))
    jax.tree.map(np.testing.assert_array_equal, found.weights, of_objects.weights)
    # The statistics are of the new training split, or of all networks where it is empty.
    part = found.split("train") if fractions[0] else found
    own = part.metadata.with_statistics(part.weights, np.arange(len(part)))
    assert found.metadata.statistics == own.statistics


def test_a_random_split_follows_its_key_and_needs_no_column_of_objects(of_objects):
    split = lambda seed: of_objects.random_split(jax.random.key(seed), (0.6, 0.2, 0.2)).columns["split"].tolist()
    assert split(0) == split(0) != split(1)
    alone = dataclasses.replace(of_objects, columns={"split": of_objects.columns["split"]})
    found = alone.random_split(jax.random.key(0), (0.8, 0.1, 0.1)).columns["split"]
    assert np.bincount(found).tolist() == [40, 5, 5]


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.1, 0.2), (-0.1, 0.6, 0.5), (np.nan, 0.5, 0.5)])
def test_fractions_that_are_refused(of_objects, fractions, untyped):
    with pytest.raises(ValueError, match=r"fraction of train|three that sum to 1, .* such as \(0\.8, 0\.1, 0\.1\)"):
        of_objects.random_split(jax.random.key(0), fractions)
    with pytest.raises(TypeError, match=r"key is 7; expected a key: jax\.random\.key\(7\)"):
        of_objects.random_split(7, (0.8, 0.1, 0.1))


def test_a_data_set_is_a_sequence_of_networks_and_labels(fitted, untyped):
    weights, label = fitted[3]
    jax.tree.map(np.testing.assert_array_equal, weights, fitted.network(3))
    assert label == fitted.label[3]
    assert [int(label) for _, label in fitted] == fitted.label.tolist()
    assert len(list(fitted)) == len(fitted)
    with pytest.raises(IndexError, match="there is no network 10; expected 0 to 9"):
        fitted[10]
    with pytest.raises(TypeError, match=r"expected one integer: for several, call take\(slice\(None, 5, None\)\)"):
        fitted[:5]
    assert len(fitted.take(slice(None, 5))) == 5


def test_the_normalizer_is_that_of_the_training_split(fitted):
    normalizer, train = fitted.normalizer(), fitted.split("train")
    found = jax.vmap(lambda weights: normalizer(fitted.symmetry.leaves(weights), jnp.float32))(train.weights)
    for leaf, shape in zip(found, fitted.symmetry.shapes, strict=True):
        assert np.asarray(leaf).shape == (len(train), *shape)
        np.testing.assert_allclose(np.square(np.asarray(leaf)).mean(), 1, rtol=1e-2)
    bare = dataclasses.replace(fitted, metadata=dataclasses.replace(fitted.metadata, statistics={}))
    with pytest.raises(ValueError, match="statistics"):
        bare.normalizer()


def test_a_fit_touches_few_files(images, tmp_path):
    """Whoever reads how a fit works reads no more than these."""
    root, files = str(Path(data.__file__).parents[1]), set()

    def note(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(root) and code.co_name != "<module>":
            files.add(code.co_filename)

    sys.setprofile(note)
    threading.setprofile(note)
    try:
        fit(images, recipe=RECIPE, out=tmp_path / "set", progress=False)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # pyright: ignore[reportArgumentType]
    assert 15 < len(files) <= 35, sorted(files)


def test_few_names_are_public():
    assert len(data.__all__) <= 25
