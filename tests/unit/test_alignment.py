"""The aligner fallback: the one asked for, the next one down, and every word whatever fails."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.domain.errors import EngineError, InvalidOption
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.base import LEAST_FRAMES, CharacterHeads, Hypothesis, TokenTimes
from autorag_whisper.recognition.aligned import Aligned, LettersBy
from autorag_whisper.recognition.alignment import Alignment, Spoken
from autorag_whisper.testing import FakeWhisper, Faults, speech_samples
from letter_hearing import planted, reading_classifier

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
    engine = FakeWhisper(characters=heads, faults=Faults(fail=fail))
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
    assert all(a.word.end_s <= b.word.start_s for a, b in pairwise(aligned.words))


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


HEARD = "...oooonnnnee.....uuuuhhhhh....ttttwwwooo......"
"""Of a chunk: 20 ms a letter."""


def heard(
    texts: tuple[str, ...] = (" One two",),
    *,
    fail: Callable[[str, int], None] = lambda _stage, _number: None,
    hears: str = HEARD,
    heads: CharacterHeads | None = HEADS,
    told: bool = True,
    task: str = "transcribe",
    aligner: str = "auto",
    probabilities: tuple[float, ...] = (),
) -> tuple[list[Aligned], FakeWhisper]:
    """Chunks of 4 s from second 1 on, in each of which the classifier hears `hears`; and who was asked."""
    classifier = reading_classifier(width=80)
    engine = FakeWhisper(characters=heads, faults=Faults(fail=fail)).hearing(classifier)
    features = np.zeros((len(texts), 80, 400), np.float32)
    features[:, 0, :] = 1.0
    features[:, :, : 2 * len(hears) : 2] = planted(hears, classifier).T
    loud = np.random.default_rng(1).normal(0, 0.1, 64_000).astype(np.float32)
    chunk = SpeechChunk(0, 16_000, loud, (SpeechSpan(16_000, 80_000),))
    spoken = []
    for n, text in enumerate(texts):
        tokens = engine.tokenizer.encode(text)
        each = (probabilities or (0.8,) * len(tokens)) if told else None
        said = Hypothesis(tokens, -0.2, 0.01, cap_hit=False, probabilities=each)
        spoken.append(Spoken(n, chunk, "en", said))
    encoded = engine.encode(features)
    return Alignment(engine, TranscribeOptions(aligner=aligner, task=task)).align(encoded, spoken), engine


def test_letters_that_a_classifier_hears_time_the_words_on_the_files_timeline_without_the_decoder() -> None:
    [aligned], engine = heard()
    assert (aligned.source, aligned.letters, aligned.fallbacks) == (WordSource.CHARACTERS, LettersBy.CLASSIFIER, ())
    assert [(w.word.text, w.word.start_s, w.word.end_s) for w in aligned.words] == [
        ("One", pytest.approx(1.06), pytest.approx(1.26)),
        ("two", pytest.approx(1.62), pytest.approx(1.82)),
    ]
    assert [w.word.probability for w in aligned.words] == [pytest.approx(0.8)] * 2
    assert all((w.word.score or 0) > 0.9 for w in aligned.words)
    assert "align" not in engine.faults.calls


def test_each_chunk_of_a_batch_is_heard_in_its_own_row_and_no_further_than_it_goes() -> None:
    classifier = reading_classifier(width=80)
    engine = FakeWhisper().hearing(classifier)
    # Behind a chunk's end the encoder's output is no sound of it.
    each = ("..oonnee" + "." * 92 + "oonnee..", "." * 40 + "oonnee" + "." * 62)
    features = np.zeros((2, 80, 400), np.float32)
    features[:, 0, :] = 1.0
    for row, hears in enumerate(each):
        features[row, :, : 2 * len(hears) : 2] = planted(hears, classifier).T
    chunk = SpeechChunk(0, 0, np.full(32_000, 0.1, np.float32), (SpeechSpan(0, 32_000),))
    tokens = engine.tokenizer.encode(" one one")
    said = Hypothesis(tokens, -0.2, 0.01, cap_hit=False, probabilities=(0.8,) * len(tokens))
    spoken = [Spoken(n, chunk, "en", said) for n in range(2)]
    found = Alignment(engine, TranscribeOptions()).align(engine.encode(features), spoken)
    assert [[(w.word.text, w.word.start_s) for w in one.words] for one in found] == [
        [("one", pytest.approx(0.04))], [("one", pytest.approx(0.8))],
    ]  # fmt: skip


def test_speech_that_no_word_has_is_told_with_its_span() -> None:
    [aligned], _ = heard()
    assert [(one.start_s, one.end_s) for one in aligned.unspoken] == [(pytest.approx(1.36), pytest.approx(1.54))]


def test_what_is_written_twice_and_heard_once_is_one_word_with_its_own_times_and_probability() -> None:
    [aligned], _ = heard((" One two, two",))
    assert [(w.word.text, w.word.start_s, w.word.end_s) for w in aligned.words] == [
        ("One", pytest.approx(1.06), pytest.approx(1.26)),
        ("two,", pytest.approx(1.62), pytest.approx(1.82)),
    ]
    assert aligned.unheard == "two"
    engine = FakeWhisper()
    assert "".join(engine.tokenizer.decode(w.token_ids) for w in aligned.words) == " One two,"


def test_of_words_of_which_some_are_not_heard_each_keeps_its_own_probability() -> None:
    texts = (" One one two",)
    tokens = FakeWhisper().tokenizer.encode(texts[0])
    probabilities = [0.9 if n < 4 else 0.5 if n < 8 else 0.3 for n in range(len(tokens))]
    [aligned], _ = heard(texts, probabilities=tuple(probabilities))
    assert [(w.word.text, w.word.probability) for w in aligned.words] == [
        ("One", pytest.approx(0.9)), ("two", pytest.approx(0.3)),
    ]  # fmt: skip


def test_a_text_in_another_script_is_timed_by_the_decoders_attention_and_that_is_no_fallback() -> None:
    found, engine = heard((" One two", " Καλή μέρα", " one two"))
    assert [one.letters for one in found] == [LettersBy.CLASSIFIER, LettersBy.ATTENTION, LettersBy.CLASSIFIER]
    assert [one.fallbacks for one in found] == [(), (), ()]
    assert engine.faults.calls["align"] == 1
    [here, elsewhere], _ = heard((" One two", " Καλή μέρα"), heads=None)
    assert (here.letters, elsewhere.source, elsewhere.fallbacks) == (LettersBy.CLASSIFIER, WordSource.TOKENS, ())


def test_what_search_has_not_told_of_the_tokens_the_decoder_is_asked_for_once() -> None:
    [aligned], engine = heard(told=False)
    assert aligned.letters is LettersBy.CLASSIFIER
    assert [w.word.probability for w in aligned.words] == [pytest.approx(0.9)] * 2
    assert engine.faults.calls["align"] == 1


class Looking(FakeWhisper):
    """Keeps how many frames it was asked to look at."""

    def __init__(self, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]  # whatever a test gives
        self.looked_at: list[int] = []

    def align(
        self,
        encoded: Encoded,
        start_sequence: Sequence[int],
        token_ids: Sequence[Sequence[int]],
        frames: Sequence[int],
        *,
        spelled: bool = False,
    ) -> list[TokenTimes]:
        self.looked_at += frames
        return super().align(encoded, start_sequence, token_ids, frames, spelled=spelled)


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        (" One two", [LEAST_FRAMES]),
        (" Καλή μέρα", [390]),
        (" Pay 25 to Ana", [LEAST_FRAMES]),
        (" 1, 2", [LEAST_FRAMES]),
    ],
)
def test_a_path_of_the_tokens_is_not_looked_for_where_the_classifier_hears_their_letters(
    text: str, frames: list[int]
) -> None:
    """It is half of what the decoder's pass costs."""
    engine = Looking().hearing(reading_classifier(width=80))
    chunk = SpeechChunk(0, 0, speech_samples(3, tail_s=1.0), (SpeechSpan(0, 48_000),))
    spoken = Spoken(0, chunk, "en", Hypothesis(engine.tokenizer.encode(text), -0.2, 0.01, cap_hit=False))
    [aligned] = Alignment(engine, TranscribeOptions()).align(
        engine.encode(np.zeros((1, 80, 1000), np.float32)), [spoken]
    )
    assert engine.looked_at == frames
    assert aligned.words


