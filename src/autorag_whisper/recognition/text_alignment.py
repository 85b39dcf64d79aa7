"""The words of texts that came without tokens, with their times, and the aligner fallback for them.

```
ctc, if asked for -> tokens (the times that the engine told with its text) -> interpolated
```
"""

from __future__ import annotations

import itertools
import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autorag_whisper.align.gaps import filled
from autorag_whisper.align.tokens import split_words
from autorag_whisper.align.word_time import WordTime
from autorag_whisper.align.words import words_interpolated, words_timed
from autorag_whisper.domain.request import Aligner
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.recognition.aligned import Aligned
from autorag_whisper.recognition.aligner_fallback import goes_down, told
from autorag_whisper.recognition.alignment import is_lost, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.align.tokens import Decode, WordTokens
    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.device import Device
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import Hypothesis
    from autorag_whisper.engines.text_engine import SaidWord
    from autorag_whisper.recognition.ctc_alignment import CtcAligner

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A chunk's text, not empty, in pieces as tokens; `words` with times, if the engine told any."""

    chunk: SpeechChunk
    language: str
    hypothesis: Hypothesis
    words: tuple[SaidWord, ...] = ()


class TextAlignment:
    """Times words of texts that an engine on `device` gave, whose tokens `decode` spells. It keeps nothing."""

    def __init__(self, device: Device, decode: Decode, options: TranscribeOptions, ctc: CtcAligner | None) -> None:
        self._device, self._decode, self._asked, self._ctc = device, decode, options.aligner, ctc

    def align(self, spoken: Sequence[SpokenText]) -> list[Aligned]:
        """The words of every text, never fewer. Of a card a DeviceError is raised, and Cancelled; else nothing is."""
        found = [self._by_its_times(one) for one in spoken]
        if self._asked is Aligner.CTC and self._ctc is not None:
            for language in dict.fromkeys(one.language for one in spoken):
                places = [n for n, one in enumerate(spoken) if one.language == language]
                timed = self._ctc.times(language, [(spoken[n].chunk, found[n].texts) for n in places])
                for n, times in zip(places, timed, strict=True):
                    if not isinstance(times, Exception):
                        found[n] = self._by_ctc(spoken[n], found[n], times)
        return [replace(one, words=tuple(replace(word, token_ids=()) for word in one.words)) for one in found]

    def _wanted(self, one: SpokenText) -> WordSource:
        if self._asked is Aligner.AUTO:
            return WordSource.TOKENS if one.words else WordSource.INTERPOLATED
        return WordSource.INTERPOLATED if self._asked is Aligner.NONE else WordSource(self._asked.value)

    def _by_its_times(self, one: SpokenText) -> Aligned:
        if one.words and self._asked is not Aligner.NONE:
            try:
                return self._timed(one, *self._own_times(one), WordSource.TOKENS)
            except ValueError as error:
                _log.warning("the times of an engine's words do not fit its text, they are spread: %s", told(error))
        probability = math.exp(one.hypothesis.avg_logprob)
        words = words_interpolated(
            one.hypothesis.token_ids, self._decode, one.language, probability, place_of(one.chunk)
        )
        return Aligned(tuple(words), self._wanted(one), WordSource.INTERPOLATED)

    def _by_ctc(self, one: SpokenText, before: Aligned, times: Sequence[WordTime]) -> Aligned:
        if is_lost(before, times):
            return before
        probabilities = [timed.word.probability for timed in before.words]
        return self._tried(lambda: self._timed(one, times, probabilities, WordSource.CTC)) or before

    def _timed(
        self, one: SpokenText, times: Sequence[WordTime], probabilities: Sequence[float], source: WordSource
    ) -> Aligned:
        words = words_timed(one.hypothesis.token_ids, self._groups(one), times, probabilities, place_of(one.chunk))
        return Aligned(tuple(words), self._wanted(one), source)

    def _tried(self, act: Callable[[], Aligned]) -> Aligned | None:
        try:
            return act()
        except Exception as error:
            if not goes_down(error, self._device):
                raise
            _log.warning("an aligner failed, the next one down serves: %s", told(error))
            return None

    def _groups(self, one: SpokenText) -> list[WordTokens]:
        return split_words(one.hypothesis.token_ids, self._decode, one.language)

    def _own_times(self, one: SpokenText) -> tuple[list[WordTime], list[float]]:
        """Times and probabilities of the words of a text, by those that its engine cut it into ("don", "'t").

        Raises ValueError where a word of the engine's is not in the text behind the one before, or has no time.
        """
        pieces = [self._decode([token]) for token in one.hypothesis.token_ids]
        edges = list(itertools.accumulate(map(len, pieces), initial=0))
        places = _places("".join(pieces), one.words)
        times, probabilities, groups = list[WordTime | None](), list[float](), self._groups(one)
        for group in groups:
            begin, end = edges[group.first], edges[group.stop]
            own = [word for first, stop, word in places if first < end and begin < stop]
            known = [word.probability for word in own if math.isfinite(word.probability)]
            times.append(_around([word.time for word in own]))
            probabilities.append(sum(known) / len(known) if known else math.exp(one.hypothesis.avg_logprob))
        placed = filled(times, [len(group.text) for group in groups], one.chunk.duration_s)
        return [time.later(one.chunk.start_s) for time in placed], probabilities


def _around(times: Sequence[WordTime]) -> WordTime | None:
    """The time of a word that an engine has cut in pieces; None without any."""
    if not times:
        return None
    return WordTime(min(time.start_s for time in times), max(time.end_s for time in times), WordSource.TOKENS)


def _places(text: str, words: Sequence[SaidWord]) -> list[tuple[int, int, SaidWord]]:
    """Where in a text the words are: characters [first, stop). Of those behind its end (a loop was cut off) nothing."""
    at, found = 0, []
    for word in words:
        first = text.find(word.text, at)
        if first < 0 and not any(character.isalnum() for character in text[at:]):
            break
        if first < 0 or not word.text or not word.time.is_sound:
            message = "a word is not in the text, or has no time"
            raise ValueError(message)
        at = first + len(word.text)
        found.append((first, at, word))
    return found
