"""Readers: what they are invariant to, what they feel, and what training may touch."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.cards import card
from wsjax.models import CONFIGS, DWSConfig, FlatConfig, Normaliser, build, config_of, normaliser, trainable
from wsjax.models.dropout import dropout
from wsjax.models.testing import check_deterministic
from wsjax.networks import Network
from wsjax.symmetry import act, mlp, sample, sample_permutation, sample_signs, siren

read = eqx.filter_jit(lambda reader, weights, **settings: reader(weights, **settings))
"""Compiled once for a kind of reader, whatever its parameters."""

SMALL = {
    "dws": {"channels": 3},
    "mlp": {"width": 8},
    "probe": {"probes": 6, "width": 8},
    "activation_probe": {"probes": 6, "width": 8},
    "probed_dws": {"probes": 6, "channels": 3},
    "hybrid": {"settings": {"channels": 3, "layers": 2}, "probes": 6, "seen": 2},
    "statistics": {"width": 8},
    "rows": {"width": 8, "heads": 2},
    "scale_gmn": {"channels": 3, "layers": 2},
    "weight_gcn": {"channels": 3},
    "neural_graph": {"width": 4, "edges": 3, "layers": 3, "waves": 0},
    "relational": {"width": 4, "edges": 3, "layers": 3, "waves": 0, "attention": 4, "heads": 2, "hidden": 4},
    "nfn": {"channels": 2, "bands": 2},
    "nft": {"width": 4, "heads": 2, "layers": 1, "bands": 2},
    "array_encoder": {"width": 4, "heads": 2, "layers": 1, "bands": 2, "latents": 3},
}


@pytest.fixture(params=list(CONFIGS))
def reader(request, getkey):
    return build(request.param, card(), SMALL[request.param], key=getkey())


def network(key):
    weights = Network("siren", (2, 5, 4, 3), w0=(5.0,)).init(key)
    return jax.tree.map(lambda w: w + 0.05, weights)  # no zero biases: they hide mistakes


def test_every_reader_gives_one_number_a_class(reader, getkey):
    assert read(reader, network(getkey())).shape == (4,)


def test_dws_is_invariant_to_permutations_and_the_baseline_is_not(getkey):
    weights = network(getkey())
    moved = act(sample_permutation(getkey(), card().symmetry), weights)
    dws = build("dws", card(), SMALL["dws"], key=getkey())
    flat = build("mlp", card(), SMALL["mlp"], key=getkey())
    np.testing.assert_allclose(read(dws, moved), read(dws, weights), atol=1e-6)
    assert float(jnp.abs(read(flat, moved) - read(flat, weights)).max()) > 1e-4


def test_dws_feels_signs_which_is_what_augmentation_is_for(getkey):
    weights = network(getkey())
    flipped = act(sample_signs(getkey(), card().symmetry), weights)
    dws = build("dws", card(), SMALL["dws"], key=getkey())
    assert float(jnp.abs(read(dws, flipped) - read(dws, weights)).max()) > 1e-4


def test_a_probe_is_invariant_to_the_whole_group(getkey):
    weights = network(getkey())
    probe = build("probe", card(), SMALL["probe"], key=getkey())
    moved = act(sample(getkey(), card().symmetry), weights)
    np.testing.assert_allclose(read(probe, moved), read(probe, weights), atol=1e-4)


@pytest.mark.parametrize("activation", ["gated", "relu"])
def test_every_array_of_a_network_reaches_the_output(activation, getkey):
    dws = build("dws", card(), {"channels": 8, "activation": activation}, key=getkey())
    slopes = jax.jit(jax.grad(lambda w: jnp.sum(dws(w) * jnp.arange(1.0, 5.0))))(network(getkey()))
    assert all(float(jnp.abs(s).max()) > 0 for s in jax.tree.leaves(slopes))


def test_half_precision_networks_are_read(reader, getkey):
    weights = network(getkey())
    half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), weights)
    assert read(reader, half).dtype == jnp.float32


@pytest.mark.parametrize("name", ["mlp", "rows"])  # the others are held to it in test_sizes_in_use.py
def test_dropout_is_off_without_a_key_and_at_rate_0(name, getkey):
    made = build(name, card(), SMALL[name], key=getkey())
    assert check_deterministic(made, card().symmetry, key=getkey()) < 1e-10


def test_dropout_drops(reader, getkey):
    weights = network(getkey())
    draws = jax.jit(jax.vmap(lambda k: reader(weights, key=k, rate=0.5)))(jax.random.split(getkey(), 64))
    assert float(draws.std(axis=0).max()) > 1e-5


def test_dropout_drops_whole_channels_and_keeps_the_expectation(getkey):
    drawn = np.asarray(jax.vmap(lambda k: dropout(jnp.ones((3, 64)), k, 0.5, salt=0))(jax.random.split(getkey(), 64)))
    assert set(np.unique(drawn)) == {0.0, 2.0}
    np.testing.assert_array_equal(drawn, drawn[:, :1].repeat(3, axis=1))
    assert drawn.mean() == pytest.approx(1.0, abs=0.06)  # four standard errors of 4096 draws


def test_the_normaliser_does_not_train(getkey):
    dws = build("dws", card(), SMALL["dws"], key=getkey())
    marks = trainable(dws)
    assert not any(jax.tree.leaves(marks.normaliser))
    assert all(jax.tree.leaves(marks.layers))


def test_the_normaliser_shifts_no_array_of_a_sign_group():
    statistics = {n: {"mean": 1.0, "std": 2.0, "rms": 4.0} for n in siren((2, 3, 3, 1)).names}
    shift = [float(s) for s in normaliser(siren((2, 3, 3, 1)), statistics).shift]
    assert shift == [0, 0, 0, 0, 0, 1]
    gelu = mlp((2, 3, 1), "gelu")
    statistics = {n: {"mean": 1.0, "std": 2.0, "rms": 4.0} for n in gelu.names}
    assert [float(s) for s in normaliser(gelu, statistics).shift] == [1, 1, 1, 1]


def test_an_array_that_never_varies_is_not_divided_by_zero():
    names = siren((2, 3, 1)).names
    made = normaliser(siren((2, 3, 1)), {n: {"mean": 0.0, "std": 0.0, "rms": 0.0} for n in names})
    assert isinstance(made, Normaliser)
    assert all(float(s) == 1 for s in made.scale)


def test_unknown_names_list_the_valid_ones(untyped, getkey):
    with pytest.raises(ValueError, match=r"unknown reader 'dwss'.*dws, mlp, probe.*mean 'dws'"):
        build("dwss", card(), key=getkey())
    with pytest.raises(ValueError, match=r"unknown setting of reader 'dws' 'chanels'.*channels, layers.*'channels'"):
        config_of("dws", {"chanels": 3})
    with pytest.raises(ValueError, match=r"channels is 0; it must be one whole number in \[1, inf\]"):
        config_of("dws", {"channels": 0})
    for name, setting in (("dws", "layers"), ("mlp", "width"), ("probe", "probes")):
        with pytest.raises(ValueError, match=rf"{setting} is 2\.5; it must be one whole number in \[1, inf\]"):
            config_of(name, {setting: 2.5})


def test_weights_of_another_architecture_are_refused_by_their_leaf(reader, untyped, getkey):
    for widths, found in (
        ((2, 6, 4, 3), r"\(2, 6\).* expects \(2, 5\)"),
        ((3, 5, 4, 3), r"\(3, 5\).* expects \(2, 5\)"),
    ):
        other = Network("siren", widths).init(getkey())
        with pytest.raises(ValueError, match=rf"\[0\]\.kernel has shape {found}"):
            reader(other)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_card_without_classes_is_refused(name, untyped, getkey):
    with pytest.raises(ValueError, match=r"names no classes; expected one at least.*whole numbers.*to give: outputs=1"):
        build(name, card(classes=0), SMALL[name], key=getkey())


@pytest.mark.parametrize("classes", [0, 4])
def test_a_given_number_of_outputs_stands_before_the_classes(classes, untyped, getkey):
    for name in CONFIGS:
        reader = build(name, card(classes=classes), SMALL[name], outputs=3, key=getkey())
        assert jax.eval_shape(reader, network(getkey())).shape == (3,)
    with pytest.raises(ValueError, match=r"outputs is 0; it must be one whole number in \[1, inf\]"):
        build("mlp", card(classes=classes), outputs=0, key=getkey())


def test_the_settings_of_another_reader_are_refused(untyped, getkey):
    assert read(build("dws", card(), DWSConfig(channels=3), key=getkey()), network(getkey())).shape == (4,)
    with pytest.raises(TypeError, match=r"config is a FlatConfig; the reader 'dws' takes a DWSConfig, a mapping"):
        build("dws", card(), FlatConfig(), key=getkey())


def test_a_probe_refuses_networks_that_it_cannot_run(untyped, getkey):
    with pytest.raises(ValueError, match=r"'probe' runs the networks it reads.*use one of dws, mlp"):
        build("probe", card()._replace(network=None), key=getkey())


def test_statistics_that_are_missing_are_named(untyped, getkey):
    with pytest.raises(ValueError, match=r"no statistics for weights\[0\]\.kernel"):
        build("dws", card()._replace(statistics={"weights[0].bias": {}}), key=getkey())
    whole = card().statistics
    for name, kind in (("weights[0].kernel", "rms"), ("weights[2].bias", "std")):
        without = {n: value for n, value in whole[name].items() if n != kind}
        message = rf"statistics of {re.escape(name)} lack {kind}; found {', '.join(without)}, expected mean, std"
        with pytest.raises(ValueError, match=message):
            build("dws", card()._replace(statistics={**whole, name: without}), key=getkey())
