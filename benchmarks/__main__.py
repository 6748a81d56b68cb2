"""`python -m benchmarks SUITE`: run one suite, print its table, save its report."""

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks import harness
from wsjax.errors import check_choice, listing

SUITES = (
    "fit",
    "recipes",
    "align",
    "augment",
    "store",
    "readers",
)


def main(arguments: list[str] | None = None) -> None:
    """The command; arguments from the shell unless given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure wsjax beside the alternatives.")
    parser.add_argument("suite", metavar="SUITE", help=listing(SUITES))
    parser.add_argument("--json", type=Path, metavar="PATH", help="save the report here")
    parser.add_argument("--quick", action="store_true", help="small sizes, within a minute; not for publication")
    asked = parser.parse_args(arguments)
    try:
        check_choice("suite", asked.suite, SUITES)
        if asked.json:
            harness.check_writable(asked.json)
        report = importlib.import_module(f"benchmarks.{asked.suite}").run(quick=asked.quick)
        print(harness.table(report))
        if asked.json:
            harness.write(report, asked.json)
            print(f"saved in {asked.json}")
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
