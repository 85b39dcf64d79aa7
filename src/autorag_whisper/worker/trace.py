"""Spans and values of worker processes, made in the caller's process, each in the context of its own job."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from autorag_whisper import telemetry as names
from autorag_whisper.domain.errors import Cancelled
from autorag_whisper.telemetry import Stretch
from autorag_whisper.worker.messages import Measured, SpanMade

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from autorag_whisper.telemetry import Telemetry
    from autorag_whisper.worker.job import FileInHand

_KEPT = 32
"""Jobs that are over and whose context is known: what they leave in the engine may tell something after their end."""


class JobTraces:
    """Used by the supervisor's thread alone."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._contexts: dict[int, Context] = {}
        self._over: deque[int] = deque()

    def now_ns(self) -> int:
        """The time of spans."""
        return self._telemetry.clock_ns()

    def begin(self, number: int, context: Context) -> None:
        """A job of that number belongs to that trace."""
        self._contexts[number] = context

    def end(self, number: int) -> None:
        """That job is over."""
        self._over.append(number)
        while len(self._over) > _KEPT:
            self._contexts.pop(self._over.popleft(), None)

    def take(self, said: SpanMade | Measured, *, is_replaced: bool) -> None:
        """Make it. `is_replaced`: its process is ended so that its files go on in another, which will tell of them."""
        if said.job and said.job not in self._contexts:
            return  # of a job that nobody knows
        if isinstance(said, SpanMade):
            if is_replaced and Cancelled.__name__ in (said.error, said.attributes.get(names.OUTCOME)):
                return
            context = self._contexts.get(said.job)
            self._telemetry.span(said.name, said.when, said.attributes, parent=context, error=said.error)
            return
        if is_replaced and said.attributes.get(names.OUTCOME) == Cancelled.__name__:
            return
        tell = self._telemetry.duration if said.kind == "duration" else self._telemetry.count
        tell(said.name, said.value, said.attributes)

    def lost(self, context: Context, file: FileInHand, kind: str) -> None:
        """A file ended with its process, which could tell nothing of it; `kind` says why."""
        when = Stretch(file.begun_ns, self.now_ns())
        attributes: dict[str, names.AttributeValue] = {
            names.AUDIO_PATH: file.source.name,
            names.AUDIO_DURATION_S: round(file.audio_s, 3),
        }
        self._telemetry.span(names.LOAD_AUDIO, when, attributes, parent=context, error=kind)
        self._telemetry.duration(names.JOB_DURATION, when.duration_s, {names.OUTCOME: kind})
