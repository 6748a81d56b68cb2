"""Every reader: what it is invariant to and what not, what reaches its output, and what is refused."""

import inspect
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.helpers import dense_axes
from tests.models.helpers import check_refusals, metadata, plain, toy
from tests.models.readers import (
    ALL,
    CLAIMS,
    READERS,
    TINY,
    Actions,
    fewest,
    made,
    metadata_of,
    network,
    tiny,
    used,
)
from tests.models.specs import ADAPTED
from tests.symmetry import linear
from wsjax import models
from wsjax.models import Normalizer, make
from wsjax.models.graph.graph import graph_of
from wsjax.models.layers.normalizer import normalizer
from wsjax.models.layers.stack import dropout
from wsjax.models.registry import settings_of
from wsjax.models.testing import check_invariant, check_reader, gradients
from wsjax.models.testing.determinism import keyed
from wsjax.models.testing.parts import in_parts
from wsjax.models.testing.precise import in_float64, read, same_program, to_float64
from wsjax.models.wrappers import computing_in, head_arrays
from wsjax.networks import CNN, Network
from wsjax.symmetry import Fixed, Group, mlp, siren, symmetry_of

pytestmark = pytest.mark.usefixtures("untyped")

KEY = jax.random.key(7)
PROBES = (models.Probe, models.ActivationProbe, models.Hybrid)
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


GRAPHS = ("scale_gmn", "weight_gcn", "neural_graph", "relational")
READ_AS: dict[str, Actions] = {
    **dict.fromkeys(("dws", "statistics", "nfn", "nft", "array_encoder", "neural_graph", "relational"), ("permute",)),
    **dict.fromkeys(("scale_gmn", "weight_gcn"), ("permute", "sign", "phase", "rescale")),
    "canonical mlp": ("permute", "sign", "rescale", "linear"),
}


@pytest.mark.parametrize("name", READ_AS)
def test_each_index_has_elements_of_its_own_and_a_linear_group_is_read_by_those_of_single_neurons(name):
    """Of groups within others, and of matrices; graphs are of stacked layers, the others of stacked heads too."""
    kind, settings = READERS[name]
    symmetry = ADAPTED if kind in GRAPHS else linear.STACKED
    deep = {"layers": 3} if kind in GRAPHS and "layers" in settings else {}
    reader = toy(models.READERS[kind], **settings)(symmetry, **deep)
    assert check_invariant(reader, symmetry, actions=READ_AS[name], key=KEY) < 1e-10
    if "linear" not in READ_AS[name]:
        with pytest.raises(AssertionError, match="'linear' on group"):
            check_invariant(reader, symmetry, actions=("linear",), key=KEY)


def test_dropout_drops_whole_channels_and_keeps_the_expectation():
    drop = jax.jit(jax.vmap(lambda key: dropout(jnp.ones((3, 64)), key, 0.5, index=0)))
    drawn = np.asarray(drop(jax.random.split(KEY, 64)))
    assert set(np.unique(drawn)) == {0.0, 2.0}
    np.testing.assert_array_equal(drawn, drawn[:, :1].repeat(3, axis=1))
    assert drawn.mean() == pytest.approx(1.0, abs=0.06)  # four standard errors of 4096 draws


def test_the_normalizer_shifts_no_array_of_a_sign_group_and_never_divides_by_zero():
    """Nor one of half turns alone, which turn outgoing weights around."""

    def made_for(symmetry, **statistics) -> Normalizer:
        return normalizer(symmetry, dict.fromkeys(symmetry.names, statistics))

    shift = lambda symmetry: [float(s) for s in made_for(symmetry, mean=1.0, std=2.0, rms=4.0).shift.value]
    half_turns = symmetry_of(
        [dense_axes("in", "h"), dense_axes("h*", "out")],
        {"in": Fixed(2, "input"), "h": Group(3, "sine", actions=("permute", "phase")), "out": Fixed(1, "output")},
    )
    assert shift(siren((2, 3, 3, 1))) == [0, 0, 0, 0, 0, 1]
    assert shift(half_turns) == [0, 0, 1, 0]  # leaves in the order of their names, biases first
    assert shift(mlp((2, 3, 1), "gelu")) == [1, 1, 1, 1]
    never_varies = made_for(siren((2, 3, 1)), mean=0.0, std=0.0, rms=0.0)
    assert all(float(s) == 1 for s in never_varies.scale.value)


