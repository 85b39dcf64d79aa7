"""Alignment by CTC as a way of a run: over fakes, and with the committed model on real speech."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autorag_whisper.bootstrap import build_alignment_models, build_transcriber
from autorag_whisper.domain.device import Device, FailureCause
from autorag_whisper.domain.errors import DeviceError, EngineError, ModelUnavailable
from autorag_whisper.domain.request import Aligner, Task, TranscribeOptions
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.base import CharacterHeads
from autorag_whisper.residency.alignment_models import AlignmentModels
from autorag_whisper.settings import Settings
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import FakeEmitter, Faults, speech_samples, write_speech
from run_world import CARD, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from autorag_whisper.domain.device import Hardware
    from autorag_whisper.domain.transcript import Transcript

CTC = TranscribeOptions(language="en", aligner=Aligner.CTC)
HEADS = CharacterHeads(((2, 4),), late_s=0.0)


class CtcWorld(World):
    """A world with alignment models; `refuse(language)` raises what a load of one would."""

    def __init__(
        self, *hardware: Hardware, faults: Faults | None = None, refuse: Callable[[str], None] = lambda _language: None
    ) -> None:
        self.asked: list[tuple[str, str]] = []
        self.emitters: list[FakeEmitter] = []
        self._refuse, self._emitter_faults = refuse, faults
        self.spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.models = AlignmentModels(self._lend, Telemetry(provider))
        super().__init__(*hardware, alignment_models=self.models, characters=HEADS)

    def _lend(self, language: str, device: Device) -> FakeEmitter:
        self.asked.append((language, str(device)))
        self._refuse(language)
        self.emitters.append(FakeEmitter(device=device, faults=self._emitter_faults))
        return self.emitters[-1]

    def span_names(self) -> list[str]:
        return [span.name.removeprefix("autorag.whisper.") for span in self.spans.get_finished_spans()]


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Three chunks of five words."""
    return write_speech(tmp_path / "talk.wav", np.concatenate([speech_samples(5, tail_s=6.0)] * 3))


def sources(transcript: Transcript) -> set[WordSource]:
    return {word.source for word in transcript.words}


def test_words_are_timed_by_the_model_of_their_language_and_keep_their_probability(talk: Path) -> None:
    world = CtcWorld()
    transcript = world.transcriber.transcribe(talk, CTC, model="fake")
    assert sources(transcript) == {WordSource.CTC}
    starts = [word.start_s for word in transcript.words[:5]]
    assert starts == pytest.approx([0.5 + 0.8 * n for n in range(5)], abs=0.03)
    assert all(word.score and word.score > 0.5 for word in transcript.words)
    assert {round(word.probability, 1) for word in transcript.words} == {0.9}
    assert world.asked == [("en", "cpu")]


def test_a_second_job_loads_nothing(talk: Path) -> None:
    world = CtcWorld()
    for _ in range(2):
        world.transcriber.transcribe(talk, CTC, model="fake")
    assert len(world.asked) == 1
    origins = [s.attributes["align.restored_from"] for s in world.spans.get_finished_spans() if s.attributes]
    assert origins.count("fresh_load") == 1
    assert set(origins) == {"fresh_load", "cpu"}


def test_on_a_card_a_run_moves_its_model_once_and_the_next_run_restores_it(talk: Path) -> None:
    world = CtcWorld(CARD)
    for _ in range(2):
        transcript = world.transcriber.transcribe(talk, CTC, model="fake")
        assert sources(transcript) == {WordSource.CTC}
    assert world.asked == [("en", "cuda")]
    assert world.emitters[0].moves == ["offload", "restore", "offload"]
    assert world.span_names().count("offload_align") == 2


def test_no_model_for_a_language_is_one_warning_and_words_by_letters(
    talk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_language: str) -> None:
        raise ModelUnavailable("owner/name", "downloads are switched off")

    world = CtcWorld(refuse=refuse)
    transcript = world.transcriber.transcribe(talk, CTC, model="fake")
    assert sources(transcript) == {WordSource.CHARACTERS}
    assert len(transcript.words) == 15
    assert world.asked == [("en", "cpu")]
    (warning,) = [record.getMessage() for record in caplog.records if "no alignment by CTC" in record.message]
    assert "downloads are switched off. allow the download" in warning  # what is wrong, and what to do


