"""The command `python -m benchmarks accuracy`."""

import argparse
from pathlib import Path

from benchmarks import harness
from benchmarks.accuracy.run import run, save, table
from benchmarks.accuracy.suite import TIERS
from benchmarks.accuracy.suites import SUITES
from wsjax.errors import listing
from wsjax.host import use_host_well


def main(arguments: list[str]) -> None:
    """Run one suite, print its table, save its report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks accuracy", description="Train readers and score each once on the test split."
    )
    parser.add_argument("--suite", required=True, metavar="NAME", help=listing(tuple(SUITES)))
    parser.add_argument("--tier", default="small", metavar="TIER", help=f"{listing(TIERS)} (default: small)")
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"), help="where the cells lie (runs/accuracy)")
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="PATH",
        help="of the suite's images; of OFF meshes for shapes (as ModelNet40's)",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="save the report here")
    parser.add_argument("--finished", action="store_true", help="report the cells that are finished, and train none")
    parser.add_argument(
        "--cells", nargs="+", default=(), metavar="PART", help="only cells with a PART in their title, as weight_gcn"
    )
    asked = parser.parse_args(arguments)
    if asked.json:
        harness.check_writable(asked.json)
    use_host_well()
    out = asked.out / f"{asked.suite}-{asked.tier}"
    report = run(asked.suite, asked.tier, out, files=asked.directory, finished=asked.finished, only=asked.cells)
    save(report, out / "report.json")
    print(f"\n{table(report)}\n")
    if report["missing"]:
        print(f"not run yet: {listing(report['missing'])}")
    print(f"the cells and report.json are in {out}")
    if asked.json:
        save(report, asked.json)
        print(f"saved in {asked.json}")
