"""Where a run computes: its model on the device that the policy names now, and the step to another when that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.domain.device import LoadReason, ModelKey
from autorag_whisper.domain.errors import DeviceError
from autorag_whisper.domain.transcript import DeviceFallbackStep

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from autorag_whisper.engines.base import Recognizer, RecognizerSpec
    from autorag_whisper.models.store import ModelFiles
    from autorag_whisper.runtime.device_fallback import DevicePolicy
    from autorag_whisper.runtime.residency import Residency


class Seat:
    """One model under one device hint. `key` changes in the owner's thread alone; leases may be taken by any."""

    def __init__(self, files: ModelFiles, hint: str | None, policy: DevicePolicy, residency: Residency) -> None:
        self._files, self._hint, self._policy, self._residency = files, hint, policy, residency
        self.steps: list[DeviceFallbackStep] = []
        self.key = self._placed()

    def _placed(self) -> ModelKey:
        placement = self._policy.place(self._hint)
        return ModelKey(str(self._files.folder), placement.device, placement.compute_type)

    def lease(self, key: ModelKey) -> AbstractContextManager[Recognizer]:
        """The recogniser of `key`, loaded if it is not resident, for the length of a `with`."""
        reason = LoadReason.FALLBACK if self.steps else LoadReason.FIRST
        return self._residency.lease(key, reason_if_absent=reason)

    def prepare(self) -> RecognizerSpec:
        """Load, on the CPU where CUDA fails at it. Raises the Model* errors and EngineError."""
        while True:
            key = self.key
            try:
                with self.lease(key) as recognizer:
                    self._policy.used(key.device)
                    return recognizer.spec
            except DeviceError as error:
                self.leave(key, error, "load")

    def leave(self, key: ModelKey, error: DeviceError, stage: str) -> DeviceFallbackStep:
        """Move away from `key`, where `error` arose. Raises it where there is nowhere else to go."""
        if not key.device.is_cuda:
            raise error
        self._policy.failed(error)
        self.key = self._placed()
        if self.key == key:
            raise error
        # A process that stays on the CPU must not keep the card's memory; batches in flight there end first.
        self._residency.evict(key, LoadReason.EVICTED)
        step = DeviceFallbackStep(stage, str(key.device), str(self.key.device), error.cause)
        self.steps.append(step)
        return step
