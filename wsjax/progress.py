"""The progress of a job: a bar on a terminal and in a notebook, elsewhere a plain line every ten seconds.

In a file or a pipe each of a bar's states would stay, thousands of them.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

SECONDS = 10.0
"""The least time between two lines."""


@runtime_checkable
class Progress(Protocol[T_co]):
    """What a loop calls, named as in tqdm: it iterates over the items, or calls `update` for each part done."""

    def __enter__(self) -> Any: ...
    def __exit__(self, kind: Any, error: Any, trace: Any, /) -> Any: ...
    def __iter__(self) -> Iterator[T_co]: ...
    def update(self, n: int = 1) -> Any: ...
    def set_postfix(self, values: Mapping[str, str] | None = None, /, refresh: bool = True, **more: str) -> Any: ...


def progress_of(
    items: Iterable[T] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    unit: str,
    desc: str,
    disable: bool = False,
) -> Progress[T]:
    """The progress of a loop, written to standard error: over `items`, or of the `total` that it updates.

    `initial` was done before, `unit` is in the plural ("B" is shown in megabytes), `desc` says what is done.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if not disable and is_live(sys.stderr):
        from tqdm import tqdm

        return tqdm(items, total=total, initial=initial, unit=unit, unit_scale=unit == "B", desc=desc)
    stream = None if disable else sys.stderr
    return Lines(() if items is None else items, total=total, initial=initial, unit=unit, desc=desc, stream=stream)


def is_live(stream: Any) -> bool:
    """Whether a line on a stream can be written over: on a terminal, and below a cell of a notebook."""
    return stream is not None and (stream.isatty() or type(stream).__module__.startswith("ipykernel."))


class Lines(Generic[T]):
    """Progress as lines of text: one whenever ten seconds have passed since the last, and the last state at the end.

    A `stream` of None gets none; the `clock` counts seconds from any start.
    """

    def __init__(
        self,
        items: Iterable[T] = (),
        *,
        total: int | None = None,
        initial: int = 0,
        unit: str,
        desc: str,
        stream: Any,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.items, self.total, self.done, self.unit, self.desc = items, total, initial, unit, desc
        self.stream, self.clock, self.values = stream, clock, ""
        self.began = self.written = clock()
        self.last: tuple[int, str] | None = None

    def __enter__(self) -> "Lines[T]":
        return self

    def __exit__(self, *_: Any) -> None:
        self._write(self.clock())

    def __iter__(self) -> Iterator[T]:
        with self:
            for item in self.items:
                yield item
                self.update()

    def update(self, n: int = 1) -> None:
        """So much more is done."""
        self.done += n
        now = self.clock()
        if now - self.written >= SECONDS:
            self._write(now)

    def set_postfix(self, values: Mapping[str, str] | None = None, /, refresh: bool = True, **more: str) -> None:
        """What stands behind the count from the next line on; there is nothing to refresh."""
        self.values = "".join(f", {name} {value}" for name, value in {**(values or {}), **more}.items())

    def _write(self, now: float) -> None:
        state, self.written = (self.done, self.values), now
        if self.stream is not None and state != self.last:
            self.last = state
            print(f"{self.desc}: {self._count()}{self.values}, {now - self.began:.0f} s", file=self.stream, flush=True)

    def _count(self) -> str:
        numbers = [self.done] if self.total is None else [self.done, self.total]
        if self.unit == "B":
            return f"{' of '.join(f'{number / 1e6:.1f}' for number in numbers)} MB"
        return f"{' of '.join(map(str, numbers))} {self.unit}"
