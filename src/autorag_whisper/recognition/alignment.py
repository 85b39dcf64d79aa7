"""The words of recognised chunks with their times, and the aligner fallback: never fatal, never fewer words.

```
ctc, if asked for -> characters -> tokens (the engine aligns what it decoded) -> interpolated
                     |  a classifier hears the letters in the encoder's output (`letter_alignment`), without the decoder
                     |  the decoder spells the text: of models without a classifier, and where it knows no such letters
```
Each chunk takes these steps for itself, from whatever was raised (`aligner_fallback`). Where the engine did not tell
the tokens' probabilities when it decoded, a pass of the decoder tells them first: alone if a classifier is to time the
words, else with the tokens' times. With these the times by attention heads are compared where a head now and then loses
its place in a long text (`align.edges.steadied`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from autorag_whisper.align.characters import marks, scores, spell
from autorag_whisper.align.edges import steadied, word_spans
from autorag_whisper.align.hidden_edges import with_hidden_edges
from autorag_whisper.align.letter_text import knows_script
from autorag_whisper.align.pauses import SoundLevel
from autorag_whisper.align.text_normalization import spoken_words
from autorag_whisper.align.tokens import split_words
from autorag_whisper.align.word_time import WordTime
from autorag_whisper.align.words import Place, TimedWord, words_from_path, words_interpolated, words_timed
from autorag_whisper.audio.features import frame_count
from autorag_whisper.domain.audio import SpeechChunk, seconds
from autorag_whisper.domain.request import Aligner, Task
from autorag_whisper.domain.transcript import WordSource, join_words
from autorag_whisper.engines.base import ENCODER_FRAME_S, LEAST_FRAMES, WINDOW_FRAMES, Hypothesis, TokenTimes
from autorag_whisper.recognition.aligned import Aligned, LettersBy
from autorag_whisper.recognition.aligner_fallback import goes_down, told
from autorag_whisper.recognition.letter_alignment import heard_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.characters import Spelled
    from autorag_whisper.align.letters import LetterHearing
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import CharacterHeads, Encoded, WhisperModel
    from autorag_whisper.recognition.ctc_alignment import CtcAligner

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_LOST_S = 1.0
"""Between an aligner's word and its tokens, the median of a chunk: tokens themselves are off by a twentieth of that."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A chunk whose text is final and not empty. `row` is its row in the batch's encoder output."""

    row: int
    chunk: SpeechChunk
    language: str
    hypothesis: Hypothesis

    @property
    def place(self) -> Place:
        """Where it was said."""
        return place_of(self.chunk)

    @property
    def frames(self) -> int:
        """Mel frames that are audio."""
        return min(WINDOW_FRAMES, frame_count(len(self.chunk.samples)))


class Alignment:
    """Times words on one recogniser, under one set of options. Thread-safe: it keeps nothing."""

    def __init__(self, recognizer: WhisperModel, options: TranscribeOptions, ctc: CtcAligner | None = None) -> None:
        self._engine, self._options, self._ctc = recognizer, options, ctc

    @property
    def wanted(self) -> WordSource:
        """The way that is tried first: `auto` takes letters where the model has a classifier or heads for them."""
        asked, heads = self._options.aligner, self._engine.spec.characters
        can_spell = heads is not None or self._classifier is not None
        if asked is Aligner.AUTO:
            return WordSource.CHARACTERS if can_spell else WordSource.TOKENS
        return WordSource.INTERPOLATED if asked is Aligner.NONE else WordSource(asked.value)

    @property
    def _classifier(self) -> LetterHearing | None:
        """What hears the letters of the text. A translation has others than were spoken."""
        return None if self._options.task is Task.TRANSLATE else self._engine.spec.letters

    def align(self, encoded: Encoded, spoken: Sequence[Spoken]) -> list[Aligned]:
        """The words of every chunk, a batch for each language. Of a card a DeviceError is raised, and Cancelled; of
        whatever else goes wrong nothing is.

        `encoded`: the encoder output of the batch in which `spoken` have their rows.
        """
        done: dict[int, Aligned] = {}
        for language in dict.fromkeys(one.language for one in spoken):
            group = [one for one in spoken if one.language == language]
            done |= {one.row: aligned for one, aligned in zip(group, self._group(encoded, group), strict=True)}
        return [done[one.row] for one in spoken]

    def _group(self, encoded: Encoded, group: list[Spoken]) -> list[Aligned]:
        """Chunks of one language."""
        if self.wanted is WordSource.INTERPOLATED:
            return [self._interpolated(one) for one in group]
        group = self._with_probabilities(encoded, group)
        by_tokens = self.wanted is WordSource.TOKENS
        timed = [n for n, one in enumerate(group) if by_tokens or one.hypothesis.probabilities is None]
        aligned = [Aligned() if n in timed else self._untimed(one) for n, one in enumerate(group)]
        aligned = _with(aligned, timed, self._by_tokens(encoded, [group[n] for n in timed]))
        if self.wanted is WordSource.CTC:
            aligned = self._by_ctc(group, aligned)
        if self.wanted is not WordSource.TOKENS:
            aligned = self._by_attention(encoded, group, self._by_letters(encoded, group, aligned))
        elsewhere = [n for n, one in enumerate(aligned) if self._is_of_another_script(one)]
        aligned = self._by_tokens_if(encoded, group, aligned, lambda one: one.source is None)
        return [replace(one, wanted=WordSource.TOKENS) if n in elsewhere else one for n, one in enumerate(aligned)]

    def _with_probabilities(self, encoded: Encoded, group: list[Spoken]) -> list[Spoken]:
        """`group` with what the decoder says of the tokens, where it has not yet and the classifier is to time them."""
        asked = [n for n, one in enumerate(group) if one.hypothesis.probabilities is None and self._can_hear(one)]
        tokens = [group[n].hypothesis.token_ids for n in asked]
        found, told = self._times(encoded, [group[n] for n in asked], tokens, frames=LEAST_FRAMES), list(group)
        for n, times in zip(asked, found, strict=True):
            if times is not None:
                said = replace(group[n].hypothesis, probabilities=tuple(map(float, times.probabilities)))
                told[n] = replace(group[n], hypothesis=said)
        return told

    def _can_hear(self, one: Spoken) -> bool:
        """Whether the classifier is the first to be asked, and knows the script."""
        if self._classifier is None or self.wanted is not WordSource.CHARACTERS:
            return False
        return knows_script(self._engine.tokenizer.decode(one.hypothesis.token_ids), self._classifier.alphabet)

    def _is_of_another_script(self, one: Aligned) -> bool:
        """Whether its letters are none that the classifier knows, and nothing else was to find them: no fallback."""
        is_auto = self._options.aligner is Aligner.AUTO and self.wanted is WordSource.CHARACTERS
        return is_auto and self._engine.spec.characters is None and one.letters is None and not one.classifier_failed

    def _by_tokens_if(
        self, encoded: Encoded, group: list[Spoken], before: list[Aligned], needed: Callable[[Aligned], bool]
    ) -> list[Aligned]:
        places = [n for n, one in enumerate(before) if needed(one)]
        return _with(before, places, self._by_tokens(encoded, [group[n] for n in places]))

    def _by_ctc(self, group: list[Spoken], before: list[Aligned]) -> list[Aligned]:
        """Chunks timed by a model of their language; those for which that fails as they were before."""
        if self._ctc is None or self._options.task is Task.TRANSLATE:
            return before
        texts = [(one.chunk, known.texts) for one, known in zip(group, before, strict=True)]
        found = self._ctc.times(group[0].language, texts)
        return [
            known if isinstance(times, Exception) else self._tried(partial(self._ctc_words, one, known, times)) or known
            for one, known, times in zip(group, before, found, strict=True)
        ]

    def _tried(self, act: Callable[[], _T]) -> _T | None:
        """What `act` gives; None where it fails, and the next aligner down is to serve."""
        try:
            return act()
        except Exception as error:
            if not goes_down(error, self._engine.spec.device):
                raise
            _log.warning("an aligner failed, the next one down serves: %s", told(error))
            return None

    def _ctc_words(self, one: Spoken, before: Aligned, times: Sequence[WordTime]) -> Aligned:
        return before if is_lost(before, times) else self._timed(one, before, times, WordSource.CTC)

    def _by_letters(self, encoded: Encoded, group: list[Spoken], before: list[Aligned]) -> list[Aligned]:
        """Chunks whose letters the classifier hears; the others as they were before."""
        classifier = self._classifier
        left = [n for n, one in enumerate(before) if one.source is not WordSource.CTC]
        if classifier is None or not left:
            return before
        output = self._tried(partial(self._engine.as_arrays, encoded))
        found = list(before)
        for n in left:
            heard = None
            if output is not None:
                heard = self._tried(partial(self._heard, output[group[n].row], group[n], before[n], classifier))
            found[n] = heard or replace(before[n], classifier_failed=True)
        return found

    def _heard(self, output: NDArray[np.float32], one: Spoken, before: Aligned, classifier: LetterHearing) -> Aligned:
        """The words of `before` where their letters are heard; `before` where it is another script's letters."""
        frames = output[: (one.frames + 1) // 2]
        all_said = bool(self._options.given_text)
        heard = heard_words(classifier, frames, one.chunk, before.texts, one.language, all_said=all_said)
        if heard is None:
            return before
        timed = self._timed(one, before, heard.times, WordSource.CHARACTERS, heard.kept)
        unheard = [timed.word for n, timed in enumerate(before.words) if n not in set(heard.kept)]
        said_again = join_words(unheard)
        return replace(timed, letters=LettersBy.CLASSIFIER, unspoken=heard.unspoken, unheard=said_again)

    def _by_attention(self, encoded: Encoded, group: list[Spoken], before: list[Aligned]) -> list[Aligned]:
        """Chunks that the decoder spells, of those that have no times by CTC or their letters."""
        heads = self._engine.spec.characters
        if heads is None:
            return before

        def is_left(one: Aligned) -> bool:
            return one.source is not WordSource.CTC and one.letters is None

        if heads.loses_its_place:
            before = self._by_tokens_if(encoded, group, before, lambda one: is_left(one) and one.source is None)
        left = [n for n, one in enumerate(before) if is_left(one)]
        spelled = self._by_characters(encoded, [group[n] for n in left], [before[n] for n in left], heads)
        failed = [before[n].classifier_failed for n in left]
        spelled = [replace(one, classifier_failed=bad) for one, bad in zip(spelled, failed, strict=True)]
        return _with(before, left, spelled)

    def _by_characters(
        self, encoded: Encoded, group: list[Spoken], by_tokens: list[Aligned], heads: CharacterHeads
    ) -> list[Aligned]:
        """Chunks spelled; those for which that fails as they were timed before."""
        spelled = [self._tried(partial(self._spelled, *pair)) for pair in zip(group, by_tokens, strict=True)]
        ready = [n for n, text in enumerate(spelled) if text is not None]
        texts = [text for text in spelled if text is not None]
        found = self._times(encoded, [group[n] for n in ready], [t.token_ids for t in texts], spelled=True)
        aligned = list(by_tokens)
        for n, text, times in zip(ready, texts, found, strict=True):
            if times is not None:
                spelling = partial(self._spelled_words, group[n], by_tokens[n], (text, times), heads)
                aligned[n] = self._tried(spelling) or by_tokens[n]
        return aligned

    def _times(
        self,
        encoded: Encoded,
        group: list[Spoken],
        tokens: Sequence[Sequence[int]],
        *,
        spelled: bool = False,
        frames: int = WINDOW_FRAMES,
    ) -> list[TokenTimes | None]:
        """Token times of every chunk; where a batch fails its chunks are tried one by one, None for those that fail."""
        if not group:
            return []
        aligned = self._tried(partial(self._path, encoded, group, tokens, spelled=spelled, frames=frames))
        if aligned is not None and len(aligned) == len(group):
            return list(aligned)
        if len(group) == 1:
            return [None]
        return [
            times
            for one, ids in zip(group, tokens, strict=True)
            for times in self._times(encoded, [one], [ids], spelled=spelled, frames=frames)
        ]

    def _path(
        self, encoded: Encoded, group: list[Spoken], tokens: Sequence[Sequence[int]], *, spelled: bool, frames: int
    ) -> list[TokenTimes]:
        start = self._engine.tokenizer.start_sequence(group[0].language, self._options.task)
        rows = self._engine.select(encoded, [one.row for one in group])
        looked_at = [min(frames, one.frames) for one in group]
        return self._engine.align(rows, start, tokens, looked_at, spelled=spelled)

    def _spelled(self, one: Spoken, before: Aligned) -> Spelled | None:
        words = before.texts
        language = "en" if self._options.task is Task.TRANSLATE else one.language
        engine = self._engine
        return spell(words, spoken_words(words, language), engine.tokenizer.encode, engine.spec.spells_below)

    def _spelled_words(
        self, one: Spoken, before: Aligned, found: tuple[Spelled, TokenTimes], heads: CharacterHeads
    ) -> Aligned:
        """The words of `before`, with their probabilities, timed by their letters."""
        text, seen = found
        speech = [(start - one.chunk.start_s, stop - one.chunk.start_s) for start, stop in one.place.speech]
        level = SoundLevel.of(one.chunk.samples)
        quiet = with_hidden_edges(level.silences(speech), level)
        path = marks(text, seen.starts.astype(np.float64) * ENCODER_FRAME_S, heads.late_s)
        if heads.loses_its_place and before.source is WordSource.TOKENS:
            by_tokens = [(timed.word.start_s, timed.word.end_s) for timed in before.words]
            path = steadied(path, np.asarray(by_tokens) - one.chunk.start_s, quiet, one.chunk.duration_s)
        spans = one.chunk.start_s + word_spans(path, quiet, one.chunk.duration_s)
        times = [
            WordTime(float(start), float(end), WordSource.CHARACTERS, score)
            for (start, end), score in zip(spans, scores(text, seen.probabilities), strict=True)
        ]
        return replace(self._timed(one, before, times, WordSource.CHARACTERS), letters=LettersBy.ATTENTION)

    def _timed(
        self,
        one: Spoken,
        before: Aligned,
        times: Sequence[WordTime],
        source: WordSource,
        kept: Sequence[int] | None = None,
    ) -> Aligned:
        """The words of `before`, or those that are `kept` of it, with other times, mostly from `source`."""
        groups = split_words(one.hypothesis.token_ids, self._engine.tokenizer.decode, one.language)
        which = range(len(groups)) if kept is None else kept
        probabilities = [before.words[n].word.probability for n in which]
        words = words_timed(one.hypothesis.token_ids, [groups[n] for n in which], times, probabilities, one.place)
        return Aligned(tuple(words), self.wanted, source)

    def _by_tokens(self, encoded: Encoded, group: list[Spoken]) -> list[Aligned]:
        """Chunks aligned as they were decoded; those for which that fails are interpolated."""
        found = self._times(encoded, group, [one.hypothesis.token_ids for one in group])
        return [
            (self._tried(partial(self._token_words, one, times)) if times is not None else None)
            or self._interpolated(one)
            for one, times in zip(group, found, strict=True)
        ]

    def _token_words(self, one: Spoken, times: TokenTimes) -> Aligned:
        heads = self._engine.spec.characters
        early_s = heads.tokens_early_s if heads else 0.0
        starts = times.starts.astype(np.float64) * ENCODER_FRAME_S + (one.chunk.start_s + early_s)
        return Aligned(self._words(one, starts, times.probabilities), self.wanted, WordSource.TOKENS)

    def _untimed(self, one: Spoken) -> Aligned:
        """The words with what the decoder said of them, all at the chunk's start: an aligner is to time them."""
        starts = np.full(len(one.hypothesis.token_ids) + 1, one.chunk.start_s)
        words = self._tried(partial(self._words, one, starts, one.hypothesis.probabilities or ()))
        return Aligned(words or self._interpolated(one).words, self.wanted)

    def _words(
        self, one: Spoken, starts_s: NDArray[np.float64], probabilities: Sequence[float] | NDArray[np.float32]
    ) -> tuple[TimedWord, ...]:
        ids = one.hypothesis.token_ids
        path = np.zeros((2, len(ids) + 1))
        path[0], path[1, :-1] = starts_s, probabilities
        return tuple(words_from_path(ids, self._engine.tokenizer.decode, one.language, path, one.place))

    def _interpolated(self, one: Spoken) -> Aligned:
        ids, probability = one.hypothesis.token_ids, float(np.exp(one.hypothesis.avg_logprob))
        words = words_interpolated(ids, self._engine.tokenizer.decode, one.language, probability, one.place)
        return Aligned(tuple(words), self.wanted, WordSource.INTERPOLATED)


def place_of(chunk: SpeechChunk) -> Place:
    """Where a chunk's text was said."""
    speech = tuple((seconds(span.start), seconds(span.stop)) for span in chunk.speech)
    return Place(chunk.start_s, seconds(chunk.stop), speech)


def is_lost(by_tokens: Aligned, times: Sequence[WordTime]) -> bool:
    """Whether an aligner has lost its place in a chunk: most of its words are elsewhere than their tokens.

    whisperX's search may end early, with all words at the chunk's start, where a text has more signs than letters.
    """
    if by_tokens.source is not WordSource.TOKENS or not times:
        return False
    apart = [abs(timed.word.start_s - time.start_s) for timed, time in zip(by_tokens.words, times, strict=True)]
    return float(np.median(apart)) > _LOST_S


def _with(aligned: list[Aligned], places: list[int], better: list[Aligned]) -> list[Aligned]:
    """`aligned` with those of `better` at their places."""
    found = list(aligned)
    for n, one in zip(places, better, strict=True):
        found[n] = one
    return found
