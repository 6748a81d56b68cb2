"""DWSNets' MNIST, Fashion-MNIST and the multi-view set, in exactly their layouts."""

import json

import numpy as np
import pytest

from tests.data.formats.conftest import refused, save_state
from tests.data.formats.references import DWS_WIDTHS, dense_state
from wsjax.data.formats.dws import read_dws
from wsjax.data.store.save_load import load, save
from wsjax.errors import DataError

NAMES = ["seq.0", "seq.1", "seq.2"]
ELSEWHERE = "/home/aviv/projects/DWSNets/dataset"
MNIST = [
    "mnist_png_training_5_10/checkpoints/model_final.pth",
    "mnist_png_training_4_9/checkpoints/model_final.pth",
    "mnist_png_testing_7_0/checkpoints/model_final.pth",
]
FASHION = ["train/model_10.pth", "train/model_9.pth", "test/model_3.pth"]
VIEWS = [f"{view}/{part}/model_4.pth" for view in ("2", "10") for part in ("train", "test")]


def write(root, places, numbers=None, **extras):
    """Network i of the references at place i."""
    for i, (number, place) in enumerate(zip(numbers or range(len(places)), places, strict=True)):
        save_state(root / place, dense_state(NAMES, DWS_WIDTHS, number), **{n: v[i] for n, v in extras.items()})


def write_splits(root, **entries):
    (root / "splits.json").write_text(json.dumps(entries))


def entry(places, labels):
    return {"path": [f"{ELSEWHERE}/set/{place}" for place in places], "label": labels}


def write_mnist(root, **changed):
    """The splits JSON names the paths of another machine."""
    write(root, MNIST)
    lists = {"train": entry(MNIST[:1], ["5"]), "val": entry(MNIST[1:2], ["4"]), "test": entry(MNIST[2:], ["7"])}
    write_splits(root, **lists | changed)
    return root


def read_mnist(root, **arguments):
    return read_dws(root, "mnist", progress=False, **arguments)


@pytest.fixture
def mnist(tmp_path):
    return write_mnist(tmp_path / "mnist-inrs")


def ordered(data, *columns):
    return data.take(np.lexsort([data.columns[name] for name in columns]))


def test_dws_mnist_with_the_splits_of_another_machine(mnist, agrees, tmp_path):
    data = ordered(read_mnist(mnist), "image")
    assert data.columns["image"].tolist() == [9, 10, 60000]  # testing images after training ones
    assert (data.label.tolist(), data.columns["split"].tolist()) == ([4, 5, 7], [1, 0, 2])
    agrees(data, [1, 0, 2])
    metadata, network = data.metadata, data.metadata.network
    assert network is not None
    assert (network.w0, network.offset, network.w0_convention) == ((30.0, 30.0), 0.5, "affine")
    assert (metadata.image_shape, metadata.coordinate_order, metadata.value_range) == ((28, 28, 1), "xy", (0.0, 1.0))
    assert (len(metadata.classes), metadata.source["splits"], metadata.source["files"]) == (10, "splits.json", 3)
    assert metadata.statistics["weights[0].kernel"]["std"] > 0
    save(data, tmp_path / "stored")
    np.testing.assert_array_equal(load(tmp_path / "stored").weights[1].kernel, data.weights[1].kernel)


def test_without_a_splits_json_some_training_images_become_validation(tmp_path):
    places = [f"set/mnist_png_training_1_{i}/checkpoints/model_final.pth" for i in range(24)]
    write(tmp_path, [*places, "set/mnist_png_testing_2_3/checkpoints/model_final.pth"])
    split = read_mnist(tmp_path).columns["split"]
    assert np.bincount(split).tolist() == [22, 2, 1]
    np.testing.assert_array_equal(read_mnist(tmp_path).columns["split"], split)


@pytest.mark.parametrize("rewritten", [False, True], ids=["lists", "as neural-graphs rewrites them"])
def test_dws_fashion_has_its_labels_among_the_arrays(tmp_path, agrees, rewritten):
    write(tmp_path, FASHION, label=[9, 0, 3])
    entries = {part: entry([FASHION[i]], [(9, 0, 3)[i]]) for i, part in enumerate(("train", "val", "test"))}
    write_splits(tmp_path, **entries if rewritten else {part: both["path"] for part, both in entries.items()})
    data = ordered(read_dws(tmp_path, "fashion-mnist", progress=False), "image")
    assert data.columns["image"].tolist() == [9, 10, 60003]
    assert (data.label.tolist(), data.columns["split"].tolist()) == ([0, 9, 3], [1, 0, 2])
    assert data.metadata.classes[9] == "Ankle boot"
    agrees(data, [1, 0, 2])


