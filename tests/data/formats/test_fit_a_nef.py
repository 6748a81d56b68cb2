"""fit-a-nef's HDF5 sets, in exactly their layout: bias before kernel, one row of parameters for each network."""

import functools
import json
import math

import h5py
import numpy as np
import pytest

from tests.data.formats.conftest import refused
from tests.data.formats.references import COLOR_WIDTHS, DEEP_WIDTHS, DWS_WIDTHS, dense_state, mlp_state
from wsjax.data.formats.fit_a_nef import FitANefSet, read_fit_a_nef

read = functools.partial(read_fit_a_nef, progress=False)
NAMES = ["kernel_net_0.linear", "kernel_net_1.linear", "output_linear"]


def parameters(widths, number, names=NAMES, state_of=dense_state):
    """Name and array of each parameter, as their own sorting puts them."""
    state = state_of(names, widths, number)
    both = [[(f"{n}.bias", state[f"{n}.bias"]), (f"{n}.kernel", state[f"{n}.weight"].T)] for n in names]
    return [pair for layer in both for pair in layer]


def write_file(path, networks, labels):
    rows = np.stack([np.concatenate([np.zeros(0, "f4"), *(array.ravel() for _, array in net)]) for net in networks])
    with h5py.File(path, "w") as file:
        file.create_dataset("params", data=rows)
        config = file.create_dataset("param_config", (1,), dtype=h5py.special_dtype(vlen=str))
        config[0] = json.dumps([(name, array.shape) for name, array in networks[0]])
        file.create_dataset("labels", data=labels)


def write_set(root, widths=DWS_WIDTHS, ends=(2, 3), omega=30.0, **settings):
    root.mkdir(parents=True)
    params = {"hidden_dim": 32, "num_layers": 3, "omega_0": omega, "output_dim": widths[-1]}
    (root / "nef.json").write_text(json.dumps({"name": "SIREN", "params": params}))
    (root / "cfg.json").write_text(json.dumps({"dataset": {"name": "MNIST"}, "train": {"fixed_init": True}} | settings))
    start = 0
    for end in ends:
        networks = [parameters(widths, number % 3) for number in range(start, end)]
        write_file(root / f"nefs_{start}-{end}.hdf5", networks, [number % 7 for number in range(start, end)])
        start = end
    return root


def test_sirens_by_their_names_with_the_frequency_of_nef_json(tmp_path, agrees):
    data = read(write_set(tmp_path / "MNIST/SIREN"))
    agrees(data, [0, 1, 2])
    metadata, network = data.metadata, data.metadata.network
    assert network is not None
    assert (network.w0, network.offset, network.w0_convention) == ((30.0, 30.0), 0.0, "affine")
    assert metadata.value_range == pytest.approx((-0.42407, 2.82155), abs=1e-4)
    assert (metadata.image_shape, metadata.coordinate_order, metadata.classes[3]) == ((28, 28, 1), "xy", "3")
    assert (metadata.source["shared_init"], metadata.source["pixel_mean"]) == (True, [0.13066047])
    assert (data.label.tolist(), data.columns["split"].tolist()) == ([0, 1, 2], [0, 0, 0])
    other = read(write_set(tmp_path / "other/SIREN", omega=8.0)).metadata.network
    assert other is not None
    assert other.w0 == (8.0, 8.0)


def test_seeds_after_the_first_are_views_and_files_are_ordered_by_number(tmp_path, agrees):
    root = write_set(tmp_path / "tiny/SIREN", COLOR_WIDTHS, ends=(2, 4, 6, 8, 10, 12))
    data = read(root, FitANefSet(4, (2, 3), (32, 32, 3), (0.5,), (0.5,)))
    columns = {"image": [0, 1, 2, 3] * 3, "view": [0] * 4 + [1] * 4 + [2] * 4, "split": [0, 0, 1, 2] * 3}
    assert {name: data.columns[name].tolist() for name in columns} == columns
    assert data.metadata.value_range == (-1.0, 1.0)
    agrees(data, [0, 1, 2] * 4)
    fewer = read(root, FitANefSet(4, (2, 3), None), leave_out=[1, 5])
    assert fewer.columns["image"].tolist() == [0, 2, 3, 0, 2, 3, 0, 1, 2, 3]


def test_a_relu_network(tmp_path, agrees):
    names, widths = [f"Dense_{i}" for i in range(11)], DEEP_WIDTHS
    root = write_set(tmp_path / "MNIST/MLP")
    (root / "nefs_2-3.hdf5").unlink()
    (root / "nef.json").write_text(json.dumps({"name": "MLP", "params": {"hidden_dim": 3, "num_layers": 10}}))
    # As a dict sorts them: Dense_10 before Dense_2.
    networks = [sorted(parameters(widths, number, names, mlp_state), key=lambda pair: pair[0]) for number in range(2)]
    write_file(root / "nefs_0-2.hdf5", networks, [4, 5])
    data = read(root)
    network = data.metadata.network
    assert network is not None
    assert (network.kind, network.activation, network.widths) == ("mlp", "relu", widths)
    np.testing.assert_array_equal(data.weights[10].kernel[1], dict(networks[1])["Dense_10.kernel"])
    np.testing.assert_array_equal(data.weights[2].kernel[0], dict(networks[0])["Dense_2.kernel"])
    agrees(data, [0, 1])


@pytest.fixture
def nefs(tmp_path):
    return write_set(tmp_path / "MNIST/SIREN")


