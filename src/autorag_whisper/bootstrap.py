"""The composition root: `Settings` to a `Transcriber`. The only place that names concrete classes.

What every process needs is imported here at the top, what only some do where it is made: a start is a third imports.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from autorag_whisper.device.device_fallback import DevicePolicy
from autorag_whisper.device.devices import Devices
from autorag_whisper.domain.request import Aligner
from autorag_whisper.engines import ctranslate2
from autorag_whisper.engines.native_threads import usable_cores
from autorag_whisper.engines.silero import SileroVoiceActivity
from autorag_whisper.gpu.arbiter.lease import AtDeadline, LeaseRequest
from autorag_whisper.gpu.arbiters import make_arbiter
from autorag_whisper.gpu.card_memory import CardReader
from autorag_whisper.gpu.card_sharing import CardSharing, WhisperTenant
from autorag_whisper.gpu.llm.release import LlmTenant
from autorag_whisper.gpu.llm.spec import llm_server
from autorag_whisper.loading.loaders import alignment_loader, whisperx_loader, with_load_spans
from autorag_whisper.loading.model_finder import ModelFinder
from autorag_whisper.loading.whisper_loader import EngineSetting, WhisperLoader
from autorag_whisper.models.store import ModelStore, default_cache_dir
from autorag_whisper.residency.alignment_models import AlignmentModels
from autorag_whisper.residency.footprints import Footprints
from autorag_whisper.residency.idle import IdleTimer
from autorag_whisper.residency.recognition_models import RecognitionModels
from autorag_whisper.settings import Settings
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.transcriber.transcriber import Transcriber, TranscriberParts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from autorag_whisper.domain.device import Device, ModelKey, OnYield
    from autorag_whisper.gpu.arbiter.lease import GpuArbiter, Tenant


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

    is_whisperx = settings.engine == "whisperx"
    setting = EngineSetting(settings.engine, settings.native_isa)
    prepare = (
        whisperx_loader(models, workers)
        if is_whisperx
        else WhisperLoader(models, workers, store.cache_dir, room, setting)
    )
    residency = RecognitionModels(with_load_spans(prepare, models, telemetry), budget=footprints)
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
        auto_aligner=Aligner.CTC if is_whisperx else Aligner.AUTO,
        lower_share=settings.batch_share / 100,
    )


def build_arbiters(
    settings: Settings, environ: Mapping[str, str], tenants: Sequence[Callable[[int], Tenant]], cards: CardReader
) -> Callable[[int], GpuArbiter] | None:
    """The arbiter of a card by its index, None where nothing is shared; `tenants`: who is known to it."""
    if settings.arbiter == "off":
        return None

    def make(index: int) -> GpuArbiter:
        arbiter = make_arbiter(settings, environ, index, cards)
        for tenant in tenants:
            arbiter.register(tenant(index))
        return arbiter

    return make


def _llm(settings: Settings, cards: CardReader) -> list[Callable[[int], Tenant]]:
    """The LLM server that shares the card, if the settings name one. Raises InvalidOption."""
    if not settings.llm:
        return []
    server = llm_server(settings.llm)
    return [lambda index: LlmTenant(server, lambda: cards.free_bytes(index)).tenant()]


def _footprints(settings: Settings, cards: CardReader) -> Footprints:
    def used(device: Device) -> int | None:
        memory = cards.memory(device.index) if device.is_cuda else None
        return memory.used_bytes if memory is not None else None

    def budget(device: Device) -> int | None:
        return settings.gpu_memory_mb << 20 if device.is_cuda and settings.gpu_memory_mb else None

    return Footprints(used, budget)


def build_alignment_models(settings: Settings, telemetry: Telemetry, environ: Mapping[str, str]) -> AlignmentModels:
    """The CTC models that time words under these settings, with nothing loaded yet."""
    cache_dir = (settings.cache_dir or default_cache_dir(environ)).absolute()
    return AlignmentModels(alignment_loader(settings, cache_dir, settings.threads or usable_cores()), telemetry)


def build_device_policy(settings: Settings, environ: Mapping[str, str], devices: Devices | None = None) -> DevicePolicy:
    """The policy that a transcriber of these settings follows; `devices` None asks the engine."""
    return DevicePolicy(
        devices or Devices(ctranslate2.probe_hardware),
        environ=environ,
        compute_type=settings.compute_type,
        pin_cooldown_s=settings.pin_cooldown_s,
        clock=time.monotonic,
    )
