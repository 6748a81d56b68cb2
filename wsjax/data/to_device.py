"""A whole data set on the device, or spread over several."""

from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.sharding import Sharding
from jax.typing import DTypeLike

from wsjax.data.dataset import WeightDataset
from wsjax.data.store.lazy import StoredDataset
from wsjax.data.store.save_load import cast, load

Place: TypeAlias = jax.Device | Sharding  # pyright: ignore[reportInvalidTypeForm]


def to_device(
    dataset: str | Path | StoredDataset | WeightDataset, place: Place | None = None, *, dtype: DTypeLike | None = None
) -> WeightDataset:
    """All networks of a data set as arrays on a device; labels and columns, a few bytes each, stay on the host.

    Args:
        dataset: a directory, what `open_dataset` gave or a view of it, or a data set in memory.
        place: a device, or a sharding of the leading axis such as `NamedSharding(devices.data_mesh(), P("batch"))`;
            None takes the default device.
        dtype: of floating-point weights: float32, bfloat16 or float16, with the metadata's statistics of those. None
            keeps what is stored, every bit.

    Raises:
        ValueError: another dtype, weights of 64 bits where JAX has none, or networks that a sharding does not divide.
        DataError: the directory holds no whole data set, or a damaged one.

    Example:
        `networks` is a data set of 40 SIRENs.

        >>> to_device(networks, dtype="bfloat16").weights[0].kernel.dtype
        dtype(bfloat16)
    """
    if isinstance(dataset, str | Path):
        dataset = load(dataset)
    elif isinstance(dataset, StoredDataset):
        dataset = dataset.in_memory()
    if dtype is not None:
        dataset = cast(dataset, dtype, f"taking {dataset.metadata.name} to the device")
    for name, leaf in zip(dataset.symmetry.names, jax.tree.leaves(dataset.weights), strict=True):
        narrowed = jax.dtypes.canonicalize_dtype(leaf.dtype)
        if narrowed != leaf.dtype:
            floats = "pass dtype='float32', or " * jnp.issubdtype(leaf.dtype, jnp.floating)
            raise ValueError(
                f"{name} is {leaf.dtype}, which JAX would make {narrowed}; expected a dtype that it has: {floats}set "
                f"jax_enable_x64"
            )
    if isinstance(place, Sharding):
        _check_divides(len(dataset), place)
    return replace(dataset, weights=jax.device_put(dataset.weights, place))


def _check_divides(count: int, sharding: Sharding) -> None:
    try:
        sharding.shard_shape((count,))
    except ValueError as error:
        raise ValueError(
            f"{count} networks do not divide over the sharding {sharding} ({error}); expected the same number for each "
            f"device: take() as many"
        ) from None