def test_a_reader_takes_the_outputs_that_it_is_given_or_one_for_each_class():
    for name in models.READERS:
        reads = lambda key, weights, name=name: make(name, TINY, fewest(name), out_size=3, key=key)(weights)
        assert jax.eval_shape(reads, KEY, network()).shape == (3,), name
        with pytest.raises(ValueError, match=r"name no classes; expected one at least.*integers.*: out_size=1"):
            make(name, metadata(classes=0), fewest(name), key=KEY)
    reads = lambda key, weights: make("dws", TINY._replace(classes=()), {"channels": 3}, out_size=3, key=key)(weights)
    assert jax.eval_shape(reads, KEY, network()).shape == (3,)
    for classes in (0, 4):
        with pytest.raises(ValueError, match=r"out_size is 0; it must be one integer in \[1, inf\)"):
            make("mlp", metadata(classes=classes), out_size=0, key=KEY)


@by_reader
def test_weights_of_another_architecture_are_refused_by_their_leaf(name, untyped):
    for widths, found in (((2, 6, 3), r"\(2, 6\).* expects \(2, 4\)"), ((3, 4, 3), r"\(3, 4\).* expects \(2, 4\)")):
        other = siren(widths)
        with pytest.raises(ValueError, match=rf"\[0\]\.kernel has shape {found}"):
            tiny(name)(other.unflatten([jax.device_put(np.zeros(shape, np.float32)) for shape in other.shapes]))


every_class = pytest.mark.parametrize(
    "reader", [*models.READERS.values(), models.ImageProbe, models.Editor, models.ScaleEditor]
)


def required(reader: Any) -> dict[str, Any]:
    """What a reader is made for: a Symmetry or a network, and the number of outputs."""
    network = CNN((8, 8, 1), (4, 4), 3) if reader is models.ImageProbe else TINY.network
    right = {"symmetry": TINY.symmetry, "network": network, "out_size": 3}
    return {name: right[name] for name in list(inspect.signature(reader).parameters)[:2] if name in right}


@every_class
def test_numpys_integers_are_sizes_like_pythons(reader):
    """From a loop over `np.arange`, or an array of a search."""
    sizes = {n: p.default for n, p in inspect.signature(reader).parameters.items() if type(p.default) is int}

    def built(kind: type) -> Any:
        given = {name: kind(value) if isinstance(value, int) else value for name, value in required(reader).items()}
        numbers = {name: kind(value) for name, value in sizes.items()}
        return eqx.filter_eval_shape(lambda key: reader(**given, **numbers, key=key), KEY)

    assert eqx.tree_equal(built(np.int64), built(int))


@every_class
def test_what_a_reader_is_made_for_is_checked_first_and_the_way_out_named(reader):
    takes, right = inspect.signature(reader).parameters, required(reader)
    pass_network = r": pass dataset\.metadata\.network, or where that is None a network of your own$"
    pass_symmetry = r"( or a Graph)?: pass dataset\.symmetry$"
    cases: list[tuple[str, Any, str]] = [
        ("symmetry", TINY, rf"symmetry is a StubMetadata; expected a Symmetry{pass_symmetry}"),
        ("network", TINY.symmetry, rf"network is a Symmetry; expected a (Network|CNN|network that .*){pass_network}"),
        ("network", None, rf"network is None; expected a .*{pass_network}"),
        ("out_size", "10", r"out_size is '10'; it must be one integer in \[1, inf\)"),
        ("out_size", 2.5, r"out_size is 2\.5; it must be one integer in \[1, inf\)"),
        ("normalizer", TINY.statistics, r"normalizer is a dict; expected a Normalizer or None: pass dataset\.norma"),
        ("normalizer", metadata, r"normalizer is a function; expected a Normalizer or None: .*\.normalizer\(\)$"),
    ]
    for name, value, words in cases:
        if name in right or (name == "normalizer" and name in takes):
            with pytest.raises((TypeError, ValueError), match=words):
                reader(**{**right, name: value}, key=KEY)


