"""What the fakes of alignment models have in common: they are moved, they fail on request, they are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import EngineError
from autorag_whisper.testing.engine import Faults

if TYPE_CHECKING:
    from autorag_whisper.domain.device import Device


class Movable:
    """`moves` are those that happened; `faults` are asked at every call."""

    def __init__(self, device: Device, faults: Faults | None) -> None:
        self._device, self.faults = device, faults or Faults()
        self._on_device, self.closed = True, False
        self.moves: list[str] = []

    @property
    def is_on_device(self) -> bool:
        return self._on_device and not self.closed

    def offload(self) -> bool:
        self._call("offload")
        if not self._device.is_cuda or not self._on_device:
            return False
        self._on_device = False
        self.moves.append("offload")
        return True

    def restore(self) -> bool:
        self._call("restore")
        if self._on_device:
            return False
        self._on_device = True
        self.moves.append("restore")
        return True

    def close(self) -> None:
        self.closed = True
        self.faults.strike("close")

    def _call(self, stage: str, *, computes: bool = False) -> None:
        """At the start of a call; one that `computes` needs the weights on the device."""
        if self.closed:
            raise EngineError("fake", stage, "the model was closed")
        self.faults.strike(stage)
        if computes and not self._on_device:
            raise EngineError("fake", stage, "the model was offloaded")
