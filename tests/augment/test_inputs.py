"""Known transformations of the input, against the function at random points, and against the image on screen."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.augment.helpers import assert_uniform, skipping
from tests.helpers import CASES, Normed, assert_identical, change, normed_spec, points, random_weights
from wsjax import augment as wa
from wsjax import networks, symmetry
from wsjax.augment.inputs import affine as affine_map
from wsjax.augment.inputs import rotation, rotation_about
from wsjax.symmetry import Axes, Fixed, Group, Sum, symmetry_of
from wsjax.typing import Layer

KEY = jax.random.key(3)
EYE = np.eye(2, dtype=np.float32)


@functools.partial(jax.jit, static_argnames="symmetry")
def affine(weights, symmetry, matrix=None, center=None, shift=None):
    return affine_map(weights, symmetry=symmetry, matrix=matrix, center=center, shift=shift)


@pytest.mark.parametrize(("case", "inputs"), [*((case, 2) for case in CASES), ("siren", 3)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-12)], ids=["float32", "float64"])
def test_affine_looks_at_a_point_of_another_frame(case: str, dtype: Any, tolerance: float, inputs: int):
    spec = CASES[case].symmetry((inputs, 5, 3, 2))
    read: Callable[..., Any] = CASES[case].apply
    weights, x = random_weights(KEY, spec, dtype), np.asarray(points(KEY, inputs), dtype)
    a = np.random.default_rng(0).normal(size=(inputs, inputs)).astype(dtype)
    c, t = np.random.default_rng(1).normal(size=(2, inputs)).astype(dtype)
    eye, zero = np.eye(inputs, dtype=dtype), np.zeros(inputs, dtype)
    frames = [(a, c, t), (a, c, None), (a, None, t), (None, c, t), (None, c, None)]
    elsewhere = [
        ((x - o) @ (eye if m is None else m) + o + (zero if s is None else s)).astype(dtype)
        for m, o, s in ((m, zero if o is None else o, s) for m, o, s in frames)
    ]

    @jax.jit
    def run(weights, frames, elsewhere):
        moved = [affine(weights, spec, *frame) for frame in frames]
        all_of_them = jax.tree.map(lambda *w: jnp.stack(w), *moved, weights)
        return jax.vmap(read, (0, None))(all_of_them, x), jax.vmap(read, (None, 0))(weights, elsewhere)

    with jax.enable_x64(dtype == np.float64):
        found, expected = map(np.asarray, run(weights, frames, np.stack(elsewhere)))
    *found, before = found
    for one, other, frame in zip(found, expected, frames, strict=True):
        assert change(one, other) < tolerance, frame
    assert change(found[-1], before) < tolerance  # a center alone does nothing
    assert change(found[0], before) > 0.1


# --- what the random twins draw, read back from the weights they return ---------------------------------------------


MANY = jax.random.split(KEY, 600)


def drawn(name: str, inputs: int, convention: str, **settings: float) -> tuple[np.ndarray, np.ndarray]:
    """The matrices A and shifts t of many draws, from a first kernel that is 1: K' = A K and b' = b + w t K."""
    spec = symmetry.siren((inputs, inputs, 1), 7.5, convention)  # type: ignore[arg-type]
    (_, bias), last = random_weights(KEY, spec)
    plain = (Layer(np.eye(inputs, dtype=np.float32), bias), last)
    moved, after = jax.jit(jax.vmap(lambda key: getattr(wa, name)(spec, **settings)(key, plain)))(MANY)
    assert_identical(jax.tree.map(lambda x: np.asarray(x[-1]), after), last)
    w = 7.5 if convention == "kernel" else 1.0
    return np.asarray(moved.kernel, np.float64), (np.asarray(moved.bias) - bias) / w


def matrices(name: str, inputs: int, **settings: float) -> np.ndarray:
    a, t = drawn(name, inputs, "affine", **settings)
    np.testing.assert_array_equal(t, 0)
    return a


def test_rotate_turns_by_an_angle_up_to_its_setting_both_ways():
    a = matrices("rotate", 2, max_degrees=30.0)
    angles = np.arctan2(a[:, 0, 1], a[:, 0, 0])
    np.testing.assert_allclose(a, jax.vmap(rotation)(jnp.asarray(angles)), atol=1e-5)
    assert_uniform(np.degrees(angles), -30.0, 30.0)


@pytest.mark.parametrize(("inputs", "convention"), [(2, "affine"), (3, "affine"), (2, "kernel")])
def test_translate_shifts_every_axis_apart_up_to_its_setting(inputs: int, convention: str):
    a, shifts = drawn("translate", inputs, convention, max_shift=0.2)
    np.testing.assert_array_equal(a, np.broadcast_to(np.eye(inputs), a.shape))
    for shift in shifts.T:
        assert_uniform(shift, -0.2, 0.2)
    assert np.abs(np.corrcoef(shifts.T) - np.eye(inputs)).max() < 0.15


def assert_rotations(a: np.ndarray) -> None:
    np.testing.assert_allclose(a @ a.swapaxes(1, 2), np.broadcast_to(np.eye(a.shape[1]), a.shape), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(a), 1, atol=1e-5)


def test_rotate_in_space_turns_about_any_axis_by_an_angle_up_to_its_setting():
    a = matrices("rotate", 3, max_degrees=40.0)
    assert_rotations(a)
    angle = np.degrees(np.arccos(np.clip((np.trace(a, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert_uniform(angle, 0.0, 40.0)
    # p A = p + sin(angle) n x p + ...: the odd part holds the axis
    odd = np.stack([a[:, 1, 2] - a[:, 2, 1], a[:, 2, 0] - a[:, 0, 2], a[:, 0, 1] - a[:, 1, 0]], axis=1)
    for component in (odd / np.linalg.norm(odd, axis=1, keepdims=True)).T:
        assert_uniform(component, -1.0, 1.0)  # Archimedes: each coordinate of a uniform point of the sphere is uniform


def test_a_uniform_rotation_of_the_plane_has_a_uniform_angle():
    a = matrices("rotate_uniform", 2)
    assert_rotations(a)
    assert_uniform(np.arctan2(a[:, 0, 1], a[:, 0, 0]), -np.pi, np.pi)


def test_a_uniform_rotation_of_space_takes_every_point_anywhere_with_haar_s_angles():
    a = matrices("rotate_uniform", 3)
    assert_rotations(a)
    for entry in a.reshape(-1, 9).T:
        assert_uniform(entry, -1.0, 1.0)
    angle = np.arccos(np.clip((np.trace(a, axis1=1, axis2=2) - 1) / 2, -1, 1))
    haar = lambda x: (x - np.sin(x)) / np.pi
    assert stats.kstest(angle, haar).pvalue > 1e-3
    assert stats.kstest(angle, stats.uniform(0, np.pi).cdf).pvalue < 1e-6


@pytest.mark.parametrize(("name", "inputs"), [("scale", 2), ("scale", 3), *(("scale_axes", n) for n in (1, 2, 3))])
def test_a_scale_zooms_every_axis_alike_or_by_its_own_factor_and_its_reciprocal(name: str, inputs: int):
    a = matrices(name, inputs, max_log=0.5)
    factors = np.diagonal(a, axis1=1, axis2=2)
    np.testing.assert_array_equal(a, factors[:, :, None] * np.eye(inputs)[None])
    for factor in factors.T:
        assert_uniform(np.log(factor), -0.5, 0.5)
    if name == "scale":
        np.testing.assert_array_equal(factors, np.broadcast_to(factors[:, :1], factors.shape))
    elif inputs > 1:
        assert abs(np.corrcoef(np.log(factors.T))[0, 1]) < 0.15


@pytest.mark.parametrize("inputs", [2, 3])
def test_shear_slants_every_coordinate_by_every_other(inputs: int):
    a = matrices("shear", inputs, max_shear=0.3)
    np.testing.assert_array_equal(np.diagonal(a, axis1=1, axis2=2), 1)
    shears = a[:, ~np.eye(inputs, dtype=bool)]
    for shear in shears.T:
        assert_uniform(shear, -0.3, 0.3)
    assert np.abs(np.corrcoef(shears.T) - np.eye(shears.shape[1])).max() < 0.15


def test_flip_mirrors_each_axis_apart_with_its_probability():
    a = matrices("flip", 2, probability=0.3)
    signs = np.diagonal(a, axis1=1, axis2=2)
    np.testing.assert_array_equal(a, signs[:, :, None] * np.eye(2)[None])
    np.testing.assert_allclose((signs < 0).mean(axis=0), 0.3, atol=0.06)
    assert (signs < 0).all(axis=1).mean() == pytest.approx(0.09, abs=0.04)


def test_rotation_about_an_axis_is_right_handed_and_keeps_the_axis():
    x, y, z = np.eye(3, dtype=np.float32)
    for axis, before, after in ((z, x, y), (x, y, z), (y, z, x), (-z, y, x)):
        np.testing.assert_allclose(before @ rotation_about(5 * axis, np.pi / 2), after, atol=1e-6)
    axis = np.array([1.0, -2.0, 0.5], np.float32)
    np.testing.assert_allclose(axis @ rotation_about(axis, 0.7), axis, atol=1e-6)
    np.testing.assert_allclose(rotation_about(z, 0.7)[:2, :2], rotation(0.7), atol=1e-6)
    once, twice = rotation_about(axis, 0.7), rotation_about(axis, 1.4)
    np.testing.assert_allclose(once @ once, twice, atol=1e-6)


# --- which way the image moves -------------------------------------------------------------------------------------


def blob(at: tuple[float, float]):
    """An MLP whose image is one bright spot at a point (x, y)."""
    steps = [(axis, side) for axis in range(2) for side in (1, -1)]
    kernel = np.zeros((2, 4), np.float32)
    for j, (axis, _) in enumerate(steps):
        kernel[axis, j] = 6.0
    bias = np.array([-6.0 * at[axis] + 0.6 * side for axis, side in steps], np.float32)
    return (Layer(kernel, bias), Layer(np.array([[side] for _, side in steps], np.float32), np.zeros(1, np.float32)))


image_of = jax.jit(lambda weights: networks.mlp_apply(weights, networks.grid((41, 41)), activation="tanh"))


def brightest(weights) -> tuple[float, float]:
    """The spot's place on screen: how far right of the center, and how far up."""
    image = np.asarray(image_of(weights)).reshape(41, 41)
    row, column = np.unravel_index(int(image.argmax()), image.shape)
    return (column - 20) / 20, (20 - row) / 20


