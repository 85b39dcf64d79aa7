"""A run over an engine without mel windows, prompts or decoding steps: from samples to text in one call."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.device import Device, FailureCause
from autorag_whisper.domain.errors import Cancelled, DeviceError, EngineError, InvalidOption, ModelUnavailable
from autorag_whisper.domain.request import Aligner, Task, TranscribeOptions
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.text_engine import Said, SaidWord
from autorag_whisper.residency.alignment_models import AlignmentModels
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import FakeEmitter, FakeTextEngine, FakeWordAligner, Faults, speech_samples, write_speech
from autorag_whisper.transcriber import CancelToken
from run_world import CARD, NO_CARD, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.domain.device import Hardware
    from autorag_whisper.engines.aligners import AlignmentModel

FIVE = "one two three four five"
CTC = TranscribeOptions(aligner=Aligner.CTC)


def world_of(
    hardware: Hardware = NO_CARD,
    *,
    emitters: Faults | None = None,
    aligner: Callable[..., AlignmentModel] = FakeEmitter,
    **fake: Any,
) -> World:
    """A world with such an engine, and models that time words, which fail as they are told."""

    def lend(_language: str, device: Device) -> AlignmentModel:
        return aligner(device=device, faults=emitters)

    return World(hardware, alignment_models=AlignmentModels(lend, Telemetry()), engine=FakeTextEngine, **fake)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Three chunks of five words."""
    return write_speech(tmp_path / "talk.wav", np.concatenate([speech_samples(5, tail_s=6.0)] * 3))


def word(text: str, start_s: float, end_s: float, probability: float = 1.0) -> SaidWord:
    return SaidWord(text, WordTime(start_s, end_s, WordSource.TOKENS), probability)


def says(text: str, *words: SaidWord, **figures: float) -> Callable[[np.ndarray], Said]:
    return lambda _clip: Said(text, words, **figures)


def test_words_have_the_times_that_the_engine_told_with_its_text(talk: Path) -> None:
    transcript = world_of().transcriber.transcribe(talk, model="fake")
    assert transcript.text == " ".join([FIVE] * 3)
    assert transcript.language == "en"
    assert {word.source for word in transcript.words} == {WordSource.TOKENS}
    assert [word.start_s for word in transcript.words[:5]] == pytest.approx([0.5 + 0.8 * n for n in range(5)], abs=0.03)
    assert {word.probability for word in transcript.words} == {0.9}
    assert {segment.token_ids for segment in transcript.segments} == {()}
    assert {attempt.window_frames for segment in transcript.segments for attempt in segment.attempts} == {0}


def test_without_times_words_are_spread_over_the_speech(talk: Path) -> None:
    transcript = world_of(times_words=False).transcriber.transcribe(talk, model="fake")
    assert transcript.text == " ".join([FIVE] * 3)
    assert {word.source for word in transcript.words} == {WordSource.INTERPOLATED}
    starts = [word.start_s for word in transcript.words]
    assert starts == sorted(starts)
    assert 0.4 <= starts[0] < 0.7


@pytest.mark.parametrize("times_words", [True, False])
def test_words_are_timed_by_ctc_where_that_is_asked_for(talk: Path, *, times_words: bool) -> None:
    words = world_of(times_words=times_words).transcriber.transcribe(talk, CTC, model="fake").words
    assert [word.text for word in words] == FIVE.split() * 3
    assert {word.source for word in words} == {WordSource.CTC}
    assert [word.start_s for word in words[:5]] == pytest.approx([0.5 + 0.8 * n for n in range(5)], abs=0.05)


@pytest.mark.parametrize("times_words", [True, False])
@pytest.mark.parametrize("error", [EngineError("fake", "emit", "x"), ModelUnavailable("a/b", "no"), ValueError("x")])
def test_an_aligner_that_fails_costs_no_word(talk: Path, error: Exception, *, times_words: bool) -> None:
    def fail(stage: str, _number: int) -> None:
        if stage == "emit":
            raise error

    words = (
        world_of(emitters=Faults(fail), times_words=times_words).transcriber.transcribe(talk, CTC, model="fake").words
    )
    assert [word.text for word in words] == FIVE.split() * 3
    assert {word.source for word in words} == {WordSource.TOKENS if times_words else WordSource.INTERPOLATED}


