"""A decoded image is the network's own function at the pixels, at every resolution."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from tests.viz.conftest import random_networks
from wsjax.data import Metadata
from wsjax.networks import Network, grid
from wsjax.symmetry import siren
from wsjax.viz import decode
from wsjax.viz.decode import refined


def test_decode_is_the_network_at_the_pixels_coordinates(dataset):
    one = dataset.network(3)
    image = np.asarray(decode(dataset, one))
    expected = jax.jit(dataset.metadata.network.apply)(one, grid((8, 8)))
    np.testing.assert_allclose(image.reshape(64, 1), expected, atol=1e-6)
    np.testing.assert_array_equal(decode(dataset.metadata, one), image)
    np.testing.assert_allclose(decode(dataset, dataset.weights)[3], image, atol=1e-6)


def test_rows_and_columns_are_y_and_x(rows_of_mlp):
    one = rows_of_mlp.network(0)
    image = np.asarray(decode(rows_of_mlp, one))
    assert image.shape == (4, 6, 3)
    lower_left = np.asarray(jax.jit(rows_of_mlp.metadata.network.apply)(one, np.array([[-1.0, 1.0]], np.float32)))[0]
    np.testing.assert_allclose(image[-1, 0], lower_left, atol=1e-6)


def test_the_metadatas_coordinates_are_obeyed(dataset):
    one = dataset.network(0)
    other = replace(dataset.metadata, coordinate_order="ij", coordinate_range=(-0.25, 0.75))
    expected = jax.jit(dataset.metadata.network.apply)(one, grid((8, 8), order="ij", low=-0.25, high=0.75))
    np.testing.assert_allclose(np.asarray(decode(other, one)).reshape(64, 1), expected, atol=1e-6)


def test_a_finer_image_holds_the_coarser_one(dataset):
    coarse = np.asarray(decode(dataset, dataset.weights))
    for factor in (2, 5):
        fine = np.asarray(decode(dataset, dataset.weights, shape=refined((8, 8), factor)))
        assert fine.shape == (len(dataset), 7 * factor + 1, 7 * factor + 1, 1)
        np.testing.assert_allclose(fine[:, ::factor, ::factor], coarse, atol=1e-5)


def test_what_cannot_be_decoded_is_told(dataset, untyped):
    other = jax.tree.map(lambda leaf: leaf[0], random_networks(Network("siren", (2, 5, 4, 1)), 1))
    for metadata, weights, message in (
        (Metadata("mine", None, siren((2, 4, 1)), image_shape=(8, 8, 1)), other, "of mine names no network to decode"),
        (replace(dataset.metadata, image_shape=None), dataset.network(0), r"digits has no image_shape.*pass shape="),
        (dataset, jax.tree.map(lambda leaf: leaf[None], dataset.weights), "one leading axis more"),
        (dataset, other, r"weights\[0\]\.kernel has shape \(2, 5\)"),
        (dataset, [], "structure"),
    ):
        with pytest.raises(ValueError, match=message):
            decode(metadata, weights)


def test_networks_stored_in_half_types_are_decoded_in_float32(dataset):
    half = jax.tree.map(lambda leaf: np.asarray(leaf, jax.numpy.bfloat16), dataset.network(1))
    wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), half)
    np.testing.assert_array_equal(decode(dataset, half), decode(dataset, wide))
