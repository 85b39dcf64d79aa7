"""Takes jobs from a store and has them transcribed; what is done stays done, whatever dies.

```
 a thread for each job in work: claim -> transcribe -> result written, synced, renamed -> finish
 one thread for all of them:    renew the leases, keep what came of them, hear whether they are to be cancelled
```
A lease says that this process lives; that the engine gets on is the transcriber's to watch. Chunks that are done are
kept as they come, and whoever takes the job up goes on behind them. A result is written before its job is done: where
the process dies between the two, the job is taken up again, and the result of that claim counts.

Where the disk is full, or the store cannot be used, nothing new is claimed; what is in work waits until there is room.
"""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from opentelemetry.trace import SpanKind

from autorag_whisper import telemetry as names
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.decoding import DecodingLimits
from autorag_whisper.domain.errors import AutoragWhisperError, Cancelled, MediaUnreadable
from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.format import render
from autorag_whisper.format.segment import segment_json
from autorag_whisper.jobs import failures
from autorag_whisper.jobs.files import JobFiles, is_full
from autorag_whisper.jobs.job import KeptMedia
from autorag_whisper.jobs.transcripts import Transcripts
from autorag_whisper.jobs.work import JobChunks, JobInWork, Telling, events_of, unpack
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.transcriber.run_request import RunControl

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from opentelemetry.trace import Span

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.jobs.job import Claim, Job
    from autorag_whisper.jobs.store import JobStore
    from autorag_whisper.transcriber.outcome import Progress
    from autorag_whisper.transcriber.protocol import ResumableTranscriber

_log = logging.getLogger(__name__)

LEASE_S = 30.0
_TICK_S = 0.5

_Kept = TypeVar("_Kept")


class Watch(Protocol):
    """Who wants to know whether the engine gets on. Called by the threads of the jobs."""

    problem: str
    """Why nothing new is begun; "" if nothing is wrong."""

    def begin(self) -> None: ...

    def beat(self) -> None: ...

    def end(self) -> None: ...


