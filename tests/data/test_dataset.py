"""Cards, Symmetries as JSON, and data sets of one's own networks."""

from collections import OrderedDict

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wsjax.data import Card, WeightDataset, fit_dataset_in_memory
from wsjax.data.symmetry_json import symmetry_from_json, symmetry_to_json
from wsjax.errors import DataError
from wsjax.networks import Network
from wsjax.symmetry import Axes, Fixed, Group, Sum, mlp, siren, symmetry_of
from wsjax.typing import Layer

DIMENSIONS = {"in": Fixed(2, "input"), "h": Group(3, "tanh", actions=("permute",)), "out": Fixed(1, "output")}
SKIP = {
    "first": [Axes("in", "h"), Axes("h", bias=True)],
    "none": None,
    "last": Layer(Axes(Sum("in", "h*"), "out"), Axes()),
}
FLAX = symmetry_of(
    {
        "params": {
            "Dense_0": {"kernel": Axes("in", "h"), "bias": Axes("h", bias=True)},
            "Dense_1": {"kernel": Axes("h*", "out"), "bias": Axes("out", bias=True)},
        }
    },
    DIMENSIONS,
)


class Tiny(nn.Module):
    @nn.compact
    def __call__(self, x):
        hidden = jnp.tanh(nn.Dense(3)(x))
        return nn.Dense(1)(hidden)


@pytest.fixture
def flax_networks(getkey):
    return [Tiny().init(getkey(), jnp.ones((1, 2))) for _ in range(5)]


@pytest.mark.parametrize(
    "symmetry",
    [
        siren((2, 4, 4, 1), w0=(5.0, 30.0)),
        siren((2, 4, 1), convention="kernel"),
        mlp((3, 4, 5, 2), "relu"),
        FLAX,
        symmetry_of(SKIP, DIMENSIONS),
        symmetry_of((Axes("in", "h"), Axes((("in", "h*"), "h*"), "out")), DIMENSIONS),
    ],
    ids=repr,
)
def test_a_symmetry_survives_json(symmetry):
    again = symmetry_from_json(symmetry_to_json(symmetry))
    assert again == symmetry
    assert hash(again) == hash(symmetry)
    assert again.shapes == symmetry.shapes


def test_a_container_that_a_file_cannot_bring_back_says_what_to_do():
    tree = OrderedDict(first=Axes("in", "h"), last=Axes("h*", "out"))
    with pytest.raises(ValueError, match=r"hold a OrderedDict, which a file cannot bring back.*Turn it into a dict"):
        symmetry_to_json(symmetry_of(tree, DIMENSIONS))


def test_a_card_survives_json_and_refuses_what_it_does_not_know(images, recipe):
    card = fit_dataset_in_memory(images, recipe, progress=False).card
    content = card.to_json()
    assert Card.from_json(content) == card
    for change, message in [
        ({"format_version": 2}, "format_version 2; this wsjax reads 1"),
        ({"extra": 1}, "extra differ"),
        (
            {"network": {**content["network"], "kind": "cnn"}},
            "cannot be read.*unknown network kind",
        ),
        ({"network": {**content["network"], "w0": [5.0, 6.0]}}, "give the network's own Symmetry"),
        ({"symmetry": {}}, "network or symmetry cannot be read"),
    ]:
        with pytest.raises(DataError, match=message):
            Card.from_json({**content, **change})


def test_statistics_are_those_of_the_training_split(images, recipe):
    data = fit_dataset_in_memory(images, recipe, progress=False)
    train = data.split("train")
    for name, leaf in zip(data.symmetry.names, train.weights[0], strict=False):
        found, values = data.card.statistics[name], np.asarray(leaf, np.float64)
        expected = {"mean": values.mean(), "rms": np.sqrt(np.mean(values**2)), "std": values.std()}
        assert found == pytest.approx(expected, rel=1e-9)
    assert set(data.card.statistics) == set(data.symmetry.names)


