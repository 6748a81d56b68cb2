"""What a data set from elsewhere may make us read: its own files, not others of ours that it links to."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.formats.conftest import refused, save_state
from tests.data.formats.references import DWS_WIDTHS, dense_state
from tests.data.formats.test_cnn_zoo import write_zoo
from tests.data.formats.test_dws import MNIST, read_mnist, write_mnist
from tests.data.formats.test_fit_a_nef import write_set
from tests.data.formats.test_hsg import write_trial
from tests.data.test_dataset import assert_same
from wsjax.data import WeightDataset
from wsjax.data.formats import read_cnn_zoo, read_fit_a_nef, read_hsg_zoo, read_state_dicts, write_state_dicts
from wsjax.networks import Network


def write_hsg(root: Path) -> None:
    """A trial whose settings are in `params.json` alone."""
    write_trial(root, "trial_1", 0)
    path = root / "trial_1/result.json"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("\n".join(json.dumps({k: v for k, v in line.items() if k != "config"}) for line in lines))


def write_export(root: Path) -> None:
    states = root.with_name("states")
    save_state(states / "0.pth", dense_state(["0", "1", "2"], DWS_WIDTHS), label=0)
    write_state_dicts(read_state_dicts(states, Network("siren", DWS_WIDTHS), progress=False), root, progress=False)


CASES: list[tuple[Callable[[Path], object], Callable[[Path], WeightDataset], tuple[str, ...]]] = [
    (write_zoo, read_cnn_zoo, ("weights.npy", "layout.csv", "metrics.csv.gz")),
    (write_hsg, functools.partial(read_hsg_zoo, progress=False), ("trial_1/result.json", "trial_1/params.json")),
    (write_set, functools.partial(read_fit_a_nef, dataset="MNIST", progress=False), ("nef.json", "cfg.json")),
    (write_mnist, read_mnist, ("splits.json", MNIST[0])),
    (write_export, functools.partial(read_state_dicts, progress=False), ("networks.json",)),
]


@pytest.mark.parametrize(
    ("write", "read", "name"),
    [pytest.param(write, read, name, id=name) for write, read, names in CASES for name in names],
)
def test_a_link_may_lead_to_a_file_inside_and_to_none_outside(tmp_path, write, read, name):
    root, outside = tmp_path / "theirs", tmp_path / "outside"
    write(root)
    expected = read(root)
    file, kept = root / name, root / "kept" / "it"
    kept.parent.mkdir()
    file.rename(kept)
    file.symlink_to(kept)
    assert_same(read(root), expected)
    # What it leads to would do: that it lies outside is all that is wrong.
    kept.rename(outside)
    file.unlink()
    file.symlink_to(outside)
    refused(read, f"{name} links to {outside}; expected files inside {root}: refused", root)


def test_a_splits_json_that_is_given_may_be_a_link_to_anywhere(tmp_path):
    root, outside = tmp_path / "theirs", tmp_path / "ours.json"
    write_mnist(root)
    expected, link = read_mnist(root), root / "splits.json"
    link.rename(outside)
    link.symlink_to(outside)
    refused(read_mnist, "links to", root)
    assert_same(read_mnist(root, splits=link), expected)


def test_a_link_to_itself_is_no_file(tmp_path):
    (tmp_path / "a.npz").symlink_to("a.npz")
    message = "a.npz is no file; expected the weights of one network"
    refused(read_state_dicts, message, tmp_path, Network("siren", DWS_WIDTHS), progress=False)
