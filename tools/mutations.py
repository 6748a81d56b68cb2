"""Plant mistakes in copies of the library, one at a time, and see that the tests named beside each of them fail.

    .venv/bin/python tools/mutations.py               # all of tools/mutations.json, two at a time; a table
    .venv/bin/python tools/mutations.py mixup checks  # those whose area, file or words contain one of these
    .venv/bin/python tools/mutations.py --find        # name the first test that fails, where a mutation names a folder

A mutation replaces one text, found once in its file, by another. First all tests that the mutations name must pass on
the library as it is; then each mutation runs its own tests, and is caught where one of them fails. The exit status is 1
where one is not.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
MUTATIONS = ROOT / "tools" / "mutations.json"
COPIES = 2
LIMIT = 900.0  # seconds for the tests of one mutation
TESTS_FAILED = 1  # pytest's exit status where tests ran and some failed


@dataclass(frozen=True)
class Mutation:
    """area: the part of the library. what: the mistake in words. tests: what pytest is given to catch it."""

    area: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def planted(self, root: Path) -> tuple[Path, str]:
        """The file in a copy, and its text before; the mistake is written into it.

        Raises:
            ValueError: the text to replace is not there once.
        """
        path = root / self.file
        before = path.read_text(encoding="utf-8")
        if before.count(self.old) != 1:
            raise ValueError(
                f"{self.what}: {self.old!r} stands {before.count(self.old)} times in {self.file}; expected it once: "
                f"write the mutation anew"
            )
        path.write_text(before.replace(self.old, self.new), encoding="utf-8")
        return path, before


def run(root: Path, tests: tuple[str, ...], *options: str) -> subprocess.CompletedProcess[str]:
    """Run tests in a copy, until the first failure."""
    command = [sys.executable, "-m", "pytest", *tests, "-x", "-p", "no:cacheprovider", "-rfE", *options]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=LIMIT, check=False)


def copy_of_tree(into: Path) -> Path:
    """The files that git knows or would add, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)
    return into


def caught_by(mutation: Mutation, copies: SimpleQueue) -> str:
    """The first test that fails with the mistake in place; nothing where all pass."""
    root = copies.get()
    try:
        path, before = mutation.planted(root)
        try:
            done = run(root, mutation.tests, "--numprocesses=0")
        finally:
            path.write_text(before, encoding="utf-8")
    finally:
        copies.put(root)
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return found[1] if done.returncode == TESTS_FAILED and found else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only mutations with one of these words in area, file or description")
    parser.add_argument("--find", action="store_true", help="write the first failing test into mutations.json")
    arguments = parser.parse_args()
    known = [Mutation(**{**m, "tests": tuple(m["tests"])}) for m in json.loads(MUTATIONS.read_text(encoding="utf-8"))]
    wanted = [
        m for m in known if not arguments.words or any(w in f"{m.area} {m.file} {m.what}" for w in arguments.words)
    ]
    with tempfile.TemporaryDirectory() as directory:
        copies: SimpleQueue = SimpleQueue()
        roots = [copy_of_tree(Path(directory) / str(i)) for i in range(COPIES)]
        for root in roots:
            copies.put(root)
        if not arguments.find:
            tests = tuple(dict.fromkeys(test for m in wanted for test in m.tests))
            plain = run(roots[0], tests, f"--numprocesses={COPIES}")
            if plain.returncode:
                print(plain.stdout[-4000:], "the tests that the mutations name do not pass without any", sep="\n")
                return 1
        missed = []
        print(f"{'area':10} {'mistake':60} caught by")
        with ThreadPoolExecutor(COPIES) as pool:
            for mutation, test in zip(wanted, pool.map(lambda m: caught_by(m, copies), wanted), strict=True):
                print(f"{mutation.area:10} {mutation.what:60} {test or 'NOTHING'}", flush=True)
                missed += [] if test else [mutation]
                if arguments.find and test:
                    # One case of a parametrized test is named by its test: cases come and go.
                    known[known.index(mutation)] = replace(mutation, tests=(test.partition("[")[0],))
    if arguments.find:
        text = json.dumps([asdict(m) for m in known], indent=2, ensure_ascii=False)
        MUTATIONS.write_text(f"{text}\n", encoding="utf-8")
    print(f"{len(wanted) - len(missed)} of {len(wanted)} mistakes are caught")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
