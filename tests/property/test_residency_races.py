"""Residency against a model of it, step by step, and under threads that do whatever they like at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from autorag_whisper.domain.device import LoadReason, ModelKey
from autorag_whisper.domain.errors import EngineError, ModelBusy
from autorag_whisper.residency.recognition_models import RecognitionModels
from examples import examples
from residents import KEYS, Resident, RushingClock, World

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

keys = st.sampled_from(KEYS)
reasons = st.sampled_from([LoadReason.UNLOADED, LoadReason.EVICTED, LoadReason.FALLBACK])
WAIT_S = 30.0


@dataclass
class Expected:
    """What the machine below thinks of one key."""

    leases: list[tuple[AbstractContextManager[Resident], Resident]] = field(default_factory=list)
    resident: bool = False
    poisoned: bool = False
    next_reason: LoadReason = LoadReason.FIRST


class ResidencyMachine(RuleBasedStateMachine):
    """One thread does everything, so whatever would wait meets its deadline at once: the clock rushes."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.residency = RecognitionModels(self.world.load, clock=RushingClock())
        self.expected = {key: Expected() for key in KEYS}
        self.leaving: dict[ModelKey, LoadReason] = {}

    def _gone(self, key: ModelKey, reason: LoadReason) -> None:
        expected = self.expected[key]
        expected.resident = expected.poisoned = False
        expected.next_reason = reason

    @rule(key=keys)
    def lease(self, key: ModelKey) -> None:
        expected = self.expected[key]
        loads = len(self.world.loads)
        lease = self.residency.lease(key)
        if expected.poisoned:
            try:
                lease.__enter__()
            except ModelBusy:
                return
            raise AssertionError("a poisoned model was leased")
        recognizer = lease.__enter__()
        assert self.world.loads[loads:] == ([] if expected.resident else [(key, expected.next_reason)])
        assert all(recognizer is other for _, other in expected.leases)
        expected.leases.append((lease, recognizer))
        expected.resident = True

    @rule(key=keys)
    def lease_and_fail_to_load(self, key: ModelKey) -> None:
        if self.expected[key].resident:
            return

        def fail(key: ModelKey) -> None:
            raise EngineError("fake", "load", key.model)

        self.world.before_load = fail
        try:
            self.residency.lease(key).__enter__()
            raise AssertionError("the load did not fail")
        except EngineError:
            pass
        finally:
            self.world.before_load = lambda key: None

    @precondition(lambda self: any(expected.leases for expected in self.expected.values()))
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from([key for key in KEYS if self.expected[key].leases]))
        expected = self.expected[key]
        lease, _ = expected.leases.pop(data.draw(st.integers(0, len(expected.leases) - 1)))
        lease.__exit__(None, None, None)
        if expected.poisoned and not expected.leases:
            self._gone(key, self.leaving.pop(key))

    @rule(key=keys, reason=reasons)
    def release(self, key: ModelKey, reason: LoadReason) -> None:
        expected = self.expected[key]
        assert self.residency.release(key, reason) is not bool(expected.leases)
        if expected.resident and not expected.leases:
            self._gone(key, reason)

    @rule(key=keys, reason=reasons)
    def evict(self, key: ModelKey, reason: LoadReason) -> None:
        expected = self.expected[key]
        self.residency.evict(key, reason)
        if expected.resident and not expected.leases:
            self._gone(key, reason)
        elif expected.resident:
            expected.poisoned = True
            self.leaving.setdefault(key, reason)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "residency"):
            return
        self.residency.check()
        usable = {key for key, expected in self.expected.items() if expected.resident and not expected.poisoned}
        assert set(self.residency.resident()) == usable
        for key, expected in self.expected.items():
            assert self.world.copies[key] == expected.resident
            for _, recognizer in expected.leases:
                recognizer.use()

    def teardown(self) -> None:
        if not hasattr(self, "residency"):
            return
        for expected in self.expected.values():
            for lease, _ in expected.leases:
                lease.__exit__(None, None, None)
        assert self.residency.close()
        assert self.world.in_memory == 0


TestResidencyStepByStep = ResidencyMachine.TestCase
TestResidencyStepByStep.settings = examples(100, stateful_step_count=30)

actions = st.lists(st.tuples(st.sampled_from(["use", "use", "use", "release", "evict", "fail"]), keys), max_size=12)


@examples(60)
@given(scripts=st.lists(actions, min_size=2, max_size=6))
def test_whatever_threads_do_at_once_no_lease_sees_a_closed_model_and_no_key_has_two_copies(
    scripts: list[list[tuple[str, ModelKey]]],
) -> None:
    world, failing = World(), threading.local()

    def maybe_fail(key: ModelKey) -> None:
        if getattr(failing, "now", False):
            raise EngineError("fake", "load", key.model)

    world.before_load = maybe_fail
    residency = RecognitionModels(world.load)
    barrier = threading.Barrier(len(scripts))

    def use(key: ModelKey) -> None:
        try:
            with residency.lease(key, timeout_s=WAIT_S) as recognizer:
                recognizer.use()
                residency.check()
                recognizer.use()
        except EngineError as error:  # another's failed load, or this thread's own
            if error.stage != "load":
                raise

    def run(script: list[tuple[str, ModelKey]]) -> None:
        barrier.wait(WAIT_S)
        for action, key in script:
            failing.now = action == "fail"
            if action == "release":
                assert residency.release(key, timeout_s=WAIT_S)
            elif action == "evict":
                residency.evict(key)
            else:
                use(key)

    with ThreadPoolExecutor(len(scripts)) as pool:
        for done in [pool.submit(run, script) for script in scripts]:
            done.result(WAIT_S)
    residency.check()
    assert world.most_copies <= 1
    assert set(residency.resident()) == {key for key in KEYS if world.copies[key]}
    assert residency.close(WAIT_S)
    assert world.in_memory == 0


@examples(25)
@given(threads=st.integers(2, 8), leases=st.integers(1, 20))
def test_a_model_that_is_never_released_is_loaded_once_however_often_it_is_leased(threads: int, leases: int) -> None:
    world = World()
    residency = RecognitionModels(world.load)
    barrier = threading.Barrier(threads)

    def work(_: int) -> None:
        barrier.wait(WAIT_S)
        for number in range(leases):
            with residency.lease(KEYS[number % len(KEYS)]) as recognizer:
                recognizer.use()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    assert sorted(key.model for key, _ in world.loads) == sorted(key.model for key in KEYS[:leases])
    assert set(world.reasons) == {"first"}
