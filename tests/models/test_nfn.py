"""NFN: its layers span the published formulas, and its readers are invariant to what they claim and to no more."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.helpers import check_laws, drawn, toy
from tests.models.specs import CONVOLUTION, JOINED_RECURRENT, double, random_weights
from wsjax.models import EquivariantLinear
from wsjax.models.layers.feature_layout import features, lift, unlift
from wsjax.models.layers.fourier import FourierFeatures, expanded
from wsjax.models.layers.io_encoding import IOEncoding, permutable_io, sinusoids
from wsjax.models.readers.nfn import NFN
from wsjax.models.testing import check_invariant, check_sensitive, commutant_dimension
from wsjax.symmetry import Group, Symmetry, mlp, siren

pytestmark = pytest.mark.usefixtures("untyped")

CHAIN = siren((2, 4, 4, 3))
NP = {"layer": "np"}


KEY = jax.random.key(3)
nfn = toy(NFN, channels=2, layers=2, head=4, frequencies=2)


# The published layers, written out: maps of (W, b), W_i (d_i, d_i+1), from what each reads to where it writes.


def means(ws, bs):
    return [x.mean() for x in (*ws, *bs)]


def zeros(ws, bs):
    return [np.zeros_like(w) for w in ws], [np.zeros_like(b) for b in bs]


class Written:
    """Collects one flat image for each source and place that a formula names."""

    def __init__(self, ws, bs):
        self.ws, self.bs, self.found = ws, bs, []

    def kernel(self, i, value, row: int | slice = slice(None), column: int | slice = slice(None)):
        kernels, biases = zeros(self.ws, self.bs)
        kernels[i][row, column] = value
        self._keep(kernels, biases)

    def bias(self, i, value, entry: int | slice = slice(None)):
        kernels, biases = zeros(self.ws, self.bs)
        biases[i][entry] = value
        self._keep(kernels, biases)

    def _keep(self, kernels, biases):
        self.found.append(np.concatenate([x.reshape(-1) for pair in zip(kernels, biases, strict=True) for x in pair]))


def np_images(ws, bs) -> list[np.ndarray]:
    """O_i is the mean over a kernel's outputs, I_i over its inputs."""
    out, last = Written(ws, bs), len(ws) - 1
    along_outputs, along_inputs = [w.mean(axis=1) for w in ws], [w.mean(axis=0) for w in ws]
    for i, w in enumerate(ws):
        by_row = [along_outputs[i], *([along_inputs[i - 1], bs[i - 1]] if i else [])]
        by_column = [along_inputs[i], bs[i], *([along_outputs[i + 1]] if i < last else [])]
        out.kernel(i, w)
        for mean in means(ws, bs):
            out.kernel(i, mean)
            out.bias(i, mean)
        for vector in by_row:
            out.kernel(i, vector[:, None])
        for vector in by_column:
            out.kernel(i, vector[None, :])
            out.bias(i, vector)
    return out.found


def hnp_images(ws, bs, *, with_bias: bool = True) -> list[np.ndarray]:
    """`with_bias=False` leaves out what earlier code does: from the bias before the last kernel to that kernel."""
    out, last = Written(ws, bs), len(ws) - 1
    along_outputs, along_inputs = [w.mean(axis=1) for w in ws], [w.mean(axis=0) for w in ws]
    everywhere = [*means(ws, bs), *along_outputs[0], *along_inputs[last], *bs[last]]
    first_rows, last_columns = list(ws[0]), list(ws[last].T)
    by_first = [*first_rows, along_outputs[1], bs[0], *(last_columns if last == 1 else [])]
    before = [bs[last - 1]] if with_bias else []
    by_last = [*last_columns, along_inputs[last - 1], *before, *(first_rows if last == 1 else [])]
    for row in range(len(ws[0])):
        for value in [*by_first, *everywhere]:
            out.kernel(0, value, row=row)
    for value in [*by_first, *everywhere]:
        out.bias(0, value)
    for column in range(len(bs[last])):
        for value in [*by_last, *everywhere]:
            out.kernel(last, value, column=column)
        for value in everywhere:
            out.bias(last, value, entry=column)
    for i in range(1, last):
        by_row = [along_outputs[i], along_inputs[i - 1], bs[i - 1], *(first_rows if i == 1 else [])]
        by_column = [along_inputs[i], bs[i], along_outputs[i + 1], *(last_columns if i == last - 1 else [])]
        out.kernel(i, ws[i])
        for vector in by_row:
            out.kernel(i, vector[:, None])
        for value in [*[vector[None, :] for vector in by_column], *everywhere]:
            out.kernel(i, value)
        for value in [*by_column, *everywhere]:
            out.bias(i, value)
    return out.found


