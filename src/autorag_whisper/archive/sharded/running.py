"""Shards of a plan on a transcriber: what is left of them is recognised, and kept a few recordings at a time."""

from __future__ import annotations

from collections import deque
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from autorag_whisper.archive.checkpoints import CheckpointFolder
from autorag_whisper.archive.reservations import Reservations
from autorag_whisper.archive.sharded.alone import Alone
from autorag_whisper.archive.sharded.in_hand import Deaths, InHand, Turn, turn_of
from autorag_whisper.archive.sharded.opening import Opener
from autorag_whisper.archive.sharded.records import record_of
from autorag_whisper.archive.sharded.turns import Turns
from autorag_whisper.domain.archive_errors import DiskFull, RecordingKills
from autorag_whisper.domain.errors import AutoragWhisperError, ExtraNotInstalled, MediaError
from autorag_whisper.domain.transcript import Segment
from autorag_whisper.files import system_reason
from autorag_whisper.transcriber.cancellation import CancelToken
from autorag_whisper.transcriber.checkpoint import Supervised
from autorag_whisper.transcriber.run_request import RunControl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any

    from autorag_whisper.archive.request import BatchRequest
    from autorag_whisper.archive.sharded.results import Results
    from autorag_whisper.archive.sharded.rows import Row
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber import FileOutcome, Progress
    from autorag_whisper.transcriber.protocol import ModelHandle, ResumableTranscriber
    from autorag_whisper.transcriber.supervised import SupervisedTranscriber

FILES_A_RUN = 5_000
"""Of the engine: at the end of one it waits for its last batches, and what it keeps of each file goes."""
_OF_THE_MACHINE = (DiskFull, ExtraNotInstalled)
KEPT_AT_ONCE, KEPT_EVERY_S = 64, 2.0
"""Results are kept when there are so many, or when the first of them is so old: what a kill can cost."""


@dataclass
class Tally:
    """What a run did. `elsewhere`: shards that another process has. `seconds` of audio are of what was recognised."""

    done: int = 0
    failed: int = 0
    shards: int = 0
    finished_before: int = 0
    elsewhere: int = 0
    seconds: float = 0.0
    engine_s: float = 0.0


@dataclass
class _Shard:
    """A shard at work: how many recordings have no outcome yet, and results not kept yet."""

    number: int
    open: int = 0
    records: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class _Suspect:
    """A recording that was in hand when a process died."""

    shard: _Shard
    row: Row
    deaths: Deaths


@dataclass(frozen=True)
class Hooks:
    """What a run tells its caller, in the caller's thread, and gets from it.

    `on_record`: a recording's result, before it is kept. `on_progress`: as a transcriber's. `on_shard`: a shard is
    complete, its number. `worker`: begins a transcriber in a process of its own, for recordings that were in hand when
    a process died (`sharded.alone`); None: the run's own does these too. `opener` makes sources of recordings. `turns`:
    runs that are in one process at once share it, so that what is recognised alone is alone in the process.
    """

    on_record: Callable[[Mapping[str, Any]], None] = lambda _record: None
    on_progress: Callable[[Progress], None] = lambda _progress: None
    on_shard: Callable[[int], None] = lambda _shard: None
    worker: Callable[[], AbstractContextManager[ResumableTranscriber]] | None = None
    opener: Callable[[], Opener] = Opener
    turns: Turns = field(default_factory=Turns)


