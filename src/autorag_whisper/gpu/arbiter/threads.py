"""The arbiter within one process: `core.decide` under a lock, its effects carried out by the threads that wait."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import GpuBusy
from autorag_whisper.gpu.arbiter import core
from autorag_whisper.gpu.arbiter.lease import AtDeadline, Eviction, LeaseRequest, Released, Tenant
from autorag_whisper.per_process import require_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.gpu.arbiter.lease import Lease

_log = logging.getLogger(__name__)

_LOOK_S = 0.25
"""How often one who waits for memory looks at what the card reports."""
_OWNER = "self"


@dataclass(slots=True)
class _Waiter:
    """A ticket on its way: what was decided about it."""

    ticket: core.Ticket
    grant: core.Grant | None = None
    expired: str | None = None


class ThreadLease:
    """A lease within this process; without a grant it is the CPU's."""

    def __init__(self, arbiter: ThreadArbiter, grant: core.Grant | None) -> None:
        self._arbiter, self._grant = arbiter, grant

    @property
    def on_card(self) -> bool:
        return self._grant is not None

    @property
    def epoch(self) -> int:
        return self._grant.epoch if self._grant is not None else 0

    @property
    def should_yield(self) -> bool:
        return self._grant is not None and self._arbiter.should_yield(self._grant.epoch)


class ThreadArbiter:
    """A `GpuArbiter` for the threads of one process.

    `read_free`: the bytes that the card reports as free, None where nothing does; it is called outside the lock.
    """

    def __init__(
        self, *, read_free: Callable[[], int | None] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read_free, self._clock = read_free, clock
        self._changed = threading.Condition()  # its lock is the only one
        self._state = core.ArbiterState()
        self._tenants: dict[str, Tenant] = {}
        self._waiters: dict[int, _Waiter] = {}
        self._pending_offloads: list[core.OffloadWanted] = []
        self._drawn = 0
        self._pid = os.getpid()

    def register(self, tenant: Tenant) -> None:
        with self._changed:
            self._tenants[tenant.name] = tenant
            if tenant.standing:
                self._note(core.Reserved(tenant.name, _OWNER, held(tenant)))

    @contextmanager
    def lease(self, tenant: str, request: LeaseRequest = LeaseRequest()) -> Iterator[Lease]:  # noqa: B008 - a frozen value
        require_own(self._pid, "an arbiter")
        grant = self._get(self._known(tenant), request)
        try:
            yield ThreadLease(self, grant)
        finally:
            if grant is not None:
                self._give_back(grant)

    def should_yield(self, epoch: int) -> bool:
        """Whether somebody waits for the lease of that epoch."""
        with self._changed:
            grant = self._state.grant
            return grant is not None and grant.epoch == epoch and grant.should_yield

    @property
    def state(self) -> core.ArbiterState:
        """What is known now."""
        with self._changed:
            return self._state

    def close(self) -> None:
        with self._changed:
            self._tenants.clear()

    def _known(self, name: str) -> Tenant:
        with self._changed:
            return self._tenants[name]

    def _get(self, tenant: Tenant, request: LeaseRequest) -> core.Grant | None:
        started = self._clock()
        while True:
            waiter = self._ask(tenant, request)
            try:
                self._wait(waiter)
            except BaseException:
                self._tell(core.Withdrew(waiter.ticket.number))
                if waiter.grant is not None:
                    self._give_back(waiter.grant)
                raise
            if waiter.grant is not None:
                return waiter.grant
            if request.at_deadline is AtDeadline.CPU:
                return None
            busy = GpuBusy(tenant.name, waiter.expired or "", self._clock() - started)
            if request.at_deadline is AtDeadline.FAIL:
                raise busy
            _log.warning("%s", busy.problem())

    def _ask(self, tenant: Tenant, request: LeaseRequest) -> _Waiter:
        deadline_s = self._clock() + request.timeout_s
        with self._changed:
            self._drawn += 1
            ticket = core.Ticket(self._drawn, tenant.name, _OWNER, deadline_s, request.needs_bytes)
            waiter = self._waiters[ticket.number] = _Waiter(ticket)
            self._note(core.Asked(ticket))
            return waiter

    def _wait(self, waiter: _Waiter) -> None:
        """Until it is granted or expired; meanwhile this thread runs the pending offloads, whoever waits for them."""
        ticket = waiter.ticket
        while True:
            free_bytes = self._read_free()
            with self._changed:
                self._note(core.Looked(self._clock(), free_bytes))
                if waiter.grant is not None or waiter.expired is not None:
                    del self._waiters[ticket.number]
                    return
                pending = self._pending_offloads.pop() if self._pending_offloads else None
                if pending is None:
                    left = ticket.deadline_s - self._clock()
                    self._changed.wait(max(0.0, min(left, _LOOK_S) if ticket.needs_bytes else left))
            if pending is not None:
                self._run_offload(pending)

    def _run_offload(self, wanted: core.OffloadWanted) -> None:
        reservation, ticket = wanted.reservation, wanted.ticket
        tenant = self._tenants.get(reservation.tenant)
        released, keeps = Released(verified=False), None
        try:
            released = offload(tenant, Eviction(ticket.tenant, ticket.needs_bytes))
            keeps = tenant.reservation_after(released.keeps_bytes) if tenant is not None else None
        finally:
            self._tell(core.OffloadDone(reservation.tenant, reservation.owner, keeps, released.verified))

    def _give_back(self, grant: core.Grant) -> None:
        tenant = self._tenants.get(grant.ticket.tenant)
        keeps = None if tenant is None or tenant.offload is None else held(tenant)
        self._tell(core.GaveBack(grant.ticket.number, keeps))

    def _tell(self, event: core.Event) -> None:
        with self._changed:
            self._note(event)

    def _note(self, event: core.Event) -> None:
        """Under the lock."""
        self._state, effects = core.decide(self._state, event)
        for effect in effects:
            match effect:
                case core.Granted(grant):
                    self._waiters[grant.ticket.number].grant = grant
                case core.Expired(ticket, reason):
                    self._waiters[ticket.number].expired = reason
                case core.OffloadWanted():
                    self._pending_offloads.append(effect)
                case core.YieldWanted():
                    pass  # the lease asks the state
        if effects or not isinstance(event, core.Looked):
            self._changed.notify_all()


def offload(tenant: Tenant | None, eviction: Eviction) -> Released:
    """Have a tenant leave the card. What its hook raises is logged, and counts as a release that did not happen."""
    if tenant is None or tenant.offload is None:
        return Released(verified=False, note="it has no way to offload")
    try:
        released = tenant.offload(eviction)
    except Exception as error:  # noqa: BLE001 - a hook of the host: whatever it raises must not take the card away from all
        _log.warning("the offload of %s failed: %s", tenant.name, type(error).__name__)
        return Released(verified=False, note=type(error).__name__)
    if not released.verified:
        _log.warning("%s may still be on the card: %s", tenant.name, released.note or "not verified")
    return released


def held(tenant: Tenant) -> int:
    """What a tenant keeps on the card, as far as it knows."""
    return tenant.held_bytes() if tenant.held_bytes is not None else 0
