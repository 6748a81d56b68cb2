"""Orbax without its logging, called by each process at its own time where JAX runs in several."""

import errno
import gc
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

SETTLE_SECONDS = 0.2  # for the writes of a save that failed to end
PROCESS = os.getpid()
"""Which process imported Orbax: its threads do not live on in one that is forked from it, which it would abort."""
T = TypeVar("T")
_ORBAX = threading.Lock()


class OrbaxError(Exception):
    """What went wrong inside Orbax, in one line."""


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a flat dict of arrays as a new directory. Raises OrbaxError."""
    _quietly(lambda: _alone(lambda: ocp.save(str(path), arrays)))


def load(path: Path, described: dict[str, Any] | None) -> dict[str, Any]:
    """Read a dict of arrays, those that are described by others like them and not by `...`. Raises OrbaxError."""
    return _quietly(lambda: ocp.load(str(path), described))


def _quietly(call: Callable[[], T]) -> T:
    """Call Orbax; a failure becomes one `OrbaxError`, without the tracebacks and warnings that its threads leave."""
    if os.getpid() != PROCESS:
        raise RuntimeError(
            "this process was forked from one that had read or written stored data sets, whose threads are not in it; "
            "start workers with multiprocessing.get_context('spawn'), or PyTorch's with multiprocessing_context='spawn'"
        )
    log = logging.getLogger("absl")
    with _ORBAX:  # log level, hook and warnings are the whole process's, and a stream reads in a thread of its own
        level, hook = log.level, sys.unraisablehook
        log.setLevel(logging.CRITICAL)
        sys.unraisablehook = lambda event: None if "loop is closed" in str(event.exc_value) else hook(event)
        try:
            try:
                with _by_itself():
                    return call()
            except Exception as error:
                lines = str(error).strip().splitlines() or [type(error).__name__]
                # Orbax words a full disk in one of many lines.
                full = os.strerror(errno.ENOSPC)
                reason = full if full in str(error) else lines[0][:300]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                gc.collect()
            time.sleep(SETTLE_SECONDS)
            raise OrbaxError(reason)
        finally:
            log.setLevel(level)
            sys.unraisablehook = hook


def _by_itself() -> ocp.Context:
    """Without waiting for other processes, and without compression."""
    context = ocp.Context()
    # Weights hardly compress: a tenth less to write would take thrice the time.
    context.array.saving.use_compression = False
    context.multiprocessing.primary_host, context.multiprocessing.active_processes = None, {jax.process_index()}
    # Made in the background, a directory is announced to whoever writes into it by a word that all processes share: one
    # would begin to write once another's directory is there.
    context.asynchronous.create_directories_asynchronously = False
    return context


def _alone(save: Callable[[], None]) -> None:
    """Save as if JAX knew of one process: Orbax 0.12 compares the paths of all, and only the first writes NumPy."""
    # Orbax asks these two functions, and JAX itself asks others.
    index, count = jax.process_index, jax.process_count
    if count() == 1:
        return save()
    jax.process_index, jax.process_count = (lambda *_: 0), (lambda *_: 1)
    try:
        save()
    finally:
        jax.process_index, jax.process_count = index, count