ATTENTION = r"expected a multiple of heads, 4"
NO_SIZE = r"it must be one integer in \[1, inf\)"
REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (models.DWS, {"channels": 3, "maps": "attention"}, rf"channels is 3; {ATTENTION}"),
    (models.DWS, {"channels": 0}, rf"channels is 0; {NO_SIZE}"),
    (models.DWS, {"layers": 2.5}, rf"layers is 2\.5; {NO_SIZE}"),
    (models.DWS, {"maps": "atention"}, r"unknown maps 'atention'; the valid ones are: linear, attention"),
    (models.DWS, {"pooling": "average"}, r"unknown pooling 'average'; the valid ones are: mean, sum, max"),
    (models.Editor, {"layers": 2.5}, rf"layers is 2\.5; {NO_SIZE}"),
    (models.NFN, {"io_encoding": "learned"}, r"io_encoding is 'learned' and layer is 'hnp', .*expected io_enc"),
    (models.NFN, {"layer": "npn"}, r"unknown layer 'npn'; the valid ones are: hnp, np"),
    (models.NFN, {"norm": "batch"}, r"unknown norm 'batch'; the valid ones are: none, layer, rms, array"),
    (models.NFN, {"frequencies": -1}, r"frequencies is -1; it must be one integer in \[0, inf\)"),
    (models.NFN, {"scale": 0, "frequencies": 0}, r"scale is 0; it must be one number in \(0, inf\)"),
    (models.NFT, {"scale": 0, "frequencies": 0}, r"scale is 0; it must be one number in \(0, inf\)"),
    (models.NFT, {"width": 10}, rf"width is 10; {ATTENTION}"),
    (models.NFT, {"io_encoding": "cosine"}, r"unknown io_encoding 'cosine'; the valid ones are: none, sinusoidal"),
    (models.ArrayEncoder, {"latents": 0}, rf"latents is 0; {NO_SIZE}"),
    (models.ArrayEncoder, {"width": 6}, rf"width is 6; {ATTENTION}"),
    (models.RowTransformer, {"width": 10}, rf"width is 10; {ATTENTION}"),
    (models.RowTransformer, {"pool": "cls"}, r"unknown pool 'cls'; the valid ones are: mean, token"),
    (models.RowTransformer, {"layers": 1.5}, rf"layers is 1\.5; {NO_SIZE}"),
    (models.FlatMLP, {"width": 2.5}, rf"width is 2\.5; {NO_SIZE}"),
    (models.FlatMLP, {"canonical": "false"}, r"unknown canonical 'false'; the valid ones are: False, True"),
    (models.StatisticsMLP, {"depth": 0}, rf"depth is 0; {NO_SIZE}"),
    (models.NeuralGraph, {"width": 1}, r"width is 1; it must be one integer in \[2, inf\)"),
    (models.NeuralGraph, {"readout": "nodes"}, r"unknown readout 'nodes'; the valid ones are: outputs, gr"),
    (models.NeuralGraph, {"layers": 2}, r"layers is 2, and the edges 'in' -> 'h1' are farther"),
    (models.NeuralGraph, {"probes": 3}, r"probes is 3, and no network is there to run"),
    (models.NeuralGraph, {"probes": 3, "network": TINY.symmetry}, r"probes is 3, and no network is there to run"),
    (models.NeuralGraph, {"normalizer": plain(TINY.symmetry)}, r"is for 4 arrays; the Symmetry names 6: .*same data"),
    (models.RelationalTransformer, {"attention": 6, "heads": 4}, rf"attention is 6; {ATTENTION}, as the heads share"),
    (models.RelationalTransformer, {"heads": 0}, rf"heads is 0; {NO_SIZE}"),
    (models.ScaleGMN, {"direction": "both"}, r"unknown direction 'both'; the valid ones are: forward, bidirectional"),
    (models.ScaleGMN, {"channels": 1}, r"channels is 1; it must be one integer in \[2, inf\)"),
    (models.ScaleGMN, {"layers": 2, "readout": "outputs"}, r"layers is 2: the outputs does not .* from 'in' to 'h1'"),
    (models.WeightGCN, {"channels": 1}, r"channels is 1; it must be one integer in \[2, inf\)"),
    (models.WeightGCN, {"sweeps": 0}, rf"sweeps is 0; {NO_SIZE}"),
    (models.WeightGCN, {"head": 0}, rf"head is 0; {NO_SIZE}"),
    (models.Probe, {"coordinate_range": (1.0, 1.0)}, r"coordinate_range is \(.*; expected a lower and a higher number"),
    (models.Probe, {"value_range": (0.5, 0.0)}, r"value_range is \(.*; expected a lower and a higher number"),
    *[(kind, {"generator": -1}, r"generator is -1; it must be one integer in \[0, inf\)") for kind in PROBES],
    *[(kind, {"probes": 0}, rf"probes is 0; {NO_SIZE}") for kind in PROBES],
    (models.GridProbe, {"side": 1}, r"side is 1; it must be one integer in \[2, inf\)"),
    (models.GridProbe, {"layers": 0}, rf"layers is 0; {NO_SIZE}"),
    (models.GridProbe, {"value_range": (0.5, 0.0)}, r"value_range is \(.*; expected a lower and a higher number"),
    (models.Hybrid, {"probe_features": 0}, rf"probe_features is 0; {NO_SIZE}"),
]


