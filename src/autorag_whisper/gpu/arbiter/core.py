"""Who may compute on the card next: a pure function over facts.

```
  Asked -> queue --(first; nobody holds; others' memory has left; enough is free)--> grant -- GaveBack --> reservation
             |                                                                         |
             +-- Withdrew, Died, its deadline (Looked) --> gone                        +-- Died --> nothing is left
```

`decide(state, event)` first notes the fact, then settles what follows from it. Four rules:

- First come, first served, by ticket number. Nobody passes one who waits for memory, so nobody starves.
- One grant at a time. The holder is asked to yield as soon as somebody waits.
- Before a grant every *reservation* of another tenant (memory that it kept on the card after its lease) is asked to
  leave, once for each ticket, and where memory is short those of other processes of the same tenant. While one is
  leaving nothing is granted, so a tenant on its way out is not revived.
- Free is what the card reports, so memory that nobody declared counts as taken, and a release that nobody verified
  frees nothing: the reservation keeps its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request for the card. `needs_bytes` come on top of what its tenant keeps there; all of them or none.

    `number` is its place in the order of arrival; `owner` the process; `deadline_s` a moment of the arbiter's clock.
    """

    number: int
    tenant: str
    owner: str
    deadline_s: float
    needs_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """Memory that a tenant of one process keeps on the card between its leases.

    `leaving`: asked to give it up and not done yet. `asked_for`: the ticket for which it was asked last.
    """

    tenant: str
    owner: str
    held_bytes: int = 0
    leaving: bool = False
    asked_for: int = -1

    @property
    def key(self) -> tuple[str, str]:
        return self.tenant, self.owner


@dataclass(frozen=True, slots=True)
class Grant:
    """The one lease. Its epoch is higher than that of every earlier one."""

    ticket: Ticket
    epoch: int
    should_yield: bool = False


