"""The laws of the arbiter's core, over any order of events."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from autorag_whisper.gpu.arbiter import core
from examples import examples

CARD_BYTES = 100
PATIENCE_S = 10.0
TENANTS = ("whisper", "llm", "other")
OWNERS = ("p1", "p2", "p3")


class Arbiter(RuleBasedStateMachine):
    """Plays every tenant: asks, works, dies, offloads well or badly; time passes. The card has `CARD_BYTES` bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.state = core.ArbiterState()
        self.now = 0.0
        self.drawn = 0
        self.pending: list[core.OffloadWanted] = []
        self.granted: list[core.Grant] = []
        self.foreign = 0  # bytes that nobody declared

    def tell(self, event: core.Event) -> None:
        before = self.state
        self.state, effects = core.decide(self.state, event)
        core.check(self.state)
        for effect in effects:
            if isinstance(effect, core.Granted):
                self.is_fair(before, event, effect.grant)
                self.granted.append(effect.grant)
            elif isinstance(effect, core.OffloadWanted):
                assert all(effect.reservation.key != other.reservation.key for other in self.pending)
                self.pending.append(effect)
            elif isinstance(effect, core.Expired):
                assert effect.reason or self.state.grant is None
                assert effect.ticket.deadline_s <= self.now

    def is_fair(self, before: core.ArbiterState, event: core.Event, grant: core.Grant) -> None:
        assert before.grant is None or not isinstance(event, core.Asked | core.Looked | core.Withdrew)
        assert not self.pending_of(grant.ticket)
        assert not [ticket for ticket in self.state.queue if ticket.number < grant.ticket.number]
        assert all(grant.epoch > earlier.epoch for earlier in self.granted)

    def pending_of(self, ticket: core.Ticket) -> list[core.OffloadWanted]:
        return [wanted for wanted in self.pending if wanted.ticket == ticket and self.is_leaving(wanted.reservation)]

    def is_leaving(self, reservation: core.Reservation) -> bool:
        return any(other.key == reservation.key and other.leaving for other in self.state.reservations)

    @property
    def reserved_bytes(self) -> int:
        return sum(reservation.held_bytes for reservation in self.state.reservations)

    @property
    def free(self) -> int:
        taken = self.foreign + self.reserved_bytes
        if self.state.grant is not None:
            taken += self.state.grant.ticket.needs_bytes
        return max(0, CARD_BYTES - taken)

    @rule(tenant=st.sampled_from(TENANTS), owner=st.sampled_from(OWNERS), needs=st.integers(0, CARD_BYTES))
    def ask(self, tenant: str, owner: str, needs: int) -> None:
        self.drawn += 1
        self.tell(core.Asked(core.Ticket(self.drawn, tenant, owner, self.now + PATIENCE_S, needs)))

    @precondition(lambda self: self.state.grant is not None)
    @rule(share=st.one_of(st.none(), st.floats(0, 1)))
    def give_back(self, share: float | None) -> None:
        grant = self.state.grant
        assert grant is not None
        key = (grant.ticket.tenant, grant.ticket.owner)
        had = sum(one.held_bytes for one in self.state.reservations if one.key == key) + grant.ticket.needs_bytes
        self.tell(core.GaveBack(grant.ticket.number, None if share is None else int(share * had)))

    @rule(tenant=st.sampled_from(TENANTS), owner=st.sampled_from(OWNERS), share=st.one_of(st.none(), st.floats(0, 1)))
    def say_what_it_has(self, tenant: str, owner: str, share: float | None) -> None:
        before = [reservation for reservation in self.state.reservations if reservation.key == (tenant, owner)]
        if not any(reservation.leaving for reservation in before):
            had = sum(reservation.held_bytes for reservation in before)
            self.tell(core.Reserved(tenant, owner, None if share is None else int(share * had)))

    @precondition(lambda self: self.granted)
    @rule(at=st.integers(0, 100))
    def give_back_what_is_over(self, at: int) -> None:
        old = self.granted[at % len(self.granted)]
        if self.state.grant is None or self.state.grant.ticket.number != old.ticket.number:
            before = self.state.grant
            self.tell(core.GaveBack(old.ticket.number, CARD_BYTES))
            assert before is None or self.state.grant == before

    @precondition(lambda self: self.pending)
    @rule(share=st.floats(0, 1), verified=st.booleans())
    def offload(self, share: float, verified: bool) -> None:
        reservation = self.pending.pop(0).reservation
        kept = int(share * reservation.held_bytes) or None
        there = reservation.key in [other.key for other in self.state.reservations]
        before = self.reserved_bytes
        self.tell(core.OffloadDone(reservation.tenant, reservation.owner, kept, verified))
        if there and self.state.grant is None and not verified:
            assert self.reserved_bytes == before

    @rule(owner=st.sampled_from(OWNERS))
    def die(self, owner: str) -> None:
        self.tell(core.Died(owner))
        self.pending = [wanted for wanted in self.pending if wanted.reservation.owner != owner]
        assert all(reservation.owner != owner for reservation in self.state.reservations)
        assert all(ticket.owner != owner for ticket in self.state.queue)
        assert self.state.grant is None or self.state.grant.ticket.owner != owner

    @rule(seconds=st.floats(0, 12), foreign=st.integers(0, CARD_BYTES))
    def look(self, seconds: float, foreign: int) -> None:
        self.now += seconds
        self.foreign = foreign
        self.tell(core.Looked(self.now, self.free))
        assert all(ticket.deadline_s > self.now for ticket in self.state.queue)

    @rule(number=st.integers(1, 60))
    def withdraw(self, number: int) -> None:
        self.tell(core.Withdrew(number))
        assert number not in [ticket.number for ticket in self.state.queue]

    @invariant()
    def what_was_given_never_exceeds_the_card(self) -> None:
        needs = self.state.grant.ticket.needs_bytes if self.state.grant is not None else 0
        assert self.reserved_bytes + needs <= CARD_BYTES

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        head = self.state.head
        if head is not None and self.state.grant is None:
            assert core.why_not(self.state, head)
        if head is not None and self.state.grant is not None:
            assert self.state.grant.should_yield


Arbiter.TestCase.settings = examples(200, stateful_step_count=40, deadline=None)
TestArbiter = Arbiter.TestCase
