"""`verify` finds all that is wrong, not the first thing alone, and says what it could not check."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from tests.data.conftest import copy_of, flip, largest
from tests.data.test_collection import member
from tests.data.test_store import altered, rewrite
from wsjax.data import Collection, fit, load, save, verify
from wsjax.data import fidelity as by_eye
from wsjax.data.sources import mnist
from wsjax.data.sources.provenance import find_source
from wsjax.data.store.index import read_index
from wsjax.errors import DataError
from wsjax.storage import orbax_calls
from wsjax.storage.files import digest, write_checked_json


def test_a_whole_data_set_is_well_and_decodes_to_its_recorded_psnr(stored, images):
    before = {p: p.stat().st_mtime_ns for p in stored.rglob("*")}
    found = verify(stored)
    assert found.ok
    assert (found.networks, found.shards, found.decoded, found.damage, found.notes) == (10, 3, 10, (), ())
    assert found.psnr == pytest.approx(found.recorded, abs=1e-3)
    assert found.recorded == pytest.approx(load(stored).columns["psnr"].mean())
    assert str(found).endswith("all is well")
    assert f"mean PSNR {found.psnr:.2f} dB, recorded {found.recorded:.2f} dB" in str(found)
    assert verify(stored, images=images) == found
    for sample, decoded in ((0, 0), (4, 4), (99, 10)):
        some = verify(stored, sample=sample)
        assert (some.ok, some.decoded, some.psnr is None) == (True, decoded, decoded == 0)
    with pytest.raises(ValueError, match="sample is -1; it must be one integer"):
        verify(stored, sample=-1)
    assert {p: p.stat().st_mtime_ns for p in stored.rglob("*")} == before


def test_every_damaged_shard_is_reported(stored):
    flip(largest(stored, 0))
    shutil.rmtree(stored / "shards" / "00002")
    found = verify(stored)
    assert not found.ok
    assert (found.shards, found.decoded, len(found.damage)) == (1, 4, 2)
    assert "shard 00000: the file" in found.damage[0]
    assert "is altered" in found.damage[0]
    assert "shard 00002 is missing" in found.damage[1]
    assert str(found).endswith("found wrong: 2")
    flip(largest(stored, 1))
    worse = verify(stored)
    assert (worse.shards, worse.decoded, worse.psnr, len(worse.damage)) == (0, 0, None, 3)


def test_networks_that_no_longer_show_their_image_are_damage(stored):
    """Checksums alone would pass: the index was rewritten with the altered array."""

    def change(arrays):
        arrays["weights[2].bias"][2] += 0.5

    altered(stored, 1, change)
    index = read_index(stored)
    arrays = orbax_calls.ocp.load(str(stored / "shards" / "00001"))
    index.shards["00001"]["arrays"] = {name: digest(np.asarray(a)) for name, a in arrays.items()}
    rewrite(stored / "index.json", shards=index.shards)
    found = verify(stored)
    image = load(stored).columns["image"][6]
    assert (
        f"1 of 10 networks do not decode to the recorded PSNR within 0.1 dB; the network of digits number {image} has"
        in str(found)
    )
    assert not found.ok


def test_half_types_are_noted_not_blamed(tmp_path, fitted):
    """A network fitted well loses decibels in bfloat16; here as many were recorded too much."""
    better = dataclasses.replace(fitted, columns={**fitted.columns, "psnr": fitted.columns["psnr"] + np.float32(0.3)})
    for dtype in ("bfloat16", "float32"):
        save(better, tmp_path / dtype, dtype)
    half, whole = (verify(tmp_path / dtype) for dtype in ("bfloat16", "float32"))
    assert (half.ok, whole.ok, whole.notes) == (True, False, ())
    assert half.psnr == pytest.approx((half.recorded or 0.0) - 0.3, abs=0.1)
    assert half.notes[0].startswith("10 of 10 networks do not decode to the recorded PSNR")
    assert "the weights are stored as bfloat16" in half.notes[0]


def test_what_could_not_be_compared_is_said(stored, tmp_path, images, recipe):
    save(member("wide"), tmp_path / "own")
    assert "no network was decoded: the metadata of wide describes no image network" in str(verify(tmp_path / "own"))

    fit(images.take(np.arange(9)), recipe=recipe, out=tmp_path / "nine", progress=False)
    found = verify(tmp_path / "nine")
    assert (found.ok, found.decoded, found.psnr) == (True, 9, None)
    assert "the digits at hand are not those that were fitted" in found.notes[0]
    assert verify(tmp_path / "nine", images=images).psnr is not None
    assert "are not among the 3 of digits" in str(verify(stored, images=images.take(np.arange(3))))

    data = load(stored)
    foreign = dataclasses.replace(data.metadata, source={"name": "shells"})
    save(dataclasses.replace(data, metadata=foreign), tmp_path / "foreign")
    assert "the metadata's source is 'shells', which wsjax cannot load" in str(verify(tmp_path / "foreign"))
    bare = {"split": data.columns["split"]}
    save(dataclasses.replace(data, columns=bare), tmp_path / "bare")
    assert "there are no columns psnr and image" in str(verify(tmp_path / "bare"))


def test_nothing_is_downloaded(tmp_path, stored, monkeypatch):
    monkeypatch.setenv("WSJAX_DATA", str(tmp_path))
    monkeypatch.setattr(mnist, "places", lambda name: [tmp_path])
    monkeypatch.setattr(mnist, "download_images", lambda *a, **k: pytest.fail("downloads"))
    metadata = dataclasses.replace(load(stored).metadata, source={"name": "mnist", "images": 10, "sha256": "0"})
    for place in (None, tmp_path):
        with pytest.raises(DataError, match=r"the mnist that were fitted are not at hand \(.* has no train-images"):
            find_source(metadata, place)


def test_an_unfinished_set_and_what_a_kill_left_are_told(stored):
    index = read_index(stored)
    del index.shards["00002"]
    rewrite(stored / "index.json", shards=index.shards)
    found = verify(stored)
    assert (found.shards, found.decoded) == (2, 8)
    assert "is unfinished: 8 of 10 networks are there" in found.damage[0]
    assert "00002 is not in the index: a kill left it; the next start removes it" in found.notes[0]


def test_a_number_that_is_not_finite_is_damage(tmp_path, fitted, monkeypatch):
    data = copy_of(fitted)
    data.weights[1].bias[4, 0] = np.nan
    with monkeypatch.context() as patch:
        patch.setattr("wsjax.data.store.save_load.check_numbers", lambda *_: None)
        save(data, tmp_path / "set", shard_networks=4)
    found = verify(tmp_path / "set")
    assert (found.shards, len(found.damage)) == (2, 1)
    assert "shards/00001: weights[1].bias is not finite in 1 of 4 networks" in found.damage[0]


def test_metadata_of_other_networks_is_damage_and_the_shards_are_still_checked(stored):
    network = load(stored).metadata.network
    assert network
    wider = dataclasses.replace(network, widths=(2, 4, 5, 1))
    metadata = dataclasses.replace(load(stored).metadata, network=wider, symmetry=wider.symmetry)
    write_checked_json(stored / "metadata.json", metadata.to_json())
    flip(largest(stored, 2))
    found = verify(stored)
    assert "do not belong together" in found.damage[0]
    assert "shard 00002" in found.damage[1]
    assert (found.shards, found.decoded) == (2, 0)


def test_equal_data_sets_have_equal_fingerprints(stored, tmp_path):
    data = load(stored)
    save(data, tmp_path / "again", shard_networks=4)
    assert verify(tmp_path / "again", sample=0).fingerprint == verify(stored, sample=0).fingerprint
    data.weights[0].bias[0, 0] += 1e-6
    save(data, tmp_path / "other", shard_networks=4)
    assert verify(tmp_path / "other", sample=0).fingerprint != verify(stored, sample=0).fingerprint


def test_a_collection_is_verified_member_by_member(tmp_path, fitted):
    both = {"one": fitted, "two": fitted.take(np.arange(10)[::-1])}
    Collection.from_datasets(both).save(tmp_path / "all")
    found = verify(tmp_path / "all")
    assert (found.ok, found.networks, found.shards, found.decoded) == (True, 20, 2, 20)
    psnrs = np.concatenate([data.columns["psnr"] for data in both.values()])
    assert found.psnr == pytest.approx(psnrs.mean(), abs=1e-3)
    flip(largest(tmp_path / "all" / "two", 0))
    shutil.rmtree(tmp_path / "all" / "one")
    save(both["one"].take(np.arange(9)), tmp_path / "all" / "one")
    found = verify(tmp_path / "all")
    assert [line.split(" ")[0] for line in found.damage] == ["one:", "two:"]
    assert "is not the member that index.json was written with" in found.damage[0]
    (tmp_path / "all" / "one" / "index.json").unlink()
    assert "one: " in verify(tmp_path / "all").damage[0]


def test_the_decoded_values_are_those_of_the_network(fitted):
    points = np.stack(np.meshgrid(np.linspace(-1, 1, 8), np.linspace(-1, 1, 8)), -1).reshape(-1, 2).astype(np.float32)
    np.testing.assert_allclose(by_eye.pixels_of(fitted.metadata), points, atol=1e-6)
    values, network = by_eye.decoded(fitted, points), fitted.metadata.network
    assert network
    np.testing.assert_allclose(values[3], jax.jit(network.apply)(fitted.network(3), points), atol=1e-5)
    assert values.dtype == np.float32
