"""The aligner fallback: the one asked for, the next one down, and every word whatever fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.domain.errors import EngineError, InvalidOption
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.base import CharacterHeads, Hypothesis, TokenTimes
from autorag_whisper.recognition.alignment import Aligned, Alignment, Spoken
from autorag_whisper.testing import FakeRecognizer, Faults, speech_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.engines.base import Encoded

HEADS = CharacterHeads(((2, 4),), late_s=0.01)
TEXT = " Pay $25, 😀 please!"
WORDS = ["Pay", "$25,", "😀", "please!"]


def align(
    aligner: str = "auto",
    *,
    heads: CharacterHeads | None = HEADS,
    fail: Callable[[str, int], None] = lambda _stage, _number: None,
    texts: tuple[str, ...] = (TEXT,),
) -> list[Aligned]:
    engine = FakeRecognizer(characters=heads, faults=Faults(fail=fail))
    samples = speech_samples(3)
    start = 16_000
    chunk = SpeechChunk(0, start, samples, (SpeechSpan(start + 8_000, start + len(samples) - 8_000),))
    spoken = [
        Spoken(n, chunk, "en", Hypothesis(engine.tokenizer.encode(text), -0.2, 0.01, cap_hit=False))
        for n, text in enumerate(texts)
    ]
    encoded = engine.encode(np.zeros((len(texts), 80, 1000), np.float32))
    return Alignment(engine, TranscribeOptions(aligner=aligner)).align(encoded, spoken)


def failing(*numbers: int) -> Callable[[str, int], None]:
    def fail(stage: str, number: int) -> None:
        if stage == "align" and number in numbers:
            raise EngineError("fake", "align", "on request")

    return fail


def assert_sound(aligned: Aligned, words: list[str] = WORDS) -> None:
    assert [timed.word.text for timed in aligned.words] == words
    assert {timed.word.source for timed in aligned.words} == {aligned.source}
    starts = [timed.word.start_s for timed in aligned.words]
    assert starts == sorted(starts)
    assert all(1.0 <= timed.word.start_s < timed.word.end_s <= 1.0 + 3.4 for timed in aligned.words)


def test_auto_spells_where_the_heads_for_it_are_known_and_takes_tokens_elsewhere() -> None:
    [spelled], [by_tokens] = align(), align(heads=None)
    assert (spelled.source, by_tokens.source) == (WordSource.CHARACTERS, WordSource.TOKENS)
    assert spelled.fallbacks == by_tokens.fallbacks == ()
    assert_sound(spelled)
    assert_sound(by_tokens)


def test_a_word_timed_by_its_letters_has_a_score_beside_the_recognisers_probability() -> None:
    [aligned] = align()
    assert [timed.word.score for timed in aligned.words] == [pytest.approx(0.9)] * 4
    assert [timed.word.probability for timed in aligned.words] == [pytest.approx(0.9)] * 4


@pytest.mark.parametrize(("aligner", "source"), [("tokens", WordSource.TOKENS), ("none", WordSource.INTERPOLATED)])
def test_another_aligner_is_taken_where_it_is_asked_for(aligner: str, source: WordSource) -> None:
    [aligned] = align(aligner)
    assert aligned.source is source
    assert aligned.fallbacks == ()
    assert_sound(aligned)


def test_letters_asked_of_a_model_without_heads_for_them_are_a_step_down() -> None:
    [aligned] = align("characters", heads=None)
    assert aligned.fallbacks == ((WordSource.CHARACTERS, WordSource.TOKENS),)
    assert_sound(aligned)


def test_where_spelling_fails_the_tokens_serve() -> None:
    [aligned] = align(fail=failing(2))
    assert aligned.source is WordSource.TOKENS
    assert aligned.fallbacks == ((WordSource.CHARACTERS, WordSource.TOKENS),)
    assert_sound(aligned)


def test_where_everything_fails_words_are_spread_over_the_speech() -> None:
    [aligned] = align(fail=failing(1, 2))
    assert aligned.source is WordSource.INTERPOLATED
    assert aligned.fallbacks == (
        (WordSource.CHARACTERS, WordSource.TOKENS),
        (WordSource.TOKENS, WordSource.INTERPOLATED),
    )
    assert_sound(aligned)


def test_a_chunk_that_fails_does_not_cost_its_neighbours_in_the_batch_their_times() -> None:
    # Calls of align: the batch's tokens, the batch spelled (fails), and then each chunk spelled (the second fails).
    found = align(fail=failing(2, 4), texts=(TEXT, TEXT, TEXT))
    assert [one.source for one in found] == [WordSource.CHARACTERS, WordSource.TOKENS, WordSource.CHARACTERS]
    for one in found:
        assert_sound(one)


def test_two_thousand_letters_in_one_chunk_are_words_all_the_same() -> None:
    long = " extraordinarily" * 30 + " a" * 400
    fitting = " extraordinarily" * 40
    [too_long] = align("none", texts=(long,))
    assert len(too_long.words) == 430
    [shortened] = align(texts=(fitting[:400],))
    assert shortened.source is WordSource.CHARACTERS
    assert len(shortened.words) == 25


class PlantedRecognizer(FakeRecognizer):
    """Sees every letter four frames after the one before, from frame 10 on, however the text is asked for."""

    def align(
        self,
        encoded: Encoded,
        start_sequence: Sequence[int],
        token_ids: Sequence[Sequence[int]],
        frames: Sequence[int],
        *,
        spelled: bool = False,
    ) -> list[TokenTimes]:
        return [TokenTimes(10 + 4 * np.arange(len(ids) + 1), np.full(len(ids), 0.9, np.float32)) for ids in token_ids]


def planted_starts(aligner: str, heads: CharacterHeads) -> list[float]:
    """The starts of words of three letters, blanks between them, in 5 s of even noise from second 7 on."""
    engine = PlantedRecognizer(characters=heads)
    noise = np.random.default_rng(1).normal(0, 0.1, 80_000).astype(np.float32)
    chunk = SpeechChunk(0, 112_000, noise, (SpeechSpan(112_000, 192_000),))
    text = engine.tokenizer.encode(" one two six ten")
    spoken = Spoken(0, chunk, "en", Hypothesis(text, -0.2, 0.01, cap_hit=False))
    encoded = engine.encode(np.zeros((1, 80, 1000), np.float32))
    [aligned] = Alignment(engine, TranscribeOptions(aligner=aligner)).align(encoded, [spoken])
    return [round(timed.word.start_s, 4) for timed in aligned.words]


@pytest.mark.parametrize("loses_its_place", [False, True])
def test_a_word_starts_where_its_first_letter_was_seen_on_the_files_timeline_less_what_the_head_is_late(
    loses_its_place: bool,
) -> None:
    """Frames of 20 ms: the letters after the blanks are in frames 14, 30, 46 and 62."""
    heads = CharacterHeads(((2, 4),), late_s=0.01, loses_its_place=loses_its_place)
    assert planted_starts("characters", heads) == pytest.approx([7.27, 7.59, 7.91, 8.23])


def test_by_tokens_a_word_starts_where_its_first_token_was_seen_and_as_much_later_as_tokens_are_early() -> None:
    """The blank is part of the token: frames 10, 26, 42 and 58."""
    heads = CharacterHeads(((2, 4),), late_s=0.01, tokens_early_s=0.05)
    assert planted_starts("tokens", heads) == pytest.approx([7.25, 7.57, 7.89, 8.21])


def test_an_aligner_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(InvalidOption, match="auto, ctc, characters, tokens, none"):
        TranscribeOptions(aligner="wav2vec")
