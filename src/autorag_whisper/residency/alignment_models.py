"""The alignment models of a process: by (language, device), few, on the card only while they are used."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from autorag_whisper import telemetry as names
from autorag_whisper.domain.errors import AutoragWhisperError, DeviceError, EngineError
from autorag_whisper.residency.entry import Found
from autorag_whisper.residency.kind import Rules, Yielded, bring_back, move_away
from autorag_whisper.residency.residency import Residency
from autorag_whisper.telemetry import Stretch, Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.domain.device import Device, LoadReason
    from autorag_whisper.engines.aligners import AlignmentModel

_log = logging.getLogger(__name__)


class AlignmentKey(NamedTuple):
    """Which alignment model, and where."""

    language: str
    device: Device


class _AlignmentKind:
    """Their engines may raise anything; whether a model is gone is asked of it afterwards (`is_on_device`)."""

    title = "alignment models"

    def __init__(self, load: Callable[[str, Device], AlignmentModel], telemetry: Telemetry, rules: Rules) -> None:
        self._load, self._telemetry, self.rules = load, telemetry, rules

    def device_of(self, key: AlignmentKey) -> Device:
        return key.device

    def name_of(self, key: AlignmentKey) -> str:
        return f"alignment, {key.language}"

    def load(self, key: AlignmentKey, reason: LoadReason) -> AlignmentModel:  # noqa: ARG002 - a use tells where it was found
        start_ns = self._telemetry.clock_ns()
        model = self._load(key.language, key.device)
        taken_s = (self._telemetry.clock_ns() - start_ns) / 1e9
        self._telemetry.duration(names.MODEL_LOAD_DURATION, taken_s, {})
        return model

    def offload(self, model: AlignmentModel, key: AlignmentKey) -> None:
        start_ns = self._telemetry.clock_ns()
        try:
            with _of_any_runtime("offload"):
                move_away(model, key.device, self.title)
                if model.is_on_device:
                    raise EngineError(self.title, "offload", "its engine keeps it on the card")
        except (AutoragWhisperError, MemoryError):
            self._telemetry.count(names.OFFLOADS, 1, {names.OUTCOME: "unverified"})
            raise
        finally:
            stretch = Stretch(start_ns, self._telemetry.clock_ns())
            self._telemetry.span(names.OFFLOAD_ALIGN, stretch, {names.ALIGN_LANGUAGE: key.language})
        _log.info("the %s alignment model left %s for the CPU's memory", key.language, key.device)

    def restore(self, model: AlignmentModel, key: AlignmentKey) -> None:
        with _of_any_runtime("restore"):
            bring_back(model, key.device, self.title)
            if not model.is_on_device:
                raise EngineError(self.title, "restore", "it stays in the CPU's memory")

    def close(self, model: AlignmentModel, key: AlignmentKey) -> None:  # noqa: ARG002 - the model tells itself whether it is gone
        with _of_any_runtime("close"):
            model.close()
            if model.is_on_device:
                raise EngineError(self.title, "close", "its engine keeps it in memory")


class AlignmentModels:
    """A residency of alignment models, with the spans of their uses and moves. Thread-safe.

    `capacity`: models kept, in use or not; what was used longest ago goes first. More are loaded only while all of them
    are leased. `offload_after_use`: whether a model leaves the card when its last lease is given back; a run that
    leases it from its first chunk to its last moves it once.
    """

    def __init__(
        self,
        load: Callable[[str, Device], AlignmentModel],
        telemetry: Telemetry,
        *,
        capacity: int = 2,
        offload_after_use: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        rules = Rules(capacity, offload_after_use, replace_poisoned=True)
        self._telemetry = telemetry
        self._residency = Residency[AlignmentKey, "AlignmentModel"](_AlignmentKind(load, telemetry, rules), clock=clock)

    @contextmanager
    def lease(self, language: str, device: Device, *, timeout_s: float | None = 600.0) -> Iterator[AlignmentModel]:
        """The model of `language` on `device`, ready; not moved or closed before it is given back.

        A DeviceError that leaves the lease makes the model a poisoned one: nobody gets it any more.

        Raises:
            ModelBusy: another caller's load or move of it took longer than `timeout_s`.
            EngineError: all of them were closed, or its engine does not let go of a copy that was to leave.
            Exception: what `load` raised, in every caller that waited for it.
        """
        start_ns = self._telemetry.clock_ns()
        with self._residency.leased(AlignmentKey(language, device), timeout_s=timeout_s) as lease:
            told = {
                names.ALIGN_LANGUAGE: language,
                names.ALIGN_DEVICE: str(device),
                names.ALIGN_RESTORED_FROM: _restored_from(lease.found, device),
            }
            self._telemetry.span(names.GET_ALIGN_MODEL, Stretch(start_ns, self._telemetry.clock_ns()), told)
            try:
                yield lease.model
            except DeviceError:
                self._residency.poison(lease)
                raise

    def offload_idle(self, card: Device | None = None) -> Yielded:
        """Move what is on `card` (None: on any) and not in use to the CPU's memory, for another tenant: how many left
        it, and how many could not, as they are in use or their engines keep them there."""

        def is_there(key: AlignmentKey) -> bool:
            return key.device.is_cuda if card is None else key.device == card

        went = sum(map(is_there, self._residency.close_refused()))
        kept = self.refused()
        movable = [key for key in self._residency.on_device() if is_there(key) and key not in kept]
        went += sum(self._residency.offload(key) for key in movable)
        return Yielded(went, sum(map(is_there, (*self.refused(), *self._residency.in_use()))))

    def refused(self) -> tuple[AlignmentKey, ...]:
        """The models whose engine will not let go of them: in memory, and of no use."""
        return self._residency.refused()

    def close(self) -> bool:
        """Close what is idle, for good: later leases raise. What is leased is closed when it is given back.

        Whether nothing is left in memory.
        """
        return self._residency.close(timeout_s=0.0)

    def check(self) -> None:
        """Assert the invariants."""
        self._residency.check()


def _restored_from(found: Found, device: Device) -> str:
    """The span's word for where a use found its model."""
    if found is Found.RESIDENT:
        return str(device.kind)
    return "cpu_to_cuda_restore" if found is Found.OFFLOADED else "fresh_load"


@contextmanager
def _of_any_runtime(stage: str) -> Iterator[None]:
    """Turn what a runtime raises into an EngineError: whatever it was, the model did not do what it was told to."""
    try:
        yield
    except (AutoragWhisperError, MemoryError):
        raise
    except Exception as error:
        raise EngineError("alignment models", stage, str(error) or type(error).__name__) from error
