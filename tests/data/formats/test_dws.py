"""DWSNets' MNIST, Fashion-MNIST and the multi-view set, in exactly their layouts."""

import json
import os

import numpy as np
import pytest

from tests.data.formats.conftest import save_state
from tests.data.formats.references import DWS_WIDTHS, dense_state
from wsjax.data.formats.dws import read_dws_fashion, read_dws_mnist, read_dws_multiview
from wsjax.data.store.save_load import load, save
from wsjax.errors import DataError

NAMES = ["seq.0", "seq.1", "seq.2"]
ELSEWHERE = "/home/aviv/projects/DWSNets/dataset"


def write(root, places, **extras):
    """Network i of the references at place i."""
    for number, place in enumerate(places):
        save_state(root / place, dense_state(NAMES, DWS_WIDTHS, number), **{n: v[number] for n, v in extras.items()})


MNIST = [
    "mnist_png_training_5_10/checkpoints/model_final.pth",
    "mnist_png_training_4_9/checkpoints/model_final.pth",
    "mnist_png_testing_7_0/checkpoints/model_final.pth",
]


def write_mnist(root):
    write(root, MNIST)
    lists = {"train": ([MNIST[0]], ["5"]), "val": ([MNIST[1]], ["4"]), "test": ([MNIST[2]], ["7"])}
    content = {
        s: {"path": [f"{ELSEWHERE}/mnist-inrs/{p}" for p in paths], "label": ls} for s, (paths, ls) in lists.items()
    }
    (root / "mnist_splits.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def mnist(tmp_path):
    return write_mnist(tmp_path / "mnist-inrs")


def change_splits(root, **entries):
    path = next(root.glob("*splits.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_dws_mnist_with_the_splits_of_another_machine(mnist, agrees, tmp_path):
    data = read_dws_mnist(mnist, progress=False)
    order = [1, 0, 2]  # image 9 before image 10: by number, training first as "testing" sorts before "training"
    rows = np.argsort(data.columns["image"])
    assert data.columns["image"][rows].tolist() == [9, 10, 60000]
    data = data.take(rows)
    assert data.label.tolist() == [4, 5, 7]
    assert data.columns["split"].tolist() == [1, 0, 2]
    agrees(data, order)
    metadata = data.metadata
    assert metadata.network is not None
    assert (metadata.network.w0, metadata.network.offset, metadata.network.w0_convention) == (
        (30.0, 30.0),
        0.5,
        "affine",
    )
    assert (metadata.image_shape, metadata.coordinate_order, metadata.value_range) == ((28, 28, 1), "xy", (0.0, 1.0))
    assert (len(metadata.classes), metadata.source["splits"], metadata.source["files"]) == (10, "mnist_splits.json", 3)
    assert metadata.statistics["weights[0].kernel"]["std"] > 0
    save(data, tmp_path / "stored")
    np.testing.assert_array_equal(load(tmp_path / "stored").weights[1].kernel, data.weights[1].kernel)


def test_without_a_splits_json_some_training_images_become_validation(tmp_path):
    places = [f"set/mnist_png_training_1_{i}/checkpoints/model_final.pth" for i in range(24)]
    write(tmp_path, [*places, "set/mnist_png_testing_2_3/checkpoints/model_final.pth"])
    data = read_dws_mnist(tmp_path, progress=False)
    assert np.bincount(data.columns["split"]).tolist() == [22, 2, 1]
    np.testing.assert_array_equal(read_dws_mnist(tmp_path, progress=False).columns["split"], data.columns["split"])


FASHION = ["train/model_10.pth", "train/model_9.pth", "test/model_3.pth"]


@pytest.mark.parametrize("rewritten", [False, True], ids=["lists", "as neural-graphs rewrites them"])
def test_dws_fashion_has_its_labels_among_the_arrays(tmp_path, agrees, rewritten):
    root = tmp_path / "fmnist_inrs"
    write(root, FASHION, label=[9, 0, 3])
    paths = {"train": [FASHION[0]], "val": [FASHION[1]], "test": [FASHION[2]]}
    label = {"train": [9], "val": [0], "test": [3]}
    full = {s: [f"{ELSEWHERE}/fmnist_inrs/{p}" for p in ps] for s, ps in paths.items()}
    content = {s: {"path": full[s], "label": label[s]} for s in full} if rewritten else full
    (root / "splits.json").write_text(json.dumps(content))
    data = read_dws_fashion(root, progress=False)
    data = data.take(np.argsort(data.columns["image"]))
    assert data.columns["image"].tolist() == [9, 10, 60003]
    assert data.label.tolist() == [0, 9, 3]
    assert data.columns["split"].tolist() == [1, 0, 2]
    assert data.metadata.classes[9] == "Ankle boot"
    agrees(data, [1, 0, 2])


@pytest.fixture
def views(tmp_path):
    root = tmp_path / "fmnist_multiview"
    places = [f"{view}/{place}" for view in ("2", "10") for place in ("train/model_4.pth", "test/model_4.pth")]
    write(root, places[:3], label=[1, 2, 1])
    write(root, ["10/test/model_4.pth"], label=[2])
    (root / "splits.json").write_text(
        json.dumps({"train": [f"/data/fmnist_multiview/{p}" for p in places[::2]], "test": places[1::2], "val": []})
    )
    return root


def test_views_of_an_image_share_its_number(views, agrees):
    data = read_dws_multiview(views, progress=False)
    data = data.take(np.lexsort([data.columns["image"], data.columns["view"]]))
    assert data.columns["view"].tolist() == [0, 0, 1, 1]  # "2" before "10"
    assert data.columns["image"].tolist() == [4, 60004, 4, 60004]
    assert data.columns["split"].tolist() == [0, 2, 0, 2]
    assert data.label.tolist() == [1, 2, 1, 2]
    assert data.metadata.source["views"] == ["2", "10"]
    agrees(data, [0, 1, 2, 0])


def test_views_of_an_image_in_two_splits_are_warned_of(views):
    files = [f"{v}/{s}/model_4.pth" for v in ("2", "10") for s in ("train", "test")]
    (views / "splits.json").write_text(json.dumps({"train": [files[0]], "val": [files[2]], "test": files[1::2]}))
    with pytest.warns(UserWarning, match="views of 1 images lie in more than one split"):
        read_dws_multiview(views, progress=False)


@pytest.mark.parametrize(
    ("entry", "message"),
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
def test_a_splits_json_that_does_not_fit_is_refused(mnist, entry, message):
    change_splits(mnist, **entry)
    with pytest.raises(DataError, match=message):
        read_dws_mnist(mnist, progress=False)


def test_files_that_no_split_lists_are_said_and_recorded(mnist):
    change_splits(mnist, val={"path": [], "label": []})
    with pytest.warns(UserWarning, match=r"lists none of 1 files, mnist_png_training_4_9"):
        data = read_dws_mnist(mnist, progress=False)
    assert len(data) == 2
    assert data.metadata.source["left_out"] == [MNIST[1]]


def test_a_network_of_another_kind_is_named_by_its_file(mnist):
    def refused(message, **arguments):
        with pytest.raises(DataError, match=message):
            read_dws_mnist(mnist, progress=False, **arguments)

    path = mnist / MNIST[0]
    save_state(path, dense_state(NAMES, (2, 32, 31, 1)))
    refused(r"_5_10/checkpoints/model_final.pth: weights\[1\].kernel has shape \(32, 31\)")
    save_state(path, dense_state([*NAMES, "seq.3"], (2, 32, 32, 32, 1)))
    refused(r"_5_10/checkpoints/model_final.pth: .* unexpected weights\[3\]")
    state = dense_state(NAMES, DWS_WIDTHS)
    save_state(path, {name: value.astype(np.float64) for name, value in state.items()})
    refused(r"_final.pth: weights\[0\].kernel is float(32|64); the files before it have")
    state["seq.1.bias"][3] = np.nan
    save_state(path, state)
    refused(r"weights\[1\].bias is not finite.* leave_out=\['mnist_png_training_5_10/checkpoints/model_final.pth'\]")
    refused("leave_out names nothing", leave_out=["nothing"])
    data = read_dws_mnist(mnist, progress=False, leave_out=[MNIST[0]])
    assert len(data) == 2
    assert data.metadata.source["left_out"] == [MNIST[0]]


def test_a_link_that_leaves_the_directory_is_refused(mnist, tmp_path):
    outside = save_state(tmp_path / "outside.pth", dense_state(NAMES, DWS_WIDTHS))
    (mnist / MNIST[0]).unlink()
    os.symlink(outside, mnist / MNIST[0])
    with pytest.raises(DataError, match=r"model_final.pth links to .*outside.pth; expected files inside .* refused"):
        read_dws_mnist(mnist, progress=False)


def test_a_fashion_file_without_a_label_is_named(tmp_path):
    write(tmp_path, ["train/model_0.pth"])
    with pytest.raises(DataError, match=r"train/model_0.pth .* label is nowhere; expected one value"):
        read_dws_fashion(tmp_path, progress=False)
    with pytest.raises(DataError, match=r"holds no file whose path matches"):
        read_dws_mnist(tmp_path, progress=False)
