"""The arbiter across the processes of one machine: `core.decide` over what `directory` shows, by whoever is first."""

from __future__ import annotations

import itertools
import logging
import math
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import GpuBusy, GpuDirectoryUnsafe
from autorag_whisper.gpu.arbiter import core, facts
from autorag_whisper.gpu.arbiter.directory import Directory, LockedFile
from autorag_whisper.gpu.arbiter.eviction_requests import EvictionListener, EvictionRequest, send
from autorag_whisper.gpu.arbiter.lease import AtDeadline, Eviction, LeaseRequest, Released, Tenant
from autorag_whisper.gpu.arbiter.private_folder import open_safely
from autorag_whisper.gpu.arbiter.threads import held, offload
from autorag_whisper.per_process import require_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autorag_whisper.gpu.arbiter.lease import Lease

_log = logging.getLogger(__name__)

_POLL_S = 0.004
"""Seconds between two looks of a ticket that is first or second in line; of the third twice that, and so on."""
_MOST_POLL_S = 0.02
"""The same for a ticket with many before it, at most."""
_MEMORY_POLL_S = 0.1
"""Seconds between two looks of a ticket whose turn it is, but for which too little memory is free."""

_MOST_OFFLOAD_S, _OFFLOAD_SHARE = 30.0, 0.8
"""How long another process may take to offload: seconds, and as a share of what is left until the ticket's deadline."""

_made = itertools.count(1)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A lease of this process: its ticket's number, and the two files that it holds locked."""

    number: int
    ticket: LockedFile
    grant: LockedFile


class ProcessLease:
    """The card, or (without a grant) the CPU."""

    def __init__(self, directory: Directory, clock: Callable[[], float], number: int = 0) -> None:
        self._directory, self._clock, self._number = directory, clock, number

    @property
    def on_card(self) -> bool:
        return self._number > 0

    @property
    def epoch(self) -> int:
        return self._number

    @property
    def should_yield(self) -> bool:
        if not self.on_card:
            return False
        now = self._clock()
        return any(t.number != self._number and t.deadline_s > now for t in self._directory.waiting())


