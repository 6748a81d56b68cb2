"""`wsjax fit | zoo | train | evaluate | show | convert | verify | demo`: a thin layer over the library.

Commands import what they need when they run, so that help comes without JAX.
"""

import functools
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import tyro

from wsjax import __version__
from wsjax.cli.fit import fit, zoo
from wsjax.cli.stored import convert, show, verify
from wsjax.cli.train import evaluate, train
from wsjax.host import use_host_well


def demo(*, out: Path = Path("runs/demo"), quick: bool = False) -> None:
    """Fit networks to `digits`, train readers with and without augmentation, and write a table, figures and a report.

    Args:
        out: The directory for all files; an interrupted demo goes on from there.
        quick: A toy size that only shows that everything works, in half a minute at most; its scores mean nothing.
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


COMMANDS = {command.__name__: command for command in (fit, zoo, train, evaluate, show, convert, verify, demo)}


def on_its_host(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which first sets the process up for its work."""

    @functools.wraps(command)
    def run(*arguments, **settings) -> None:
        use_host_well()
        command(*arguments, **settings)

    return run


def main() -> None:
    """The console command."""
    if sys.argv[1:] == ["--version"]:
        print(f"wsjax {__version__}")
        return
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal or file whose encoding lacks a sign gets a "?" for it
            stream.reconfigure(errors="replace")
    os.environ.pop("MPLBACKEND", None)  # Jupyter sets it for what it starts, to a backend that need not be here
    try:
        tyro.extras.subcommand_cli_from_dict(
            {name: on_its_host(command) for name, command in COMMANDS.items()},
            prog="wsjax",
            description="Learning on the weights of neural networks. (--version prints the version.)",
            sort_subcommands=False,
        )
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The pipe is closed, as `head` closes it; what Python flushes at exit goes to the null device.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
