"""Ctrl-C at the right moment: Orbax writes in threads, which an interrupted save leaves at work."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Ctrl-C waits until the end, and does then what it did before: by default it raises KeyboardInterrupt.

    A process that ignores it goes on doing so. Threads other than the main one are never interrupted.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield
        return
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        yield
    finally:
        # None stands for a handler that Python did not set and cannot set again; SIG_DFL is a handler, and falsy.
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)
        if seen:
            signal.raise_signal(signal.SIGINT)
