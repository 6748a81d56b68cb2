"""`wsjax demo`."""

from pathlib import Path

from wsjax.demo import run_demo


def demo(*, out: Path = Path("runs/demo"), quick: bool = False) -> None:
    """The whole path: fit `digits`, train readers with and without augmentation, table, pictures, report.

    Args:
        out: The directory for everything it makes; an interrupted demo goes on from there.
        quick: A toy size that only shows that the path works, in about a minute.
    """
    run_demo(out, quick=quick)
