"""Metadata, Symmetries as JSON, and data sets of one's own networks."""

import dataclasses
import json
from collections import OrderedDict
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from wsjax.data import Collection, Metadata, WeightDataset, concatenate, limit, open_dataset, stream
from wsjax.data.fitting.grouped import Fitted, fit_groups
from wsjax.data.fitting.refill import fit_refilled
from wsjax.data.metadata import symmetry_from_json, symmetry_to_json
from wsjax.data.sources import solid
from wsjax.data.sources.signals import as_signals
from wsjax.data.store.parts import Part
from wsjax.devices import data_mesh
from wsjax.errors import DataError
from wsjax.networks import Network
from wsjax.symmetry import Axes, Fixed, Group, Sum, mlp, siren, symmetry_of
from wsjax.typing import Layer

DIMENSIONS = {"in": Fixed(2, "input"), "h": Group(3, "tanh", actions=("permute",)), "out": Fixed(1, "output")}
EXPERTS = {"e": Group(2, "linear", actions=("permute",)), "h": Group(3, "tanh", within="e")}
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


def flax_weights(seed: int):
    """Drawn by NumPy, with the structure and the dtype of what `Tiny` initializes."""
    rng = np.random.default_rng(seed)
    return FLAX.unflatten([rng.normal(size=shape).astype(np.float32) for shape in FLAX.shapes])


def assert_same(a: WeightDataset, b: WeightDataset) -> None:
    """Bit-equal: structure, dtypes, bytes, columns and metadata."""
    assert jax.tree.structure(a.weights) == jax.tree.structure(b.weights)
    left, right = ([*jax.tree.leaves(d.weights), d.label, *map(d.columns.get, sorted(d.columns))] for d in (a, b))
    for x, y in zip(map(np.asarray, left), map(np.asarray, right), strict=True):
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())
    assert sorted(a.columns) == sorted(b.columns)
    assert a.metadata == b.metadata


@pytest.fixture
def flax_networks():
    return [flax_weights(seed) for seed in range(5)]


def test_a_symmetry_survives_json():
    for symmetry in (
        siren((2, 4, 4, 1), w0=(5.0, 30.0)),
        siren((2, 4, 1), convention="kernel"),
        mlp((3, 4, 5, 2), "relu"),
        FLAX,
        symmetry_of(SKIP, DIMENSIONS),
        symmetry_of((Axes("in", "h"), Axes((("in", "h*"), "h*"), "out")), DIMENSIONS),
        symmetry_of((Axes("in", "e", "h"), Axes("e*", "h*", "out")), {**DIMENSIONS, **EXPERTS}),
    ):
        again = symmetry_from_json(json.loads(json.dumps(symmetry_to_json(symmetry))))
        assert (again, hash(again), again.shapes) == (symmetry, hash(symmetry), symmetry.shapes)
    # What was stored before groups lay within others has the same JSON now, of which its index holds a digest.
    group = dict(symmetry_to_json(mlp((3, 4, 2)))["dimensions"])["h1"]["group"]
    assert sorted(group) == ["actions", "activation", "size", "w0", "w0_convention"]


def test_a_container_that_a_file_cannot_bring_back_says_what_to_do():
    tree = OrderedDict(first=Axes("in", "h"), last=Axes("h*", "out"))
    with pytest.raises(ValueError, match=r"hold a OrderedDict, which a file cannot bring back.*Turn it into a dict"):
        symmetry_to_json(symmetry_of(tree, DIMENSIONS))


def test_metadata_survives_json_and_refuses_unknown_fields(fitted):
    metadata = fitted.metadata
    content = metadata.to_json()
    assert Metadata.from_json(content) == metadata
    for change, message in [
        ({"format_version": 2}, "format_version 2; this wsjax reads 1"),
        ({"extra": 1}, "extra differ"),
        ({"network": {**content["network"], "kind": "cnn"}}, "cannot be read.*unknown network kind"),
        ({"network": {**content["network"], "w0": [5.0, 6.0]}}, "give the network's own Symmetry"),
        ({"symmetry": {}}, "network or symmetry cannot be read"),
    ]:
        with pytest.raises(DataError, match=message):
            Metadata.from_json({**content, **change})


