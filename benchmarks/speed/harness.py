"""The harness of all suites: interleaved timing, rows, the machine's description, the report."""

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from wsjax.host import use_host_well

UNEXPLAINED = 1.5
"""The ratio of PyTorch's time to its earlier one, the mark, above which a note gives the reason."""
PACKAGES = ("wsjax", "jax", "jaxlib", "optax", "numpy", "torch")


class Contestant(NamedTuple):
    """One way to do the work. `run(round)` does `work` units of it and returns what it made."""

    name: str
    run: Callable[[int], Any]
    work: float


class Timing(NamedTuple):
    """Seconds of the first call; seconds a unit of work, and what was made, of each later round."""

    first: float
    seconds: np.ndarray
    made: list[Any]
    work: float

    @property
    def compile(self) -> float:
        """Seconds the first call took beyond a later one: compilation, for a JAX program."""
        return max(0.0, self.first - float(np.median(self.seconds)) * self.work)


@dataclass(frozen=True)
class Row:
    """One published number: the value, and how many times faster that is than something else.

    `quartiles` are those of the value, `ratio_quartiles` those of the ratio.
    """

    name: str
    value: float
    unit: str
    ratio: float
    against: str
    against_value: float
    quartiles: tuple[float, float]
    ratio_quartiles: tuple[float, float]


def measure(
    contestants: Sequence[Contestant], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Timing]:
    """Time contestants in rounds, so that a slow moment of the machine hits all of them alike.

    Every contestant runs once as a warm-up, timed apart. Then each round runs all of them, forwards and backwards in
    turn. The clock stops when the results are ready, not when they are promised.

    Args:
        contestants: what to time.
        rounds: how often; each contestant gets as many samples.
        clock: gives seconds.

    Example:
        >>> timing = measure([Contestant("sum", lambda round: sum(range(1000)), 1000)], rounds=3)["sum"]
        >>> timing.seconds.shape, timing.made[0]
        ((3,), 499500)
    """

    def timed(contestant: Contestant, number: int) -> tuple[float, Any]:
        start = clock()
        made = jax.block_until_ready(contestant.run(number))
        return clock() - start, made

    first = {c.name: timed(c, 0)[0] for c in contestants}
    seconds: dict[str, list[float]] = {c.name: [] for c in contestants}
    made: dict[str, list[Any]] = {c.name: [] for c in contestants}
    for number in range(rounds):
        for contestant in contestants if number % 2 == 0 else contestants[::-1]:
            spent, result = timed(contestant, number)
            seconds[contestant.name].append(spent / contestant.work)
            made[contestant.name].append(result)
    return {c.name: Timing(first[c.name], np.array(seconds[c.name]), made[c.name], c.work) for c in contestants}


def quartiles(samples: np.ndarray) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile.

    Example:
        >>> import numpy as np
        >>> quartiles(np.array([4.0, 1.0, 2.0, 3.0, 5.0]))
        (2.0, 3.0, 4.0)
    """
    low, middle, high = np.quantile(samples, (0.25, 0.5, 0.75)).tolist()
    return low, middle, high


def compare(name: str, samples: np.ndarray, against: str, other: np.ndarray | float, unit: str) -> Row:
    """A row from times a unit of work; the ratio is the median over rounds of each round's own ratio.

    Args:
        name: the row's.
        samples: one time a round.
        against: the name of what is compared with.
        other: its times, round by round, or one fixed time.
        unit: of the times.

    Example:
        >>> import numpy as np
        >>> row = compare("a", np.array([1.0, 2.0, 1.0]), "b", np.array([3.0, 6.0, 4.0]), "us")
        >>> row.value, row.ratio
        (1.0, 3.0)
    """
    low, value, high = quartiles(samples)
    ratio_low, ratio, ratio_high = quartiles(np.asarray(other) / samples)
    other_value = float(np.median(other))
    return Row(name, value, unit, ratio, against, other_value, (low, high), (ratio_low, ratio_high))


def versus(name: str, timings: dict[str, Timing], ours: str, theirs: str) -> Row:
    """A row of microseconds a unit of work, from two contestants by name.

    Example:
        >>> import numpy as np
        >>> a, b = (Timing(1.0, np.full(2, seconds), [], 1.0) for seconds in (1e-6, 3e-6))
        >>> row = versus("case", {"a": a, "b": b}, "a", "b")
        >>> round(row.ratio), row.against, row.unit
        (3, 'b', 'us')
    """
    return compare(name, 1e6 * timings[ours].seconds, theirs, 1e6 * timings[theirs].seconds, "us")


def machine() -> dict[str, Any]:
    """The machine, the versions and the moment; `load` is its load average before anything was measured."""
    cpu, vector = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        pairs = [line.partition(":") for line in info.read_text().splitlines()]
        fields = {name.strip(): value.strip() for name, _, value in pairs}
        cpu, flags = fields.get("model name", cpu), fields.get("flags", "").split()
        vector = next((flag for flag in ("avx512f", "avx2", "avx") if flag in flags), "")
    return {
        "cpu": cpu,
        "vector": vector,
        "cores": len(os.sched_getaffinity(0)),
        "device": jax.devices()[0].device_kind,
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "load": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def use_cores(count: int) -> None:
    """Keep this process to that many cores, or to as many as it may use. Before JAX and PyTorch start their threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


