"""A zoo's network depends on its number and the recipe, and on nothing else; its columns say what it is."""

import dataclasses
import re
from threading import Event

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.data.test_dataset import assert_same
from tests.helpers import assert_identical
from wsjax.data import ZooRecipe, fit, limit, load, load_images, save, verify
from wsjax.data.pool import in_turn
from wsjax.data.store import shards
from wsjax.data.zoo import fit as zoo
from wsjax.data.zoo import step as zoo_step
from wsjax.data.zoo import zoo_network
from wsjax.data.zoo.fit import fit_zoo_groups
from wsjax.data.zoo.recipe import draw
from wsjax.networks import CNN, Network

pytestmark = pytest.mark.usefixtures("plain_module")


@pytest.fixture(scope="module")
def images():
    return limit(load_images("digits"), 40)


@pytest.fixture(scope="module")
def recipe():
    """Every setting is drawn, and three snapshots of each network are kept."""
    net = Network("mlp", (64, 5, 10), "relu")
    return ZooRecipe(net, count=7, steps=6, batch_size=8, slots=3, snapshots=(0, 4), label_noise=(0.0, 0.5))


@pytest.fixture(scope="module")
def networks(images, recipe):
    return fit(images, recipe=recipe, workers=1, progress=False)


@pytest.fixture(scope="module")
def trained(images, recipe):
    return fit(images, recipe=dataclasses.replace(recipe, steps=200, snapshots=(0,)), progress=False)


def by_number(parts):
    """Everything that is known of each network as bytes, by its number in the data set."""
    found = {}
    for part in parts:
        leaves = jax.tree.leaves((part.weights, part.label, part.columns))
        found |= {n: [leaf[i].tobytes() for leaf in leaves] for i, n in enumerate(part.number.tolist())}
    return found


@pytest.fixture(scope="module")
def reference(images, recipe):
    return by_number(fit_zoo_groups(images, recipe, [np.arange(3), np.arange(3, 6), np.array([6])], workers=1))


@pytest.mark.parametrize(("workers", "devices"), [(1, 1), (3, 1), pytest.param(2, 2, marks=pytest.mark.slow)])
def test_slots_neighbors_order_workers_devices_and_padding_do_not_matter(
    images, recipe, reference, workers, devices, monkeypatch
):
    monkeypatch.setattr(zoo, "fit_devices", lambda: jax.local_devices()[:devices])
    groups = [np.array([6, 0]), np.array([3]), np.array([5, 1, 2]), np.array([4])]
    parts = list(fit_zoo_groups(images, recipe, groups, workers=workers))
    assert [sorted(set(part.columns["run"].tolist())) for part in parts] == [sorted(group.tolist()) for group in groups]
    assert by_number(parts) == reference
    assert len(reference) == 21


def test_count_snapshots_and_stops_on_the_way_do_not_matter(images, recipe, networks, monkeypatch):
    monkeypatch.setattr(zoo, "STEPS_AT_ONCE", 2)
    fewer = dataclasses.replace(recipe, count=4, snapshots=())
    alone = fit(images, recipe=fewer, progress=False)
    among = networks.where(lambda c: (c["run"] < 4) & (c["steps"] == 6))
    assert_identical(alone.weights, among.weights)
    for name in sorted(set(alone.columns) - {"view"}):
        np.testing.assert_array_equal(alone.columns[name], among.columns[name])


def test_a_seed_and_a_number_decide_everything(images, recipe, networks):
    recipe, train = dataclasses.replace(recipe.program, seed=1), zoo_step.labeled(images, "train")
    other = jax.jit(lambda numbers: zoo_step.begin(recipe, train, numbers)._replace(order=0, label=0))(jnp.arange(3))
    kernels = np.concatenate([networks.weights[0].kernel, other.weights[0].kernel])
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)
    rates = np.concatenate([networks.columns["learning_rate"], other.drawn.learning_rate])
    assert len(set(rates.tolist())) == 7 + 3


