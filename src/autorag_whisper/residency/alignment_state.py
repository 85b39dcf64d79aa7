"""One alignment model in memory: its state, and what may be done with it. `alignment_models` changes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autorag_whisper.domain.device import Device
    from autorag_whisper.engines.aligners import AlignmentModel


class RestoredFrom(StrEnum):
    """Where a lease found its model."""

    CUDA = "cuda"
    CPU = "cpu"
    RESTORE = "cpu_to_cuda_restore"
    FRESH_LOAD = "fresh_load"


class State(Enum):
    """Where it is; `alignment_models` draws the ways between them."""

    LOADING = auto()
    READY = auto()
    OFFLOADED = auto()
    MOVING = auto()
    CLOSING = auto()
    REFUSED = auto()  # its engine would not let go of it
    GONE = auto()  # known only to those who waited for it


@dataclass(slots=True, eq=False)
class Entry:
    """Changed under the lock alone; `emitter` is called outside it."""

    language: str
    device: Device
    state: State = State.LOADING
    leases: int = 1  # that of the loader
    used: int = 0  # the higher, the later
    emitter: AlignmentModel | None = None
    error: Exception | None = None  # why the load failed
    poisoned: bool = False  # nobody new gets it

    @property
    def key(self) -> tuple[str, Device]:
        return self.language, self.device

    @property
    def is_idle(self) -> bool:
        return not self.leases and self.state in (State.READY, State.OFFLOADED)


def kept_on_card(emitter: AlignmentModel) -> str:
    """Offload it: why it is still on its card then; "" if it is not."""
    try:
        emitter.offload()
        is_there = emitter.is_on_device
    except Exception as error:  # noqa: BLE001 - of any runtime: whatever it was, the model is still there
        return str(error) or type(error).__name__
    return "its engine moved nothing" if is_there else ""
