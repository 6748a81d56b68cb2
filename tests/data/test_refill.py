"""Networks that stop at a target: each as alone, whatever its slot, its neighbors, the order and the kills."""

import jax
import numpy as np
import pytest

from tests.data.conftest import diverging
from tests.data.test_fit import by_job
from wsjax.data import Recipe, fit, load
from wsjax.data.fitting import refill
from wsjax.data.fitting.grouped import groups
from wsjax.data.fitting.job import fit_weights
from wsjax.data.fitting.refill import fit_refilled
from wsjax.errors import DataError
from wsjax.networks import Network

pytestmark = pytest.mark.usefixtures("plain_module")

STOPPING = Recipe(
    Network("siren", (2, 6, 6, 1), w0=(5.0,), offset=0.5), 60, 2e-2, slots=3, views=2, target_psnr=13.0, check_every=5
)
"""A target that some of the images reach at once, some late and some never."""
JOBS = np.concatenate(groups(STOPPING, 10))


@pytest.fixture(scope="module")
def reference(images):
    return by_job(fit_refilled(images, STOPPING, JOBS, workers=1))


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


@pytest.mark.parametrize(("workers", "devices"), [(1, 1), (3, 1), (2, 2)])
def test_slots_neighbors_order_workers_and_devices_do_not_matter(images, reference, workers, devices, monkeypatch):
    monkeypatch.setattr(refill, "fit_devices", lambda: jax.local_devices()[:devices])
    shuffled = np.random.default_rng(workers).permutation(JOBS)
    assert by_job(fit_refilled(images, STOPPING, shuffled, workers=workers)) == reference


def test_a_network_alone_is_the_same(images, reference):
    for job in JOBS[[0, 7]]:
        (alone,) = fit_refilled(images, STOPPING, job[None])
        assert by_job([alone]) == {tuple(job.tolist()): reference[tuple(job.tolist())]}


def test_on_disk_in_memory_and_after_ctrl_c_it_is_one_data_set(images, tmp_path, monkeypatch):
    monkeypatch.setattr("wsjax.data.store.shards.SHARD_NETWORKS", 6)
    expected = fit(images, recipe=STOPPING, progress=False)
    count = 0

    def interrupted(*arguments, real=refill.advance_slots):
        nonlocal count
        count += 1
        if count == 12:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(refill, "advance_slots", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(images, recipe=STOPPING, out=tmp_path, progress=False, workers=1)
    monkeypatch.undo()
    found = fit(images, recipe=STOPPING, out=tmp_path, progress=False)
    for one in (found, load(tmp_path)):
        for a, b in zip(jax.tree.leaves(one.weights), jax.tree.leaves(expected.weights), strict=True):
            np.testing.assert_array_equal(a, b)
        for name, column in expected.columns.items():
            np.testing.assert_array_equal(one.columns[name], column)
        assert one.metadata == expected.metadata


def test_a_network_that_diverges_is_named(images):
    number = images.index[6]
    message = rf"of digits number {number}, view [01], .* not finite after 5 steps; lower"
    with diverging(number), pytest.raises(DataError, match=message):
        list(fit_refilled(images, STOPPING, JOBS))


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
