"""Checkpoints as lines of JSON: a format of its own, for whoever keeps them beyond the life of a run or a process.

```
{"format": "autorag-whisper checkpoints", "version": 2, "package": "1.0", "records": {"Word": {"text": "str", ...
[[[0, ...], ...], 480000, "en", 0.98]
[[[1, ...], ...], 960000, "en", 0.98]
```

An object is a header and says how the checkpoints behind it are written: each is a list with the fields of a record, in
the header's order, and records in it are lists again. So what an earlier or a later version wrote is read as long as it
says the same: a field that it lacks has its default. Whatever else is refused by name, never guessed. Nothing in a
line names a class or is run.

A change that keeps a field's name and type but not its meaning needs another `VERSION`.
"""

from __future__ import annotations

import json
import sys
import typing
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin

import numpy as np

from autorag_whisper.align.words import TimedWord
from autorag_whisper.domain.audio import Samples, SpeechChunk, SpeechSpan
from autorag_whisper.domain.errors import RequestError
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.domain.transcript import Attempt, Unspoken, Word, WordSource
from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.recognition.aligned import Aligned, LettersBy
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask, EngineTime, Rejection, WordsIn
from autorag_whisper.recognition.language import Piece
from autorag_whisper.recognition.language_changes import Stretch
from autorag_whisper.transcriber.checkpoint import Checkpoint
from autorag_whisper.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FORMAT, VERSION = "autorag-whisper checkpoints", 2
_OLD_FORMATS = ("autorag-whisper finished chunks",)

# Most of them are imported for type checkers alone where they are used.
_KNOWN = {
    known.__name__: known
    for known in (
        TimedWord, SpeechChunk, SpeechSpan, Attempt, Unspoken, Word, WordSource, Aligned, LettersBy, ChunkResult,
        ChunkTask, EngineTime, Rejection, Checkpoint, Piece, Stretch, WordsIn,
    )
} | {"Samples": Samples, "TranscribeOptions": TranscribeOptions, "Hypothesis": Hypothesis}  # fmt: skip
_OF_THE_RUN: dict[Any, Callable[[], Any]] = {
    Samples: lambda: np.zeros(0, np.float32),
    TranscribeOptions: TranscribeOptions,
    Hypothesis | None: lambda: None,
}
"""What is not written: whoever takes a checkpoint up has the audio and the options of its file already, and a text as
tokens is there only until a chunk is done."""


class RefusedCheckpointsError(ValueError):
    """These checkpoints are written in a way that this version does not read. The text says by whom, and what it is."""


class CheckpointReader:
    """Reads checkpoints as one header says that they are written."""

    def __init__(self, header: str | bytes) -> None:
        """`header`: its line. Raises RefusedCheckpointsError; ValueError for what is no header at all."""
        self._fields = _checked(_loaded(header, "not a header of checkpoints"))

    def read(self, line: str | bytes) -> Checkpoint:
        """The checkpoint of a line. Raises ValueError for whatever else it is."""
        tree = _loaded(line, "not a checkpoint")
        try:
            found = self._built(tree, Checkpoint)
        except (ValueError, TypeError, ArithmeticError, RecursionError, RequestError) as error:
            raise ValueError("not a checkpoint") from error
        assert isinstance(found, Checkpoint)
        return found

    def _built(self, value: Any, hint: Any) -> Any:
        if value is None:
            if _inner(hint) is hint:
                raise ValueError("null is not allowed here")
            return None
        hint = _inner(hint)
        if get_origin(hint) is tuple:
            if not isinstance(value, list):
                raise ValueError("not a list")
            return tuple(self._built(item, get_args(hint)[0]) for item in value)
        if isinstance(hint, type) and is_dataclass(hint):
            names, hints = self._fields[hint.__name__], _HINTS[hint]
            if not isinstance(value, list) or len(value) != len(names):
                raise ValueError(f"not a {hint.__name__}")
            known = {name: self._built(item, hints[name]) for name, item in zip(names, value, strict=True)}
            return hint(**known, **{name: make() for name, make in _NOT_WRITTEN[hint].items()})
        if isinstance(hint, type) and issubclass(hint, Enum):
            return hint(value)
        if type(value) is not hint and not (hint is float and type(value) is int):
            raise ValueError(f"not a {hint.__name__}")
        return hint(value)


def dumps(checkpoint: Checkpoint) -> str:
    """One line, without its end, as `HEADER` says."""
    return json.dumps(_plain(checkpoint, Checkpoint), separators=(",", ":"))