def test_settings_that_cannot_be_are_refused():
    of = Network("siren", (2, 3, 3, 1))

    def make(kind, **settings):
        takes = inspect.signature(kind).parameters
        return kind(of if "network" in list(takes)[:1] else of.symmetry, **settings, key=KEY)

    sized = lambda kind: {"out_size": 3} if "out_size" in inspect.signature(kind).parameters else {}
    check_refusals(*((partial(make, kind, **sized(kind)), settings, words) for kind, settings, words in REFUSED))
    union = partial(models.NeuralGraph, graph_of(of.symmetry), 3, key=KEY)
    check_refusals((union, {"normalizer": plain(of.symmetry)}, r"expected None for a reader of padded graphs"))


def test_parts_that_cannot_be_are_refused():
    of_images = partial(models.ImageProbe, CNN((8, 8, 1), (4, 4), 3), 1, key=KEY)
    check_refusals(
        (partial(settings_of, "dws", "bas"), {}, r"unknown size 'bas' of reader 'dws'.*small, base, pub.*mean 'base'"),
        (
            partial(computing_in, tiny("mlp"), "float16"),
            {},
            r"dtype to compute in 'float16'; the valid ones are: flo",
        ),
        (
            partial(models.TestTimeAugmentation, tiny("mlp"), copies=0, key=KEY),
            {"transform": None},
            "copies is 0; it mu",
        ),
        (of_images, {"generator": 0}, rf"generator is 0; {NO_SIZE}"),
        (of_images, {"image_range": (1.0, 1.0)}, r"image_range is \(1\.0, 1\.0\); expected a lower and a higher"),
        (
            partial(Normalizer, [0.0]),
            {"scale": [1.0, 1.0]},
            r"shifts have shape \(1,\) and the scales \(2,\); expec",
        ),
        (partial(head_arrays, plain(TINY.symmetry)), {}, r"Normalizer has the fields shift, scale and no head; expec"),
        (partial(head_arrays, {}), {}, r"dict has the fields none and no head; expected the head in a field of that"),
    )


def test_what_no_reader_can_be_built_of_is_refused_by_name():
    makes = lambda name, settings=None, **parts: make(name, metadata()._replace(**parts), settings, key=KEY)
    whole, kernel, bias = metadata().statistics, "weights[0].kernel", "weights[2].bias"
    without = lambda leaf, kind: {**whole, leaf: {n: number for n, number in whole[leaf].items() if n != kind}}
    dws, hybrid, inner = partial(makes, "dws"), partial(makes, "hybrid"), {"reader": "nfn", "settings": {"width": 3}}
    check_refusals(
        (dws, {"settings": {"chanels": 3}}, r"setting 'chanels' of reader 'dws'.*channels, layers.*mean 'channels'"),
        (settings_of, {"name": "dwss"}, r"unknown reader 'dwss'.*mean 'dws'.*dws, mlp, probe"),
        (dws, {"statistics": {bias: {}}}, r"no statistics for weights\[0\]\.kernel"),
        (dws, {"statistics": without(kernel, "rms")}, r"weights\[0\]\.kernel lack rms; found mean, std, expected"),
        (dws, {"statistics": without(bias, "std")}, r"weights\[2\]\.bias lack std; found mean, rms, expected"),
        (
            dws,
            {"statistics": {**whole, bias: {"mean": np.nan, "std": 1.0}}},
            r"mean of weights\[2\]\.bias is nan; it",
        ),
        (
            dws,
            {"statistics": {**whole, kernel: {"rms": -1.0}}},
            r"rms of weights\[0\]\.kernel is -1\.0; .* in \[0, i",
        ),
        (partial(makes, "probe"), {"network": None}, r"'probe' runs the networks that it reads.*use one of dws, mlp"),
        (hybrid, {"network": None}, r"'hybrid' runs the networks that it reads, and the metadata name no"),
        (hybrid, {"statistics": {}}, r"no statistics for weights\[0\]\.kernel"),
        (hybrid, {"settings": {"reader": "probe"}}, r"unknown reader 'probe' of weights in a hybrid; .*dws, mlp.*rel"),
        (hybrid, {"settings": inner}, r"unknown setting 'width' of reader 'nfn'"),
    )
