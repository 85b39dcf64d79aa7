"""A transcriber over fakes, whose engine fails as a test wants it to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorag_whisper.device.device_fallback import DevicePolicy
from autorag_whisper.device.devices import Devices
from autorag_whisper.domain.device import CUDA, Device, Hardware, LoadReason, ModelKey, OnYield
from autorag_whisper.gpu.arbiter.lease import GpuArbiter, LeaseRequest
from autorag_whisper.gpu.card_sharing import CardSharing, WhisperTenant
from autorag_whisper.models.store import ModelFiles, ModelOrigin
from autorag_whisper.recognition.recognizer import Recognizer
from autorag_whisper.recognition.shares import LEAST_SHARE
from autorag_whisper.residency.recognition_models import RecognitionModels
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import FakeVoiceActivity, FakeWhisper, Faults
from autorag_whisper.transcriber.supervised import SupervisedTranscriber
from autorag_whisper.transcriber.transcriber import TranscriberParts

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.engines.base import VoiceActivity
    from autorag_whisper.residency.alignment_models import AlignmentModels
    from autorag_whisper.residency.idle import IdleTimer

CARD = Hardware(1, frozenset({"float16", "float32"}), frozenset({"int8", "float32"}))
NO_CARD = Hardware(0, frozenset(), frozenset({"int8", "float32"}))


class World:
    """A transcriber over fakes: `faults` per kind of device, every load noted."""

    def __init__(
        self,
        hardware: Hardware = NO_CARD,
        *,
        alignment_models: AlignmentModels | None = None,
        arbiter: GpuArbiter | None = None,
        on_yield: OnYield | Callable[[ModelKey], OnYield] = OnYield.KEEP,
        telemetry: Telemetry | None = None,
        request: LeaseRequest = LeaseRequest(timeout_s=60.0),  # noqa: B008 - a frozen value
        idle: Callable[[Callable[[], object]], IdleTimer] | None = None,
        engine: Callable[..., Any] = FakeWhisper,
        voice: VoiceActivity | None = None,
        lower_share: float = LEAST_SHARE,
        **fake: object,
    ) -> None:
        self.faults = {"cpu": Faults(), "cuda": Faults()}
        self.loads: list[tuple[str, str]] = []
        self.fail_load: Callable[[Device], None] = lambda _device: None
        self.fakes: list[Any] = []
        self._engine, self._fake = engine, fake
        self.policy = DevicePolicy(Devices(lambda: hardware), environ={}, clock=lambda: 0.0)
        self.residency = RecognitionModels(self._load)
        files, telemetry = ModelFiles("fake", Path("fake"), ModelOrigin.FOLDER), telemetry or Telemetry()
        sharing = None
        policy_of = on_yield if callable(on_yield) else lambda _key: on_yield
        whisper = WhisperTenant(self.residency, alignment_models, telemetry, policy_of, lambda _index: None)
        if arbiter is not None:
            arbiter.register(whisper.tenant(0))
            sharing = CardSharing(lambda _index: arbiter, telemetry, request)
        self.parts = TranscriberParts(
            lambda _name: files,
            self.policy,
            self.residency,
            voice or FakeVoiceActivity(),
            telemetry,
            alignment_models,
            sharing,
            idle(whisper.idle_out) if idle is not None else None,
            lower_share=lower_share,
        )
        self.transcriber = SupervisedTranscriber(self.parts)

    def key(self, name: str) -> ModelKey:
        """That of a model on the card."""
        return ModelKey(name, CUDA, "float16")

    def _load(self, key: ModelKey, reason: LoadReason) -> Recognizer:
        self.loads.append((str(key.device), reason.value))
        self.fail_load(key.device)
        faults = self.faults[str(key.device.kind)]
        workers = 1 if key.device.is_cuda else 2
        made = self._engine(device=key.device, workers=workers, faults=faults, **self._fake)  # type: ignore[arg-type]  # whatever a test gives
        self.fakes.append(made)
        return Recognizer(made)
