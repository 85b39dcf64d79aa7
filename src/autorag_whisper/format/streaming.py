"""Formats that can be written while the file is still being recognised: what comes early is what `render` begins with.

Subtitles cannot: a cue may change with the words that follow it, and so may the language that decides their layout.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from autorag_whisper.format.plain import TSV_HEADING, tsv_row, txt_line
from autorag_whisper.format.times import Clock

if TYPE_CHECKING:
    from autorag_whisper.domain.transcript import Segment

STREAMED = frozenset({"txt", "tsv"})
"""Names of `FORMATS` that `Streamed` writes."""

_TICK_S = 0.001


class Streamed:
    """One file in a format of `STREAMED`: segments in order, text as soon as no later segment can change it."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._begun = False
        self._held: list[Segment] = []

    def push(self, segment: Segment) -> str:
        """The text that is certain by now, after what was given before."""
        if self._form == "txt":
            return txt_line(segment)
        # A time in the file's last millisecond is rounded to inside the file, and how long that is shows at its end.
        certain = [held for held in self._held if held.end_s <= segment.start_s - _TICK_S]
        self._held = [*self._held[len(certain) :], segment]
        heading = "" if self._begun else TSV_HEADING
        self._begun = True
        return heading + "".join(tsv_row(held, Clock(math.inf)) for held in certain)
