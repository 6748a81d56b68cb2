"""Write the table of docs/readers.md: every reader and its parameters at each size.

    .venv/bin/python tools/readers.py

Run it after a change of `wsjax.models.READERS` or `SIZES`; half a minute on two cores.
"""

from pathlib import Path

import jax

from wsjax.data import Metadata
from wsjax.models import READERS, make, parameter_count
from wsjax.models.registry import SIZES
from wsjax.networks import Network

PAGE = Path(__file__).parents[1] / "docs" / "readers.md"
BEGIN, END = "<!-- made by tools/readers.py -->", "<!-- until here -->"
CLASSES = 10


def main() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


def table() -> str:
    """Parameters of every reader of 2-32-32-1 SIRENs, ten classes, in Markdown."""
    lines = ["| reader | small | default | base | published |", "|---|---|---|---|---|"]
    for name in READERS:
        sizes = ("small", None, "base", "published")
        counts = [f"{count(name, size):,}" if size is None or size in SIZES[name] else "-" for size in sizes]
        lines.append(f"| `{name}` | {' | '.join(counts)} |")
    return "\n".join(lines)


def count(name: str, size: str | None) -> int:
    return parameter_count(make(name, metadata(), size, key=jax.random.key(0)))


def metadata() -> Metadata:
    network = Network("siren", (2, 32, 32, 1), offset=0.5)
    statistics = {name: {"mean": 0.0, "std": 1.0, "rms": 1.0} for name in network.symmetry.names}
    classes = tuple(map(str, range(CLASSES)))
    return Metadata("images", network, network.symmetry, classes=classes, statistics=statistics)


if __name__ == "__main__":
    main()
