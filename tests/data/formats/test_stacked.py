"""A whole data set in one file, and networks as modules of Flax and Equinox: the same numbers, the same functions."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from tests.data.formats.conftest import refused
from tests.data.test_dataset import assert_same
from tests.helpers import random_weights
from wsjax.data import WeightDataset, ZooRecipe, load, save
from wsjax.data.formats import convert, read_arrays, to_equinox, to_flax, to_torch, write_arrays
from wsjax.data.formats.stacked import FILES, METADATA
from wsjax.data.zoo import zoo_network
from wsjax.data.zoo.fit import zoo_job
from wsjax.networks import Network
from wsjax.networks.mlp import ACTIVATIONS


@pytest.mark.parametrize("kind", FILES)
def test_every_bit_comes_back(fitted, kind, tmp_path):
    write_arrays(fitted, tmp_path / "out", kind=kind)
    assert_same(read_arrays(tmp_path / "out"), fitted)
    assert [file.name for file in (tmp_path / "out").iterdir()] == [FILES[kind]]


def test_numpy_alone_reads_an_npz(fitted, tmp_path):
    write_arrays(fitted, tmp_path / "out", kind="npz")
    with np.load(tmp_path / "out" / "networks.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["weights[1].kernel"], fitted.weights[1].kernel)
        np.testing.assert_array_equal(file["label"], fitted.label)
        np.testing.assert_array_equal(file["columns.psnr"], fitted.columns["psnr"])
        assert json.loads(file[METADATA].tobytes())["network"]["widths"] == [2, 4, 4, 1]


def test_a_zoo_of_flax_networks_goes_there_and_back_by_name(images, tmp_path):
    recipe, rng = ZooRecipe(zoo_network("cnn", images, (2, 2)), count=3), np.random.default_rng(0)
    metadata = zoo_job(images, recipe).metadata
    weights = [rng.normal(size=(3, *shape)).astype(np.float32) for shape in metadata.symmetry.shapes]
    columns = {"run": np.arange(3, dtype=np.int32), "split": np.arange(3, dtype=np.int8)}
    label = np.linspace(0, 1, 3, dtype=np.float32)
    zoo = WeightDataset(metadata.symmetry.unflatten(weights), label, columns, metadata).with_statistics()
    save(zoo, tmp_path / "ours")
    convert("to-arrays", tmp_path / "ours", tmp_path / "file")
    convert("arrays", tmp_path / "file", tmp_path / "again")
    assert_same(load(tmp_path / "again"), load(tmp_path / "ours"))


def test_bfloat16_needs_safetensors(fitted, tmp_path):
    half = fitted.astype("bfloat16")
    with pytest.raises(ValueError, match="digits has weights in bfloat16, which an npz here cannot hold"):
        write_arrays(half, tmp_path / "out", kind="npz")
    assert not (tmp_path / "out").exists()
    write_arrays(half, tmp_path / "out")
    assert_same(read_arrays(tmp_path / "out"), half)


def test_what_is_no_such_file_is_named(fitted, tmp_path):
    write_arrays(fitted, tmp_path / "out", kind="npz")
    with pytest.raises(ValueError, match="is not empty; expected a new directory"):
        write_arrays(fitted, tmp_path / "out")
    file = tmp_path / "out" / "networks.npz"
    arrays = dict(np.load(file))
    for change, message in (
        ({METADATA: None}, "has no wsjax metadata"),
        ({METADATA: np.frombuffer(b"[" * 100_000, np.uint8)}, "has no wsjax metadata .RecursionError"),
        ({"label": np.array(list("abcdefghij"))}, r"label has shape \(10,\) and dtype <U1; expected a number"),
        ({"label": np.array(3)}, r"label has shape \(\) and dtype int64; expected a number"),
        ({"weights[0].bias": None}, r"metadata and arrays do not belong together: weights\[0\].bias differ"),
        ({"weights[0].bias": np.zeros((10, 5))}, r"do not belong together: weights\[0\].bias has shape \(10, 5\)"),
        ({"columns.own": np.array([{}] * 10, object)}, "holds Python objects"),
        ({"weights[0].bias": np.full((10, 4), np.nan)}, r"weights\[0\].bias is not finite in 10 of 10 networks"),
    ):
        altered = {name: array for name, array in {**arrays, **change}.items() if array is not None}
        np.savez(file, **altered)
        refused(read_arrays, message, tmp_path / "out")


NETWORKS = (
    Network("siren", (2, 5, 3, 2), w0=(9.0, 4.0), offset=0.5),
    Network("siren", (1, 4, 1), w0=(7.0,), w0_convention="kernel"),
    *(Network("mlp", (3, 4, 1), activation, offset=-0.25) for activation in ACTIVATIONS),
)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: f"{network.kind} {network.activation}")
def test_modules_of_other_frameworks_compute_the_same_function(network, getkey):
    weights = random_weights(getkey(), network.symmetry)
    x = np.random.default_rng(0).uniform(-1, 1, (6, network.widths[0])).astype(np.float32)

    @jax.jit
    def ours_flax_and_equinox(weights, x):
        module, variables = to_flax(network, weights)
        return network.apply(weights, x), module.apply(variables, x), jax.vmap(to_equinox(network, weights))(x)

    expected, *found = ours_flax_and_equinox(weights, x)
    before = torch.get_rng_state()
    torch_module = to_torch(network, weights)
    assert torch.equal(torch.get_rng_state(), before), "PyTorch's own random numbers are left as they were"
    for values in (*found, torch_module(torch.from_numpy(x)).detach().numpy()):
        np.testing.assert_allclose(values, expected, atol=1e-5)
    half = to_torch(network, jax.tree.map(lambda leaf: np.asarray(leaf).astype(jnp.bfloat16), weights)).layers[0]
    kernel = np.asarray(weights[0].kernel).T.astype(jnp.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(half.weight.detach().numpy(), kernel)
    assert list(torch_module.state_dict())[:2] == ["layers.0.weight", "layers.0.bias"]
    module, variables = to_flax(network, weights)
    # What Flax makes itself has the same structure: the variables may be trained on.
    assert jax.tree.structure(jax.eval_shape(module.init, getkey(), x)) == jax.tree.structure(variables)
    other = jax.tree.map(lambda leaf: np.zeros((*leaf.shape[:-1], leaf.shape[-1] + 1), np.float32), weights)
    for export in (to_flax, to_equinox, to_torch):
        with pytest.raises(ValueError, match=r"weights\[0\].kernel has shape"):
            export(network, other)
