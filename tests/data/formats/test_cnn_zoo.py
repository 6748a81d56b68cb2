"""The small CNN zoo, in exactly its layout: biases before kernels, TensorFlow's shapes, a row for each checkpoint."""

import csv
import gzip
import random

import numpy as np
import pytest

from tests.data.formats.conftest import refused
from tests.data.formats.references import cnn_state
from wsjax.data.formats.cnn_zoo import read_cnn_zoo

LAYERS = ["sequential/conv2d", "sequential/conv2d_1", "sequential/conv2d_2", "sequential/dense"]
STEPS = (0, 86)
COUNT = 30


def tensorflow(number):
    """The variables of reference network `number`, in the zoo's order."""
    state = cnn_state("zoo", LAYERS, number)
    for layer in LAYERS:
        yield f"{layer}/bias:0", state[f"{layer}.bias"]
        yield f"{layer}/kernel:0", np.moveaxis(state[f"{layer}.weight"], (0, 1), (-1, -2))


def write_layout(root, change=lambda rows: rows):
    rows, start = [], 0
    for name, array in tensorflow(0):
        rows.append([name, start, start + array.size, array.size, str(array.shape)])
        start += array.size
    with (root / "layout.csv").open("w") as file:
        csv.writer(file).writerows([["varname", "start_idx", "end_idx", "size", "shape"], *change(rows)])


def write_metrics(root, change=lambda rows: rows):
    names = ["config.activation", "config.learning_rate", "modeldir", "step", "test_accuracy", "train_accuracy"]
    rows = [
        [("relu", "tanh")[network % 2], 0.01, f"/cns/a, b/{network}", step, network / 100, network / 50]
        for network in range(COUNT)
        for step in STEPS
    ]
    with gzip.open(root / "metrics.csv.gz", "wt") as file:
        csv.writer(file).writerows([names, *change(rows)])


