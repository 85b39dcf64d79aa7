"""What a plan may be made of: folders, files, patterns, storages, and lists of recordings."""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorag_whisper.archive.inputs import STANDARD_INPUT, NotDone, find
from autorag_whisper.archive.sharded.plan_file import PARQUET
from autorag_whisper.archive.sharded.rows import is_remote, path_of, uri_of
from autorag_whisper.audio.allowlist import SUFFIXES
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.archive_errors import InvalidList
from autorag_whisper.domain.errors import InvalidOption, MediaEmpty, MediaError
from autorag_whisper.files import sha256_of_open, system_reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_log = logging.getLogger(__name__)

BY_CONTENT, BY_NAME = "content", "name"
IDENTITIES = (BY_CONTENT, BY_NAME)
_ID_DIGITS = 32
_LONGEST_LINE = 1 << 20
_MARKED = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
"""How lists begin that Windows' programs wrote, and how they are read."""


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
    and perhaps `id`, `duration_s`, `size_bytes`; `-` is `standard_input`, text or JSON lines.
    """

    arguments: Sequence[str] = ()
    lists: Sequence[Path] = ()
    standard_input: io.BufferedReader | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[NotDone] = field(default_factory=list)

    def candidates(self) -> Iterator[Candidate]:
        """Each that is found: local files, storages, lists, each in the order of the arguments. A place may come twice.

        Raises InvalidList for a list that cannot be read, and ExtraNotInstalled.
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
            yield from _listed(path, self.standard_input)

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
    """The id of a recording. Raises OSError and MediaError where its content is to be read and cannot be.

    By content: the SHA-256 of a local file; a named pipe is not waited for. By name, and of what lies in a storage: a
    digest of its place, its size and what the storage says of its content.
    """
    if candidate.id:
        return candidate.id
    if kind == BY_CONTENT and not is_remote(candidate.uri):
        return _content_of(path_of(candidate.uri))[:_ID_DIGITS]
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


def _content_of(path: Path) -> str:
    try:
        with MediaSource.from_path(path).open() as file:
            return sha256_of_open(file)
    except MediaEmpty:
        return hashlib.sha256().hexdigest()


def _local(path: Path) -> Candidate:
    try:
        status = path.stat()
    except (OSError, ValueError):  # recognising it says what is wrong
        return Candidate(uri_of(path))
    return Candidate(uri_of(path), status.st_size, None, str(status.st_mtime_ns))


def _listed(path: Path, standard_input: io.BufferedReader | None) -> Iterator[Candidate]:
    if path.suffix == PARQUET:
        from autorag_whisper.archive.sharded.tables import listed_rows

        for number, data in enumerate(listed_rows(path), 1):
            yield _candidate(data, path, number)
        return
    is_json = path.suffix in {".jsonl", ".ndjson", ".json"}
    for number, line in enumerate(_lines(path, standard_input), 1):
        text = line.strip()
        if not text:
            continue
        try:
            data = json.loads(text) if is_json or (_is_standard_input(path) and text[0] == "{") else {"uri": text}
        except (ValueError, RecursionError) as error:
            raise InvalidList(path.name, "it is no JSON", number) from error
        yield _candidate(data, path, number)


def _is_standard_input(path: Path) -> bool:
    return str(path) == STANDARD_INPUT


def _lines(path: Path, standard_input: io.BufferedReader | None) -> Iterator[str]:
    number = 0
    try:
        with _opened(path, standard_input) as file:
            while line := file.readline(_LONGEST_LINE):
                number += 1
                if len(line) == _LONGEST_LINE and not line.endswith("\n"):
                    raise InvalidList(path.name, "it is no list: the line has no end", number)
                yield line
    except OSError as error:
        raise InvalidList(str(path), system_reason(error)) from error
    except UnicodeDecodeError as error:  # of UTF-16 alone
        raise InvalidList(path.name, "it is no text", number + 1) from error


@contextmanager
def _opened(path: Path, standard_input: io.BufferedReader | None) -> Iterator[io.TextIOWrapper]:
    """A list as text, in the encoding that its first bytes name, or else in UTF-8 with whatever other bytes kept."""
    with ExitStack() as stack:
        if not _is_standard_input(path):
            file = stack.enter_context(path.open("rb"))
        elif standard_input is not None:
            file = standard_input
        else:
            raise OSError("it is closed")
        start = file.peek(4)
        encoding = next((name for mark, name in _MARKED if start.startswith(mark)), "utf-8")
        text = io.TextIOWrapper(file, encoding, "strict" if encoding == "utf-16" else "surrogateescape", newline="\n")
        stack.callback(text.detach)  # whose standard input it is goes on with it
        yield text


def _candidate(data: Any, path: Path, number: int) -> Candidate:
    """Of a line of a list; a place that is no address and no absolute path is relative to the list's folder.

    What tells a local file from others is asked of the file: it is one recording, wherever it is named.
    """
    try:
        uri = data["uri"]
        if not is_remote(uri) and not uri.startswith("file://"):
            uri = uri_of(path.parent / uri)
        duration, size, given = data.get("duration_s"), data.get("size_bytes"), data.get("id")
        said = Candidate(
            uri,
            None if size is None else int(size),
            None if duration is None else float(duration),
            id="" if given is None else str(given),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise InvalidList(path.name, 'a recording needs "uri", and durations and sizes are numbers', number) from error
    if said.id or is_remote(said.uri):
        return said
    found = _local(path_of(said.uri))
    return replace(said, size_bytes=said.size_bytes if found.size_bytes is None else found.size_bytes, tag=found.tag)
