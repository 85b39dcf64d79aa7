"""An engine with rules of its own, without a model: a pipeline that counts beeps, and an aligner that finds them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.word_time import WordTime
from autorag_whisper.audio.features import log_mel
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.device import CPU, Device
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.base import DECODING_OPTIONS, WINDOW_FRAMES, Decoding, Encoded, Hypothesis, Wording
from autorag_whisper.testing.movable import Movable
from autorag_whisper.testing.whisper import FakeWhisper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.testing.engine import Faults

_OPTIONS = frozenset(DECODING_OPTIONS) - {"prefix", "max_new_tokens"}
_FULL = WINDOW_FRAMES * SAMPLE_RATE_HZ // 100
_LOUD = 0.05
_SMOOTH = 400


class FakeWhisperPipeline(FakeWhisper):
    """As `FakeWhisper`, from samples. `heard` has the wording of every call and its number of clips."""

    def __init__(self, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]  # whatever the other takes
        self._spec = replace(self._spec, strict_window=True, redoes=False, hears_borders=False, options=_OPTIONS)
        self.heard: list[tuple[int, Wording]] = []

    def recognise(self, clips: Sequence[Samples], wording: Wording) -> tuple[Encoded, list[Hypothesis]]:
        self.heard.append((len(clips), wording))
        features = np.zeros((len(clips), self.spec.n_mels, WINDOW_FRAMES), np.float32)
        for row, clip in enumerate(clips):
            mel = log_mel(clip[:_FULL], self.spec.n_mels)
            features[row, :, : mel.shape[1]] = mel[:, :WINDOW_FRAMES]
        encoded = self.encode(features)
        prompt = self.tokenizer.prompt(wording.language, wording.task, wording.previous, wording.hotwords)
        return encoded, self.generate(encoded, [prompt] * len(clips), Decoding(wording.beam_size))


class FakeWordAligner(Movable):
    """The n-th word is the n-th beep of its clip; a word with a digit in it, or without a beep, cannot be placed."""

    def __init__(self, *, device: Device = CPU, faults: Faults | None = None) -> None:
        super().__init__(device, faults)

    def align_words(self, clip: Samples, words: Sequence[str]) -> list[WordTime | None]:
        self._call("align", computes=True)
        loudness = np.convolve(np.abs(clip), np.ones(_SMOOTH) / _SMOOTH, mode="same") if len(clip) else clip
        edges = np.flatnonzero(np.diff(np.concatenate(([False], loudness > _LOUD, [False])))) / SAMPLE_RATE_HZ
        beeps = [WordTime(float(start), float(stop), WordSource.CTC, 0.9) for start, stop in edges.reshape(-1, 2)]
        return [
            beeps[n] if n < len(beeps) and not any(letter.isdigit() for letter in word) else None
            for n, word in enumerate(words)
        ]
