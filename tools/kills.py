"""Kill `wsjax fit` or `wsjax zoo` at random moments, give the same command again, and compare what it makes with what
an unbroken run makes.

    .venv/bin/python tools/kills.py                        # 100 kills, 20 of them inside a shard write
    .venv/bin/python tools/kills.py --kills 6 --writes 2   # a short one
    .venv/bin/python tools/kills.py --parts 2              # two processes fit a half each; one of them is killed
    .venv/bin/python tools/kills.py --what refilled        # networks that stop at a target; or --what zoo

A fit, or one of the processes that make a part of it each, is killed (SIGKILL) at a moment drawn uniformly over the
length of an unbroken run, started again, killed again, and so on until a run ends before its moment comes. Then every
array's SHA-256 and the metadata must be those of the unbroken fit. Some kills wait for Orbax's temporary directory of a
shard instead, and count as inside a write where the killed process left that behind. The last line is a summary; any
difference makes the exit status 1.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from wsjax.data import load
from wsjax.data.store.index import METADATA, SHARDS, Index, has_index, read_index
from wsjax.data.store.parts import Part

COMMANDS = {
    "fit": ("fit", "digits", "--views", "3", "--steps", "3"),
    "refilled": ("fit", "digits", "--views", "3", "--steps", "50", "--target-psnr", "14"),
    "zoo": ("zoo", "digits", "--networks", "5391", "--hidden", "4", "--steps", "3", "--limit", "200"),
}
"""What is killed; each makes 5391 networks."""
SHARD_COUNT = 6
LONGEST = 0.01  # seconds from the start of a write to the kill; a write takes some 30 ms
TEMPORARY = ".orbax-checkpoint-tmp"
PATIENCE = 300.0  # seconds without an end
WHOLE = Part(1, 1)
MOST = 5  # times as many kills as asked for, until enough hit a write


@dataclass
class Tally:
    """What happened so far."""

    kills: int = 0
    inside: int = 0
    fits: int = 0
    failures: list[str] = field(default_factory=list)


def command(what: str, out: Path, part: Part) -> list[str]:
    verb, source, *settings = COMMANDS[what]
    flag = ["--part", f"{part.number}/{part.count}"] * (part.count > 1)
    return [str(Path(sys.executable).parent / "wsjax"), verb, source, str(out), *settings, *flag]


def log_of(part: Part, work: Path) -> Path:
    return work / f"log{part.number}"


def start(what: str, out: Path, work: Path, part: Part) -> subprocess.Popen:
    # What was compiled is kept between runs, or the kills would hit little but the compiler.
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(work / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    with log_of(part, work).open("w") as file:
        return subprocess.Popen(command(what, out, part), stdout=file, stderr=file, env={**os.environ, **cache})


def content(out: Path) -> tuple[str, str]:
    """SHA-256 of all arrays by the index, once they were read and found to be those; and the metadata."""
    load(out)
    return read_index(out).fingerprint, (out / METADATA).read_text()


def shards_of(part: Part) -> set[int]:
    return set(part.shards(Index(SHARD_COUNT, 1, "", {}, {})))


def writes(out: Path, part: Part = WHOLE) -> set[str]:
    """The temporary directories of a part's shards being written."""
    found = (path.name for path in (out / SHARDS).glob(f"*{TEMPORARY}*"))
    return {name for name in found if int(name.split(".")[0]) in shards_of(part)}


def unwritten(out: Path, part: Part) -> int:
    """How many shards a part has yet to write."""
    return len(shards_of(part) & set(read_index(out).unfinished)) if has_index(out) else len(shards_of(part))


def kill_at(process: subprocess.Popen, seconds: float) -> bool:
    """Kill a process so long after its start; whether it still ran."""
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


def kill_in_write(process: subprocess.Popen, out: Path, part: Part, number: int, delay: float) -> tuple[bool, bool]:
    """Kill a process a little after it began its `number`-th write; whether it still ran, and whether it was in one."""
    left = writes(out, part)  # by an earlier kill
    seen: set[str] = set()
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end and len(seen) < number:
        now = writes(out, part)
        left &= now  # the next start removes those
        seen |= now - left
        time.sleep(0.0002)
    time.sleep(delay)
    killed = kill_at(process, 0.0)
    return killed, killed and bool(writes(out, part) - left)


