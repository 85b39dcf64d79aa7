"""Speech without a word is recognised again, text that the token cap cut is done in parts."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.words import TimedWord
from autorag_whisper.audio.chunking import voice_in
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.domain.transcript import Attempt, Word, WordSource
from autorag_whisper.recognition import parts as parts_module
from autorag_whisper.recognition.alignment import Aligned, LettersBy
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask, EngineTime
from autorag_whisper.recognition.holes import (
    APART_S,
    HOLE_S,
    ISLAND_S,
    LEAST_PART_S,
    LEAST_SPEECH_S,
    around,
    halves,
    holes,
    missing_s,
)
from autorag_whisper.recognition.language_changes import Stretch
from autorag_whisper.recognition.parts import completed, is_cut
from autorag_whisper.recognition.recognise import WhisperPass
from autorag_whisper.recognition.recognizer import Caller
from autorag_whisper.recognition.windows import token_cap
from autorag_whisper.testing import FakeWhisper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

HZ = SAMPLE_RATE_HZ


def test_whether_a_text_was_cut_is_asked_of_the_attempt_that_is_redone_or_of_the_one_that_is_kept() -> None:
    chunk = SpeechChunk(0, 0, np.zeros(HZ, np.float32), (SpeechSpan(0, HZ),))
    fine = Attempt(0.0, 5, 1000, -0.2, 1.0, 0.1)
    cut, unlikely = replace(fine, rejected_for="token_cap"), replace(fine, rejected_for="logprob")
    task = ChunkTask(0, chunk, "en")
    assert is_cut(ChunkResult(task, "en", attempts=(unlikely, cut), needs_redo=True))
    assert not is_cut(ChunkResult(task, "en", attempts=(cut, unlikely), needs_redo=True))
    assert not is_cut(ChunkResult(task, "en", attempts=(cut, fine), kept=1))
    assert not is_cut(ChunkResult(task, "en"))


def test_of_the_parts_ways_to_align_the_one_with_the_most_steps_down_is_told_and_all_their_time_counts() -> None:
    fine = Aligned((), WordSource.CHARACTERS, WordSource.CHARACTERS, LettersBy.CLASSIFIER)
    down = Aligned((), WordSource.CHARACTERS, WordSource.INTERPOLATED)
    for ways in ([fine, down], [down, fine], [Aligned(), down]):
        assert parts_module._aligned(ways, ()).fallbacks == down.fallbacks
    one, more = EngineTime(1.0, 0.25, 5.0, 6.0, 6.25), EngineTime(2.0, 0.5, 7.0, 9.0, 9.5)
    both = parts_module._time(one, [more, more])
    assert (both.recognise_s, both.align_s, both.began, both.ended) == (5.0, 1.25, 5.0, 9.5)


class Ticking:
    """A pass of which each chunk takes a second and a quarter, and gives what a test says; some of it is not taken."""

    def __init__(self, gives: Callable[[ChunkTask], ChunkResult]) -> None:
        self.calls, self._gives = 0, gives

    def recognise(self, tasks: Sequence[ChunkTask]) -> list[ChunkResult]:
        self.calls += len(tasks)
        return [replace(self._gives(task), task=task, time=EngineTime(1.0, 0.25)) for task in tasks]


@given(st.randoms(use_true_random=False), st.booleans())
def test_all_that_was_tried_counts_whatever_came_of_it(chance: Random, changes: bool) -> None:
    # The seconds of parts that were not taken, and of their first attempts, were nobody's.
    spans = tuple(SpeechSpan(n * 3 * HZ, (n * 3 + 2) * HZ) for n in range(6))
    chunk = SpeechChunk(0, 0, np.zeros(18 * HZ, np.float32), spans, 0.99)

    def gives(task: ChunkTask) -> ChunkResult:
        fine = Attempt(0.0, 5, 1000, -0.2, 1.0, 0.1)
        if not task.fallback and chance.random() < 0.3:
            bad = replace(fine, rejected_for=chance.choice(["token_cap", "avg_logprob"]))
            return ChunkResult(task, "en", attempts=(bad,), needs_redo=True)
        if chance.random() < 0.3:
            return ChunkResult(task, "en", attempts=(fine,))
        start_s, length_s = task.chunk.start_s, task.chunk.duration_s
        words = [Word("w", start_s + chance.random() * length_s, start_s + length_s, 1.0) for _ in range(2)]
        return ChunkResult(task, "en", "w w", tuple(TimedWord(word, (1,)) for word in words), (fine,))

    one_pass = Ticking(gives)
    task = ChunkTask(0, chunk, "en")
    if changes:
        task = replace(task, stretches=(Stretch("en", 0, 9 * HZ), Stretch("de", 9 * HZ, 18 * HZ)))
    [result] = one_pass.recognise([task])
    spent = completed(one_pass, result).time
    assert (spent.recognise_s, spent.align_s) == (one_pass.calls, one_pass.calls / 4)


def test_a_chunk_in_several_languages_has_moments_of_the_clock() -> None:
    # The alignment of its file began when the clock did: with the machine.
    chunk = SpeechChunk(0, 0, np.zeros(6 * HZ, np.float32), (SpeechSpan(0, 6 * HZ),), 0.99)
    task = ChunkTask(0, chunk, "en", stretches=(Stretch("en", 0, 3 * HZ), Stretch("de", 3 * HZ, 6 * HZ)))
    before = time.perf_counter()
    [result] = WhisperPass(FakeWhisper(), TranscribeOptions(), Caller(lambda *_: None, lambda: False)).recognise([task])
    assert before <= result.time.began <= result.time.turned <= result.time.ended <= time.perf_counter()


TOKENS_PER_S = {
    "en": 4, "el": 9, "ru": 6, "hy": 15, "ka": 32, "hi": 17, "ta": 13, "te": 26, "my": 47, "am": 18, "ar": 6, "ja": 8,
}  # fmt: skip
"""Of twelve scripts, at an ordinary pace."""


@pytest.mark.parametrize("language", TOKENS_PER_S)
def test_a_part_that_is_not_cut_again_has_room_for_its_text_in_every_script(language: str) -> None:
    longest_s = 2 * LEAST_PART_S
    assert token_cap(round(longest_s * HZ), language) >= 1.9 * longest_s * TOKENS_PER_S[language]


def test_a_cap_knows_the_language() -> None:
    half_a_minute = 30 * HZ
    assert token_cap(half_a_minute, "en") == 224
    assert token_cap(half_a_minute, "el") > 9 * 27
    assert token_cap(10 * HZ, "hi") > 17 * 10
    assert token_cap(half_a_minute, "my") <= 440, "what the decoder's context has room for"
    assert [token_cap(5 * HZ, code) for code in ("en", "hi", "te", "my")] == sorted(
        token_cap(5 * HZ, code) for code in ("en", "hi", "te", "my")
    )


@st.composite
def spoken_chunks(draw: st.DrawFn) -> tuple[SpeechChunk, list[Word]]:
    """A chunk of up to 30 s with spans of speech, and words that lie anywhere in it."""
    start = draw(st.integers(0, 100 * HZ))
    length = draw(st.integers(HZ // 2, 30 * HZ))
    edges = sorted(draw(st.lists(st.integers(0, length), min_size=2, max_size=12, unique=True)))
    spans = tuple(
        SpeechSpan(start + a, start + b, draw(st.booleans()))
        for a, b in zip(edges[::2], edges[1::2], strict=False)
    )  # fmt: skip
    times = sorted(draw(st.lists(st.integers(start, start + length), max_size=10)))
    ends = zip(times[::2], times[1::2], strict=False)
    words = [Word("w", a / HZ, b / HZ, n / 10) for n, (a, b) in enumerate(ends)]
    return SpeechChunk(0, start, np.zeros(length, np.float32), spans), words


@given(spoken_chunks())
def test_holes_hold_speech_and_no_word(given_chunk: tuple[SpeechChunk, list[Word]]) -> None:
    chunk, words = given_chunk
    found = holes(chunk.speech, words)
    sure_s = sum(span.duration_s for span in chunk.speech if span.sure)
    assert all(hole.speech_s >= ISLAND_S for hole in found)
    assert all(a.start < a.stop <= b.start for a, b in itertools.pairwise(found))
    assert sum(hole.speech_s for hole in found) <= sure_s + 1e-6
    for hole in found:
        inside = [w for w in words if w.start_s * HZ + 1 < hole.stop and w.end_s * HZ - 1 > hole.start]
        assert [w for w in inside if w.end_s > w.start_s] == []
    if not words and sure_s >= HOLE_S:
        assert missing_s(chunk.speech, words) == pytest.approx(sure_s)


@given(spoken_chunks())
def test_every_second_without_a_word_is_in_a_hole_and_all_speech_on_its_own(
    given_chunk: tuple[SpeechChunk, list[Word]],
) -> None:
    chunk, words = given_chunk
    found, sure = holes(chunk.speech, words), [span for span in chunk.speech if span.sure]

    def is_listed(start: int, stop: int) -> bool:
        return any(hole.start <= start and stop <= hole.stop for hole in found)

    for n, span in enumerate(sure):
        before, after = (sure[n - 1] if n else None), (sure[n + 1] if n + 1 < len(sure) else None)
        is_apart = (before is None or span.start - before.stop >= APART_S * HZ) and (
            after is None or after.start - span.stop >= APART_S * HZ
        )
        is_empty = not any(w.start_s * HZ < span.stop + 1 and span.start < w.end_s * HZ + 1 for w in words)
        if is_empty and (span.duration_s >= HOLE_S or (is_apart and span.duration_s >= ISLAND_S)):
            assert is_listed(span.start, span.stop)


@given(spoken_chunks(), st.integers(0, 5))
def test_a_part_is_as_sure_of_a_voice_as_what_is_in_it(given_chunk: tuple[SpeechChunk, list[Word]], seed: int) -> None:
    # Music behind a sure voice had that voice's say, and its invented words were kept.
    chunk, words = given_chunk
    heard = np.random.default_rng(seed).random(-(-len(chunk.samples) // 512)).astype(np.float32)
    chunk = replace(chunk, probabilities=heard, voice=voice_in(heard, chunk.start, chunk.speech))
    for parts in (around(chunk, holes(chunk.speech, words)), halves(chunk)):
        for part in parts:
            first = (part.start - chunk.start) // 512
            assert np.array_equal(part.probabilities, heard[first : first + len(part.probabilities)])
            assert len(part.probabilities) == -(-len(part.samples) // 512)
            assert part.voice == pytest.approx(voice_in(heard, chunk.start, part.speech), abs=1e-6)


@given(spoken_chunks())
def test_parts_are_of_the_chunk_in_order_apart_and_leave_no_speech_out(
    given_chunk: tuple[SpeechChunk, list[Word]],
) -> None:
    chunk, words = given_chunk
    for parts in (around(chunk, holes(chunk.speech, words)), halves(chunk)):
        if len(parts) > 1:
            assert all(sum(span.duration_s for span in part.speech) >= LEAST_SPEECH_S - 1e-6 for part in parts)
        assert all(a.stop <= b.start for a, b in itertools.pairwise(parts))
        assert all(chunk.start <= part.start < part.stop <= chunk.stop for part in parts)
        assert all(len(part.samples) == part.stop - part.start for part in parts)
        assert all(part.start <= span.start and span.stop <= part.stop for part in parts for span in part.speech)
        spoken = sum(span.stop - span.start for part in parts for span in part.speech)
        assert spoken == sum(span.stop - span.start for span in chunk.speech)


@given(spoken_chunks())
def test_each_word_of_the_whole_is_in_one_of_its_parts_and_no_longer_than_that(
    given_chunk: tuple[SpeechChunk, list[Word]],
) -> None:
    chunk, words = given_chunk
    result = ChunkResult(ChunkTask(0, chunk, "en"), "en", words=tuple(TimedWord(word, (1,)) for word in words))
    parts = around(chunk, holes(chunk.speech, words))
    found = parts_module._words_in(result, parts)
    assert len(found) == len(parts)
    assert [timed.word.probability for some in found for timed in some] == [word.probability for word in words]
    for part, some in zip(parts, found, strict=True):
        assert all(part.start_s <= timed.word.start_s <= timed.word.end_s <= part.stop / HZ for timed in some)
    said = [timed.word for some in found for timed in some]
    assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(said))
    for word, now in zip(words, said, strict=True):
        middle_s = (word.start_s + word.end_s) / 2
        if any(part.start_s <= middle_s <= part.stop / HZ for part in parts):
            assert now.start_s - 1e-6 <= middle_s <= now.end_s + 1e-6


def test_a_short_chunk_is_not_halved() -> None:
    samples = np.zeros(round(1.9 * LEAST_PART_S * HZ), np.float32)
    assert len(halves(SpeechChunk(0, 0, samples, (SpeechSpan(0, len(samples)),)))) == 1
