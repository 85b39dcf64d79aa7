"""The words of a chunk where a classifier hears their letters in the encoder's output: no pass of the decoder.

And whether a text that says the same twice was said twice. Both texts go through the same frames:

```
heard                    . . m a r y . . . .          as likely as it is
"Mary."                      [ mary )
"Mary. Mary."                [ mary )                 less so by each letter that is missing, so it was said once
```
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.letter_edges import sharpened
from autorag_whisper.align.letter_path import words_by_letters
from autorag_whisper.align.onset_spelling import with_onsets
from autorag_whisper.align.pauses import SoundLevel
from autorag_whisper.align.text_normalization import readings
from autorag_whisper.align.unspoken import unspoken
from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.audio import seconds
from autorag_whisper.domain.transcript import Unspoken, WordSource
from autorag_whisper.engines.base import ENCODER_FRAME_S
from autorag_whisper.recognition.loops import loops

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.letter_path import LetterPath
    from autorag_whisper.align.letter_text import Readings
    from autorag_whisper.align.letters import LetterClassifier
    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.recognition.loops import Loop


_MOST_PATHS = 24
"""How many texts are compared at most: a loop of hundreds of sayings is other rules' (`unsaid`)."""


@dataclass(frozen=True, slots=True)
class Heard:
    """When words are heard, on the file's timeline, with how well their letters are (0..1); and other speech.

    `kept`: which of the words that were asked for these are. The others say again what was said, and once too often.
    """

    kept: tuple[int, ...]
    times: tuple[WordTime, ...]
    unspoken: tuple[Unspoken, ...]


def heard_words(
    classifier: LetterClassifier, output: NDArray[np.float32], chunk: SpeechChunk, words: Sequence[str], language: str
) -> Heard | None:
    """Where `words`, all that is said in `chunk`, are heard; None where the classifier does not know their script.

    `output`: float32[frames, width], the encoder's of the frames that are audio. Raises ValueError where it is of
    another width than the classifier was trained on, or no numbers.
    """
    heard = classifier.log_probabilities(output)
    level = SoundLevel.of(chunk.samples)
    quiet = level.quiet_frames(len(output))
    ways = with_onsets(readings(words, language), language)
    path = words_by_letters(heard, classifier, ways, quiet)
    if path is None:
        return None
    if not np.isfinite(path.likelihood):
        message = "the encoder's output has values that are no numbers"
        raise ValueError(message)
    path, kept = _as_often_as_said(path, words, lambda some: words_by_letters(heard, classifier, some, quiet), ways)
    start_s = chunk.start_s
    speech = [(seconds(span.start) - start_s, seconds(span.stop) - start_s) for span in chunk.speech]
    foreign = [(first * ENCODER_FRAME_S, stop * ENCODER_FRAME_S) for first, stop in path.foreign]
    spans = sharpened(path.spans * ENCODER_FRAME_S, level.silences(speech), foreign)
    return Heard(
        tuple(kept),
        tuple(
            WordTime(start_s + float(begin), start_s + float(end), WordSource.CHARACTERS, score)
            for (begin, end), score in zip(spans, path.scores, strict=True)
        ),
        tuple(
            Unspoken(start_s + begin, start_s + end)
            for begin, end in unspoken(path, heard, quiet, (spans, speech), ENCODER_FRAME_S)
        ),
    )


def _as_often_as_said(
    path: LetterPath,
    words: Sequence[str],
    follow: Callable[[Sequence[Readings]], LetterPath | None],
    ways: Sequence[Readings],
) -> tuple[LetterPath, list[int]]:
    """The path of the words without repetitions that are not heard, and which words these are.

    A decoder that does not notice the end of the sound writes its last sentence once more. Both texts go through the
    same frames, and the likelier one was said: without a repetition that was said its sound would be no word's.
    """
    search = _Search(path, list(range(len(words))), words, lambda some: follow([ways[n] for n in some]))
    while search.step():
        pass
    return search.path, search.kept


@dataclass(slots=True)
class _Search:
    """The likeliest path so far, of the words `kept`; `left` more may be followed."""

    path: LetterPath
    kept: list[int]
    words: Sequence[str]
    follow: Callable[[list[int]], LetterPath | None]
    left: int = _MOST_PATHS

    def step(self) -> bool:
        """Take out the sayings of one repetition without which the text is likeliest; whether that made it likelier."""
        before = self.kept
        spelled = [re.sub(r"\W", "", self.words[n].lower()) or self.words[n] for n in before]
        chosen: tuple[Loop, int] | None = None
        for loop in loops(spelled):
            for sayings in sorted({int(loop.times) // 2, 1}, reverse=True):
                if self._is_likelier(_without(before, loop, sayings)):
                    chosen = loop, sayings
        if chosen is None:
            return False
        loop, sayings = chosen
        step = sayings // 2  # half of them may have been too many, or too few
        while step:
            for other in (sayings - step, sayings + step):
                if 0 < other < loop.times and self._is_likelier(_without(before, loop, other)):
                    sayings = other
                    break
            step //= 2
        return True

    def _is_likelier(self, some: list[int]) -> bool:
        """Follow a text, unless enough were; where it is likelier than the best so far it takes its place."""
        self.left -= 1
        found = self.follow(some) if self.left >= 0 else None
        if found is None or found.likelihood <= self.path.likelihood:
            return False
        self.path, self.kept = found, some
        return True


def _without(kept: Sequence[int], loop: Loop, sayings: int) -> list[int]:
    """What is left of the words where the last so many sayings of a repetition are taken out."""
    first = loop.stop - sayings * loop.period
    return [word for n, word in enumerate(kept) if not first <= n < loop.stop]
