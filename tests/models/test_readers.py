"""Every reader: what it is invariant to and what not, what reaches its output, and what is refused."""

import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.models.metadata import metadata
from tests.models.readers import ALL, CLAIMS, READERS, TINY, fewest, made, metadata_of, network, tiny, used
from tests.models.refusals import check_refusals
from wsjax import models
from wsjax.models import DWS, Normalizer, head_arrays, make, normalizer, settings_of
from wsjax.models.layers.stack import dropout
from wsjax.models.testing import check_invariant, check_reader, gradients
from wsjax.models.testing.determinism import keyed
from wsjax.models.testing.parts import in_parts
from wsjax.models.testing.precise import in_float64, read, same_program, to_float64
from wsjax.networks import CNN
from wsjax.symmetry import mlp, siren

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(7)
by_reader = pytest.mark.parametrize("name", READERS)

FAILS = {
    **dict.fromkeys(("mlp", "rows", "rows with a token"), ("invariant to permute", "invariant features")),
    "statistics": ("sensitive to other moves",),
}
"""The checks that a baseline fails: it depends on the order of neurons, or couples no arrays."""


@by_reader
def test_a_reader_passes_every_check_of_the_kit_that_it_should(name):
    failed = []
    try:
        check_reader(made(name), metadata_of(name).symmetry, actions=CLAIMS[name] or ("permute",), key=KEY)
    except AssertionError as failure:
        failed = [row[:40].strip() for row in str(failure).splitlines() if row[40:].startswith("failed")]
    assert tuple(failed) == FAILS.get(name, ())


@by_reader
def test_outputs_and_gradients_are_finite_for_networks_of_zeros_and_with_dead_neurons(name):
    """As `debug_nans` asks for. Of the programs of the test above."""
    with in_float64():
        reader, weights = to_float64(made(name)), network(metadata_of(name), dtype=np.float64)
        dead = (weights[0]._replace(kernel=0 * weights[0].kernel, bias=0 * weights[0].bias), *weights[1:])
        varying, rest = eqx.partition(reader, eqx.is_inexact_array)
        for case in (dead, jax.tree.map(np.zeros_like, weights)):
            found = read(Partial(in_parts, reader), case), gradients._gradients(varying, rest, case, np.asarray(1.0))
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


@by_reader
def test_its_features_change_under_every_action_that_it_does_not_claim(name):
    features = Partial(in_parts, made(name))
    for action in set(ALL) - set(CLAIMS[name]):
        with pytest.raises(AssertionError, match=f"'{action}' on group"):
            check_invariant(features, metadata_of(name).symmetry, actions=(action,), key=KEY)


@by_reader
def test_every_array_of_a_network_reaches_the_output(name):
    with in_float64():
        described = metadata_of(name)
        reader, weights = Partial(in_parts, to_float64(made(name))), network(described, dtype=np.float64)
        still = read(reader, weights)[0]
        leaves, tree = jax.tree.flatten(weights)
        for i, leaf in enumerate(leaves):
            other = jax.tree.unflatten(tree, [*leaves[:i], 1.1 * leaf + 0.1, *leaves[i + 1 :]])
            assert np.abs(read(reader, other)[0] - still).max() > 1e-8, described.symmetry.names[i]


@by_reader
def test_dropout_drops_in_features_and_head_alike(name):
    with in_float64():
        reader, weights = to_float64(made(name)), network(metadata_of(name), dtype=np.float64)
        drawn = np.stack([keyed(reader, weights, key, 0.5) for key in jax.random.split(KEY, 8)])
        assert drawn.std(axis=0).max() > 1e-5
        whole = Partial(lambda r, key, w: r(w, key=key, dropout_rate=0.3), reader, KEY)
        parts = Partial(
            lambda r, key, w: r.head(r.features(w, key=key, dropout_rate=0.3), key=key, dropout_rate=0.3), reader, KEY
        )
        assert same_program(whole, parts, weights)


@by_reader
def test_a_batch_of_half_types_gives_the_type_and_shape_of_the_reader(name):
    half = jax.tree.map(lambda w: np.stack([w] * 3).astype(jnp.bfloat16), network())
    found = jax.eval_shape(jax.vmap(tiny(name)), half)
    assert (found.shape, found.dtype) == ((3, 4), jnp.float32)


