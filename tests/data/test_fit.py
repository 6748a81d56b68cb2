"""A fitted network depends on its image, its view and the recipe, and on nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data.conftest import diverging
from wsjax.data.fitting import grouped
from wsjax.data.fitting.grouped import fit_groups, groups
from wsjax.data.fitting.job import fit_weights
from wsjax.data.recipe import initial_weights, initialized
from wsjax.errors import DataError
from wsjax.networks import Network, grid


def by_job(parts):
    """Each network's leaves and PSNR as bytes, by (row, view)."""
    found = {}
    for part in parts:
        for i, job in enumerate(zip(part.row.tolist(), part.view.tolist(), strict=True)):
            leaves = [np.asarray(leaf)[i].tobytes() for leaf in jax.tree.leaves(part.weights)]
            found[job] = (*leaves, part.psnr[i].tobytes())
    return found


@pytest.fixture(scope="module")
def two_views(recipe):
    return dataclasses.replace(recipe, views=2)


@pytest.fixture(scope="module")
def reference(images, two_views):
    return by_job([fit_weights(images, two_views, workers=1, progress=False)])


@pytest.mark.parametrize(("workers", "devices"), [(1, 1), (3, 1), (2, 2)])
def test_order_neighbors_workers_devices_and_padding_do_not_matter(
    images, two_views, reference, workers, devices, monkeypatch
):
    monkeypatch.setattr(grouped, "fit_devices", lambda: jax.local_devices()[:devices])
    rng = np.random.default_rng(workers)
    jobs = rng.permutation(np.concatenate(groups(two_views, len(images.pixels))))
    cuts = np.sort(rng.choice(np.arange(1, len(jobs)), 8, replace=False))
    shuffled = [part[i : i + 4] for part in np.split(jobs, cuts) for i in range(0, len(part), 4)]
    parts = list(fit_groups(images, two_views, shuffled, workers=workers))
    assert [p.row.tolist() for p in parts] == [g[:, 0].tolist() for g in shuffled]
    assert by_job(parts) == reference


def test_a_subset_fits_to_the_same_networks(images, two_views, reference):
    rows = np.array([7, 2, 5])
    found = by_job([fit_weights(images.take(rows), two_views, progress=False)])
    assert {(rows[row], view): leaves for (row, view), leaves in found.items()} == {
        job: leaves for job, leaves in reference.items() if job[0] in rows
    }


def test_views_seeds_and_images_start_from_different_weights(two_views):
    recipes = [dataclasses.replace(two_views, seed=seed) for seed in (0, 1)]
    starts = jax.jit(
        jax.vmap(lambda number, view: [initial_weights(initialized(one), number, view)[0].kernel for one in recipes])
    )
    kernels = np.concatenate(starts(*np.indices((2, 2), np.int32).reshape(2, -1)))
    assert len({kernel.tobytes() for kernel in kernels}) == 8


def test_the_psnr_column_is_that_of_the_decoded_images_and_steps_raise_it(images, recipe, fitted):
    assert fitted.metadata.image_shape == (8, 8, 1)

    def both(number, weights):
        before = initial_weights(initialized(recipe), number, jnp.int32(0))
        return [recipe.network.apply(w, grid((8, 8))) for w in (before, weights)]

    decoded = np.stack(jax.jit(jax.vmap(both))(images.index, fitted.weights)).reshape(2, *images.pixels.shape)
    before, after = -10 * np.log10(np.square(decoded - images.pixels).mean(axis=(2, 3, 4)))
    np.testing.assert_allclose(fitted.columns["psnr"], after, rtol=1e-5)
    assert after.mean() > before.mean() + 1
    np.testing.assert_array_equal(fitted.label, images.label)
    np.testing.assert_array_equal(fitted.columns["image"], images.index)


def test_progress_names_what_is_fitted_and_shows_the_mean_psnr(images, recipe, capsys):
    fitted = fit_weights(images, recipe)
    said = capsys.readouterr().err
    assert said.startswith(f"fit digits: 10 of 10 networks, psnr {fitted.psnr.mean():.1f} dB, ")
    fit_weights(images, recipe, progress=False)
    assert capsys.readouterr().err == ""


def test_a_fit_that_diverges_names_its_images(images, recipe):
    number = images.index[6]
    message = f"the network of digits number {number}, view 0, ended in .* not finite after 3 steps; lower the learning"
    with diverging(number), pytest.raises(DataError, match=message):
        fit_weights(images, recipe, progress=False)


def test_a_network_that_does_not_fit_the_images(images, recipe):
    color = dataclasses.replace(recipe, network=Network("siren", (2, 4, 3)))
    with pytest.raises(ValueError, match=r"widths \(2, 4, 3\); digits needs 2 inputs and 1 outputs"):
        fit_weights(images, color, progress=False)


def test_a_setting_out_of_range_is_named(recipe):
    for setting in ("steps", "learning_rate", "slots", "views"):
        with pytest.raises(ValueError, match=f"{setting} is 0"):
            dataclasses.replace(recipe, **{setting: 0})
