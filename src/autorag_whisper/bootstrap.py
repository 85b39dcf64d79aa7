"""The composition root: `Settings` to a `Transcriber`. The only place that names concrete classes.

What every process needs is imported here at the top, what only some do where it is made: a start is a third imports.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from autorag_whisper import telemetry as names
from autorag_whisper.device.device_fallback import DevicePolicy
from autorag_whisper.device.devices import Devices
from autorag_whisper.device.placement import shown
from autorag_whisper.domain.errors import ModelNotFound
from autorag_whisper.domain.request import Aligner
from autorag_whisper.engines import ctranslate2, letter_classifiers
from autorag_whisper.engines.alignment_heads import CHARACTER_HEADS
from autorag_whisper.engines.base import CharacterHeads
from autorag_whisper.engines.silero import SileroVoiceActivity
from autorag_whisper.gpu.arbiter.lease import AtDeadline, LeaseRequest
from autorag_whisper.gpu.card_memory import CardReader
from autorag_whisper.gpu.card_sharing import CardSharing, WhisperTenant
from autorag_whisper.gpu.llm.release import LlmTenant
from autorag_whisper.gpu.llm.spec import parse_llm
from autorag_whisper.loading import kept_heads
from autorag_whisper.loading.chosen_heads import with_heads
from autorag_whisper.loading.int8_weights import with_int8_weights
from autorag_whisper.loading.kept_heads import KeptHeads
from autorag_whisper.loading.small_vocabulary import with_small_vocabulary
from autorag_whisper.models.catalogue import NAMES, find
from autorag_whisper.models.store import ModelOrigin, ModelStore, default_cache_dir
from autorag_whisper.recognition.aligner_fallback import goes_down, told
from autorag_whisper.residency.alignment_models import AlignmentModels
from autorag_whisper.residency.footprints import Footprints
from autorag_whisper.residency.idle import IdleTimer
from autorag_whisper.residency.residency import Residency
from autorag_whisper.settings import Settings
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.transcriber.transcriber import Transcriber, TranscriberParts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from autorag_whisper.domain.device import Device, LoadReason, ModelKey, OnYield
    from autorag_whisper.engines.aligners import AlignmentModel
    from autorag_whisper.engines.base import WhisperModel
    from autorag_whisper.engines.speller import SmallVocabulary
    from autorag_whisper.gpu.arbiter.lease import GpuArbiter, Tenant
    from autorag_whisper.models.store import ModelFiles

    Prepared = Callable[[], WhisperModel]

_log = logging.getLogger(__name__)

_INT8 = frozenset({"int8", "int8_float32"})
"""Compute types that multiply int8 and keep the rest as float32."""


def build_transcriber(
    settings: Settings | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    telemetry: Telemetry | None = None,
    share_cpu: bool = False,
) -> Transcriber:
    """A transcriber of its own, with nothing loaded yet.

    `settings`: None reads them from `environ`, which is this process's own if it is None. Spans and metrics go to the
    given providers, else to those of the process; or `telemetry` has them. `share_cpu`: the CPU stands for a card that
    is shared, for tests and demonstrations. Raises InvalidSettings.
    """
    environ = os.environ if environ is None else environ  # noqa: TID251 - a caller who gives none means this one
    settings = settings or Settings.from_env(environ)
    told_by = telemetry or Telemetry(tracer_provider, meter_provider)
    make = partial(build_parts, settings, environ, told_by, share_cpu=share_cpu)
    return Transcriber(make(), make)


def build_parts(
    settings: Settings, environ: Mapping[str, str], telemetry: Telemetry, *, share_cpu: bool = False
) -> TranscriberParts:
    """What a transcriber has in one process."""
    store = ModelStore(cache_dir=settings.cache_dir, offline=settings.offline, show_progress=True, environ=environ)
    models = ModelFinder(store)
    cards = CardReader(environ)
    workers = settings.threads or usable_cores()
    footprints = _footprints(settings, cards)

    def room(key: ModelKey) -> AbstractContextManager[None]:
        return footprints.copy(key, residency.held_bytes(key.device))

    is_ours = settings.engine != "whisperx"
    load = _own_loader(models, workers, store, room) if is_ours else _whisperx_loader(models, workers)
    residency = Residency(_told(load, models, telemetry), footprints=footprints)
    alignment_models = build_alignment_models(settings, telemetry, environ)

    def policy_of(key: ModelKey) -> OnYield:
        return settings.on_yield.of(models.of(key).name)

    whisper = WhisperTenant(residency, alignment_models, telemetry, policy_of, cards.free_bytes)
    return TranscriberParts(
        find_model=models.find,
        policy=build_device_policy(settings, environ),
        residency=residency,
        voice=SileroVoiceActivity(),
        telemetry=telemetry,
        alignment_models=alignment_models,
        sharing=CardSharing(
            build_arbiters(settings, environ, [whisper.tenant, *_llm(settings, cards)], cards),
            telemetry,
            LeaseRequest(timeout_s=settings.gpu_wait_s, at_deadline=AtDeadline(settings.gpu_busy)),
            share_cpu=share_cpu,
        ),
        idle=IdleTimer(settings.idle_s, whisper.idle_out) if settings.idle_s else None,
        auto_aligner=Aligner.CTC if settings.engine == "whisperx" else Aligner.AUTO,
    )


def build_arbiters(
    settings: Settings, environ: Mapping[str, str], tenants: Sequence[Callable[[int], Tenant]], cards: CardReader
) -> Callable[[int], GpuArbiter] | None:
    """The arbiter of a card by its index, None where nothing is shared; `tenants`: who is known to it."""
    if settings.arbiter == "off":
        return None

    def make(index: int) -> GpuArbiter:
        from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
        from autorag_whisper.gpu.arbiter.status import gpu_folder
        from autorag_whisper.gpu.arbiter.threads import ThreadArbiter

        def free() -> int | None:
            return cards.free_bytes(index)

        # Across processes it rests on locks that the kernel drops with their owner.
        across = settings.arbiter == "machine" and sys.platform == "linux"
        folder = gpu_folder(settings, environ, index)
        arbiter: GpuArbiter = ProcessArbiter(folder, read_free=free) if across else ThreadArbiter(read_free=free)
        for tenant in tenants:
            arbiter.register(tenant(index))
        return arbiter

    return make


def _llm(settings: Settings, cards: CardReader) -> list[Callable[[int], Tenant]]:
    """The LLM server that shares the card, if the settings name one. Raises InvalidOption."""
    if not settings.llm:
        return []
    server = parse_llm(settings.llm)
    return [lambda index: LlmTenant(server, lambda: cards.free_bytes(index)).tenant()]


def _footprints(settings: Settings, cards: CardReader) -> Footprints:
    def used(device: Device) -> int | None:
        memory = cards.memory(device.index) if device.is_cuda else None
        return memory.used_bytes if memory is not None else None

    def budget(device: Device) -> int | None:
        return settings.gpu_memory_mb << 20 if device.is_cuda and settings.gpu_memory_mb else None

    return Footprints(used, budget)


def build_device_policy(settings: Settings, environ: Mapping[str, str], devices: Devices | None = None) -> DevicePolicy:
    """The policy that a transcriber of these settings follows; `devices` None asks the engine."""
    return DevicePolicy(
        devices or Devices(ctranslate2.probe_hardware),
        environ=environ,
        compute_type=settings.compute_type,
        pin_cooldown_s=settings.pin_cooldown_s,
        clock=time.monotonic,
    )


class ModelFinder:
    """Names to files, each looked up once."""

    def __init__(self, store: ModelStore) -> None:
        self._resolve = cache(store.resolve)
        self._lock = Lock()
        self._by_folder: dict[str, ModelFiles] = {}

    def find(self, name: str) -> ModelFiles:
        """The files of a size, hub id or folder. Raises the Model* errors."""
        if not isinstance(name, str):
            raise ModelNotFound(shown(name), NAMES)
        files = self._resolve(name)
        with self._lock:
            self._by_folder[str(files.folder)] = files
        return files

    def of(self, key: ModelKey) -> ModelFiles:
        """The files that `find` gave for this key's folder."""
        with self._lock:
            return self._by_folder[key.model]