@pytest.mark.parametrize("name", ["dws", "rows", "generated probe"])  # maps of arrays, attention, runs of the network
def test_a_batch_is_a_vmap(name):
    networks = [network(seed=seed) for seed in range(3)]
    found = eqx.filter_jit(eqx.filter_vmap(tiny(name)))(jax.tree.map(lambda *ws: np.stack(ws), *networks))
    np.testing.assert_allclose(found[1], eqx.filter_jit(tiny(name))(networks[1]), atol=1e-5)


@by_reader
def test_features_read_no_array_of_the_head_and_the_head_no_other(name):
    reader, weights = tiny(name), network()
    arrays, tree = jax.tree.flatten(eqx.filter(reader, eqx.is_inexact_array))
    rest = eqx.filter(reader, eqx.is_inexact_array, inverse=True)
    whole = lambda arrays: eqx.combine(jax.tree.unflatten(tree, arrays), rest)
    marks = zip(jax.tree.leaves(head_arrays(reader)), map(eqx.is_inexact_array, jax.tree.leaves(reader)), strict=True)
    in_head = [leaf for leaf, trains in marks if trains]
    read_by_features, vector = used(lambda arrays: whole(arrays).features(weights), arrays)
    assert vector.ndim == 1
    assert len(in_head) == len(arrays)
    assert any(in_head)
    assert used(lambda arrays: whole(arrays).head(jnp.ones(vector.shape, vector.dtype)), arrays)[0] == in_head
    assert not any(there and here for there, here in zip(read_by_features, in_head, strict=True))
    assert any(read_by_features) == (READERS[name][0] not in ("mlp", "statistics"))
    part = eqx.filter(reader, eqx.is_inexact_array)  # alone it has the same head
    assert jax.tree.leaves(head_arrays(part)) == in_head


def test_a_reader_without_a_head_is_refused(monkeypatch):
    monkeypatch.setattr(DWS, "HEAD_FIELDS", ("head",))
    with pytest.raises(ValueError, match=r"DWS has the fields normalizer, layers, .* and no head; expected the"):
        head_arrays(tiny("dws"))


def test_dropout_drops_whole_channels_and_keeps_the_expectation():
    drop = jax.jit(jax.vmap(lambda key: dropout(jnp.ones((3, 64)), key, 0.5, index=0)))
    drawn = np.asarray(drop(jax.random.split(KEY, 64)))
    assert set(np.unique(drawn)) == {0.0, 2.0}
    np.testing.assert_array_equal(drawn, drawn[:, :1].repeat(3, axis=1))
    assert drawn.mean() == pytest.approx(1.0, abs=0.06)  # four standard errors of 4096 draws


def test_the_normalizer_shifts_no_array_of_a_sign_group_and_never_divides_by_zero():
    def made_for(symmetry, **statistics) -> Normalizer:
        return normalizer(symmetry, dict.fromkeys(symmetry.names, statistics))

    shift = lambda symmetry: [float(s) for s in made_for(symmetry, mean=1.0, std=2.0, rms=4.0).shift.value]
    assert shift(siren((2, 3, 3, 1))) == [0, 0, 0, 0, 0, 1]
    assert shift(mlp((2, 3, 1), "gelu")) == [1, 1, 1, 1]
    never_varies = made_for(siren((2, 3, 1)), mean=0.0, std=0.0, rms=0.0)
    assert all(float(s) == 1 for s in never_varies.scale.value)


@pytest.mark.usefixtures("untyped")
def test_a_reader_takes_the_outputs_that_it_is_given_or_one_for_each_class():
    for name in models.READERS:
        reads = lambda key, weights, name=name: make(name, TINY, fewest(name), out_size=3, key=key)(weights)
        assert jax.eval_shape(reads, KEY, network()).shape == (3,), name
        with pytest.raises(ValueError, match=r"name no classes; expected one at least.*integers.*: out_size=1"):
            make(name, metadata(classes=0), fewest(name), key=KEY)
    reads = lambda key, weights: make("dws", TINY._replace(classes=()), {"channels": 3}, out_size=3, key=key)(weights)
    assert jax.eval_shape(reads, KEY, network()).shape == (3,)
    for classes in (0, 4):
        with pytest.raises(ValueError, match=r"out_size is 0; it must be one integer in \[1, inf\]"):
            make("mlp", metadata(classes=classes), out_size=0, key=KEY)


