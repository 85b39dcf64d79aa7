"""Faults that others' arbiters had, each as a story over `core.decide`."""

from __future__ import annotations

from autorag_whisper.gpu.arbiter import core


def after(*events: core.Event) -> tuple[core.ArbiterState, list[core.Effect]]:
    state, effects = core.ArbiterState(), list[core.Effect]()
    for event in events:
        state, more = core.decide(state, event)
        effects += more
        core.check(state)
    return state, effects


def ticket(number: int, tenant: str, needs: int = 0, deadline_s: float = 10.0) -> core.Ticket:
    return core.Ticket(number, tenant, f"p-{tenant}", deadline_s, needs)


def granted(effects: list[core.Effect]) -> list[int]:
    return [effect.grant.ticket.number for effect in effects if isinstance(effect, core.Granted)]


def test_looking_up_and_pinning_are_one_step_so_nobody_comes_in_between() -> None:
    # Elsewhere the free card was found in one step and taken in the next: two were told that it is theirs.
    state, effects = after(core.Asked(ticket(1, "whisper")), core.Asked(ticket(2, "llm")))
    assert granted(effects) == [1]
    assert state.grant is not None
    assert state.grant.should_yield


def test_an_eviction_target_is_not_revived_by_new_leases_of_its_own() -> None:
    # Elsewhere new traffic for the model on its way out kept it in memory for ever.
    state, effects = after(
        core.Asked(ticket(1, "llm")),
        core.GaveBack(1, 50),
        core.Asked(ticket(2, "whisper")),
        core.Asked(ticket(3, "llm")),
    )
    assert granted(effects) == [1]
    assert [reservation.leaving for reservation in state.reservations] == [True]
    state, more = core.decide(state, core.OffloadDone("llm", "p-llm"))
    assert granted(list(more)) == [2]


def test_a_continuous_load_lets_go_as_others_come_before_its_next_lease() -> None:
    # Elsewhere a holder with a queue of its own was served before everyone else.
    events: list[core.Event] = [core.Asked(ticket(1, "whisper")), core.Asked(ticket(2, "llm"))]
    events += [core.Asked(ticket(number, "whisper")) for number in range(3, 8)]
    events.append(core.GaveBack(1))
    assert granted(after(*events)[1]) == [1, 2]


def test_a_report_of_free_memory_is_not_acted_on_after_the_card_has_changed() -> None:
    # Elsewhere a snapshot from before the last lease admitted the next one twice.
    state, effects = after(
        core.Asked(ticket(1, "whisper")),
        core.Asked(ticket(2, "llm", needs=80)),
        core.Looked(0.0, 90),
        core.GaveBack(1, 60),
    )
    assert granted(effects) == [1]
    state, effects2 = core.decide(state, core.OffloadDone("whisper", "p-whisper", 60, verified=False))
    assert granted(list(effects2)) == []
    state, effects2 = core.decide(state, core.Looked(1.0, 30))
    assert granted(list(effects2)) == []
    state, effects2 = core.decide(state, core.Looked(2.0, 85))
    assert granted(list(effects2)) == [2]


def test_memory_is_given_whole_or_not_at_all_and_the_small_do_not_pass_the_large() -> None:
    state, effects = after(
        core.Looked(0.0, 50), core.Asked(ticket(1, "llm", needs=80)), core.Asked(ticket(2, "whisper", needs=10))
    )
    assert granted(effects) == []
    state, more = core.decide(state, core.Looked(10.0, 50))
    assert {type(effect) for effect in more} == {core.Expired}
    assert state.queue == ()


def test_of_processes_of_one_tenant_the_other_is_asked_only_where_memory_is_short() -> None:
    reserved = core.Reserved("whisper", "p2", 60)
    _, roomy = after(reserved, core.Asked(ticket(1, "whisper", needs=30)), core.Looked(0.0, 40))
    assert granted(roomy) == [1]
    _, short = after(reserved, core.Asked(ticket(1, "whisper", needs=50)), core.Looked(0.0, 40))
    assert [type(effect) for effect in short] == [core.OffloadWanted]