SPOT = symmetry.mlp((2, 4, 1), "tanh")
RIGHT, UP = (0.5, 0.0), (0.0, -0.5)  # y points down
quarter = lambda turns: np.asarray(rotation(turns * np.pi / 2))
slope, narrow = np.array([[[1.0, 0.4], [0.0, 1.0]], [[2.0, 0.0], [0.0, 1.0]]], np.float32)
WHERE: list[tuple[str, tuple[float, float], dict[str, Any], tuple[float, float]]] = [
    ("the spot is where it is said to be", RIGHT, {}, (0.5, 0.0)),
    ("y points down", UP, {}, (0.0, 0.5)),
    ("a positive rotation turns the image anticlockwise", RIGHT, {"matrix": quarter(1)}, (0.0, 0.5)),
    ("a negative one clockwise", RIGHT, {"matrix": quarter(-1)}, (0.0, -0.5)),
    ("half a turn", RIGHT, {"matrix": quarter(2)}, (-0.5, 0.0)),
    ("a shift moves the image the other way", RIGHT, {"shift": np.array([0.3, 0.2], np.float32)}, (0.2, 0.2)),
    ("a scale above one makes it smaller", (0.8, 0.0), {"matrix": 2 * EYE}, (0.4, 0.0)),
    ("about a center", (0.8, 0.0), {"matrix": 2 * EYE, "center": np.array([0.6, 0.0], np.float32)}, (0.7, 0.0)),
    ("a scale of one axis makes it narrower along it", (0.8, -0.5), {"matrix": narrow}, (0.4, 0.5)),
    ("a positive slope moves the right half towards smaller y", RIGHT, {"matrix": slope}, (0.5, 0.2)),
    ("and the left half towards larger y", (-0.5, 0.0), {"matrix": slope}, (-0.5, -0.2)),
    ("and the middle nowhere", UP, {"matrix": slope}, (0.0, 0.5)),
]


