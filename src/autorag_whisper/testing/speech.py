"""Beeps that stand for words, and a voice activity that hears them."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, Samples

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_WINDOW = 512
_LOUD = 0.05
_WORD_S, _PAUSE_S = 0.4, 0.4


def speech_samples(words: int, *, lead_s: float = 0.5, tail_s: float = 0.5, pitch_hz: float = 440.0) -> Samples:
    """float32[n]: `words` beeps of 0.4 s with 0.4 s between them, between silences."""
    at = np.arange(round(_WORD_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    beep = 0.5 * np.sin(2 * np.pi * pitch_hz * at)
    pause = np.zeros(round(_PAUSE_S * SAMPLE_RATE_HZ))
    word = np.concatenate((beep, pause))
    edges = (np.zeros(round(lead_s * SAMPLE_RATE_HZ)), np.zeros(round(tail_s * SAMPLE_RATE_HZ)))
    return np.concatenate((edges[0], *[word] * words, edges[1])).astype(np.float32)


def write_speech(path: Path, samples: Samples) -> Path:
    """`samples` as a WAV file of 16 bits at `path`."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


class FakeVoiceActivity:
    """Speech is what is loud."""

    def stream(self) -> FakeVoiceStream:
        return FakeVoiceStream()


class FakeVoiceStream:
    """One file's loudness."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> NDArray[np.float32]:
        held = np.concatenate((self._rest, samples))
        count = len(held) // _WINDOW
        self._rest = held[count * _WINDOW :]
        loud = np.abs(held[: count * _WINDOW].reshape(count, _WINDOW)).max(axis=1, initial=0.0) > _LOUD
        return np.asarray(loud, dtype=np.float32)

    def finish(self) -> NDArray[np.float32]:
        left = len(self._rest)
        return self.push(np.zeros(_WINDOW - left, np.float32)) if left else np.zeros(0, np.float32)
