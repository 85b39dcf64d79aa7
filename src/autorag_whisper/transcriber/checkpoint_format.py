"""A finished chunk as a line of JSON and back, for who keeps chunks beyond the life of a process.

A line is the fields of `Checkpoint` in their order, nested; nothing in it names a class or is run. `SCHEMA` is a digest
of the fields and their types: a line that was written under another one is of another version, and to be ignored.
"""

from __future__ import annotations

import hashlib
import json
import sys
import typing
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin

import numpy as np

from autorag_whisper.align.words import TimedWord
from autorag_whisper.domain.audio import Samples, SpeechChunk, SpeechSpan
from autorag_whisper.domain.errors import RequestError
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.domain.transcript import Attempt, Unspoken, Word, WordSource
from autorag_whisper.recognition.alignment import Aligned, LettersBy
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask, EngineTime, Rejection, WordsIn
from autorag_whisper.recognition.language import Piece
from autorag_whisper.recognition.language_changes import Stretch
from autorag_whisper.transcriber.checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

# Most of them are imported for type checkers alone where they are used.
_KNOWN = {
    known.__name__: known
    for known in (
        TimedWord, SpeechChunk, SpeechSpan, Attempt, Unspoken, Word, WordSource, Aligned, LettersBy, ChunkResult,
        ChunkTask, EngineTime, Rejection, Checkpoint, Piece, Stretch, WordsIn,
    )
} | {"Samples": Samples, "TranscribeOptions": TranscribeOptions}  # fmt: skip
_OF_THE_RUN: dict[Any, Callable[[], Any]] = {
    Samples: lambda: np.zeros(0, np.float32),
    TranscribeOptions: TranscribeOptions,
}
"""What whoever takes a line up has already: the audio, and the options of its file."""


def dumps(checkpoint: Checkpoint) -> str:
    """One line, without its end."""
    return json.dumps(_plain(checkpoint, Checkpoint), separators=(",", ":"))


def loads(line: str | bytes) -> Checkpoint:
    """The chunk of a line. Raises ValueError for whatever else it is."""
    try:
        found = _built(json.loads(line), Checkpoint)
    except (ValueError, TypeError, ArithmeticError, RecursionError, RequestError) as error:
        raise ValueError("not a finished chunk") from error
    assert isinstance(found, Checkpoint)
    return found


def _hints(kind: type) -> list[tuple[str, Any]]:
    """Fields of a dataclass with their types."""
    found = typing.get_type_hints(kind, vars(sys.modules[kind.__module__]), _KNOWN)
    return [(item.name, found[item.name]) for item in fields(kind)]


def _plain(value: Any, hint: Any) -> Any:
    if value is None:
        return None
    hint = _inner(hint)
    if get_origin(hint) is tuple:
        return [_plain(item, get_args(hint)[0]) for item in value]
    if hint in _OF_THE_RUN:
        return None
    if is_dataclass(hint):
        return [_plain(getattr(value, name), inner) for name, inner in _HINTS[hint]]
    if isinstance(value, Enum):
        return value.value
    return hint(value)  # a number of NumPy's becomes Python's


def _built(value: Any, hint: Any) -> Any:
    if hint in _OF_THE_RUN:
        return _OF_THE_RUN[hint]()
    if value is None:
        if _inner(hint) is hint:
            raise ValueError("null is not allowed here")
        return None
    hint = _inner(hint)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError("not a list")
        return tuple(_built(item, get_args(hint)[0]) for item in value)
    if isinstance(hint, type) and is_dataclass(hint):
        inner = _HINTS[hint]
        if not isinstance(value, list) or len(value) != len(inner):
            raise ValueError(f"not a {hint.__name__}")
        return hint(*(_built(item, kind) for item, (_, kind) in zip(value, inner, strict=True)))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if type(value) is not hint and not (hint is float and type(value) is int):
        raise ValueError(f"not a {hint.__name__}")
    return hint(value)


def _inner(hint: Any) -> Any:
    """`X` of `X | None`."""
    if get_origin(hint) not in (UnionType, typing.Union):
        return hint
    [inner] = [kind for kind in get_args(hint) if kind is not NoneType]
    return inner


def _schema(kind: type, seen: dict[type, list[tuple[str, Any]]]) -> None:
    """Collect the fields of `kind` and of all that it is made of."""
    if kind in seen:
        return
    seen[kind] = _hints(kind)
    for _, hint in seen[kind]:
        inner = _inner(hint)
        inner = get_args(inner)[0] if get_origin(inner) is tuple else inner
        if is_dataclass(inner) and inner not in _OF_THE_RUN:
            _schema(typing.cast("type", inner), seen)


_HINTS: dict[Any, list[tuple[str, Any]]] = {}
_schema(Checkpoint, _HINTS)
SCHEMA = hashlib.sha256(
    repr([(kind.__name__, [(name, str(hint)) for name, hint in found]) for kind, found in _HINTS.items()]).encode()
).hexdigest()[:16]