class JobRunner:
    """Works until `close`, in `folder` (`jobs.files`). `watch`, which may be set at any time, is told of work.

    `decoding` and `kept_media`, which may be set as well: what decoding one file may cost, and for how long media that
    was sent is kept once its job is done; it is removed with its job. `clock` gives seconds since the epoch. `most`:
    jobs in work at a time. `free_bytes`: of the folder's disk; None asks the system.
    """

    def __init__(
        self,
        store: JobStore,
        transcriber: ResumableTranscriber,
        folder: Path,
        clock: Callable[[], float],
        most: int = 2,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._store, self._transcriber, self._clock = store, transcriber, clock
        self.files = JobFiles(folder, free_bytes)
        self.transcripts = Transcripts(store, self.files)
        self.watch: Watch | None = None
        self.telemetry = Telemetry()
        self.decoding = DecodingLimits()
        self.kept_media = KeptMedia()
        self._stuck = ""
        self._problems = dict[str, str]()  # why nothing new is begun, by what was tried
        self.files.remove_strays(store, clock())
        self._changed = threading.Condition()
        self._active: list[JobInWork] = []
        self._ending = False
        self._renewed_s = clock()  # when all leases were renewed last
        self._look = 0  # grows whenever there may be something to do
        self._threads = [
            threading.Thread(target=self._work, name=f"autorag-whisper-job-{n}", daemon=True) for n in range(most)
        ]
        self._keeper = threading.Thread(target=self._keep, name="autorag-whisper-leases", daemon=True)
        store.listen(self.wake)
        for thread in (*self._threads, self._keeper):
            thread.start()

    @property
    def in_work(self) -> int:
        """How many jobs are."""
        return len(self._active)

    def wake(self) -> None:
        """A job was added, or cancelled: look now."""
        with self._changed:
            self._look += 1
            self._changed.notify_all()

    def stop(self, job_id: str) -> None:
        """A job was cancelled: stop it now, if it is in work here."""
        with self._changed:
            for active in self._active:
                if active.claim is not None and active.claim.job.id == job_id:
                    active.cancel.cancel()

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

    def prune(self, before_s: float, most_bytes: int | None = None, client: str | None = None) -> int:
        """Forget jobs as `JobStore.prune` says, all of them, with their results and media: how many."""
        count = 0
        while gone := self._store.prune(before_s, most_bytes=most_bytes, client=client):
            for job in gone:
                self.files.remove(job)
            count += len(gone)
        return count

    def forget(self, job_id: str) -> bool:
        """Forget a job that is over, with all that is kept of it; False where it is not over, or not there."""
        job = self._store.library.forget(job_id)
        if job is not None:
            self.files.remove(job)
        return job is not None

    def drop_media(self, before_s: float, most_bytes: int | None = None) -> int:
        """Remove kept media as `Library.drop_media` says, all of it: of how many jobs."""
        count = 0
        while dropped := self._store.library.drop_media(before_s, most_bytes):
            for job in dropped:
                self.files.remove_media(job)
            count += len(dropped)
        return count

    def why_no_room(self) -> str:
        """As `JobFiles.why_no_room`; media that is kept for listening makes room first."""
        reason = self.files.why_no_room()
        return self.files.why_no_room() if reason and self.drop_media(math.inf) else reason

    # ------------------------------------------------------------ a job's thread

    def _work(self) -> None:
        while not self._has_ended():
            look = self._look
            claim = self._claimed()
            if claim is None:
                self._wait_for_more(look)
                continue
            active = JobInWork(claim)
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

    def _wait_for_more(self, look: int) -> None:
        """Until somebody has looked in since `look`, or for a moment."""
        with self._changed:
            self._changed.wait_for(lambda: self._ending or self._look != look, _TICK_S)

    def _claimed(self) -> Claim | None:
        """The next job; None where there is none, or nothing new is to be begun."""
        try:
            reason = self._stuck or self.why_no_room()
            if (
                self._clock() - self._renewed_s > LEASE_S / 2
            ):  # the clock was set, the machine slept, the store was away
                self._renew_all()  # first: else this process took its own jobs from itself
            claim = None if reason else self._store.claim(LEASE_S, self._clock())
        except (StoreUnavailable, OSError) as error:
            reason, claim = str(error), None
        except Exception:  # noqa: BLE001 - the next look may find it mended
            _log.exception("no job could be claimed")
            return None
        self._note("claim", reason)
        return claim

    def _note(self, tried: str, problem: str) -> None:
        """Say once why nothing new is begun, and that it is again; `problem` "" takes back what was said of `tried`."""
        with self._changed:
            before = any(self._problems.values())
            self._problems[tried] = problem
            told = next(filter(None, self._problems.values()), "")
            if self.watch is not None:
                self.watch.problem = told
        if told and not before:
            _log.warning("no durable job is begun: %s", told)
        elif before and not told:
            _log.warning("durable jobs are begun again")

    def _do(self, claim: Claim, active: JobInWork) -> None:
        store = self._store
        if claim.job.wants_cancel:  # it was handed back before whoever had it was told
            self._let_go(claim, active, lambda: store.cancelled(claim, self._clock()))
            return
        try:
            with self._traced(claim.job):
                transcript = self._transcribed(claim, active)
            text = render(transcript, "json")
            result = self._patiently(lambda: self.files.write_result(claim, text))
        except Cancelled:
            if active.claim is not None:
                stopped = active.cancel.cancelled and not active.hands_back
                self._let_go(claim, active, (lambda: store.cancelled(claim, self._clock())) if stopped else None)
            return
        except AutoragWhisperError as error:
            self._failed(claim, active, error)
            return
        except OSError as error:
            if is_full(error):  # this process ends before there was room
                self._let_go(claim, active)
            else:
                self._failed(claim, active, error)
            return
        except Exception as error:  # noqa: BLE001 - it is this job's end alone
            _log.exception("a job failed by a fault of ours")
            self._failed(claim, active, error)
            return
        whole_s, size = transcript.duration_s, result.stat().st_size
        self._patiently(lambda: active.flush(store, claim))
        self._patiently(lambda: store.renew(claim, LEASE_S, self._clock(), (whole_s, whole_s)))
        kept = claim.job.request.media_bytes if self.kept_media.keep_s else 0
        if self._patiently(lambda: active.end(lambda: store.finish(claim, self._clock(), result.name, size, kept))):
            if not kept:
                self.files.remove_media(claim.job)
            elif self.kept_media.most_bytes is not None:
                self.drop_media(-math.inf, self.kept_media.most_bytes)
            self.files.remove_older_results(claim)
            self.transcripts.index(claim.job.id)
        else:
            result.unlink(missing_ok=True)

    def _traced(self, job: Job) -> AbstractContextManager[Span]:
        """A span of the work on it, in the trace of the request that added it; whatever process takes it up."""
        carrier = {"traceparent": job.request.trace} if job.request.trace else {}
        return self.telemetry.around(names.JOB, SpanKind.CONSUMER, {names.JOB_ID: job.id}, carrier)

    def _transcribed(self, claim: Claim, active: JobInWork) -> Transcript:
        job, request = claim.job, claim.job.request
        path = self.files.media(job)
        if request.no_links and path.resolve() != path:  # it led straight there when it was let in
            raise MediaUnreadable(request.name, "its path leads elsewhere than when the job was added")

        def progress(told: Progress) -> None:
            active.audio_s, active.total_s = told.audio_s, told.total_s or 0.0
            if self.watch is not None:
                self.watch.beat()

        kept, refused = unpack(self._patiently(lambda: self._store.checkpoints(job.id)))
        if refused:
            note = f"chunks that an earlier attempt had done were done again: {refused}"
            self._patiently(lambda: self._store.keep(claim, notes=[note]))
        active.chunks = JobChunks(kept)
        telling = Telling(self._patiently(lambda: list(events_of(self._store, job.id))))
        source = replace(MediaSource.from_path(path), name=request.name).isolated(self.decoding)
        control = RunControl(active.cancel, progress)
        with self._transcriber.resume(
            source, active.chunks, TranscribeOptions(**request.options), model=request.model, control=control
        ) as stream:
            for segment in stream:
                active.tell(telling.segment(segment_json(segment)))
            transcript = stream.result()
        active.tell(telling.end())
        return transcript

    def _let_go(self, claim: Claim, active: JobInWork, end: Callable[[], bool] | None = None) -> None:
        """Keep what is done of a job, and hand it back, or whatever `end` does."""
        self._patiently(lambda: active.flush(self._store, claim))
        self._patiently(lambda: active.end(end or (lambda: self._store.hand_back(claim))))

    def _failed(self, claim: Claim, active: JobInWork, error: Exception) -> None:
        judged = failures.judged(claim.job, error)

        def end() -> bool:
            now_s = self._clock()
            again_s = None if judged.wait_s is None else now_s + judged.wait_s
            return self._store.fail(claim, judged.told, now_s, again_s, crashed=judged.crashed)

        self._let_go(claim, active, end)

    def _patiently(self, action: Callable[[], _Kept]) -> _Kept:
        """Do it as soon as there is room, and nothing new meanwhile. Raises what is in the way if this process ends."""
        while True:
            try:
                done = action()
            except (StoreUnavailable, OSError) as error:
                if isinstance(error, OSError) and not is_full(error):
                    raise
                self._stuck = str(error)
                self._note("keep", self._stuck)
                with self._changed:
                    if self._changed.wait_for(lambda: self._ending, _TICK_S):
                        raise
            else:
                self._stuck = ""
                self._note("keep", "")
                return done

    # ------------------------------------------------------------ the thread that keeps

    def _keep(self) -> None:
        """Until the last job is over: leases, events, chunks, cancellation."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ending and not self._active, _TICK_S)
                if self._ending and not self._active and not any(thread.is_alive() for thread in self._threads):
                    return
            try:
                self._renew_all()
            except StoreUnavailable as error:
                self._note("renew", str(error))
            else:
                self._note("renew", "")

    def _renew_all(self) -> None:
        """Each lease for itself. Raises StoreUnavailable where one could not be renewed, when all were tried."""
        with self._changed:
            held, now_s = list(self._active), self._clock()
        unavailable: StoreUnavailable | None = None
        for active in held:
            try:
                self._renew(active)
            except StoreUnavailable as error:
                unavailable = error
            except Exception:  # noqa: BLE001 - the next moment may find it mended
                _log.exception("a lease could not be renewed")
        if unavailable is not None:
            raise unavailable
        self._renewed_s = now_s

    def _renew(self, active: JobInWork) -> None:
        with active.ending:
            claim = active.claim
            if claim is None or active.is_over:
                return
            active.flush(self._store, claim)
            told = self._store.renew(claim, LEASE_S, self._clock(), (active.audio_s, active.total_s))
        if told is None:
            _log.warning("job %s is no longer this process's: its lease ran out", claim.job.id)
            active.claim = None
            active.cancel.cancel()
        elif told.job.wants_cancel:
            active.cancel.cancel()
