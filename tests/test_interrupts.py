"""Ctrl-C held back: it waits, and does then what it did before."""

import os
import signal
import time

import pytest

from wsjax.interrupts import interrupts_held_back


@pytest.fixture
def handler():
    """Sets what SIGINT does, and puts back what it did before."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda new: signal.signal(signal.SIGINT, new)
    signal.signal(signal.SIGINT, before)


def interrupted(done: list[str]) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.05)
    done.append("went on")


def test_it_waits_until_the_work_is_whole_then_raises():
    done = []

    def saving():
        with interrupts_held_back():
            interrupted(done)

    with pytest.raises(KeyboardInterrupt):
        saving()
    assert done == ["went on"]
    with pytest.raises(KeyboardInterrupt):
        interrupted(done)
    assert done == ["went on"]


def test_it_is_not_lost_when_the_work_fails():
    def failing():
        with interrupts_held_back():
            interrupted([])
            raise OSError("full")

    with pytest.raises(KeyboardInterrupt) as caught:
        failing()
    assert isinstance(caught.value.__context__, OSError)


@pytest.mark.parametrize("action", [signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler])
def test_what_it_does_is_put_back(handler, action):
    handler(action)
    with interrupts_held_back():
        if action is signal.SIG_IGN:
            interrupted(done := [])  # a process that ignores it goes on ignoring
            assert done == ["went on"]
    assert signal.getsignal(signal.SIGINT) == action


def test_a_handler_of_ones_own_is_called_afterwards(handler):
    called, done = [], []
    handler(lambda number, frame: called.append((number, len(done))))
    with interrupts_held_back():
        interrupted(done)
    assert called == [(signal.SIGINT, 1)]
