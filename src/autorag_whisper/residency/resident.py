"""One model in memory: its state, and what may be done with it. `residency` changes it, under its lock alone."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import EngineError

if TYPE_CHECKING:
    from autorag_whisper.domain.device import Device, LoadReason, ModelKey
    from autorag_whisper.engines.base import LoadedEngine


class State(Enum):
    """Where it is; `residency` draws the ways between them."""

    LOADING = auto()
    RESIDENT = auto()
    MOVING = auto()
    OFFLOADED = auto()
    CLOSING = auto()
    GONE = auto()  # known only to those who waited for it


@dataclass(slots=True, eq=False)
class Model:
    """One load of a key, from its start to its end."""

    key: ModelKey
    load_reason: LoadReason
    state: State = State.LOADING
    leases: int = 1  # that of the loader
    releases: int = 0  # calls that wait for the leases to end; no new lease meanwhile
    leaving: LoadReason | None = None  # evicted: no new lease ever, closed after the last one
    refused: bool = False  # the engine would not let go of it
    away: bool = False  # its weights are in the CPU's memory
    used_s: float = 0.0  # when its last lease was given back
    recognizer: LoadedEngine | None = None
    error: Exception | None = None  # why the load failed

    @property
    def takes_leases(self) -> bool:
        return self.state in (State.RESIDENT, State.OFFLOADED) and not self.releases and self.leaving is None

    @property
    def is_idle(self) -> bool:
        return self.state in (State.RESIDENT, State.OFFLOADED) and not self.leases

    @property
    def is_there(self) -> bool:
        """Whether its bytes count on its device."""
        return self.state is not State.OFFLOADED


@dataclass(frozen=True, slots=True)
class Yielded:
    """What came of a device's models: how many `went`, and how many could not."""

    went: int = 0
    stuck: int = 0


def move_away(recognizer: LoadedEngine, device: Device) -> None:
    """Offload; tried again where nothing was moved, which an engine need not tell otherwise.

    Raises EngineError where it keeps declining, and what the engine raises.
    """
    if not recognizer.offload() and device.is_cuda and not recognizer.offload():
        raise EngineError("residency", "offload", "its engine moved nothing")


def bring_back(recognizer: LoadedEngine, device: Device) -> None:
    """Restore. Raises EngineError where nothing was moved: it would be handed out half-restored."""
    if not recognizer.restore() and device.is_cuda:
        raise EngineError("residency", "restore", "its engine moved nothing")


def copy_of(error: Exception) -> Exception:
    """An instance of its own for every thread: a traceback grows on the one that is raised."""
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001 - its constructor, of whatever library, may want other arguments than it kept
        return EngineError("loader", "load", str(error))
