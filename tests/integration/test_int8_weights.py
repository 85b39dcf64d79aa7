"""A real model whose weights were converted to int8 beforehand, against the engine's own conversion at the load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.features import frame_count, log_mel
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.device import CPU, Device, DeviceKind, ModelKey
from autorag_whisper.engines.base import Decoding
from autorag_whisper.engines.ctranslate2 import LoadRequest, load
from autorag_whisper.loading.int8_weights import with_int8_weights
from autorag_whisper.loading.load_requests import load_request
from autorag_whisper.models.store import ModelFiles, ModelOrigin

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def features(demo_sample: Path) -> np.ndarray:
    source = MediaSource.from_path(demo_sample)
    with source.open() as file, MediaDecoder(file, source.name) as decoder:
        speech = np.concatenate([block.data for block in decoder])[: 8 * 16_000]
    padded = np.zeros((1, 80, 1000), np.float32)
    padded[0, :, : frame_count(len(speech))] = log_mel(speech, 80)
    return padded


def test_the_engine_computes_the_same_to_the_last_bit(
    tiny_en_folder: Path, features: np.ndarray, tmp_path: Path
) -> None:
    converted = with_int8_weights(tiny_en_folder, tmp_path)
    assert converted != tiny_en_folder
    found = []
    for folder in (tiny_en_folder, converted):
        engine = load(LoadRequest(folder, "tiny.en", CPU, "int8", 1, strict_window=False))
        encoded = engine.encode(features)
        prompt = engine.tokenizer.prompt("en", "transcribe")
        [text] = engine.generate(encoded, [prompt], Decoding(temperature=0.0, beam_size=5, max_new_tokens=100))
        start = engine.tokenizer.start_sequence("en", "transcribe")
        [times] = engine.align(encoded, start, [text.token_ids], [500])
        found.append((np.asarray(encoded.value), text, times, engine.spec))
        engine.close()
    (encoded, text, times, spec), (other_encoded, other_text, other_times, other_spec) = found
    assert len(text.token_ids) > 10
    assert (text, spec) == (other_text, other_spec)
    assert np.array_equal(encoded, other_encoded)
    assert np.array_equal(times.starts, other_times.starts)
    assert np.array_equal(times.probabilities, other_times.probabilities)


@pytest.mark.parametrize(
    ("device", "compute_type", "converted"),
    [
        (CPU, "int8", True),
        (CPU, "int8_float32", True),
        (CPU, "float32", False),
        (Device(DeviceKind.CUDA), "float16", False),
        (Device(DeviceKind.CUDA), "int8", False),
    ],
)
def test_only_a_cpu_that_multiplies_int8_loads_it(
    tiny_en_folder: Path, tmp_path: Path, device: Device, compute_type: str, *, converted: bool
) -> None:
    files = ModelFiles("tiny.en", tiny_en_folder, ModelOrigin.PACKAGE)
    request = load_request(files, ModelKey(str(tiny_en_folder), device, compute_type), 1, tmp_path)
    original = (tiny_en_folder / "model.bin").stat().st_size
    assert ((request.folder / "model.bin").stat().st_size < original) == converted


def test_a_cache_that_cannot_be_written_costs_time_and_a_warning_not_the_run(
    tiny_en_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "int8").write_text("in the way")
    files = ModelFiles("tiny.en", tiny_en_folder, ModelOrigin.PACKAGE)
    request = load_request(files, ModelKey(str(tiny_en_folder), CPU, "int8"), 1, tmp_path)
    assert (request.folder / "model.bin").samefile(tiny_en_folder / "model.bin")
    assert "weights of tiny.en are converted at every load" in caplog.text
