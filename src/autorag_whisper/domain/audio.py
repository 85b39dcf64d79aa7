"""Audio as the engines see it: 16 kHz, mono, float32 in [-1, 1], on the file's own timeline."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from autorag_whisper.domain.errors import InvalidOption

SAMPLE_RATE_HZ = 16_000

VOICE_WINDOW = 512
"""Samples of a window of voice activity."""

Samples = NDArray[np.float32]
"""float32[n]: mono samples at `SAMPLE_RATE_HZ`, finite."""


def seconds(samples: int) -> float:
    """Samples at `SAMPLE_RATE_HZ` as seconds."""
    return samples / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One audio stream of a file as its container describes it. `number` counts audio streams from 0.

    `language` is the tag as it stands in the file, mostly ISO 639-2 (`eng`); `is_default`: players begin with it.
    """

    number: int
    codec: str = ""
    channels: int = 0
    language: str = ""
    title: str = ""
    is_default: bool = False

    def __str__(self) -> str:
        """`1 (eng, "Commentary")`: what a person needs to choose it."""
        said = [self.language] if self.language else []
        said += [f'"{self.title}"'] if self.title else []
        return f"{self.number} ({', '.join(said)})" if said else str(self.number)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a container says of itself. Nothing in here is trusted for lengths.

    `tracks` are all audio streams; `audio_stream` is the number of the one that was chosen.
    """

    container: str
    codec: str
    sample_rate_hz: int
    channels: int
    audio_stream: int
    audio_streams: int
    tracks: tuple[AudioTrack, ...] = ()


@dataclass(frozen=True, slots=True)
class MediaDamage:
    """What was lost on the way from the file to samples; all zero for a sound file.

    `gap_s` is silence put in for packets that are missing or damaged, so that later times stay true.
    `truncated` says that audio is missing at the end, by the length that the file's header states of this stream.
    """

    damaged_packets: int = 0
    gap_s: float = 0.0
    truncated: bool = False

    def __bool__(self) -> bool:
        return bool(self.damaged_packets or self.gap_s or self.truncated)


@dataclass(frozen=True, slots=True)
class SpeechSpan:
    """Half-open span of samples [start, stop) in which someone speaks.

    `sure` is False where voice activity was below its threshold and had a second look.
    """

    start: int
    stop: int
    sure: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise InvalidOption("speech span", (self.start, self.stop), "0 <= start < stop")

    @property
    def duration_s(self) -> float:
        return seconds(self.stop - self.start)


@dataclass(frozen=True, slots=True, eq=False)
class SpeechChunk:
    """One piece of the file for the recogniser: at most 30 s, cut in silence where there is one.

    `start` is the sample on the file's timeline at which `samples` begins, exact. `speech` are the spans of voice
    activity inside it, also on the file's timeline. `voice` (0..1) says how sure voice activity is at its best: the
    mean over the half second of speech in which it hears a voice most. `probabilities`: float32[n], how likely a voice
    is in each window of `VOICE_WINDOW` samples from `start`; empty where that is not known.
    """

    index: int
    start: int
    samples: Samples
    speech: tuple[SpeechSpan, ...]
    voice: float = 1.0
    probabilities: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def stop(self) -> int:
        return self.start + len(self.samples)

    @property
    def start_s(self) -> float:
        return seconds(self.start)

    @property
    def duration_s(self) -> float:
        return seconds(len(self.samples))
