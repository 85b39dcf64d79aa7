"""A run as its scheduler has it: files, what waits of them, and what comes of it. One thread's, the scheduler's."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING

from autorag_whisper.audio.features import FRAMES_PER_S
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.domain.faults import engine_error
from autorag_whisper.recognition.batching import Pool, Turn
from autorag_whisper.recognition.border_hearing import BORDER_FRAMES, hears_borders
from autorag_whisper.recognition.chunk_result import AskLanguage, ChunkTask
from autorag_whisper.recognition.hearing import follows
from autorag_whisper.recognition.language import VOTING_CHUNKS, LanguageChoice
from autorag_whisper.transcriber.assembly import Assembly
from autorag_whisper.transcriber.checkpoint import Checkpoint
from autorag_whisper.transcriber.file import RunFile
from autorag_whisper.transcriber.language_track import LanguageTrack
from autorag_whisper.transcriber.outcome import FileDone, FileFailed
from autorag_whisper.transcriber.results import ChunkFinished, FileOver, RunEnded, SegmentReady
from autorag_whisper.transcriber.script import Writing
from autorag_whisper.transcriber.workers import EngineJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.errors import AutoragWhisperError
    from autorag_whisper.domain.transcript import DeviceFallbackStep, Segment
    from autorag_whisper.engines.base import RecognizerSpec
    from autorag_whisper.recognition.chunk_result import ChunkResult
    from autorag_whisper.recognition.ctc_alignment import HeldLeases
    from autorag_whisper.transcriber.report import Report
    from autorag_whisper.transcriber.results import Results
    from autorag_whisper.transcriber.run_request import RunRequest
    from autorag_whisper.transcriber.scheduler import Scheduler
    from autorag_whisper.transcriber.source_reader import FileBegun, FileRead, SourceReader

_log = logging.getLogger(__name__)

MOST_FAULTS = 3
"""Files in a row that fail by what nobody expects, with nothing recognised in between, after which their run ends."""


@dataclass(slots=True, eq=False)
class RunWork:
    """What is done for one run. `ctc`: its leases of alignment models. `scheduler`: whose it is, once it is admitted.

    `hurries`: it has no result yet, and reading ahead would take a core from the workers. `waits_for_grant`: its reader
    has nothing to do. `waited`: batches since one had a chunk of it. `begun`: how many files were. `over`: the keys of
    files that are, which the scheduler has still to forget. `faults`: as `MOST_FAULTS` counts them.
    `closed` is set once it has left all but the batches in flight, `drained` with the last of those.
    """

    request: RunRequest
    spec: RecognizerSpec
    results: Results
    reader: SourceReader
    report: Report
    ctc: HeldLeases | None = None
    scheduler: Scheduler | None = None
    load_steps: tuple[DeviceFallbackStep, ...] = field(init=False)
    pool: Pool = field(init=False)
    files: dict[int, RunFile] = field(default_factory=dict)
    redo: list[EngineJob] = field(default_factory=list)
    hurries: bool = True
    waits_for_grant: bool = False
    exhausted: bool = False
    ended: bool = False
    leaving: bool = False
    waited: int = 0
    begun: int = 0
    faults: int = 0
    closed: Event = field(default_factory=Event)
    drained: Event = field(default_factory=Event)
    over: list[int] = field(default_factory=list)
    unfinished: list[RunFile] = field(default_factory=list)
    _in_flight: dict[int, float] = field(default_factory=dict)  # by the job's identity: seconds of its audio
    _reading: RunFile | None = None

    def __post_init__(self) -> None:
        spec, mixes = self.spec, self.spec.mixes_windows and not self.spec.strict_window
        self.pool = Pool(spec.one_window, spec.batch_size, self.request.session.batch_limit, mixes_windows=mixes)
        self.load_steps = tuple(self.request.session.steps)

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more is to be done for it: it has ended, or it was cancelled."""
        return self.ended or self.request.control.cancel.cancelled

    def now_ns(self) -> int:
        return self.request.telemetry.clock_ns()

    # ------------------------------------------------------------ what there is to do

    @property
    def own_job(self) -> EngineJob | None:
        """What is to be done first, and apart from other chunks: a redo, a border, a vote on a language."""
        if self.redo:
            return self.redo[0]
        for file in self.files.values():
            if (border := file.assembly.border) is not None and border is not file.hearing:
                return EngineJob(border=border)
            if file.voting and (file.decoded or file.chunks_read >= VOTING_CHUNKS):
                waiting = [task for task in self.pool.waiting if task.file == file.key][:VOTING_CHUNKS]
                return EngineJob(tuple(replace(task, ask=AskLanguage.TOGETHER) for task in waiting), voting=True)
        return None

    @property
    def has_work(self) -> bool:
        """Whether something could be submitted now."""
        return self.own_job is not None or self.pool.has_eligible

    @property
    def turn(self) -> Turn:
        """It beside other runs."""
        return Turn(self.pool, self.request.control.priority, self.in_flight_s, self.waited)

    def window_s(self, job: EngineJob) -> float:
        """What a job takes of the engine for it, about: seconds of encoder windows."""
        if job.border is not None:
            return BORDER_FRAMES / FRAMES_PER_S
        return sum(task.window(strict=self.spec.one_window) for task in self._own(job)) / FRAMES_PER_S

    def submitted(self, job: EngineJob) -> None:
        """A job that has rows of it goes to the workers."""
        own = [task for task in job.tasks if task.file in self.files]
        if self.redo and job is self.redo[0]:
            self.redo.pop(0)
        elif job.border is None:
            self.pool.take(own)
        self.waited = 0
        self._in_flight[id(job)] = sum(task.chunk.duration_s for task in own)
        for key in job.files & self.files.keys():
            file = self.files[key]
            file.hearing = job.border or file.hearing
            file.moments.submitted = file.moments.submitted or self.now_ns()
            file.batch_size = max(file.batch_size, job.rows)
            file.batch_size_since = max(file.batch_size_since, job.rows)
            file.voting = file.voting and not job.voting

    # ------------------------------------------------------------ what was read

    def begin(self, key: int, begun: FileBegun) -> None:
        """A file is about to be opened; `key` tells it apart from all others of the scheduler."""
        language = self.request.options.language or self.spec.only_language
        source = begun.given.source
        file = RunFile(key, begun.index, source, self._assembly(source.name), language, begun.given.checkpoints)
        if language:
            file.assembly.language, file.assembly.language_probability = language, 1.0
            self.pool.decide(key, language)
        if begun.index == 0:  # what the load cost is the first file's to tell
            file.assembly.steps += self.load_steps
        file.moments.opened = self.now_ns()
        self.files[key] = self._reading = file
        self.begun = begun.index + 1

    def _assembly(self, name: str) -> Assembly:
        options = self.request.options
        task = options.task.value
        track, hears = LanguageTrack(follows=follows(options)), hears_borders(self.spec, options)
        return Assembly(
            name,
            task,
            options.clips,
            writing=Writing(options.script, task),
            notes=self.request.session.notes,
            track=track,
            hears=hears,
        )

    def read(self, step: FileRead) -> None:
        """A step of the file that is being read; of one that has failed nothing is wanted."""
        file = self.being_read(step.index)
        if file is None:
            return
        file.take(step.chunks, step.so_far, step.decoder)
        if file.decoded:
            self._reading = None
            file.moments.decoded = self.now_ns()
        self.results.put(file.progress)  # before its chunks: where all are known already it is over behind them
        for chunk in step.chunks:
            known = self._known(file, chunk)
            if known is None:
                more = file.goes_on_behind(chunk)
                self.pool.add(ChunkTask(file.key, chunk, None, more=more, options=self.request.options))
            else:
                self._settle(file, known)
        self._finish(file)

    def being_read(self, index: int) -> RunFile | None:
        """The file of that number, if it is the one that is being read and has not failed."""
        return self._reading if self._reading is not None and self._reading.index == index else None

    def _known(self, file: RunFile, chunk: SpeechChunk) -> ChunkResult | None:
        """The result of a chunk that an earlier run has done, and with it the file's language."""
        checkpoint = file.checkpoints.get(chunk.index)
        if checkpoint is None:
            return None
        result = checkpoint.result_for(file.key, chunk, self.request.options)
        if result is None:
            return None
        if file.language is None:
            file.speak(LanguageChoice(checkpoint.language, checkpoint.language_probability))
            self.pool.decide(file.key, checkpoint.language)
        file.assembly.charge(result)
        self.report.note(file, result)
        return result

    # ------------------------------------------------------------ what came back

    def speaks(self, key: int, choice: LanguageChoice) -> None:
        """The language of a file was found."""
        if (file := self.files.get(key)) is not None:
            file.speak(choice)
            self.pool.decide(key, choice.code)

    def take(self, result: ChunkResult) -> None:
        """What came of a chunk of it."""
        file = self.files.get(result.task.file)
        if file is None:  # it failed meanwhile
            return
        file.assembly.charge(result)
        if result.undecided:
            file.voting = True
            self.pool.put_back([result.task], undecided=True)
        elif result.needs_redo:
            self.redo.append(EngineJob((result.again(),)))
        else:
            self.report.note(file, result)
            if self.request.control.supervised is not None:
                language = file.language or result.language
                checkpoint = Checkpoint.of(result, language, file.assembly.language_probability)
                self.results.put(ChunkFinished(file.index, checkpoint))
            self._settle(file, result)
            self.faults = 0

    def heard_border(self, key: int, heard: str, took_s: float) -> None:
        """What was heard across the border of two chunks."""
        if (file := self.files.get(key)) is not None:
            file.assembly.recognise_s += took_s
            self._settle(file, None, heard)

    def _settle(self, file: RunFile, result: ChunkResult | None, heard: str = "") -> None:
        """The segments that are next in order now; a chunk that is of another language than it was is done again."""
        assembly = file.assembly
        self._tell(file, assembly.add(result) if result is not None else assembly.settle(heard))
        self.redo += [EngineJob((task,)) for task in assembly.again]
        assembly.again.clear()
        if (speaking := assembly.track.speaking) is not None:
            self.pool.decide(file.key, speaking.language, speaking.known)
        self.results.put(file.progress)
        self._finish(file)

    def _tell(self, file: RunFile, segments: Iterator[Segment]) -> None:
        for segment in segments:
            self.results.put(SegmentReady(file.source, segment))

    def _finish(self, file: RunFile) -> None:
        if not file.is_complete or file.key not in self.files:
            return
        assert file.decoder is not None
        self._tell(file, file.assembly.finish())
        file.moments.finished = self.now_ns()
        transcript = file.assembly.transcript(file.decoder, self.spec)
        self._forget(file)
        self.results.put(FileOver(file, FileDone(file.source, transcript), self.request.session.pin))

    def fail(self, file: RunFile, error: AutoragWhisperError) -> None:
        """Take a file out of the run; what is in flight of it is ignored when it comes back."""
        self._tell(file, file.assembly.finish())
        self._take_out(file, error)

    def fault(self, file: RunFile, stage: str, error: Exception) -> None:
        """Take a file out at which something was raised that nobody expects; with too many in a row the run ends."""
        self.faults += 1
        known = engine_error(stage, error)
        self._take_out(file, known)
        if self.faults >= MOST_FAULTS:
            detail = f"{self.faults} recordings in a row, with nothing recognised in between; the last: {known.detail}"
            self.end(EngineError("engine", stage, detail, is_unexpected=True))

    @contextmanager
    def about(self, file: RunFile | None) -> Iterator[None]:
        """What fails in here is about one file, and fails that alone; where that is over already, it ends the run."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it goes to the caller
            _log.exception("what came of %s cannot be put together", file.source.name if file else "a file")
            try:
                if file is None or file.key not in self.files:
                    raise
                self.fault(file, "assembly", error)
            except Exception:  # noqa: BLE001 - what is wrong is wrong with more than one file
                self.end(error)

    def _take_out(self, file: RunFile, error: AutoragWhisperError) -> None:
        self._forget(file)
        if self._reading is file:
            self._reading = None
        self.reader.skip(file.index)
        self.redo = [job for job in self.redo if file.key not in job.files]
        file.moments.finished = self.now_ns()
        self.results.put(FileOver(file, FileFailed(file.source, error), self.request.session.pin))

    def _forget(self, file: RunFile) -> None:
        """It is over: a run of many files keeps nothing of those that are."""
        self.files.pop(file.key, None)
        self.pool.forget(file.key)
        self.over.append(file.key)

    def came_back(self, job: EngineJob) -> None:
        """A job that had rows of it, or was to have some, is over."""
        self._in_flight.pop(id(job), None)

    @property
    def in_flight(self) -> int:
        """Jobs that have rows of it."""
        return len(self._in_flight)

    @property
    def in_flight_s(self) -> float:
        """Audio of it that is being recognised."""
        return sum(self._in_flight.values())

    def _own(self, job: EngineJob) -> Iterable[ChunkTask]:
        return (task for task in job.tasks if task.file in self.files)

    def again(self, job: EngineJob) -> None:
        """Put what it has in a batch that failed back, to be done elsewhere."""
        tasks = list(self._own(job))
        if job.border is not None:
            self.redo[:0] = [job] if job.border.file in self.files else []
        self.redo[:0] = [EngineJob((task,)) for task in tasks if task.fallback]
        self.pool.put_back([task for task in tasks if not task.fallback])

    def one_by_one(self, job: EngineJob) -> None:
        """Do what it has in a batch that failed again, each chunk alone, to find whose fault it is."""
        self.redo += [EngineJob((task.decided(),)) for task in self._own(job)]

    def fell_back(self, step: DeviceFallbackStep, keys: Iterable[int]) -> None:
        """A step of the device fallback concerns these files."""
        for key in keys:
            if (file := self.files.get(key)) is not None:
                file.fell_back(step)

    def grow(self, spec: RecognizerSpec, limit: int | None) -> None:
        """It is computed elsewhere from now on, or in smaller batches."""
        self.spec = spec
        self.pool.size, self.pool.limit = spec.batch_size, limit

    # ------------------------------------------------------------ the end

    @property
    def is_complete(self) -> bool:
        """Whether all its files are read and done."""
        return self.exhausted and not self.files

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more is done for it. Its files that are not over are for whoever leaves to report."""
        if self.ended:
            return
        self.ended = True
        self.reader.stop()
        self.unfinished = list(self.files.values())
        self.files = {}
        self.redo = []
        self.pool.clear()
        self.results.put(RunEnded(error))

    def close(self, last: FileBegun | None) -> list[RunFile]:
        """For whoever leaves, once it is `closed`: files that were begun and are not over, with the `last` one.

        That may have been begun when the end was on its way.
        """
        if last is not None and last.index >= self.begun:
            self.begin(-1, last)
            self.unfinished.append(self.files.pop(-1))
        return self.unfinished