def formula_matrix(images, widths: tuple[int, ...], **settings) -> np.ndarray:
    """One row for each map of a formula: its whole matrix, entry by entry."""
    shapes = [s for a, b in pairwise(widths) for s in ((a, b), (b,))]
    sizes = [int(np.prod(s)) for s in shapes]
    columns = []
    for entry in np.eye(sum(sizes)):
        leaves = [x.reshape(s) for x, s in zip(np.split(entry, np.cumsum(sizes)[:-1]), shapes, strict=True)]
        columns.append(np.stack(images(leaves[::2], leaves[1::2], **settings)))
    return np.stack(columns, axis=1).reshape(len(columns[0]), -1)


def layer_matrix(symmetry: Symmetry, draws: int) -> np.ndarray:
    """One row for each draw of an equivariant layer's kernels: its whole matrix."""
    layer, spec = drawn(lambda key: EquivariantLinear(symmetry, 1, 1, key=key)), features(symmetry)
    sizes, rng = [int(np.prod(s)) for s in symmetry.shapes], np.random.default_rng(0)
    kernels = tuple(rng.normal(size=(draws, *k.shape)) for k in layer.kernels)

    def matrix(kernels):
        one = eqx.tree_at(lambda made: made.kernels, double(layer), kernels)

        def column(x):
            parts = jnp.split(x, np.cumsum(sizes)[:-1])
            leaves = [p.reshape(s) for p, s in zip(parts, symmetry.shapes, strict=True)]
            return jnp.concatenate([y.reshape(-1) for y in unlift(one(lift(leaves, spec)), spec, symmetry)])

        return jax.vmap(column)(jnp.eye(sum(sizes))).reshape(-1)

    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.vmap(matrix))(kernels))


def span(matrix: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), rtol=1e-9))


@pytest.mark.parametrize(
    ("widths", "expected"),
    [((2, 3, 4, 2), 62), ((2, 4, 3), 32), ((2, 3, 3, 1), 57)],
    ids=["chain", "short", "one output"],
)
def test_an_np_layer_is_the_equivariant_layer_of_permutable_io(widths, expected):
    symmetry = permutable_io(mlp(widths))
    published = formula_matrix(np_images, widths)
    ours = layer_matrix(symmetry, expected + 12)
    assert commutant_dimension(symmetry) == span(published) == span(ours) == expected
    assert span(np.concatenate([published, ours])) == expected


@pytest.mark.parametrize(("widths", "expected"), [((2, 4, 4, 1), 75), ((2, 4, 3), 117)], ids=["chain", "short"])
def test_an_hnp_layer_is_the_equivariant_layer_and_earlier_code_misses_a_bias(widths, expected):
    symmetry = mlp(widths)
    published = formula_matrix(hnp_images, widths)
    ours = layer_matrix(symmetry, expected + 12)
    assert commutant_dimension(symmetry) == span(published) == span(ours) == expected
    assert span(np.concatenate([published, ours])) == expected
    assert span(formula_matrix(hnp_images, widths, with_bias=False)) == expected - widths[-1]


def test_inputs_and_outputs_permute_and_what_lies_inside_stays():
    moved = permutable_io(CONVOLUTION)
    assert set(moved.groups) == {"c", "out"}  # one channel comes in
    assert moved.groups["out"] == Group(2, "output", actions=("permute",))
    assert {"row", "column", "pixel", "in"} == set(moved.fixed)
    assert (moved.shapes, moved.names) == (CONVOLUTION.shapes, CONVOLUTION.names)
    assert permutable_io(moved) == moved


def test_fourier_features_are_the_formula():
    made, x = FourierFeatures(5, 0.7), np.random.default_rng(0).normal(size=(3, 2, 1)).astype(np.float32)
    angles = 2 * np.pi * x * np.asarray(made.frequencies.value)
    found, plain, wide = jax.jit(lambda x: (made(x), expanded(x[..., 0], None), expanded(x[..., 0], made)))(x)
    np.testing.assert_allclose(found, np.concatenate([np.sin(angles), np.cos(angles)], axis=-1), atol=1e-5)
    np.testing.assert_array_equal(plain, x[..., 0])
    np.testing.assert_array_equal(wide, np.reshape(found, (3, -1)))


