"""A clock that is set ahead removes nothing before somebody could set it right."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.jobs.clock_guard import JUMP_S, WAIT_S, ClockGuard, ClockSeen
from autorag_whisper.jobs.job import JobRequest
from autorag_whisper.jobs.memory import MemoryJobStore

if TYPE_CHECKING:
    from pathlib import Path

HOUR_S, DAY_S, WEEK_S = 3600.0, 86_400.0, 7 * 86_400.0
NOW_S = 1.8e9
STEPS = st.lists(st.floats(0.0, 2 * HOUR_S), max_size=60)


def looked(seen: ClockSeen, steps: list[float]) -> ClockSeen:
    """As the clock goes on for so long between the looks."""
    for passed_s in steps:
        seen = seen.at(seen.last_s + passed_s, passed_s)
    return seen


@given(STEPS, st.floats(-JUMP_S, JUMP_S))
def test_a_clock_that_goes_on_or_is_corrected_by_less_than_a_day_is_believed(steps: list[float], by_s: float) -> None:
    seen = looked(ClockSeen(NOW_S), steps)
    assert seen.doubted_s is None
    assert seen.at(seen.last_s + by_s).doubted_s is None


@given(st.floats(1.01 * JUMP_S, 100 * WEEK_S), STEPS)
def test_after_a_jump_nothing_is_believed_for_a_day_then_it_is(jump_s: float, steps: list[float]) -> None:
    seen = ClockSeen(NOW_S).at(NOW_S + jump_s)
    for passed_s in steps:
        seen = looked(seen, [passed_s])
        assert (seen.doubted_s is not None) == (seen.last_s - NOW_S - jump_s < WAIT_S)
    assert looked(seen, [HOUR_S] * 24).doubted_s is None


@given(st.floats(1.01 * JUMP_S, 100 * WEEK_S), st.floats(0, HOUR_S))
def test_a_clock_that_is_set_back_is_believed_at_once(jump_s: float, later_s: float) -> None:
    seen = looked(ClockSeen(NOW_S).at(NOW_S + jump_s), [HOUR_S])
    assert seen.at(NOW_S + later_s).doubted_s is None


def test_time_that_the_process_knows_to_have_passed_is_no_jump() -> None:
    assert ClockSeen(NOW_S).at(NOW_S + WEEK_S, WEEK_S).doubted_s is None


def test_what_was_seen_outlives_the_process_also_where_it_is_started_each_day(tmp_path: Path) -> None:
    store = MemoryJobStore()
    assert ClockGuard(tmp_path / "clock.json", store).believes(NOW_S)
    believed = [
        ClockGuard(tmp_path / "clock.json", store).believes(NOW_S + 3 * WEEK_S + n * DAY_S / 2) for n in range(4)
    ]
    assert believed == [False, False, True, True], "the first start after three weeks, then two a day"


def test_without_a_file_the_newest_job_says_what_the_clock_was(tmp_path: Path) -> None:
    store = MemoryJobStore()
    store.add(JobRequest("/talk.wav", "talk.wav"), NOW_S)
    assert not ClockGuard(tmp_path / "clock.json", store).believes(NOW_S + WEEK_S)
    assert ClockGuard(tmp_path / "other.json", store).believes(NOW_S + HOUR_S)
    assert ClockGuard(tmp_path / "third.json", MemoryJobStore()).believes(NOW_S)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"last_s": "x", "doubted_s": null}', '{"last_s": NaN, "doubted_s": null}']
)
def test_a_file_that_says_nothing_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "clock.json").write_text(text)
    assert ClockGuard(tmp_path / "clock.json", MemoryJobStore()).believes(NOW_S)
    assert ClockGuard(tmp_path / "clock.json", MemoryJobStore()).believes(NOW_S)


def test_a_folder_that_cannot_be_written_only_forgets(tmp_path: Path) -> None:
    guard = ClockGuard(tmp_path / "absent" / "clock.json", MemoryJobStore())
    assert guard.believes(NOW_S)


def test_a_jump_is_told_once_with_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    guard = ClockGuard(tmp_path / "clock.json", MemoryJobStore())
    with caplog.at_level(logging.WARNING):
        for hours in range(3):
            guard.believes(NOW_S + (WEEK_S + hours * HOUR_S if hours else 0.0), HOUR_S)
    [told] = [record.getMessage() for record in caplog.records]
    assert told.startswith("the clock is 7.0 days ahead")
    assert told.endswith("set the clock right if it is wrong")