def test_the_metrics_are_those_of_the_stored_weights(images, recipe, networks):
    train, test = images.take(np.flatnonzero(images.split == 0)), images.take(np.flatnonzero(images.split == 2))
    slots = [zoo_step.begin(recipe.program, zoo_step.labeled(images, "train"), jnp.arange(i, i + 3)) for i in (0, 3, 6)]
    order, label = (np.concatenate([getattr(slot, name) for slot in slots]) for name in ("order", "label"))
    both = jnp.asarray(np.concatenate([train.pixels, test.pixels]))
    outputs = np.asarray(jax.jit(jax.vmap(lambda weights: recipe.apply(weights, both)))(networks.weights))
    for row in range(len(networks)):
        run, columns = networks.columns["run"][row], {name: c[row] for name, c in networks.columns.items()}
        count = max(1, round(float(columns["train_fraction"]) * len(train.label)))
        rows = order[run][:count]
        for part, logits, truth in (
            ("train", outputs[row][rows], label[run][rows]),
            ("test", outputs[row][len(train.pixels) :], test.label),
        ):
            error = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(truth)), truth]
            np.testing.assert_allclose(columns[f"{part}_accuracy"], np.mean(logits.argmax(axis=1) == truth), rtol=1e-6)
            np.testing.assert_allclose(columns[f"{part}_loss"], error.mean(), rtol=1e-5)
    np.testing.assert_array_equal(networks.label, networks.columns["test_accuracy"])
    assert networks.label.dtype == np.float32
    assert networks.metadata.label == "target"


def test_the_snapshots_of_a_run_lie_in_one_split_and_five_runs_in_all(networks):
    columns = networks.columns
    assert columns["split"].tolist() == np.repeat([0, 0, 0, 1, 2, 0, 0], 3).tolist()
    assert columns["image"].tolist() == columns["run"].tolist() == np.repeat(range(7), 3).tolist()
    assert (columns["steps"].tolist(), columns["view"].tolist()) == ([0, 4, 6] * 7, [0, 1, 2] * 7)


def test_settings_are_drawn_each_from_its_range_and_from_a_key_of_its_own(recipe):
    other = dataclasses.replace(recipe, dropout=(0.25, 0.25), optimizers=("sgd",))
    both = jax.jit(jax.vmap(lambda key: [draw(one, key) for one in (recipe, other)]))
    drawn, changed = both(jax.random.split(jax.random.key(1), 400))
    for name in ("learning_rate", "weight_decay", "init_scale", "train_fraction", "dropout", "label_noise"):
        low, high = getattr(recipe, name)
        values = np.sort(np.asarray(getattr(drawn, name), np.float64))
        if name in ("learning_rate", "weight_decay", "init_scale"):
            low, high, values = np.log(low), np.log(high), np.log(values)
        place = (values - low) / (high - low)
        assert -1e-6 < place[0] < place[-1] < 1 + 1e-6
        assert np.abs(place - np.linspace(0, 1, 400)).max() < 0.08
    assert set(np.asarray(drawn.optimizer).tolist()) == {0, 1}
    assert set(np.asarray(changed.dropout).tolist()) == {0.25}
    assert set(np.asarray(changed.optimizer).tolist()) == {1}
    for name in ("learning_rate", "train_fraction", "label_noise"):
        np.testing.assert_array_equal(getattr(changed, name), getattr(drawn, name))


def test_a_range_whose_ends_have_no_quotient_is_drawn_from_too(recipe):
    wide = dataclasses.replace(recipe, weight_decay=(1e-300, 1e10))
    drawn = jax.jit(jax.vmap(lambda key: draw(wide, key).weight_decay))(jax.random.split(jax.random.key(0), 64))
    assert (np.asarray(drawn) < 1e10).sum() > 60