@dataclass(frozen=True, slots=True)
class ArbiterState:
    """All that is known. `free_bytes`: what the card reports, None if nothing does: then nothing limits a lease.

    `fresh`: nothing has come to the card or left it since it reported; who needs memory waits for such a report.
    """

    free_bytes: int | None = None
    fresh: bool = False
    queue: tuple[Ticket, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    grant: Grant | None = None
    epoch: int = 0

    @property
    def head(self) -> Ticket | None:
        """Whose turn it is."""
        return self.queue[0] if self.queue else None

    def lacks_room_for(self, ticket: Ticket) -> bool:
        """Whether the card reports less free memory than `ticket` needs."""
        return self.free_bytes is not None and ticket.needs_bytes > self.free_bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A ticket was drawn."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Withdrew:
    """Who drew that ticket does not want it any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Reserved:
    """A tenant says that it has memory on the card, or (None) none any more."""

    tenant: str
    owner: str
    held_bytes: int | None


@dataclass(frozen=True, slots=True)
class GaveBack:
    """The lease is over. `keeps_bytes`: what its tenant keeps on the card; None if it keeps no reservation at all."""

    number: int
    keeps_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class OffloadDone:
    """A reservation was asked to leave and is done. Not `verified`: all of it counts as still there.

    `keeps_bytes` stay of it; None: the reservation is gone.
    """

    tenant: str
    owner: str
    keeps_bytes: int | None = None
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Died:
    """A process is gone, and with it all that it had."""

    owner: str


@dataclass(frozen=True, slots=True)
class Looked:
    """The time, and what the card reports as free (None: nothing does)."""

    now_s: float
    free_bytes: int | None = None


Event = Asked | Withdrew | Reserved | GaveBack | OffloadDone | Died | Looked


@dataclass(frozen=True, slots=True)
class Granted:
    """To do: tell the ticket's owner that it has the card."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class OffloadWanted:
    """To do: have this reservation leave the card, so that `ticket` can have it; then say `OffloadDone`."""

    reservation: Reservation
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Expired:
    """To do: tell the ticket's owner that its deadline has passed, and `reason`, what it waited for."""

    ticket: Ticket
    reason: str


@dataclass(frozen=True, slots=True)
class YieldWanted:
    """To do: tell the holder that somebody waits."""

    grant: Grant


Effect = Granted | OffloadWanted | Expired | YieldWanted


def decide(state: ArbiterState, event: Event) -> tuple[ArbiterState, tuple[Effect, ...]]:
    """The state after `event`, and what has to be done because of it, in order."""
    state, effects = _note(state, event)
    state, more = _settle(state)
    return state, (*effects, *more)


def _note(state: ArbiterState, event: Event) -> tuple[ArbiterState, tuple[Effect, ...]]:
    match event:
        case Asked(ticket):
            queue = tuple(sorted((*state.queue, ticket), key=lambda waiting: waiting.number))
            return replace(state, queue=queue), ()
        case Withdrew(number):
            return replace(state, queue=tuple(t for t in state.queue if t.number != number)), ()
        case Reserved(tenant, owner, held_bytes):
            return _reserved(state, (tenant, owner), held_bytes), ()
        case GaveBack(number, keeps_bytes):
            return _gave_back(state, number, keeps_bytes), ()
        case OffloadDone():
            return _offloaded(state, event), ()
        case Died(owner):
            return _without(state, owner), ()
        case Looked(now_s, free_bytes):
            late = [ticket for ticket in state.queue if ticket.deadline_s <= now_s]
            told = tuple(Expired(ticket, why_not(state, ticket)) for ticket in late)
            kept = tuple(ticket for ticket in state.queue if ticket not in late)
            return replace(state, queue=kept, free_bytes=free_bytes, fresh=True), told


def _gave_back(state: ArbiterState, number: int, keeps_bytes: int | None) -> ArbiterState:
    grant = state.grant
    if grant is None or grant.ticket.number != number:
        return state  # a lease that was taken from its owner is nobody's to give back
    return _reserved(replace(state, grant=None), (grant.ticket.tenant, grant.ticket.owner), keeps_bytes)


def _reserved(state: ArbiterState, key: tuple[str, str], held_bytes: int | None) -> ArbiterState:
    reservations = tuple(reservation for reservation in state.reservations if reservation.key != key)
    if held_bytes is not None:
        reservations += (Reservation(*key, held_bytes),)
    return replace(state, reservations=reservations, fresh=False)


def _offloaded(state: ArbiterState, event: OffloadDone) -> ArbiterState:
    reservations = []
    for reservation in state.reservations:
        if reservation.key != (event.tenant, event.owner) or not reservation.leaving:
            reservations.append(reservation)
        elif not event.verified:
            reservations.append(replace(reservation, leaving=False))
        elif event.keeps_bytes is not None:
            reservations.append(replace(reservation, leaving=False, held_bytes=event.keeps_bytes))
    return replace(state, reservations=tuple(reservations), fresh=False)


def _without(state: ArbiterState, owner: str) -> ArbiterState:
    grant = state.grant
    return replace(
        state,
        fresh=False,
        queue=tuple(ticket for ticket in state.queue if ticket.owner != owner),
        reservations=tuple(reservation for reservation in state.reservations if reservation.owner != owner),
        grant=None if grant is not None and grant.ticket.owner == owner else grant,
    )


def _settle(state: ArbiterState) -> tuple[ArbiterState, tuple[Effect, ...]]:
    head = state.head
    if head is None:
        return state, ()
    if state.grant is not None:
        if state.grant.should_yield:
            return state, ()
        grant = replace(state.grant, should_yield=True)
        return replace(state, grant=grant), (YieldWanted(grant),)
    asked = [reservation.key for reservation in state.reservations if _must_be_asked(reservation, head, state)]
    if asked:
        reservations = tuple(
            replace(reservation, leaving=True, asked_for=head.number) if reservation.key in asked else reservation
            for reservation in state.reservations
        )
        wanted = tuple(OffloadWanted(reservation, head) for reservation in reservations if reservation.key in asked)
        return replace(state, reservations=reservations), wanted
    if why_not(state, head):
        return state, ()
    grant = Grant(head, state.epoch + 1, should_yield=False)
    queue = tuple(ticket for ticket in state.queue if ticket is not head)
    state, effects = _settle(replace(state, grant=grant, epoch=grant.epoch, queue=queue, fresh=False))
    return state, (Granted(grant), *effects)


def _must_be_asked(reservation: Reservation, head: Ticket, state: ArbiterState) -> bool:
    """Another tenant's always; that of another process of the same tenant only where its memory is needed."""
    if reservation.leaving or reservation.asked_for == head.number:
        return False
    is_short = state.lacks_room_for(head)
    return reservation.tenant != head.tenant or (reservation.owner != head.owner and is_short)


def why_not(state: ArbiterState, ticket: Ticket) -> str:
    """What keeps `ticket` from the card, one line; "" if nothing does."""
    if state.grant is not None:
        return f"{state.grant.ticket.tenant} has the card"
    if state.head is not None and state.head.number < ticket.number:
        return f"{state.head.tenant} is before it"
    leaving = sorted({reservation.tenant for reservation in state.reservations if reservation.leaving})
    if leaving:
        return f"{', '.join(leaving)} has not left the card yet"
    if ticket.needs_bytes and not state.fresh:
        return "the card has not been asked what is free"
    if state.free_bytes is not None and state.lacks_room_for(ticket):
        return f"{ticket.needs_bytes >> 20} MiB are needed, {state.free_bytes >> 20} MiB are free"
    return ""


def check(state: ArbiterState) -> None:
    """Assert the invariants."""
    numbers = [ticket.number for ticket in state.queue]
    assert numbers == sorted(set(numbers))
    keys = [reservation.key for reservation in state.reservations]
    assert len(keys) == len(set(keys))
    assert all(reservation.held_bytes >= 0 for reservation in state.reservations)
    if state.grant is not None:
        assert state.grant.epoch == state.epoch
        assert state.grant.ticket.number not in numbers
        assert not any(reservation.leaving for reservation in state.reservations)
