"""What the decoding of one recording may cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autorag_whisper.domain.errors import InvalidOption


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """Counted while decoding; no header is believed. How much audio there may be is `TranscribeOptions.max_duration_s`.

    Attributes:
        channels: of the audio stream.
        samples: decoded samples of all channels together, before they are mixed and resampled.
        memory_mb: MiB of address space for the recording, beside what the decoder's process has anyway.
        cpu_s: processor seconds in all. Until they are reached it is `FIRST_CPU_S` and a tenth of the seconds of audio
            that came out: what gives no audio is ended early.
        stall_s: seconds in which nothing comes.

    Raises InvalidOption for a number that is not above 0.
    """

    channels: int = 64
    samples: int = 20_000_000_000
    memory_mb: int = 1024
    cpu_s: float = 1800.0
    stall_s: float = 120.0

    def __post_init__(self) -> None:
        for name in ("channels", "samples", "memory_mb", "cpu_s", "stall_s"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise InvalidOption(f"decoding limit {name}", value, "a number above 0")


FIRST_CPU_S = 30.0
"""Processor seconds that a recording has before any of its audio came out."""
CPU_PER_AUDIO = 0.1
"""Processor seconds that it has for each second of audio that came out."""
