"""An engine without mel windows, prompts or decoding steps: it counts beeps in the samples themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.device import CPU, Device
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.base import RecognizerSpec
from autorag_whisper.engines.text_engine import Said, SaidWord
from autorag_whisper.testing.engine import FakeEngine
from autorag_whisper.testing.whisper import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.testing.engine import Faults

_LOUD = 0.05
_SMOOTH = 400


class FakeTextEngine(FakeEngine[RecognizerSpec]):
    """Every beep is a word: "one", "two", ... (`says` decides otherwise), with its time if it `times_words`.

    `heard` has the language of every call and its number of clips.
    """

    def __init__(
        self,
        *,
        device: Device = CPU,
        workers: int = 2,
        languages: tuple[str, ...] = ("en",),
        times_words: bool = True,
        says: Callable[[Samples], Said] | None = None,
        faults: Faults | None = None,
    ) -> None:
        spec = RecognizerSpec(
            model="fake-text",
            device=device,
            compute_type="float32",
            workers=workers,
            batch_size=4,
            languages=frozenset(languages),
        )
        super().__init__(spec, faults)
        self._times_words, self._says = times_words, says or self._count
        self.heard: list[tuple[int, str]] = []

    def transcribe(self, clips: Sequence[Samples], language: str) -> list[Said]:
        if not clips or language not in self._spec.languages:
            raise EngineError("fake", "arguments", "it wants clips, and a language that it knows")
        self.faults.rows = len(clips)
        with self._call("transcribe"):
            self.faults.batches.append(len(clips))
            self.heard.append((len(clips), language))
            return [self._says(clip) for clip in clips]

    def _count(self, clip: Samples) -> Said:
        loudness = np.convolve(np.abs(clip), np.ones(_SMOOTH) / _SMOOTH, mode="same") if len(clip) else clip
        edges = np.flatnonzero(np.diff(np.concatenate(([False], loudness > _LOUD, [False])))) / SAMPLE_RATE_HZ
        words = tuple(
            SaidWord(NUMBERS[n % len(NUMBERS)], WordTime(float(start), float(stop), WordSource.TOKENS), 0.9)
            for n, (start, stop) in enumerate(edges.reshape(-1, 2))
        )
        return Said(" ".join(word.text for word in words), words if self._times_words else ())
