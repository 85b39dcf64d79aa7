"""Loaders by engine: from a key to a model in memory. Each adapter is imported when it first loads something."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from autorag_whisper import telemetry as names
from autorag_whisper.engines import ctranslate2
from autorag_whisper.recognition.recognizer import Recognizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from autorag_whisper.domain.device import Device, LoadReason, ModelKey
    from autorag_whisper.engines.aligners import AlignmentModel
    from autorag_whisper.engines.base import LoadedEngine
    from autorag_whisper.loading.model_finder import ModelFinder
    from autorag_whisper.settings import Settings
    from autorag_whisper.telemetry import Telemetry

    Load = Callable[[], LoadedEngine]
    Prepare = Callable[[ModelKey], Load]
    """Makes ready what a load needs (weights, alignment heads; once a machine), and gives the load itself."""

_log = logging.getLogger(__name__)


def whisperx_loader(models: ModelFinder, workers: int) -> Prepare:
    """Loads by whisperX, which times words by models of its own: no heads for letters are sought."""

    def prepare(key: ModelKey) -> Load:
        from autorag_whisper.engines import whisperx

        files = models.of(key)
        request = ctranslate2.LoadRequest(
            files.folder, files.name, key.device, key.compute_type, workers, strict_window=True
        )
        return partial(whisperx.load, request)

    return prepare


def with_load_spans(
    prepare: Prepare, models: ModelFinder, telemetry: Telemetry
) -> Callable[[ModelKey, LoadReason], Recognizer]:
    """A loader that makes a `load_model` span of each load; what `prepare` does is not in the span."""

    def load(key: ModelKey, reason: LoadReason) -> Recognizer:
        load_now = prepare(key)
        attributes = {
            names.MODEL_SIZE: models.of(key).name,
            names.MODEL_DEVICE: str(key.device),
            names.LOAD_REASON: reason.value,
        }
        with telemetry.load_model(attributes) as span:
            engine = load_now()
            span.set_attribute(names.MODEL_COMPUTE_TYPE, engine.spec.compute_type)
        _log.info("model %s loaded on %s (%s)", models.of(key).name, key.device, reason.value)
        return Recognizer(engine)

    return load


def alignment_loader(settings: Settings, cache_dir: Path, workers: int) -> Callable[[str, Device], AlignmentModel]:
    """Loads the alignment model of a language by the engine that can run its checkpoint."""

    def load(language: str, device: Device) -> AlignmentModel:
        from autorag_whisper.engines import ctranslate2_wav2vec2, wav2vec2, whisperx_alignment
        from autorag_whisper.models.alignment import find_alignment_checkpoint

        wanted = settings.align_models.get(language, "")
        name, folder = find_alignment_checkpoint(language, wanted, offline=settings.offline)
        if settings.engine == "whisperx":
            return whisperx_alignment.load(language, folder, name, device)
        if _runs_without_pytorch(folder, name):
            return ctranslate2_wav2vec2.load(folder, name, device, cache_dir=cache_dir, workers=workers)
        return wav2vec2.load(folder, name, device)

    return load


def _runs_without_pytorch(folder: Path, name: str) -> bool:
    from autorag_whisper.engines.ctc_checkpoint import WEIGHTS, read_checkpoint

    return read_checkpoint(folder, name).is_layer_norm_family and (folder / WEIGHTS).is_file()