def test_the_image_moves_the_way_it_is_said_to():
    for what, at, settings, place in WHERE:
        moved = affine_map(blob(at), symmetry=SPOT, **settings)
        assert brightest(moved) == pytest.approx(place, abs=0.06 * bool(settings)), what


def test_a_flip_mirrors_the_image_along_all_axes_or_one():
    flip = lambda axis: wa.flip(SPOT, probability=1.0, axis=axis)(KEY, blob((0.5, -0.2)))
    traced = jax.jit(flip)
    assert brightest(flip(None)) == pytest.approx((-0.5, -0.2), abs=0.06)
    for axis, place in ((0, (-0.5, 0.2)), (1, (0.5, -0.2))):
        assert brightest(flip(axis)) == brightest(traced(float(axis))) == pytest.approx(place, abs=0.06)


# --- other networks, and refusals ------------------------------------------------------------------------------------


def test_a_shift_goes_to_the_kernel_s_own_bias_and_not_to_a_normalization_s():
    spec = normed_spec("permute")
    weights = jax.tree.map(np.abs, random_weights(KEY, spec))
    x, t = points(KEY, 3), np.array([0.3, -0.2, 0.1], np.float32)
    moved, apply = affine(weights, spec, shift=t), jax.jit(Normed().apply)
    assert change(apply(moved, x), apply(weights, np.asarray(x) + t)) < 1e-5