def test_splits_partition_and_take_orders(images, recipe):
    data = fit_dataset_in_memory(images, recipe, progress=False)
    parts = [data.split(name) for name in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(data) == 10
    assert sorted(np.concatenate([p.columns["image"] for p in parts])) == sorted(data.columns["image"])
    taken = data.take(np.array([3, 1]))
    np.testing.assert_array_equal(taken.network(0)[0].kernel, data.network(3)[0].kernel)
    assert taken.label.tolist() == data.label[[3, 1]].tolist()
    with pytest.raises(ValueError, match="unknown split 'training'; the valid ones are: train, validation, test"):
        data.split("training")


def test_own_networks_become_a_data_set(flax_networks, getkey):
    x = jax.random.normal(getkey(), (7, 2))
    data = WeightDataset.from_networks(
        flax_networks, [0, 1, 2, 1, 0], symmetry=FLAX, apply=Tiny().apply, inputs=x, columns={"split": [0, 0, 0, 1, 2]}
    )
    assert repr(data) == "WeightDataset('networks', 5 networks: 3 train, 1 validation, 1 test)"
    assert data.card.classes == ("0", "1", "2")
    np.testing.assert_array_equal(Tiny().apply(data.network(3), x), Tiny().apply(flax_networks[3], x))
    targets = WeightDataset.from_networks(flax_networks, np.linspace(0, 1, 5), symmetry=FLAX)
    assert (targets.label.dtype, targets.card.label, targets.card.classes) == (np.float32, "target", ())


def changed(network, value):
    return {"params": {**network["params"], "Dense_1": {**network["params"]["Dense_1"], "bias": value}}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(2, np.float32), r"network 3: weights\['params'\]\['Dense_1'\]\['bias'\] has shape \(2,\)"),
        (np.zeros(1, np.float16), r"network 3: .*\['bias'\] has dtype float16; network 0 has float32"),
        ({}, r"network 3: .*missing weights\['params'\]\['Dense_1'\]\['bias'\]"),
        (np.array([np.nan], np.float32), r"\['bias'\] is not finite in 1 of 5 networks \(rows 3\)"),
    ],
)
def test_an_odd_network_is_named(flax_networks, value, message):
    flax_networks[3] = changed(flax_networks[3], value)
    with pytest.raises(ValueError, match=message):
        WeightDataset.from_networks(flax_networks, np.zeros(5, int), symmetry=FLAX)


def test_a_nan_in_bfloat16_is_found(flax_networks):
    halves = [jax.tree.map(lambda x: x.astype(jnp.bfloat16), n) for n in flax_networks]
    halves[2] = changed(halves[2], jnp.full(1, jnp.nan, jnp.bfloat16))
    with pytest.raises(DataError, match="not finite in 1 of 5 networks"):
        WeightDataset.from_networks(halves, np.zeros(5, int), symmetry=FLAX)


def test_a_wrong_symmetry_is_refuted_by_the_function(flax_networks):
    wrong = symmetry_of(
        jax.tree.unflatten(FLAX.treedef, FLAX.axes), {**DIMENSIONS, "h": Group(3, "relu", actions=("rescale",))}
    )
    with pytest.raises(ValueError, match="'rescale' on group 'h' changes the function"):
        WeightDataset.from_networks(
            flax_networks, np.zeros(5, int), symmetry=wrong, apply=Tiny().apply, inputs=(jnp.ones((3, 2)),)
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": [0, 1]}, r"labels have shape \(2,\); expected one for each of 5 networks"),
        ({"labels": [0.5, np.nan, 1.0, 2.0, 3.0]}, r"labels are not finite for networks \[1\]"),
        ({"labels": [0, 1, 2, 3, -1]}, "begin at -1; expected .5,. whole numbers from 0"),
        ({"classes": ("a", "b")}, "labels run to 4; classes has 2 names"),
        ({"columns": {"accuracy": np.zeros(4)}}, r"column 'accuracy' has shape \(4,\)"),
        ({"apply": lambda w, x: x}, "apply is given without inputs"),
    ],
)
def test_what_does_not_fit_the_networks_is_named(flax_networks, arguments, message, untyped):
    with pytest.raises(ValueError, match=message):
        WeightDataset.from_networks(flax_networks, **{"labels": np.arange(5), "symmetry": FLAX, **arguments})
    with pytest.raises(ValueError, match="there are no networks"):
        WeightDataset.from_networks([], [], symmetry=FLAX)


def test_a_card_of_another_network_is_refused(images, recipe):
    data = fit_dataset_in_memory(images, recipe, progress=False)
    other = Network("siren", (2, 5, 4, 1))
    with pytest.raises(ValueError, match=r"weights\[0\].kernel has shape \(10, 2, 4\); .*expects \(10, 2, 5\)"):
        WeightDataset(data.weights, data.label, data.columns, Card("other", other, other.symmetry))
