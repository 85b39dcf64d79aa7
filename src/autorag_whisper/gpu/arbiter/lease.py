"""What a tenant sees of the arbiter: how it asks for a lease, what it has then, and the offload that it promises."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


class AtDeadline(StrEnum):
    """What becomes of a wait that has lasted too long."""

    WAIT = "wait"
    """It goes on, for the same time again; each time a warning is logged."""
    CPU = "cpu"
    """The lease is given without the card (`Lease.on_card` is False): its owner computes on the CPU meanwhile."""
    FAIL = "fail"
    """`GpuBusy` is raised."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """Who is next, and how many bytes it needs on top of what it has: what is not in its way may stay."""

    next_tenant: str
    needs_bytes: int


@dataclass(frozen=True, slots=True)
class Released:
    """What an offload came to. Not `verified`: all of it counts as still on the card, whatever `keeps_bytes` says."""

    keeps_bytes: int = 0
    verified: bool = True
    note: str = ""

    def __post_init__(self) -> None:
        if self.keeps_bytes < 0:
            raise ValueError("keeps_bytes must be 0 or more")


@dataclass(frozen=True, slots=True)
class Tenant:
    """One who shares the card.

    `offload` frees its memory there; it is called while nobody holds a lease, by whichever thread or process wants
    the card next, and must not ask for a lease itself. Whatever it raises counts as a release that did not happen.
    `held_bytes`: what it keeps on the card now, asked at the end of each of its leases; None where it does not know
    (then only the card itself can say). `standing`: its memory comes without a lease too, as that of a server whose
    clients ask nobody, so it is asked to leave before every lease of another.
    """

    name: str
    offload: Callable[[Eviction], Released] | None = None
    held_bytes: Callable[[], int] | None = None
    standing: bool = False

    def reservation_after(self, keeps_bytes: int) -> int | None:
        """The bytes of the reservation that is left when it keeps so many; None if no reservation is."""
        return keeps_bytes if keeps_bytes or self.standing else None


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """How a lease is asked for: bytes beyond what the tenant keeps there, all or none; seconds of patience."""

    needs_bytes: int = 0
    timeout_s: float = 60.0
    at_deadline: AtDeadline = AtDeadline.FAIL

    def __post_init__(self) -> None:
        if self.needs_bytes < 0 or not 0 <= self.timeout_s < 1e9:
            raise ValueError("a lease needs bytes and seconds from 0")


class Lease(Protocol):
    """The card, for the length of a `with`."""

    @property
    def on_card(self) -> bool:
        """False: the deadline passed, and the request said to compute on the CPU then."""
        ...

    @property
    def epoch(self) -> int:
        """Fencing: higher than that of every earlier lease of this card; 0 without the card."""
        ...

    @property
    def should_yield(self) -> bool:
        """Whether somebody waits: give the lease back at the next batch's end."""
        ...


class GpuArbiter(Protocol):
    """One card, several tenants, one lease at a time, first come first served. Any thread may call any method.

    A holder that dies never blocks the others. Before a lease the other tenants' memory leaves the card by their own
    `offload`; one that fails or cannot be verified frees nothing.
    """

    def register(self, tenant: Tenant) -> None:
        """Make a tenant of this process known. Again replaces it."""
        ...

    def lease(self, tenant: str, request: LeaseRequest = ...) -> AbstractContextManager[Lease]:
        """The card for `tenant`. Not to be asked for while the same thread holds it.

        Raises GpuBusy at the deadline where the request says so, KeyError for a tenant that is not registered.
        """
        ...

    def close(self) -> None:
        """Give up what this process has at the arbiter. Leases must have ended."""
        ...