def test_every_kernel_that_reads_the_input_moves():
    spec, apply = skipping()
    weights, x = random_weights(KEY, spec), np.asarray(points(KEY, 2))
    a, t = np.asarray(rotation(0.4)), np.array([0.3, -0.2], np.float32)
    assert change(apply(affine(weights, spec, a, shift=t), x), apply(weights, x @ a + t)) < 1e-5


def test_a_sole_bias_in_another_container_serves():
    spec = symmetry_of(
        {"kernels": [Axes("in", "h"), Axes("h*", "out")], "biases": [Axes("h", bias=True), Axes("out", bias=True)]},
        {"in": Fixed(2, "input"), "h": Group(4, "tanh"), "out": Fixed(1, "output")},
    )
    weights = random_weights(KEY, spec)
    moved = affine(weights, spec, shift=np.ones(2, np.float32))
    assert change(moved["biases"][0], weights["biases"][0] + weights["kernels"][0].sum(axis=0)) < 1e-6


OUT = Fixed(1, "output")


def only(axes: dict, **sizes: Any):
    return symmetry_of(axes, {"in": Fixed(2, "input"), **sizes})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (only({"k": Axes("in", "h")}, h=Group(3)), r"\['k'\] needs one bias of its own .* vectors .*: none. Mark"),
        (
            only({"k": {"k": Axes("in", "h")}, "n": {"g": Axes("h"), "b": Axes("h", bias=True)}}, h=Group(3)),
            r"\['k'\] needs one bias of its own .*: weights\['n'\]\['b'\], weights\['n'\]\['g'\]",
        ),
        (
            only({"k": Axes(("in", "p"), "h")}, h=Group(3), p=Fixed(4)),
            r"\['k'\] has the input axis 'in' inside a product or sum",
        ),
        (only({"k": Axes(Sum("in", "p"), "h")}, h=Group(3), p=Fixed(4)), "give the input an axis of its own"),
        (
            symmetry_of({"k": Axes("in", "h")}, {"in": Fixed(2), "h": Group(3)}),
            r"one fixed axis with the role 'input'; this Symmetry has 0 \(none\). Declare it as Fixed\(size, 'input'\)",
        ),
        (
            only({"norm": Axes("in"), "k": Axes("in", "h"), "b": Axes("h", bias=True)}, h=Group(3)),
            r"\['norm'\] lies along the input axis 'in' and is no kernel that reads it.*fold it into the first kernel",
        ),
        (
            only({"k": Axes("in", "h"), "b": Axes("h", bias=True), "decoder": Axes("h*", "in")}, h=Group(3)),
            r"\['decoder'\] makes the axis 'in' out of neurons.*two names",
        ),
        (
            only(
                {
                    "k": Axes("in", "s"),
                    "up": Axes("s*", "h"),
                    "down": {"k": Axes("h*", "s"), "b": Axes("s", bias=True)},
                },
                **{"s": Group(3, "linear", actions=("permute",)), "h": Group(2)},
            ),
            r"\['k'\] needs one bias of its own .*, and weights\['down'\]\['k'\] makes the same neurons out of others",
        ),
        (only({"k": Axes("in", "h"), "l": Axes("z", "h")}, h=Group(3), z=Fixed(1, "input")), r"has 2 \(in, z\)"),
    ],
)
def test_a_network_whose_input_cannot_be_moved_is_refused(spec, message: str):
    with pytest.raises(ValueError, match=message):
        wa.translate(spec)(KEY, random_weights(KEY, spec))


