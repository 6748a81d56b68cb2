"""CNN Wild Park, in exactly its layout: architectures that differ, configurations pickled as OmegaConf's classes."""

import functools
import json
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.formats.conftest import refused
from tests.data.formats.references import PARK, cnn_state
from tests.data.formats.test_contents import Malicious
from wsjax.data import Collection
from wsjax.data.formats.cnn_park import Architecture, read_cnn_park
from wsjax.data.formats.cnn_symmetry import cnn_symmetry, residual_symmetry
from wsjax.symmetry import Sum
from wsjax.symmetry.group import actions_of

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


def read(root):
    return read_cnn_park(root, progress=False)


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
    park = read(zoo)
    assert list(park.members) == [
        "c3-8-4-16-8_k3-5-3-3_s1-1-1-1_p1-2-1-1_rn-n-0-1_tanh-relu-tanh-leaky_relu",
        "c3-8_k3_s1_p1_rn_gelu",
    ]
    assert park.label.tolist() == pytest.approx([0.1, 0.2, 0.1, 0.2, 0.9])
    columns = {"image": [0, 0, 1, 1, 2], "steps": [1, 2, 1, 2, 2], "split": [0, 0, 1, 1, 2]}
    assert {name: park.columns[name].tolist() for name in columns} == columns
    first, second = park.members.values()
    agrees_cnn(first, "park", "own", [1, 1, 0, 0])
    assert first.symmetry.groups["c1_3"].actions == ("permute", "sign")  # tanh both
    assert first.symmetry.groups["c2_4"].actions == ("permute", "rescale")  # relu and leaky_relu
    assert first.symmetry.axes[6].entries[2:] == (Sum("c1_3*", "c3*"), Sum("c2_4", "c4"))
    assert second.symmetry.groups["c1"].actions == ("permute",)
    assert first.metadata.source["architecture"]["residual"] == [-1, -1, 0, 1]
    park.save(tmp_path / "stored")
    assert repr(Collection.load(tmp_path / "stored")) == repr(park)


def test_without_a_splits_json_checkpoints_of_a_run_stay_together(zoo):
    (zoo / "cnn_park_splits.json").unlink()
    split = read(zoo).columns["split"]
    assert (split[0], split[2], set(split)) == (split[1], split[3], {0, 2})


def test_a_configuration_that_does_not_fit_is_named(tmp_path):
    for change, message in (
        ({"channels": [3, 8, 4]}, "expected as many entries as layers"),
        ({name: [] for name in Architecture._fields} | {"channels": [3]}, "expected as many entries as layers"),
        ({"residual": [0]}, "earlier layers"),
        ({"activation": ["swish"]}, "activations among relu"),
        ({"kernel_size": [0]}, "positive sizes"),
        ({"kernel_size": [5]}, r"weights\[0\].kernel has shape \(3, 3, 3, 8\); .* expects \(5, 5, 3, 8\)"),
        ({"kernel_size": 3}, "config lacks"),
    ):
        path = write(tmp_path, "run", 1, small_state(0), {**PLAIN, **change})
        refused(read, f"{path}.*{message}", tmp_path)


def test_anything_but_arrays_and_a_configuration_is_refused(tmp_path, as_omegaconf):
    target, deep = tmp_path / "written", functools.reduce(lambda inner, _: [inner], range(50), [])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"more": Malicious(target)}, "would call posix.system when loaded"),
        ({"config": {**PLAIN, "n_layers": torch.ones(2)}}, "config.n_layers holds a ndarray; expected numbers, text"),
        ({"config": {**PLAIN, "n_layers": as_omegaconf(deep)}}, "nested more than 20 deep"),
        ({"accuracy": None}, "has test/acc None and iteration 1; expected two numbers"),
    ]
    for changed, message in cases:
        write(tmp_path / "zoo", "run", 1, small_state(0), **{"config": PLAIN, **changed})
        refused(read, message, tmp_path / "zoo")
    assert not target.exists()


def test_chains_of_additions_tie_what_they_share():
    for residual, activations, expected in (
        ((-1, -1, 0, 1), ("relu", "tanh", "gelu", "sigmoid"), {"c1_3": 8, "c2_4": 4, "c3": 8, "c4": 28}),
        ((-1, -1, 0, 2), ("relu",) * 4, {"c1_3_4": 8, "c2": 4, "c3_4": 8, "c4": 16}),
    ):
        spec = residual_symmetry((3, 8, 4, 16, 32), (3,) * 4, residual, activations, 10)
        assert {name: group.size for name, group in spec.groups.items()} == expected
        assert spec.shapes[6] == (3, 3, 16, 32)


def test_max_pooling_before_an_odd_activation_keeps_permutations_and_scales_alone():
    for activation, expected in (("sine", ("permute",)), ("relu", ("permute", "rescale"))):
        spec = cnn_symmetry([(3, 3, 1, 4), (3, 3, 4, 5), (5, 10)], activation, pooled={0})
        assert spec.groups["c1"].actions == expected
        assert spec.groups["c2"].actions == actions_of(activation)
