"""The real whisperX behind the contract: recognition with Whisper's weights, alignment with the committed model."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import torch
import whisperx.alignment
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.device import CPU
from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.domain.request import Aligner, TranscribeOptions
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines import whisperx as engine
from autorag_whisper.engines import whisperx_alignment
from autorag_whisper.engines.base import Wording
from autorag_whisper.engines.ctranslate2 import LoadRequest
from autorag_whisper.settings import Settings
from autorag_whisper.testing import write_speech
from autorag_whisper.worker.client import WorkerTranscriber
from ctc_speech import read_speech

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber import Transcriber

CACHE = "AUTORAG_WHISPER_CACHE_DIR"


class OneFrameALetter(torch.nn.Module):
    """The committed model says a letter for as long as it lasts; trained with CTC's own loss it would say it once, and
    then blanks, which is what whisperX's search is made for."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, sound: torch.Tensor) -> Any:
        found = self.model(sound)
        best = found.logits.argmax(-1)
        again = torch.zeros_like(best, dtype=torch.bool)
        again[:, 1:] = best[:, 1:] == best[:, :-1]
        found.logits[again] -= 20.0
        found.logits[..., 0][again] = 20.0
        return found


@pytest.fixture(autouse=True)
def _aligner(monkeypatch: pytest.MonkeyPatch) -> None:
    load = whisperx.alignment.load_align_model

    def wrapped(*arguments: Any, **options: Any) -> tuple[Any, Any]:
        model, metadata = load(*arguments, **options)
        return OneFrameALetter(model), metadata

    monkeypatch.setattr(whisperx.alignment, "load_align_model", wrapped)


@pytest.fixture
def settings(ctc_tiny_en_folder: Path) -> Settings:
    return Settings(engine="whisperx", offline=True, align_models={"en": str(ctc_tiny_en_folder)})


@pytest.fixture
def spans() -> tuple[TracerProvider, InMemorySpanExporter]:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


@pytest.fixture
def transcriber(settings: Settings, spans: tuple[TracerProvider, InMemorySpanExporter]) -> Iterator[Transcriber]:
    with build_transcriber(settings, environ=dict(os.environ), tracer_provider=spans[0]) as made:
        yield made


@pytest.fixture
def truth(demo_sample: Path) -> list[dict[str, Any]]:
    words: list[dict[str, Any]] = json.loads(demo_sample.with_suffix(".words.json").read_text())["words"]
    return words


@pytest.fixture
def sentence(root: Path, tmp_path: Path) -> Path:
    """A sentence without signs, of which whisperX's search would lose its place with the committed model."""
    clips = {clip.name: clip for clip in read_speech(root / "tests" / "data" / "ctc-speech")}
    return write_speech(tmp_path / "sentence.wav", clips["slt"].samples[: 4 * 16_000])


def check_words(transcript: Transcript) -> None:
    """What the contract says of words."""
    words = transcript.words
    assert [word.text for word in words] == transcript.text.split()
    assert all(0 <= word.start_s <= word.end_s <= transcript.duration_s for word in words)
    starts = [word.start_s for word in words]
    assert starts == sorted(starts)
    assert all(0 < word.probability <= 1 for word in words)


def test_every_word_has_its_time_from_whisperx_and_a_second_job_loads_nothing(
    transcriber: Transcriber, sentence: Path, spans: tuple[TracerProvider, InMemorySpanExporter]
) -> None:
    first = transcriber.transcribe(sentence, model="tiny.en")
    check_words(first)
    assert len(first.words) > 10
    assert {word.source for word in first.words} == {WordSource.CTC}
    assert first.device_fallbacks == ()
    again = transcriber.transcribe(sentence, model="tiny.en")
    assert again.words == first.words
    names = [span.name.removeprefix("autorag.whisper.") for span in spans[1].get_finished_spans()]
    assert names.count("load_model") == 1
    for name in ("load_audio", "ct2_transcribe", "align", "get_align_model"):
        assert names.count(name) >= 2
    found = [dict(s.attributes or {}) for s in spans[1].get_finished_spans() if s.name.endswith("get_align_model")]
    assert [one["align.restored_from"] for one in found].count("fresh_load") == 1


