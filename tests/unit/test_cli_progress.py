"""Speed, time left, and what is said on standard error."""

from __future__ import annotations

import io
import sys

import pytest

from autorag_whisper.cli.progress import Lines, Tally, can_draw, clock_time, say
from cli_world import Progress


@pytest.mark.parametrize(
    ("duration_s", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3599.7, "1:00:00"), (90_061, "25:01:01")]
)
def test_a_duration_is_written_as_on_a_clock(duration_s: float, text: str) -> None:
    assert clock_time(duration_s) == text


def test_speed_is_audio_over_wall_time_and_counts_files_under_way() -> None:
    tally = Tally(files=2, started_s=100.0)
    tally.complete("a", 60.0)
    tally.update(Progress("b", 20.0, 40.0))
    assert tally.speed(110.0) == 8.0


def test_progress_within_a_file_replaces_what_was_said_before() -> None:
    tally = Tally(files=1, started_s=0.0)
    for audio_s in (10.0, 20.0):
        tally.update(Progress("a", audio_s, 40.0))
    assert tally.audio_s == 20.0
    tally.complete("a", 40.0)
    assert tally.audio_s == 40.0


def test_time_left_takes_files_of_unknown_length_for_average_ones() -> None:
    tally = Tally(files=4, started_s=0.0)
    tally.complete("a", 100.0)
    tally.update(Progress("b", 50.0, 200.0))
    # 450 s of audio in 10 s is 15 x real time; 300 + 2 * 150 - 150 = 450 s of audio are left.
    assert tally.expected_s == 600.0
    assert tally.left_s(10.0) == pytest.approx(450.0 / 15.0)


def test_a_failed_file_counts_as_done_and_not_as_audio() -> None:
    tally = Tally(files=2, started_s=0.0)
    tally.update(Progress("bad", 5.0, 50.0))
    tally.complete("bad", None)
    tally.update(Progress("good", 10.0, 40.0))
    assert (tally.done, tally.expected_s) == (1, 40.0)
    assert tally.left_s(1.0) == 3.0


def test_nothing_is_said_about_the_time_left_while_nothing_is_known() -> None:
    tally = Tally(files=2, started_s=0.0)
    assert tally.left_s(5.0) is None
    tally.update(Progress("a", 3.0, None))
    assert (tally.left_s(5.0), tally.expected_s) == (None, None)


def test_a_file_that_is_longer_than_its_header_says_leaves_no_negative_time() -> None:
    tally = Tally(files=1, started_s=0.0)
    tally.update(Progress("a", 30.0, 10.0))
    assert tally.left_s(5.0) == 0.0


def test_lines_number_the_files_that_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Tally(files=2, started_s=0.0))
    lines.complete("a", 1.0, "a: fine")
    lines.complete("b", None, "b: failed")
    assert capsys.readouterr() == ("", "[1/2] a: fine\n[2/2] b: failed\n")


def test_a_line_holds_no_character_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nb\x1b[2J\udcff.wav")
    assert capsys.readouterr().err == "a\ufffdb\ufffd[2J\ufffd.wav\n"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_for_a_terminal_that_can_draw_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", _Terminal())
    assert can_draw({"TERM": "xterm"})
    assert not can_draw({"TERM": "dumb"})
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not can_draw({"TERM": "xterm"})
