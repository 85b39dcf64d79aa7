"""The stop-watch of `benchmarks/cold_start.py`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from benchmarks.cold_start import Case, figures, five_seconds, line, timed

if TYPE_CHECKING:
    from pathlib import Path

# Says something, waits until it was heard, however long that takes, and then works for half a second.
TALKER = "import sys, time; print('words', flush=True); sys.stdin.readline()\nwhile time.process_time() < 0.5: pass"


def test_the_first_output_is_timed_apart_from_the_end_of_the_process() -> None:
    until_words = timed(Case("words", (sys.executable, "-c", TALKER), 1.0, until_output=True))
    whole = timed(Case("whole", (sys.executable, "-c", TALKER), 1.0))
    assert until_words > 0
    assert whole >= 0.5


@pytest.mark.parametrize("program", ["raise SystemExit('broken')", "pass"])
def test_a_process_that_fails_or_says_nothing_is_no_figure(program: str) -> None:
    with pytest.raises(RuntimeError, match="words ended with"):
        timed(Case("words", (sys.executable, "-c", program), 1.0, until_output=True))


def test_a_row_is_the_median_with_the_range_and_the_goal_if_there_is_one() -> None:
    case = Case("words", ("true",), 1.5)
    assert figures(case, [3.0, 1.0, 2.0]) == {"median_s": 2.0, "low_s": 1.0, "high_s": 3.0, "goal_s": 1.5}
    assert "2.000 s (1.000 to 3.000), goal 1.5 s" in line(case, figures(case, [3.0, 1.0, 2.0]))
    assert "goal" not in line(Case("it", ("true",), None), {"median_s": 1, "low_s": 1, "high_s": 1})


def test_the_clip_is_five_seconds_of_the_sample(tmp_path: Path) -> None:
    assert five_seconds(tmp_path / "clip.wav").stat().st_size == 44 + 5 * 16_000 * 2
