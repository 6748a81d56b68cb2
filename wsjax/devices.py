"""Meshes and shardings, and the start of several processes: the only file that names them.

Training is data-parallel: the state is replicated and the batch is spread over one axis; `jit` does the rest.
"""

from typing import TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from wsjax.errors import check_number

Tree = TypeVar("Tree")


def start_processes(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, *, patience: int = 100
) -> None:
    """Make this process one of several that work together; each calls this before it first uses JAX.

    Then `data.fit` shares its work among them, and `data.stream` gives each a part of every epoch. Under
    Slurm, Open MPI and on TPUs JAX finds the three arguments by itself. Where one process dies, JAX ends the others:
    give the same commands again, and they go on.

    Args:
        coordinator: `"HOST:PORT"` of process 0; any free port of that machine.
        processes, process: how many there are, and which one this is, from 0.
        patience: seconds without a sign of life after which a process counts as dead.

    Raises:
        ValueError: a process that is none of those, or some of the three arguments and not the others.
        RuntimeError: JAX was used before.
    """
    arguments = {"coordinator": coordinator, "processes": processes, "process": process}
    named = [name for name, value in arguments.items() if value is not None]
    if named and len(named) < len(arguments):
        raise ValueError(f"only {' and '.join(named)} given; expected {', '.join(arguments)}, or none of them")
    if processes is not None:
        check_number("processes", processes, low=1, integer=True)
        check_number("process", process, low=0, high=processes - 1, integer=True)
    check_number("patience", patience, low=1, integer=True)
    jax.distributed.initialize(coordinator, processes, process, heartbeat_timeout_seconds=patience)


def data_mesh(devices: int | None = None) -> Mesh:
    """A mesh of one axis, `"batch"`, over the first `devices` devices, or over all. Raises ValueError for more."""
    available = jax.devices()
    count = len(available) if devices is None else devices
    if count not in range(1, len(available) + 1):
        raise ValueError(f"devices is {devices}; this process has {len(available)}: ask for 1 to {len(available)}")
    return jax.make_mesh((count,), ("batch",), axis_types=(AxisType.Auto,), devices=available[:count])


def replicate(tree: Tree, mesh: Mesh | None) -> Tree:
    """Copy a tree to every device of a mesh; without a mesh, to the default device."""
    return jax.device_put(tree, None if mesh is None else _sharding(mesh, PartitionSpec()))


def spread(tree: Tree, mesh: Mesh | None) -> Tree:
    """Inside `jit`: ask for the leading axis of every leaf to be spread over the mesh. Without a mesh: nothing."""
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, _sharding(mesh, PartitionSpec(mesh.axis_names)))


def _sharding(mesh: Mesh, spec: PartitionSpec) -> NamedSharding:
    """On a mesh of any names and types of axes; explicit ones, the default of `jax.make_mesh`, are made automatic."""
    automatic = (AxisType.Auto,) * len(mesh.axis_names)
    return NamedSharding(Mesh(mesh.devices, mesh.axis_names, axis_types=automatic), spec)