class LostAligner(FakeWordAligner):
    """It puts all words at the clip's start."""

    def align_words(self, clip: Samples, words: Sequence[str]) -> list[WordTime | None]:
        return [WordTime(0.02 * n, 0.02 * n + 0.02, WordSource.CTC, 0.1) for n, _ in enumerate(words)]


def test_an_aligner_that_lost_its_place_is_not_believed_where_the_engine_told_times(talk: Path) -> None:
    words = world_of(aligner=LostAligner).transcriber.transcribe(talk, CTC, model="fake").words
    assert {word.source for word in words} == {WordSource.TOKENS}
    assert words[4].start_s > 2


def test_an_engine_may_cut_words_otherwise_than_a_text_is_written(tmp_path: Path) -> None:
    talk = write_speech(tmp_path / "talk.wav", speech_samples(2))
    pieces = [word("don", 0.5, 0.8, 0.8), word("'t", 0.8, 1.0, 0.6), word("stop", 1.3, 1.7, 1.0)]
    words = world_of(says=says("I don't stop.", *pieces)).transcriber.transcribe(talk, model="fake").words
    assert [word.text for word in words] == ["I", "don't", "stop."]
    assert words[1].probability == pytest.approx(0.7)
    assert words[1].end_s - words[1].start_s == pytest.approx(0.5)
    assert words[2].start_s - words[1].start_s == pytest.approx(0.8)
    assert words[0].end_s <= words[1].start_s


@pytest.mark.parametrize(
    "told", [("seven", 0.5, 0.9), ("one", math.nan, 0.9), ("one", 0.9, 0.5), ("", 0.5, 0.9)], ids=str
)
def test_times_that_do_not_fit_the_text_cost_no_word(tmp_path: Path, told: tuple[str, float, float]) -> None:
    talk = write_speech(tmp_path / "talk.wav", speech_samples(5))
    words = world_of(says=says("one two", word(*told))).transcriber.transcribe(talk, model="fake").words
    assert [said.text for said in words] == ["one", "two"]
    assert {said.source for said in words} == {WordSource.INTERPOLATED}


def test_a_text_in_a_script_without_blanks_has_a_word_a_character(tmp_path: Path) -> None:
    talk = write_speech(tmp_path / "talk.wav", speech_samples(2))
    words = [word("\u4f60\u597d", 0.5, 1.2), word("\u5417", 1.3, 1.7)]
    world = world_of(languages=("zh",), says=says("\u4f60\u597d\u5417?", *words))
    transcript = world.transcriber.transcribe(talk, model="fake")
    assert transcript.text == "\u4f60\u597d\u5417?"
    assert [word.text for word in transcript.words] == ["\u4f60", "\u597d", "\u5417?"]


def test_a_text_that_goes_round_is_there_once(talk: Path) -> None:
    sentence = "so we went to the other house "
    world = world_of(says=says(f"and {sentence * 12}".strip()))
    transcript = world.transcriber.transcribe(talk, model="fake")
    assert transcript.text == " ".join([f"and {sentence}".strip()] * 3)
    assert {rejected.reason.partition(":")[0] for rejected in transcript.rejected} == {"loop"}


def test_what_the_engine_doubts_is_listed_and_not_returned(talk: Path) -> None:
    world = world_of(says=says("Thank you for watching!", avg_logprob=-1.5, no_speech_prob=0.9))
    transcript = world.transcriber.transcribe(talk, model="fake")
    assert transcript.words == ()
    assert [rejected.text for rejected in transcript.rejected] == ["Thank you for watching!"] * 3