@pytest.mark.parametrize("number", [1, 2])
def test_an_engine_that_fails_costs_no_word(talk: Path, number: int) -> None:
    def fail(stage: str, now: int) -> None:
        if stage == "emit" and now >= number:
            raise EngineError("fake", "emit", "on request")

    transcript = CtcWorld(faults=Faults(fail=fail)).transcriber.transcribe(talk, CTC, model="fake")
    assert [word.text for word in transcript.words] == ["one", "two", "three", "four", "five"] * 3
    assert WordSource.CHARACTERS in sources(transcript)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"text"', "{}", '{"conv_kernel": "ten"}', "{", ""])
@pytest.mark.parametrize("file", ["config.json", "vocab.json", "preprocessor_config.json"])
def test_a_checkpoint_whose_json_is_anything_costs_no_word(
    talk: Path, ctc_tiny_en_folder: Path, tmp_path: Path, file: str, text: str
) -> None:
    folder = shutil.copytree(ctc_tiny_en_folder, tmp_path / "model")
    (folder / file).write_text(text)
    assert_words_without_ctc(talk, folder, tmp_path / "cache", may_serve=file.startswith("prep"))


def test_a_cache_that_cannot_be_written_costs_no_word_and_is_named(
    talk: Path, ctc_tiny_en_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert_words_without_ctc(talk, ctc_tiny_en_folder, tmp_path / "file" / "cache")
    assert "AUTORAG_WHISPER_CACHE_DIR" in caplog.text
    assert str(tmp_path) not in caplog.text


def assert_words_without_ctc(talk: Path, folder: Path, cache: Path, *, may_serve: bool = False) -> None:
    settings = Settings(align_models={"en": str(folder)}, offline=True, cache_dir=cache)
    world = World(alignment_models=build_alignment_models(settings, Telemetry(), {}), characters=HEADS)
    transcript = world.transcriber.transcribe(talk, CTC, model="fake")
    assert [word.text for word in transcript.words] == ["one", "two", "three", "four", "five"] * 3
    assert sources(transcript) == {WordSource.CHARACTERS} or may_serve


def test_a_card_that_dies_under_the_aligner_loses_no_chunk(talk: Path) -> None:
    def fail(stage: str, _number: int) -> None:
        if stage == "emit" and world.emitters[-1].spec.device.is_cuda:
            raise DeviceError("cuda:0", FailureCause.STICKY, "emit: CUDA failed with error something")

    world = CtcWorld(CARD, faults=Faults(fail=fail))
    transcript = world.transcriber.transcribe(talk, CTC, model="fake")
    assert [word.text for word in transcript.words] == ["one", "two", "three", "four", "five"] * 3
    assert sources(transcript) == {WordSource.CTC}
    assert transcript.device == "cpu"
    assert world.asked == [("en", "cuda"), ("en", "cpu")]
    assert world.emitters[0].closed
    world.models.check()


def test_the_words_of_a_translation_are_not_looked_for_in_the_sound(talk: Path) -> None:
    world = CtcWorld()
    options = TranscribeOptions(language="de", task=Task.TRANSLATE, aligner=Aligner.CTC)
    assert sources(world.transcriber.transcribe(talk, options, model="fake")) == {WordSource.CHARACTERS}
    assert world.asked == []


def test_nothing_is_loaded_unless_it_is_asked_for(talk: Path) -> None:
    world = CtcWorld()
    world.transcriber.transcribe(talk, model="fake")
    assert world.asked == []


def test_closing_the_transcriber_closes_the_alignment_models(talk: Path) -> None:
    world = CtcWorld()
    world.transcriber.transcribe(talk, CTC, model="fake")
    world.transcriber.close()
    assert world.emitters[0].closed


@pytest.mark.slow
def test_real_speech_is_timed_by_the_committed_model(
    root: Path, demo_sample: Path, ctc_tiny_en_folder: Path, tmp_path: Path
) -> None:
    truth = json.loads((root / "samples" / "demo.words.json").read_text())["words"]
    settings = Settings(align_models={"en": str(ctc_tiny_en_folder)}, offline=True)
    with build_transcriber(settings) as transcriber:
        transcript = transcriber.transcribe(demo_sample, CTC, model="tiny.en")
    assert sources(transcript) == {WordSource.CTC}
    assert all(word.score is not None for word in transcript.words)
    starts = {word.text.strip(".,").lower(): word.start_s for word in transcript.words}
    errors = [abs(starts[w] - t["s"]) for t in truth if (w := t["w"].strip(".,").lower()) in starts]
    assert len(errors) > len(truth) / 2
    assert np.median(errors) < 0.05
