"""What `gpu.arbiter.lease` promises, of both arbiters."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.domain.errors import GpuBusy
from autorag_whisper.gpu.arbiter.lease import AtDeadline, Eviction, GpuArbiter, LeaseRequest, Released, Tenant
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
from autorag_whisper.gpu.arbiter.threads import ThreadArbiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENT = LeaseRequest(timeout_s=60.0)


@pytest.fixture(params=["threads", "processes", "processes, one each"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., tuple[GpuArbiter, GpuArbiter]]]:
    """Two tenants' views of one card: the same arbiter, or two that share a folder as two processes do."""
    made: list[GpuArbiter] = []

    def make(**facts: object) -> tuple[GpuArbiter, GpuArbiter]:
        count = 2 if request.param == "processes, one each" else 1
        for _ in range(count):
            if request.param == "threads":
                made.append(ThreadArbiter(**facts))  # type: ignore[arg-type]  # whatever a test gives
            else:
                made.append(ProcessArbiter(tmp_path / "gpu", **facts))  # type: ignore[arg-type]  # whatever a test gives
        return made[0], made[-1]

    yield make
    for arbiter in made:
        arbiter.close()


class Card:
    """Who has memory on it, of 100 bytes. Its clock goes on with each look at what is free, and not by itself: so
    whoever comes to its deadline has looked."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.held = {"whisper": 0, "llm": 0}
        self.evictions: list[tuple[str, Eviction]] = []
        self.answer: Callable[[str], Released] | None = None

    def tenant(self, name: str, *, standing: bool = False) -> Tenant:
        return Tenant(name, lambda wanted: self.leave(name, wanted), lambda: self.held[name], standing)

    def clock(self) -> float:
        return self.now

    def free_bytes(self) -> int:
        self.now += 0.01
        return 100 - sum(self.held.values())

    def leave(self, name: str, wanted: Eviction) -> Released:
        self.evictions.append((name, wanted))
        if self.answer is not None:
            return self.answer(name)
        self.held[name] = 0
        return Released()


@pytest.fixture
def card() -> Card:
    return Card()


def test_a_lease_is_the_card_with_an_epoch_that_grows(make: Callable[..., tuple[GpuArbiter, GpuArbiter]]) -> None:
    one, other = make()
    one.register(Tenant("whisper"))
    other.register(Tenant("llm"))
    epochs = []
    for arbiter, tenant in ((one, "whisper"), (other, "llm"), (one, "whisper")):
        with arbiter.lease(tenant) as lease:
            assert lease.on_card
            epochs.append(lease.epoch)
    assert epochs == sorted(set(epochs))
    assert epochs[0] > 0


def test_of_two_tenants_only_one_is_in_and_the_other_asks_it_to_yield(
    make: Callable[..., tuple[GpuArbiter, GpuArbiter]],
) -> None:
    one, other = make()
    one.register(Tenant("whisper"))
    other.register(Tenant("llm"))
    inside = threading.Event()

    def llm() -> None:
        with other.lease("llm", PATIENT):
            inside.set()

    with ThreadPoolExecutor(1) as pool, one.lease("whisper") as lease:
        assert not lease.should_yield
        waiting = pool.submit(llm)
        while not lease.should_yield:
            assert not waiting.done()
        assert not inside.is_set()
        pool.submit(inside.wait, 60)
    assert inside.is_set()


@pytest.mark.parametrize("at_deadline", [AtDeadline.FAIL, AtDeadline.CPU])
def test_at_the_deadline_the_caller_has_what_it_chose(
    make: Callable[..., tuple[GpuArbiter, GpuArbiter]], at_deadline: AtDeadline
) -> None:
    one, other = make()
    one.register(Tenant("whisper"))
    other.register(Tenant("llm"))
    request = LeaseRequest(timeout_s=0.0, at_deadline=at_deadline)
    with other.lease("llm"):
        if at_deadline is AtDeadline.FAIL:
            with pytest.raises(GpuBusy, match=r"whisper waited .* llm"), one.lease("whisper", request):
                pass
        else:
            with one.lease("whisper", request) as lease:
                assert (lease.on_card, lease.epoch, lease.should_yield) == (False, 0, False)
    with one.lease("whisper", PATIENT) as lease:
        assert lease.on_card


def test_who_chose_to_wait_waits_past_its_deadline_and_is_heard_of(
    make: Callable[..., tuple[GpuArbiter, GpuArbiter]], caplog: pytest.LogCaptureFixture
) -> None:
    one, other = make()
    one.register(Tenant("whisper"))
    other.register(Tenant("llm"))

    def whisper() -> bool:
        with one.lease("whisper", LeaseRequest(timeout_s=0.01, at_deadline=AtDeadline.WAIT)) as lease:
            return lease.on_card

    with ThreadPoolExecutor(1) as pool:
        with other.lease("llm"):
            waiting = pool.submit(whisper)
            while "whisper waited" not in caplog.text:
                assert not waiting.done()
        assert waiting.result(60)


def test_first_come_is_first_served(make: Callable[..., tuple[GpuArbiter, GpuArbiter]]) -> None:
    one, other = make()
    one.register(Tenant("whisper"))
    other.register(Tenant("llm"))
    served: list[int] = []
    drawn = draws(one, other)

    def ask(arbiter: GpuArbiter, tenant: str, number: int) -> None:
        with arbiter.lease(tenant, PATIENT):
            served.append(number)

    with ThreadPoolExecutor(6) as pool, one.lease("whisper"):
        for number in range(6):
            arbiter, tenant = ((one, "whisper"), (other, "llm"))[number % 2]
            waiting = pool.submit(ask, arbiter, tenant, number)
            while drawn() < number + 2:
                assert not waiting.done()
    assert served == list(range(6))


def draws(*arbiters: GpuArbiter) -> Callable[[], int]:
    """Counts the tickets that are drawn from now on, and drawn for good.

    One that others see may be drawn again: who finds a later one beside it cannot know whether it came first.
    """
    one = arbiters[0]
    if isinstance(one, ThreadArbiter):
        threads = one
        return lambda: len(threads.state.queue) + (threads.state.grant is not None)
    found: list[int] = []
    for arbiter in dict.fromkeys(arbiters):
        assert isinstance(arbiter, ProcessArbiter)
        arbiter.directory.draw = _noting(arbiter.directory.draw, found)  # type: ignore[method-assign]  # the same, seen
    return lambda: len(found)


def _noting(draw: Callable[..., Any], found: list[int]) -> Callable[..., Any]:
    def noted(said: dict[str, object]) -> Any:
        drawn = draw(said)
        found.append(drawn[0])
        return drawn

    return noted


def test_before_a_change_of_tenant_the_former_one_leaves_and_the_same_tenant_stays(
    make: Callable[..., tuple[GpuArbiter, GpuArbiter]], card: Card
) -> None:
    one, other = make(read_free=card.free_bytes)
    one.register(card.tenant("whisper"))
    other.register(card.tenant("llm"))
    with one.lease("whisper", LeaseRequest(needs_bytes=60)):
        card.held["whisper"] = 60
    with one.lease("whisper", PATIENT):
        assert card.evictions == []
    with other.lease("llm", LeaseRequest(needs_bytes=80)) as lease:
        assert lease.on_card
        assert card.evictions == [("whisper", Eviction("llm", 80))]
        card.held["llm"] = 80
    with one.lease("whisper", LeaseRequest(needs_bytes=60)):
        assert card.evictions[1:] == [("llm", Eviction("whisper", 60))]


def test_a_tenant_may_leave_on_the_card_what_is_in_nobodys_way(
    make: Callable[..., tuple[GpuArbiter, GpuArbiter]], card: Card
) -> None:
    one, other = make(read_free=card.free_bytes, clock=card.clock)
    one.register(card.tenant("whisper"))
    other.register(card.tenant("llm"))

    def leave_30(name: str) -> Released:
        card.held[name] = 30
        return Released(keeps_bytes=30)

    card.answer = leave_30
    with one.lease("whisper", LeaseRequest(needs_bytes=40)):
        card.held["whisper"] = 40
    with other.lease("llm", LeaseRequest(needs_bytes=70)) as lease:
        assert lease.on_card
    with pytest.raises(GpuBusy, match="MiB are needed"), other.lease("llm", LeaseRequest(80, 0.05)):
        pass


def test_a_server_whose_clients_ask_nobody_is_asked_to_leave_before_every_lease_of_another(
    make: Callable[..., tuple[GpuArbiter, GpuArbiter]], card: Card
) -> None:
    one, other = make()
    one.register(card.tenant("whisper"))
    other.register(card.tenant("llm", standing=True))
    for count in (1, 2, 3):
        with one.lease("whisper", PATIENT):
            assert [name for name, _ in card.evictions].count("llm") == count


@pytest.mark.parametrize("badly", ["unverified", "raises"])
def test_a_release_that_nobody_verified_frees_nothing(
    make: Callable[..., tuple[GpuArbiter, GpuArbiter]], card: Card, badly: str
) -> None:
    def answer(_name: str) -> Released:
        if badly == "raises":
            raise ConnectionError
        return Released(keeps_bytes=0, verified=False, note="it says so, the card does not")

    one, other = make(read_free=card.free_bytes)
    one.register(card.tenant("whisper"))
    other.register(card.tenant("llm"))
    card.answer = answer
    with other.lease("llm", LeaseRequest(needs_bytes=80)):
        card.held["llm"] = 80
    with pytest.raises(GpuBusy), one.lease("whisper", LeaseRequest(60, 0.05)):
        pass
    with one.lease("whisper", LeaseRequest(20, 60.0)) as lease:
        assert lease.on_card


def test_memory_that_nobody_declared_counts_as_taken(
    make: Callable[..., tuple[GpuArbiter, GpuArbiter]], card: Card
) -> None:
    card.held["llm"] = 90
    one, _ = make(read_free=card.free_bytes, clock=card.clock)
    one.register(Tenant("whisper"))
    with pytest.raises(GpuBusy, match="0 MiB are free"), one.lease("whisper", LeaseRequest(60, 0.05)):
        pass
    card.held["llm"] = 30
    with one.lease("whisper", LeaseRequest(60, 60.0)) as lease:
        assert lease.on_card


def test_an_error_inside_gives_the_lease_back(make: Callable[..., tuple[GpuArbiter, GpuArbiter]]) -> None:
    one, other = make()
    one.register(Tenant("whisper"))
    other.register(Tenant("llm"))
    with pytest.raises(ZeroDivisionError), one.lease("whisper"):
        raise ZeroDivisionError
    with other.lease("llm", PATIENT) as lease:
        assert lease.on_card


def test_a_tenant_that_nobody_registered_is_a_mistake(make: Callable[..., tuple[GpuArbiter, GpuArbiter]]) -> None:
    one, _ = make()
    with pytest.raises(KeyError), one.lease("nobody"):
        pass


def test_many_threads_of_two_tenants_are_never_in_at_the_same_time(
    make: Callable[..., tuple[GpuArbiter, GpuArbiter]],
) -> None:
    one, other = make()
    one.register(Tenant("whisper"))
    other.register(Tenant("llm"))
    inside, epochs = threading.Lock(), list[int]()

    def work(arbiter: GpuArbiter, tenant: str) -> None:
        for _ in range(5):
            with arbiter.lease(tenant, PATIENT) as lease:
                assert inside.acquire(blocking=False)
                epochs.append(lease.epoch)
                inside.release()

    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(work, *((one, "whisper"), (other, "llm"))[n % 2]) for n in range(6)]
        for job in jobs:
            job.result(60)
    assert len(epochs) == 30
    assert epochs == sorted(set(epochs))
