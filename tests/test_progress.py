"""Progress: a bar where a line can be written over, elsewhere a line every ten seconds and one at the end."""

import contextlib
import io
import itertools
import sys

import pytest

from wsjax.progress import SECONDS, Lines, Progress, is_live, progress_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Cell(io.StringIO):
    """The stream under a cell of a notebook is no terminal; its module tells it."""

    __module__ = "ipykernel.iostream"


def lines(items=(), *, each: float, **settings) -> tuple[list[int], list[str]]:
    """What a loop over items of so many seconds each passes on, and what it writes."""
    stream, clock = io.StringIO(), itertools.count(0.0, each)
    found = list(Lines(items, unit="networks", desc="fit", stream=stream, clock=clock.__next__, **settings))
    return found, stream.getvalue().splitlines()


@pytest.mark.parametrize("stream", [Terminal(), Cell()])
def test_a_terminal_and_a_notebook_have_a_bar(stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream)
    assert is_live(stream)
    with progress_of(total=40, initial=10, unit="networks", desc="fit") as bar:
        assert isinstance(bar, Progress)
        bar.set_postfix(psnr="31.0 dB", refresh=False)
        bar.update(30)
    assert stream.getvalue().startswith("\rfit:  25%|")
    assert "40/40" in stream.getvalue()
    assert "psnr=31.0 dB" in stream.getvalue()


def test_a_file_has_a_line_every_ten_seconds_and_one_at_the_end():
    found, written = lines(range(25), each=1.0, total=25)
    assert found == list(range(25))
    assert written == [f"fit: {n} of 25 networks, {s} s" for n, s in ((10, 10), (20, 20), (25, 26))]
    assert lines(range(3), each=SECONDS)[1] == [f"fit: {n} networks, {10 * n} s" for n in (1, 2, 3)]


def test_a_file_has_no_carriage_returns_and_a_short_piece_of_work_one_line(capsys):
    with progress_of(total=40, initial=8, unit="networks", desc="fit") as bar:
        assert isinstance(bar, Progress)
        for _ in range(32):
            bar.update(1)
            bar.set_postfix({"psnr": "31.0 dB"}, refresh=False)
    assert capsys.readouterr().err == "fit: 40 of 40 networks, psnr 31.0 dB, 0 s\n"


def test_the_last_line_of_what_breaks_off_says_how_far_it_came(capsys):
    with contextlib.suppress(KeyboardInterrupt), progress_of(total=3, unit="files", desc="read") as bar:
        bar.update(2)
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "read: 2 of 3 files, 0 s\n"


def test_items_are_counted_and_bytes_are_megabytes(capsys):
    assert list(progress_of({"a": 1, "b": 2}.items(), unit="files", desc="read")) == [("a", 1), ("b", 2)]
    with progress_of(total=30_000_000, unit="B", desc="a.gz") as bar:
        bar.update(1_500_000)
    assert list(progress_of((n for n in range(2)), unit="files", desc="some")) == [0, 1]
    assert list(progress_of({}, unit="files", desc="none")) == []
    assert capsys.readouterr().err.splitlines() == [
        "read: 2 of 2 files, 0 s",
        "a.gz: 1.5 of 30.0 MB, 0 s",
        "some: 2 files, 0 s",
        "none: 0 of 0 files, 0 s",
    ]


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_what_is_disabled_shows_nothing(stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress_of([1, 2], unit="files", desc="read", disable=True)) == [1, 2]
    assert stream.getvalue() == ""


def test_no_bar_is_imported_where_none_is_shown(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert list(progress_of([1, 2], unit="files", desc="read")) == [1, 2]
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(ImportError):
        progress_of([1, 2], unit="files", desc="read")
