"""Progress of a run on standard error: a bar on a terminal, elsewhere one line for each file that is done."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import click

from autorag_whisper.audio.source import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.transcriber import Progress


def clock_time(duration_s: float) -> str:
    """Seconds as people write them: 0:07, 12:34, 1:02:03."""
    minutes, rest = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def counted(count: int, noun: str) -> str:
    """`1 recording`, `2 recordings`: a count with its noun, whose plural has an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def speed_text(speed: float) -> str:
    """Audio over wall time as people read it."""
    return f"{speed:.1f} \N{MULTIPLICATION SIGN} real time"


@dataclass(slots=True)
class Tally:
    """The figures of a run: files, and seconds of audio as far as they are known."""

    files: int
    started_s: float
    done: int = 0
    finished_s: float = 0.0
    under_way: dict[MediaSource, Progress] = field(default_factory=dict)
    _known: int = 0

    def update(self, progress: Progress) -> None:
        """Note the progress of a file."""
        self.under_way[progress.source] = progress

    def complete(self, source: MediaSource, duration_s: float | None) -> None:
        """A file is done; `duration_s` is None for one that failed."""
        self.under_way.pop(source, None)
        self.done += 1
        if duration_s is not None:
            self.finished_s += duration_s
            self._known += 1

    @property
    def audio_s(self) -> float:
        """Seconds of audio that are transcribed."""
        return self.finished_s + sum(progress.audio_s for progress in self.under_way.values())

    def speed(self, now_s: float) -> float:
        """Audio over wall time since the start."""
        return self.audio_s / max(now_s - self.started_s, 1e-9)

    @property
    def expected_s(self) -> float | None:
        """Seconds of audio of the whole run, None if nothing is known. Unknown lengths count as the mean of others."""
        totals = [max(p.total_s, p.audio_s) for p in self.under_way.values() if p.total_s]
        known = self._known + len(totals)
        if not known:
            return None
        sum_s = self.finished_s + sum(totals)
        failed = self.done - self._known
        return sum_s + (self.files - failed - known) * sum_s / known

    def left_s(self, now_s: float) -> float | None:
        """Seconds of wall time that are left at the speed so far; None while that is not known."""
        if self.expected_s is None or not self.audio_s:
            return None
        return max(self.expected_s - self.audio_s, 0.0) / self.speed(now_s)


class Reporter(Protocol):
    """Is told of a run's progress, always by the thread that runs it."""

    def advance(self, progress: Progress) -> None:
        """A file has come this far."""

    def complete(self, source: MediaSource, duration_s: float | None, line: str) -> None:
        """A file is done. `duration_s`: its length in seconds, None if it failed; `line`: what to say of it."""


def can_draw(environ: Mapping[str, str]) -> bool:
    """Whether a bar can be drawn: standard error is a terminal that can do that, without a log on it or `--quiet`."""
    verbose = logging.getLogger("autorag_whisper").isEnabledFor(logging.INFO)
    return sys.stderr.isatty() and environ.get("TERM") != "dumb" and not verbose and not is_quiet()


@contextlib.contextmanager
def reporter(tally: Tally, clock: Callable[[], float], *, bar: bool) -> Iterator[Reporter]:
    """A bar, or lines."""
    if not bar:
        yield Lines(tally)
        return
    with _drawn() as line:
        yield _Bar(tally, clock, line)


def is_quiet() -> bool:
    """Whether nothing but errors is to be told (`--quiet`)."""
    return not logging.getLogger("autorag_whisper").isEnabledFor(logging.WARNING)


def say(line: str) -> None:
    """Print one line of information on standard error, unless `--quiet` was given."""
    if not is_quiet():
        complain(line)


def complain(line: str) -> None:
    """Print one line on standard error, without control characters, also with `--quiet`."""
    click.echo(printable(line), err=True)


class Lines:
    """For logs and pipes: one line for each file that is done."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def advance(self, progress: Progress) -> None:
        self._tally.update(progress)

    def complete(self, source: MediaSource, duration_s: float | None, line: str) -> None:
        self._tally.complete(source, duration_s)
        say(f"[{self._tally.done}/{self._tally.files}] {line}")


class _Bar:
    def __init__(self, tally: Tally, clock: Callable[[], float], line: _Line) -> None:
        self._tally = tally
        self._clock = clock
        self._line = line
        self._draw("")

    def advance(self, progress: Progress) -> None:
        self._tally.update(progress)
        self._draw(progress.name)

    def complete(self, source: MediaSource, duration_s: float | None, line: str) -> None:
        self._tally.complete(source, duration_s)
        with self._line.set_aside():
            say(line)  # above the bar
        self._draw("")

    def _draw(self, name: str) -> None:
        tally, now_s = self._tally, self._clock()
        left_s = tally.left_s(now_s)
        figures = [
            f"{tally.done}/{tally.files} files",
            speed_text(tally.speed(now_s)) if tally.audio_s else "",
            "" if left_s is None else f"{clock_time(left_s)} left",
        ]
        self._line.draw(printable(name)[:30], tally.audio_s, tally.expected_s, " ".join(filter(None, figures)))


_TURNS, _TURN_S = "\u280b\u2819\u2839\u2838\u283c\u2834\u2826\u2827\u2807\u280f", 0.1
"""The pictures of what turns while something goes on, and how long each is seen."""


class _Line(Protocol):
    """The line of a terminal that holds the bar."""

    def draw(self, name: str, done: float, total: float | None, figures: str) -> None:
        """`name`: of what is under way; the bar stays empty while `total` is unknown; the figures stand behind it."""

    def set_aside(self) -> AbstractContextManager[None]:
        """While other lines are written."""


def columns() -> int:
    """How wide a line of the terminal on standard error may be; some do not say."""
    try:
        return (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1
    except (OSError, ValueError):
        return 79


@contextlib.contextmanager
def _drawn() -> Iterator[_Line]:
    """It turns its spinner from a thread of its own, and is wiped at the end."""
    from tqdm import tqdm

    class Line(tqdm):  # type: ignore[misc]  # it has no types
        monitor_interval = 0  # this one draws itself again
        turns = 0
        figures = ""

        @property
        def format_dict(self) -> dict[str, Any]:
            spinner = _TURNS[self.turns % len(_TURNS)]
            return {**super().format_dict, "spinner": spinner, "figures": self.figures, "ncols": columns()}

        def draw(self, name: str, done: float, total: float | None, figures: str) -> None:
            with self.get_lock():
                self.desc, self.n, self.total, self.figures = (
                    name and f"{name} ",
                    min(done, total or done),
                    total,
                    figures,
                )
                self.refresh()

        def turn(self) -> None:
            with self.get_lock():
                self.turns += 1
                self.refresh()

        def set_aside(self) -> AbstractContextManager[None]:
            aside: AbstractContextManager[None] = self.external_write_mode(file=sys.stderr)
            return aside

    Line.set_lock(threading.RLock())
    shape = "{spinner} {desc}{bar} {figures}"
    line = Line(bar_format=shape, file=sys.stderr, leave=False, ncols=columns(), nrows=24, ascii="\u2500\u2501")
    with line, _turning(line.turn):
        yield line


@contextlib.contextmanager
def _turning(turn: Callable[[], None]) -> Iterator[None]:
    """A user sees that something goes on, also while a model is loaded."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(_TURN_S):
            turn()

    thread = threading.Thread(target=work, name="autorag-whisper-bar", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
