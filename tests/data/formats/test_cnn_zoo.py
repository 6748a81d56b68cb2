"""The small CNN zoo, in exactly its layout: biases before kernels, TensorFlow's shapes, a row for each checkpoint."""

import csv
import gzip
import random

import numpy as np
import pytest

from tests.data.formats.references_cnn import cnn_state
from wsjax.data.formats.cnn_zoo import read_cnn_zoo
from wsjax.errors import DataError

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
    with pytest.raises(DataError, match=r"cifar10_split.csv has 62 numbers; expected every row from 0 to 59 once"):
        read_cnn_zoo(zoo, order=path)


def refused(zoo, message):
    with pytest.raises(DataError, match=message):
        read_cnn_zoo(zoo)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], r"layout.csv describes 4810 numbers"),
        (lambda rows: [*rows[:-1], rows[-2]], r"layout.csv puts .* expected variables that follow on one another"),
        (lambda rows: [["model/lstm/kernel:0", *rows[0][1:]], *rows[1:]], "lstm/kernel:0.*expected a varname"),
        (
            lambda rows: [[*rows[0][:4], "__import__('os').abort()"], *rows[1:]],
            "abort.*expected a varname, two numbers",
        ),
        (lambda rows: [[*rows[0][:4], "(-4, -4)"], *rows[1:]], r"\(-4, -4\).*expected a varname"),
        (lambda rows: [[*rows[0][:4], "(" * 90], *rows[1:]], "expected a varname"),
        (lambda rows: [*rows[:1], [*rows[1][:4], "(3, 3, 16, 1)"], *rows[2:]], r"kernel 1 .* does not take what"),
    ],
)
def test_a_layout_that_does_not_fit_is_named(zoo, change, message):
    write_layout(zoo, change)
    refused(zoo, message)


def test_a_table_that_does_not_fit_is_named(zoo):
    write_metrics(zoo, lambda rows: rows[:-1])
    refused(zoo, r"metrics.csv.gz has 59 rows; weights.npy has 60")
    write_metrics(zoo, lambda rows: [rows[0][:-1], *rows[1:]])
    refused(zoo, r"metrics.csv.gz: row 0 has 5 fields; expected 6")
    write_metrics(zoo, lambda rows: [[*row[:4], "nan", row[5]] for row in rows])
    refused(zoo, r"metrics.csv.gz: test_accuracy is not finite in 30 rows")
    write_metrics(zoo, lambda rows: [[*row[:3], "last", *row[4:]] for row in rows])
    refused(zoo, r"metrics.csv.gz: step holds something else than numbers")
    with gzip.open(zoo / "metrics.csv.gz", "wt") as file:
        file.write("step,test_accuracy\n1,2\n")
    refused(zoo, r"has the columns step, test_accuracy; expected train_accuracy, config.activation among them")
    (zoo / "metrics.csv.gz").write_bytes(b"\x1f\x8b\x08no gzip at all")
    refused(zoo, r"metrics.csv.gz is no whole CSV file")


def test_bombs_and_objects_are_refused(zoo, monkeypatch):
    with gzip.open(zoo / "metrics.csv.gz", "wt") as file:
        file.write("0" * 10**7)
    refused(zoo, r"metrics.csv.gz: line 0 has 65536 letters or more; expected a table: refused")
    monkeypatch.setattr("wsjax.data.formats.tables.MAX_LINES", 50)
    write_metrics(zoo)
    refused(zoo, r"metrics.csv.gz has 50 lines or more; expected a table: refused")
    np.save(zoo / "weights.npy", np.array([object()]), allow_pickle=True)
    refused(zoo, r"weights.npy holds Python objects")
    np.save(zoo / "weights.npy", np.zeros(3, np.float32))
    refused(zoo, r"weights.npy holds \(3,\) float32; expected a row for each network")


def test_rows_that_are_not_finite_are_named(zoo):
    weights = np.load(zoo / "weights.npy")
    weights[7, 100] = np.inf
    np.save(zoo / "weights.npy", weights)
    refused(zoo, r"weights.npy: rows \[7\] are not finite")
