"""One run over one or many files: reads ahead, keeps the workers busy, gives segments in order as they come.

All state belongs to the thread that iterates. The workers see jobs and post events, nothing else.

```
read a block -> pool of chunks -> job -> workers -> event -> assembly -> segments, outcomes
   (while the pool has room)   (while a worker is free)       (before anything else)
```
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.audio.chunking import ChunkingRules
from autorag_whisper.audio.faults import fault_of
from autorag_whisper.domain.errors import AutoragWhisperError, Cancelled, DeviceError, EngineError
from autorag_whisper.domain.request import Aligner
from autorag_whisper.recognition.batching import Pool
from autorag_whisper.recognition.border_hearing import hears_borders
from autorag_whisper.recognition.chunk_result import AskLanguage, ChunkTask
from autorag_whisper.recognition.ctc_alignment import HeldLeases
from autorag_whisper.recognition.hearing import follows
from autorag_whisper.recognition.language import VOTING_CHUNKS, LanguageChoice
from autorag_whisper.transcriber.arguments import check_options
from autorag_whisper.transcriber.assembly import Assembly
from autorag_whisper.transcriber.checkpoint import Checkpoint
from autorag_whisper.transcriber.file import RunFile, segments_of
from autorag_whisper.transcriber.language_track import LanguageTrack
from autorag_whisper.transcriber.outcome import FileDone, FileFailed
from autorag_whisper.transcriber.report import Report
from autorag_whisper.transcriber.script import Writing
from autorag_whisper.transcriber.workers import Job, JobDone, JobFailed, LanguageFound, Workers

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.device import ModelKey
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import DeviceFallbackStep, Segment
    from autorag_whisper.engines.base import RecognizerSpec
    from autorag_whisper.recognition.chunk_result import ChunkResult
    from autorag_whisper.transcriber.outcome import FileOutcome
    from autorag_whisper.transcriber.start import RunParts

_log = logging.getLogger(__name__)

LOOK_AHEAD_S = 480.0
"""Audio that is read ahead of the engine, at most: 31 MB of samples."""

FIRST_CHUNK_S = 8.0
"""Audio in the first chunk of a long file, at most: what the shortest window holds."""

SWITCHING = ChunkingRules(min_chunk_s=3.0, pause_s=0.7, max_chunk_s=15.0)
"""Short chunks, cut at short pauses: whoever changes the language does so between two sentences."""


class Run:
    """Iterate `events` once; closing that generator ends the run and frees everything it holds."""

    def __init__(
        self, sources: Iterable[MediaSource], options: TranscribeOptions, parts: RunParts, spec: RecognizerSpec
    ) -> None:
        self._sources = iter(sources)
        self._options, self._parts, self._session, self._spec = options, parts, parts.session, spec
        self._files: dict[int, RunFile] = {}
        self._reading: RunFile | None = None
        self._exhausted = False
        self._opened = 0
        self._redo: list[Job] = []
        lease = parts.lease_ctc if options.aligner is Aligner.CTC else None
        self._ctc = HeldLeases(lease) if lease is not None else None
        self._hurries = True  # until the first result: reading ahead would take a core from the workers

    def events(self) -> Generator[Segment | FileOutcome]:
        """Segments of each file in order, and its outcome after its last one.

        Raises what concerns the whole run: InvalidOption for the model, and what a load elsewhere may raise.
        """
        check_options(self._spec, self._options)
        self._report = Report(self._parts.telemetry, self._options)
        for step in self._session.steps:
            self._report.fell_back(step)
        self._begin()
        reason = Cancelled.__name__  # unless it is an error that ends the run
        try:
            with self._parts.cancel.listening(self._workers.wake):
                while self._files or not self._exhausted:
                    event = self._workers.next_event(block=self._must_wait())
                    self._parts.cancel.check()
                    if event is not None:
                        yield from self._handle(event)
                    elif not self._submit():
                        yield from self._read()
        except Exception as error:
            reason = type(error).__name__
            raise
        finally:
            self._end(reason)

    def _end(self, reason: str) -> None:
        """Stop, and have every file that was begun and is not over leave its spans, before batches are waited for."""
        supervised = self._parts.supervised
        self._workers.stop()
        try:
            for file in self._files.values():
                file.close()
                file.moments.finished = self._parts.telemetry.clock_ns()
                self._report.ended(file, reason, self._spec)
        finally:
            if supervised is not None and self._workers.in_flight:
                supervised.linger(self._let_go)
            else:
                self._let_go()

    def _let_go(self) -> None:
        self._workers.wait()
        if self._ctc is not None:
            self._ctc.close()

    def _begin(self) -> None:
        """Start the threads for the device that the session is on."""
        spec = self._spec
        self._workers = Workers(spec.workers, self._session, self._parts.telemetry, self._ctc)
        self._pool = Pool(spec.one_window, spec.batch_size, self._session.batch_limit)

    # ------------------------------------------------------------ what to do next

    def _must_wait(self) -> bool:
        """Nothing can be submitted or read until a worker has posted something."""
        return bool(self._workers.in_flight) and not self._next_job() and not self._can_read()

    def _can_read(self) -> bool:
        if not self._more_to_read:
            return False
        if self._hurries and not self._workers.idle:
            return False
        return self._pool.seconds < LOOK_AHEAD_S or not self._workers.in_flight

    @property
    def _more_to_read(self) -> bool:
        return not self._exhausted or self._reading is not None

    def _next_job(self) -> Job | None:
        """The next job that should be submitted now."""
        if not self._workers.wants_a_spare:
            return None
        if self._redo:
            return self._redo[0]
        for file in self._files.values():
            if (border := file.assembly.border) is not None and border is not file.hearing:
                return Job(border=border)
            if file.voting and (file.decoded or file.chunks_read >= VOTING_CHUNKS):
                return self._voting_job(file)
        if self._more_to_read:  # while nobody is waiting the batch may fill up first
            return self._job(self._pool.next_batch(full=not self._workers.idle))
        return self._job(self._pool.next_batch(share=self._workers.count))

    def _job(self, batch: list[ChunkTask]) -> Job | None:
        return Job(tuple(batch)) if batch else None

    def _voting_job(self, file: RunFile) -> Job:
        tasks = [task for task in self._pool.waiting if task.file == file.index][:VOTING_CHUNKS]
        return Job(tuple(replace(task, ask=AskLanguage.TOGETHER) for task in tasks), voting=True)

    def _submit(self) -> bool:
        job = self._next_job()
        if job is None:
            return False
        if self._redo and job is self._redo[0]:
            self._redo.pop(0)
        elif job.border is None:
            self._pool.take(list(job.tasks))
        for index in job.files & self._files.keys():
            file = self._files[index]
            file.hearing = job.border or file.hearing
            file.moments.submitted = file.moments.submitted or self._parts.telemetry.clock_ns()
            file.batch_size = max(file.batch_size, job.rows)
            file.batch_size_since = max(file.batch_size_since, job.rows)
            file.voting = file.voting and not job.voting
        self._workers.submit(job)
        return True

    # ------------------------------------------------------------ reading

    def _read(self) -> Iterator[Segment | FileOutcome]:
        """Read one block, or open the next file. A file that fails here fails alone."""
        file = self._reading or self._next_file()
        if file is None:
            return
        try:
            if file.reader is None:
                file.open(self._options, self._parts.voice, chunking_rules(self._spec, self._options))
            chunks = file.read()
        except Exception as error:
            if (fault := fault_of(error, file.source.name)) is None:
                raise
            yield from self._fail(file, fault)
            return
        for chunk in chunks:
            known = self._known(file, chunk)
            if known is None:
                more = file.goes_on_behind(chunk)
                self._pool.add(ChunkTask(file.index, chunk, None, more=more, options=self._options))
            else:
                yield from self._settle(file, known)
        if file.decoded:
            self._reading = None
            file.moments.decoded = self._parts.telemetry.clock_ns()
        self._tell(file)
        yield from self._finish(file)

    def _next_file(self) -> RunFile | None:
        source = next(self._sources, None)
        if source is None:
            self._exhausted = True
            return None
        language = self._options.language or self._spec.only_language
        file = RunFile(self._opened, source, self._assembly(source.name), language)
        if language:
            file.assembly.language, file.assembly.language_probability = language, 1.0
            self._pool.decide(file.index, language)
        if not self._opened:  # what the load cost is the first file's to tell
            file.assembly.steps += self._session.steps
        file.moments.opened = self._parts.telemetry.clock_ns()
        self._opened += 1
        self._files[file.index] = self._reading = file
        return file

    def _assembly(self, name: str) -> Assembly:
        task = self._options.task.value
        writing = Writing(self._options.script, task)
        track, hears = LanguageTrack(follows=follows(self._options)), hears_borders(self._spec, self._options)
        clips, notes = self._options.clips, self._session.notes
        return Assembly(name, task, clips, writing=writing, notes=notes, track=track, hears=hears)

    def _known(self, file: RunFile, chunk: SpeechChunk) -> ChunkResult | None:
        """The result of a chunk that an earlier run has done, and with it the file's language."""
        supervised = self._parts.supervised
        finished = supervised.checkpoints.done(file.index).get(chunk.index) if supervised is not None else None
        result = finished.result_for(chunk, self._options) if finished is not None else None
        if finished is None or result is None:
            return None
        if file.language is None:
            file.speak(LanguageChoice(finished.language, finished.language_probability))
            self._pool.decide(file.index, finished.language)
        file.assembly.charge(result)
        self._report.note(file, result)
        return result

    def _tell(self, file: RunFile) -> None:
        if self._parts.on_progress is not None:
            self._parts.on_progress(file.progress)

    # ------------------------------------------------------------ what came back

    def _handle(self, event: LanguageFound | JobDone | JobFailed) -> Iterator[Segment | FileOutcome]:
        if isinstance(event, LanguageFound):
            if (file := self._files.get(event.file)) is not None:
                file.speak(event.choice)
                self._pool.decide(event.file, event.choice.code)
        elif isinstance(event, JobDone):
            self._hurries = False
            if self._is_meanwhile(event):
                self._note_step(self._session.waited(event.key), event.job.files)
            for result in event.results:
                yield from self._take(result)
            if (border := event.job.border) is not None and (file := self._files.get(border.file)) is not None:
                file.assembly.recognise_s += event.heard_s
                yield from self._settle(file, None, event.heard)
        else:
            yield from self._recover(event)

    def _take(self, result: ChunkResult) -> Iterator[Segment | FileOutcome]:
        file = self._files.get(result.task.file)
        if file is None:  # it failed meanwhile
            return
        file.assembly.charge(result)
        if result.undecided:
            file.voting = True
            self._pool.put_back([result.task], undecided=True)
        elif result.needs_redo:
            task = result.task.again(result.language, result.attempts)
            self._redo.append(Job((task,)))
        else:
            self._report.note(file, result)
            if self._parts.supervised is not None:
                language = file.language or result.language
                self._parts.supervised.checkpoints.add(
                    file.index, Checkpoint.of(result, language, file.assembly.language_probability)
                )
            yield from self._settle(file, result)

    def _settle(
        self, file: RunFile, result: ChunkResult | None, heard: str | None = None
    ) -> Iterator[Segment | FileOutcome]:
        """The segments that are next in order now; a chunk that is of another language than it was is done again."""
        yield from segments_of(file, result, self._parts.supervised, heard)
        self._redo += [Job((task,)) for task in file.assembly.again]
        file.assembly.again.clear()
        speaking = file.assembly.track.speaking
        if speaking is not None:
            self._pool.decide(file.index, speaking.language, speaking.known)
        self._tell(file)
        yield from self._finish(file)

    def _finish(self, file: RunFile) -> Iterator[Segment | FileOutcome]:
        if not file.is_complete:
            return
        assert file.reader is not None
        yield from segments_of(file, None, self._parts.supervised)
        del self._files[file.index]
        file.moments.finished = self._parts.telemetry.clock_ns()
        transcript = file.assembly.transcript(file.reader.decoder, self._spec)
        self._report.complete(file, transcript, self._session.pin)
        yield FileDone(file.source, transcript)

    def _fail(self, file: RunFile, error: AutoragWhisperError) -> Iterator[Segment | FileOutcome]:
        """Take a file out of the run; what is in flight of it is ignored when it comes back."""
        yield from segments_of(file, None, self._parts.supervised)
        self._files.pop(file.index, None)
        if self._reading is file:
            self._reading = None
        self._pool.drop(file.index)
        self._redo = [job for job in self._redo if file.index not in job.files]
        file.close()
        file.moments.finished = self._parts.telemetry.clock_ns()
        self._report.ended(file, type(error).__name__, self._spec)
        yield FileFailed(file.source, error)

    def _recover(self, event: JobFailed) -> Iterator[Segment | FileOutcome]:
        """A batch failed: on another device if its own is at fault, else chunk by chunk, to find whose fault it is."""
        job, error = event.job, event.error
        if isinstance(error, DeviceError):
            self._change_device(event.key, job, error)
        elif isinstance(error, EngineError | MemoryError) and len(job.tasks) > 1:
            _log.warning("a batch of %d failed and is done one by one: %s", len(job.tasks), type(error).__name__)
            self._redo += [Job((task.decided(),)) for task in job.tasks]
        elif isinstance(error, AutoragWhisperError | MemoryError):
            known = error if isinstance(error, AutoragWhisperError) else EngineError("engine", "batch", "out of memory")
            for index in sorted(job.files):  # a batch may be of several files
                if (file := self._files.get(index)) is not None:
                    yield from self._fail(file, known)
        else:
            raise error

    def _change_device(self, key: ModelKey, job: Job, error: DeviceError) -> None:
        """Do the batch again elsewhere. Others in flight on the same device come back in their own time."""
        if key == self._session.key or not key.device.is_cuda:
            before = len(self._session.steps)
            self._session.leave(key, error, error.detail.partition(":")[0], job.rows)
            spec = self._session.prepare() if self._session.key != key else self._spec
            for step in self._session.steps[before:]:
                self._note_step(step, self._files)
            self._grow(spec)
        self._redo[:0] = [job] if job.border else [Job((task,)) for task in job.tasks if task.fallback]
        self._pool.put_back([task for task in job.tasks if not task.fallback])

    def _is_meanwhile(self, event: JobDone) -> bool:
        """Whether a batch was done on the CPU because others had the card, not because it had failed."""
        return event.key.device != self._session.key.device and self._session.key.device.is_cuda

    def _note_step(self, step: DeviceFallbackStep, files: Iterable[int]) -> None:
        self._report.fell_back(step)
        for index in files:
            if (file := self._files.get(index)) is not None:
                file.fell_back(step)

    def _grow(self, spec: RecognizerSpec) -> None:
        """The new device may have more workers: more threads, the same queue; or batches are smaller from now on."""
        self._spec = spec
        self._pool.size, self._pool.limit = spec.batch_size, self._session.batch_limit
        self._workers.resize(spec.workers)


def chunking_rules(spec: RecognizerSpec, options: TranscribeOptions) -> ChunkingRules:
    """How speech is packed: no short first chunk where every window costs what the full one does."""
    full_window = spec.strict_window or options.effort.full_window
    rules = SWITCHING if options.code_switching else ChunkingRules(first_chunk_s=None if full_window else FIRST_CHUNK_S)
    return replace(
        rules,
        threshold=options.vad_threshold,
        min_speech_s=options.vad_min_speech_s,
        min_silence_s=options.vad_min_silence_s,
        pad_s=options.vad_pad_s,
        unclear_pad_s=max(rules.unclear_pad_s, options.vad_pad_s),
    )
