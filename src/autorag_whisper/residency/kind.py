"""What a residency has to know of its models: how they are named, loaded, moved and closed, and under which rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from autorag_whisper.domain.errors import EngineError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from autorag_whisper.domain.device import Device, LoadReason

M = TypeVar("M")
K_contra = TypeVar("K_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Rules:
    """How models of a kind are kept.

    `capacity`: the most that are kept, in use or not; what was used longest ago goes first. None: no bound.
    `offload_after_use`: whether a model leaves its card when its last lease is given back. `replace_poisoned`: whether
    a fresh copy is loaded while others still hold a poisoned one (leases that last as long as a run), or its key waits
    for the last of them (leases that last as long as a batch).
    """

    capacity: int | None = None
    offload_after_use: bool = False
    replace_poisoned: bool = False

    def __post_init__(self) -> None:
        if self.capacity is not None and self.capacity < 1:
            raise ValueError("capacity must be 1 or more")


class ModelKind(Protocol[K_contra, M]):
    """The models of one residency. Every method is called outside its lock, by one thread for each model.

    `offload`, `restore` and `close` raise an AutoragWhisperError or MemoryError where the engine did not do it, also
    where it declined without a word. The residency logs that, and closes what did not move.
    """

    @property
    def rules(self) -> Rules: ...

    @property
    def title(self) -> str:
        """The residency's name in errors."""
        ...

    def device_of(self, key: K_contra) -> Device: ...

    def name_of(self, key: K_contra) -> str:
        """The model's name for people, without a path."""
        ...

    def load(self, key: K_contra, reason: LoadReason) -> M:
        """Raises whatever a load raises; it reaches everyone who waited for this load."""
        ...

    def offload(self, model: M, key: K_contra) -> None:
        """Move it off its card, into the CPU's memory. On the CPU nothing is moved."""
        ...

    def restore(self, model: M, key: K_contra) -> None:
        """Bring it back to its device, without reading it from the disk again."""
        ...

    def close(self, model: M, key: K_contra) -> None:
        """Give its memory back."""
        ...


class MemoryBudget(Protocol[K_contra]):
    """What models take of a device, and how much there may be (`residency.footprints`)."""

    def of(self, key: K_contra) -> int | None:
        """Bytes, once a load of it was measured."""
        ...

    def is_short(self, device: Device, held_bytes: int, more: K_contra | None = None) -> bool:
        """Whether `held_bytes`, and `more` beside them if its bytes are known, are over the device's budget."""
        ...

    def measure(self, key: K_contra) -> AbstractContextManager[None]:
        """Around a load of `key`."""
        ...


class Movable(Protocol):
    """What every engine's model can do (`engines.base`, `engines.aligners`)."""

    def offload(self) -> bool: ...

    def restore(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Yielded:
    """What came of a device's models: how many `went`, and how many could not."""

    went: int = 0
    stuck: int = 0


def move_away(model: Movable, device: Device, title: str) -> None:
    """Offload; once more where nothing was moved, which an engine need not say otherwise.

    Raises EngineError where it keeps declining, and what the engine raises.
    """
    if not model.offload() and device.is_cuda and not model.offload():
        raise EngineError(title, "offload", "its engine moved nothing")


def bring_back(model: Movable, device: Device, title: str) -> None:
    """Restore. Raises EngineError where nothing was moved: it would be handed out half-restored."""
    if not model.restore() and device.is_cuda:
        raise EngineError(title, "restore", "its engine moved nothing")
