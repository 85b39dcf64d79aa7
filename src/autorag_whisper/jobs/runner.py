"""Takes jobs from a store and has them transcribed; what is done stays done, whatever dies.

```
 a thread for each job in work: claim -> transcribe -> result written, synced, renamed -> finish
 one thread for all of them:    renew the leases, keep what came of them, hear whether they are to be cancelled
```
A lease says that this process lives; that the engine gets on is the transcriber's to watch. A result is written before
its job is done: where the process dies between the two, the job is done again and its result replaced by an equal one.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from opentelemetry.trace import SpanKind

from autorag_whisper import telemetry as names
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.decoding import DecodingLimits
from autorag_whisper.domain.errors import AutoragWhisperError, Cancelled, UnavailableError
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.files import sync_folder
from autorag_whisper.format import render
from autorag_whisper.format.segment import segment_json
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.transcriber.cancellation import CancelToken

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from opentelemetry.trace import Span

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.jobs.job import Claim, Job
    from autorag_whisper.jobs.store import JobStore
    from autorag_whisper.transcriber.outcome import Progress
    from autorag_whisper.transcriber.protocol import TranscriberProtocol

_log = logging.getLogger(__name__)

LEASE_S = 30.0
MOST_FAILURES = 5
"""Tries after errors of which each may be over soon."""
FIRST_WAIT_S = 10.0
"""Until the second try; doubled for each further one."""
_TICK_S = 0.5
_PAGE = 1000


@dataclass(slots=True, eq=False)
class _Active:
    """A job in work. `claim` None: it is somebody else's now."""

    claim: Claim | None
    cancel: CancelToken = field(default_factory=CancelToken)
    hands_back: bool = False
    audio_s: float = 0.0
    total_s: float = 0.0
    events: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Watch(Protocol):
    """Who wants to know whether the engine gets on. Called by the threads of the jobs."""

    def begin(self) -> None: ...

    def beat(self) -> None: ...

    def end(self) -> None: ...


