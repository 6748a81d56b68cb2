"""CNN Wild Park, in exactly its layout: architectures that differ, configurations pickled as OmegaConf's classes."""

import json
import sys
import types

import numpy as np
import pytest
import torch

from tests.data.formats.references_cnn import PARK, cnn_state
from tests.data.formats.test_contents import Malicious
from wsjax.data import Collection
from wsjax.data.formats.cnn_park import read_cnn_park
from wsjax.data.formats.residual_symmetry import residual_symmetry
from wsjax.errors import DataError
from wsjax.symmetry import Sum

CONFIG = {
    "n_layers": 4,
    "n_classes": 10,
    "channels": [3, 8, 4, 16, 8],
    "kernel_size": [3, 5, 3, 3],
    "stride": [1, 1, 1, 1],
    "padding": [1, 2, 1, 1],
    "residual": PARK["residual"],
    "activation": PARK["activation"],
}
PLAIN = {**CONFIG, "n_layers": 1, "channels": [3, 8], "kernel_size": [3], "stride": [1], "padding": [1]}
PLAIN |= {"residual": [-1], "activation": ["gelu"]}
NAMES = ["layers.0", "layers.1", "layers.2", "layers.3", "fc"]
CLASSES = ["dictconfig.DictConfig", "listconfig.ListConfig", "nodes.AnyNode", "base.ContainerMetadata"]


@pytest.fixture
def as_omegaconf(monkeypatch):
    """A function that gives a configuration in classes that pickle as OmegaConf's, and one that forgets them."""
    made = {}
    for name in CLASSES:
        module, _, kind = f"omegaconf.{name}".rpartition(".")
        for part in ("omegaconf", module):
            monkeypatch.setitem(sys.modules, part, sys.modules.get(part) or types.ModuleType(part))
        made[kind] = type(kind, (), {"__module__": module})
        monkeypatch.setattr(sys.modules[module], kind, made[kind], raising=False)

    def build(kind, **state):
        node = made[kind]()
        node.__dict__.update(state)
        return node

    def convert(value, parent=None):
        metadata = build("ContainerMetadata", ref_type=dict, optional=True, flags={})
        if not isinstance(value, dict | list):
            return build("AnyNode", _metadata=metadata, _parent=parent, _val=value)
        node = build("DictConfig" if isinstance(value, dict) else "ListConfig", _metadata=metadata, _parent=parent)
        items = value.items() if isinstance(value, dict) else enumerate(value)
        content = {key: convert(inner, node) for key, inner in items}
        node._content = content if isinstance(value, dict) else list(content.values())
        return node

    return convert


def write(root, run, iteration, state, config, accuracy: float | None = 0.5, **more):
    path = root / run / f"checkpoint_{iteration:06d}" / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    model = {name: torch.from_numpy(array) for name, array in state.items()}
    parameters = [torch.nn.Parameter(tensor.clone()) for tensor in model.values()]
    optimizer = torch.optim.Adam(parameters)
    torch.stack([p.sum() for p in parameters]).sum().backward()
    optimizer.step()
    result = {"test/acc": accuracy, "test/loss": 1.0, "done": False, "date": "2023-01-01", "config": config}
    content = {"model": model, "optimizer": optimizer.state_dict(), "config": config, "iteration": iteration}
    torch.save({**content, "last_result": result, "timesteps_total": None, "ray_version": "2.3", **more}, path)
    return path


def small_state(number):
    shapes = [("layers.0.weight", (8, 3, 3, 3)), ("layers.0.bias", (8,)), ("fc.weight", (10, 8)), ("fc.bias", (10,))]
    return {name: np.full(shape, number + 0.5, np.float32) for name, shape in shapes}


@pytest.fixture
def zoo(tmp_path, as_omegaconf):
    root = tmp_path / "cifar10_zooV2"
    for number, run in enumerate(("run_b", "run_a")):
        for iteration in (1, 2):
            write(root, run, iteration, cnn_state("park", NAMES, number), as_omegaconf(CONFIG), iteration / 10)
    write(root, "run_c", 2, small_state(0), PLAIN, 0.9)
    paths = [str(p.relative_to(tmp_path)) for p in sorted(root.glob("*/*/checkpoint.pt"))]
    parts = {"train": paths[:2], "val": paths[2:4], "test": paths[4:]}
    content = {s: {"path": p, "score": [0.0] * len(p), "step": [1] * len(p)} for s, p in parts.items()}
    (root / "cnn_park_splits.json").write_text(json.dumps(content))
    for name in [name for name in sys.modules if name.startswith("omegaconf")]:
        del sys.modules[name]
    return root


