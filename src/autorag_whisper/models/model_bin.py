"""`model.bin`, the engine's file of weights, read and written piece by piece. Its format stands in `models.check`."""

from __future__ import annotations

import mmap
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

EMBEDDINGS = "decoder/embeddings/"


class Kind(IntEnum):
    """The type ids that this package knows of."""

    FLOAT32 = 0
    INT8 = 1
    FLOAT16 = 4


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
    def decoder(self) -> tuple[int, int]:
        """Layers of the decoder, and the width of them. Raises KeyError where it has no embeddings."""
        shapes = {variable.name: variable.shape for variable in self.variables}
        layers = {name.split("/")[1] for name in shapes if name.startswith("decoder/layer_") and name.count("/") > 2}
        return len(layers), shapes[f"{EMBEDDINGS}weight"][1]


@contextmanager
def opened(path: Path) -> Iterator[tuple[Weights, mmap.mmap]]:
    """The file's contents, and its bytes. Raises OSError, ValueError where it is cut off or something else."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield _Reader(data).weights(), data


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
    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def weights(self) -> Weights:
        version, spec, revision = self._number("I"), self._name(), self._number("I")
        variables = tuple(self._variable() for _ in range(self._number("I")))
        aliases = tuple((self._name(), self._name()) for _ in range(self._number("I")))
        return Weights(version, spec, revision, variables, aliases)

    def _variable(self) -> Variable:
        name, rank = self._name(), self._number("B")
        shape = tuple(self._number("I") for _ in range(rank))
        kind, size = self._number("B"), self._number("I")
        at, self._at = self._at, self._at + size
        return Variable(name, shape, kind, at, size)

    def _name(self) -> str:
        size = self._number("H")
        at, self._at = self._at, self._at + size
        return self._data[at : self._at].removesuffix(b"\0").decode("ascii")

    def _number(self, kind: str) -> int:
        try:
            (value,) = struct.unpack_from(f"<{kind}", self._data, self._at)
        except struct.error:
            raise ValueError("model.bin is cut off") from None
        self._at += struct.calcsize(f"<{kind}")
        return int(value)
