"""The schedulers of a transcriber: runs on the same model, where it computes now, share one."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.transcriber.run_request import RunRequest
    from autorag_whisper.transcriber.scheduler import Scheduler
    from autorag_whisper.transcriber.work import RunWork


class Schedulers:
    """Those that have runs. Thread-safe. One is made for its first run, and leaves with its last.

    A thread of a scheduler never waits for the lock: whoever holds it may have been interrupted there, by a signal
    handler that closes another run and waits for that very thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._live: list[Scheduler] = []

    def admit(self, work: RunWork, request: RunRequest, make: Callable[[], Scheduler]) -> None:
        """Give a run to the scheduler that serves it, or to a new one."""
        try:
            with self._lock:
                found = next((one for one in self._live if one.serves(request)), None)
                if found is None:
                    found = make()
                    found.start()  # where the system gives no thread it serves nobody
                    self._live.append(found)
                found.admit(work)
        finally:
            for other in self._live.copy():  # it may have found the lock taken
                other.may_retire()

    def retire(self, scheduler: Scheduler) -> bool:
        """Take out a scheduler that has no run; False where one has just been admitted, or is being admitted now.

        In the second case `may_retire` has it ask again.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if scheduler.has_events:
                return False
            if scheduler in self._live:
                self._live.remove(scheduler)
            return True
        finally:
            self._lock.release()