class ProcessArbiter:
    """A `GpuArbiter` for all processes that name the same folder, and for the threads of each.

    `read_free`: as in `ThreadArbiter`. `clock` is one that all processes share. Linux alone: elsewhere the kernel drops
    no lock when its owner dies, and this cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        read_free: Callable[[], int | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = Directory(folder)
        self._read_free, self._clock = read_free, clock
        self._pause = threading.Event().wait
        self._pid = os.getpid()
        self._owner = f"{self._pid}-{next(_made)}"
        self._lock = threading.Lock()
        self._offloading = threading.Lock()  # a gate: held while an offload runs that another process asked for
        self._tenants: dict[str, Tenant] = {}
        self._listeners: dict[str, EvictionListener] = {}
        self._reservations: dict[str, tuple[LockedFile, int]] = {}
        self._is_cut_off = False  # its folder cannot be made again, and that was logged

    def register(self, tenant: Tenant) -> None:
        require_own(self._pid, "an arbiter")
        with self._lock:
            self._tenants[tenant.name] = tenant
            if tenant.offload is not None and tenant.name not in self._listeners:
                path = self.directory.folder / f"{tenant.name}-{self._owner}.sock"
                answer = partial(self._answer, tenant.name)
                self._listeners[tenant.name] = EvictionListener(path, answer, self._republish)
        if tenant.standing:
            self._publish(tenant.name, held(tenant))

    @contextmanager
    def lease(self, tenant: str, request: LeaseRequest = LeaseRequest()) -> Iterator[Lease]:  # noqa: B008 - a frozen value
        require_own(self._pid, "an arbiter")
        with self._lock:
            known = self._tenants[tenant]
        self._republish()
        turn = self._get(known, request)
        if turn is None:
            yield ProcessLease(self.directory, self._clock)
            return
        try:
            with (
                self._offloading
            ):  # an offload that began for an earlier ticket ends first, and none begins from now on
                pass
            yield ProcessLease(self.directory, self._clock, turn.number)
        finally:
            try:
                self._publish_after(known)
            finally:
                turn.ticket.close()  # first: while the grant is free, this ticket must not look like the next in line
                turn.grant.close()
                os.sched_yield()  # who was told may have been put on this core, behind what is done here next

    def close(self) -> None:
        with self._lock:
            boxes, reservations = list(self._listeners.values()), list(self._reservations.values())
            self._listeners, self._reservations, self._tenants = {}, {}, {}
        for reservation, _ in reservations:  # first: who is not there any more need not be asked
            reservation.close()
        for box in boxes:
            box.close()

    # ------------------------------------------------------------ waiting

    def _get(self, tenant: Tenant, request: LeaseRequest) -> _Held | None:
        started = self._clock()
        while True:
            try:
                turn = self._wait(tenant, request)
            except GpuDirectoryUnsafe as error:
                if request.at_deadline is not AtDeadline.CPU:
                    raise
                _log.warning("%s computes on the CPU meanwhile: %s", tenant.name, error)
                return None
            if isinstance(turn, _Held):
                return turn
            if request.at_deadline is AtDeadline.CPU:
                return None
            busy = GpuBusy(tenant.name, turn, self._clock() - started)
            if request.at_deadline is AtDeadline.FAIL:
                raise busy
            _log.warning("%s", busy.problem())

    def _wait(self, tenant: Tenant, request: LeaseRequest) -> _Held | str:
        """Its turn, or what it waited for until its deadline."""
        deadline_s = self._clock() + request.timeout_s
        said: dict[str, object] = {
            "tenant": tenant.name, "owner": self._owner, "deadline_s": deadline_s, "needs_bytes": request.needs_bytes
        }  # fmt: skip
        while True:
            number, file = self.directory.draw(said)
            ticket = core.Ticket(number, tenant.name, self._owner, deadline_s, request.needs_bytes)
            try:
                grant = self._queue(ticket)
            except BaseException:
                file.close()
                raise
            if isinstance(grant, LockedFile):
                return _Held(number, file, grant)
            file.close()
            if self._clock() >= deadline_s:
                return grant

    def _queue(self, ticket: core.Ticket) -> LockedFile | str:
        """The grant, or why there is none: the deadline, or a reason to draw again."""
        while True:
            now, seen = self._clock(), self._seen()
            if ticket.deadline_s > now and all(other.number != ticket.number for other in seen.queue):
                return "its ticket was taken away"
            state, effects = core.decide(seen, core.Looked(now))
            if ticket.deadline_s <= now:
                return core.why_not(state, ticket) or "its turn came too late"
            left_s = ticket.deadline_s - now
            granted = (effect.grant.ticket for effect in effects if isinstance(effect, core.Granted))
            if next(granted, state.head) != ticket:  # granted, as far as the folder tells: the lock says for sure
                before = sum(other.number < ticket.number for other in state.queue)
                self._pause(min(max(1, before) * _POLL_S, _MOST_POLL_S, left_s))
            elif grant := self._next_in_line(ticket):
                return self._make_ours(ticket, grant)

    def _next_in_line(self, ticket: core.Ticket) -> LockedFile | None:
        """The grant as soon as its holder lets go; None at the deadline. For the ticket that is first in line.

        A ticket that is first stays first, because new ones have higher numbers: so the folder is not read again here.
        """
        while (left_s := ticket.deadline_s - self._clock()) > 0:
            with self.directory.watch() as watch:
                if grant := self.directory.take_grant():
                    return grant
                watch.wait(min(_POLL_S, left_s))  # it is told as well; looking is for what was missed
        return None

    def _make_ours(self, ticket: core.Ticket, grant: LockedFile) -> LockedFile | str:
        """Have the others' memory leave, now that nobody computes. The grant is kept only if the card is ours."""
        try:
            last = facts.grant_of(grant.read())
            if last is not None and last.number >= ticket.number:
                reason = "a later ticket had its turn"  # stopped for so long that all others had given it up
            else:
                said_now = facts.GrantFacts(
                    ticket.number, ticket.tenant, ticket.owner, self._clock(), ticket.needs_bytes
                )
                grant.write(asdict(said_now))
                reason = self._make_room(ticket)
            if not reason:
                return grant
        except BaseException:
            grant.close()
            raise
        grant.close()
        return reason

    def _make_room(self, ticket: core.Ticket) -> str:
        """Empty when the card is the ticket's, else what was in the way."""
        state = core.ArbiterState(queue=(ticket,))
        while True:
            now = self._clock()
            state, effects = core.decide(self._with_reservations(state), core.Looked(now, self._read_free()))
            pending = list(effects)
            for effect in pending:  # it grows
                match effect:
                    case core.Granted():
                        return ""
                    case core.Expired(_, reason):
                        return reason or "its turn came too late"
                    case core.OffloadWanted():
                        state, more = core.decide(state, self._evict(effect, ticket.deadline_s - self._clock()))
                        pending += more
            if not pending:
                self._pause(min(_MEMORY_POLL_S, max(0.0, ticket.deadline_s - now)))

    def _with_reservations(self, state: core.ArbiterState) -> core.ArbiterState:
        """The reservations as the folder has them, with who was asked already."""
        asked = {reservation.key: reservation.asked_for for reservation in state.reservations}
        reservations = tuple(
            replace(reservation, asked_for=asked.get(reservation.key, -1))
            for reservation in self.directory.reservations()
        )
        return replace(state, reservations=reservations)

    def _evict(self, wanted: core.OffloadWanted, left_s: float) -> core.OffloadDone:
        reservation, eviction = wanted.reservation, Eviction(wanted.ticket.tenant, wanted.ticket.needs_bytes)
        if reservation.owner == self._owner:
            released = self._leave(reservation.tenant, eviction)
        else:
            box = self.directory.folder / f"{reservation.tenant}-{reservation.owner}.sock"
            request = EvictionRequest(wanted.ticket.number, eviction.next_tenant, eviction.needs_bytes)
            released = send(request, box, min(_MOST_OFFLOAD_S, _OFFLOAD_SHARE * left_s))
            if not released.verified:
                _log.warning("%s may still be on the card: %s", reservation.tenant, released.note)
        # What the reservation keeps is read from the folder; here it is only noted that it was asked for this ticket.
        return core.OffloadDone(reservation.tenant, reservation.owner, released.keeps_bytes, released.verified)

    def _seen(self) -> core.ArbiterState:
        """The queue and the holder as the folder shows them."""
        # In this order: who lets go in between is in neither. The other way about it would look like the next in line.
        holder, waiting = self.directory.held(), self.directory.waiting()
        if holder is None:
            return core.ArbiterState(queue=tuple(waiting))
        ticket = core.Ticket(holder.number, holder.tenant, holder.owner, math.inf, holder.needs_bytes)
        queue = tuple(other for other in waiting if other.number != holder.number)
        return core.ArbiterState(queue=queue, grant=core.Grant(ticket, holder.number))

    # ------------------------------------------------------------ what stays on the card

    def _answer(self, name: str, request: EvictionRequest) -> Released:
        """Offload the tenant `name` for another process, unless that one has lost its grant in the meantime."""
        with self._offloading:
            holder = self.directory.held()
            if holder is None or holder.number != request.ticket:
                return Released(verified=False, note="asked too late")
            return self._leave(name, Eviction(request.next_tenant, request.needs_bytes))

    def _leave(self, name: str, eviction: Eviction) -> Released:
        """Offload a tenant of this process, and say in the folder what it keeps."""
        with self._lock:
            tenant = self._tenants.get(name)
        released = offload(tenant, eviction)
        if released.verified and tenant is not None:
            self._publish(name, tenant.reservation_after(released.keeps_bytes))
        return released

    def _publish_after(self, tenant: Tenant) -> None:
        """Say what `tenant` keeps on the card at the end of its lease."""
        self._publish(tenant.name, held(tenant) if tenant.offload is not None else None)

    def _publish(self, name: str, held_bytes: int | None) -> None:
        """Say in the folder what the tenant `name` keeps on the card; None: nothing, it has no reservation.

        A folder that cannot be written is a warning alone: the others then do not know of that memory.
        """
        with self._lock:
            before, _ = self._reservations.pop(name, (None, 0))
            if held_bytes is not None:
                try:
                    file = self.directory.reserve(core.Reservation(name, self._owner, held_bytes))
                except (GpuDirectoryUnsafe, OSError) as error:
                    _log.warning("others do not know what %s keeps on the card: %s", name, error)
                else:
                    self._reservations[name] = (file, held_bytes)
            if before is not None:
                gone = held_bytes is None and before.is_there
                before.close()
                if gone:
                    before.path.unlink(missing_ok=True)

    def _republish(self) -> None:
        """Put back what this process has in the folder, where somebody deleted it."""
        with self._lock:
            lost = [(name, size) for name, (file, size) in self._reservations.items() if not file.is_there]
            boxes = [box for box in self._listeners.values() if not box.is_there]
        if not lost and not boxes:
            return
        if not self._is_cut_off:
            _log.warning("the GPU's folder was taken away: %s, and is made again", self.directory.folder.name)
        for name, size in lost:
            self._publish(name, size)
        try:
            open_safely(self.directory.folder)
            for box in boxes:
                box.bind()
        except (GpuDirectoryUnsafe, OSError) as error:
            if not self._is_cut_off:  # a listener tries again every other second, for days
                _log.warning("this process cannot be asked to leave the card: %s", error)
            self._is_cut_off = True
        else:
            self._is_cut_off = False
