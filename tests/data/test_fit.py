"""A fitted network depends on its image, its view and the recipe, and on nothing else: in groups or refilled slots."""

import dataclasses
import itertools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data.conftest import diverging
from tests.data.test_dataset import assert_same
from wsjax.data import Recipe, WeightDataset, fit, load
from wsjax.data.fitting import grouped, refill
from wsjax.data.fitting.grouped import fit_groups, groups
from wsjax.data.fitting.job import fit_weights
from wsjax.data.fitting.refill import fit_refilled
from wsjax.data.recipe import initial_weights, initialized
from wsjax.errors import DataError
from wsjax.networks import Network, grid

pytestmark = pytest.mark.usefixtures("plain_module")

STOPPING = Recipe(
    Network("siren", (2, 6, 6, 1), w0=(5.0,), offset=0.5), 60, 2e-2, slots=3, views=2, target_psnr=13.0, check_every=5
)
"""A target that some of the images reach at once, some late and some never."""
JOBS = np.concatenate(groups(STOPPING, 10))


def by_job(parts):
    """Each network's leaves and PSNR as bytes, by (row, view)."""
    found = {}
    for part in parts:
        for i, job in enumerate(zip(part.row.tolist(), part.view.tolist(), strict=True)):
            leaves = [np.asarray(leaf)[i].tobytes() for leaf in jax.tree.leaves(part.weights)]
            found[job] = (*leaves, part.psnr[i].tobytes())
    return found


def fit_in_two_goes(found, recipe, out, call: int) -> WeightDataset:
    """A fit that Ctrl-C ends in one of its calls for steps, and that goes on."""
    calls = itertools.count(1)

    def interrupted(*arguments, real=refill.advance_slots):
        if next(calls) == call:
            raise KeyboardInterrupt
        return real(*arguments)

    with mock.patch.object(refill, "advance_slots", interrupted), pytest.raises(KeyboardInterrupt):
        fit(found, recipe=recipe, out=out, progress=False, workers=1)
    return fit(found, recipe=recipe, out=out, progress=False)


@pytest.fixture(scope="module")
def two_views(recipe):
    return dataclasses.replace(recipe, views=2)


@pytest.fixture(scope="module")
def reference(images, two_views):
    return by_job([fit_weights(images, two_views, workers=1, progress=False)])


@pytest.fixture(scope="module")
def refilled(images):
    return by_job(fit_refilled(images, STOPPING, JOBS, workers=1))


@pytest.mark.parametrize(("workers", "devices"), [(1, 1), (3, 1), (2, 2)])
def test_order_neighbors_workers_devices_and_padding_do_not_matter(
    images, two_views, reference, refilled, workers, devices, monkeypatch
):
    for module in (grouped, refill):
        monkeypatch.setattr(module, "fit_devices", lambda: jax.local_devices()[:devices])
    rng = np.random.default_rng(workers)
    jobs = rng.permutation(JOBS)
    cuts = np.sort(rng.choice(np.arange(1, len(jobs)), 8, replace=False))
    shuffled = [part[i : i + 4] for part in np.split(jobs, cuts) for i in range(0, len(part), 4)]
    parts = list(fit_groups(images, two_views, shuffled, workers=workers))
    assert [p.row.tolist() for p in parts] == [g[:, 0].tolist() for g in shuffled]
    assert by_job(parts) == reference
    assert by_job(fit_refilled(images, STOPPING, jobs, workers=workers)) == refilled


def test_a_subset_fits_to_the_same_networks(images, two_views, reference, refilled):
    rows = np.array([7, 2, 5])
    found = by_job([fit_weights(images.take(rows), two_views, progress=False)])
    assert {(rows[row], view): leaves for (row, view), leaves in found.items()} == {
        job: leaves for job, leaves in reference.items() if job[0] in rows
    }
    for job in JOBS[[0, 7]]:
        assert by_job(fit_refilled(images, STOPPING, job[None])) == {tuple(job): refilled[tuple(job)]}


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


@pytest.mark.parametrize("steps", [3, 5])
def test_a_network_that_diverges_is_named(images, recipe, steps):
    number = images.index[6]
    message = rf"the network of digits number {number}, view [01], ended in .* not finite after {steps} steps; lower"
    with diverging(number), pytest.raises(DataError, match=message):
        fit_weights(images, recipe if steps == 3 else STOPPING, progress=False)


def test_a_network_stops_at_the_first_check_at_which_it_has_reached_the_target(images, monkeypatch):
    checked = {}

    def watched(started, requests, slots, real=refill.advance_slots):
        slots, mse = real(started, requests, slots)
        for number, view, steps, error in zip(requests.number, requests.view, slots.steps, mse, strict=True):
            # A slot for which no network waits goes on with what it has.
            checked.setdefault((int(number), int(view), int(steps)), -10 * np.log10(error))
        return slots, mse

    monkeypatch.setattr(refill, "advance_slots", watched)
    fitted = fit_weights(images, STOPPING, progress=False)
    assert len(set(fitted.steps.tolist())) > 2
    for row, view, steps, quality in zip(fitted.row, fitted.view, fitted.steps, fitted.psnr, strict=True):
        *before, last = [checked[images.index[row], view, at] for at in range(5, steps + 1, 5)]
        assert quality == pytest.approx(last)
        assert max(before, default=0.0) < 13.0
        assert last >= 13.0 or steps == STOPPING.steps
    assert 0 < (fitted.steps < STOPPING.steps).sum() < 20


def test_refilled_slots_on_disk_in_memory_and_after_ctrl_c_give_one_data_set(images, tmp_path, monkeypatch):
    monkeypatch.setattr("wsjax.data.store.shards.SHARD_NETWORKS", 6)
    expected = fit(images, recipe=STOPPING, progress=False)
    for found in (fit_in_two_goes(images, STOPPING, tmp_path, 12), load(tmp_path)):
        assert_same(found, expected)


def test_closing_the_iterator_ends_the_workers_in_the_middle_of_their_networks(images, monkeypatch):
    calls = []

    def endless(started, requests, slots, real=refill.advance_slots):
        calls.append(slots)
        slots, mse = real(started, requests, slots)
        steps = np.minimum(slots.steps, STOPPING.steps - 5)
        return slots._replace(steps=jax.device_put(steps, slots.steps.sharding)), mse

    monkeypatch.setattr(refill, "advance_slots", endless)
    parts = fit_refilled(images, STOPPING, JOBS, workers=2)
    next(parts)
    begun = len(calls)
    parts.close()
    # Each worker may have looked just before.
    assert len(calls) <= begun + 2