def test_nothing_asks_the_network(transcriber: Transcriber, sentence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert {word.source for word in transcriber.transcribe(sentence, model="tiny.en").words} == {WordSource.CTC}


def test_plain_words_lie_where_the_synthesiser_put_them(ctc_tiny_en_folder: Path, root: Path) -> None:
    aligner = whisperx_alignment.load("en", ctc_tiny_en_folder, "ctc-tiny-en", CPU)
    errors = []
    for clip in read_speech(root / "tests" / "data" / "ctc-speech"):
        last = next(n for n, word in enumerate(clip.words) if word.text.endswith("."))
        sentence = clip.words[: last + 1]  # the later ones have digits: whisperX hears each as any one letter
        sound = clip.samples[: round((sentence[-1].end_s + 0.3) * 16_000)]
        found = aligner.align_words(sound, [word.text for word in sentence])
        errors += [abs(span.start_s - word.start_s) for span, word in zip(found, sentence, strict=True) if span]
    assert len(errors) == 77
    assert np.median(errors) < 0.08
    assert max(errors) < 0.6


def test_a_text_in_which_it_loses_its_place_is_timed_by_its_tokens(
    transcriber: Transcriber, demo_sample: Path, truth: list[dict[str, Any]]
) -> None:
    """Numbers, each letter of which takes seconds to say: its search ends early, all words at the start."""
    transcript = transcriber.transcribe(demo_sample, model="tiny.en")
    check_words(transcript)
    assert {word.source for word in transcript.words} == {WordSource.TOKENS}
    assert transcript.words[-1].start_s == pytest.approx(truth[-1]["s"], abs=0.3)


@pytest.mark.parametrize("error", [RuntimeError("shape"), IndexError("0"), ZeroDivisionError()])
def test_a_text_at_which_it_raises_costs_no_other_text_its_times(
    ctc_tiny_en_folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    aligner = whisperx_alignment.load("en", ctc_tiny_en_folder, "ctc-tiny-en", CPU)
    align, sound = whisperx.alignment.align, read_speech(root / "tests" / "data" / "ctc-speech")[0].samples

    def fail(*_arguments: Any) -> None:
        raise error

    monkeypatch.setattr(whisperx.alignment, "align", fail)
    assert aligner.align_words(sound, ["one", "two"]) == [None, None]
    monkeypatch.setattr(whisperx.alignment, "align", align)
    assert all(aligner.align_words(sound, ["one", "two"]))


@pytest.mark.parametrize("aligner", [Aligner.TOKENS, Aligner.NONE])
def test_without_its_aligner_words_are_timed_by_the_model_itself(
    transcriber: Transcriber, demo_sample: Path, truth: list[dict[str, Any]], aligner: Aligner
) -> None:
    transcript = transcriber.transcribe(demo_sample, TranscribeOptions(aligner=aligner), model="tiny.en")
    check_words(transcript)
    if aligner is Aligner.TOKENS:
        starts = {word["w"]: word["s"] for word in truth}
        near = [abs(word.start_s - starts[word.text]) < 0.3 for word in transcript.words if word.text in starts]
        assert sum(near) > 0.8 * len(near) > 8


def test_a_language_without_a_model_is_timed_by_its_tokens(demo_sample: Path) -> None:
    settings = Settings(engine="whisperx", offline=True)
    with build_transcriber(settings, environ=dict(os.environ)) as transcriber:
        transcript = transcriber.transcribe(demo_sample, model="tiny.en")
    check_words(transcript)
    assert {word.source for word in transcript.words} == {WordSource.TOKENS}


def test_silence_is_no_words(transcriber: Transcriber, tmp_path: Path) -> None:
    quiet = write_speech(tmp_path / "quiet.wav", np.zeros(16_000 * 5, np.float32))
    assert transcriber.transcribe(quiet, model="tiny.en").words == ()


def test_the_command_needs_no_ffmpeg_and_prints_nothing_but_the_result(
    demo_sample: Path, ctc_tiny_en_folder: Path, root: Path
) -> None:
    environ = {
        "PATH": "/nowhere",
        "PYTHONPATH": str(root / "src"),
        "AUTORAG_WHISPER_OFFLINE": "1",
        CACHE: os.environ[CACHE],
        "AUTORAG_WHISPER_ALIGN_MODELS": f"en={ctc_tiny_en_folder}",
    }
    command = [sys.executable, "-c", "from autorag_whisper.cli import main; main()", "transcribe", str(demo_sample)]
    command += ["--engine", "whisperx", "-m", "tiny.en", "-f", "words", "-o", "-"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    words = json.loads(done.stdout)
    assert {"w", "s", "e", "p"} == set((words["words"] if isinstance(words, dict) else words)[0])


def test_a_worker_process_drives_it_too(demo_sample: Path, ctc_tiny_en_folder: Path, root: Path) -> None:
    environ = dict(os.environ) | {
        "AUTORAG_WHISPER_ENGINE": "whisperx",
        "AUTORAG_WHISPER_ALIGN_MODELS": f"en={ctc_tiny_en_folder}",
        "PYTHONPATH": str(root / "src"),
    }
    with WorkerTranscriber(environ=environ) as worker:
        check_words(worker.transcribe(demo_sample, model="tiny.en"))


def test_the_language_of_a_call_is_not_the_next_ones(base_folder: Path, demo_sample: Path) -> None:
    recognizer = engine.load(LoadRequest(base_folder, "base", CPU, "int8", 2, strict_window=True))
    with av.open(str(demo_sample)) as container:
        resampler = av.AudioResampler("fltp", "mono", 16_000)
        pieces = [p.to_ndarray()[0] for f in container.decode(audio=0) for p in resampler.resample(f)]
    clip = np.concatenate(pieces)[: 10 * 16_000]
    texts = []
    for language in ("en", "ja", "en"):
        _, [found] = recognizer.recognise([clip], Wording(language, "transcribe", beam_size=5))
        texts.append(recognizer.tokenizer.decode(found.token_ids))
    assert texts[0] == texts[2]
    assert [text.isascii() for text in texts] == [True, False, True]


def test_damaged_weights_are_told_as_such(tiny_en_folder: Path, tmp_path: Path) -> None:
    for file in tiny_en_folder.iterdir():
        if file.name != "model.bin":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.bin").write_bytes(b"no weights")
    with pytest.raises(ModelDamaged, match=r"model\.bin"):
        engine.load(LoadRequest(tmp_path, "damaged", CPU, "int8", 1, strict_window=True))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelDamaged, match="tokenizer"):
        engine.load(LoadRequest(tmp_path, "damaged", CPU, "int8", 1, strict_window=True))