Outcome = tuple[list[Row], dict[str, Timing], list[str]]
"""What a suite finds: rows, every contestant's times, and notes."""


def run(suite: str, contest: Callable[[float], Outcome], *, quick: bool) -> dict[str, Any]:
    """Measure on two cores, with the process set up as the command line does it, and report.

    Args:
        suite: its name.
        contest: measures, given the machine's load average before; a note may cite it.
        quick: whether sizes are small, so that nothing is for publication.
    """
    use_cores(2)
    use_host_well()
    described = machine()
    rows, timings, notes = contest(described["load"])
    return report(suite, quick=quick, described=described, rows=rows, timings=timings, notes=notes)


def report(
    suite: str,
    *,
    quick: bool,
    described: dict[str, Any],
    rows: Sequence[Row],
    timings: dict[str, Timing],
    notes: Sequence[str],
) -> dict[str, Any]:
    """A suite's outcome as JSON has it; schema.json describes it."""
    contestants = {
        name: {
            "seconds": t.seconds.tolist(),
            "quartiles": quartiles(t.seconds),
            "work": t.work,
            "compile_seconds": t.compile,
        }
        for name, t in timings.items()
    }
    content = {
        "format": 1,
        "suite": suite,
        "quick": quick,
        "machine": described,
        "rows": [asdict(row) for row in rows],
        "contestants": contestants,
        "notes": list(notes),
    }
    return json.loads(json.dumps(content))


def check_writable(path: Path) -> None:
    """Raise before minutes of measuring, not after, where a report could not be saved."""
    if path.is_dir():
        raise ValueError(f"--json is the directory {path}; expected a file: give {path / 'report.json'}, for example")
    if not path.parent.is_dir():
        raise ValueError(f"--json is {path}; expected a file in a directory that exists: make {path.parent} first")


def write(content: dict[str, Any], path: Path) -> None:
    """Save a report."""
    path.write_text(json.dumps(content, indent=2) + "\n")


def table(content: dict[str, Any]) -> str:
    """A report as text: machine, rows, contestants, notes."""
    described = content["machine"]
    lines = [
        f"{content['suite']}{' (quick: not for publication)' if content['quick'] else ''} on {described['cpu']}, "
        f"{described['cores']} cores, {described['device']}; jax {described['jax']}, torch {described['torch']}, "
        f"python {described['python']}; load {described['load']} before; {described['date']}",
        "",
        f"{'row':<42} {'value':>9} {'':<8} {'ratio':>7}  {'quartiles':<15} against",
    ]
    for row in content["rows"]:
        spread = "{:.3g} to {:.3g}".format(*row["ratio_quartiles"])
        lines.append(
            f"{row['name']:<42} {row['value']:>9.4g} {row['unit']:<8} {row['ratio']:>6.3g}x  {spread:<15} "
            f"{row['against']}: {row['against_value']:.4g} {row['unit']}"
        )
    lines += ["", f"{'contestant':<42} {'us a unit':>9} {'quartiles':<18} {'compile':>7}"]
    for name, timing in content["contestants"].items():
        low, middle, high = (1e6 * t for t in timing["quartiles"])
        spread = f"{low:.3g} to {high:.3g}"
        lines.append(f"{name:<42} {middle:>9.4g} {spread:<18} {timing['compile_seconds']:>6.1f}s")
    return "\n".join([*lines, "", *content["notes"]])
