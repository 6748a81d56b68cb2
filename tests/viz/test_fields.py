"""Curves and fields are drawn as they are: network beside truth, slices, surface; the looks, eyes must judge."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from tests.viz.conftest import random_networks
from tests.viz.test_figures import PNG, drawn, texts
from wsjax import cli, data, viz
from wsjax.data.sources.provenance import source_of
from wsjax.data.sources.signals import pixels_as_signals
from wsjax.networks import Network
from wsjax.viz.fields import given, held, values_at
from wsjax.viz.slices import CELLS, FRAME, trace


def as_fitted(signals: data.Signals, network: Network) -> data.WeightDataset:
    """Networks as they are drawn, with the metadata and the columns of a fit."""
    weights = random_networks(network, len(signals.label))
    own = jax.jit(jax.vmap(network.apply, (0, None if signals.shared else 0)))(weights, signals.points)
    error = np.square(np.asarray(own) - signals.values).mean(axis=(1, 2))
    columns = {"image": signals.index, "split": signals.split, "psnr": 10 * np.log10(signals.peak**2 / error)}
    metadata = data.Metadata(
        signals.name, network, network.symmetry, coordinate_range=signals.coordinate_range, classes=signals.classes,
        value_range=signals.value_range, label="class" if signals.classes else "target", source=source_of(signals),
    )  # fmt: skip
    return data.WeightDataset(weights, signals.label, columns, metadata)


def plane(across: int) -> np.ndarray:
    """The points of a slice: where one coordinate is 0, the last of the others runs down the rows."""
    ticks = np.linspace(-1, 1, CELLS, dtype=np.float32)
    columns, rows = np.meshgrid(ticks, ticks)
    return np.insert(np.stack([columns.ravel(), rows.ravel()], axis=-1), across, 0, axis=1)


@pytest.fixture(scope="module")
def balls():
    """A ball and a box, and two tiny networks."""
    few = data.sources.solids(2, points=64)
    return few, as_fitted(few, Network("siren", (3, 4, 1), w0=(5.0,)))


@pytest.fixture(scope="module")
def sines():
    few = data.sources.sines(3, points=32)
    return few, as_fitted(few, Network("siren", (1, 4, 1), w0=(5.0,)))


def ball(radius, stretch, points):
    return stretch * (jnp.linalg.norm(points, axis=-1) - radius)


@pytest.mark.parametrize("stretch", [1.0, 0.4, 1.6])
def test_a_ray_ends_on_the_surface_though_the_field_is_no_distance(stretch):
    image = np.asarray(trace(Partial(ball, 0.6, stretch), side=64))
    across = ((np.arange(64) + 0.5) / 64 * 2 - 1) * FRAME
    off = np.hypot(across[:, None], across[None])
    assert (image[off < 0.6 - 0.05] < 1).all()
    np.testing.assert_array_equal(image[off > 0.6 + 0.05], 1)
    # Lit from above: the surface is the ball's, whose upper half faces the lamp.
    assert image[16:32, 32].mean() > image[32:48, 32].mean() + 0.05
    np.testing.assert_allclose(image, trace(Partial(ball, 0.6, 1.0), side=64), atol=0.05)


def test_what_lies_beyond_the_cube_is_not_seen():
    outside = np.asarray(trace(Partial(lambda points: 1.2 - points[:, 0]), side=32))
    np.testing.assert_array_equal(outside, 1)


def test_solids_beside_their_networks(balls, tmp_path):
    few, networks = balls
    page = viz.fits(few, networks, tmp_path / "new" / "fits.png", rows=[1, 0])
    assert (tmp_path / "new" / "fits.png").read_bytes().startswith(PNG)
    words = texts(page)
    assert [word for word in words if word.endswith("dB")] == [
        f"{networks.columns['psnr'][row]:.1f} dB" for row in (1, 0)
    ]
    assert [word for word in words if word in few.classes] == ["box", "ball"]
    assert len(page.axes) == 2 * 6
    truth, _, network, _ = (drawn(axes) for axes in page.axes[4:8])
    np.testing.assert_allclose(truth.reshape(-1), values_at(data.sources.solid(1), plane(2)), atol=1e-6)
    own = jax.jit(networks.metadata.network.apply)(networks.network(1), plane(2))
    np.testing.assert_allclose(network.reshape(-1, 1), own, atol=1e-6)


def test_networks_alone_are_drawn_and_shown(balls, tmp_path, capsys):
    few, networks = balls
    data.save(networks, tmp_path / "set")
    cli.show(tmp_path / "set")
    assert capsys.readouterr().out.endswith(f"the figure is {tmp_path / 'set' / 'fields.png'}\n")
    assert (tmp_path / "set" / "fields.png").read_bytes().startswith(PNG)
    page = viz.fields(networks)
    assert len(page.axes) == 2 * 3
    assert [word for word in texts(page) if word in few.classes] == ["ball", "box"]
    np.testing.assert_allclose(drawn(page.axes[5]).reshape(-1), values_at(held(networks, 1), plane(1)), atol=1e-6)


def test_a_distance_without_a_sign_has_slices_alone(balls):
    _, networks = balls
    metadata = replace(networks.metadata, source={**networks.metadata.source, "quantity": "distance"})
    page = viz.fields(replace(networks, metadata=metadata))
    assert len(page.axes) == 2 * 2
    assert not any(axes.collections for axes in page.axes)


def test_the_surface_of_an_occupancy_is_where_it_is_a_half(balls):
    """A network that falls with the height, through a half at 0: the lower half of the cube is inside."""
    _, networks = balls
    weights = jax.tree.map(np.zeros_like, networks.weights)
    weights[0].kernel[:, 2, 0] = weights[1].bias[:] = 0.5
    weights[1].kernel[:, 0, 0] = -0.5
    metadata = replace(
        networks.metadata, source={**networks.metadata.source, "quantity": "occupancy"}, value_range=(0.0, 1.0)
    )
    page = viz.fields(replace(networks, weights=weights, metadata=metadata), rows=[0])
    surface, _, upright = page.axes
    half = drawn(surface).shape[0] // 2
    assert drawn(surface)[half, half] < 1
    assert drawn(surface)[2, half] == 1
    thick = upright.collections[-1]
    middle = (CELLS - 1) / 2
    np.testing.assert_allclose(
        np.concatenate([np.asarray(path.vertices)[:, 1] for path in thick.get_paths()]), middle, atol=1e-3
    )


def test_curves_over_what_they_were_fitted_to(sines, tmp_path):
    few, networks = sines
    page = viz.fits(few, networks, tmp_path / "curves.png", rows=[2, 0])
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)
    for axes, row in zip(page.axes, (2, 0), strict=True):
        truth, own = (np.asarray(line.get_data()[1]) for line in axes.lines)
        x = np.asarray(axes.lines[0].get_data()[0])
        amplitude, frequency = few.label[row]
        # Straight between points that are 0.2 apart.
        np.testing.assert_allclose(
            truth, amplitude * np.sin(frequency * x), atol=amplitude * (0.21 * frequency) ** 2 / 8
        )
        np.testing.assert_allclose(own, values_at(held(networks, row), x[:, None]), atol=1e-6)
        assert axes.get_xlabel() == f"{networks.columns['psnr'][row]:.1f} dB"
    assert len(viz.fields(networks).axes) == 3


def test_signals_over_the_plane_are_drawn_as_images_are(images, dataset):
    signals = pixels_as_signals(images)
    page = viz.fits(signals, dataset, rows=[4])
    given_image, own = (drawn(axes) for axes in page.axes)
    row = int(np.flatnonzero(images.index == dataset.columns["image"][4])[0])
    corners = np.ix_([0, -1], [0, -1])
    np.testing.assert_allclose(given_image[corners], images.pixels[row, :, :, 0][corners], atol=1e-5)
    np.testing.assert_allclose(own[corners], viz.decode(dataset, dataset.network(4))[..., 0][corners], atol=1e-5)
    assert all(axes.images[0].origin == "upper" for axes in page.axes)


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_what_is_known_at_points_is_joined_linearly(inputs):
    rng = np.random.default_rng(inputs)
    points = rng.uniform(-2, 2, (1, 200, inputs)).astype(np.float32)
    points[0, : 2**inputs] = np.stack(np.meshgrid(*[[-2.0, 2.0]] * inputs), axis=-1).reshape(-1, inputs)
    line = lambda places: 0.5 + places @ np.arange(1.0, inputs + 1, dtype=np.float32)
    row = np.zeros(1, np.int32)
    one = data.Signals(
        "plain", points, line(points)[..., None], row, row.astype(np.int8), row, ("a",),
        value_range=(-20.0, 20.0), coordinate_range=(-2.0, 2.0),
    )  # fmt: skip
    wanted = rng.uniform(-2, 2, (50, inputs)).astype(np.float32)
    np.testing.assert_allclose(values_at(given(one, 0), wanted), line(wanted), atol=1e-4)
    # Beyond the outermost points it is as at the nearest.
    inner = one._replace(points=points / 2, values=np.full_like(one.values, 3.0))
    np.testing.assert_allclose(values_at(given(inner, 0), wanted), 3.0, atol=1e-6)


def test_what_cannot_be_drawn_is_told(balls, untyped):
    few, networks = balls
    bare = replace(networks, metadata=replace(networks.metadata, network=None))
    net = Network("mlp", (4, 2, 1))
    metadata = data.Metadata("four", net, net.symmetry)
    four = data.WeightDataset(random_networks(net, 2), np.zeros(2, np.int32), networks.columns, metadata)
    for draw, message in (
        (lambda: viz.fits(few.take(np.array([0])), networks), "numbers 1 are not among the 1 of solids"),
        (lambda: viz.fields(bare), "have no architecture on their metadata; expected 1, 2 or 3 inputs"),
        (lambda: viz.fields(four), "networks of four have 4 inputs; expected 1, 2 or 3 inputs"),
        (lambda: viz.draw(four), "the networks of four are of no kind that wsjax can draw"),
    ):
        with pytest.raises(ValueError, match=message):
            draw()