def test_where_the_classifier_fails_the_attention_serves_and_it_is_told() -> None:
    def fail(stage: str, _number: int) -> None:
        if stage == "as_arrays":
            raise EngineError("fake", "as_arrays", "on request")

    [aligned], _ = heard(fail=fail)
    assert (aligned.source, aligned.letters) == (WordSource.CHARACTERS, LettersBy.ATTENTION)
    assert aligned.fallbacks == ((LettersBy.CLASSIFIER, LettersBy.ATTENTION),)
    [without_heads], _ = heard(fail=fail, heads=None)
    assert without_heads.source is WordSource.TOKENS
    assert without_heads.fallbacks == ((WordSource.CHARACTERS, WordSource.TOKENS),)


def test_encoder_output_that_is_no_numbers_costs_the_words_nothing_but_their_classifier() -> None:
    class Broken(FakeWhisper):
        def as_arrays(self, encoded: Encoded) -> list[np.ndarray]:
            return [np.full((200, 80), np.nan, np.float32)] * encoded.rows

    engine = Broken(characters=HEADS).hearing(reading_classifier(width=80))
    chunk = SpeechChunk(0, 0, speech_samples(3), (SpeechSpan(0, 48_000),))
    spoken = Spoken(0, chunk, "en", Hypothesis(engine.tokenizer.encode(TEXT), -0.2, 0.01, cap_hit=False))
    encoded = engine.encode(np.zeros((1, 80, 1000), np.float32))
    [aligned] = Alignment(engine, TranscribeOptions()).align(encoded, [spoken])
    assert (aligned.letters, aligned.classifier_failed) == (LettersBy.ATTENTION, True)
    assert [timed.word.text for timed in aligned.words] == WORDS


@pytest.mark.parametrize(("task", "aligner"), [("translate", "auto"), ("transcribe", "tokens"), ("transcribe", "none")])
def test_a_classifier_is_not_asked_for_a_translation_or_where_another_aligner_is_wanted(
    task: str, aligner: str
) -> None:
    [aligned], engine = heard(task=task, aligner=aligner)
    assert aligned.letters is not LettersBy.CLASSIFIER
    assert "as_arrays" not in engine.faults.calls


class PlantedRecognizer(FakeWhisper):
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
