"""A recording that another process, or another machine, has decoded: all that a decoder tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

import numpy as np

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, MediaDamage
from autorag_whisper.domain.errors import MediaTooLong
from autorag_whisper.isolation.messages import End, Info, end_json, end_of, info_json, info_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.domain.audio import MediaInfo, Samples
    from autorag_whisper.domain.notes import Note
    from autorag_whisper.isolation.decoder import Decoder

_BLOCK = 2 * SAMPLE_RATE_HZ


@runtime_checkable
class Elsewhere(Protocol):
    """A recording that is decoded elsewhere, as `MediaSource.held`; the media themselves can be opened as well."""

    def open(self, name: str) -> BinaryIO:
        """The media, as `Held` says."""
        ...

    def decoded(self) -> Decoded | None:
        """What was decoded, once it is there; None where it is to be decoded here. Never raises."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """`samples`: float32, 16 kHz mono; `info` and `end`: as `isolation.messages` has them."""

    info: bytes
    samples: Samples
    end: bytes

    def decoder(self, name: str, max_duration_s: float | None = None) -> DecodedReader:
        """As if it were decoded here. Raises ValueError for what is no result of a decoder."""
        info, end = info_of(self.info), end_of(self.end)
        return DecodedReader(name, info, self.samples, end, max_duration_s)


def all_of(decoder: Decoder, most_s: float) -> Decoded | None:
    """All that a decoder gives; None where it is more than `most_s` of audio. Raises what the decoder raises."""
    blocks: list[Samples] = []
    count = 0
    for block in decoder:
        count += len(block)
        if count > most_s * SAMPLE_RATE_HZ:
            return None
        blocks.append(block)
    info = info_json(Info(decoder.info, decoder.expected_duration_s))
    return Decoded(info, np.concatenate(blocks), end_json(End(decoder.damage, decoder.notes)))


class DecodedReader:
    """A `Decoder` of what is there already. Iterate it once."""

    def __init__(self, name: str, info: Info, samples: Samples, end: End, max_duration_s: float | None) -> None:
        self._name, self._info, self._samples, self._end = name, info, samples, end
        self._max_duration_s, self._given = max_duration_s, 0

    @property
    def info(self) -> MediaInfo:
        """What the container says of itself."""
        return self._info.media

    @property
    def expected_duration_s(self) -> float | None:
        """Seconds by the header, for display only."""
        return self._info.expected_duration_s

    @property
    def samples_out(self) -> int:
        """Samples given so far."""
        return self._given

    @property
    def damage(self) -> MediaDamage:
        """What was lost."""
        return self._end.damage

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the reader of the result should know."""
        return self._end.notes

    def __iter__(self) -> Iterator[Samples]:
        """Blocks of at most 2 s. Raises MediaTooLong."""
        for start in range(0, len(self._samples), _BLOCK):
            block = self._samples[start : start + _BLOCK]
            self._given += len(block)
            if self._max_duration_s is not None and self._given > self._max_duration_s * SAMPLE_RATE_HZ:
                raise MediaTooLong(self._name, self._max_duration_s)
            yield block

    def close(self) -> None:
        """Nothing is held open."""