def one_fit(out: Path, work: Path, tally: Tally, args: argparse.Namespace, length: float, draw: random.Random) -> None:
    """Kill one process of a fit and restart all, until they end by themselves, or all kills are done."""
    parts = [Part(i + 1, args.parts) for i in range(args.parts)]
    while True:
        missing, kills = args.writes - tally.inside, max(args.kills - tally.kills, 0)
        part = draw.choice(parts)
        left = unwritten(out, part)
        running = {one: start(args.what, out, work, one) for one in parts}
        process = running.pop(part)
        if not kills and not (missing and left):
            killed = False
            process.wait(PATIENCE)
        elif left and draw.random() * kills < missing:
            killed, inside = kill_in_write(process, out, part, draw.randint(1, left), draw.uniform(0, LONGEST))
            tally.inside += inside
        else:
            killed = kill_at(process, draw.uniform(0, length))
        tally.kills += killed
        for other in running.values():
            other.wait(PATIENCE)
        for one, other in (running if killed else {**running, part: process}).items():
            if other.returncode != 0:
                said = log_of(one, work).read_text()[-500:]
                tally.failures.append(f"{' '.join(command(args.what, out, one))} failed after a kill: {said}")
        if not killed or tally.failures:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill `wsjax fit` or `zoo` and compare what restarts make.")
    parser.add_argument("--kills", type=int, default=100, help="at least; more where writes were missed")
    parser.add_argument("--writes", type=int, default=20, help="how many of them inside a shard write")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--what", choices=COMMANDS, default="fit", help="what to kill")
    parser.add_argument("--parts", type=int, default=1, help="processes that make a part each, at the same time")
    args = parser.parse_args()
    if not 0 <= args.writes <= args.kills:
        parser.error(f"--writes is {args.writes}; expected 0 to {args.kills}, the number of kills")
    work, draw = Path(tempfile.mkdtemp(prefix="kills-")), random.Random(args.seed)
    tally, began, length = Tally(), time.monotonic(), 0.0
    for name in ("warm", "unbroken"):
        started = time.monotonic()
        if start(args.what, work / name, work, WHOLE).wait(PATIENCE) != 0:
            raise SystemExit(f"error: the unbroken fit failed: {log_of(WHOLE, work).read_text()[-500:]}")
        length = time.monotonic() - started
    expected = content(work / "unbroken")
    while (tally.kills < args.kills or tally.inside < args.writes) and not tally.failures:
        out = work / f"fit{tally.fits}"
        one_fit(out, work, tally, args, length, draw)
        tally.fits += 1
        if not tally.failures and content(out) != expected:
            tally.failures.append(f"{out} differs from the unbroken fit after {tally.kills} kills")
        if not tally.failures and writes(out):
            tally.failures.append(f"{out} still holds {writes(out)}")
        if tally.kills > MOST * (args.kills + 10) and tally.inside < args.writes:
            tally.failures.append(f"only {tally.inside} of {tally.kills} kills hit a write; expected {args.writes}")
        print(f"{tally.kills} kills, {tally.inside} inside a write; {tally.fits} fits compared", flush=True)
        if not tally.failures:
            shutil.rmtree(out)
    if not tally.failures:
        shutil.rmtree(work)
    for failure in tally.failures:
        print(f"error: {failure}", file=sys.stderr)
    print(
        f"{args.what}: {tally.kills} kills over runs of {length:.1f} s, {tally.inside} of them inside a shard write; "
        f"{tally.fits} fits ended, {'one is wrong' if tally.failures else 'all equal to the unbroken one'}, "
        f"SHA-256 {expected[0]}; {time.monotonic() - began:.0f} s"
    )
    raise SystemExit(1 if tally.failures else 0)


if __name__ == "__main__":
    main()