def load_request(files: ModelFiles, key: ModelKey, workers: int, cache_dir: Path) -> ctranslate2.LoadRequest:
    """What to load for `files`: with the alignment heads for single letters that are known, or found now."""
    folder = _weights(files, key, cache_dir)
    heads = _known_heads(files) or _found_heads(files, folder, key, cache_dir)
    return _request(files, folder, key, workers, cache_dir, heads)


def _weights(files: ModelFiles, key: ModelKey, cache_dir: Path) -> Path:
    """The model's folder, for a CPU with weights that it need not convert."""
    if key.device.is_cuda or key.compute_type not in _INT8:
        return files.folder
    try:
        return with_int8_weights(files.folder, cache_dir)
    except (OSError, ValueError) as error:
        reason = f"{error.strerror} (AUTORAG_WHISPER_CACHE_DIR)" if isinstance(error, OSError) else error
        _log.warning("weights of %s are converted at every load, they cannot be kept: %s", files.name, reason)
        return files.folder


def _request(
    files: ModelFiles, folder: Path, key: ModelKey, workers: int, cache_dir: Path, heads: CharacterHeads | None
) -> ctranslate2.LoadRequest:
    if heads is not None:
        try:
            folder = with_heads(folder, heads.heads, cache_dir)
        except Exception as error:
            if not goes_down(error, key.device):
                raise
            _log.warning("alignment heads of %s cannot be set, its own serve: %s", files.name, told(error))
            heads = None
    return ctranslate2.LoadRequest(
        folder,
        files.name,
        key.device,
        key.compute_type,
        workers,
        files.strict_window,
        characters=heads,
        letters=letter_classifiers.classifier_for(files.folder, cache_dir),
        speller=_speller(folder, files.name, cache_dir) if heads is not None and not key.device.is_cuda else None,
    )


