"""Text without layout: one segment a line, as OpenAI's own command writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.format.text import one_line
from autorag_whisper.format.times import Clock

if TYPE_CHECKING:
    from autorag_whisper.domain.transcript import Transcript


def txt(transcript: Transcript) -> str:
    """One segment a line; the empty string for a transcript without words."""
    return "".join(f"{one_line(segment.text)}\n" for segment in transcript.segments)


def tsv(transcript: Transcript) -> str:
    """`start`, `end` (integer milliseconds) and `text`, separated by tabs, under a heading."""
    clock = Clock(transcript.duration_s)
    rows = (
        f"{clock.milliseconds(segment.start_s)}\t{clock.milliseconds(segment.end_s)}\t{one_line(segment.text)}\n"
        for segment in transcript.segments
    )
    return "start\tend\ttext\n" + "".join(rows)
