"""Whatever an engine tells of its words, those of its text come out: all of them, in order, inside their chunk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.domain.device import CPU
from autorag_whisper.domain.request import Aligner, TranscribeOptions
from autorag_whisper.domain.transcript import WordSource, join_words
from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.engines.text_engine import SaidWord
from autorag_whisper.recognition.text_alignment import SpokenText, TextAlignment
from autorag_whisper.recognition.text_pass import Pieces

if TYPE_CHECKING:
    from autorag_whisper.recognition.aligned import Aligned

START_S, LENGTH_S = 30.0, 6.0
CHUNK = SpeechChunk(
    1,
    round(START_S * SAMPLE_RATE_HZ),
    np.zeros(round(LENGTH_S * SAMPLE_RATE_HZ), np.float32),
    (SpeechSpan(round(31.0 * SAMPLE_RATE_HZ), round(35.0 * SAMPLE_RATE_HZ)),),
)
TEXTS = st.text("ab1 -'.,\u4f60\u597d\u3002\u0301\n\U0001f600", min_size=1, max_size=30).filter(str.strip)
MOMENTS = st.floats(-1, 9) | st.sampled_from([math.nan, math.inf, -math.inf])
LANGUAGES = st.sampled_from(["en", "zh"])


@st.composite
def told(draw: st.DrawFn, text: str) -> tuple[SaidWord, ...]:
    """Words of an engine: mostly pieces of the text, in any order, with any times."""
    pieces = st.sampled_from([*text.split(), *text]) | TEXTS
    times = st.builds(WordTime, MOMENTS, MOMENTS, st.just(WordSource.TOKENS))
    return tuple(draw(st.lists(st.builds(SaidWord, pieces, times, st.floats(0, 1) | st.just(math.nan)), max_size=8)))


def aligned(text: str, language: str, words: tuple[SaidWord, ...], aligner: Aligner = Aligner.AUTO) -> Aligned:
    pieces = Pieces()
    hypothesis = Hypothesis(pieces.encode(text, language), -0.3, 0.0, cap_hit=False)
    alignment = TextAlignment(CPU, pieces.decode, TranscribeOptions(aligner=aligner), None)
    [found] = alignment.align([SpokenText(CHUNK, language, hypothesis, words)])
    return found


@given(st.data(), TEXTS, LANGUAGES)
def test_no_word_of_the_text_is_lost_and_all_lie_in_order_in_their_chunk(
    data: st.DataObject, text: str, language: str
) -> None:
    words = [timed.word for timed in aligned(text, language, data.draw(told(text))).words]
    assert join_words(words).split() == text.split()
    times = [moment for word in words for moment in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert all(START_S <= moment <= START_S + LENGTH_S for moment in times)
    assert all(0 <= word.probability <= 1 for word in words)


@given(TEXTS.filter(lambda text: any(map(str.isalnum, text))))
def test_times_that_fit_the_text_are_the_words_times(text: str) -> None:
    said, at_s = list[SaidWord](), 0.5
    for piece in text.split():
        said.append(SaidWord(piece, WordTime(at_s, at_s + 0.1, WordSource.TOKENS), 0.6))
        at_s += 0.15
    found = aligned(text, "en", tuple(said))
    assert found.source is WordSource.TOKENS
    assert {timed.word.source for timed in found.words} == {WordSource.TOKENS}
    starts = {round(START_S + one.time.start_s, 6) for one in said}
    assert all(round(timed.word.start_s, 6) in starts for timed in found.words)


@given(TEXTS, LANGUAGES)
def test_without_an_aligner_words_are_spread_whatever_the_engine_told(text: str, language: str) -> None:
    word = SaidWord(text.split(maxsplit=1)[0], WordTime(1.0, 1.2, WordSource.TOKENS))
    found = aligned(text, language, (word,), Aligner.NONE)
    assert found.source is WordSource.INTERPOLATED
    assert found.fallbacks == ()
