"""How the tests run: four fake devices, strict numbers, and every signature of the package checked.

`jaxtyping`'s import hook checks the annotations of each function and dataclass of `wsjax` with beartype, arguments and
results alike. It raises before our own checks do, so a test of one of our messages takes the fixture `untyped`,
which switches the hook off while that test runs. So do the files that trace readers and augmentations hundreds of
times, where the hook takes a quarter of the time: their functions are checked in the docstrings' examples and in all
other files. Warnings are errors (pyproject.toml).

The settings hold for doctests too: `pytest tests wsjax` reads this file before it imports the package.
"""

import gc
import itertools
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Most of a test is its compilation, which takes half the time without most of XLA's optimizations, and half of that
# again with its older code generator and one module a program. In the environment, so that processes which tests start
# compile the same programs. A test whose law depends on the code that users run asks for theirs: `helpers.USERS_CODE`.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["XLA_FLAGS"] = " ".join(
    ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1", os.environ.get("XLA_FLAGS", "")]
)

# A shell starts what it runs in the background with Ctrl-C ignored; the tests of Ctrl-C, here and in the processes that
# they start, need it as it is in the foreground.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import beartype
import hypothesis
import jax
import jaxtyping
import matplotlib
import pytest

# What is compiled stays for good, and to search it all for cycles again and again is a twentieth of the whole run.
gc.set_threshold(50_000, 20, 50)
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
matplotlib.use("Agg")
pytest_plugins = ["tests.shared"]
# An integer serves where a float is asked for, as PEP 484 has it.
checked = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
jaxtyping.install_import_hook("wsjax", "tests.conftest.checked")
# A first call compiles, so a deadline would fail at random; the same examples run everywhere.
hypothesis.settings.register_profile("wsjax", deadline=None, max_examples=8, derandomize=True)
hypothesis.settings.load_profile("wsjax")

MAPS = 60_000
"""Memory maps at which a process lets go of what it compiled. Linux allows 65,530, and a program holds 16 for good:
the thousands that a worker compiles could end it in the middle of a test. It takes seconds, so it comes late."""

finished = itertools.count(1)


def pytest_runtest_logfinish() -> None:
    maps = Path("/proc/self/maps")
    if next(finished) % 10 == 0 and COMPILED.total() > 2000 and maps.exists() and maps.read_bytes().count(b"\n") > MAPS:
        jax.clear_caches()
        gc.collect()


COMPILED: Counter[str] = Counter()
"""How many programs XLA compiled, by the process that compiled them; a worker's count arrives when it ends."""


def count_program(event: str, duration_secs: float, **_: Any) -> None:
    if event.endswith("backend_compile_duration"):
        COMPILED[os.environ.get("PYTEST_XDIST_WORKER", "here")] += 1


jax.monitoring.register_event_duration_secs_listener(count_program)


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)  # of a worker, what the first process gets
    if output is not None:
        output["compiled"] = COMPILED.total()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    COMPILED[node.gateway.id] = getattr(node, "workeroutput", {}).get("compiled", 0)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the budgets of CONTRIBUTING.md are held against."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                seconds["/".join(report.nodeid.split("/")[:2]).split("::")[0]] += report.duration
    terminalreporter.section("seconds by area, of both workers together")
    for area, spent in seconds.most_common():
        terminalreporter.write_line(f"{spent:7.1f}  {area}")
    terminalreporter.write_line(f"{COMPILED.total()} programs compiled, without those of subprocesses")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of one file run in one worker, and so do those of tests/train, of
    tests/benchmarks and the examples of one package.

    They share programs. The groups of `--dist=loadgroup` are names of tests, which pytest 9.2 lets no plugin change.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return file.rpartition("/")[0] if file.startswith(("wsjax/", "tests/train/", "tests/benchmarks/")) else file

    return ByFile(config, log)


@pytest.fixture
def getkey() -> Callable[[], jax.Array]:
    """A function that gives another key at each call, the same ones in each run."""
    numbers = itertools.count()
    return lambda: jax.random.fold_in(jax.random.key(0), next(numbers))


@pytest.fixture
def untyped() -> Iterator[None]:
    """The checks of annotations are off, so that our own raise."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
