"""`wsjax demo`."""

import os
import sys
from pathlib import Path


def demo(*, out: Path = Path("runs/demo"), quick: bool = False) -> None:
    """The whole path: fit `digits`, train readers with and without augmentation, table, pictures, report.

    Args:
        out: The directory for everything it makes; an interrupted demo goes on from there.
        quick: A toy size that only shows that the path works, in half a minute at most; its figures mean nothing.
    """
    import jax

    from wsjax.demo import run_demo

    if quick:  # programs of a toy run for milliseconds, and take half the time to compile so
        jax.config.update("jax_disable_most_optimizations", True)
    try:
        run_demo(out, quick=quick)
    except KeyboardInterrupt:
        print(f"interrupted: what was saved in {out} stays, and the same command goes on from there", flush=True)
        sys.stderr.flush()
        # Another thread may be training, whose libraries Python would take down under it at a normal end.
        os._exit(130)
