"""Meshes and shardings: the only file that names them.

Training is data-parallel: the state is replicated and the batch is spread over one axis; `jit` does the rest.
"""

from typing import TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


def data_mesh(devices: int | None = None) -> Mesh:
    """A mesh of one axis, `"batch"`, over the first `devices` devices; None takes all.

    Raises:
        ValueError: more devices asked for than there are.

    Example:
        >>> data_mesh(1).axis_names
        ('batch',)
    """
    available = jax.devices()
    count = len(available) if devices is None else devices
    if not 1 <= count <= len(available):
        raise ValueError(f"devices is {devices}; this process has {len(available)}: ask for 1 to {len(available)}")
    return jax.make_mesh((count,), ("batch",), axis_types=(AxisType.Auto,), devices=available[:count])


def replicate(tree: Tree, mesh: Mesh | None) -> Tree:
    """Copy a tree to every device of a mesh; without a mesh, to the default device."""
    return jax.device_put(tree, None if mesh is None else NamedSharding(mesh, PartitionSpec()))


def spread(tree: Tree, mesh: Mesh | None) -> Tree:
    """Inside `jit`: ask for the leading axis of every leaf to be spread over the mesh. Without a mesh: nothing."""
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec("batch")))
