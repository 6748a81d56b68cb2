"""Networks that stop at a target: each as alone, whatever its lane, its neighbours, the order and the kills."""

import dataclasses
import time

import jax
import numpy as np
import pytest

from tests.data.test_fit import by_job
from wsjax.data import Recipe, fit_dataset, fit_dataset_in_memory, fit_refilled, fit_weights, load
from wsjax.data.fitting import refill
from wsjax.data.fitting.fit import groups
from wsjax.errors import DataError
from wsjax.networks import Network

NETWORK = Network("siren", (2, 6, 6, 1), w0=(5.0,), offset=0.5)


@pytest.fixture(scope="module")
def stopping():
    """Targets that some of the images reach at once, some late and some never."""
    return Recipe(NETWORK, steps=60, learning_rate=2e-2, lanes=3, views=2, target_psnr=13.0, check_every=5)


@pytest.fixture(scope="module")
def jobs(images, stopping):
    return np.concatenate(groups(stopping, len(images.pixels)))


@pytest.fixture(scope="module")
def reference(images, stopping, jobs):
    return by_job(fit_refilled(images, stopping, jobs, workers=1))


def test_a_network_stops_at_the_first_check_at_which_it_has_reached_the_target(images, stopping):
    fitted = fit_weights(images, stopping, progress=False)
    assert (fitted.steps % stopping.check_every == 0).all()
    assert len(set(fitted.steps.tolist())) > 2
    stopped = fitted.steps < stopping.steps
    assert stopped.any()
    assert (fitted.psnr[stopped] >= stopping.target_psnr).all()
    earlier = dataclasses.replace(stopping, target_psnr=1e3)
    for steps in (5, 10):
        # The network as it was that many steps in: a longer schedule that is cut off.
        part = dataclasses.replace(earlier, schedule="constant", steps=steps)
        whole = dataclasses.replace(stopping, schedule="constant", target_psnr=13.0)
        before, after = (fit_weights(images, r, progress=False) for r in (part, whole))
        assert (before.psnr[after.steps > steps] < 13.0).all()


@pytest.mark.parametrize(("workers", "devices"), [(1, 1), (3, 1), (2, 2)])
def test_lane_neighbours_order_workers_and_devices_do_not_matter(
    images, stopping, jobs, reference, workers, devices, monkeypatch
):
    monkeypatch.setattr(refill, "fit_devices", lambda: jax.local_devices()[:devices])
    shuffled = np.random.default_rng(workers).permutation(jobs)
    assert by_job(fit_refilled(images, stopping, shuffled, workers=workers)) == reference


def test_a_network_alone_is_the_same(images, stopping, jobs, reference):
    for job in jobs[[0, 7]]:
        (alone,) = fit_refilled(images, stopping, job[None])
        assert by_job([alone]) == {tuple(job.tolist()): reference[tuple(job.tolist())]}


def test_on_disk_in_memory_and_after_ctrl_c_it_is_one_data_set(images, stopping, tmp_path, monkeypatch):
    monkeypatch.setattr("wsjax.data.store.shards.SHARD_NETWORKS", 6)
    expected = fit_dataset_in_memory(images, stopping, progress=False)
    count = 0

    def interrupted(*arguments, real=refill.advance):
        nonlocal count
        count += 1
        if count == 12:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(refill, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_dataset(images, stopping, tmp_path, progress=False, workers=1)
    monkeypatch.undo()
    found = fit_dataset(images, stopping, tmp_path, progress=False)
    for one in (found, load(tmp_path)):
        for a, b in zip(jax.tree.leaves(one.weights), jax.tree.leaves(expected.weights), strict=True):
            np.testing.assert_array_equal(a, b)
        for name, column in expected.columns.items():
            np.testing.assert_array_equal(one.columns[name], column)
        assert one.card == expected.card


def test_a_network_that_diverges_is_named(images, stopping):
    wild = dataclasses.replace(stopping, optimiser="sgd", learning_rate=1e30, views=1)
    with pytest.raises(DataError, match=rf"of digits number {images.index[0]}, view 0, .* after 5 steps; lower"):
        list(fit_refilled(images, wild, np.array([[0, 0]])))


def test_closing_the_iterator_ends_the_workers_in_the_middle_of_their_networks(images, stopping, jobs):
    endless = dataclasses.replace(stopping, steps=10**7, schedule="constant")
    parts = fit_refilled(images, endless, jobs, workers=2)
    next(parts)
    begun = time.monotonic()
    parts.close()
    assert time.monotonic() - begun < 10