def test_metadata_refuses_a_range_that_holds_nothing():
    network = Network("siren", (2, 4, 1))
    for field in ("coordinate_range", "value_range"):
        for limits in ((1.0, 1.0), (1.0, -1.0), (0.0, np.inf), (np.nan, 1.0)):
            with pytest.raises(ValueError, match=rf"the {field} of own is \(.*; expected a lower and a higher number"):
                Metadata("own", network, network.symmetry, **{field: limits})  # pyright: ignore[reportArgumentType]


def test_statistics_are_those_of_the_training_split(fitted):
    train = fitted.split("train")
    for name, leaf in zip(fitted.symmetry.names, jax.tree.leaves(train.weights), strict=True):
        found, values = fitted.metadata.statistics[name], np.asarray(leaf, np.float64)
        expected = {"mean": values.mean(), "rms": np.sqrt(np.mean(values**2)), "std": values.std()}
        assert found == pytest.approx(expected, rel=1e-9)
    assert set(fitted.metadata.statistics) == set(fitted.symmetry.names)


def test_splits_partition(fitted):
    parts = [fitted.split(name) for name in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(fitted) == 10
    assert sorted(np.concatenate([p.columns["image"] for p in parts])) == sorted(fitted.columns["image"])


def test_evenly_spaced_rows_share_memory_and_others_hold_the_same_numbers(views):
    everything = np.arange(len(views))
    for rows in (everything[3:9], everything[1::2], everything[[5]], everything[::-1], everything[[4, 4, 1]]):
        taken = views.take(rows)
        for leaf, whole in zip(jax.tree.leaves(taken.weights), jax.tree.leaves(views.weights), strict=True):
            np.testing.assert_array_equal(leaf, whole[rows])
            evenly = len(rows) > 1 and rows[0] < rows[-1] and rows[0] != rows[1]
            assert np.shares_memory(leaf, whole) == evenly
        assert taken.columns["image"].tolist() == views.columns["image"][rows].tolist()
        assert taken.label.tolist() == views.label[rows].tolist()


def test_rows_that_there_are_not_are_refused_by_every_selector(images, recipe, fitted, stored_once, untyped):
    opened, signals = open_dataset(stored_once), as_signals(images, recipe)
    joined = [
        Collection.from_datasets({"one": one, "two": other}) for one, other in ((fitted, fitted), (opened, opened))
    ]
    fits = Fitted((), *[np.arange(10)] * 4)
    takes: list[Any] = [one.take for one in (fitted, opened, joined[0], images, signals, fits)]
    takes += [opened.view, *(one.view for one in joined)]
    for take in takes:
        count = 20 if isinstance(getattr(take, "__self__", None), Collection) else 10
        for rows in ([0, count], [-count - 1], np.array([2**40])):
            with pytest.raises(
                IndexError, match=rf"there is no \w+ {rows[-1]}; expected 0 to {count - 1}, or -{count} to -1"
            ):
                take(rows)
        for rows in (3, np.int64(3), True, None, "3", [0.0], [[0, 1]], [True] * 3, 1.0):
            with pytest.raises(
                TypeError, match=rf"expected a list of integers, or \({count},\) booleans: for one \w+, give"
            ):
                take(rows)
        for rows in ([1, -1], np.array([1, count - 1], np.uint8), np.isin(np.arange(count), [1, count - 1])):
            assert [len(found) for found in (take(rows), take([]))] == [len(take([0, 0])), len(take(slice(0)))], take
    networks: list[Any] = [one.network for one in (fitted, fitted.to_device(), opened, *joined)]
    for network in networks:
        count = len(network.__self__)
        for row in (count, -count - 1, np.int32(count)):
            with pytest.raises(IndexError, match=rf"there is no network {row}; expected 0 to {count - 1}"):
                network(row)
        for row in (True, 1.0, np.float32(1), None, "1", [0, 1]):
            with pytest.raises(TypeError, match=r"the number of a network is .*; expected one integer"):
                network(row)
        assert jax.tree.all(jax.tree.map(np.array_equal, network(-1), network(np.uint8(count - 1))))
    for call, message in (
        (lambda: list(fit_groups(images, recipe, [np.array([[10, 0]])])), "there is no signal 10; expected 0 to 9"),
        (lambda: list(fit_groups(images, recipe, [np.array([[-1, 0]])])), "there is no signal -1; expected 0 to 9"),
        (lambda: list(fit_refilled(images, recipe, np.array([[0, 1]]))), "there is no view 1; expected 0 to 0"),
        (lambda: list(fit_groups(images, recipe, [np.zeros((5, 2), int)])), "the size of a group is 5; it must be"),
        (lambda: list(fit_groups(images, recipe, [np.zeros((1, 2))])), r"pairs have shape \(1, 2\) and dtype float64"),
        (lambda: solid(3.0), "number is 3.0; it must be one integer in .*, as an int"),  # type: ignore[arg-type]
        (lambda: solid(2**31), "number is 2147483648; it must be"),
        (lambda: solid(3, seed=2**32), "seed is 4294967296; it must be"),
        (lambda: Part(1.0, 2), "the number of a part is 1.0"),  # type: ignore[arg-type]
        (lambda: limit(images, 4.0), "limit is 4.0; digits has 10"),  # type: ignore[arg-type]
        (lambda: opened.with_cache(0), "cache is 0"),
        (lambda: stream(fitted, 2.0), "batch_size is 2.0; it must be one integer"),  # type: ignore[arg-type]
        (lambda: fitted.split(0), "unknown split 0; the valid ones are: train, validation, test"),  # type: ignore[arg-type]
        (lambda: opened.groups("object"), "unknown column 'object'"),
    ):
        with pytest.raises((ValueError, IndexError), match=message):
            call()


def test_where_takes_a_mask_or_a_question_to_the_columns(views):
    middle = float(np.median(views.columns["psnr"]))
    asked = views.where(lambda columns: (columns["psnr"] > middle) & (columns["view"] == 1))
    assert len(asked)
    assert (asked.columns["psnr"] > middle).all()
    assert set(asked.columns["view"]) == {1}
    assert_same(views.where(views.columns["split"] == 2), views.split("test"))
    for condition in (np.arange(20), np.ones(3, bool), lambda columns: columns["psnr"]):
        with pytest.raises(ValueError, match=r"expected \(20,\) booleans, one a network: compare columns"):
            views.where(condition)


def test_groups_hold_every_network_once(views):
    images = dict(views.groups("image"))
    assert list(images) == sorted(set(views.columns["image"].tolist()))
    for image, group in images.items():
        assert group.columns["image"].tolist() == [image, image]
        assert group.columns["view"].tolist() == [0, 1]
        assert np.shares_memory(group.weights[0].kernel, views.weights[0].kernel)
    for view, group in views.groups("view"):
        np.testing.assert_array_equal(group.weights[1].bias, views.weights[1].bias[views.columns["view"] == view])
    with pytest.raises(ValueError, match="unknown column 'picture'; the valid ones are: image, psnr, split, "):
        next(views.groups("picture"))


def test_parts_of_a_data_set_join_to_what_it_was_with_statistics_of_their_own(views, flax_networks):
    order = np.concatenate([np.flatnonzero(views.columns["split"] == i) for i in range(3)])
    assert_same(concatenate([views.split(name) for name in ("train", "validation", "test")]), views.take(order))
    assert_same(concatenate([views]), views)
    made = lambda some: WeightDataset.from_networks(some, np.zeros(len(some), int), symmetry=FLAX, classes=("a",))
    joined = concatenate([made(flax_networks[:2]), made(flax_networks[2:])])
    assert joined.metadata == made(flax_networks).metadata
    assert joined.columns["image"].tolist() == [0, 1, 0, 1, 2]


def test_what_is_not_of_one_kind_is_not_joined(views, untyped):
    with pytest.raises(TypeError, match=r"datasets is one WeightDataset; expected a list .*\[first, second\]"):
        concatenate(views)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"data set 1 is 'runs/mine'; expected a data set, as data.load gives it"):
        concatenate([views, "runs/mine"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="there are no data sets to concatenate"):
        concatenate([])
    other = lambda **changes: dataclasses.replace(views, metadata=dataclasses.replace(views.metadata, **changes))
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), views.weights)
    for second, message in [
        (other(name="mine", label="digit"), "label is 'digit' there and 'class' here, name is 'mine' there and"),
        (other(value_range=(0.0, 255.0)), r"value_range\[1\] is 255.0 there and 1.0 here"),
        (other(recipe={**views.metadata.recipe, "steps": 4}), "recipe.steps is 4 there and 3 here"),
        (dataclasses.replace(views, weights=half), r"weights.weights\[0\].bias is 'bfloat16' there and 'float32' here"),
        (
            dataclasses.replace(views, columns={**views.columns, "score": views.columns["view"]}),
            "columns.score is 'int32' there and None here",
        ),
    ]:
        with pytest.raises(
            DataError, match=f"0 .digits. and 1 .* not of one kind.*{message}.* give them the same metadata"
        ):
            concatenate([views, second])


