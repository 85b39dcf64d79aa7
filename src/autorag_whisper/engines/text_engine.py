"""What an engine promises that goes from sound to text in one call: no mel windows, no prompts, no decoding steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from autorag_whisper.engines.base import LoadedEngine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.align.word_time import WordTime
    from autorag_whisper.domain.audio import Samples


@dataclass(frozen=True, slots=True)
class SaidWord:
    """A word of a text without outer whitespace, when it is heard in its clip, and its probability (0..1)."""

    text: str
    time: WordTime
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Said:
    """The text of one clip.

    `words`: all of it, in order, with their times; () where the engine tells none. `avg_logprob`: the mean of its
    tokens' log-probabilities; `no_speech_prob`: how likely nobody speaks (0..1). None where the engine does not tell.
    """

    text: str
    words: tuple[SaidWord, ...] = ()
    avg_logprob: float | None = None
    no_speech_prob: float | None = None


@runtime_checkable
class TextEngine(LoadedEngine, Protocol):
    """A loaded model that writes down what is said in clips of sound, on one device.

    Calls beyond `spec.workers` wait. Arguments are never changed or kept. A clip's text does not depend on the clips
    that it came with.
    """

    def transcribe(self, clips: Sequence[Samples], language: str) -> list[Said]:
        """The texts of clips, one at least, in `language`, one of `spec.languages`. None is over 30 s long."""
        ...
