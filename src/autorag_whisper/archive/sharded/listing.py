"""What a plan may be made of: folders, files, patterns, storages, and lists of recordings."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorag_whisper.archive.inputs import STANDARD_INPUT, NotDone, find
from autorag_whisper.archive.sharded.plan_file import PARQUET
from autorag_whisper.archive.sharded.rows import is_remote, path_of, uri_of
from autorag_whisper.audio.allowlist import SUFFIXES
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.archive_errors import InvalidPlan
from autorag_whisper.domain.errors import InvalidOption, MediaError
from autorag_whisper.files import sha256_of, system_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_log = logging.getLogger(__name__)

BY_CONTENT, BY_NAME = "content", "name"
IDENTITIES = (BY_CONTENT, BY_NAME)
_ID_DIGITS = 32
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recording that was found. `tag`: what a storage says changes with the content. `id`: where it was given."""

    uri: str
    size_bytes: int | None = None
    duration_s: float | None = None
    tag: str = ""
    id: str = ""


@dataclass
class Listing:
    """Finds recordings. `notes` and `problems` are complete when all were taken from `candidates`.

    `arguments`: what the command takes (files, folders, patterns), and addresses of storages: a file's, a folder's
    that ends in `/`, or a pattern. `lists`: text files with a place in each line, JSON lines or Parquet with `uri`
    and perhaps `id`, `duration_s`, `size_bytes`.
    """

    arguments: Sequence[str] = ()
    lists: Sequence[Path] = ()
    notes: list[str] = field(default_factory=list)
    problems: list[NotDone] = field(default_factory=list)

    def candidates(self) -> Iterator[Candidate]:
        """Each that is found, in the order of the arguments; the same place may come twice.

        Raises InvalidPlan for a list that cannot be read, and ExtraNotInstalled.
        """
        local = [argument for argument in self.arguments if not is_remote(argument)]
        if STANDARD_INPUT in local:
            raise InvalidOption("FILE", STANDARD_INPUT, "files, folders, patterns and addresses; --from - reads a list")
        if local:
            found = find(local)
            self.notes += found.notes
            self.problems += found.problems
            for item in found.inputs:
                assert item.path is not None
                yield _local(item.path)
        for argument in self.arguments:
            if is_remote(argument):
                yield from self._remote(argument)
        for path in self.lists:
            yield from _listed(path)

    def _remote(self, address: str) -> Iterator[Candidate]:
        from autorag_whisper.archive.sharded.remote import list_storage

        count = left_out = 0
        try:
            for candidate, is_named in list_storage(address):
                if is_named or Path(candidate.uri).suffix.lower() in SUFFIXES:
                    count += 1
                    yield candidate
                else:
                    left_out += 1
        except OSError as error:
            self.problems.append(NotDone(address, system_reason(error)))
            return
        if left_out:
            self.notes.append(f"{address}: {left_out} objects left out, no media by their names")
        if not count:
            self.problems.append(NotDone(address, "no media there"))


def identity(candidate: Candidate, kind: str) -> str:
    """The id of a recording. Raises OSError where its content is to be read and cannot be.

    By content: the SHA-256 of a local file. By name, and of what lies in a storage: a digest of its place, its size
    and what the storage says of its content.
    """
    if candidate.id:
        return candidate.id
    if kind == BY_CONTENT and not is_remote(candidate.uri):
        return sha256_of(path_of(candidate.uri))[:_ID_DIGITS]
    facts = json.dumps([candidate.uri, candidate.size_bytes, candidate.tag])
    return hashlib.sha256(facts.encode()).hexdigest()[:_ID_DIGITS]


def stated_duration_s(candidate: Candidate) -> float | None:
    """Seconds by the header of a local file, which may lie; None where it says nothing or cannot be read."""
    if is_remote(candidate.uri):
        return None
    from autorag_whisper.audio.decode import MediaDecoder

    source = MediaSource.from_path(path_of(candidate.uri))
    try:
        with source.open() as file, MediaDecoder(file, source.name) as decoder:
            return decoder.expected_duration_s
    except (MediaError, OSError) as error:
        _log.debug("%s: no duration (%s)", source.name, error)
        return None


def _local(path: Path) -> Candidate:
    try:
        status = path.stat()
    except OSError:  # recognising it says what is wrong
        return Candidate(uri_of(path))
    return Candidate(uri_of(path), status.st_size, None, str(status.st_mtime_ns))


def _listed(path: Path) -> Iterator[Candidate]:
    if path.suffix == PARQUET:
        from autorag_whisper.archive.sharded.tables import listed_rows

        for number, data in enumerate(listed_rows(path), 1):
            yield _candidate(data, path, number)
        return
    is_json = path.suffix in {".jsonl", ".ndjson", ".json"}
    for number, line in enumerate(_lines(path), 1):
        text = line.strip()
        if not text:
            continue
        try:
            data = json.loads(text) if is_json else {"uri": text}
        except ValueError as error:
            raise InvalidPlan(path.name, "it is no JSON", number) from error
        yield _candidate(data, path, number)


def _lines(path: Path) -> Iterable[str]:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            while line := file.readline(_LONGEST_LINE):
                yield line
    except OSError as error:
        raise InvalidPlan(str(path), system_reason(error)) from error


def _candidate(data: Any, path: Path, number: int) -> Candidate:
    """Of a line of a list; a place that is no address and no absolute path is relative to the list's folder."""
    try:
        uri = data["uri"]
        if not is_remote(uri) and not uri.startswith("file://"):
            uri = uri_of(path.parent / uri)
        duration, size, given = data.get("duration_s"), data.get("size_bytes"), data.get("id")
        return Candidate(
            uri,
            None if size is None else int(size),
            None if duration is None else float(duration),
            id="" if given is None else str(given),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidPlan(path.name, 'a recording needs "uri", and durations and sizes are numbers', number) from error
