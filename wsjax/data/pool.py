"""Host threads that work on jobs side by side, and give the results in the order of the jobs."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, TypeVar

import jax

from wsjax.errors import check_number

Job = TypeVar("Job")
Done = TypeVar("Done")


def workers_of(workers: int | None = None) -> int:
    """The number of workers; None takes one a core on a CPU, one a device on accelerators."""
    if workers is not None:
        check_number("workers", workers, low=1, integer=True)
        return workers
    if jax.default_backend() != "cpu":
        return jax.local_device_count()
    # The cores that this process may use, on systems that have a call for them.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_turn(
    work: Callable[[Job, Any, Event], Done], jobs: Iterable[Job], devices: Sequence[Any], threads: int
) -> Generator[Done]:
    """What `work(job, device, stopped)` gives for each job, in order, with the devices taken in turn.

    Closing the generator, or an exception in the loop that reads it (Ctrl-C), abandons the jobs not yet begun, sets
    `stopped`, at which those that are at work may give up, and waits for them.
    """
    stopped = Event()
    with ThreadPoolExecutor(threads) as pool:
        pending = deque(pool.submit(work, job, device, stopped) for job, device in zip(jobs, itertools.cycle(devices)))
        try:
            while pending:
                yield pending.popleft().result()
        finally:
            stopped.set()
            for future in pending:
                future.cancel()
