"""Merged results: tables in Parquet, JSON lines, and files in the usual formats, in the order of the plan.

What is merged depends on the plan and the results alone, not on who recognised what, when, or how often.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from autorag_whisper.archive.sharded.merged_names import Names
from autorag_whisper.archive.sharded.records import transcript_of
from autorag_whisper.archive.sharded.rows import dumps
from autorag_whisper.domain.archive_errors import MergeTargetExists, OutputFolderUnwritable
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.files import sync_folder, system_reason
from autorag_whisper.format import FORMATS, render
from autorag_whisper.format.options import SubtitleOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path, PurePosixPath

    from autorag_whisper.archive.sharded.plan_file import PlanFile
    from autorag_whisper.archive.sharded.results import Results
    from autorag_whisper.archive.sharded.rows import Row
    from autorag_whisper.domain.transcript import Segment, Transcript

MERGE_FILE = "merge.json"
PARQUET, JSONL = "parquet", "jsonl"
TABLES = (PARQUET, JSONL)
_NOT_THIS_NAME = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
"""Something else has it or stands in its way, or the whole path is too long."""
_SEGMENTS_A_FILE = 5_000_000  # of a table: about 1 GB of words


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """What to write: `parquet`, `jsonl` and names of `format.FORMATS`. Raises InvalidOption."""

    formats: tuple[str, ...]
    subtitles: SubtitleOptions = field(default_factory=SubtitleOptions)

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS and name not in TABLES:
                raise InvalidOption("--format", name, ", ".join([*TABLES, *FORMATS]))


@dataclass
class Merged:
    """What was merged. `left`: recordings without a result."""

    done: int = 0
    failed: int = 0
    left: int = 0


def merge(plan: PlanFile, results: Results, target: Path, request: MergeRequest) -> Merged:
    """Write the results of a plan into a new folder `target`, or in the place of an earlier merge.

    The folder is there when all of it is written. One shard is in memory at a time.

    Raises:
        MergeTargetExists: something else has that name.
        OutputFolderUnwritable: it cannot be written.
        ResultsDamaged: a file of results is not as it was written.
        ExtraNotInstalled: for Parquet, without the extra `archive`.
    """
    if os.path.lexists(target) and not (target / MERGE_FILE).is_file():
        raise MergeTargetExists(str(target))
    target = target.resolve()
    names = Names(plan) if any(name in FORMATS for name in request.formats) else None
    merged = Merged()
    try:
        with _building(target) as building:
            with contextlib.ExitStack() as stack:
                writers = [stack.enter_context(writer) for writer in _writers(building, request, names)]
                for number, rows in plan.shards():
                    _merge_shard(rows, results.records(number), writers, merged)
            facts = {"plan": plan.head.plan, "results": results.folder.name, **vars(merged)}
            (building / MERGE_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
            _put_in_place(building, target)
    except OSError as error:
        raise OutputFolderUnwritable(str(target), system_reason(error)) from error
    return merged


@contextlib.contextmanager
def _building(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, which is removed at the end unless it was renamed.

    What merges into `target` have left that were killed is removed first: it may be as large as the archive's results.
    """
    mark = f".autorag-whisper-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}-"
    for left in target.parent.glob(f"{mark}*"):
        with _locked(left) as is_left:
            if is_left:
                shutil.rmtree(left, ignore_errors=True)
    token = secrets.token_hex(6)
    building = target.with_name(f"{mark}{token}.tmp")
    unlocked = target.with_name(f".autorag-whisper-{token}.tmp")
    unlocked.mkdir(parents=True)
    try:
        with _locked(unlocked):
            unlocked.rename(building)  # only what is locked has such a name, as long as its process lives
            yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock; False where another has it, or there are no locks."""
    with contextlib.ExitStack() as stack:
        works = False
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            works = True
        yield works


def _merge_shard(
    rows: Sequence[Row], records: Mapping[str, Mapping[str, Any]], writers: Sequence[_Writer], merged: Merged
) -> None:
    for row in rows:
        record = records.get(row.id)
        if record is None:
            merged.left += 1
            continue
        transcript = None if "error" in record else transcript_of(record)
        merged.done += transcript is not None
        merged.failed += transcript is None
        for writer in writers:
            writer.add(row, record, transcript)


def _put_in_place(building: Path, target: Path) -> None:
    """Give a folder its name; the former one of a merge is removed when the new one is there."""
    former = None
    if os.path.lexists(target):
        former = building.with_name(f"{building.name}.former")
        target.rename(former)
    try:
        building.rename(target)
    except OSError:
        if former is not None:
            former.rename(target)
        raise
    sync_folder(target.parent)
    if former is not None:
        shutil.rmtree(former, ignore_errors=True)


# ---------------------------------------------------------------- writers


class _Writer(contextlib.AbstractContextManager["_Writer"]):
    """Takes results in the order of the plan."""

    @abstractmethod
    def add(self, row: Row, record: Mapping[str, Any], transcript: Transcript | None) -> None:
        """The next row, with what was recorded of it and its transcript, where there is one."""

    def __exit__(self, *_: object) -> None:
        pass


def _writers(folder: Path, request: MergeRequest, names: Names | None) -> Iterator[_Writer]:
    formats = tuple(name for name in request.formats if name in FORMATS)
    if PARQUET in request.formats:
        yield _Parquet(folder)
    if JSONL in request.formats:
        yield _JsonLines(folder / "results.jsonl")
    if formats:
        assert names is not None
        yield _Files(folder / "texts", formats, names, request.subtitles)


class _JsonLines(_Writer):
    """A line for each recording, as it is in the parts."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")

    def add(self, row: Row, record: Mapping[str, Any], transcript: Transcript | None) -> None:  # noqa: ARG002 - the record has it
        self._file.write(dumps(record).encode() + b"\n")

    def __exit__(self, *_: object) -> None:
        _close(self._file)


