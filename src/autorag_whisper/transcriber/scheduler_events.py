"""What a scheduler is told by callers' threads and by readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.transcriber.source_reader import ReadingEvent
    from autorag_whisper.transcriber.work import RunWork


@dataclass(frozen=True, slots=True)
class Admitted:
    """A run begins."""

    work: RunWork


@dataclass(frozen=True, slots=True)
class Left:
    """A run's caller wants nothing more of it. `end`: what nobody waits for then, for a thread of its own."""

    work: RunWork
    end: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class LookedFor:
    """Something about a run has changed elsewhere: results were taken, or it was cancelled."""

    work: RunWork


@dataclass(frozen=True, slots=True)
class MayRetire:
    """Somebody was being admitted, perhaps elsewhere, when this one had no run left."""


@dataclass(frozen=True, slots=True)
class ReaderTold:
    """A run's reader says what came of a step."""

    work: RunWork
    event: ReadingEvent


SchedulerEvent = ReaderTold | Admitted | Left | LookedFor | MayRetire
