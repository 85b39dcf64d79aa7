"""Whoever follows a job has its text, however often it was begun and whatever came of that each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.jobs.job import JobEvent
from autorag_whisper.jobs.work import Telling

SEGMENTS = st.lists(st.sampled_from("abc"), max_size=6)
ATTEMPTS = st.lists(st.tuples(SEGMENTS, st.integers(0, 6)), max_size=4)
"""Of each attempt before the last: what it said, and how much of it was kept when its process died."""


def heard(events: list[tuple[str, str]]) -> list[str]:
    """What a client has that obeys `restart`."""
    found: list[str] = []
    for kind, data in events:
        if kind == "restart":
            found.clear()
        elif kind == "segment":
            found.append(data)
    return found


@given(ATTEMPTS, SEGMENTS)
def test_the_events_together_are_the_text_of_the_last_attempt(
    attempts: list[tuple[list[str], int]], last: list[str]
) -> None:
    kept: list[tuple[str, str]] = []
    for said, survived in attempts:
        telling, told = Telling(numbered(kept)), list[tuple[str, str]]()
        for data in said:
            told += telling.segment(data)
        kept += told[:survived]
    telling = Telling(numbered(kept))
    for data in last:
        kept += telling.segment(data)
    kept += telling.end()
    assert heard(kept) == last
    assert "done" not in dict(kept), "that is told by the store, with the job's end"


@given(SEGMENTS, st.integers(0, 6))
def test_nothing_is_told_twice_where_the_same_comes_out(said: list[str], survived: int) -> None:
    kept = [("segment", data) for data in said[:survived]]
    telling = Telling(numbered(kept))
    for data in said:
        kept += telling.segment(data)
    kept += telling.end()
    assert kept == [("segment", data) for data in said]


def numbered(events: list[tuple[str, str]]) -> list[JobEvent]:
    return [JobEvent(number, kind, data) for number, (kind, data) in enumerate(events, 1)]
