"""Finished chunks of unfinished files, kept in the cache directory: the run after a stopped one goes on behind them.

There is one file of JSON lines for each recording with its options, model and device, named by a digest of these. Each
chunk is written as it comes. The file is removed when its recording is finished, or after a month. What another version
has written is read, or refused by name (`transcriber.checkpoint_format`); what makes no sense is ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.archive.fingerprint import Stamp
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import MediaError
from autorag_whisper.files import system_reason
from autorag_whisper.transcriber.checkpoint_format import (
    HEADER,
    CheckpointReader,
    RefusedCheckpointsError,
    dumps,
    is_header,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from autorag_whisper.archive.request import BatchRequest
    from autorag_whisper.transcriber.checkpoint import Checkpoint

_log = logging.getLogger(__name__)

_SUFFIX = ".chunks"
_HEADER = HEADER.encode() + b"\n"
_ENDS_BYTES = 1 << 16
KEPT_S = 30 * 24 * 3600.0


class CheckpointFolder:
    """The chunks of a run's files. It is a `transcriber.checkpoint.Checkpoints`.

    `folder` is made with the first chunk. Where it cannot be written that is logged once, and nothing is kept.
    """

    def __init__(self, folder: Path, facts: Mapping[str, str]) -> None:
        """`facts`: everything that chunks depend on, but for the file."""
        self.folder, self._facts = folder, dict(facts)
        self._places: list[Path | None] = []
        self._names: list[str] = []
        self._read: dict[int, dict[int, Checkpoint]] = {}
        self._begun: set[int] = set()
        self._works = True

    @classmethod
    def of_request(cls, cache_dir: Path, request: BatchRequest) -> CheckpointFolder:
        """That of all files of a request, whoever does them: `transcribe` and `archive run` go on with each other's."""
        facts = {
            "options": request.text_digest(),
            "device": request.device,
            "compute_type": request.settings.compute_type,
        }
        return cls(cache_dir.absolute() / "unfinished", facts)

    def begin(self, path: Path | None, known_as: Sequence[object] = ()) -> int:
        """Call it before a file is read; the file's number in the run.

        `known_as`: what tells a recording that has no `path` from all others, and its content from another; without
        either its chunks are not kept.
        """
        self._places.append(self._place_of(path, known_as))
        self._names.append(path.name if path is not None else str(known_as[0]) if known_as else "")
        return len(self._places) - 1

    def done(self, file: int) -> Mapping[int, Checkpoint]:
        """Chunk index -> what an earlier run has done."""
        if file not in self._read:
            place = self._places[file]
            self._read[file] = {} if place is None else _read(place, self._names[file], file)
        return self._read[file]

    def add(self, file: int, checkpoint: Checkpoint) -> None:
        """A chunk is done."""
        place = self._places[file]
        if place is None or not self._works:
            return
        try:
            self._append(place, dumps(checkpoint).encode() + b"\n", first=file not in self._begun)
        except OSError as error:
            self._works = False
            reason = system_reason(error)
            _log.warning(
                "a run that is stopped will begin its files anew: %s cannot be written (%s); "
                "AUTORAG_WHISPER_CACHE_DIR names another folder",
                self.folder,
                reason,
            )
        self._begun.add(file)

    def forget(self, file: int) -> None:
        """Remove the chunks of a file: it is finished, or cannot be read at all."""
        self._read.pop(file, None)
        if (place := self._places[file]) is not None:
            with contextlib.suppress(OSError):
                place.unlink(missing_ok=True)

    def prune(self, now_s: float) -> None:
        """Remove what is over a month old. `now_s`: seconds since the epoch."""
        with contextlib.suppress(OSError):
            for place in self.folder.glob(f"*{_SUFFIX}"):
                if now_s - place.stat().st_mtime > KEPT_S:
                    place.unlink(missing_ok=True)

    def _append(self, place: Path, line: bytes, *, first: bool) -> None:
        if first:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            known = _whole(place)
            header = _last_header(known)
            if header is None:
                place.unlink(missing_ok=True)
            if header != _HEADER.rstrip():  # what stands before it is another version's
                line = _HEADER + line
            if header is not None and not known.endswith(b"\n"):  # somebody was killed in the middle of a line
                line = b"\n" + line
        # For its owner alone: it is what was said.
        descriptor = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            while line:  # a system may take a part of it; on a full disk the next write says so
                line = line[os.write(descriptor, line) :]
        finally:
            os.close(descriptor)

    def _place_of(self, path: Path | None, known_as: Sequence[object]) -> Path | None:
        if path is None and not known_as:
            return None
        try:
            facts = {**self._facts, "file": list(known_as) if path is None else _identity(path)}
        except (OSError, MediaError):  # opening it again says what is wrong
            return None
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{digest[:32]}{_SUFFIX}"


def _identity(path: Path) -> list[object]:
    """Facts by which a file's content is known without reading it all: size, times, inode, and the bytes at both ends.

    Never waits for a named pipe. Raises OSError and MediaError.
    """
    stamp = Stamp.of(path)
    with MediaSource.from_path(path).open() as file:
        digest = hashlib.sha256(file.read(_ENDS_BYTES))
        file.seek(max(0, stamp.size_bytes - _ENDS_BYTES))
        digest.update(file.read(_ENDS_BYTES))
    return [stamp.size_bytes, stamp.mtime_ns, stamp.ctime_ns, stamp.inode, digest.hexdigest()]


def _whole(place: Path) -> bytes:
    """The bytes of a file of chunks; none where there is no file."""
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return b""


def _last_header(data: bytes) -> bytes | None:
    """The header that says how the last lines are written; None where no header of it can be read."""
    found = None
    for line in filter(is_header, data.splitlines()):
        with contextlib.suppress(ValueError):
            CheckpointReader(line)
            found = line
    return found


def _of_this_run(checkpoint: Checkpoint, file: int) -> Checkpoint:
    """With the file's number in this run, and the moments of this process."""
    result, now = checkpoint.result, time.perf_counter()
    spent = replace(result.time, began=now, turned=now, ended=now)
    return replace(checkpoint, result=replace(result, task=replace(result.task, file=file), time=spent))


def _read(place: Path, name: str, file: int) -> dict[int, Checkpoint]:
    """Chunk index -> its checkpoint. `name`: the recording's, for who is told that another version wrote them."""
    try:
        data = _whole(place)
    except OSError:
        return {}
    reader: CheckpointReader | None = None
    found: dict[int, Checkpoint] = {}
    for line in data.splitlines():
        try:
            if is_header(line):
                reader = CheckpointReader(line)
            elif reader is not None:
                checkpoint = reader.read(line)
                found[checkpoint.result.task.chunk.index] = _of_this_run(checkpoint, file)
        except RefusedCheckpointsError as refused:
            reader = None
            _log.warning("%s: what an earlier run has finished of it is done again: %s", name, refused)
        except ValueError:
            continue  # cut off, or nothing of ours
    return found