class ShardedRun:
    """Recognises what is left of shards. One process has a shard at a time, where the file system has locks.

    A process that is killed loses the recordings in hand and what it has recognised in the last two seconds; finished
    chunks of long recordings are kept in the cache directory. Results are kept before anything else is done with them.
    What was in hand of a process that died is recognised behind the rest of its shard, each alone.
    """

    def __init__(
        self,
        results: Results,
        request: BatchRequest,
        *,
        attempt: int,
        cache_dir: Path,
        clock: Callable[[], float],
        hooks: Hooks = Hooks(),
    ) -> None:
        """`request`: the model, device, options and settings. `clock`: seconds of any origin."""
        self._results, self._request, self._attempt = results, request, attempt
        self._cache_dir, self._clock, self._hooks = cache_dir, clock, hooks
        self._claims = Reservations(results.folder / "claims")
        self._in_hand = InHand(results.folder)
        self._of_source: dict[MediaSource, list[tuple[Row, _Shard, int]]] = {}
        self._suspects: list[_Suspect] = []
        self._waiting: list[_Shard] = []
        self._oldest_s: float | None = None
        self._elsewhere = set[int]()
        self.tally = Tally()

    def run(self, shards: Iterable[tuple[int, list[Row]]], transcriber: SupervisedTranscriber) -> Tally:
        """Recognise what is left of `shards`.

        Raises:
            DiskFull: results cannot be kept, or media that are fetched have no room.
            ExtraNotInstalled: this machine cannot read the storage, or has no aligner that was asked for.
            UnavailableError, RequestError: the model cannot be had; what fails for one recording is its result.
        """
        model = transcriber.model(self._request.model, self._request.device)
        with self._hooks.opener() as opener, self._claims, self._in_hand:
            work = self._work(shards, opener)
            try:
                # A first file is taken from `work` to find out that there is one; the run takes the others.
                while (first := next(work, None)) is not None or self._suspects:
                    if first is not None:
                        self._recognise(self._some(first, work), transcriber, model)
                    if self._suspects:
                        self._recognise_alone(transcriber, opener)
            finally:
                self._keep()
        return self.tally

    def elsewhere(self) -> frozenset[int]:
        """The shards that other processes had when their turn came, to be `run` once more: they may be done by now, or
        their processes gone. They count as what that run finds."""
        waiting, self._elsewhere, self.tally.elsewhere = frozenset(self._elsewhere), set(), 0
        return waiting

    def _recognise(
        self, work: Iterable[tuple[_Shard, Row, MediaSource]], transcriber: SupervisedTranscriber, model: ModelHandle
    ) -> None:
        """One run of the engine."""
        checkpoints = self._checkpoints()
        supervised = Supervised(checkpoints, lambda wait: wait())
        control = RunControl(CancelToken(), self._on_progress, supervised=supervised)
        events = transcriber.events(self._begun(work, checkpoints), self._request.options, model, control)
        with self._hooks.turns.together(), closing(events):
            for event in events:
                if not isinstance(event, Segment):
                    self._settle(event, checkpoints)

    def _some(
        self, first: tuple[_Shard, Row, MediaSource], work: Iterator[tuple[_Shard, Row, MediaSource]]
    ) -> Iterator[tuple[_Shard, Row, MediaSource]]:
        """For one run of the engine, which ends early where something is to be recognised alone."""
        one: tuple[_Shard, Row, MediaSource] | None = first
        count = 0
        while one is not None:
            yield one
            count += 1
            one = next(work, None) if count < FILES_A_RUN and not self._suspects else None

    def _recognise_alone(self, transcriber: SupervisedTranscriber, opener: Opener) -> None:
        """What was in hand when a process died, one after the other."""
        suspects, self._suspects = self._suspects, []
        checkpoints = self._checkpoints()
        begin = self._hooks.worker or (lambda: nullcontext(transcriber))
        with self._hooks.turns.alone(), Alone(begin, self._request) as alone:
            for suspect in suspects:
                shard, row, deaths = suspect.shard, suspect.row, suspect.deaths
                if turn_of(deaths) is Turn.GIVEN_UP:
                    reason = f"{deaths.alone} had nothing else in hand"
                    self._take(row, shard, RecordingKills(row.name, reason))
                    continue
                [(_, source)] = opener.sources([row])
                number = _begin(checkpoints, row, source)
                alone.prepare()
                self._on_disk(partial(self._in_hand.begin, shard.number, row.id, len(checkpoints.done(number))))
                result = alone.recognise(source, checkpoints, number, self._on_progress)
                self._forget_chunks(checkpoints, number, result)
                self._take(row, shard, result)

    def _work(
        self, shards: Iterable[tuple[int, list[Row]]], opener: Opener
    ) -> Iterator[tuple[_Shard, Row, MediaSource]]:
        """Every recording that is left, with its shard; what is to be recognised alone goes to the suspects."""
        shards_of_rows = deque[_Shard]()  # of those whose sources are on their way: sources come in the order of rows

        def rows() -> Iterator[Row]:
            for number, todo in self._left(shards):
                shard, deaths = _Shard(number, open=len(todo)), self._deaths(number)
                for row in todo:
                    if row.id not in deaths:
                        shards_of_rows.append(shard)
                        yield row
                self._suspects += [_Suspect(shard, row, deaths[row.id]) for row in todo if row.id in deaths]

        for row, source in opener.sources(rows()):
            yield shards_of_rows.popleft(), row, source

    def _deaths(self, shard: int) -> dict[str, Deaths]:
        """Of a shard's recordings with which processes died, in this attempt or when it failed for that."""
        entries = self._results.entries(shard)
        failed = {who: Deaths(1) for who, entry in entries.items() if entry.error == RecordingKills.__name__}
        return failed | self._in_hand.deaths(shard)

    def _left(self, shards: Iterable[tuple[int, list[Row]]]) -> Iterator[tuple[int, list[Row]]]:
        for number, rows in shards:
            if not self._results.left(number, rows, self._attempt):
                self.tally.finished_before += len(rows)
                continue
            if not self._claims.take(self._place(number)):
                self._elsewhere.add(number)
                self.tally.elsewhere = len(self._elsewhere)
                continue
            todo = self._results.left(number, rows, self._attempt, anew=True)  # another may have done it meanwhile
            self.tally.finished_before += len(rows) - len(todo)
            if todo:
                yield number, todo
            else:
                self._finish(number)

    def _begun(
        self, work: Iterable[tuple[_Shard, Row, MediaSource]], checkpoints: CheckpointFolder
    ) -> Iterator[MediaSource]:
        for shard, row, source in work:
            number = _begin(checkpoints, row, source)
            self._of_source.setdefault(source, []).append((row, shard, number))
            self._on_disk(partial(self._in_hand.begin, shard.number, row.id))
            yield source

    def _settle(self, outcome: FileOutcome, checkpoints: CheckpointFolder) -> None:
        waiting = self._of_source[outcome.source]
        row, shard, number = waiting.pop(0)
        if not waiting:
            del self._of_source[outcome.source]
        result = outcome.transcript if outcome.transcript is not None else outcome.error
        assert result is not None
        self._forget_chunks(checkpoints, number, result)
        self._take(row, shard, result)

    @staticmethod
    def _forget_chunks(checkpoints: CheckpointFolder, number: int, result: Transcript | AutoragWhisperError) -> None:
        if not isinstance(result, AutoragWhisperError) or isinstance(result, MediaError):
            checkpoints.forget(number)

    def _take(self, row: Row, shard: _Shard, result: Transcript | AutoragWhisperError) -> None:
        """Take a result of a shard: it is kept soon, or at once with the last of the shard.

        What this machine lacks is no recording's result, and is raised: the next ones would fail of it as well, and
        another machine does them.
        """
        if isinstance(result, _OF_THE_MACHINE):
            raise result
        record = record_of(row, self._attempt, result)
        if isinstance(result, AutoragWhisperError):
            self.tally.failed += 1
        else:
            self.tally.done += 1
            self.tally.seconds += result.duration_s
            self.tally.engine_s += result.engine_s
        self._on_disk(partial(self._in_hand.end, shard.number, row.id))
        self._hooks.on_record(record)
        if not shard.records:
            self._waiting.append(shard)
        shard.records.append(record)
        shard.open -= 1
        if self._oldest_s is None:
            self._oldest_s = self._clock()
        if shard.open == 0:
            self._keep()
            self._finish(shard.number)
            self.tally.shards += 1
            self._hooks.on_shard(shard.number)
        elif sum(len(one.records) for one in self._waiting) >= KEPT_AT_ONCE:
            self._keep()
        else:
            self._keep_in_time()

    def _on_progress(self, progress: Progress) -> None:
        self._keep_in_time()
        self._hooks.on_progress(progress)

    def _keep_in_time(self) -> None:
        if self._oldest_s is not None and self._clock() - self._oldest_s >= KEPT_EVERY_S:
            self._keep()

    def _keep(self) -> None:
        """Write results that are not kept yet; they are on the disk then."""
        while self._waiting:
            shard = self._waiting[0]
            self._on_disk(partial(self._results.add, shard.number, shard.records))
            shard.records = []
            self._waiting.pop(0)
        self._oldest_s = None

    def _finish(self, number: int) -> None:
        self._on_disk(partial(self._results.join, number))
        self._on_disk(partial(self._in_hand.forget, number))
        self._claims.release(self._place(number))

    def _on_disk(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise DiskFull(str(self._results.folder), system_reason(error)) from error

    def _place(self, number: int) -> Path:
        return self._results.folder / f"shard-{number}"

    def _checkpoints(self) -> CheckpointFolder:
        return CheckpointFolder.of_request(self._cache_dir, self._request)


def _begin(checkpoints: CheckpointFolder, row: Row, source: MediaSource) -> int:
    """The file's number there. An object of a storage is known by its row, whose id mostly has its tag."""
    return checkpoints.begin(source.path, (row.id, row.uri, row.size_bytes))