class _Files(_Writer):
    """Every recording in the usual formats, at all its places."""

    def __init__(self, folder: Path, formats: Sequence[str], names: Names, subtitles: SubtitleOptions) -> None:
        self._folder, self._formats, self._names, self._subtitles = folder, formats, names, subtitles

    def add(self, row: Row, record: Mapping[str, Any], transcript: Transcript | None) -> None:  # noqa: ARG002 - the place is the row's
        if transcript is None:
            return
        for form in self._formats:
            text = render(transcript, form, self._subtitles).encode()
            for uri in (row.uri, *row.also):
                self._write(self._names.of(row.id, uri, FORMATS[form].suffix), text)

    def _write(self, names: Sequence[PurePosixPath], text: bytes) -> None:
        """Write it under the first of `names` that it can have."""
        for name in names:
            path = self._folder / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                file = path.open("xb")
            except OSError as error:
                if error.errno not in _NOT_THIS_NAME or name == names[-1]:
                    raise
                continue
            with file:
                file.write(text)
            return


class _Parquet(_Writer):
    """Three tables: one row for each file, segment and word. A table goes on in another file when one is large."""

    def __init__(self, folder: Path) -> None:
        from autorag_whisper.archive.sharded import tables

        self._tables = tables
        self._schemas = {"files": tables.FILES, "segments": tables.SEGMENTS, "words": tables.WORDS}
        self._folder, self._number, self._segments = folder, 0, 0
        self._open: contextlib.ExitStack = contextlib.ExitStack()
        self._writers: dict[str, Any] = {}
        self._begin()

    def add(self, row: Row, record: Mapping[str, Any], transcript: Transcript | None) -> None:
        self._writers["files"].add([_file_row(row, record, transcript)])
        if transcript is None:
            return
        segments = transcript.segments
        self._writers["segments"].add(_segment_row(row.id, number, one) for number, one in enumerate(segments))
        self._writers["words"].add(
            row_of_word for number, one in enumerate(segments) for row_of_word in _word_rows(row.id, number, one)
        )
        self._segments += len(segments)
        if self._segments >= _SEGMENTS_A_FILE:
            self._open.close()
            self._number, self._segments = self._number + 1, 0
            self._begin()

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def _begin(self) -> None:
        self._open = contextlib.ExitStack()
        for name, schema in self._schemas.items():
            folder = self._folder / name
            folder.mkdir(exist_ok=True)
            file = self._open.enter_context(contextlib.closing(_Synced(folder / f"part-{self._number:05d}.parquet")))
            self._writers[name] = self._open.enter_context(self._tables.TableWriter(file.file, schema))


class _Synced:
    """A file that is on the disk when it is closed."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("xb")

    def close(self) -> None:
        _close(self.file)


def _close(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _file_row(row: Row, record: Mapping[str, Any], transcript: Transcript | None) -> dict[str, Any]:
    known: dict[str, Any] = {
        "id": row.id,
        "uri": _utf8(row.uri),
        "also": [_utf8(uri) for uri in row.also],
        "shard": row.shard,
        "status": "failed" if transcript is None else "done",
        "attempt": record["attempt"],
        "duration_s": row.duration_s,
    }
    if transcript is None:
        error = record["error"]
        later = error["may_succeed_later"]
        return known | {"error_type": error["type"], "error": _utf8(error["message"]), "may_succeed_later": later}
    return known | {
        "duration_s": transcript.duration_s,
        "language": transcript.language,
        "language_probability": transcript.language_probability,
        "text": transcript.text,
        "segments": len(transcript.segments),
        "words": len(transcript.words),
        "speech_s": transcript.coverage.speech_s,
        "skipped_s": transcript.coverage.skipped_s,
        "model": transcript.model,
        "device": transcript.device,
        "compute_type": transcript.compute_type,
        "engine_s": transcript.engine_s,
        "notes": [_utf8(note.text) for note in transcript.notes],
    }


def _segment_row(who: str, number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": who,
        "segment": number,
        "start_s": segment.start_s,
        "end_s": segment.end_s,
        "text": segment.text,
        "language": segment.language,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
        "temperature": segment.temperature,
    }


def _word_rows(who: str, number: int, segment: Segment) -> Iterator[dict[str, Any]]:
    for index, word in enumerate(segment.words):
        yield {
            "id": who,
            "segment": number,
            "word": index,
            "text": word.text,
            "start_s": word.start_s,
            "end_s": word.end_s,
            "probability": word.probability,
            "source": word.source.value,
            "score": word.score,
            "space_before": word.space_before,
        }


def _utf8(text: str) -> str:
    """Text that Parquet can hold, with U+FFFD in the place of what is none."""
    return text.encode("utf-8", "replace").decode()
