"""Directories of state dicts of one architecture, and back."""

import dataclasses
import functools
import json
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.data.formats.conftest import refused, save_state
from tests.data.formats.references import DEEP_WIDTHS, DWS_WIDTHS, OUTPUTS, POINTS, dense_state, mlp_state
from tests.data.test_dataset import assert_same
from wsjax.data import Metadata
from wsjax.data.formats.paths import natural
from wsjax.data.formats.state_dicts import CONTENTS, read_state_dicts, write_state_dicts
from wsjax.networks import Network

read = functools.partial(read_state_dicts, progress=False)
write = functools.partial(write_state_dicts, progress=False)
NETWORK = Network("siren", DWS_WIDTHS, w0=(30.0,))
NAMES = ["net.0.linear", "net.1.linear", "net.2"]


def test_a_directory_of_several_kinds_of_file_with_labels_inside(tmp_path, agrees):
    save_state(tmp_path / "train/a.pth", dense_state(NAMES, DWS_WIDTHS, 0), label=2)
    (tmp_path / "test").mkdir()
    np.savez(tmp_path / "test/b.npz", **dense_state(NAMES, DWS_WIDTHS, 1), label=0)  # type: ignore[arg-type]
    (tmp_path / "val").mkdir()
    save_file(dense_state(NAMES, DWS_WIDTHS, 2) | {"label": np.array(1)}, tmp_path / "val/c.safetensors")
    data = read(tmp_path, NETWORK)
    data = data.take(np.argsort(data.columns["split"]))
    agrees(data, [0, 2, 1])
    assert (data.label.tolist(), data.metadata.classes) == ([2, 1, 0], ("0", "1", "2"))


@pytest.mark.parametrize(("widths", "activation"), [(DWS_WIDTHS, "relu"), (DWS_WIDTHS, "tanh"), (DEEP_WIDTHS, "relu")])
def test_mlps_compute_what_pytorch_computes(tmp_path, agrees, widths, activation):
    """The names are those of a torch.nn.Sequential, in which an activation stands after each layer."""
    names = [f"layers.{2 * i}" for i in range(len(widths) - 1)]
    for number in range(2):
        save_state(tmp_path / f"{number}.pth", mlp_state(names, widths, number), label=number)
    network = Network("mlp", widths, activation=activation)
    agrees(read(tmp_path, network), [0, 1])


def test_metadata_targets_a_key_and_names_in_order(tmp_path, agrees):
    for number in range(2):
        state = dense_state(["first", "second", "last"], DWS_WIDTHS, number)
        tensors = {name: torch.from_numpy(value) for name, value in state.items()}
        torch.save({"model": tensors, "epoch": 3}, tmp_path / f"{number}.pt")
    metadata = Metadata("mine", NETWORK, NETWORK.symmetry, coordinate_order="ij", source={"by": "me"})
    labels = {"0.pt": 0.25, "1.pt": 0.5}
    order = ["first", "second", "last"]
    data = read(tmp_path, metadata, labels=labels, key="model", layers=order)
    agrees(data, [0, 1])
    assert (data.label.tolist(), data.metadata.label, data.metadata.classes) == ([0.25, 0.5], "target", ())
    assert (data.metadata.name, data.metadata.coordinate_order, data.metadata.source["by"]) == ("mine", "ij", "me")
    message = r"0.pt has layers 'first', 'second', 'last'; expected one number in each"
    refused(read, message, tmp_path, metadata, labels=labels, key="model")


def test_what_a_directory_lacks_is_said(tmp_path):
    save_state(tmp_path / "train/a.pth", dense_state(NAMES, DWS_WIDTHS, 0))
    with pytest.raises(ValueError, match=r"has no networks.json, .*: .*; of files from elsewhere pass the network"):
        read(tmp_path)
    message = "train/a.pth has the label None; expected one number: pass labels="
    refused(read, message, tmp_path, NETWORK)
    save_state(tmp_path / "b.pth", dense_state(NAMES, DWS_WIDTHS, 0))
    labels = {"train/a.pth": 1, "b.pth": 2}
    refused(read, "b.pth is in none of the folders train", tmp_path, NETWORK, labels=labels)
    save_state(tmp_path / "b.pth", dense_state(NAMES, (2, 32, 16, 1), 0))
    refused(read, r"b.pth: weights\[1\].kernel has shape \(32, 16\)", tmp_path, NETWORK)


