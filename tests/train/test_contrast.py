"""Contrastive pre-training: the paper's loss, no label and no test network read, and readers that tell apart."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.train.helpers import SMALL, bits, changed, without_seconds
from wsjax.augment import parse_batch
from wsjax.data.sources import SPLITS
from wsjax.models import NamedReader
from wsjax.train import Contrastive, Result, Run, evaluate, fit, load, record
from wsjax.train.contrastive import agree, features_of, nt_xent
from wsjax.train.source import resident

CONFIG = replace(SMALL, epochs=12, evaluate_every=4)
RUNS = (Run(0, 1e-2), Run(1, 1e-2))
TASK = Contrastive()


def contrast(dataset, config=CONFIG, runs=RUNS, **given) -> Result:
    """Pre-train the small MLP with an embedding of 8 numbers."""
    make_model = NamedReader("mlp", dataset.metadata, {"width": 2, "depth": 1}, 8)
    return fit(dataset, make_model, config, runs=runs, progress=False, **{"task": TASK, **given})


@pytest.fixture(scope="module")
def contrasted(networks):
    return contrast(networks)


def paper(embeddings, objects, temperature):
    """Equation 1 of SimCLR view by view, the sum over those of another object, or that are the same network's."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    similar, count, losses = np.exp(unit @ unit.T / temperature), len(objects), []
    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        others = [k for k in range(2 * count) if k == partner or objects[k % count] != objects[i % count]]
        losses.append(-np.log(similar[i, partner] / similar[i, others].sum()))
    return np.mean(losses)


loss = jax.jit(jax.value_and_grad(nt_xent))
VIEWS = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)


def test_the_loss_is_that_of_the_paper():
    for objects in (np.arange(5), np.array([7, 3, 7, 1, 2])):
        for temperature in (0.1, 1.0):
            expected = paper(VIEWS.astype(np.float64), objects, temperature)
            np.testing.assert_allclose(loss(VIEWS, objects, temperature)[0], expected, rtol=1e-5)


def test_the_loss_and_its_gradient_are_optax_s_where_all_objects_differ():
    value, gradient = loss(VIEWS, np.arange(5), 0.2)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        paper_loss = lambda x: optax.losses.ntxent(x, jnp.tile(jnp.arange(5), 2), 0.2)
        expected, theirs = jax.jit(jax.value_and_grad(paper_loss))(VIEWS)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, theirs, atol=1e-5)


def test_networks_of_one_object_do_not_count_against_each_other():
    one, near, far, other = [1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.3]
    views = np.array([one, near, far, one, other, far])  # `near` is nearer to `one` than to its own other view
    agreed = jax.jit(agree)
    assert agreed(views, np.array([0, 1, 2])).tolist() == [True, False, True, True, True, True]
    assert agreed(views, np.array([0, 0, 2])).all()
    gradient = loss(VIEWS, np.full(5, 4), 0.1)[1]
    np.testing.assert_array_equal(gradient, np.zeros_like(VIEWS))  # nothing to move away from


def test_training_lowers_the_loss_and_tells_new_networks_apart(networks, contrasted):
    first, last = ([r for r in contrasted.history if r["epoch"] == epoch] for epoch in (4, 12))
    count = len(networks.split("validation"))
    for before, after in zip(first, last, strict=True):
        assert after["loss"] < before["loss"]
        assert after["validation_contrastive_accuracy"] > 3 / (2 * count - 1)  # chance is a third of that
    assert [(r["run"], r["seed"]) for r in last] == [(0, 0), (1, 1)]
    for chosen in contrasted.scores():  # the last, though it need not be the best
        assert chosen["epoch"] == 12
    assert bits(contrasted.state.best) == bits(contrasted.state.parameters)


def test_labels_are_not_used(networks, contrasted):
    # The metadata names the architecture and no longer the classes, as that of a data set with targets does.
    metadata = replace(networks.metadata, classes=())
    for label in (np.zeros(len(networks), np.int32), np.full((len(networks), 2), np.nan)):
        other = replace(networks, label=label, metadata=metadata)
        assert bits(contrast(other).state) == bits(contrasted.state)
    assert bits(contrasted.model(0)) != bits(contrasted.model(1))


