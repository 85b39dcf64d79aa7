"""The recognition models of a process: by checkpoint, device and compute type, kept until somebody releases them."""

from __future__ import annotations

import time
from pathlib import PurePath
from typing import TYPE_CHECKING, Generic, TypeVar

from autorag_whisper.domain.device import LoadReason, ModelKey, OnYield
from autorag_whisper.residency.kind import Rules, Yielded, bring_back, move_away
from autorag_whisper.residency.residency import Residency

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.domain.device import Device
    from autorag_whisper.engines.base import LoadedEngine
    from autorag_whisper.residency.kind import MemoryBudget


L = TypeVar("L", bound="LoadedEngine")


class _RecognitionKind(Generic[L]):
    """Of a key there is one copy at most, poisoned or not; as many keys as there is room for."""

    title = "residency"
    rules = Rules()

    def __init__(self, load: Callable[[ModelKey, LoadReason], L]) -> None:
        self._load = load

    def device_of(self, key: ModelKey) -> Device:
        return key.device

    def name_of(self, key: ModelKey) -> str:
        return PurePath(key.model).name

    def load(self, key: ModelKey, reason: LoadReason) -> L:
        return self._load(key, reason)

    def offload(self, model: L, key: ModelKey) -> None:
        move_away(model, key.device, self.title)

    def restore(self, model: L, key: ModelKey) -> None:
        bring_back(model, key.device, self.title)

    def close(self, model: L, key: ModelKey) -> None:  # noqa: ARG002 - the engine tells itself whether it is gone
        model.close()


class RecognitionModels(Residency[ModelKey, L], Generic[L]):
    """A residency of recognition models, with nothing loaded. Nothing idles out, unless somebody asks for it.

    `load` may take its time, and lease other keys. `budget`: what models take of a device, and how much there may be;
    None: nobody counts.
    """

    def __init__(
        self,
        load: Callable[[ModelKey, LoadReason], L],
        *,
        budget: MemoryBudget[ModelKey] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(_RecognitionKind(load), budget=budget, clock=clock)

    def yield_device(self, device: Device, policy: OnYield | Callable[[ModelKey], OnYield]) -> Yielded:
        """Have the models on `device` leave it for another tenant, as `policy` says of all or of each; those in use are
        stuck."""
        went = stuck = 0
        for key in self.on_device(device):
            wanted = policy if isinstance(policy, OnYield) else policy(key)
            if wanted is OnYield.KEEP:
                continue
            done = self.offload(key) if wanted is OnYield.OFFLOAD else self.close_idle(key, LoadReason.UNLOADED)
            went, stuck = went + done, stuck + (not done)
        return Yielded(went, stuck)

    def free_others(self, device: Device, but: ModelKey) -> int:
        """Close what is on `device` and not in use, other than `but`: how many models went. Waits for no lease."""
        return sum(self.close_idle(key, LoadReason.EVICTED) for key in self.on_device(device) if key != but)

    def release_unused(self, unused_s: float, which: Callable[[ModelKey], bool] = lambda _key: True) -> int:
        """Close what nobody has used for so long, of `which` that is true: how many models went. For a host that lets
        models idle out."""
        moment_s = self._clock() - unused_s
        keys = [key for key in self.unused_since(moment_s) if which(key)]
        return sum(self.close_idle(key, LoadReason.UNLOADED, moment_s) for key in keys)
