"""Text without layout: one segment a line, as OpenAI's own command writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.format.text import one_line
from autorag_whisper.format.times import Clock

if TYPE_CHECKING:
    from autorag_whisper.domain.transcript import Segment, Transcript

TSV_HEADING = "start\tend\ttext\n"


def txt(transcript: Transcript) -> str:
    """One segment a line; the empty string for a transcript without words."""
    return "".join(map(txt_line, transcript.segments))


def txt_line(segment: Segment) -> str:
    """One line of `txt`."""
    return f"{one_line(segment.text)}\n"


def tsv(transcript: Transcript) -> str:
    """`start`, `end` (integer milliseconds) and `text`, separated by tabs, under a heading."""
    clock = Clock(transcript.duration_s)
    return TSV_HEADING + "".join(tsv_row(segment, clock) for segment in transcript.segments)


def tsv_row(segment: Segment, clock: Clock) -> str:
    """One line of `tsv`."""
    return f"{clock.milliseconds(segment.start_s)}\t{clock.milliseconds(segment.end_s)}\t{one_line(segment.text)}\n"
