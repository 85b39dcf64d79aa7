"""What the fields of a header say of the samples behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from autorag_whisper.audio.overlay import Overlay

MAX_CHUNKS = 1_000
INTEGER_WIDTHS, FLOAT_WIDTHS = (1, 2, 3, 4, 8), (4, 8)


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """How samples are stored: `width` bytes each, `channels` of them in a frame."""

    channels: int
    width: int
    is_float: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.channels * self.width

    def __str__(self) -> str:
        return f"{self.width * 8}-bit {'float' if self.is_float else 'integer'} samples"


@dataclass(frozen=True, slots=True)
class Claims:
    """The `candidates` for the format, what most fields say first, and where the samples lie.

    `valid_bits`: how many bits of each integer sample are used; None where nothing says fewer than all. `disagreement`
    puts in words what does not fit together, "" where all does. `data_end`: where the samples end, at most the file's
    end.
    """

    candidates: tuple[PcmFormat, ...]
    valid_bits: int | None
    is_big_endian: bool
    is_8_bit_signed: bool
    data_at: int
    data_end: int
    disagreement: str = ""
    rate_hz: int = 1

    def between(self, data_at: int, data_end: int) -> Claims:
        """The same of other bytes."""
        return replace(self, data_at=data_at, data_end=data_end)


@dataclass(frozen=True, slots=True)
class Header:
    """A header that was understood. `patches` holds the bytes to replace whatever the samples say (lengths that were
    never filled in); `write` gives those that make it say a format. `claims` is None where the sound is compressed.

    `extend` gives the patches that make the samples end at a position, for formats where the end can be wrong.
    `notes` say what disagrees and is no matter of the samples.
    """

    patches: Mapping[int, bytes]
    claims: Claims | None = None
    write: Callable[[PcmFormat], Mapping[int, bytes]] | None = None
    extend: Callable[[int], Mapping[int, bytes]] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file: its `name`, where its content begins, and how long it says to be."""

    name: bytes
    at: int
    size: int


def chunks(view: Overlay, at: int, end: int, read: Callable[[bytes], tuple[Chunk, int]]) -> Iterator[Chunk]:
    """The chunks from `at` on. `read` takes the 24 bytes at a chunk's start and says its chunk, placed from 0, and the
    length of all of it."""
    for _ in range(MAX_CHUNKS):
        head = view.read_at(at, 24)
        if len(head) < 8:
            return
        chunk, length = read(head)
        yield Chunk(chunk.name, at + chunk.at, chunk.size)
        at += max(8, length)
        if at >= end:
            return


def formats(widths: list[int | None], channels: int, *, is_float: bool) -> list[PcmFormat]:
    """A candidate for each of `widths` that samples can have, the most named first."""
    allowed = FLOAT_WIDTHS if is_float else INTEGER_WIDTHS
    named = [width for width in widths if width in allowed]
    ordered = sorted(dict.fromkeys(named), key=lambda width: (-named.count(width), named.index(width)))
    return [PcmFormat(channels, width, is_float) for width in ordered if width is not None]