class JobRunner:
    """Works until `close`, in `folder`: a job's result is there as results/ID.json, its media may be in uploads/.

    `watch`, which may be set at any time, is told of work; so may `decoding`: what decoding one file may cost.
    Uploads are removed when their job is done, or forgotten.
    `clock` gives seconds since the epoch. `most`: jobs in work at a time.
    """

    def __init__(
        self, store: JobStore, transcriber: TranscriberProtocol, folder: Path, clock: Callable[[], float], most: int = 2
    ) -> None:
        self._results, self.uploads = folder / "results", folder / "uploads"
        for made in (self._results, self.uploads):
            made.mkdir(parents=True, exist_ok=True)
        self._store, self._transcriber, self._clock = store, transcriber, clock
        self.watch: Watch | None = None
        self.telemetry = Telemetry()
        self.decoding = DecodingLimits()
        self._remove_strays()
        self._changed = threading.Condition()
        self._active: list[_Active] = []
        self._ending = False
        self._threads = [
            threading.Thread(target=self._work, name=f"autorag-whisper-job-{n}", daemon=True) for n in range(most)
        ]
        self._keeper = threading.Thread(target=self._keep, name="autorag-whisper-leases", daemon=True)
        for thread in (*self._threads, self._keeper):
            thread.start()

    @property
    def in_work(self) -> int:
        """How many jobs are."""
        return len(self._active)

    def wake(self) -> None:
        """A job was added, or cancelled: look now."""
        with self._changed:
            self._changed.notify_all()

    def result(self, job_id: str) -> Path:
        """Where a job's result is, once it is done."""
        return self._results / f"{job_id}.json"

    def close(self, drain_s: float = 0.0) -> None:
        """Claim no more, let what is in work go on for so long, then hand it back. Again is fine."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._active, drain_s)
            for active in self._active:
                active.hands_back = True
                active.cancel.cancel()
        for thread in (*self._threads, self._keeper):
            thread.join()

    def _work(self) -> None:
        while True:
            if self._has_ended():
                return
            claim = self._claimed()
            if claim is None:
                with self._changed:
                    self._changed.wait_for(lambda: self._ending, _TICK_S)
                continue
            active = _Active(claim)
            with self._changed:
                self._active.append(active)
            if self._has_ended():  # it was claimed while the end was asked for
                active.hands_back = True
                active.cancel.cancel()
            watch = self.watch
            if watch is not None:
                watch.begin()
            try:
                self._do(claim, active)
            except Exception:  # noqa: BLE001 - the store failed: the lease runs out, and the job is taken up again
                _log.exception("what became of a job could not be kept")
            finally:
                if watch is not None:
                    watch.end()
                with self._changed:
                    self._active.remove(active)
                    self._changed.notify_all()

    def _has_ended(self) -> bool:
        with self._changed:
            return self._ending

    def _claimed(self) -> Claim | None:
        try:
            return self._store.claim(LEASE_S, self._clock())
        except Exception:  # noqa: BLE001 - the next look may find it mended
            _log.exception("no job could be claimed")
            return None

    def _do(self, claim: Claim, active: _Active) -> None:
        try:
            with self._traced(claim.job):
                transcript = self._transcribed(claim, active)
            self._write(claim.job.id, transcript)
        except Cancelled:
            if active.hands_back:
                self._store.hand_back(claim)
            elif active.claim is not None:
                self._store.cancelled(claim, self._clock())
            return
        except AutoragWhisperError as error:
            self._failed(claim, str(error), may_pass=isinstance(error, UnavailableError))
            return
        except OSError as error:  # the disk is full, the folder is gone
            self._failed(claim, error.strerror or str(error), may_pass=True)
            return
        except Exception:  # noqa: BLE001 - it is this job's end alone
            _log.exception("a job failed by a fault of ours")
            self._failed(claim, "an internal error, which the log has", may_pass=False)
            return
        self._flush(claim, active, [("done", "{}")])
        self._store.renew(claim, LEASE_S, self._clock(), (transcript.duration_s, transcript.duration_s))
        if self._store.finish(claim, self._clock()):
            self._remove_upload(claim.job)

    def prune(self, before_s: float) -> int:
        """Forget jobs that were over before that moment, with their results and uploads: how many."""
        gone = self._store.prune(before_s)
        for job in gone:
            self.result(job.id).unlink(missing_ok=True)
            self._remove_upload(job)
        return len(gone)

    def _remove_strays(self) -> None:
        """Uploads of requests whose process died before they were jobs."""
        strays = {str(path) for path in self.uploads.iterdir()}
        before = ""
        while strays and (page := self._store.newest(limit=_PAGE, before=before)):
            strays -= {job.request.path for job in page}
            before = page[-1].id
        for stray in strays:
            Path(stray).unlink(missing_ok=True)

    def _remove_upload(self, job: Job) -> None:
        path = Path(job.request.path)
        if path.parent == self.uploads:
            path.unlink(missing_ok=True)

    def _traced(self, job: Job) -> AbstractContextManager[Span]:
        """A span of the work on it, in the trace of the request that added it; whatever process takes it up."""
        carrier = {"traceparent": job.request.trace} if job.request.trace else {}
        return self.telemetry.around(names.JOB, SpanKind.CONSUMER, {names.JOB_ID: job.id}, carrier)

    def _transcribed(self, claim: Claim, active: _Active) -> Transcript:
        request = claim.job.request
        source = replace(MediaSource.from_path(request.path), name=request.name).isolated(self.decoding)

        def progress(told: Progress) -> None:
            active.audio_s, active.total_s = told.audio_s, told.total_s or 0.0
            if self.watch is not None:
                self.watch.beat()

        options = TranscribeOptions(**request.options)
        if self._store.events(claim.job.id):  # it was begun before: its segments come once more
            self._store.keep(claim, [("restart", "{}")])
        with self._transcriber.stream(
            source, options, model=request.model, on_progress=progress, cancel=active.cancel
        ) as stream:
            for segment in stream:
                with active.lock:
                    active.events.append(("segment", segment_json(segment)))
            return stream.result()

    def _write(self, job_id: str, transcript: Transcript) -> None:
        target = self.result(job_id)
        new = target.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(render(transcript, "json"))
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
        sync_folder(self._results)

    def _failed(self, claim: Claim, message: str, *, may_pass: bool) -> None:
        failures, again_s = claim.job.failures + 1, None
        if may_pass and failures < MOST_FAILURES:
            again_s = self._clock() + FIRST_WAIT_S * 2 ** (failures - 1)
        error = json.dumps({"message": message, "code": "failed"}, ensure_ascii=False)
        self._store.fail(claim, error, self._clock(), again_s)

    def _keep(self) -> None:
        """Until the last job is over: leases, events, cancellation."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ending and not self._active, _TICK_S)
                if self._ending and not self._active and not any(thread.is_alive() for thread in self._threads):
                    return
                held = list(self._active)
            for active in held:
                try:
                    self._renew(active)
                except Exception:  # noqa: BLE001 - the next moment may find it mended
                    _log.exception("a lease could not be renewed")

    def _renew(self, active: _Active) -> None:
        claim = active.claim
        if claim is None:
            return
        self._flush(claim, active)
        told = self._store.renew(claim, LEASE_S, self._clock(), (active.audio_s, active.total_s))
        if told is None:
            if active in self._active:
                _log.warning("job %s is no longer this process's: its lease ran out", claim.job.id)
                active.claim = None
                active.cancel.cancel()
        elif told.job.wants_cancel:
            active.cancel.cancel()

    def _flush(self, claim: Claim, active: _Active, more: list[tuple[str, str]] | None = None) -> None:
        with active.lock:
            events, active.events = active.events + (more or []), []
            if events:
                self._store.keep(claim, events)