def test_a_mask_along_the_input_stays():
    spec = only({"k": Axes("in", "h"), "b": Axes("h", bias=True), "mask": Axes("in", "h")}, h=Group(3))
    weights = {**random_weights(KEY, spec), "mask": np.array([[1, 0, 1], [0, 1, 1]], np.int32)}
    moved = wa.rotate(spec)(KEY, weights)
    np.testing.assert_array_equal(moved["mask"], weights["mask"])
    assert (moved["k"] != weights["k"]).any()


def test_complex_kernels_move_and_integers_are_refused_by_name(untyped):
    """A network in integers would come back unmoved, or cut to integers."""
    spec = only({"k": Axes("in", "h"), "b": Axes("h", bias=True), "v": Axes("h*", "out")}, h=Group(3), out=OUT)
    weights = random_weights(KEY, spec)
    turned = affine({**weights, "k": weights["k"] * np.complex64(1 + 2j)}, spec, rotation(0.4))
    np.testing.assert_allclose(turned["k"], np.asarray(rotation(0.4)) @ weights["k"] * (1 + 2j), rtol=1e-4)
    for end, leaf in (("translate", "k"), ("rotate", "k"), ("translate", "b"), ("contrast", "v"), ("invert", "v")):
        quantized = {**weights, leaf: np.ones(weights[leaf].shape, np.int8)}
        with pytest.raises(ValueError, match=rf"\['{leaf}'\] holds int8, which no \w+ transformation"):
            getattr(wa, end)(spec)(KEY, quantized)


def test_the_frequency_beside_a_kernel_of_several_axes_is_found():
    for made, within in ((("block", "h"), None), ((("block", "h"),), "block")):
        axes = {"k": Axes("in", *made), "b": Axes(*made, bias=True)}
        spec = only(axes, block=Fixed(2), h=Group(3, "sine", w0=7.0, w0_convention="kernel", within=within))
        weights = random_weights(KEY, spec)
        moved = affine(weights, spec, shift=np.array([0.5, 0.0], np.float32))
        np.testing.assert_allclose(moved["b"] - weights["b"], 7 * 0.5 * weights["k"][0], rtol=1e-4)


def test_settings_that_do_not_fit_are_named():
    spec = symmetry.siren((3, 4, 1))
    weights = random_weights(KEY, spec)
    for name, wrong in {"matrix": EYE, "shift": EYE[0], "center": EYE[0]}.items():
        shapes = rf"has shape \({wrong.shape[0]},.*\); the axis 'in' of this network needs \(3,"
        with pytest.raises(ValueError, match=f"{name} {shapes}"):
            affine_map(weights, symmetry=spec, **{name: wrong})
    with pytest.raises(ValueError, match=r"axis is 3; it must be one integer in \[0, 2\]"):
        wa.flip(spec, axis=3)(KEY, weights)
    with pytest.raises(ValueError, match=r"length of the axis is 0.0; it must be one number in \(0, inf\)"):
        rotation_about(np.zeros(3, np.float32), 1.0)
