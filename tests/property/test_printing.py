"""What is printed while the work goes on is what a whole render gives, in the order of the files."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.cli.printing import InOrder, Shown, clock
from autorag_whisper.domain.transcript import Segment, Transcript, Word
from autorag_whisper.format import FORMATS, render
from autorag_whisper.format.streaming import STREAMED, Streamed
from cli_world import transcript_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = st.sampled_from(["hello", "a\tb", "two\nlines", "\u2028", "\ud800", "\x00", "漢字", "end."])


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Segments in order, up to the last fraction of a millisecond of the file."""
    times = sorted(draw(st.lists(st.floats(0, 20), max_size=16)))
    segments = []
    for index, (start_s, end_s) in enumerate(zip(times[::2], times[1::2], strict=False)):
        text = draw(TEXTS)
        words = (Word(text.strip() or "x", start_s, end_s, 0.9),)
        segments.append(Segment(index, start_s, end_s, text, words, "en"))
    last_s = segments[-1].end_s if segments else 0.0
    duration_s = last_s + draw(st.sampled_from([0.0, 0.0001, 0.0004, 0.0006, 3.0]))
    return replace(transcript_of("a.wav", ""), segments=tuple(segments), duration_s=duration_s)


@pytest.mark.parametrize("form", sorted(STREAMED))
@given(transcript=transcripts())
def test_what_comes_early_is_what_the_whole_begins_with(form: str, transcript: Transcript) -> None:
    stream, early, whole = Streamed(form), "", render(transcript, form)
    for segment in transcript.segments:
        early += stream.push(segment)
        assert whole.startswith(early)


def test_plain_text_keeps_nothing_back_and_a_table_one_line() -> None:
    transcript = transcript_of("a.wav", "one")
    segments = [replace(transcript.segments[0], index=n, start_s=float(n), end_s=n + 0.4) for n in range(3)]
    assert [Streamed("txt").push(segment) for segment in segments] == ["one\n"] * 3
    table = Streamed("tsv")
    assert [table.push(segment).count("one") for segment in segments] == [0, 1, 1]


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Transcript | None], list[int]]:
    """Files, of which some fail, and whose turn it is to tell its next segment, or its end."""
    files = draw(st.lists(transcripts(), min_size=1, max_size=4))
    turns = draw(st.permutations([n for n, one in enumerate(files) for _ in range(len(one.segments) + 1)]))
    failing = draw(st.sets(st.integers(0, len(files) - 1)))
    return [None if n in failing and not one.segments else one for n, one in enumerate(files)], turns


@given(runs(), st.sampled_from(sorted(FORMATS)))
def test_files_are_printed_in_their_order_whatever_comes_first(
    run: tuple[list[Transcript | None], list[int]], form: str
) -> None:
    files, turns = run
    sources = [MediaSource.from_path(f"{n}/talk.wav") for n in range(len(files))]
    left: list[Iterator[Segment]] = [iter(one.segments if one else ()) for one in files]
    before, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO())
    try:
        printer = InOrder(sources, form, lambda transcript: render(transcript, form))
        for turn in turns:
            segment = next(left[turn], None)
            if segment is None:
                printer.done(sources[turn], files[turn])
            else:
                printer.segment(sources[turn], segment)
        sys.stdout.flush()
        printed = sys.stdout.buffer.getvalue()  # type: ignore[attr-defined]  # the BytesIO of three lines before
    finally:
        sys.stdout = before
    assert printed == b"".join(render(one, form).encode() for one in files if one)


def test_the_first_file_is_printed_as_it_comes_and_the_next_when_it_is_its_turn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All text was printed when a file was done: of an hour nothing for minutes."""
    first, second = (MediaSource.from_path(name) for name in ("a.wav", "b.wav"))
    transcript = transcript_of("a.wav", "hello")
    printer = InOrder([first, second], "txt", lambda transcript: render(transcript, "txt"))
    printer.segment(second, transcript_of("b.wav", "later").segments[0])
    assert capsys.readouterr().out == ""
    printer.segment(first, transcript.segments[0])
    assert capsys.readouterr().out == "hello\n"
    printer.done(first, transcript)
    assert capsys.readouterr().out == "later\n"


def test_what_was_printed_of_a_file_that_fails_stays_and_the_next_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (MediaSource.from_path(name) for name in ("a.wav", "b.wav"))
    printer = InOrder([first, second], "txt", lambda transcript: render(transcript, "txt"))
    printer.segment(first, transcript_of("a.wav", "hello").segments[0])
    printer.done(first, None)
    printer.done(second, transcript_of("b.wav", "later"))
    assert capsys.readouterr().out == "hello\nlater\n"


def test_segments_are_shown_with_their_times_and_their_file_where_there_are_several(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = Shown(several=True)
    first, second = (MediaSource.from_path(name) for name in ("a.wav", "b.wav"))
    segment = replace(transcript_of("a.wav", "hello").segments[0], text="hello\x1b[2J there")
    for source in (first, first, second):
        shown.segment(source, segment)
    line = "[00:00.000 --> 00:00.400] hello\ufffd[2J there"
    assert capsys.readouterr().err.splitlines() == ["a.wav:", line, line, "b.wav:", line]


@pytest.mark.parametrize(
    ("time_s", "text"), [(0.0, "00:00.000"), (59.9996, "01:00.000"), (61.25, "01:01.250"), (3723.0, "1:02:03.000")]
)
def test_times_of_shown_text_read_as_in_subtitles(time_s: float, text: str) -> None:
    assert clock(time_s) == text
