"""Text that is printed while the work goes on: the output on standard output, and segments on standard error."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import click

from autorag_whisper.cli.exits import CannotPrint
from autorag_whisper.cli.progress import complain
from autorag_whisper.files import system_reason
from autorag_whisper.format import render
from autorag_whisper.format.streaming import STREAMED, Streamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.transcript import Segment, Transcript
    from autorag_whisper.format.options import SubtitleOptions


class Printer:
    """Prints one format of each file, in the order in which the files were named."""

    def __init__(self, sources: Iterable[MediaSource], form: str, subtitles: SubtitleOptions) -> None:
        self._out = InOrder(sources, form, lambda transcript: render(transcript, form, subtitles))

    def segment(self, source: MediaSource, segment: Segment) -> None:
        """A segment has come, of whichever file."""
        self._out.segment(source, segment)

    def done(self, source: MediaSource, transcript: Transcript | None) -> None:
        """A file is done; None if it failed."""
        self._out.done(source, transcript)


class InOrder:
    """Prints files in the order in which they were named. The segments of the first that is not done come at once.

    That is so where `form` can be printed piece by piece (`format.streaming`); else a file comes when it is done, with
    the same bytes. `text` renders a whole file. If a file fails later, what was printed of it stays.
    """

    def __init__(self, sources: Iterable[MediaSource], form: str, text: Callable[[Transcript], str]) -> None:
        self._order = deque(sources)
        self._text = text
        self._streams: dict[MediaSource, Streamed] = {source: Streamed(form) for source in self._order}
        self._is_streamed = form in STREAMED
        # What came early of each file, in pieces, of which the first `_printed` of the one whose turn it is are out.
        self._early: dict[MediaSource, list[bytes]] = {source: [] for source in self._order}
        self._printed = 0
        self._whole: dict[MediaSource, bytes] = {}

    def segment(self, source: MediaSource, segment: Segment) -> None:
        """A segment has come, of whichever file."""
        if self._is_streamed:
            self._early[source].append(self._streams[source].push(segment).encode())
            self._go_on()

    def done(self, source: MediaSource, transcript: Transcript | None) -> None:
        """A file is done; None if it failed."""
        early = b"".join(self._early[source])
        self._whole[source] = early if transcript is None else self._text(transcript).encode()
        self._go_on()

    def _go_on(self) -> None:
        while self._order:
            source = self._order[0]
            early = self._early[source]
            if source not in self._whole:
                print_bytes(b"".join(early[self._printed :]))
                self._printed = len(early)
                return
            print_bytes(self._whole.pop(source).removeprefix(b"".join(early[: self._printed])))
            self._printed = 0
            self._order.popleft()
            del self._early[source]


class Shown:
    """Segments with their times on standard error (`--show-text`), with the file's name where the file changes."""

    def __init__(self, *, several: bool) -> None:
        self._several = several
        self._last: MediaSource | None = None

    def segment(self, source: MediaSource, segment: Segment) -> None:
        """A segment has come."""
        if self._several and source is not self._last:
            complain(f"{source.name}:")
        self._last = source
        complain(f"[{clock(segment.start_s)} --> {clock(segment.end_s)}] {segment.text}")


def clock(time_s: float) -> str:
    """A time as in subtitles, with hours only from one hour on: 00:07.250, 1:02:03.000."""
    minutes, rest_ms = divmod(round(time_s * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest_ms / 1000:06.3f}"
    return f"{hours}:{minutes:02}:{seconds}" if hours else f"{minutes:02}:{seconds}"


def print_bytes(data: bytes) -> None:
    """Write to standard output. Raises CannotPrint; BrokenPipeError where its reader has gone."""
    if not data:
        return
    try:
        click.echo(data, nl=False)
    except BrokenPipeError:  # who read has enough; click ends the command without a word
        raise
    except OSError as error:
        raise CannotPrint(system_reason(error)) from error
