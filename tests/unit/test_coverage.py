"""How much speech was found, transcribed and skipped, also where text was rejected or had a second look."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.align.words import TimedWord
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, MediaInfo, SpeechChunk, SpeechSpan
from autorag_whisper.domain.transcript import Attempt, Coverage, Hole, Transcript, Unspoken, Word
from autorag_whisper.format import render
from autorag_whisper.recognition.aligned import Aligned
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask, Rejection
from autorag_whisper.recognition.hallucinations import Hallucination
from autorag_whisper.transcriber.assembly import Assembly

if TYPE_CHECKING:
    from collections.abc import Sequence


def result(
    index: int,
    spans: Sequence[tuple[float, float, bool]],
    *,
    said: bool,
    rejected: str = "",
    words: Sequence[tuple[float, float]] | None = None,
) -> ChunkResult:
    """Chunk `index` begins at 10 s times that; spans are seconds in it, and whether they are sure.

    `words`: when they were said, where that is not in every span.
    """
    start = index * 10 * SAMPLE_RATE_HZ
    speech = tuple(
        SpeechSpan(start + round(a * SAMPLE_RATE_HZ), start + round(b * SAMPLE_RATE_HZ), sure) for a, b, sure in spans
    )
    chunk = SpeechChunk(index, start, np.zeros(9 * SAMPLE_RATE_HZ, np.float32), speech)
    said_spans = spans if words is None else words
    times = [TimedWord(Word("hello", index * 10.0 + a, index * 10.0 + b, 0.9), (1,)) for a, b, *_ in said_spans]
    return ChunkResult(
        ChunkTask(0, chunk, "en"),
        "en",
        words=tuple(times) if said else (),
        attempts=(Attempt(0.0, 5, 1000, -0.2, 1.0, 0.1),),
        rejected=(Rejection(rejected, Hallucination.FAINT_VOICE.value),) if rejected else (),
    )


def coverage(results: Sequence[ChunkResult]) -> tuple[Coverage, Assembly]:
    assembly = Assembly("a.wav", "transcribe", "en", 1.0)
    for one in results:
        list(assembly.add(one))
    list(assembly.finish())
    return assembly.coverage, assembly


def test_speech_with_words_is_transcribed_and_speech_without_is_skipped() -> None:
    found, _ = coverage([
        result(0, [(0, 2, True), (3, 4, True)], said=True),
        result(1, [(1, 3, True)], said=False, rejected="Thank you."),
        result(2, [(0, 1, True)], said=False),
    ])  # fmt: skip
    assert found == Coverage(
        speech_s=6, transcribed_s=3, skipped_s=3, holes=(Hole(11.0, 13.0, 2.0), Hole(20.0, 21.0, 1.0))
    )


def test_an_utterance_without_a_word_is_a_hole_though_its_chunk_has_words() -> None:
    spans = [(0, 2, True), (3, 4, True), (5, 6, True), (7, 9, True)]
    found, _ = coverage([result(0, spans, said=True, words=[(0, 2), (7, 9)])])
    assert found == Coverage(speech_s=6, transcribed_s=4, skipped_s=2, holes=(Hole(2.0, 7.0, 2.0),))


def test_what_a_rule_took_out_of_a_text_is_skipped() -> None:
    # Of fifty words the loop rule kept two, and coverage said that all had been transcribed.
    found, _ = coverage([result(0, [(0, 9, True)], said=True, rejected="la la la", words=[(0.0, 1.0)])])
    assert found == Coverage(speech_s=9, transcribed_s=1, skipped_s=8, holes=(Hole(1.0, 9.0, 8.0),))


def test_a_pause_between_two_words_is_no_hole() -> None:
    found, _ = coverage([result(0, [(0, 9, True)], said=True, words=[(0.0, 4.0), (4.45, 9.0)])])
    assert found == Coverage(speech_s=9, transcribed_s=9)


@pytest.mark.parametrize("words", [[(0.0, 4.0), (4.5, 9.0)], [(0.0, 8.5)], [(0.5, 9.0)]])
def test_half_a_second_of_speech_without_a_word_is_told_wherever_it_is(words: list[tuple[float, float]]) -> None:
    # Amharic of which 1.4 s were missing untold: a word left out, and one behind the last.
    found, _ = coverage([result(0, [(0, 9, True)], said=True, words=words)])
    assert (found.skipped_s, len(found.holes)) == (0.5, 1)


def test_the_words_of_a_translation_say_nothing_of_where_speech_has_none() -> None:
    assembly = Assembly("a.wav", "translate", "de", 1.0)
    list(assembly.add(result(0, [(0, 9, True)], said=True, words=[(0.0, 1.0)])))
    assert assembly.coverage == Coverage(speech_s=9, transcribed_s=9)
    list(assembly.add(result(1, [(0, 2, True)], said=False)))
    assert assembly.coverage.holes == (Hole(10.0, 12.0, 2.0),), "but where there are none nothing was translated"


def test_what_had_a_second_look_counts_as_speech_only_if_it_was() -> None:
    music = result(0, [(0, 8, False)], said=False, rejected="Thank you.")
    whisper = result(1, [(0, 2, False)], said=True)
    assert coverage([music])[0] == Coverage()
    assert coverage([music, whisper])[0] == Coverage(speech_s=2, transcribed_s=2)


def test_json_lists_the_coverage_and_what_was_rejected_with_its_rule() -> None:
    found, assembly = coverage([
        result(0, [(0, 2, True)], said=True),
        result(1, [(1, 3, True)], said=False, rejected="Thank you."),
    ])  # fmt: skip
    transcript = Transcript(
        "a.wav", 20.0, "en", 1.0, "transcribe", tuple(assembly.segments), "base", "cpu", "int8",
        MediaInfo("wav", "pcm_s16le", SAMPLE_RATE_HZ, 1, 0, 1), rejected=tuple(assembly.rejected), coverage=found,
    )  # fmt: skip
    read = json.loads(render(transcript, "json"))
    holes = [{"start_s": 11.0, "end_s": 13.0, "speech_s": 2.0}]
    assert read["coverage"] == {"speech_s": 4.0, "transcribed_s": 2.0, "skipped_s": 2.0, "holes": holes}
    [rejected] = read["rejected"]
    assert rejected == {"start": 10.0, "end": 19.0, "text": "Thank you.", "reason": Hallucination.FAINT_VOICE.value}


def test_speech_that_no_word_has_is_listed_in_order_and_not_where_the_text_was_not_accepted() -> None:
    def with_unspoken(one: ChunkResult, *spans: tuple[float, float]) -> ChunkResult:
        return replace(one, aligned=Aligned(one.words, unspoken=tuple(Unspoken(*span) for span in spans)))

    later = with_unspoken(result(1, [(0, 1, True)], said=True), (11.2, 11.6))
    earlier = with_unspoken(result(0, [(0, 2, True)], said=True), (2.1, 2.5), (3.0, 3.4))
    rejected = with_unspoken(result(2, [(0, 1, True)], said=False, rejected="Thank you."), (21.0, 21.5))
    _, assembly = coverage([later, earlier, rejected])
    assert assembly.unspoken == [Unspoken(2.1, 2.5), Unspoken(3.0, 3.4), Unspoken(11.2, 11.6)]
