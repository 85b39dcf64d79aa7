"""Speed, time left, and what is said on standard error."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.cli.progress import Lines, Tally, can_draw, clock_time, counted, say
from autorag_whisper.transcriber import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator


def file(path: str) -> MediaSource:
    return MediaSource.from_path(path)


@pytest.mark.parametrize(
    ("duration_s", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3599.7, "1:00:00"), (90_061, "25:01:01")]
)
def test_a_duration_is_written_as_on_a_clock(duration_s: float, text: str) -> None:
    assert clock_time(duration_s) == text


def test_speed_is_audio_over_wall_time_and_counts_files_under_way() -> None:
    tally = Tally(files=2, started_s=100.0)
    tally.complete(file("a"), 60.0)
    tally.update(Progress(file("b"), 20.0, 40.0))
    assert tally.speed(110.0) == 8.0


def test_progress_within_a_file_replaces_what_was_said_before() -> None:
    tally = Tally(files=1, started_s=0.0)
    for audio_s in (10.0, 20.0):
        tally.update(Progress(file("a"), audio_s, 40.0))
    assert tally.audio_s == 20.0
    tally.complete(file("a"), 40.0)
    assert tally.audio_s == 40.0


def test_two_files_of_the_same_name_are_counted_apart() -> None:
    """They overwrote each other: the bar lost the one's seconds, and all of them when the other was done."""
    tally = Tally(files=2, started_s=0.0)
    tally.update(Progress(file("monday/talk.mp3"), 30.0, 60.0))
    tally.update(Progress(file("tuesday/talk.mp3"), 10.0, 60.0))
    assert (tally.audio_s, tally.expected_s) == (40.0, 120.0)
    tally.complete(file("monday/talk.mp3"), 60.0)
    assert (tally.audio_s, tally.expected_s) == (70.0, 120.0)


def test_time_left_takes_files_of_unknown_length_for_average_ones() -> None:
    tally = Tally(files=4, started_s=0.0)
    tally.complete(file("a"), 100.0)
    tally.update(Progress(file("b"), 50.0, 200.0))
    # 450 s of audio in 10 s is 15 x real time; 300 + 2 * 150 - 150 = 450 s of audio are left.
    assert tally.expected_s == 600.0
    assert tally.left_s(10.0) == pytest.approx(450.0 / 15.0)


def test_a_failed_file_counts_as_done_and_not_as_audio() -> None:
    tally = Tally(files=2, started_s=0.0)
    tally.update(Progress(file("bad"), 5.0, 50.0))
    tally.complete(file("bad"), None)
    tally.update(Progress(file("good"), 10.0, 40.0))
    assert (tally.done, tally.expected_s) == (1, 40.0)
    assert tally.left_s(1.0) == 3.0


def test_nothing_is_said_about_the_time_left_while_nothing_is_known() -> None:
    tally = Tally(files=2, started_s=0.0)
    assert tally.left_s(5.0) is None
    tally.update(Progress(file("a"), 3.0, None))
    assert (tally.left_s(5.0), tally.expected_s) == (None, None)


def test_a_file_that_is_longer_than_its_header_says_leaves_no_negative_time() -> None:
    tally = Tally(files=1, started_s=0.0)
    tally.update(Progress(file("a"), 30.0, 10.0))
    assert tally.left_s(5.0) == 0.0


def test_lines_number_the_files_that_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Tally(files=2, started_s=0.0))
    lines.complete(file("a"), 1.0, "a: fine")
    lines.complete(file("b"), None, "b: failed")
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


DRAWS = """
import itertools
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.cli.progress import Tally, reporter
from autorag_whisper.transcriber import Progress

one, other = MediaSource.from_path("a {x}[red].wav"), MediaSource.from_path("b" * 50)
ticks = itertools.count()
with reporter(Tally(2, 0.0), lambda: next(ticks) * 1.0, bar=True) as told:
    told.advance(Progress(one, 5.0, None))
    told.advance(Progress(one, 10.0, 40.0))
    told.complete(one, 40.0, "a: done")
    told.advance(Progress(other, 50.0, 40.0))
    told.complete(other, 40.0, "b: done")
print("the end")
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal of nobody."""
    pty = pytest.importorskip("pty", reason="no pseudo terminals here")
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def test_a_bar_is_drawn_on_a_terminal_of_any_width_and_wiped_at_the_end(terminal: tuple[int, int]) -> None:
    termios = pytest.importorskip("termios")
    reader, writer = terminal
    for columns in (0, 30, 60, 200):  # 0: a terminal that does not say how wide it is
        if columns:
            termios.tcsetwinsize(writer, (24, columns))
        states = drawn(reader, writer)
        assert max(map(len, states)) < (columns or 80)
        assert any("a {x}[red].wav" in state for state in states)
        assert "a: done" in states
        assert "b: done" in states
        assert not any("b" * 31 in state for state in states)
        bars = [state for state in states if "\u2501" in state]
        if columns == 30:
            assert any("2/2 files" in state for state in bars)
        else:
            figures = "1/2 files 13.3 \N{MULTIPLICATION SIGN} real time 0:03 left"
            assert any(state.endswith(figures) for state in bars)
        assert not states[-1].strip()  # wiped


def drawn(reader: int, writer: int) -> list[str]:
    """What stood on the line of a terminal, one after another, before the end."""
    with subprocess.Popen([sys.executable, "-c", DRAWS], stdout=writer, stderr=writer) as process:
        written = b""
        while b"the end" not in written:
            written += os.read(reader, 1 << 16)
        assert process.wait(240) == 0
    return written.decode().partition("the end")[0].replace("\n", "\r").split("\r")


def test_a_count_of_one_has_no_plural() -> None:
    assert [counted(count, "recording") for count in (0, 1, 2)] == ["0 recordings", "1 recording", "2 recordings"]
