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
from autorag_whisper.gpu.arbiter.held import Held
from autorag_whisper.gpu.arbiter.lease import AtDeadline, Eviction, Released, Tenant, Wish
from autorag_whisper.gpu.arbiter.letters import Letterbox, Question, ask
from autorag_whisper.gpu.arbiter.private_folder import open_safely
from autorag_whisper.gpu.arbiter.threads import held, offload
from autorag_whisper.per_process import require_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autorag_whisper.gpu.arbiter.lease import Lease

_log = logging.getLogger(__name__)

_LOOKS_S, _LAST_LOOKS_S, _MEMORY_LOOKS_S = 0.004, 0.02, 0.1
"""How often one looks who is next in line or has one more before it (two: half as often), who has many, and who waits
for memory. Who is next in line is told besides, so it looks for what it may have missed."""

_ANSWER_S, _ANSWER_SHARE = 30.0, 0.8
"""How long another process may take to offload, and how much of the time that is left to the ticket."""

_made = itertools.count(1)


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """A lease: its ticket's number, and the two locks that it is."""

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

    `budget_bytes`, `read_free`: as in `ThreadArbiter`. `clock` is one that all processes share. Linux: elsewhere
    there is no lock that the kernel drops with its owner, and this cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        budget_bytes: int | None = None,
        read_free: Callable[[], int | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = Directory(folder)
        self._budget_bytes, self._read_free, self._clock = budget_bytes, read_free, clock
        self._pause = threading.Event().wait
        self._pid = os.getpid()
        self._owner = f"{self._pid}-{next(_made)}"
        self._lock = threading.Lock()
        self._moving = threading.Lock()  # a gate: held while an offload runs that another process asked for
        self._tenants: dict[str, Tenant] = {}
        self._letterboxes: dict[str, Letterbox] = {}
        self._claims: dict[str, tuple[LockedFile, int]] = {}
        self._draining: dict[str, int] = {}
        self._is_cut_off = False  # its folder cannot be made again, which was told

    def register(self, tenant: Tenant) -> None:
        require_own(self._pid, "an arbiter")
        with self._lock:
            self._tenants[tenant.name] = tenant
            if tenant.offload is not None and tenant.name not in self._letterboxes:
                path = self.directory.folder / f"{tenant.name}-{self._owner}.sock"
                answer = partial(self._answer, tenant.name)
                self._letterboxes[tenant.name] = Letterbox(path, answer, self._say_again)
        if tenant.standing:
            self._say(tenant.name, held(tenant))

    @contextmanager
    def lease(self, tenant: str, wish: Wish = Wish()) -> Iterator[Lease]:  # noqa: B008 - a frozen value
        require_own(self._pid, "an arbiter")
        with self._lock:
            known = self._tenants[tenant]
        self._say_again()
        turn = self._get(known, wish)
        if turn is None:
            yield ProcessLease(self.directory, self._clock)
            return
        try:
            with self._moving:  # an offload that began for an earlier ticket ends first, and none begins from now on
                pass
            yield ProcessLease(self.directory, self._clock, turn.number)
        finally:
            try:
                self._claim(known)
            finally:
                turn.ticket.close()  # first: while the grant is free, this ticket must not look like the next in line
                turn.grant.close()
                os.sched_yield()  # who was told may have been put on this core, behind what is done here next

    @contextmanager
    def drain(self, tenant: str) -> Iterator[None]:
        with self._lock:
            self._draining[tenant] = self._draining.get(tenant, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._draining[tenant] -= 1

    def close(self) -> None:
        with self._lock:
            boxes, claims = list(self._letterboxes.values()), list(self._claims.values())
            self._letterboxes, self._claims, self._tenants = {}, {}, {}
        for claim, _ in claims:  # first: who is not there any more need not be asked
            claim.close()
        for box in boxes:
            box.close()

    # ------------------------------------------------------------ waiting

    def _get(self, tenant: Tenant, wish: Wish) -> _Turn | None:
        started = self._clock()
        while True:
            try:
                turn = self._wait(tenant, wish)
            except GpuDirectoryUnsafe as error:
                if wish.at_deadline is not AtDeadline.CPU:
                    raise
                _log.warning("%s computes on the CPU meanwhile: %s", tenant.name, error)
                return None
            if isinstance(turn, _Turn):
                return turn
            if wish.at_deadline is AtDeadline.CPU:
                return None
            busy = GpuBusy(tenant.name, turn, self._clock() - started)
            if wish.at_deadline is AtDeadline.FAIL:
                raise busy
            _log.warning("%s", busy.problem())

    def _wait(self, tenant: Tenant, wish: Wish) -> _Turn | str:
        """Its turn, or what it waited for until its deadline."""
        deadline_s = self._clock() + wish.timeout_s
        said: dict[str, object] = {
            "tenant": tenant.name, "owner": self._owner, "deadline_s": deadline_s, "needs_bytes": wish.needs_bytes
        }  # fmt: skip
        while True:
            self._wait_out_a_drain(tenant.name, deadline_s)
            number, file = self.directory.draw(said)
            ticket = core.Ticket(number, tenant.name, self._owner, deadline_s, wish.needs_bytes)
            try:
                grant = self._queue(ticket)
            except BaseException:
                file.close()
                raise
            if isinstance(grant, LockedFile):
                return _Turn(number, file, grant)
            file.close()
            if self._clock() >= deadline_s:
                return grant

    def _wait_out_a_drain(self, name: str, deadline_s: float) -> None:
        """Whoever is being drained does not draw: a ticket would hold up the others."""
        while self._draining.get(name) and self._clock() < deadline_s:
            self._pause(_LAST_LOOKS_S)

    def _queue(self, ticket: core.Ticket) -> LockedFile | str:
        """The grant, or why there is none: the deadline, or a reason to draw again."""
        while True:
            now, seen = self._clock(), self._seen()
            if ticket.deadline_s > now and all(other.number != ticket.number for other in seen.queue):
                return "its ticket was taken away"
            state, effects = core.decide(seen, core.Looked(now))
            if ticket.deadline_s <= now:
                return core.why_not(state, ticket) or "its turn came too late"
            if self._draining.get(ticket.tenant):
                return f"{ticket.tenant} is being drained"
            left_s = ticket.deadline_s - now
            granted = (effect.grant.ticket for effect in effects if isinstance(effect, core.Granted))
            if next(granted, state.head) != ticket:  # granted, as far as the folder tells: the lock says for sure
                before = sum(other.number < ticket.number for other in state.queue)
                self._pause(min(max(1, before) * _LOOKS_S, _LAST_LOOKS_S, left_s))
            elif grant := self._next_in_line(ticket):
                return self._clear(ticket, grant)

    def _next_in_line(self, ticket: core.Ticket) -> LockedFile | None:
        """The grant as soon as its holder lets go; None at the deadline, or if the tenant is drained meanwhile.

        Who is next in line stays it, as tickets before it only go: the folder need not be read at every look.
        """
        while not self._draining.get(ticket.tenant) and (left_s := ticket.deadline_s - self._clock()) > 0:
            with self.directory.watch() as watch:
                if grant := self.directory.take_grant():
                    return grant
                watch.wait(min(_LOOKS_S, left_s))
        return None

    def _clear(self, ticket: core.Ticket, grant: LockedFile) -> LockedFile | str:
        """Have the others' memory leave, now that nobody computes. The grant is kept only if the card is ours."""
        try:
            last = facts.held_of(grant.read())
            if last is not None and last.number >= ticket.number:
                reason = "a later ticket had its turn"  # stopped for so long that all others had given it up
            else:
                held_now = Held(ticket.number, ticket.tenant, ticket.owner, self._clock(), ticket.needs_bytes)
                grant.write(asdict(held_now))
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
        state = core.State(self._budget_bytes, queue=(ticket,))
        while True:
            now = self._clock()
            state, effects = core.decide(self._with_claims(state), core.Looked(now, self._read_free()))
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
                self._pause(min(_MEMORY_LOOKS_S, max(0.0, ticket.deadline_s - now)))

    def _with_claims(self, state: core.State) -> core.State:
        """The claims as the folder has them, with who was asked already."""
        asked = {claim.key: claim.asked_for for claim in state.claims}
        claims = tuple(replace(claim, asked_for=asked.get(claim.key, -1)) for claim in self.directory.claims())
        return replace(state, claims=claims)

    def _evict(self, wanted: core.OffloadWanted, left_s: float) -> core.OffloadOver:
        claim, eviction = wanted.claim, Eviction(wanted.ticket.tenant, wanted.ticket.needs_bytes)
        if claim.owner == self._owner:
            released = self._leave(claim.tenant, eviction)
        else:
            box = self.directory.folder / f"{claim.tenant}-{claim.owner}.sock"
            question = Question(wanted.ticket.number, eviction.next_tenant, eviction.needs_bytes)
            released = ask(box, question, min(_ANSWER_S, _ANSWER_SHARE * left_s))
            if not released.verified:
                _log.warning("%s may still be on the card: %s", claim.tenant, released.note)
        # What the claim is now the folder says; here it counts only that it need not be asked again.
        return core.OffloadOver(claim.tenant, claim.owner, released.keeps_bytes, released.verified)

    def _seen(self) -> core.State:
        """The queue and the holder as the folder shows them."""
        # In this order: who lets go in between is in neither. The other way about it would look like the next in line.
        holder, waiting = self.directory.held(), self.directory.waiting()
        if holder is None:
            return core.State(self._budget_bytes, queue=tuple(waiting))
        ticket = core.Ticket(holder.number, holder.tenant, holder.owner, math.inf, holder.needs_bytes)
        queue = tuple(other for other in waiting if other.number != holder.number)
        return core.State(self._budget_bytes, queue=queue, grant=core.Grant(ticket, holder.number))

    # ------------------------------------------------------------ what stays on the card

    def _answer(self, name: str, question: Question) -> Released:
        """Another process wants the card. It may have given up meanwhile, and this process may compute again."""
        with self._moving:
            holder = self.directory.held()
            if holder is None or holder.number != question.ticket:
                return Released(verified=False, note="asked too late")
            return self._leave(name, Eviction(question.next_tenant, question.needs_bytes))

    def _leave(self, name: str, eviction: Eviction) -> Released:
        """Offload a tenant of this process, and say in the folder what it keeps."""
        with self._lock:
            tenant = self._tenants.get(name)
        released = offload(tenant, eviction)
        if released.verified and tenant is not None:
            self._say(name, tenant.claim_after(released.keeps_bytes))
        return released

    def _claim(self, tenant: Tenant) -> None:
        self._say(tenant.name, held(tenant) if tenant.offload is not None else None)

    def _say(self, name: str, held_bytes: int | None) -> None:
        """Where the folder cannot be written, the others do not know of it: that is told, and ends nobody's work."""
        with self._lock:
            before, _ = self._claims.pop(name, (None, 0))
            if held_bytes is not None:
                try:
                    file = self.directory.claim(core.Claim(name, self._owner, held_bytes))
                except (GpuDirectoryUnsafe, OSError) as error:
                    _log.warning("others do not know what %s keeps on the card: %s", name, error)
                else:
                    self._claims[name] = (file, held_bytes)
            if before is not None:
                gone = held_bytes is None and before.is_there
                before.close()
                if gone:
                    before.path.unlink(missing_ok=True)

    def _say_again(self) -> None:
        """What this process has in the folder, put there once more where it was taken away."""
        with self._lock:
            lost = [(name, size) for name, (file, size) in self._claims.items() if not file.is_there]
            boxes = [box for box in self._letterboxes.values() if not box.is_there]
        if not lost and not boxes:
            return
        if not self._is_cut_off:
            _log.warning("the GPU's folder was taken away: %s, and is made again", self.directory.folder.name)
        for name, size in lost:
            self._say(name, size)
        try:
            open_safely(self.directory.folder)
            for box in boxes:
                box.bind()
        except (GpuDirectoryUnsafe, OSError) as error:
            if not self._is_cut_off:  # a letterbox tries again every other second, for days
                _log.warning("this process cannot be asked to leave the card: %s", error)
            self._is_cut_off = True
        else:
            self._is_cut_off = False