def test_chunks_of_all_lengths_go_together(tmp_path: Path) -> None:
    lengths = [2, 30, 9, 17]
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(words)) for n, words in enumerate(lengths)]
    world = world_of()
    outcomes = list(world.transcriber.transcribe_many(files, model="fake"))
    assert sorted(len(outcome.transcript.words) for outcome in outcomes if outcome.transcript) == sorted(lengths)
    [engine] = world.fakes
    assert engine.spec.one_window


def test_a_card_that_breaks_ends_the_job_on_the_cpu(talk: Path) -> None:
    world = world_of(CARD)

    def fail(stage: str, number: int) -> None:
        if stage == "transcribe" and number > 1:
            raise DeviceError("cuda", FailureCause.STICKY, "transcribe: CUDA failed with error something")

    world.faults["cuda"].fail = fail
    transcript = world.transcriber.transcribe(talk, TranscribeOptions(batch_size=1), model="fake")
    assert transcript.text == " ".join([FIVE] * 3)
    assert transcript.device == "cpu"


def test_a_card_without_room_halves_the_batch(talk: Path) -> None:
    world = world_of(CARD)

    def fail(stage: str, _number: int) -> None:
        if stage == "transcribe" and world.faults["cuda"].rows > 1:
            raise DeviceError("cuda", FailureCause.OUT_OF_MEMORY, "transcribe: CUDA failed with error out of memory")

    world.faults["cuda"].fail = fail
    transcript = world.transcriber.transcribe(talk, model="fake")
    assert (transcript.text, transcript.device) == (" ".join([FIVE] * 3), "cuda")


def test_an_engine_that_fails_fails_its_file_alone(tmp_path: Path) -> None:
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(3 + n)) for n in range(3)]

    def count(clip: np.ndarray) -> Said:
        said = FakeTextEngine()._count(clip)
        if len(said.words) == 4:
            raise EngineError("fake", "transcribe", "this one it cannot")
        return said

    outcomes = list(world_of(says=count).transcriber.transcribe_many(files, model="fake"))
    assert sorted(len(o.transcript.words) for o in outcomes if o.transcript) == [3, 5]
    assert [type(outcome.error) for outcome in outcomes if outcome.error] == [EngineError]


def test_a_job_that_is_cancelled_ends_before_the_next_call(talk: Path) -> None:
    token, world = CancelToken(), world_of()
    for faults in world.faults.values():
        faults.fail = lambda _stage, _number: token.cancel()
    with pytest.raises(Cancelled):
        world.transcriber.transcribe(talk, TranscribeOptions(batch_size=1), model="fake", cancel=token)
    assert sum(len(engine.heard) for engine in world.fakes) <= 2  # one for each worker


def test_of_several_languages_one_has_to_be_given(talk: Path) -> None:
    world = world_of(languages=("en", "de"))
    with pytest.raises(InvalidOption, match="de, en"):
        world.transcriber.transcribe(talk, model="fake")
    transcript = world.transcriber.transcribe(talk, TranscribeOptions(language="de"), model="fake")
    assert {segment.language for segment in transcript.segments} == {"de"}
    assert {language for engine in world.fakes for _, language in engine.heard} == {"de"}


@pytest.mark.parametrize(
    "asked",
    [
        {"prefix": "So"}, {"hotwords": "doors"}, {"initial_prompt": "Doors."}, {"beam_size": 3},
        {"temperatures": (0.5,)}, {"max_new_tokens": 9}, {"suppress_tokens": (5,)}, {"suppress_blank": False},
        {"patience": 2.0}, {"length_penalty": 2.0}, {"repetition_penalty": 2.0}, {"no_repeat_ngram_size": 3},
        {"task": Task.TRANSLATE}, {"code_switching": True}, {"language": "de"}, {"allowed_languages": ("de", "fr")},
    ],
    ids=str,
)  # fmt: skip
def test_what_it_cannot_do_is_refused_before_anything_is_read(talk: Path, asked: dict[str, Any]) -> None:
    world = world_of()
    with pytest.raises(InvalidOption):
        world.transcriber.transcribe(talk, replace(TranscribeOptions(), **asked), model="fake")
    assert not any(engine.heard for engine in world.fakes)
