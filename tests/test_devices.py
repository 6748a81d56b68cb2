"""Meshes: over the fake devices, and over more than there are."""

import jax
import jax.numpy as jnp
import pytest

from wsjax.devices import data_mesh, replicate, spread, start_processes


def test_a_batch_spreads_over_all_devices_and_a_state_is_copied():
    mesh = data_mesh()
    assert mesh.size == 4
    batch = jax.jit(lambda x: spread(x, mesh))(jnp.arange(8.0))
    assert {s.data.shape for s in batch.addressable_shards} == {(2,)}
    assert replicate(jnp.arange(8.0), mesh).sharding.is_fully_replicated

    assert spread(x := jnp.arange(3.0), None) is x


def test_half_a_device_is_refused(untyped):
    with pytest.raises(ValueError, match=r"devices is 1\.5; this process has 4: ask for 1 to 4"):
        data_mesh(1.5)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coordinator": "localhost:9"}, "only coordinator given; expected coordinator, processes, process, or none"),
        ({"processes": 2, "process": 0}, "only processes and process given; expected coordinator"),
        ({"coordinator": "localhost:9", "processes": 0, "process": 0}, "processes is 0; it must be one integer"),
        ({"coordinator": "localhost:9", "processes": 2, "process": -1}, r"process is -1; .* in \[0, 1\]"),
        ({"coordinator": "localhost:9", "processes": 2, "process": 2}, r"process is 2; .* in \[0, 1\]"),
        ({"patience": 0}, "patience is 0"),
    ],
)
def test_a_start_of_processes_that_cannot_be_is_refused_before_jax_waits_for_it(arguments, message):
    with pytest.raises(ValueError, match=message):
        start_processes(**arguments)
