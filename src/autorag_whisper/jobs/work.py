"""One job in work: what came of it and is not kept yet, and what an earlier attempt has told and done of it."""

from __future__ import annotations

import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autorag_whisper.transcriber.cancellation import CancelToken
from autorag_whisper.transcriber.kept_chunks import why_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from autorag_whisper.jobs.job import Claim, JobEvent
    from autorag_whisper.jobs.store import JobStore
    from autorag_whisper.transcriber.kept_chunks import Written

RESTART = ("restart", "{}")
"""The event that says: the segments come once more, from the first."""
_PAGE = 1000


def pack(written: Written) -> bytes:
    """A checkpoint as a store keeps it."""
    return zlib.compress(b"\n".join(written))


def unpack(kept: Mapping[int, bytes]) -> tuple[dict[int, Written], str]:
    """The checkpoints that this version reads, and why it does not read the others ("" if there are none)."""
    found, refusals = dict[int, "Written"](), dict[bytes, str]()
    for index, blob in kept.items():
        try:
            header, _, line = zlib.decompress(blob).partition(b"\n")
        except zlib.error:
            continue  # damaged: it is done again
        if header not in refusals:
            refusals[header] = why_refused(header)
        if not refusals[header]:
            found[index] = (header, line)
    return found, next((why for why in refusals.values() if why), "")


class JobChunks:
    """A `transcriber.kept_chunks.KeptChunks`: what earlier attempts have done, and what this one does."""

    def __init__(self, done: Mapping[int, Written]) -> None:
        self._done = done
        self.new: list[tuple[int, bytes]] = []  # appended to by any thread, taken from the front by one

    def done(self) -> Mapping[int, Written]:
        return self._done

    def add(self, chunk: int, written: Written) -> None:
        self.new.append((chunk, pack(written)))


class Telling:
    """Which events are new, where earlier attempts have told segments: those that come out the same are not told again.

    `told`: what they told since the last restart.
    """

    def __init__(self, events: Iterable[JobEvent]) -> None:
        self._told: list[str] = []
        for event in events:
            if event.kind == RESTART[0]:
                self._told.clear()
            elif event.kind == "segment":
                self._told.append(event.data)
        self._same: list[str] = []

    def segment(self, data: str) -> list[tuple[str, str]]:
        """The events of the next segment."""
        if len(self._same) == len(self._told):
            return [("segment", data)]
        self._same.append(data)
        if self._told[len(self._same) - 1] == data:
            return []
        return self._anew()

    def end(self) -> list[tuple[str, str]]:
        """What is left to tell when the last segment has come; that the job is done is told with its end."""
        return self._anew() if len(self._same) < len(self._told) else []

    def _anew(self) -> list[tuple[str, str]]:
        events = [RESTART, *(("segment", data) for data in self._same)]
        self._told, self._same = [], []
        return events


@dataclass(slots=True, eq=False)
class JobInWork:
    """A job that this process has. `claim` None: it is somebody else's now. `hands_back`: the process ends."""

    claim: Claim | None
    chunks: JobChunks = field(default_factory=lambda: JobChunks({}))
    cancel: CancelToken = field(default_factory=CancelToken)
    hands_back: bool = False
    audio_s: float = 0.0
    total_s: float = 0.0
    events: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ending: threading.Lock = field(default_factory=threading.Lock)
    is_over: bool = False

    def end(self, action: Callable[[], bool]) -> bool:
        """Do what ends the claim; whoever renews it (`ending`) does so before, or not at all."""
        with self.ending:
            done = action()
            self.is_over = True
            return done

    def tell(self, events: list[tuple[str, str]]) -> None:
        """Have events kept with the next `flush`."""
        with self.lock:
            self.events += events

    def flush(self, store: JobStore, claim: Claim) -> bool:
        """Keep what came since the last time. False where the claim counts no more; what cannot be kept stays here."""
        with self.lock:
            events, chunks = list(self.events), list(self.chunks.new)
            if not events and not chunks:
                return True
            is_kept = store.keep(claim, events, chunks)
            del self.events[: len(events)], self.chunks.new[: len(chunks)]
            return is_kept


def events_of(store: JobStore, job_id: str) -> Iterable[JobEvent]:
    """All events of a job, page by page."""
    after = 0
    while page := store.events(job_id, after, _PAGE):
        yield from page
        after = page[-1].number