def _known_heads(files: ModelFiles) -> CharacterHeads | None:
    known = find(files.name) if files.origin is not ModelOrigin.FOLDER else None
    return CHARACTER_HEADS.get(known.name) if known is not None else None


def _found_heads(files: ModelFiles, folder: Path, key: ModelKey, cache_dir: Path) -> CharacterHeads | None:
    """Found by calibration, once for each model and machine; None where none is good enough."""
    kept = kept_heads.kept(files.folder, cache_dir)
    if kept is None:
        try:
            kept = _calibrated(files, folder, key)
            kept_heads.keep(kept, files.folder, cache_dir)
        except Exception as error:
            if not goes_down(error, key.device):
                raise
            _log.warning("%s aligns by tokens: it could not be calibrated: %s", files.name, told(error))
            return None
    if not kept.heads:
        return None
    return CharacterHeads(kept.heads, kept.late_s, kept.tokens_early_s, loses_its_place=True)


def _calibrated(files: ModelFiles, folder: Path, key: ModelKey) -> KeptHeads:
    from autorag_whisper.loading.head_calibration import calibrate, packaged_clip

    candidates = kept_heads.candidates(files.folder)
    _log.info("calibrating alignment of %s, once: %d heads", files.name, len(candidates))
    with tempfile.TemporaryDirectory(prefix="autorag-whisper-") as scratch:

        @contextmanager
        def load(heads: CharacterHeads) -> Iterator[WhisperModel]:
            request = replace(_request(files, folder, key, 1, Path(scratch), heads), speller=None)
            recognizer = ctranslate2.load(request)
            try:
                yield recognizer
            finally:
                recognizer.close()

        found = calibrate(candidates, load, packaged_clip())
    if found is None:
        _log.info("no head of %s times letters well: it aligns by tokens", files.name)
        return KeptHeads()
    _log.info("alignment head of %s: %s, late by %.0f ms", files.name, found.heads[0], 1000 * found.late_s)
    return KeptHeads(found.heads, found.late_s, found.tokens_early_s)


def _speller(folder: Path, name: str, cache_dir: Path) -> SmallVocabulary | None:
    """A smaller decoder for alignment; a card aligns whole batches and has better uses for the memory."""
    try:
        return with_small_vocabulary(folder, cache_dir)
    except Exception as error:  # noqa: BLE001 - whatever it was, the whole decoder aligns as well: the law of `aligner_fallback`
        _log.warning("%s aligns with its whole vocabulary: no smaller one: %s", name, told(error))
        return None


def _own_loader(
    models: ModelFinder, workers: int, store: ModelStore, room: Callable[[ModelKey], AbstractContextManager[None]]
) -> Callable[[ModelKey], Prepared]:
    """`room`: around a second copy of a model."""

    def prepare(key: ModelKey) -> Prepared:
        request = load_request(models.of(key), key, workers, store.cache_dir)
        return partial(ctranslate2.load, replace(request, room=partial(room, key)))

    return prepare


def _whisperx_loader(models: ModelFinder, workers: int) -> Callable[[ModelKey], Prepared]:
    """It times words by models of its own, and needs no heads for letters."""

    def prepare(key: ModelKey) -> Prepared:
        from autorag_whisper.engines import whisperx

        files = models.of(key)
        request = ctranslate2.LoadRequest(
            files.folder, files.name, key.device, key.compute_type, workers, strict_window=True
        )
        return partial(whisperx.load, request)

    return prepare


def _told(
    prepare: Callable[[ModelKey], Prepared], models: ModelFinder, telemetry: Telemetry
) -> Callable[[ModelKey, LoadReason], WhisperModel]:
    """Loads that tell their spans; what has to be made ready before one (once a machine) is none of it."""

    def load(key: ModelKey, reason: LoadReason) -> WhisperModel:
        ready = prepare(key)
        attributes = {
            names.MODEL_SIZE: models.of(key).name,
            names.MODEL_DEVICE: str(key.device),
            names.LOAD_REASON: reason.value,
        }
        with telemetry.load_model(attributes) as span:
            recognizer = ready()
            span.set_attribute(names.MODEL_COMPUTE_TYPE, recognizer.spec.compute_type)
        return recognizer

    return load


def build_alignment_models(settings: Settings, telemetry: Telemetry, environ: Mapping[str, str]) -> AlignmentModels:
    """The CTC models that time words under these settings, with nothing loaded yet."""
    cache_dir = (settings.cache_dir or default_cache_dir(environ)).absolute()
    workers = settings.threads or usable_cores()

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

    return AlignmentModels(load, telemetry)


def _runs_without_pytorch(folder: Path, name: str) -> bool:
    from autorag_whisper.engines.ctc_checkpoint import WEIGHTS, read_checkpoint

    return read_checkpoint(folder, name).is_layer_norm_family and (folder / WEIGHTS).is_file()


def usable_cores() -> int:
    """Cores that this process may use; the affinity mask says it where there is one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