def test_views_of_an_image_share_its_number(tmp_path, agrees):
    write(tmp_path, VIEWS, [0, 1, 2, 0], label=[1, 2, 1, 2])
    write_splits(tmp_path, train=[f"/data/{place}" for place in VIEWS[::2]], test=VIEWS[1::2], val=[])
    data = ordered(read_dws(tmp_path, "fashion-multiview", progress=False), "image", "view")
    assert data.columns["view"].tolist() == [0, 0, 1, 1]  # "2" before "10"
    assert data.columns["image"].tolist() == [4, 60004, 4, 60004]
    assert (data.columns["split"].tolist(), data.label.tolist()) == ([0, 2, 0, 2], [1, 2, 1, 2])
    assert data.metadata.source["views"] == ["2", "10"]
    agrees(data, [0, 1, 2, 0])
    write_splits(tmp_path, train=VIEWS[:1], val=VIEWS[2:3], test=VIEWS[1::2])
    with pytest.warns(UserWarning, match="views of 1 images lie in more than one split"):
        read_dws(tmp_path, "fashion-multiview", progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"path": ["/etc/../../passwd"], "label": ["5"]}}, r"lists '/etc/../../passwd'; .* refused"),
        ({"train": {"path": [f"/x/{MNIST[0]}/../../../secret.pth"], "label": ["5"]}}, "without '..': refused"),
        ({"train": {"path": ["/etc/shadow"], "label": ["5"]}}, r"no file here ends in //?etc/shadow: complete the set"),
        ({"train": {"path": [7], "label": ["5"]}}, "lists 7; expected the path of a network"),
        ({"train": {"path": [MNIST[0]], "label": ["6"]}}, r"label is 5, 6; expected one value"),
        ({"train": {"path": [MNIST[0]], "label": ["five"]}}, "is 'five'; expected an integer"),
        ({"train": {"path": [MNIST[0], MNIST[1]], "label": ["5", "4"]}}, "lists .* twice"),
        ({"train": {"path": [MNIST[0]], "label": []}}, "no list of paths with as many labels"),
        ({"trein": [MNIST[0]]}, "names a split 'trein'"),
    ],
)
def test_a_splits_json_that_does_not_fit_is_refused(tmp_path, change, message):
    refused(read_mnist, message, write_mnist(tmp_path, **change))


def test_files_that_no_split_lists_are_said_and_recorded(tmp_path):
    write_mnist(tmp_path, val={"path": [], "label": []})
    with pytest.warns(UserWarning, match=r"lists none of 1 files, mnist_png_training_4_9"):
        data = read_mnist(tmp_path)
    assert (len(data), data.metadata.source["left_out"]) == (2, [MNIST[1]])
    write_splits(tmp_path, train=[])
    with pytest.warns(UserWarning, match="lists none of 3 files"), pytest.raises(DataError, match="no networks left"):
        read_mnist(tmp_path)


def test_a_network_of_another_kind_is_named_by_its_file(mnist):
    path = mnist / MNIST[0]
    save_state(path, dense_state(NAMES, (2, 32, 31, 1)))
    refused(read_mnist, r"_5_10/checkpoints/model_final.pth: weights\[1\].kernel has shape \(32, 31\)", mnist)
    save_state(path, dense_state([*NAMES, "seq.3"], (2, 32, 32, 32, 1)))
    refused(read_mnist, r"_5_10/checkpoints/model_final.pth: .* unexpected weights\[3\]", mnist)
    state = dense_state(NAMES, DWS_WIDTHS)
    save_state(path, {name: value.astype(np.float64) for name, value in state.items()})
    refused(read_mnist, r"_final.pth: weights\[0\].kernel is float(32|64); the files before it have", mnist)
    state["seq.1.bias"][3] = np.nan
    save_state(path, state)
    refused(read_mnist, rf"weights\[1\].bias is not finite.* leave_out=\['{MNIST[0]}'\]", mnist)
    refused(read_mnist, "leave_out names nothing", mnist, leave_out=["nothing"])
    refused(read_mnist, "leave_out names all 3 networks; expected to keep one", mnist, leave_out=MNIST)
    data = read_mnist(mnist, leave_out=[MNIST[0]])
    assert (len(data), data.metadata.source["left_out"]) == (2, [MNIST[0]])


def test_a_fashion_file_without_a_label_is_named(tmp_path):
    write(tmp_path, ["train/model_0.pth"])
    message = r"train/model_0.pth .* label is nowhere; expected one value"
    refused(read_dws, message, tmp_path, "fashion-mnist", progress=False)
    refused(read_mnist, "holds no file whose path matches", tmp_path)
