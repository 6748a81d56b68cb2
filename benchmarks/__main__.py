"""`python -m benchmarks SUITE`: run one suite, print its table, save its report.

`python -m benchmarks accuracy --suite NAME` trains; the other suites measure times.
"""

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.speed import harness
from wsjax.errors import check_choice, listing

SUITES = ("fit", "recipes", "align", "augment", "store", "readers", "compile")


def main(arguments: list[str] | None = None) -> None:
    """The command; arguments from the shell unless given."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if "accuracy" in given:
            importlib.import_module("benchmarks.accuracy.run").main([word for word in given if word != "accuracy"])
        else:
            measure(given)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def measure(arguments: list[str]) -> None:
    """Run one suite of times, print its table, save its report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure wsjax beside the alternatives.")
    parser.add_argument("suite", metavar="SUITE", help=listing((*SUITES, "accuracy")))
    parser.add_argument("--json", type=Path, metavar="PATH", help="save the report here")
    parser.add_argument("--quick", action="store_true", help="small sizes, within a minute; not for publication")
    args = parser.parse_args(arguments)
    check_choice("suite", args.suite, SUITES)
    if args.json:
        harness.check_writable(args.json)
    report = importlib.import_module(f"benchmarks.speed.{args.suite}").run(quick=args.quick)
    print(harness.table(report))
    if args.json:
        harness.write(report, args.json)
        print(f"saved in {args.json}")


if __name__ == "__main__":
    main()