@pytest.mark.parametrize("kind", ["safetensors", "torch", "npz"])
def test_an_export_is_read_back_bit_equal(fitted, tmp_path, kind):
    targets = dataclasses.replace(fitted.metadata, label="target", classes=())
    labels = [np.linspace(0, 1, len(fitted)), np.arange(2 * len(fitted), dtype=np.int64).reshape(-1, 2)]
    sets = [fitted, fitted.astype("bfloat16")]
    sets += [dataclasses.replace(fitted, label=label, metadata=targets) for label in labels]
    for i, dataset in enumerate(sets):
        out = tmp_path / str(i)
        if kind == "npz" and dataset.weights[0].kernel.dtype == "bfloat16":
            with pytest.raises(ValueError, match="digits has weights in bfloat16, which an npz here cannot hold"):
                write(dataset, out, kind=kind)
            assert not out.exists()
        else:
            write(dataset, out, kind=kind)
            assert_same(read(out), dataset)
    with pytest.raises(ValueError, match="is not empty; expected a new directory"):
        write(fitted, tmp_path / "0")


def test_pytorch_loads_an_export_into_its_own_network(tmp_path):
    for number in range(2):
        save_state(tmp_path / f"in/{number}.pth", dense_state(NAMES, DWS_WIDTHS, number), label=number)
    write_state_dicts(read(tmp_path / "in", NETWORK), tmp_path / "out", kind="torch")

    class Siren(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.seq = torch.nn.Sequential(*[torch.nn.Linear(i, o) for i, o in ((2, 32), (32, 32), (32, 1))])

        def forward(self, x):
            return self.seq[2](torch.sin(30 * self.seq[1](torch.sin(30 * self.seq[0](x)))))

    siren = Siren()
    siren.load_state_dict(torch.load(tmp_path / "out/train/model_1.pth", weights_only=True))
    found = siren(torch.from_numpy(POINTS)).detach().numpy().ravel()
    np.testing.assert_allclose(found, OUTPUTS["2-32-32-1 sine 1"], rtol=0, atol=1e-6)


def test_a_changed_export_is_refused(fitted, tmp_path):
    write(fitted, tmp_path)
    content = json.loads((tmp_path / CONTENTS).read_text())
    escaping = {"files": ["../secret.safetensors", *content["files"][1:]]}
    short = {"label": {"dtype": "int32", "values": [0]}}
    for change, message in (
        (escaping, "differ in ../secret.safetensors"),
        (short, "and the files beside it differ"),
        ({"label": {"dtype": "int32", "values": 0}}, r"is not as wsjax writes it \(TypeError"),
        ({"metadata": {}}, "the metadata has format_version None"),
    ):
        (tmp_path / CONTENTS).write_text(json.dumps({**content, **change}))
        refused(read, message, tmp_path)
    (tmp_path / CONTENTS).write_text(json.dumps({"files": []}))
    refused(read, r"is not as wsjax writes it \(KeyError", tmp_path)
    with pytest.raises(ValueError, match="unknown kind 'onnx' of file"):
        write(fitted, tmp_path / "other", kind="onnx")


def test_hidden_files_are_no_part_of_a_data_set_and_names_may_hold_any_digits(tmp_path):
    state: dict[str, Any] = {"label": 0, **mlp_state(["0", "2"], (2, 4, 1))}
    for name in ("run\u00b23.npz", "run10.npz", "run2.npz"):
        np.savez(tmp_path / name, **state)
    for name in ("._run2.npz", "__MACOSX/._run2.npz", "__MACOSX/run2.npz", ".git/run2.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert len(read(tmp_path, Network("mlp", (2, 4, 1), "relu"))) == 3
    assert sorted(["model_10.pth", "model_2.pth"], key=natural) == ["model_2.pth", "model_10.pth"]