def write_zoo(root):
    """Thirty networks with two checkpoints each; the last one is reference network 0 or 1, relu and tanh in turn."""
    root.mkdir()
    rows = [np.concatenate([a.ravel() for _, a in tensorflow(n // 2 % 2)]) for n in range(COUNT)]
    np.save(root / "weights.npy", np.stack([row * (step == 86) for row in rows for step in STEPS]))
    write_layout(root)
    write_metrics(root)
    return root


@pytest.fixture
def zoo(tmp_path):
    return write_zoo(tmp_path / "cifar10")


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_networks_of_one_activation_have_its_symmetry(zoo, agrees_cnn, activation):
    data = read_cnn_zoo(zoo, activation=activation)
    networks = data.columns["image"] // 2
    assert networks.tolist() == list(range(activation == "tanh", COUNT, 2))
    agrees_cnn(data.take(np.arange(2)), "zoo", activation, [0, 1])
    np.testing.assert_array_equal(data.label, (networks / 100).astype(np.float32))
    group = data.symmetry.groups["c2"]
    assert group.actions == (("permute", "rescale") if activation == "relu" else ("permute", "sign"))
    assert (data.metadata.label, data.metadata.network, data.metadata.name) == ("target", None, "cnn-zoo-cifar10")
    assert data.metadata.source["left_out"] == {"other steps": COUNT, "other activations": COUNT // 2}
    assert sum(leaf.size for layer in data.weights for leaf in layer) == 4970 * len(data)


def test_networks_of_several_activations_may_be_permuted_alone(zoo, agrees_cnn):
    data = read_cnn_zoo(zoo)
    assert len(data) == COUNT
    assert {group.actions for group in data.symmetry.groups.values()} == {("permute",)}
    assert data.columns["activation"].tolist() == [0, 1] * (COUNT // 2)
    assert data.metadata.source["activations"] == ["relu", "tanh"]
    agrees_cnn(data.take(np.array([1, 3])), "zoo", "tanh", [0, 1])
    early = read_cnn_zoo(zoo, step=0)
    assert not np.asarray(early.weights[0].kernel).any()
    with pytest.raises(ValueError, match="unknown step 85; the valid ones are: 0, 86"):
        read_cnn_zoo(zoo, step=85)
    with pytest.raises(ValueError, match="unknown activation 'gelu'"):
        read_cnn_zoo(zoo, activation="gelu")


def nfn_split(path, final):
    """NFN's rule written as it runs there, the header read as one more row."""
    shuffled = [int(line) for line in path.read_text().split()]
    rows = [row for row in shuffled if final[row]]
    half = int(0.5 * len(rows))
    first = list(range(half))
    random.Random(0).shuffle(first)
    cut = int(0.8 * half)
    return {0: [rows[i] for i in first[:cut]], 1: [rows[i] for i in first[cut:]], 2: rows[half:]}


def test_splits_are_those_of_nfn(zoo, tmp_path):
    order = np.random.default_rng(3).permutation(COUNT * len(STEPS))
    path = tmp_path / "cifar10_split.csv"
    path.write_text("\n".join(map(str, [0, *order])))
    data = read_cnn_zoo(zoo, order=path)
    final = np.tile([step == 86 for step in STEPS], COUNT)
    for split, rows in nfn_split(path, final).items():
        assert sorted(data.columns["image"][data.columns["split"] == split]) == sorted(rows)
    assert np.bincount(data.columns["split"]).tolist() == [12, 3, 15]
    path.write_text("\n".join(map(str, order)))
    np.testing.assert_array_equal(read_cnn_zoo(zoo, order=path).columns["split"], data.columns["split"])
    path.write_text("\n".join(map(str, [0, 0, *order])))
    message = "cifar10_split.csv has 62 numbers; expected every row from 0 to 59 once"
    refused(read_cnn_zoo, message, zoo, order=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], r"layout.csv describes 4810 numbers"),
        (lambda rows: [*rows[:-1], rows[-2]], r"layout.csv puts .* expected variables that follow on one another"),
        (lambda rows: [["model/lstm/kernel:0", *rows[0][1:]], *rows[1:]], "lstm/kernel:0.*expected a varname"),
        (lambda rows: [[*rows[0][:4], "__import__('os').abort()"], *rows[1:]], "abort.*expected a varname, two"),
        (lambda rows: [[*rows[0][:4], "(-4, -4)"], *rows[1:]], r"\(-4, -4\).*expected a varname"),
        (lambda rows: [[*rows[0][:4], "(" * 90], *rows[1:]], "expected a varname"),
        (lambda rows: [*rows[:1], [*rows[1][:4], "(3, 3, 16, 1)"], *rows[2:]], r"kernel 1 .* does not take what"),
    ],
)
def test_a_layout_that_does_not_fit_is_named(zoo, change, message):
    write_layout(zoo, change)
    refused(read_cnn_zoo, message, zoo)


def test_a_table_that_does_not_fit_is_named(zoo):
    table = zoo / "metrics.csv.gz"
    for change, message in (
        (lambda rows: rows[:-1], "has 59 rows; weights.npy has 60"),
        (lambda rows: [rows[0][:-1], *rows[1:]], ": row 0 has 5 fields; expected 6"),
        (lambda rows: [[*row[:4], "nan", row[5]] for row in rows], ": test_accuracy is not finite in 30 rows"),
        (lambda rows: [[*row[:3], "last", *row[4:]] for row in rows], ": step holds something else than numbers"),
    ):
        write_metrics(zoo, change)
        refused(read_cnn_zoo, f"metrics.csv.gz.*{message}", zoo)
    for content, message in (
        (gzip.compress(b"step,test_accuracy\n1,2\n"), "expected train_accuracy, config.activation among them"),
        (gzip.compress(b"0" * 10**7), "line 0 has 65536 letters or more; expected a table: refused"),
        (b"\x1f\x8b\x08no gzip at all", "is no whole CSV file"),
    ):
        table.write_bytes(content)
        refused(read_cnn_zoo, f"metrics.csv.gz.*{message}", zoo)


def test_tables_without_end_and_arrays_of_another_kind_are_refused(zoo, monkeypatch):
    monkeypatch.setattr("wsjax.data.formats.cnn_zoo.MAX_LINES", 50)
    refused(read_cnn_zoo, "metrics.csv.gz has 50 lines or more; expected a table: refused", zoo)
    monkeypatch.undo()
    weights = np.load(zoo / "weights.npy")
    weights[7, 100] = np.inf
    for array, message in (
        (np.array([object()]), "weights.npy holds Python objects"),
        (np.zeros(3, np.float32), r"weights.npy holds \(3,\) float32; expected a row for each network"),
        (weights, r"weights.npy: rows \[7\] are not finite"),
    ):
        np.save(zoo / "weights.npy", array, allow_pickle=True)
        refused(read_cnn_zoo, message, zoo)