def test_descriptions_that_do_not_fit_are_named(nefs):
    with pytest.raises(ValueError, match="unknown data set 'mnist'"):
        read(nefs, "mnist")
    for content, message in (
        ({"name": "SIREN", "params": {}}, "has omega_0 = None; expected the frequency"),
        ({"name": "SIREN", "params": [30]}, "has omega_0 = None; expected the frequency"),
        ({"name": "GaborNet", "params": {}}, "describes a 'GaborNet'; wsjax reads SIREN and MLP"),
    ):
        (nefs / "nef.json").write_text(json.dumps(content))
        refused(read, f"nef.json {message}", nefs)
    (nefs / "cfg.json").write_text('{"dataset": "MNIST"}')
    refused(read, "cfg.json holds {'dataset': 'MNIST'}; expected a dict of dicts", nefs)
    (nefs / "nef.json").unlink()
    refused(read, "nef.json cannot be read as JSON", nefs)


def test_parameters_that_are_no_chain_of_layers_are_named(nefs):
    (nefs / "nefs_2-3.hdf5").unlink()
    one = np.ones((2, 2), np.float32)
    pair = lambda name: [(f"{name}.kernel", one), (f"{name}.bias", one[0])]
    for network, message in (
        ([], r"has the parameters \[\]; expected a kernel and a bias"),
        (pair("Dense_0")[:1], r"has the parameters \['Dense_0.kernel'\]; expected a kernel and a bias"),
        ([*pair("Dense_0"), *pair("kernel_net_0.linear")], "expected a kernel and a bias for each layer number"),
        ([*pair("Dense_0"), *pair("norm")], "has a parameter 'norm.kernel'; expected those of a SIREN or an MLP"),
        ([(name, array[:1]) for name, array in [*pair("Dense_0"), *pair("Dense_1")]], "expected a chain of layers"),
    ):
        write_file(nefs / "nefs_0-2.hdf5", [network] * 2, [0, 1])
        refused(read, message, nefs)


def test_files_that_do_not_fit_together_are_named(nefs):
    write_file(nefs / "nefs_3-4.hdf5", [parameters(COLOR_WIDTHS, 0)], [1])
    refused(read, r"nefs_3-4.hdf5 has the parameters .*; the files before it have", nefs)
    (nefs / "nefs_3-4.hdf5").unlink()
    (nefs / "nefs_2-3.hdf5").rename(nefs / "nefs_4-5.hdf5")
    refused(read, r"nefs_4-5.hdf5 begins with network 4; the file before it ends at 2", nefs)
    (nefs / "nefs_4-5.hdf5").rename(nefs / "nefs_2-9.hdf5")
    refused(read, r"nefs_2-9.hdf5 has params of shape \(1, 1185\).*expected \(7, 1185\)", nefs)


def test_networks_that_are_not_finite_are_named_by_number(nefs):
    bad = parameters(DWS_WIDTHS, 0)
    bad[2][1][3] = np.nan
    write_file(nefs / "nefs_2-3.hdf5", [bad], [1])
    refused(read, r"nefs_2-3.hdf5: networks \[2\] are not finite; .* leave_out=\[2\]", nefs)
    assert len(read(nefs, leave_out=[2])) == 2
    refused(read, "leave_out names 7; expected numbers from 0 to 2", nefs, leave_out=[2, 7])


def test_hostile_files_are_refused(nefs, tmp_path):
    path = nefs / "nefs_2-3.hdf5"
    size = sum(math.prod(a.shape) for _, a in parameters(DWS_WIDTHS, 0))

    secret = tmp_path / "secret.hdf5"
    write_file(secret, [parameters(DWS_WIDTHS, 0)], [1])
    layout = h5py.VirtualLayout((1, size), np.float32)
    layout[...] = h5py.VirtualSource(secret, "params", (1, size))
    raw = [(str(tmp_path / "raw"), 0, 4 * size)]
    (tmp_path / "raw").write_bytes(bytes(4 * size))
    shape = (10**6, 10**6)
    cases = [
        (lambda f: f.create_dataset("params", shape, "f4", chunks=(64, 64)), r"params has shape \(1000000, 1000000\)"),
        (lambda f: f.create_dataset("params", (10**8,), "f4", compression="gzip"), "times the file: refused"),
        (lambda f: f.create_dataset("params", data=np.ones((1, size), int)), "params of shape .* int64 and .* floats"),
        (lambda f: f.create_dataset("params", data=np.array([b"x"])), "params holds .*expected numbers"),
        (lambda f: f.create_dataset("params", (1, size), "f4", external=raw), "no array stored in this file"),
        (lambda f: f.create_virtual_dataset("params", layout), "no array stored in this file"),
        (lambda f: f.__setitem__("params", h5py.ExternalLink(str(secret), "params")), "params is a ExternalLink"),
        (lambda f: f.__setitem__("params", h5py.SoftLink("/labels")), "params is a SoftLink; expected the data itself"),
        (lambda f: f.create_group("params"), "no array stored in this file"),
        (lambda f: None, r"holds labels, param_config; expected 'params' among them"),
    ]
    for change, message in cases:
        write_file(path, [parameters(DWS_WIDTHS, 0)], [1])
        with h5py.File(path, "a") as file:
            del file["params"]
            change(file)
        refused(read, message, nefs)
    path.write_bytes(b"\x89HDF\r\n\x1a\nnothing")
    refused(read, "nefs_2-3.hdf5 is no whole HDF5 file", nefs)