def test_architectures_under_one_index(zoo, agrees_cnn, tmp_path):
    park = read_cnn_park(zoo, progress=False)
    assert list(park.members) == [
        "c3-8-4-16-8_k3-5-3-3_s1-1-1-1_p1-2-1-1_rn-n-0-1_tanh-relu-tanh-leaky_relu",
        "c3-8_k3_s1_p1_rn_gelu",
    ]
    assert park.label.tolist() == pytest.approx([0.1, 0.2, 0.1, 0.2, 0.9])
    assert park.columns["image"].tolist() == [0, 0, 1, 1, 2]
    assert park.columns["steps"].tolist() == [1, 2, 1, 2, 2]
    assert park.columns["split"].tolist() == [0, 0, 1, 1, 2]
    first, second = park.members.values()
    agrees_cnn(first, "park", "", [1, 1, 0, 0])
    assert first.symmetry.groups["c1_3"].actions == ("permute", "sign")  # tanh both
    assert first.symmetry.groups["c2_4"].actions == ("permute", "rescale")  # relu and leaky_relu
    assert first.symmetry.axes[6].entries[2:] == (Sum("c1_3*", "c3*"), Sum("c2_4", "c4"))
    assert second.symmetry.groups["c1"].actions == ("permute",)
    assert first.metadata.source["architecture"]["residual"] == [-1, -1, 0, 1]
    park.save(tmp_path / "stored")
    assert repr(Collection.load(tmp_path / "stored")) == repr(park)


def test_without_a_splits_json_checkpoints_of_a_run_stay_together(zoo):
    (zoo / "cnn_park_splits.json").unlink()
    columns = read_cnn_park(zoo, progress=False).columns
    assert columns["split"][0] == columns["split"][1]
    assert columns["split"][2] == columns["split"][3]
    assert set(columns["split"]) == {0, 2}


def test_a_configuration_that_does_not_fit_is_named(tmp_path):
    for change, message in (
        ({"channels": [3, 8, 4]}, "expected as many entries as layers"),
        ({"residual": [0]}, "earlier layers"),
        ({"activation": ["swish"]}, "expected as many entries as layers"),
        ({"kernel_size": [0]}, "positive sizes"),
        ({"kernel_size": [5]}, r"weights\[0\].kernel has shape \(3, 3, 3, 8\); .* expects \(5, 5, 3, 8\)"),
        ({"kernel_size": 3}, "config lacks"),
    ):
        path = write(tmp_path, "run", 1, small_state(0), {**PLAIN, **change})
        with pytest.raises(DataError, match=message) as caught:
            read_cnn_park(tmp_path, progress=False)
        assert str(path) in str(caught.value)


def test_anything_but_arrays_and_a_configuration_is_refused(tmp_path, as_omegaconf):
    target = tmp_path / "written"
    write(tmp_path / "zoo", "run", 1, small_state(0), PLAIN, more=Malicious(target))
    with pytest.raises(DataError, match=r"would call posix.system when loaded"):
        read_cnn_park(tmp_path / "zoo", progress=False)
    assert not target.exists()
    write(tmp_path / "zoo", "run", 1, small_state(0), {**PLAIN, "n_layers": torch.ones(2)})
    with pytest.raises(DataError, match=r"config.n_layers holds a ndarray; expected numbers, text, lists and dicts"):
        read_cnn_park(tmp_path / "zoo", progress=False)
    deep: list = []
    for _ in range(50):
        deep = [deep]
    write(tmp_path / "zoo", "run", 1, small_state(0), {**PLAIN, "n_layers": as_omegaconf(deep)})
    with pytest.raises(DataError, match="nested more than 20 deep"):
        read_cnn_park(tmp_path / "zoo", progress=False)
    write(tmp_path / "zoo", "run", 1, small_state(0), PLAIN, accuracy=None)
    with pytest.raises(DataError, match="has test/acc None and iteration 1; expected two numbers"):
        read_cnn_park(tmp_path / "zoo", progress=False)


def test_chains_of_additions_tie_what_they_share():
    spec = residual_symmetry((3, 8, 4, 16, 32), (3,) * 4, (-1, -1, 0, 1), ("relu", "tanh", "gelu", "sigmoid"), 10)
    sizes = {name: group.size for name, group in spec.groups.items()}
    assert sizes == {"c1_3": 8, "c2_4": 4, "c3": 8, "c4": 28}
    chained = residual_symmetry((3, 8, 4, 16, 32), (3,) * 4, (-1, -1, 0, 2), ("relu",) * 4, 10)
    assert {name: g.size for name, g in chained.groups.items()} == {"c1_3_4": 8, "c2": 4, "c3_4": 8, "c4": 16}
    assert chained.shapes[6] == (3, 3, 16, 32)
