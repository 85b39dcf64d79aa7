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

from autorag_whisper.align.hidden_edges import with_hidden_edges
from autorag_whisper.align.letter_edges import sharpened
from autorag_whisper.align.letter_path import likeliest_readings, words_by_letters
from autorag_whisper.align.letter_repeats import likeliest_without
from autorag_whisper.align.onset_spelling import with_onsets
from autorag_whisper.align.pauses import SoundLevel
from autorag_whisper.align.reverberation import as_said, delay_s
from autorag_whisper.align.text_normalization import readings
from autorag_whisper.align.unspoken import unspoken
from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.audio import seconds
from autorag_whisper.domain.transcript import Unspoken, WordSource
from autorag_whisper.engines.base import ENCODER_FRAME_S
from autorag_whisper.recognition.loops import loops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.letter_path import LetterPath
    from autorag_whisper.align.letter_text import Readings
    from autorag_whisper.align.letters import LetterHearing
    from autorag_whisper.domain.audio import SpeechChunk


_MOST_LOOPS = 32
"""How many repetitions of a text are judged, the longest: a text of more is other rules' (`unsaid`)."""


@dataclass(frozen=True, slots=True)
class Heard:
    """When words are heard, on the file's timeline, with how well their letters are (0..1); and other speech.

    `kept`: which of the words that were asked for these are. The others say again what was said, and once too often.
    """

    kept: tuple[int, ...]
    times: tuple[WordTime, ...]
    unspoken: tuple[Unspoken, ...]


def heard_words(
    classifier: LetterHearing,
    output: NDArray[np.float32],
    chunk: SpeechChunk,
    words: Sequence[str],
    language: str,
    *,
    all_said: bool = False,
) -> Heard | None:
    """Where `words`, all that is said in `chunk`, are heard; None where the classifier does not know their script.

    `output`: float32[frames, width], the encoder's of the frames that are audio. `all_said`: no word is left out, also
    where a repetition is not heard. Raises ValueError where `output` is of another width than the classifier was
    trained on, or has values that are no numbers.
    """
    heard = classifier.log_probabilities(output)
    level = SoundLevel.of(chunk.samples)
    quiet = level.quiet_frames(len(output))
    ways = with_onsets(readings(words, language), language)
    hearing = _Hearing(heard, classifier, quiet)
    path = hearing.path(ways)
    if path is None:
        return None
    if not np.isfinite(heard).all() or not np.isfinite(path.likelihood):
        message = "the encoder's output has values that are no numbers"
        raise ValueError(message)
    path, kept = (path, list(range(len(words)))) if all_said else hearing.as_often_as_said(path, words, ways)
    start_s = chunk.start_s
    speech = [(seconds(span.start) - start_s, seconds(span.stop) - start_s) for span in chunk.speech]
    foreign = [(first * ENCODER_FRAME_S, stop * ENCODER_FRAME_S) for first, stop in path.foreign]
    silences = with_hidden_edges(level.silences(speech), level)
    spans = sharpened(path.spans * ENCODER_FRAME_S, silences, foreign)
    late_s = delay_s(chunk.samples)
    return Heard(
        tuple(kept),
        tuple(
            WordTime(start_s + float(begin), start_s + float(end), WordSource.CHARACTERS, score)
            for (begin, end), score in zip(as_said(spans, silences, late_s), path.scores, strict=True)
        ),
        tuple(
            Unspoken(start_s + begin, start_s + end - late_s)  # it may end where the next word begins
            for begin, end in unspoken(path, heard, quiet, (spans, speech), ENCODER_FRAME_S)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Hearing:
    """What is heard in a chunk, and by whom."""

    heard: NDArray[np.float32]
    classifier: LetterHearing
    quiet: NDArray[np.float32]

    def path(self, ways: Sequence[Readings]) -> LetterPath | None:
        return words_by_letters(self.heard, self.classifier, ways, self.quiet)

    def as_often_as_said(
        self, path: LetterPath, words: Sequence[str], ways: Sequence[Readings]
    ) -> tuple[LetterPath, list[int]]:
        """The path of the words without repetitions that are not heard, and which words these are.

        A decoder that does not notice the end of the sound writes its last sentence once more. Both texts go through
        the same frames, and the likelier one was said: without a repetition that was said its sound would be no
        word's. Words that come together where others are taken out may be a repetition again.
        """
        kept = list(range(len(words)))
        while True:
            runs = _may_be_too_many([words[word] for word in kept])
            if not runs:
                return path, kept
            chosen = likeliest_readings(path, self.heard, self.classifier, [ways[word] for word in kept], self.quiet)
            unheard = likeliest_without(self.heard, self.classifier, chosen, self.quiet, runs)
            left = [word for n, word in enumerate(kept) if not any(first <= n < stop for first, stop in unheard)]
            found = self.path([ways[word] for word in left]) if unheard else None
            if found is None or found.likelihood <= path.likelihood:
                return path, kept
            path, kept = found, left


def _may_be_too_many(words: Sequence[str]) -> list[tuple[int, int]]:
    """Runs of words that only say again what was said: of each repetition the last saying, the last two, and so on."""
    spelled = [re.sub(r"\W", "", word.lower()) or word for word in words]
    longest = sorted(loops(spelled), key=lambda loop: loop.start - loop.stop)[:_MOST_LOOPS]
    return [(loop.stop - sayings * loop.period, loop.stop) for loop in longest for sayings in range(1, int(loop.times))]
