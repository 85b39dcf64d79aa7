"""`model.bin`, the engine's file of weights, read and written piece by piece.

Its format, little-endian, as CTranslate2's `Model::load` reads it:

    u32 version | name of the spec | u32 revision | u32 n, n variables | u32 m, m pairs of names (aliases)
    a variable: name | u8 rank | rank x u32 shape | u8 type | u32 bytes | the bytes
    a name:     u16 length | the characters and a closing NUL
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

EMBEDDINGS = "decoder/embeddings/"

_OLDEST_VERSION = 4  # the first with a type id per variable; what is older predates Whisper
_NEWEST_VERSION = 64  # today's is 6; far more is no version but the first bytes of something else
_MOST_VARIABLES = 100_000  # large-v3 has about 1,500


class BrokenFileError(ValueError):
    """What is wrong with the file: "is cut off in variable 3 of 5: ..."."""


class ForeignFileError(BrokenFileError):
    """It is none of the engine's files."""


class Kind(IntEnum):
    """The type ids that the engine writes."""

    FLOAT32 = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    FLOAT16 = 4
    BFLOAT16 = 5


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the file, and where its bytes lie in it. `kind` may be one that `Kind` does not have."""

    name: str
    shape: tuple[int, ...]
    kind: int
    at: int
    size: int


@dataclass(frozen=True, slots=True)
class Piecewise:
    """A variable to be written: `size` bytes, which come in pieces."""

    name: str
    shape: tuple[int, ...]
    kind: int
    size: int
    pieces: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Weights:
    """What the file holds. An alias is a name and the variable that it stands for."""

    version: int
    spec: str
    revision: int
    variables: tuple[Variable, ...]
    aliases: tuple[tuple[str, str], ...]

    @property
    def vocabulary(self) -> int:
        """Tokens that the decoder knows. Raises KeyError where it has no embeddings."""
        return self._embeddings[0]

    @property
    def decoder_width(self) -> int:
        """Raises KeyError where the decoder has no embeddings."""
        return self._embeddings[1]

    @property
    def has_embeddings(self) -> bool:
        """Whether the decoder has a table of its tokens: rows of its width."""
        return any(v.name == f"{EMBEDDINGS}weight" and len(v.shape) == 2 for v in self.variables)

    @property
    def _embeddings(self) -> tuple[int, ...]:
        return {v.name: v.shape for v in self.variables if len(v.shape) == 2}[f"{EMBEDDINGS}weight"]

    def layers(self, part: str) -> int:
        """Of the `encoder` or the `decoder`."""
        matches = (re.match(rf"{part}/layer_(\d+)/", variable.name) for variable in self.variables)
        return len({match[1] for match in matches if match})


def read(file: BinaryIO) -> Weights:
    """What the file holds, from its names and sizes alone: milliseconds. Raises BrokenFileError, OSError."""
    reader = _Reader(file, os.fstat(file.fileno()).st_size)
    version = reader.number("I")
    if not _OLDEST_VERSION <= version <= _NEWEST_VERSION:
        raise ForeignFileError("is not a CTranslate2 model")
    spec, revision, count = reader.name(), reader.number("I"), reader.number("I")
    if count > _MOST_VARIABLES:
        raise BrokenFileError(f"is not a CTranslate2 model ({count:,} variables)")
    variables = []
    for index in range(count):
        reader.place = f"in variable {index + 1} of {count}"
        variables.append(reader.variable())
    reader.place = "in its table of aliases"
    aliases = tuple((reader.name(), reader.name()) for _ in range(reader.number("I")))
    return Weights(version, spec, revision, tuple(variables), aliases)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Weights, mmap.mmap]]:
    """The file's contents, and its bytes. Raises BrokenFileError, OSError."""
    with path.open("rb") as file:
        weights = read(file)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield weights, data


def write(target: BinaryIO, like: Weights, variables: Sequence[Piecewise], aliases: Sequence[tuple[str, str]]) -> None:
    """A file of these variables, with the version and the spec of another."""
    target.write(struct.pack("<I", like.version) + _named(like.spec))
    target.write(struct.pack("<II", like.revision, len(variables)))
    for variable in variables:
        rank = len(variable.shape)
        target.write(_named(variable.name))
        target.write(struct.pack(f"<B{rank}IBI", rank, *variable.shape, variable.kind, variable.size))
        for piece in variable.pieces:
            target.write(piece)
    target.write(struct.pack("<I", len(aliases)))
    for alias, name in aliases:
        target.write(_named(alias) + _named(name))


def _named(name: str) -> bytes:
    text = name.encode("ascii") + b"\0"
    return struct.pack("<H", len(text)) + text


class _Reader:
    """Reads numbers and names, and checks each length that the file states against the file's size before using it."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._at = 0
        self.place = "in its header"

    def variable(self) -> Variable:
        name, rank = self.name(), self.number("B")
        shape = struct.unpack(f"<{rank}I", self._take(4 * rank))
        kind, size = self.number("B"), self.number("I")
        at = self._at
        self._advance(size)
        self._file.seek(size, os.SEEK_CUR)
        return Variable(name, shape, kind, at, size)

    def number(self, code: str) -> int:
        (value,) = struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}")))
        return int(value)

    def name(self) -> str:
        text = self._take(self.number("H"))
        if not text.endswith(b"\0") or not text[:-1].isascii():
            raise BrokenFileError(f"is not a CTranslate2 model (no name {self.place})")
        return text[:-1].decode("ascii")

    def _take(self, count: int) -> bytes:
        self._advance(count)
        return self._file.read(count)

    def _advance(self, count: int) -> None:
        self._at += count
        if self._at > self._size:
            raise BrokenFileError(f"is cut off {self.place}: {self._size:,} bytes, at least {self._at:,} needed")