@by_reader
def test_weights_of_another_architecture_are_refused_by_their_leaf(name, untyped):
    for widths, found in (
        ((2, 6, 3), r"\(2, 6\).* expects \(2, 4\)"),
        ((3, 4, 3), r"\(3, 4\).* expects \(2, 4\)"),
    ):
        other = siren(widths)
        with pytest.raises(ValueError, match=rf"\[0\]\.kernel has shape {found}"):
            tiny(name)(other.unflatten([jax.device_put(np.zeros(shape, np.float32)) for shape in other.shapes]))


@pytest.mark.parametrize("reader", [*models.READERS.values(), models.ImageProbe, models.Editor, models.ScaleEditor])
def test_what_a_reader_is_made_for_is_checked_first_and_the_way_out_named(reader):
    takes, network = list(inspect.signature(reader).parameters), TINY.network
    network = CNN((8, 8, 1), (4, 4), 3) if reader is models.ImageProbe else network
    right = {"symmetry": TINY.symmetry, "network": network, "out_size": 3}
    pass_network = r": pass dataset\.metadata\.network, or where that is None a network of your own$"
    pass_symmetry = r"( or a Graph)?: pass dataset\.symmetry$"
    cases: list[tuple[str, Any, str]] = [
        ("symmetry", TINY, rf"symmetry is a StubMetadata; expected a Symmetry{pass_symmetry}"),
        ("network", TINY.symmetry, rf"network is a Symmetry; expected a (Network|CNN|network that .*){pass_network}"),
        ("network", None, rf"network is None; expected a .*{pass_network}"),
        ("out_size", "10", r"out_size is '10'; it must be one integer in \[1, inf\]"),
        ("out_size", 2.5, r"out_size is 2\.5; it must be one integer in \[1, inf\]"),
        ("normalizer", TINY.statistics, r"normalizer is a dict; expected a Normalizer or None: pass dataset\.norma"),
        ("normalizer", metadata, r"normalizer is a function; expected a Normalizer or None: .*\.normalizer\(\)$"),
    ]
    required = [name for name in right if name in takes[:2]]
    for name, value, words in cases:
        if name in required or (name == "normalizer" and name in takes):
            with pytest.raises((TypeError, ValueError), match=words):
                reader(**{**{n: right[n] for n in required}, name: value}, key=KEY)


@pytest.mark.usefixtures("untyped")
def test_what_no_reader_can_be_built_of_is_refused_by_name():
    of_metadata = lambda **parts: make("dws", metadata()._replace(**parts), key=KEY)
    whole, kernel, bias = metadata().statistics, "weights[0].kernel", "weights[2].bias"
    without = lambda leaf, kind: {**whole, leaf: {n: number for n, number in whole[leaf].items() if n != kind}}
    check_refusals(
        (
            settings_of,
            {"name": "dws", "settings": {"chanels": 3}},
            r"setting 'chanels' of reader 'dws'.*channels, layers.*mean 'channels'",
        ),
        (settings_of, {"name": "dwss"}, r"unknown reader 'dwss'.*mean 'dws'.*dws, mlp, probe"),
        (of_metadata, {"statistics": {bias: {}}}, r"no statistics for weights\[0\]\.kernel"),
        (
            of_metadata,
            {"statistics": without(kernel, "rms")},
            r"weights\[0\]\.kernel lack rms; found mean, std, expected",
        ),
        (
            of_metadata,
            {"statistics": without(bias, "std")},
            r"weights\[2\]\.bias lack std; found mean, rms, expected",
        ),
    )
    with pytest.raises(ValueError, match=r"'probe' runs the networks that it reads.*use one of dws, mlp"):
        make("probe", metadata()._replace(network=None), key=KEY)
