"""One model in memory: its state, and who may have it. `residency` changes it, under its lock alone."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Generic, TypeVar

from autorag_whisper.domain.errors import EngineError

if TYPE_CHECKING:
    from autorag_whisper.domain.device import LoadReason

K = TypeVar("K")
M = TypeVar("M")


class ModelState(Enum):
    """Where a model is; `residency` draws the ways between the states."""

    LOADING = auto()
    RESIDENT = auto()
    MOVING = auto()
    OFFLOADED = auto()
    CLOSING = auto()
    GONE = auto()  # known only to those who waited for it


class Found(Enum):
    """Where a lease found its model."""

    RESIDENT = auto()
    OFFLOADED = auto()
    ABSENT = auto()


@dataclass(slots=True, eq=False)
class Entry(Generic[K, M]):
    """One load of a key, from its start to its end."""

    key: K
    load_reason: LoadReason
    state: ModelState = ModelState.LOADING
    leases: int = 1  # that of the loader
    releases: int = 0  # calls of `release` that wait for the leases to end; no new lease meanwhile
    leaving: LoadReason | None = None  # no new lease ever; closed after the last one
    refused: bool = False  # its engine would not let go of it
    away: bool = False  # its weights are in the CPU's memory
    last_use: int = 0  # the higher, the later
    last_use_s: float = 0.0  # when its last lease was given back
    model: M | None = None
    error: Exception | None = None  # why the load failed

    @property
    def takes_leases(self) -> bool:
        return self._is_here and not self.releases and self.leaving is None

    @property
    def is_idle(self) -> bool:
        return self._is_here and not self.leases

    @property
    def is_kept(self) -> bool:
        """Whether it was to leave memory, and its engine would not let go of it."""
        return self.refused and self._is_here

    @property
    def on_device(self) -> bool:
        """Whether its bytes count on its device."""
        return self.state is not ModelState.OFFLOADED

    def check(self) -> None:
        """Assert the invariants."""
        assert self.leases >= 0 <= self.releases
        assert self.state is not ModelState.GONE
        assert (self.model is None) == (self.state is ModelState.LOADING)
        assert self.state is not ModelState.LOADING or self.leases == 1
        assert self.state is not ModelState.CLOSING or (not self.leases and self.leaving is not None)
        assert self.state is not ModelState.OFFLOADED or not self.leases
        assert not self.refused or self.leaving is not None

    @property
    def _is_here(self) -> bool:
        return self.state in (ModelState.RESIDENT, ModelState.OFFLOADED)


@dataclass(frozen=True, slots=True, eq=False)
class Lease(Generic[K, M]):
    """A model that stays where it is until it is given back; `found`: where the lease found it."""

    model: M
    found: Found
    entry: Entry[K, M]


def copy_of(error: Exception) -> Exception:
    """An instance of its own for every thread: a traceback grows on the one that is raised."""
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001 - its constructor, of whatever library, may want other arguments than it kept
        return EngineError("loader", "load", str(error))