def test_own_networks_become_a_data_set(flax_networks):
    x, apply = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32), jax.jit(Tiny().apply)
    assert jax.tree.structure(Tiny().init(jax.random.key(0), x)) == jax.tree.structure(flax_networks[0])
    data = WeightDataset.from_networks(
        flax_networks, [0, 1, 2, 1, 0], symmetry=FLAX, apply=apply, inputs=x, columns={"split": [0, 0, 0, 1, 2]}
    )
    assert repr(data) == "WeightDataset('networks', 5 networks: 3 train, 1 validation, 1 test)"
    assert data.metadata.classes == ("0", "1", "2")
    np.testing.assert_array_equal(apply(data.network(3), x), apply(flax_networks[3], x))
    targets = WeightDataset.from_networks(flax_networks, np.linspace(0, 1, 5), symmetry=FLAX)
    assert (targets.label.dtype, targets.metadata.label, targets.metadata.classes) == (np.float32, "target", ())


def changed(network, value):
    return {"params": {**network["params"], "Dense_1": {**network["params"]["Dense_1"], "bias": value}}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(2, np.float32), r"network 3: weights\['params'\]\['Dense_1'\]\['bias'\] has shape \(2,\)"),
        (np.zeros(1, np.float16), r"network 3: .*\['bias'\] has dtype float16; network 0 has float32"),
        ({}, r"network 3: .*missing weights\['params'\]\['Dense_1'\]\['bias'\]"),
        (np.array([np.nan], np.float32), r"\['bias'\] is not finite in 1 of 5 networks \(rows 3\)"),
        (np.array([np.nan], jnp.bfloat16), r"\['bias'\] is not finite in 1 of 5 networks \(rows 3\)"),
    ],
)
def test_an_odd_network_is_named(flax_networks, value, message):
    if getattr(value, "dtype", None) == jnp.bfloat16:
        flax_networks = [jax.tree.map(lambda x: x.astype(jnp.bfloat16), network) for network in flax_networks]
    flax_networks[3] = changed(flax_networks[3], value)
    with pytest.raises(ValueError, match=message):
        WeightDataset.from_networks(flax_networks, np.zeros(5, int), symmetry=FLAX)


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
        ({"labels": [0, 1, 2, 3, -1]}, "begin at -1; expected .5,. integers from 0"),
        ({"classes": ("a", "b")}, "labels run to 4; classes has 2 names"),
        ({"labels": np.arange(5.0), "classes": ("a", "b")}, "labels are floats, which are targets, and classes has 2"),
        ({"columns": {"accuracy": np.zeros(4)}}, r"column 'accuracy' has shape \(4,\)"),
        ({"apply": lambda w, x: x}, "apply is given without inputs"),
    ],
)
def test_what_does_not_fit_the_networks_is_named(flax_networks, arguments, message, untyped):
    with pytest.raises(ValueError, match=message):
        WeightDataset.from_networks(flax_networks, **{"labels": np.arange(5), "symmetry": FLAX, **arguments})
    with pytest.raises(ValueError, match="there are no networks"):
        WeightDataset.from_networks([], [], symmetry=FLAX)
    stacked: Any = jax.tree.map(lambda *leaves: np.stack(leaves), *flax_networks)
    for given in (stacked, stacked["params"], iter(flax_networks)):
        with pytest.raises(TypeError, match=r"networks is a \w+; expected a list of networks, each one tree"):
            WeightDataset.from_networks(given, np.arange(5), symmetry=FLAX)


