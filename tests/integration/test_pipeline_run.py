"""A run over an engine that decodes and aligns by rules of its own: the contract holds for it as for the other."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.device import Device, FailureCause
from autorag_whisper.domain.errors import DeviceError, EngineError, ModelUnavailable
from autorag_whisper.domain.request import Aligner, Task, TranscribeOptions
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.residency.alignment_models import AlignmentModels
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import (
    FakeTokenizer,
    FakeWhisperPipeline,
    FakeWordAligner,
    Faults,
    speech_samples,
    write_speech,
)
from run_world import CARD, NO_CARD, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from autorag_whisper.domain.device import Hardware
    from autorag_whisper.transcriber import Progress

FIVE = "one two three four five"
CTC = TranscribeOptions(language="en", aligner=Aligner.CTC)


class PipelineWorld(World):
    """A world whose engine is a pipeline with an aligner of its own."""

    def __init__(self, hardware: Hardware = NO_CARD, *, faults: Faults | None = None, **fake: object) -> None:
        self.aligners: list[FakeWordAligner] = []
        self.refuse: Callable[[], None] = lambda: None
        self.aligner: type[FakeWordAligner] = FakeWordAligner
        self._aligner_faults = faults
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        telemetry = Telemetry(provider)
        models = AlignmentModels(self._lend, telemetry)
        super().__init__(hardware, alignment_models=models, telemetry=telemetry, engine=FakeWhisperPipeline, **fake)

    def _lend(self, _language: str, device: Device) -> FakeWordAligner:
        self.refuse()
        self.aligners.append(self.aligner(device=device, faults=self._aligner_faults))
        return self.aligners[-1]

    @property
    def calls(self) -> list[tuple[int, str, str]]:
        """(clips, language, task) of every call of the pipeline."""
        return [
            (count, wording.language, wording.task)
            for made in self.fakes
            if isinstance(made, FakeWhisperPipeline)
            for count, wording in made.heard
        ]

    def spans(self, name: str) -> list[dict[str, object]]:
        return [dict(s.attributes or {}) for s in self.exporter.get_finished_spans() if s.name.endswith(name)]


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Three chunks of five words."""
    return write_speech(tmp_path / "talk.wav", np.concatenate([speech_samples(5, tail_s=6.0)] * 3))


def says(text: str, **figures: float) -> Callable[[np.ndarray], Hypothesis]:
    def script(_features: np.ndarray) -> Hypothesis:
        ids = FakeTokenizer().encode(f" {text}")
        return Hypothesis(ids, figures.get("logprob", -0.2), figures.get("no_speech", 0.01), cap_hit=False)

    return script


def test_text_and_times_are_the_engines_own(talk: Path) -> None:
    world = PipelineWorld()
    transcript = world.transcriber.transcribe(talk, CTC, model="fake")
    assert transcript.text == " ".join([FIVE] * 3)
    assert {word.source for word in transcript.words} == {WordSource.CTC}
    assert [word.start_s for word in transcript.words[:5]] == pytest.approx([0.5 + 0.8 * n for n in range(5)], abs=0.03)
    assert {word.score for word in transcript.words} == {0.9}
    assert sum(count for count, _, _ in world.calls) == 3


def test_words_that_it_cannot_place_lie_between_those_that_it_can(talk: Path) -> None:
    world = PipelineWorld(script=says("one 22 three $44 five"))
    words = world.transcriber.transcribe(talk, CTC, model="fake").words[:5]
    assert [word.text for word in words] == ["one", "22", "three", "$44", "five"]
    placed, guessed = [words[n] for n in (0, 2, 4)], [words[n] for n in (1, 3)]
    assert {word.source for word in placed} == {WordSource.CTC}
    assert {(word.source, word.score) for word in guessed} == {(WordSource.INTERPOLATED, None)}
    for before, word, after in zip(words, words[1:], words[2:], strict=False):
        assert before.start_s <= word.start_s <= after.start_s
    assert words[0].end_s <= words[1].start_s < words[1].end_s <= words[2].start_s + 1e-6


@pytest.mark.parametrize("aligner", [Aligner.CTC, Aligner.TOKENS, Aligner.NONE])
def test_no_word_is_lost_whoever_times_it(talk: Path, aligner: Aligner) -> None:
    options = TranscribeOptions(language="en", aligner=aligner)
    assert len(PipelineWorld().transcriber.transcribe(talk, options, model="fake").words) == 15


def test_a_text_of_which_it_places_nothing_is_timed_by_its_tokens(talk: Path) -> None:
    transcript = PipelineWorld(script=says("1 2 3")).transcriber.transcribe(talk, CTC, model="fake")
    assert [word.text for word in transcript.words] == ["1", "2", "3"] * 3
    assert {word.source for word in transcript.words} == {WordSource.TOKENS}


class LostAligner(FakeWordAligner):
    """It puts all words at the clip's start, as whisperX does where its search ends early."""

    def align_words(self, clip: np.ndarray, words: Sequence[str]) -> list[WordTime | None]:  # type: ignore[override]  # samples are an array
        return [WordTime(0.02 * n, 0.02 * n + 0.02, WordSource.CTC, 0.01) for n, _ in enumerate(words)]


def test_an_aligner_that_lost_its_place_is_not_believed(talk: Path) -> None:
    world = PipelineWorld()
    world.aligner = LostAligner
    transcript = world.transcriber.transcribe(talk, CTC, model="fake")
    assert {word.source for word in transcript.words} == {WordSource.TOKENS}
    assert transcript.words[4].start_s > 2


