"""A PyTorch module on a device: calls counted, moved to the CPU's memory by `.to()` and back, memory given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines.in_flight import InFlight

if TYPE_CHECKING:
    from autorag_whisper.domain.device import Device
    from autorag_whisper.engines.in_flight import Engine


class TorchModule:
    """What the adapters of PyTorch models have in common; `module` is None once it was closed."""

    def __init__(self, module: Any, engine: Engine) -> None:
        self.module, self._engine = module, engine
        self.calls = InFlight(engine)

    @property
    def is_on_device(self) -> bool:
        module = self.module
        return module is not None and next(module.parameters()).device.type == self._engine.device.kind.value

    def offload(self) -> bool:
        with self.calls.alone("offload"):
            return self._engine.device.is_cuda and self._move("cpu")

    def restore(self) -> bool:
        with self.calls.alone("restore"):
            return not self.is_on_device and self._move(torch_name(self._engine.device))

    def _move(self, place: str) -> bool:
        """Move the weights and see that they are there; a card's memory that comes free goes back to its driver."""
        import torch

        self.module.to(place)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if any(parameter.device.type != place.partition(":")[0] for parameter in self.module.parameters()):
            raise EngineError(self._engine.runtime, "move", f"weights did not go to {place}")
        return True

    def close(self) -> None:
        self.calls.close()
        self.module = None


def torch_name(device: Device) -> str:
    """A device as PyTorch calls it."""
    return f"cuda:{device.index}" if device.is_cuda else "cpu"
