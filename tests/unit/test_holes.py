"""Where speech has no word, to the sample, and where a chunk is cut because of it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, VOICE_WINDOW, SpeechChunk, SpeechSpan
from autorag_whisper.domain.transcript import Word
from autorag_whisper.recognition.holes import around, halves, holes, within
from autorag_whisper.recognition.language_changes import Stretch

if TYPE_CHECKING:
    from collections.abc import Sequence

HZ = SAMPLE_RATE_HZ
WINDOW_S = VOICE_WINDOW / HZ


def spans(*edges: tuple[float, float]) -> tuple[SpeechSpan, ...]:
    """Sure speech, in seconds."""
    return tuple(SpeechSpan(round(a * HZ), round(b * HZ)) for a, b in edges)


def said(*times: tuple[float, float]) -> list[Word]:
    return [Word("w", start_s, end_s, 0.5) for start_s, end_s in times]


def found(speech: Sequence[SpeechSpan], *words: tuple[float, float]) -> list[tuple[float, float, float]]:
    return [(hole.start / HZ, hole.stop / HZ, hole.speech_s) for hole in holes(speech, said(*words))]


def chunk_of(*edges: tuple[float, float], length_s: float | None = None) -> SpeechChunk:
    speech = spans(*edges)
    length = speech[-1].stop if length_s is None else round(length_s * HZ)
    return SpeechChunk(0, 0, np.zeros(length, np.float32), speech)


def bounds(parts: Sequence[SpeechChunk]) -> list[tuple[float, float]]:
    """The speech of each part, from its first to its last."""
    return [(part.speech[0].start / HZ, part.speech[-1].stop / HZ) for part in parts]


def test_a_word_within_a_longer_one_opens_no_hole() -> None:
    assert found(spans((0, 6)), (0, 5), (1, 1.5), (5, 6)) == []


def test_a_hole_reaches_no_further_than_the_speech() -> None:
    assert found(spans((1, 4)), (0.2, 0.8), (2.5, 4)) == [(1.0, 2.5, 1.5)]
    assert found(spans((1, 4)), (4.5, 5.0)) == [(1.0, 4.0, 3.0)]


def test_of_an_island_the_hole_is_what_is_of_it_and_not_the_pauses() -> None:
    speech = spans((0, 1), (2, 2.5), (4, 5))
    assert found(speech, (0, 1), (4, 5)) == [(2.0, 2.5, 0.5)]
    assert found(speech, (0, 1), (2.0, 2.1), (4, 5)) == [(2.1, 2.5, pytest.approx(0.4))]


@pytest.mark.parametrize(("pause_s", "is_island"), [(0.2, False), (0.35, True), (0.9, True)])
def test_how_far_from_other_speech_an_island_is(pause_s: float, *, is_island: bool) -> None:
    first, last = 1 + pause_s, 1.5 + pause_s
    speech = spans((0, 1), (first, last), (last + pause_s, last + pause_s + 1))
    words = [(0.0, 1.0), (last + pause_s, last + pause_s + 1)]
    assert bool(found(speech, *words)) == is_island


def test_a_chunk_is_cut_before_a_hole_and_behind_it_in_the_pauses_there() -> None:
    chunk = chunk_of((0, 3), (4, 7), (8, 11))
    parts = around(chunk, holes(chunk.speech, said((0, 3), (8, 11))))
    assert bounds(parts) == [(0, 3), (4, 7), (8, 11)]
    assert [part.index for part in parts] == [0, -1, -1], "only the first can begin a file"
    several = chunk_of((0, 2), (3, 5), (6, 8), (9, 11), (12, 14))
    parts = around(several, holes(several.speech, said((0, 2), (6, 8), (12, 14))))
    assert bounds(parts) == [(0, 2), (3, 5), (6, 8), (9, 11), (12, 14)]


def test_where_there_is_no_pause_near_it_is_cut_where_the_words_end() -> None:
    chunk = chunk_of((0, 12), (13, 14))
    parts = around(chunk, holes(chunk.speech, said((0, 4), (8, 12), (13, 14))))
    assert bounds(parts) == [
        (0, pytest.approx(4, abs=WINDOW_S)),
        (pytest.approx(4, abs=WINDOW_S), pytest.approx(8, abs=WINDOW_S)),
        (pytest.approx(8, abs=WINDOW_S), 14),
    ]


def test_a_half_ends_in_the_longest_pause_near_the_middle_and_of_two_as_long_in_the_nearest() -> None:
    assert bounds(halves(chunk_of((0, 4), (4.8, 7), (7.2, 12)))) == [(0, 4), (4.8, 12)]
    assert bounds(halves(chunk_of((0, 3.5), (4, 6), (6.5, 12)))) == [(0, 6), (6.5, 12)]
    assert bounds(halves(chunk_of((0, 0.5), (2.5, 6), (6.2, 12)))) == [(0, 6), (6.2, 12)], "not so far from it"


@pytest.mark.parametrize("quiet_s", [3.0, 4.4])
def test_without_a_pause_a_half_ends_where_it_is_quietest(quiet_s: float) -> None:
    samples = np.random.default_rng(1).standard_normal(8 * HZ).astype(np.float32)
    samples[round(quiet_s * HZ) : round((quiet_s + 0.1) * HZ)] *= 0.01
    parts = halves(SpeechChunk(0, 0, samples, spans((0, 8))))
    assert [part.index for part in parts] == [0, -1]
    assert quiet_s - WINDOW_S <= parts[1].speech[0].start / HZ <= quiet_s + 0.1


def test_of_stretches_in_several_languages_only_the_first_can_begin_a_file() -> None:
    chunk = chunk_of((0, 3), (4, 7))
    stretches = (Stretch("en", 0, round(3.5 * HZ)), Stretch("de", round(3.5 * HZ), chunk.stop))
    assert [(stretch.language, part.index) for stretch, part in within(chunk, stretches)] == [("en", 0), ("de", -1)]
    assert all(a.stop <= b.start for (_, a), (_, b) in itertools.pairwise(within(chunk, stretches)))
