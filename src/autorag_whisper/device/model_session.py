"""Where a run computes: its model on the device that the policy names now, and the way on when that fails."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from autorag_whisper.device.fallback_steps import Failure, Next, Step, next_step
from autorag_whisper.domain.device import LoadReason, ModelKey
from autorag_whisper.domain.errors import DeviceError
from autorag_whisper.domain.faults import is_fault
from autorag_whisper.domain.transcript import DeviceFallbackStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from autorag_whisper.device.device_fallback import DevicePolicy
    from autorag_whisper.domain.device import CpuPin, Device, Placement
    from autorag_whisper.engines.base import RecognizerSpec
    from autorag_whisper.models.store import ModelFiles
    from autorag_whisper.recognition.recognizer import Recognizer
    from autorag_whisper.residency.recognition_models import RecognitionModels


class CardLeases(Protocol):
    """Leases of the cards that this process shares with other tenants (`gpu.card_sharing.CardSharing`)."""

    def lease(self, device: Device) -> AbstractContextManager[bool]:
        """Compute on `device` for the length of a `with`: True on it, False on the CPU instead. Raises GpuBusy."""
        ...


class ModelSession:
    """One model under one device hint. `key` changes in the owner's thread alone; leases may be taken by any.

    `free_others(device, but)`: free what other models of ours hold there; how many gave something up.
    """

    def __init__(
        self,
        files: ModelFiles,
        hint: str | None,
        policy: DevicePolicy,
        residency: RecognitionModels[Recognizer],
        sharing: CardLeases,
        free_others: Callable[[Device, ModelKey], int],
    ) -> None:
        self._files, self._hint, self._policy, self._residency = files, hint, policy, residency
        self._sharing, self._free_others = sharing, free_others
        self.steps: list[DeviceFallbackStep] = []
        self._freed = False
        placement = policy.place(hint)
        self.notes = placement.notes  # what changes later is a step
        self.key = self._key_of(placement)

    def _placed(self, hint: str | None) -> ModelKey:
        return self._key_of(self._policy.place(hint))

    def _key_of(self, placement: Placement) -> ModelKey:
        return ModelKey(str(self._files.folder), placement.device, placement.compute_type)

    @property
    def pin(self) -> CpuPin | None:
        """Why, and for how long, this process stays on the CPU."""
        return self._policy.pin

    @property
    def batch_limit(self) -> int | None:
        """Chunks that may go at once, where more have failed."""
        return self._policy.limits.limit(self.key)

    @contextmanager
    def compute(self) -> Iterator[tuple[ModelKey, Recognizer]]:
        """The right to compute, and the model to do it with, for one batch: (where, recogniser).

        On a card that others share it takes a lease of the card first. If that is not had before its deadline the batch
        is computed on the CPU, or GpuBusy is raised, as the lease request says.

        What raises an exception that nobody expects inside the `with` is given to no other: nobody knows what it is
        worth. The next lease loads the model anew.
        """
        key = self.key  # now, not when the job was made: what was left in between must not be loaded again
        reason = LoadReason.FALLBACK if self.steps else LoadReason.FIRST
        with self._sharing.lease(key.device) as on_card:
            use = key if on_card else self._placed("cpu")
            with self._residency.leased(use, reason_if_absent=reason) as lease:
                try:
                    yield use, lease.model
                except Exception as error:
                    if is_fault(error):
                        self._residency.poison(lease)
                    raise

    def prepare(self) -> RecognizerSpec:
        """Load; where CUDA fails at it, what the device fallback does. Raises the Model* errors and EngineError."""
        while True:
            key = self.key
            try:
                with self.compute() as (used, recognizer):
                    self._policy.used(used.device)
                    return recognizer.spec
            except DeviceError as error:
                self.leave(key, error, "load")

    def leave(self, key: ModelKey, error: DeviceError, stage: str, rows: int = 0) -> DeviceFallbackStep | None:
        """`rows` chunks failed at `key`: take the next step of the device fallback.

        None where it changes nothing that was not changed already. Raises `error` where there is nowhere else to go.
        """
        if not key.device.is_cuda:
            raise error
        chosen = self._next(key, error, rows)
        if chosen.step is Step.FREE:
            self._freed = True
            count = self._free_others(key.device, key)
            if not count:
                return self.leave(key, error, stage, rows)
            self._policy.limits.freed(key.device)
            return self._took(chosen, key, error, stage, f"{count} models")
        if chosen.step is Step.HALVE:
            lower = self._policy.limits.failed(key, rows)
            return self._took(chosen, key, error, stage, f"{rows} -> {chosen.rows}") if lower else None
        if chosen.step is Step.COMPUTE_TYPE:
            self._policy.shrink(key.device, chosen.compute_type)
        else:
            self._policy.failed(error)
        self.key = self._placed(self._hint)
        if self.key == key:
            raise error
        # What was left must not keep the card's memory; batches in flight there end first.
        self._residency.evict(key, LoadReason.EVICTED)
        detail = f"{key.compute_type} -> {self.key.compute_type}" if chosen.step is Step.COMPUTE_TYPE else ""
        return self._took(chosen, key, error, stage, detail)

    def go_on(self, key: ModelKey, error: DeviceError, rows: int) -> RecognizerSpec | None:
        """As `leave`, of a batch, and load where it goes on; None where that is where it was."""
        self.leave(key, error, error.detail.partition(":")[0], rows)
        return self.prepare() if self.key != key else None

    def waited(self, used: ModelKey) -> DeviceFallbackStep:
        """A batch was done at `used`, as others had the card for longer than it would wait."""
        return DeviceFallbackStep("lease", str(self.key.device), str(used.device), "gpu_busy", Step.BUSY.value)

    def _next(self, key: ModelKey, error: DeviceError, rows: int) -> Next:
        offered = self._policy.offered(key.device)
        return next_step(Failure(error.cause, rows, key.compute_type, offered, self._freed))

    def _took(self, chosen: Next, key: ModelKey, error: DeviceError, stage: str, detail: str) -> DeviceFallbackStep:
        step = DeviceFallbackStep(stage, str(key.device), str(self.key.device), error.cause, chosen.step.value, detail)
        self.steps.append(step)
        return step
