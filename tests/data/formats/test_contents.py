"""Reading arrays from files that somebody else wrote, some of them with bad intentions."""

import io
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.data.formats.conftest import refused, save_state
from tests.data.formats.references import dense_state
from wsjax.data.formats import archive
from wsjax.data.formats.archive import map_npy
from wsjax.data.formats.contents import layers_of, read_contents, read_layers

STATE = dense_state(["seq.0", "seq.1"], (2, 5, 1))


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


class Allocates:
    def __reduce__(self):
        return torch.FloatTensor, (10**12,)


def rezip(path, changes, compression=zipfile.ZIP_STORED):
    """The same archive with members replaced."""
    with zipfile.ZipFile(path) as old:
        members = {m.filename: old.read(m) for m in old.infolist()}
    stem = next(iter(members)).partition("/")[0]
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in (members | {f"{stem}/{k}": v for k, v in changes.items()}).items():
            new.writestr(name, content)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_arrays_come_back_bit_equal_and_extras_apart(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        save_state(path, STATE, label=3, coef=torch.tensor([1.5, 2.0]), x=torch.zeros(4, 1), y=torch.ones(4, 1))
    elif suffix == ".npz":
        np.savez(path, **STATE, label=3, coef=np.array([1.5, 2.0], np.float32))  # type: ignore[arg-type]
    else:
        save_file({**STATE, "label": np.array(3), "coef": np.array([1.5, 2.0], np.float32)}, path)
    arrays, extras = read_contents(path)
    assert set(arrays) == set(STATE)
    for name, value in STATE.items():
        np.testing.assert_array_equal(arrays[name], value, strict=True)
    assert (int(extras["label"]), np.asarray(extras["coef"]).tolist()) == (3, [1.5, 2.0])


def test_half_types_parameters_and_views_come_back(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    parameter = torch.nn.Parameter(base.T)
    state = {
        "a.weight": base.bfloat16(),
        "b.weight": parameter,
        "c.weight": base.half()[:, 1:],
        "d.bias": base.double()[0],
    }
    torch.save(state, tmp_path / "net.pth")
    arrays = read_contents(tmp_path / "net.pth").arrays
    assert [str(a.dtype) for a in arrays.values()] == ["bfloat16", "float32", "float16", "float64"]
    for name, expected in state.items():
        np.testing.assert_array_equal(arrays[name].astype(np.float64), expected.detach().double().numpy())


def test_a_state_dict_under_a_key(tmp_path):
    path = tmp_path / "checkpoint.pt"
    inner = {name: torch.from_numpy(value) for name, value in STATE.items()}
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict()
    torch.save({"model": inner, "optimizer": optimizer, "epoch": 3}, path)
    assert set(read_contents(path, key="model").arrays) == set(STATE)
    refused(read_contents, "holds 'model', 'optimizer', 'epoch'; expected a state dict under 'net'", path, key="net")


def test_an_archive_that_asks_for_a_later_zip_is_named(tmp_path):
    """Its directory alone says so, at which `zipfile` raises NotImplementedError."""
    path = save_state(tmp_path / "net.pth", STATE)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 6] = 99  # the version that is needed to extract the first member
    path.write_bytes(raw)
    with pytest.raises(NotImplementedError, match=r"zip file version 9\.9"):
        zipfile.ZipFile(path)
    refused(read_contents, r"net.pth is no whole zip archive \(zip file version 9\.9\). Put a whole copy", path)


def test_a_file_of_before_pytorch_1_6_is_named_and_the_way_out_works(tmp_path):
    old = tmp_path / "old.pth"
    torch.save({"seq.0.weight": torch.ones(2)}, old, _use_new_zipfile_serialization=False)
    refused(read_contents, r"is in the format of PyTorch before 1\.6; .*write it anew: torch\.save\(", old)
    torch.save(torch.load(old, map_location="cpu", weights_only=True), old)
    assert read_contents(old).arrays["seq.0.weight"].tolist() == [1, 1]


def test_a_pickle_that_would_run_code_is_refused_before_it_runs(tmp_path):
    target, path = tmp_path / "written", tmp_path / "net.pth"
    torch.save({"seq.0.weight": torch.ones(2), "label": Malicious(target)}, path)
    refused(read_contents, r"net.pth would call posix.system when loaded; expected arrays alone", path)
    for protocol in (2, 4):
        torch.save({"label": Malicious(target)}, path, pickle_protocol=protocol)
        refused(read_contents, "would call", path)
    path.write_bytes(pickle.dumps({"seq.0.weight": Malicious(target)}))
    refused(read_contents, r"net.pth is no whole zip archive", path)
    np.savez(tmp_path / "net.npz", **{"seq.0.weight": np.array([Malicious(target)], object)})  # type: ignore[arg-type]
    refused(read_contents, "holds Python objects; expected numbers: it is refused", tmp_path / "net.npz")
    assert not target.exists()


def test_absurd_shapes_are_refused_before_they_are_allocated(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"a.weight": torch.zeros(1, 1).expand(10**6, 10**6)}, path)
    refused(read_contents, r"a.weight has shape \(1000000, 1000000\) and only 4 bytes of data", path)
    torch.save({"a.weight": Allocates()}, path)
    refused(read_contents, r"would call torch.FloatTensor when loaded", path)
    save_state(path, {"a.weight": np.zeros((32, 2), np.float32)})
    with zipfile.ZipFile(path) as opened:
        pickled = opened.read("net/data.pkl")
    rezip(path, {"data.pkl": pickled.replace(b"K@t", b"J" + (10**6).to_bytes(4, "little") + b"t")})
    refused(read_contents, r"net.pth is no PyTorch file of arrays \(record size", path)
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": (10**9, 10**9), "fortran_order": False, "descr": "<f4"})
    with zipfile.ZipFile(tmp_path / "net.npz", "w") as new:
        new.writestr("a.weight.npy", file.getvalue() + bytes(64))
    message = r"a.weight.npy has 64 bytes of data; its header \(1000000000, 1000000000\)"
    refused(read_contents, message, tmp_path / "net.npz")
    (tmp_path / "weights.npy").write_bytes(file.getvalue() + bytes(64))
    refused(map_npy, r"weights.npy has 64 bytes of data; its header .* needs \d+$", tmp_path / "weights.npy")
    header = b'{"a.weight":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}'
    (tmp_path / "net.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    refused(read_contents, "is no whole safetensors file", tmp_path / "net.safetensors")


def test_archives_that_would_unpack_to_more_than_they_are_are_refused(tmp_path):
    path = save_state(tmp_path / "net.pth", STATE)
    rezip(path, {"data/0": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    refused(read_contents, "holds .* compressed; expected it stored, as torch.save does", path)
    np.savez_compressed(tmp_path / "net.npz", **{"a.weight": np.zeros(10**7, np.float32)})  # type: ignore[arg-type]
    refused(read_contents, "would unpack to 40000128; expected at most 1048576: it is refused", tmp_path / "net.npz")
    rezip(save_state(path, STATE), {"DATA.PKL": pickle.dumps({})})
    refused(read_contents, r"net.pth has data.pkl of \[\d+, \d+\] bytes; expected one", path)
    save_state(path, {"a.weight": np.zeros((100, 100), np.float32)})
    with zipfile.ZipFile(path, "a") as opened:
        opened.filelist.extend([opened.getinfo("net/data/0")] * 900)  # members that share their bytes
        opened.writestr("net/more", b"")  # so that the directory is written anew
    refused(read_contents, r"holds \d+ bytes and would unpack to \d+; expected at most \d+: it is refused", path)
    with zipfile.ZipFile(path, "a") as opened:
        opened.filelist.extend([opened.getinfo("net/more")] * archive.MAX_MEMBERS)
        opened.writestr("net/most", b"")
    refused(read_contents, "members; expected at most 10000", path)


def test_large_missing_and_truncated_files_are_named(tmp_path, monkeypatch):
    for suffix in ("pth", "npz", "safetensors"):
        refused(read_contents, "is no file; expected the weights of one network", tmp_path / f"none.{suffix}")
    path = save_state(tmp_path / "net.pth", STATE)
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    refused(read_contents, r"net.pth is no whole zip archive", path)
    path.write_bytes(whole)
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    refused(read_contents, r"net.pth holds \d+ bytes; expected at most 100 for one network", path)


def test_layers_are_ordered_by_their_numbers_not_by_the_file(tmp_path):
    state = dense_state([f"seq.{i}" for i in range(11)], (2,) * 12)
    shuffled = {name: state[name] for name in sorted(state)}
    assert [list(shuffled)[i][:6] for i in (2, 4)] == ["seq.1.", "seq.10"]
    layers, _ = read_layers(save_state(tmp_path / "net.pth", shuffled))
    np.testing.assert_array_equal(layers[10].kernel, state["seq.10.weight"].T)
    named = save_state(tmp_path / "named.pth", dense_state(["first", "last"], (2, 5, 1)))
    refused(read_layers, "layers 'first', 'last'; expected one number in each name, or their order", named)
    assert read_layers(named, layers=["first", "last"])[0][1].kernel.shape == (5, 1)
    twice = save_state(tmp_path / "twice.pth", dense_state(["seq.1", "seq.01"], (2, 5, 1)))
    refused(read_layers, "layers 'seq.1', 'seq.01'; expected one number in each name", twice)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"bn.0.running_mean": np.zeros(3, np.float32)}, "holds bn.0.running_mean; expected weights and biases alone"),
        ({"fc.0.weight": np.zeros((3, 2), np.float32)}, "lacks fc.0.bias"),
        ({"fc.0.weight": np.zeros((3, 2), np.float32), "fc.0.bias": np.zeros(2, np.float32)}, r"fc.0.bias \(2,\)"),
    ],
)
def test_what_is_no_layer_is_named(tmp_path, state, message):
    contents = read_contents(save_state(tmp_path / "net.pth", state))
    refused(layers_of, f"net.pth.*{message}", contents, "net.pth")


def test_a_package_that_is_not_there_is_named_with_its_extra(tmp_path, monkeypatch):
    path = save_state(tmp_path / "net.pth", STATE)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"net.pth needs torch, .* install it with: pip install 'wsjax\[torch\]'"):
        read_contents(path)