def test_a_step_is_that_of_optax(recipe, images):
    """Of three networks each takes its steps by Adam, and by SGD."""
    slots = zoo_step.begin(recipe.program, zoo_step.labeled(images, "train"), jnp.arange(3))
    gradient_of = lambda weights, i: jax.tree.map(lambda x: jnp.cos(x + i), weights)

    @jax.jit
    @jax.vmap
    def three_steps(slot):
        found = []
        for name in ("adam", "sgd"):
            rate, kind = slot.drawn.learning_rate, jnp.int32(zoo_step.OPTIMIZERS.index(name))
            ours = slot._replace(drawn=slot.drawn._replace(optimizer=kind, weight_decay=jnp.float32(0.01)))
            for i in range(3):
                ours = zoo_step.updated(ours, gradient_of(ours.weights, i))
            plain = optax.adam(rate) if name == "adam" else optax.sgd(rate, momentum=0.9)
            mask = jax.tree.map(lambda x: x.ndim > 1, slot.weights)
            optimizer = optax.chain(optax.add_decayed_weights(0.01, mask), plain)
            weights, state = slot.weights, optimizer.init(slot.weights)
            with jax.numpy_dtype_promotion("standard"):
                for i in range(3):
                    updates, state = optimizer.update(gradient_of(weights, i), state, weights)
                    weights = optax.apply_updates(weights, updates)
            found.append((ours.weights, weights))
        return found

    for ours, theirs in three_steps(slots):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-7), ours, theirs)


def test_dropout_drops_whole_units_and_keeps_the_mean(getkey):
    shapes = (300, 7), (100, 2, 3, 8)
    drop = lambda key: [[zoo_step.dropped(key, jnp.float32(0.3))(i, jnp.ones(s)) for i in range(2)] for s in shapes]
    for shape, layers in zip(shapes, jax.jit(drop)(getkey()), strict=True):
        h = np.asarray(layers[0])
        assert set(np.unique(h).tolist()) == {0.0, float(np.float32(1) / np.float32(0.7))}
        units = h.reshape(shape[0], -1, shape[-1])
        assert (units == units[:, :1]).all()
        np.testing.assert_allclose(np.mean(units[:, 0] == 0), 0.3, atol=0.05)
        assert (h != np.asarray(layers[1])).any()


def test_label_noise_draws_a_share_of_the_labels_anew(getkey):
    label = np.zeros(4000, np.int32)
    noise = jax.jit(lambda key, fraction: zoo_step.with_noise(key, jnp.asarray(label), fraction, 4))
    np.testing.assert_allclose(np.bincount(noise(getkey(), 0.4)) / 4000, [0.7, 0.1, 0.1, 0.1], atol=0.02)
    np.testing.assert_array_equal(noise(getkey(), 0.0), label)


def test_a_network_that_diverges_stays_at_its_last_weights_and_says_so(images, recipe, monkeypatch):
    def wild(recipe, train, numbers, real=zoo_step.begin):
        slots = real(recipe, train, numbers)
        rates, sgd = np.geomspace(3e3, 1e38, 3).astype(np.float32), np.full(3, zoo_step.OPTIMIZERS.index("sgd"))
        return slots._replace(drawn=slots.drawn._replace(learning_rate=rates, optimizer=sgd.astype(np.int32)))

    monkeypatch.setattr(zoo, "begin", wild)
    found = fit(images, recipe=dataclasses.replace(recipe, count=3, steps=4, snapshots=(1, 2)), progress=False)
    diverged = found.columns["diverged"].reshape(3, 3)
    assert diverged.any(axis=0).all()
    assert (np.diff(diverged, axis=1) >= 0).all()
    kernel = found.weights[0].kernel.reshape(3, 3, -1)
    for view in (1, 2):
        np.testing.assert_array_equal(kernel[diverged[:, view - 1] == 1, view], kernel[diverged[:, view - 1] == 1, 0])
    assert all(np.abs(leaf).max() <= zoo_step.LIMIT for leaf in jax.tree.leaves(found.weights))
    assert all(np.isfinite(column).all() for column in found.columns.values())


