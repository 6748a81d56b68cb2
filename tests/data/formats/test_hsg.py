"""HSG's raw model zoos, in exactly their layout."""

import functools
import json

import numpy as np
import pytest

from tests.data.formats.conftest import refused, save_state
from tests.data.formats.references import cnn_state
from wsjax.data.formats.hsg import read_hsg_zoo

read = functools.partial(read_hsg_zoo, progress=False)
SMALL, DROPOUT, LARGE = (0, 3, 6, 9, 11), (0, 4, 8, 11, 14), (0, 4, 8, 13, 16)


def write_trial(root, trial, number, *, architecture="hsg", places=SMALL, epochs=(1, 2), nlin="tanh", padded=False):
    """A trial whose last checkpoint is reference network `number`; result.json says accuracy = epoch / 10."""
    names = [f"module_list.{place}" for place in places]
    for epoch in epochs:
        last = epoch == epochs[-1]
        folder = f"checkpoint_{epoch:06d}" if padded else f"checkpoint_{epoch}"
        save_state(root / trial / folder / "checkpoints", cnn_state(architecture, names, number if last else 5))
    config = {"model::nlin": nlin, "optim::lr": 0.1}
    lines = [
        {"training_iteration": epoch, "test_acc": epoch / 10, "train_acc": epoch / 5, "config": config}
        for epoch in range(epochs[-1] + 1)
    ]
    (root / trial / "result.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (root / trial / "params.json").write_text(json.dumps(config))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_small_networks_with_and_without_dropout(tmp_path, agrees_cnn, activation):
    root = tmp_path / "tune_zoo_mnist"
    write_trial(root, "NN_tune_trainable_a_1", 0, nlin=activation)
    write_trial(root, "NN_tune_trainable_b_2", 1, nlin=activation, places=DROPOUT, padded=True)
    data = read(root)
    agrees_cnn(data, "hsg", activation, [0, 1])
    np.testing.assert_allclose(data.label, [0.2, 0.2])
    np.testing.assert_allclose(data.columns["train_accuracy"], [0.4, 0.4])
    assert (data.columns["image"].tolist(), data.columns["epoch"].tolist()) == ([0, 1], [2, 2])
    pooled, plain = data.symmetry.groups["c2"].actions, data.symmetry.groups["c3"].actions
    assert pooled == (("permute",) if activation == "tanh" else ("permute", "rescale"))
    assert plain == (("permute", "sign") if activation == "tanh" else ("permute", "rescale"))
    assert sum(leaf[0].size for layer in data.weights for leaf in layer) == 2464
    assert (data.metadata.source["epoch"], data.metadata.source["activations"]) == (2, [activation])
    first = read(root, epoch=1)
    np.testing.assert_allclose(first.label, [0.1, 0.1])


def test_large_networks_pool_every_convolution(tmp_path, agrees_cnn):
    for number in range(2):
        write_trial(tmp_path, f"trial_{number}", number, architecture="hsg large", places=LARGE)
    data = read(tmp_path)
    agrees_cnn(data, "hsg large", "tanh", [0, 1])
    assert data.symmetry.groups["c3"].actions == ("permute",)
    assert data.symmetry.groups["h1"].actions == ("permute", "sign")


def test_several_activations_and_the_splits(tmp_path):
    for number in range(20):
        write_trial(tmp_path, f"trial_{number}", 0, epochs=(0,), nlin=("leakyrelu", "tanh")[number % 2])
    data = read(tmp_path)
    assert data.columns["image"].tolist() == list(range(20))
    assert np.bincount(data.columns["split"]).tolist() == [14, 3, 3]
    assert {group.actions for group in data.symmetry.groups.values()} == {("permute",)}
    leaky = read(tmp_path, activation="leaky_relu")
    assert leaky.symmetry.groups["c1"].actions == ("permute", "rescale")
    assert leaky.columns["image"].tolist() == list(range(0, 20, 2))
    np.testing.assert_array_equal(leaky.columns["split"], data.columns["split"][::2])
    assert leaky.metadata.source["left_out"] == {"trials": [], "other activations": 10}
    with pytest.raises(ValueError, match="unknown activation 'relu'"):
        read(tmp_path, activation="relu")
    with pytest.raises(ValueError, match=r"sum of the fractions is 1\.2; it must be one number in"):
        read(tmp_path, fractions=(0.7, 0.5))


def test_a_trial_that_lacks_something_is_named(tmp_path):
    write_trial(tmp_path, "trial_1", 0)
    write_trial(tmp_path, "trial_2", 0, epochs=(1,))
    refused(read, r"1 trials have no checkpoint of epoch 2, trial_2 first; .* leave_out=\['trial_2'\]", tmp_path)
    assert len(read(tmp_path, leave_out=["trial_2"])) == 1
    assert len(read(tmp_path, epoch=1)) == 2
    refused(read, "leave_out names trial_9", tmp_path, leave_out=["trial_9"])
    refused(read, "leave_out names all 2 networks", tmp_path, leave_out=["trial_1", "trial_2"])
    path = tmp_path / "trial_2/result.json"
    lines = path.read_text().splitlines()
    for content, message in (
        (lines[0], "trial_2/result.json has no training_iteration 1"),
        ("{", "trial_2/result.json cannot be read"),
        (lines[1].replace("0.1", '"high"'), "trial_2/result.json cannot be read"),
        (lines[1].replace("0.1", "NaN"), "labels of hsg-.* are not finite for 1 networks"),
    ):
        path.write_text(content)
        refused(read, message, tmp_path, epoch=1)


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        (lambda name: name.replace("module_list.0.weight", "conv1.weight"), "holds conv1.weight; expected module_list"),
        (lambda name: name.replace("module_list.3.bias", "module_list.4.bias"), r"lacks module_list.\d.(weight|bias)"),
        (lambda name: name.replace("list.9.", "list.10."), "pools other layers than"),
    ],
)
def test_other_names_are_refused(tmp_path, rename, message):
    write_trial(tmp_path, "trial_1", 0)
    write_trial(tmp_path, "trial_2", 0)
    state = cnn_state("hsg", [f"module_list.{place}" for place in SMALL])
    save_state(tmp_path / "trial_2/checkpoint_2/checkpoints", {rename(name): array for name, array in state.items()})
    refused(read, message, tmp_path)
