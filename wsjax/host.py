"""How a process that trains or fits on a machine's own cores is best set up: what the command line does first."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT = 2**30
"""Bytes up to which the C library keeps what is freed."""


def use_host_well() -> None:
    """Set this process up for programs that take milliseconds to seconds on a CPU; call it before JAX is first used.

    - Threads of Python run their programs themselves (`jax_cpu_enable_async_dispatch` off), so that several groups of
      a fit go side by side, one a core.
    - The C library, where it is glibc, keeps what arrays free. Left alone it gives their megabytes back to the system
      after each call, and fetching them again, page by page, is a third to a half of a training step.

    It holds for the whole process and takes up to a gigabyte more of memory. On an accelerator it changes nothing.
    """
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows has no such name for it
        return
    if hasattr(library, "mallopt"):
        for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            library.mallopt(parameter, KEPT)
