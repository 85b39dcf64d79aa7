"""The words of a text that is known, with their times in a recording: by any transcriber."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.clips import Clip
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.recognition.given_text import MOST_S, check_length

if TYPE_CHECKING:
    from autorag_whisper.audio.source import Media
    from autorag_whisper.domain.transcript import Word
    from autorag_whisper.transcriber.protocol import Model, TranscriberProtocol


@dataclass(frozen=True, slots=True)
class GivenText:
    """All that is said from `start_s` to `end_s` (None: the recording's end), `MOST_S` seconds at most.

    `language`: of the text; None is that of a model with one language. Raises InvalidOption (no word, a span that is
    empty or too long, an unknown language) and TextTooLong, where nobody can say so much in it.
    """

    text: str
    start_s: float = 0.0
    end_s: float | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        clip = self._clip
        if math.isfinite(clip.end_s) and clip.end_s - clip.start_s > MOST_S:
            raise InvalidOption("span", f"{clip.end_s - clip.start_s:.1f} s", f"{MOST_S:g} s at most")
        check_length(self.text, min(MOST_S, clip.end_s - clip.start_s))

    @property
    def _clip(self) -> Clip:
        return Clip(self.start_s, math.inf if self.end_s is None else self.end_s)

    @property
    def options(self) -> TranscribeOptions:
        """What a transcriber is asked for."""
        clips = () if self._clip == Clip(0.0) else (self._clip,)
        return TranscribeOptions(language=self.language or None, vad=False, clips=clips, given_text=self.text)


def aligned_words(
    transcriber: TranscriberProtocol, media: Media, given: GivenText, *, model: Model = "base", priority: int = 0
) -> tuple[Word, ...]:
    """The words of a text with their times: none is added or left out, nothing is recognised.

    Those that no aligner can find are spread, with the source INTERPOLATED. Raises what
    `TranscriberProtocol.transcribe` raises, and InvalidOption where the model has several languages and none is given.
    """
    return transcriber.transcribe(media, given.options, model=model, priority=priority).words
