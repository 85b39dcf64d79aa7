"""Recordings decoded by tasks of Ray ahead of their turn, on whatever node has a CPU slot free.

It saves the engine's node work, and nothing depends on it: what a task does not bring is decoded by whoever recognises
it, as on one machine, with the errors that it has there. So a recording that ends a decoder costs a task, and no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from autorag_whisper.archive.sharded.opening import Opener
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.isolation.decoded import all_of
from autorag_whisper.isolation.decoder import open_decoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.archive.sharded.rows import Row
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.isolation.decoded import Decoded

MOST_S = 300.0
"""Of audio: 19 MB. What is longer is decoded as it is recognised, a piece at a time."""
_PATIENCE_S = 60.0
"""Until a task is given up: where no slot is free, it never begins."""
_PAUSE_S = 600.0
"""After a task was given up no other is waited for, or begun: where one has no slot, the next has none either."""


def decode(row: Row, options: TranscribeOptions) -> Decoded | None:
    """The task: all of a recording, in a process of its own; None where that does not work."""
    try:
        with Opener() as opener:
            [(_, source)] = opener.sources([row])
            with open_decoder(source.isolated(), options) as decoder:
                return all_of(decoder, MOST_S)
    except AutoragWhisperError:
        return None


def is_worth_it(row: Row) -> bool:
    """Whether a recording is decoded ahead: it is known to be short. Pure."""
    return row.duration_s is not None and row.duration_s <= MOST_S


class DecodeTasks:
    """Begins tasks. `ray`: Ray, connected; `cpus`: what each reserves. `clock`: seconds of any origin."""

    def __init__(self, ray: Any, options: TranscribeOptions, cpus: float, clock: Callable[[], float]) -> None:
        self._ray, self._options, self._clock = ray, options, clock
        self._task = ray.remote(decode).options(num_cpus=cpus, max_retries=1)
        self._paused_until_s = -math.inf

    def begin(self, row: Row) -> _Coming | None:
        """For `MediaSource.held`; None where it is to be decoded as it is recognised."""
        if not is_worth_it(row) or self._patience_s() == 0.0:
            return None
        return _Coming(self, self._task.remote(row, self._options), row)

    def result(self, task: Any) -> Decoded | None:
        """What a task brings; None where it fails, or has no slot for a minute."""
        done, _ = self._ray.wait([task], timeout=self._patience_s())
        if not done:
            self._paused_until_s = self._clock() + _PAUSE_S
            self._ray.cancel(task)
            return None
        try:
            decoded: Decoded | None = self._ray.get(task)
        except self._ray.exceptions.RayError:  # its process or its node is gone
            return None
        return decoded

    def _patience_s(self) -> float:
        return 0.0 if self._clock() < self._paused_until_s else _PATIENCE_S


@dataclass(frozen=True, slots=True, eq=False)
class _Coming:
    """A recording that a task decodes: an `isolation.decoded.Elsewhere`."""

    tasks: DecodeTasks
    task: Any
    row: Row

    def decoded(self) -> Decoded | None:
        return self.tasks.result(self.task)

    def open(self, name: str) -> BinaryIO:
        with Opener() as opener:
            [(_, source)] = opener.sources([self.row])
            file = source.open()
        del name  # the row has it
        return file
