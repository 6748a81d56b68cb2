"""The suite `compile` at a toy size: phases add up, and every sample compiles anew. Nothing here asserts a time."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.speed import compile
from benchmarks.speed.compile import Size, Span, first_call, seconds_of
from tests.benchmarks.reports import checked_report

TOY = Size(widths=(2, 3, 1), batch=4, names=("statistics",), rounds=1)


@pytest.fixture
def cleared(monkeypatch) -> list[int]:
    """Times at which JAX was asked to forget its programs, which other tests share."""
    times: list[int] = []
    monkeypatch.setattr(jax, "clear_caches", lambda: times.append(len(times)))
    return times


@pytest.mark.slow
def test_a_toy_run_gives_the_promised_rows_in_a_valid_report(cleared):
    rows, timings, notes = compile.contest(TOY)
    checked_report("compile", rows, timings, notes)
    names = ("augment_recommended", "align", "fit", "build_statistics", "step_statistics")
    assert [row.name for row in rows] == [
        f"compile/{name}/{what}" for name in names for what in ("first_call", "trace", "lower", "xla")
    ]
    assert len(cleared) == 2 * len(names)  # the warm-up and one round
    for name in names:
        whole, *parts = (row.value for row in rows if row.name.startswith(f"compile/{name}/"))
        assert 0 < sum(parts) < whole, name


def test_a_program_is_counted_while_its_call_is_watched_and_not_after(cleared):
    call = lambda: jax.jit(lambda x: x + 1)(jnp.zeros(3))
    assert first_call(call).programs > 0
    assert first_call(lambda: None).programs == 0
    with pytest.raises(ValueError, match="no"):
        first_call(lambda: (_ for _ in ()).throw(ValueError("no")))
    watched = first_call(call)
    assert watched.programs == 1  # and not two, as where a listener was left
    assert 0 < watched.phases["xla"] < watched.seconds


def test_what_lies_within_a_phase_counts_once_and_threads_count_apart():
    nested = [Span("trace", 0.0, 10.0), Span("lower", 2.0, 3.0), Span("trace", 4.0, 8.0), Span("xla", 5.0, 7.0)]
    assert seconds_of(nested) == {"trace": 7.0, "lower": 1.0, "xla": 2.0}
    beside = [Span("xla", 0.0, 2.0, thread=1), Span("xla", 1.0, 3.0, thread=2)]
    assert seconds_of(beside)["xla"] == 4.0
