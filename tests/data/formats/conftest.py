"""Small data sets in exactly the layouts of the public ones, written by PyTorch itself where they are its files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch

from tests.data.formats import references
from tests.helpers import change
from wsjax import symmetry
from wsjax.data import WeightDataset
from wsjax.errors import DataError


def save_state(path: Path, state: dict[str, np.ndarray], **extras: Any) -> Path:
    """A state dict as torch.save writes it, with what else stands in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: torch.from_numpy(value) for name, value in state.items()} | extras, path)
    return path


def refused(read: Callable, message: str, *arguments: Any, **settings: Any) -> None:
    with pytest.raises(DataError, match=message):
        read(*arguments, **settings)


def known(name: str, numbers: list[int]) -> list[list[float]]:
    return [references.OUTPUTS[f"{name} {number}"] for number in numbers]


@pytest.fixture
def agrees() -> Callable[[WeightDataset, list[int]], None]:
    """Check that each SIREN or MLP of a set computes what PyTorch computed from the state dict of its number."""

    def check(dataset: WeightDataset, numbers: list[int]) -> None:
        network = dataset.metadata.network
        assert network is not None
        apply = jax.jit(jax.vmap(lambda weights: network.apply(weights, references.POINTS)))
        found = np.asarray(apply(dataset.weights)).reshape(len(numbers), -1)
        expected = known(f"{'-'.join(map(str, network.widths))} {network.activation}", numbers)
        np.testing.assert_allclose(found - network.offset, expected, rtol=0, atol=1e-6)

    return check


@pytest.fixture
def agrees_cnn() -> Callable[[WeightDataset, str, str, list[int]], None]:
    """Check that each network computes what PyTorch computed with its number, and that its Symmetry is one."""

    def check(dataset: WeightDataset, architecture: str, activation: str, numbers: list[int]) -> None:
        images = jax.device_put(np.moveaxis(references.IMAGES[architecture], 1, -1))

        @jax.jit
        @jax.vmap
        def both(weights, key):
            moved = symmetry.act(symmetry.sample(key, dataset.symmetry), weights)
            return [references.FUNCTIONS[architecture](w, images, activation) for w in (weights, moved)]

        found, moved = both(dataset.weights, jax.random.split(jax.random.key(0), len(numbers)))
        np.testing.assert_allclose(found[:, 0], known(f"{architecture} {activation}", numbers), rtol=0, atol=1e-6)
        assert change(moved, found) < 1e-5

    return check