def loads(line: str | bytes) -> Checkpoint:
    """What `dumps` of this version wrote. Raises ValueError for whatever else it is."""
    return _OWN.read(line)


def is_header(line: bytes) -> bool:
    """Whether a line is an object, which none but a header is."""
    return line.lstrip().startswith(b"{")


def _loaded(line: str | bytes, problem: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(problem) from error


def _checked(header: Any) -> Mapping[str, tuple[str, ...]]:
    """Of a header, for each record: its fields in the order in which they are written."""
    if not isinstance(header, dict) or header.get("format") not in (FORMAT, *_OLD_FORMATS):
        raise ValueError("not a header of checkpoints")
    version, package, records = (header.get(name) for name in ("version", "package", "records"))
    who = f"they are of autorag-whisper {package}" if isinstance(package, str) else "they are of another version"
    if header["format"] != FORMAT or version != VERSION:
        raise RefusedCheckpointsError(
            f"{who}, in format {version!r}; autorag-whisper {__version__} reads format {VERSION}"
        )
    found: dict[str, tuple[str, ...]] = {}
    wanted = ["Checkpoint"]
    for name in wanted:  # it grows
        own, written = RECORDS[name], records.get(name) if isinstance(records, dict) else None
        if not isinstance(written, dict):
            raise RefusedCheckpointsError(f"{who}, which knows no {name}")
        for field, kind in written.items():
            if own.get(field) != kind:
                raise RefusedCheckpointsError(
                    f"{who}, where {name}.{field} is {kind}; here it is {own.get(field, 'unknown')}"
                )
        if missing := [field for field in own if field not in written and field in _NEEDED[name]]:
            raise RefusedCheckpointsError(f"{who}, which has no {name}.{missing[0]}")
        found[name] = tuple(written)
        inner = [kind.rstrip("[]?") for kind in written.values()]
        wanted += [kind for kind in dict.fromkeys(inner) if kind in RECORDS and kind not in wanted]
    return found


def _plain(value: Any, hint: Any) -> Any:
    if value is None:
        return None
    hint = _inner(hint)
    if get_origin(hint) is tuple:
        return [_plain(item, get_args(hint)[0]) for item in value]
    if is_dataclass(hint):
        return [_plain(getattr(value, name), inner) for name, inner in _HINTS[hint].items()]
    if isinstance(value, Enum):
        return value.value
    return hint(value)  # a number of NumPy's becomes Python's


def _inner(hint: Any) -> Any:
    """`X` of `X | None`."""
    if get_origin(hint) not in (UnionType, typing.Union):
        return hint
    [inner] = [kind for kind in get_args(hint) if kind is not NoneType]
    return inner


def _kind(hint: Any) -> str:
    """How a header calls a type: `str`, `Word`, `Word[]`, `float?`."""
    if (inner := _inner(hint)) is not hint:
        return f"{_kind(inner)}?"
    if get_origin(hint) is tuple:
        return f"{_kind(get_args(hint)[0])}[]"
    return str(hint.__name__)


def _collect(kind: type) -> None:
    """The fields of `kind` with their types, and of all that it is made of."""
    if kind in _HINTS:
        return
    found = typing.get_type_hints(kind, vars(sys.modules[kind.__module__]), _KNOWN)
    _HINTS[kind] = {item.name: found[item.name] for item in fields(kind) if found[item.name] not in _OF_THE_RUN}
    _NOT_WRITTEN[kind] = {name: _OF_THE_RUN[hint] for name, hint in found.items() if hint in _OF_THE_RUN}
    for hint in _HINTS[kind].values():
        inner = _inner(hint)
        inner = get_args(inner)[0] if get_origin(inner) is tuple else inner
        if is_dataclass(inner):
            _collect(typing.cast("type", inner))


_HINTS: dict[Any, dict[str, Any]] = {}
_NOT_WRITTEN: dict[Any, dict[str, Callable[[], Any]]] = {}
_collect(Checkpoint)
RECORDS = {kind.__name__: {name: _kind(hint) for name, hint in hints.items()} for kind, hints in _HINTS.items()}
"""What a checkpoint is made of: record -> field -> type."""
_NEEDED = {
    kind.__name__: {item.name for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING}
    for kind in _HINTS
}
HEADER = json.dumps(
    {"format": FORMAT, "version": VERSION, "package": __version__, "records": RECORDS}, separators=(",", ":")
)
"""The line before what `dumps` writes."""
_OWN = CheckpointReader(HEADER)