def test_an_aligner_that_cannot_be_had_costs_no_word(talk: Path) -> None:
    world = PipelineWorld()

    def refuse() -> None:
        raise ModelUnavailable("owner/name", "downloads are switched off")

    world.refuse = refuse
    transcript = world.transcriber.transcribe(talk, CTC, model="fake")
    assert len(transcript.words) == 15
    assert {word.source for word in transcript.words} == {WordSource.TOKENS}


def test_an_aligner_that_fails_in_mid_file_costs_no_word(talk: Path) -> None:
    def fail(stage: str, number: int) -> None:
        if stage == "align" and number > 1:
            raise EngineError("fake", stage, "something")

    transcript = PipelineWorld(faults=Faults(fail)).transcriber.transcribe(talk, CTC, model="fake")
    assert len(transcript.words) == 15
    assert {word.source for word in transcript.words} == {WordSource.CTC, WordSource.TOKENS}


def test_the_language_is_found_before_the_engine_is_asked(talk: Path) -> None:
    world = PipelineWorld(language=("de", 0.97))
    transcript = world.transcriber.transcribe(talk, model="fake")
    assert transcript.language == "de"
    assert {language for _, language, _ in world.calls} == {"de"}


def test_an_unsure_language_is_voted_on_by_the_first_chunks(talk: Path) -> None:
    world = PipelineWorld(language=("de", 0.4))
    assert world.transcriber.transcribe(talk, model="fake").language == "de"
    assert {language for _, language, _ in world.calls} == {"de"}


def test_chunks_of_two_languages_are_two_calls(tmp_path: Path) -> None:
    loud = np.concatenate([speech_samples(9, tail_s=6.0), speech_samples(4, tail_s=6.0)])
    talk = write_speech(tmp_path / "talk.wav", loud)

    def heard(features: np.ndarray) -> tuple[str, float]:
        return ("en", 0.97) if features.max(axis=0)[500:700].max(initial=0) > 0 else ("de", 0.97)

    world = PipelineWorld(language=heard)
    options = TranscribeOptions(code_switching=True)
    transcript = world.transcriber.transcribe(talk, options, model="fake")
    assert {language for _, language, _ in world.calls} == {segment.language for segment in transcript.segments}
    assert len(transcript.words) == 13


def test_the_wording_is_the_options(talk: Path) -> None:
    world = PipelineWorld()
    options = TranscribeOptions(
        language="de", task=Task.TRANSLATE, beam_size=3, initial_prompt="Prices.", hotwords="tickets"
    )
    world.transcriber.transcribe(talk, options, model="fake")
    [made] = world.fakes
    assert isinstance(made, FakeWhisperPipeline)
    wordings = {wording for _, wording in made.heard}
    assert {(w.language, w.task, w.beam_size, w.previous, w.hotwords) for w in wordings} == {
        ("de", "translate", 3, "Prices.", "tickets")
    }


def test_hallucinated_text_is_listed_and_not_returned(talk: Path) -> None:
    script = says("Thank you for watching!", logprob=-1.5, no_speech=0.9)
    transcript = PipelineWorld(script=script).transcriber.transcribe(talk, CTC, model="fake")
    assert transcript.words == ()
    assert [rejected.text for rejected in transcript.rejected] == ["Thank you for watching!"] * 3


def test_a_card_without_room_halves_the_batch_and_keeps_what_is_done(tmp_path: Path) -> None:
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(5)) for n in range(9)]
    world, all_are_read, seen = PipelineWorld(CARD), Event(), set[str]()

    def fail(stage: str, number: int) -> None:
        if stage == "encode" and number == 2:  # so that a batch can fill up meanwhile
            all_are_read.wait(60)
        if stage == "encode" and world.faults["cuda"].rows > 1:
            raise DeviceError("cuda", FailureCause.OUT_OF_MEMORY, "generate: CUDA failed with error out of memory")

    def note(progress: Progress) -> None:
        seen.add(progress.name)
        if len(seen) == len(files):
            all_are_read.set()

    world.faults["cuda"].fail = fail
    outcomes = list(world.transcriber.transcribe_many(files, CTC, model="fake", on_progress=note))
    transcripts = [outcome.transcript for outcome in outcomes if outcome.transcript]
    assert [(transcript.text, transcript.device) for transcript in transcripts] == [(FIVE, "cuda")] * 9
    assert {step.step for transcript in transcripts for step in transcript.device_fallbacks} == {"halve_batch"}


def test_a_card_that_breaks_ends_the_job_on_the_cpu(talk: Path) -> None:
    world = PipelineWorld(CARD)

    def fail(stage: str, _number: int) -> None:
        if stage == "generate":
            raise DeviceError("cuda", FailureCause.STICKY, "generate: CUDA failed with error something")

    world.faults["cuda"].fail = fail
    transcript = world.transcriber.transcribe(talk, CTC, model="fake")
    assert transcript.text == " ".join([FIVE] * 3)
    assert transcript.device == "cpu"


def test_a_second_job_loads_nothing_and_brings_the_aligner_back(talk: Path) -> None:
    world = PipelineWorld(CARD)
    for _ in range(2):
        world.transcriber.transcribe(talk, CTC, model="fake")
    assert len(world.loads) == len(world.aligners) == 1
    found = [span["align.restored_from"] for span in world.spans("get_align_model")]
    assert found.count("fresh_load") == 1
    assert "cpu_to_cuda_restore" in found
    assert len(world.spans("offload_align")) == 2


def test_the_spans_of_a_file_are_the_same_as_of_any_engine(talk: Path) -> None:
    world = PipelineWorld()
    world.transcriber.transcribe(talk, CTC, model="fake")
    for name in ("load_audio", "ct2_transcribe", "align"):
        assert len(world.spans(name)) == 1
    [align] = world.spans(".align")
    assert align["align.method"] == "ctc"
    assert align["align.language"] == "en"