def test_metadata_of_another_network_is_refused(fitted):
    other = Network("siren", (2, 5, 4, 1))
    with pytest.raises(ValueError, match=r"weights\[0\].kernel has shape \(10, 2, 4\); .*expects \(10, 2, 5\)"):
        WeightDataset(fitted.weights, fitted.label, fitted.columns, Metadata("other", other, other.symmetry))


def test_a_network_of_no_split_is_refused(flax_networks):
    for wrong in (3, -1):
        with pytest.raises(DataError, match=rf"split of row 1 is {wrong}; expected 0, 1 or 2"):
            WeightDataset.from_networks(flax_networks, [0] * 5, symmetry=FLAX, columns={"split": [0, wrong, 0, 0, 0]})


def test_all_networks_go_to_the_device_asked_for_or_are_spread_over_a_mesh(fitted):
    sharding, expected = NamedSharding(data_mesh(4), PartitionSpec("batch")), fitted.take(np.arange(8))
    several = jax.devices()[:4]
    for place, devices in ((None, several[:1]), (several[2], several[2:3]), (sharding, several)):
        found = expected.to_device(place)
        assert_same(found, expected)
        for leaf in jax.tree.leaves(found.weights):
            assert {shard.device for shard in leaf.addressable_shards} == set(devices)
            assert {len(shard.data) for shard in leaf.addressable_shards} == {8 // len(devices)}
        # A user may write to the arrays afterwards: those that JAX would share, as they are aligned, are copied.
        memory = np.zeros(8 * 64, np.uint8)
        offset = memory[-memory.ctypes.data % 64 :][: 8 * 4].view(np.float32).reshape(8, 1)
        *layers, last = expected.weights
        own = dataclasses.replace(expected, weights=(*layers, last._replace(bias=offset))).to_device(place)
        offset[:] = 5
        assert not np.asarray(own.weights[-1].bias).any()
    with pytest.raises(ValueError, match=r"10 networks do not divide over the sharding .* the same number for each"):
        fitted.to_device(sharding)


def test_64_bits_are_never_narrowed_in_silence(untyped):
    networks = [jax.tree.map(lambda x: x.astype(np.float64), flax_weights(0))] * 2
    double = WeightDataset.from_networks(networks, [0, 1], symmetry=FLAX)
    with pytest.raises(
        ValueError, match=r"\['bias'\] is float64, which JAX would make float32; .* astype\('float32'\)"
    ):
        double.to_device()
    whole = WeightDataset.from_networks([jax.tree.map(lambda x: x.astype(np.int64), networks[0])], [0], symmetry=FLAX)
    with pytest.raises(ValueError, match=r"is int64, which JAX would make int32; .* that it has: set jax_enable_x64$"):
        whole.astype("float32").to_device()
    assert double.astype("float32").to_device().weights["params"]["Dense_0"]["bias"].dtype == np.float32
    with pytest.raises(ValueError, match="unknown dtype 'int8'; the valid ones are: float32, bfloat16, float16"):
        double.astype("int8")