def test_frequencies_are_spread_as_a_normal_draw_is():
    frequencies = np.asarray(FourierFeatures(1000, 3.0).frequencies.value)
    assert np.sqrt(np.mean(frequencies**2)) == pytest.approx(3.0, rel=0.01)
    for deviations, fraction in ((1, 0.6827), (2, 0.9545)):
        assert np.mean(frequencies < 3.0 * deviations) == pytest.approx(fraction, abs=1e-3)
    assert frequencies.min() > 0


def test_sinusoids_are_the_formula():
    encoding = sinusoids(3)
    angles = np.pi * np.linspace(1, 5, 6) * np.array([[-1.0], [0.0], [1.0]])
    np.testing.assert_allclose(encoding, np.concatenate([np.sin(angles), np.cos(angles), [[-1], [0], [1]]], axis=1))


def test_an_io_encoding_adds_what_further_channels_of_a_layer_would():
    """Published: the encoding as more channels of arrays with an input or output axis; their effect varies along it."""
    symmetry = permutable_io(CHAIN)
    spec, rows = features(symmetry), sinusoids(2).shape[1]
    layer = drawn(lambda key: EquivariantLinear(symmetry, 1 + rows, 3, key=key))
    encoding = drawn(lambda key: IOEncoding(CHAIN, (3,) * len(spec), "sinusoidal", key=key))

    def further(x, places):
        wide = jnp.zeros((*x.shape[:-1], rows))
        for axis in places:
            along = jnp.asarray(sinusoids(x.shape[axis]), jnp.float32)
            wide = wide + jnp.expand_dims(along, [i for i in range(x.ndim - 1) if i != axis])
        return jnp.concatenate([x, wide], axis=-1)

    places = [[axis for axis, name in enumerate(f.groups) if name in CHAIN.fixed] for f in spec]

    @jax.jit
    def added(weights):
        xs = lift(CHAIN.leaves(weights), spec)
        encoded = layer([further(x, p) for x, p in zip(xs, places, strict=True)])
        without = layer([further(x, []) for x in xs])
        ours = encoding([jnp.zeros((*f.sizes, 3)) for f in spec])
        return [a - b for a, b in zip(encoded, without, strict=True)], ours

    for f, *both in zip(spec, *added(random_weights(KEY, CHAIN)), strict=True):
        for found in map(np.asarray, both):
            for axis, name in enumerate(f.groups):
                varies = np.ptp(found, axis=axis).max() > 1e-3
                assert varies == (name in CHAIN.fixed), (f.groups, name)


READERS = {
    "hnp": {},
    "hnp plain": {"frequencies": 0, "norm": "rms", "activation": "relu", "depth": 2},
    "np learned": {**NP, "io_encoding": "learned", "norm": "layer"},
    "np sinusoidal": {**NP, "io_encoding": "sinusoidal", "norm": "array"},
}


@pytest.mark.parametrize(
    ("name", "symmetry", "fraction"),
    [
        ("np learned", CHAIN, 1.0),  # test_readers.py holds "hnp" to every law
        ("hnp plain", mlp((2, 4, 3)), 1.0),
        ("np sinusoidal", mlp((2, 4, 3)), 0.8),  # at two or three places the sines of whole frequencies are zero
        ("hnp plain", CONVOLUTION, None),
        ("np learned", CONVOLUTION, None),
        ("np learned", JOINED_RECURRENT, None),
    ],
    ids=["chain", "one hidden layer", "sinusoidal encoding", "convolution", "np convolution", "recurrence"],
)
def test_every_architecture_is_read_and_every_parameter_learns(name, symmetry, fraction):
    check_laws(nfn(symmetry, **READERS[name]), symmetry, parts=True, fraction=fraction, key=KEY)


def test_without_an_encoding_alone_an_np_reader_is_invariant_to_the_order_of_inputs_and_outputs():
    reader = nfn(CHAIN, **NP)
    assert check_invariant(reader, permutable_io(CHAIN), key=KEY) < 1e-10
    with pytest.raises(AssertionError, match=r"invariant to the input axis 'in' .*; the output axis 'out' [^;]*: its"):
        check_sensitive(reader, CHAIN, key=KEY)
    with pytest.raises(AssertionError, match=r"'permute' on group '(in|out)' changes output"):
        check_invariant(nfn(CHAIN, **READERS["np learned"]), permutable_io(CHAIN), key=KEY)


def test_np_has_the_same_parameters_for_any_number_of_inputs():
    count = lambda model: sum(x.size for x in jax.tree.leaves(eqx.filter(model, eqx.is_array)))
    of = lambda widths, settings: count(nfn(mlp(widths), layers=1, **settings).layers)
    assert of((2, 4, 3), NP) == of((5, 4, 6), NP)
    assert of((2, 4, 3), {}) < of((5, 4, 6), {})
