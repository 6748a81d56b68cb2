"""Small data sets in exactly the layouts of the public ones, written by PyTorch itself where they are its files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from tests.data.formats import references_cnn
from tests.data.formats.references import MLP_OUTPUTS, OUTPUTS, POINTS
from tests.helpers import change
from wsjax import symmetry
from wsjax.data import WeightDataset


def save_state(path: Path, state: dict[str, np.ndarray], **extras: Any) -> Path:
    """A state dict as torch.save writes it, with what else stands in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: torch.from_numpy(value) for name, value in state.items()} | extras, path)
    return path


@pytest.fixture
def agrees() -> Callable[[WeightDataset, list[int]], None]:
    """Check that each SIREN or MLP of a set computes what PyTorch computed from the state dict of its number."""

    def check(dataset: WeightDataset, numbers: list[int]) -> None:
        network = dataset.metadata.network
        assert network is not None
        found = np.asarray(jax.jit(jax.vmap(lambda weights: network.apply(weights, POINTS)))(dataset.weights))
        outputs = network.widths[-1]
        if network.kind == "mlp":
            known = [MLP_OUTPUTS[network.widths, network.activation, number] for number in numbers]
        else:
            known = [OUTPUTS[outputs, number] for number in numbers]
        expected = [np.reshape(values, (len(POINTS), outputs)) for values in known]
        np.testing.assert_allclose(found - network.offset, np.stack(expected), rtol=0, atol=1e-6)

    return check


@pytest.fixture
def agrees_cnn() -> Callable[[WeightDataset, str, str, list[int]], None]:
    """Check that each network computes what PyTorch computed with its number, and that its Symmetry is one."""

    def check(dataset: WeightDataset, architecture: str, activation: str, numbers: list[int]) -> None:
        images = jnp.asarray(references_cnn.images(architecture))

        @jax.jit
        @jax.vmap
        def both(weights, key):
            moved = symmetry.act(symmetry.sample(key, dataset.symmetry), weights)
            return [references_cnn.FUNCTIONS[architecture](w, images, activation) for w in (weights, moved)]

        found, moved = both(dataset.weights, jax.random.split(jax.random.key(0), len(numbers)))
        expected = [np.ravel(references_cnn.OUTPUTS[architecture, activation, number]) for number in numbers]
        np.testing.assert_allclose(found[:, 0], expected, rtol=0, atol=1e-6)
        assert change(moved, found) < 1e-5

    return check