@pytest.mark.parametrize("split_name", ["validation", "test"])
def test_no_other_split_moves_a_parameter(networks, contrasted, split_name):
    chosen = networks.columns["split"] == SPLITS.index(split_name)
    spoiled = replace(networks, weights=jax.tree.map(lambda w: changed(w, chosen, 7.0 * w), networks.weights))
    found = contrast(spoiled)
    assert bits(found.state.parameters) == bits(contrasted.state.parameters)
    assert (without_seconds(found.history) == without_seconds(contrasted.history)) == (split_name == "test")


def test_features_are_those_of_one_network_after_another(networks, contrasted):
    reader = contrasted.model(1)
    found = features_of(reader, networks.weights)
    assert found.shape[0] == len(networks)
    features, output = jax.jit(lambda w: (reader.features(w), reader(w)))(networks.network(3))
    np.testing.assert_allclose(found[3], features, atol=1e-6)
    assert output.shape == (8,)


def test_the_accuracy_of_a_split_is_that_of_its_whole_batches(networks):
    model, key = lambda w: w[0].kernel.reshape(-1), jax.random.key(5)
    data = jax.tree.map(np.asarray, resident(networks, "train", TASK))
    whole = jax.tree.map(lambda x: x[: len(data.label) // 7 * 7], data)
    assert len(whole.label) < len(data.label)
    reached = jax.jit(lambda pipeline, part: TASK.scores(model, pipeline, key, part, batch_size=7)[0])
    turned, silent = (parse_batch(f"rotate(max_degrees={most})", networks.symmetry) for most in (180.0, 0.0))
    assert 0 < reached(turned, data) == reached(turned, whole) < 1
    assert reached(silent, data) == 1  # a view is nearest to its equal


REFUSED = {
    "augment is empty": {"augment": " "},
    r"label_smoothing in .* works on labels": {"augment": "noise | label_smoothing(rate=0.1)"},
    "batch_size is 1; expected 2 networks at least": {"batch_size": 1},
    "microbatches is 2; expected 1": {"microbatches": 2},
    "freeze is .trunk.; expected None": {"freeze": "trunk"},
}


def test_what_cannot_be_learned_from_is_refused(networks):
    for message, settings in REFUSED.items():
        with pytest.raises(ValueError, match=message):
            contrast(networks, replace(CONFIG, **settings))
    with pytest.raises(ValueError, match=r"temperature.* 0"):
        Contrastive(0.0)
    split = networks.columns["split"]
    for number, name in enumerate(("training", "validation")):
        lonely = networks.take(np.concatenate([np.flatnonzero(split == number)[:1], np.flatnonzero(split != number)]))
        with pytest.raises(ValueError, match=rf"the {name} split of .* is 1; expected 2 networks at least"):
            contrast(lonely)


def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(networks, contrasted, tmp_path, broken):
    broken(partial(contrast, networks), tmp_path, first=4)
    with pytest.raises(ValueError, match=r"other settings: task\.temperature is 0\.1 there and 0\.5 here"):
        contrast(networks, out=tmp_path, task=Contrastive(0.5))
    assert bits(contrast(networks, out=tmp_path).state) == bits(contrasted.state)
    assert (tmp_path / record.METRICS).read_text().count("validation_contrastive_accuracy") == 6
    loaded = load(tmp_path)
    assert loaded.task == TASK
    np.testing.assert_array_equal(loaded.predict(networks.weights, 1), contrasted.predict(networks.weights, 1))
    with pytest.raises(ValueError, match=r"a contrastive training has no score of outputs.*features_of"):
        evaluate(loaded, networks)


def test_runs_take_views_of_their_own(networks, contrasted):
    own = replace(RUNS[1], augment="rotate(max_degrees=170) | scale(max_log=0.1)")
    found = contrast(networks, runs=(RUNS[0], own)).state.parameters
    for leaf, known in zip(jax.tree.leaves(found), jax.tree.leaves(contrasted.state.parameters), strict=True):
        np.testing.assert_allclose(leaf[0], known[0], atol=1e-4)
        assert np.abs(np.asarray(leaf)[1] - known[1]).max() > 1e-3
