"""A whole data set on a device or over several: the same networks, in the dtype that was stored or asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from tests.data.test_dataset import FLAX, assert_same, flax_weights
from wsjax.data import WeightDataset, load, open_dataset, save, to_device
from wsjax.devices import data_mesh


def test_all_networks_go_to_the_device_asked_for(stored, fitted):
    for place, devices in ((None, {jax.devices()[0]}), (jax.devices()[2], {jax.devices()[2]})):
        for given in (stored, str(stored), open_dataset(stored), fitted):
            found = to_device(given, place)
            assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(found.weights))
            assert {device for leaf in jax.tree.leaves(found.weights) for device in leaf.devices()} == devices
            assert_same(found, fitted)
    assert_same(to_device(open_dataset(stored).split("train")), fitted.split("train"))
    assert_same(to_device(stored).split("test"), fitted.split("test"))


def test_networks_are_spread_over_a_mesh(fitted):
    expected = fitted.take(np.arange(8))
    sharding = NamedSharding(data_mesh(4), PartitionSpec("batch"))
    found = to_device(expected, sharding)
    assert_same(found, expected)
    for leaf in jax.tree.leaves(found.weights):
        assert [len(shard.data) for shard in leaf.addressable_shards] == [2] * 4
    with pytest.raises(ValueError, match=r"10 networks do not divide over the sharding .* the same number for each"):
        to_device(fitted, sharding)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_what_is_stored_in_a_dtype_stays_in_it_and_may_be_cast(stored, fitted, tmp_path, dtype):
    save(fitted, tmp_path / "cast", dtype)
    kept, cast = to_device(tmp_path / "cast"), to_device(stored, dtype=dtype)
    for leaf in jax.tree.leaves((kept.weights, cast.weights)):
        assert leaf.dtype == jnp.dtype(dtype)
    assert_same(kept, load(tmp_path / "cast"))
    nobody = to_device(open_dataset(stored).view(np.arange(0)), dtype=dtype)
    assert (len(nobody), nobody.metadata.statistics) == (0, fitted.metadata.statistics)
    assert_same(cast, kept)


def test_64_bits_are_never_narrowed_in_silence(untyped):
    networks = [jax.tree.map(lambda x: x.astype(np.float64), flax_weights(0))] * 2
    double = WeightDataset.from_networks(networks, [0, 1], symmetry=FLAX)
    with pytest.raises(ValueError, match=r"\['bias'\] is float64, which JAX would make float32; .* dtype='float32'"):
        to_device(double)
    whole = WeightDataset.from_networks([jax.tree.map(lambda x: x.astype(np.int64), networks[0])], [0], symmetry=FLAX)
    with pytest.raises(ValueError, match=r"is int64, which JAX would make int32; .* that it has: set jax_enable_x64$"):
        to_device(whole, dtype="float32")
    assert to_device(double, dtype="float32").weights["params"]["Dense_0"]["bias"].dtype == np.float32
    with pytest.raises(ValueError, match="unknown dtype 'int8'; the valid ones are: float32, bfloat16, float16"):
        to_device(double, dtype="int8")