@pytest.fixture(scope="module")
def cnn_recipe():
    net = CNN((8, 8, 1), (3,), 10, "tanh")
    return ZooRecipe(net, count=5, steps=3, batch_size=4, slots=2, snapshots=(2,), dropout=(0.0, 0.0))


def test_a_zoo_of_flax_networks_is_stored_in_parts_stopped_resumed_and_read(images, cnn_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_NETWORKS", 4)
    written, write = [], shards.write_shard

    def interrupted(*arguments):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(1)
        return write(*arguments)

    monkeypatch.setattr(shards, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(images, recipe=cnn_recipe, out=tmp_path / "set", workers=2, progress=False)
    monkeypatch.setattr(shards, "write_shard", write)
    fit(images, recipe=cnn_recipe, out=tmp_path / "set", workers=1, progress=False)
    found, whole = load(tmp_path / "set"), verify(tmp_path / "set")
    assert_same(found, fit(images, recipe=cnn_recipe, progress=False))
    for part in ("2/2", "1/2"):
        fit(images, recipe=cnn_recipe, out=tmp_path / "parts", part=part, progress=False)
    assert whole.ok
    assert verify(tmp_path / "parts").fingerprint == whole.fingerprint
    assert ZooRecipe.from_json(found.metadata.recipe or {}) == cnn_recipe
    assert found.symmetry == cnn_recipe.network.symmetry
    with pytest.raises(ValueError, match=r"recipe\.steps is 3 there and 4 here"):
        fit(images, recipe=dataclasses.replace(cnn_recipe, steps=4), out=tmp_path / "set", progress=False)


def test_more_steps_raise_the_accuracy(trained):
    before, after = (trained.where(trained.columns["steps"] == steps).columns["train_accuracy"] for steps in (0, 200))
    assert after.mean() > before.mean() + 0.3


def test_verify_measures_a_sample_anew_and_names_what_no_longer_does_as_well(images, trained, tmp_path):
    """Checksums alone would pass: the altered networks were saved as they are."""
    save(trained, tmp_path / "set")
    found = verify(tmp_path / "set")
    assert (found.ok, found.decoded, found.notes, found.psnr) == (True, 14, (), None)
    assert found.accuracy == pytest.approx(trained.columns["test_accuracy"].mean())
    assert found.accuracy == pytest.approx(found.recorded_accuracy)
    assert f"mean accuracy on the test images {found.accuracy:.2%}, recorded {found.accuracy:.2%}" in str(found)
    assert verify(tmp_path / "set", images=images) == found

    # The classes change places in one network: nothing but the accuracies could tell.
    best = int(np.argmax(trained.columns["test_accuracy"]))
    moved = jax.tree.map(np.array, trained.weights)
    moved[-1].bias[best], moved[-1].kernel[best] = moved[-1].bias[best, ::-1], moved[-1].kernel[best, :, ::-1]
    save(dataclasses.replace(trained, weights=moved), tmp_path / "moved")
    worse = verify(tmp_path / "moved")
    assert [line.partition(" do ")[0] for line in worse.damage] == ["1 of 14 networks"] * 2
    assert f"network {trained.columns['run'][best]} of digits-zoo, after" in worse.damage[0]
    assert f"recorded {trained.columns['test_accuracy'][best]:.1%}" in worse.damage[1]
    assert worse.accuracy == pytest.approx(found.accuracy, abs=0.1)
    assert worse.accuracy != worse.recorded_accuracy

    # The training images and labels follow from the number: with those of another the accuracy is another.
    columns = {**trained.columns, "run": np.roll(trained.columns["run"], 2)}
    save(dataclasses.replace(trained, columns=columns), tmp_path / "rolled")
    assert "recorded train accuracy" in verify(tmp_path / "rolled").damage[0]


def test_verify_says_why_a_zoo_was_not_measured(images, recipe, networks, tmp_path):
    save(networks, tmp_path / "set")
    other = limit(load_images("digits"), 41)
    found = verify(tmp_path / "set", images=other)
    assert (found.ok, found.decoded, found.accuracy) == (True, 0, None)
    assert "no network was run: the digits given are not the images that digits-zoo was fitted to" in found.notes[0]
    elsewhere = dataclasses.replace(networks.metadata, source={**networks.metadata.source, "name": "letters"})
    save(dataclasses.replace(networks, metadata=elsewhere), tmp_path / "own")
    assert "the metadata's source is 'letters', which wsjax cannot load" in verify(tmp_path / "own").notes[0]
    # What no longer does as well may be due to the half type, so that it is no damage.
    columns = {**networks.columns, "test_accuracy": networks.columns["test_accuracy"] + 0.5}
    save(dataclasses.replace(networks, columns=columns), tmp_path / "half", "bfloat16")
    half = verify(tmp_path / "half")
    assert half.ok
    assert half.notes != ()
    assert all("the weights are stored as bfloat16" in note for note in half.notes)
    assert "21 of 21 networks do not reach the recorded test accuracy" in half.notes[-1]


def test_closing_a_pool_tells_those_at_work_and_drops_the_others():
    begun, told = [], []

    def work(job: int, device: str, stopped: Event) -> int:
        begun.append(job)
        if job:
            told.append(stopped.wait(60))
        return job

    found = in_turn(work, range(9), ["only"], 2)
    assert next(found) == 0
    found.close()
    assert {*told} == {True}
    assert len(begun) < 9


def test_settings_that_make_no_zoo_are_named(recipe, untyped):
    for settings, message in (
        ({"count": 0}, "count is 0"),
        ({"slots": 1.5}, "slots is 1.5"),
        ({"snapshots": (4, 2)}, r"each of snapshots, ascending is 2; it must be one integer in \[5, 6\]"),
        ({"snapshots": (6,)}, r"each of snapshots, ascending is 6; .* in \[7, 6\]"),
        ({"optimizers": ("rmsprop",)}, "unknown optimizer 'rmsprop'; the valid ones are: adam, sgd"),
        ({"optimizers": ()}, "number of optimizers is 0"),
        ({"train_fraction": (0.5, 0.2)}, r"train_fraction is \(0.5, 0.2\); it runs backwards"),
        ({"train_fraction": (0.5, 1.2)}, "each end of train_fraction is 1.2"),
        ({"weight_decay": (0.0, 0.1)}, "log-uniformly, which never gives zero"),
        ({"learning_rate": 0.1}, "learning_rate is 0.1; expected two numbers, the lower first"),
        ({"learning_rate": (0.1, np.inf)}, "each end of learning_rate is inf"),
        ({"network": Network("siren", (64, 4, 10))}, "unknown kind 'siren' of a classifier"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(recipe, **settings)


def test_a_zoo_that_does_not_fit_the_images_is_named(images, recipe):
    color, small = CNN((8, 8, 3)), Network("mlp", (49, 5, 10), "relu")
    for change, kept, message in (
        ({"network": small}, (0, 1, 2), "takes 49 and gives 10 logits; the images of digits need 64 and 10"),
        ({"network": color}, (0, 1, 2), "takes (8, 8, 3) and gives 10 logits; the images of digits need (8, 8, 1)"),
        ({}, (0,), "digits has no test images; a zoo needs some"),
    ):
        some = images.take(np.flatnonzero(np.isin(images.split, kept)))
        with pytest.raises(ValueError, match=re.escape(message)):
            fit(some, recipe=dataclasses.replace(recipe, **change), progress=False)


def test_an_architecture_by_name(images):
    assert zoo_network("mlp", images, None, "tanh") == Network("mlp", (64, 16, 16, 10), "tanh")
    assert zoo_network("cnn", images, (4, 4)) == CNN((8, 8, 1), (4, 4), 10)
    with pytest.raises(ValueError, match="unknown architecture 'rnn'"):
        zoo_network("rnn", images)
