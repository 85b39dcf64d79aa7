"""Who shares the card now, as the folder of the arbiter shows it to anyone who may look."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.gpu.arbiter.directory import Directory
from autorag_whisper.models.store import default_cache_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autorag_whisper.settings import Settings


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lease, for how long by now, and the bytes that it asked for."""

    tenant: str
    owner: str
    epoch: int
    age_s: float
    needs_bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits, in order; `left_s` until its deadline (below 0: it is over, and so is its turn)."""

    tenant: str
    owner: str
    number: int
    left_s: float
    needs_bytes: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What a tenant keeps on the card between its leases."""

    tenant: str
    owner: str
    held_bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """One card's. An owner is a process id and a number within that process."""

    holder: Holder | None
    waiting: tuple[Waiting, ...]
    kept: tuple[Kept, ...]

    @property
    def reserved_bytes(self) -> int:
        """What leases asked for and tenants keep."""
        return sum(one.held_bytes for one in self.kept) + (self.holder.needs_bytes if self.holder else 0)


def gpu_folder(settings: Settings, environ: Mapping[str, str], index: int) -> Path:
    """Where processes share the card with CUDA's number `index`: a folder of this user."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    usual = Path(runtime) / "autorag-whisper" if runtime else default_cache_dir(environ)
    return (settings.gpu_dir or usual) / f"gpu{index}"


def look(folder: Path, now_s: float) -> Status:
    """The state of the card behind `folder`; nothing is made where there is none. `now_s`: of CLOCK_MONOTONIC.

    Raises GpuDirectoryUnsafe.
    """
    if not os.path.lexists(folder):
        return Status(None, (), ())
    directory = Directory(folder)
    held = directory.held()
    holder = None
    if held is not None:
        holder = Holder(held.tenant, held.owner, held.number, max(0.0, now_s - held.since_s), held.needs_bytes)
    waiting = tuple(
        Waiting(ticket.tenant, ticket.owner, ticket.number, ticket.deadline_s - now_s, ticket.needs_bytes)
        for ticket in directory.waiting()
        if held is None or ticket.number != held.number
    )
    return Status(holder, waiting, tuple(Kept(c.tenant, c.owner, c.held_bytes) for c in directory.reservations()))
