"""Who is in memory: single flight, failures, releases with a deadline, poisoned models. Races: `tests/property`."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.domain.device import LoadReason, ModelKey
from autorag_whisper.domain.errors import DeviceError, EngineError, ModelBusy, ModelDamaged
from autorag_whisper.residency.recognition_models import RecognitionModels
from quiet import until_quiet
from residents import A, B, C, Resident, RushingClock, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT_S = 60.0


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def residency(world: World) -> Iterator[RecognitionModels]:
    residency = RecognitionModels(world.load)
    yield residency
    residency.check()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def use(residency: RecognitionModels, key: ModelKey = A, **options: object) -> Resident:
    with residency.lease(key, **options) as recognizer:
        recognizer.use()
        return recognizer


class Held:
    """A lease that another thread holds until it is told to give it back."""

    def __init__(self, residency: RecognitionModels, pool: ThreadPoolExecutor, key: ModelKey = A) -> None:
        self._taken, self._enough = threading.Event(), threading.Event()
        self._done = pool.submit(self._hold, residency, key)
        assert self._taken.wait(WAIT_S)

    def _hold(self, residency: RecognitionModels, key: ModelKey) -> None:
        with residency.lease(key) as self.recognizer:
            self._taken.set()
            assert self._enough.wait(WAIT_S)
            self.recognizer.use()

    def give_back(self) -> None:
        self._enough.set()
        self._done.result(WAIT_S)


class BlockedLoad:
    """A load that stays where it is until it is told to go on."""

    def __init__(self, world: World, key: ModelKey = A) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self._key = key
        world.before_load = self._wait

    def _wait(self, key: ModelKey) -> None:
        if key == self._key:
            self.begun.set()
            assert self.go.wait(WAIT_S)


# ---------------------------------------------------------------- single flight


def test_a_second_lease_is_the_same_model_and_loads_nothing(world: World, residency: RecognitionModels) -> None:
    assert use(residency) is use(residency)
    assert world.loads == [(A, LoadReason.FIRST)]
    assert residency.resident() == (A,)


def test_threads_that_race_for_one_key_load_it_once(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    load = BlockedLoad(world)
    users = [pool.submit(use, residency) for _ in range(16)]
    until_quiet()
    load.go.set()
    assert len({user.result(WAIT_S) for user in users}) == 1
    assert len(world.loads) == 1


def test_the_key_is_checkpoint_device_and_compute_type(world: World, residency: RecognitionModels) -> None:
    from autorag_whisper.domain.device import CPU, CUDA

    keys = [ModelKey("x", CPU, "int8"), ModelKey("x", CPU, "float32"), ModelKey("x", CUDA, "int8")]
    assert len({use(residency, key) for key in [*keys, *keys]}) == 3
    assert residency.resident() == tuple(keys)


def test_no_lock_is_held_through_a_models_load(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    """While one model loads, another is loaded, used, evicted and released."""
    load = BlockedLoad(world)
    slow = pool.submit(use, residency, A)
    assert load.begun.wait(WAIT_S)
    assert pool.submit(use, residency, B).result(WAIT_S).key == B
    assert pool.submit(use, residency, B).result(WAIT_S).key == B
    assert residency.resident() == (B,)
    pool.submit(residency.evict, B).result(WAIT_S)
    pool.submit(use, residency, B).result(WAIT_S)
    assert pool.submit(residency.release, B).result(WAIT_S)
    assert not slow.done()
    load.go.set()
    assert slow.result(WAIT_S).key == A


def test_a_loader_may_lease_another_model(pool: ThreadPoolExecutor) -> None:
    world = World()

    def load(key: ModelKey, reason: LoadReason) -> Resident:
        if key == A:
            # From a thread of its own as well: this one might hold a lock that lets it in again.
            pool.submit(use, residency, B).result(WAIT_S)
            use(residency, B)
        return world.load(key, reason)

    residency = RecognitionModels(load)
    use(residency, A)
    assert [key for key, _ in world.loads] == [B, A]


def test_no_lock_is_held_while_an_engine_is_closed(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    begun, go = threading.Event(), threading.Event()
    world.before_close = lambda key: (begun.set(), go.wait(WAIT_S))
    use(residency, A)
    released = pool.submit(residency.release, A)
    assert begun.wait(WAIT_S)
    assert pool.submit(use, residency, B).result(WAIT_S).key == B
    go.set()
    assert released.result(WAIT_S)


# ---------------------------------------------------------------- loads that fail


def test_a_failed_load_leaves_the_key_absent_and_the_next_caller_tries_again(
    world: World, residency: RecognitionModels
) -> None:
    def fail(key: ModelKey) -> None:
        raise ModelDamaged("tiny", "model.bin", "too short")

    world.before_load = fail
    for _ in range(2):
        with pytest.raises(ModelDamaged):
            use(residency)
    assert residency.resident() == ()
    world.before_load = lambda key: None
    use(residency)
    assert world.reasons == ["first"]


ERRORS = [
    DeviceError("cuda", "out_of_memory", "load: CUDA failed"),
    ModelDamaged("tiny", "model.bin", "too short"),
    MemoryError("load: std::bad_alloc"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_failed_load_wakes_all_who_wait_with_the_same_error_in_acopy_of_their_own(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor, error: Exception
) -> None:
    load = BlockedLoad(world)
    blocked = world.before_load

    def fail(key: ModelKey) -> None:
        blocked(key)
        raise error

    world.before_load = fail
    users = [pool.submit(use, residency) for _ in range(8)]
    until_quiet()
    load.go.set()
    raised = [user.exception(WAIT_S) for user in users]
    assert {type(item) for item in raised} == {type(error)}
    assert {str(item) for item in raised} == {str(error)}
    assert len({id(item) for item in raised}) == len(raised)
    assert residency.resident() == ()


class PeculiarError(Exception):
    """One that cannot be copied: it keeps other arguments than it takes."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def test_an_error_that_cannot_be_copied_still_reaches_who_waits(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    load = BlockedLoad(world)
    blocked = world.before_load

    def fail(key: ModelKey) -> None:
        blocked(key)
        raise PeculiarError(1, 2)

    world.before_load = fail
    users = [pool.submit(use, residency) for _ in range(3)]
    until_quiet()
    load.go.set()
    raised = [user.exception(WAIT_S) for user in users]
    assert sorted(type(item).__name__ for item in raised) == ["EngineError", "EngineError", "PeculiarError"]
    assert all("1 and 2" in str(item) for item in raised)


def test_a_load_ended_by_ctrl_c_passes_on_to_one_of_those_who_wait(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    load = BlockedLoad(world)
    blocked, interrupts = world.before_load, [KeyboardInterrupt()]

    def interrupt(key: ModelKey) -> None:
        blocked(key)
        if interrupts:
            raise interrupts.pop()

    world.before_load = interrupt
    users = [pool.submit(_outcome, use, residency) for _ in range(6)]
    until_quiet()
    load.go.set()
    outcomes = [user.result(WAIT_S) for user in users]
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["KeyboardInterrupt", *["Resident"] * 5]
    assert len(world.loads) == 1


def _outcome(call: Callable[..., object], *arguments: object) -> object:
    try:
        return call(*arguments)
    except KeyboardInterrupt as error:
        return error


# ---------------------------------------------------------------- deadlines


def test_who_waits_for_a_load_is_told_busy_at_the_deadline_and_the_load_goes_on(pool: ThreadPoolExecutor) -> None:
    world = World()
    residency = RecognitionModels(world.load, clock=RushingClock())
    load = BlockedLoad(world)
    slow = pool.submit(use, residency)
    assert load.begun.wait(WAIT_S)
    with pytest.raises(ModelBusy) as caught:
        use(residency, timeout_s=600)
    assert (caught.value.model, caught.value.waited_s >= 600) == ("tiny", True)
    load.go.set()
    assert slow.result(WAIT_S) is use(residency)


def test_a_lease_without_a_deadline_waits_as_long_as_it_takes(pool: ThreadPoolExecutor) -> None:
    world = World()
    residency = RecognitionModels(world.load, clock=RushingClock())
    load = BlockedLoad(world)
    users = [pool.submit(use, residency, timeout_s=None) for _ in range(2)]
    until_quiet()
    load.go.set()
    assert users[0].result(WAIT_S) is users[1].result(WAIT_S)


def test_what_is_resident_needs_no_waiting_and_no_time(residency: RecognitionModels) -> None:
    assert use(residency, timeout_s=0) is use(residency, timeout_s=0)


def test_the_message_about_a_busy_model_shows_no_folder(pool: ThreadPoolExecutor) -> None:
    world = World()
    residency = RecognitionModels(world.load, clock=RushingClock())
    key = ModelKey("/home-of-someone/models/base", A.device, "int8")
    load = BlockedLoad(world, key)
    slow = pool.submit(use, residency, key)
    assert load.begun.wait(WAIT_S)
    with pytest.raises(ModelBusy, match="'base'") as caught:
        use(residency, key)
    assert "someone" not in str(caught.value)
    load.go.set()
    slow.result(WAIT_S)


# ---------------------------------------------------------------- release


def test_a_released_model_is_closed_and_its_next_load_says_why(world: World, residency: RecognitionModels) -> None:
    first = use(residency)
    assert residency.release(A)
    assert not first.is_open
    assert residency.resident() == ()
    use(residency)
    assert residency.release(A, LoadReason.FALLBACK)
    use(residency)
    assert world.reasons == ["first", "unloaded", "fallback"]


def test_releasing_what_was_never_loaded_is_done_and_is_no_reason(world: World, residency: RecognitionModels) -> None:
    assert residency.release(A)
    use(residency)
    assert world.reasons == ["first"]


def test_a_load_for_the_device_fallback_says_so_unless_a_release_said_otherwise(
    world: World, residency: RecognitionModels
) -> None:
    use(residency, reason_if_absent=LoadReason.FALLBACK)
    residency.release(A)
    use(residency, reason_if_absent=LoadReason.FALLBACK)
    assert world.reasons == ["fallback", "unloaded"]


def test_a_load_that_failed_keeps_the_reason_for_the_next_one(world: World, residency: RecognitionModels) -> None:
    use(residency)
    residency.release(A)

    def fail(key: ModelKey) -> None:
        raise EngineError("x", "load", "y")

    world.before_load = fail
    with pytest.raises(EngineError):
        use(residency)
    world.before_load = lambda key: None
    use(residency)
    assert world.reasons == ["first", "unloaded"]


def test_a_release_waits_for_the_leases_while_new_ones_wait_for_it(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    held = Held(residency, pool)
    released = pool.submit(residency.release, A, timeout_s=WAIT_S)
    until_quiet()
    late = pool.submit(use, residency)
    until_quiet()
    assert not released.done()
    assert held.recognizer.is_open
    assert residency.resident() == ()
    held.give_back()
    assert released.result(WAIT_S)
    assert not held.recognizer.is_open
    assert late.result(WAIT_S) is not held.recognizer
    assert world.reasons == ["first", "unloaded"]
    assert world.most_copies == 1


def test_a_release_whose_deadline_passes_says_so_and_the_model_stays(pool: ThreadPoolExecutor) -> None:
    world = World()
    residency = RecognitionModels(world.load, clock=RushingClock())
    held = Held(residency, pool)
    assert not residency.release(A, timeout_s=60)
    assert use(residency) is held.recognizer
    held.give_back()
    assert residency.resident() == (A,)


def test_leases_that_waited_for_a_release_go_on_when_its_deadline_passes(
    residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    held = Held(residency, pool)
    released = pool.submit(residency.release, A, timeout_s=0.2)
    until_quiet()
    late = pool.submit(use, residency, timeout_s=WAIT_S)
    assert not released.result(WAIT_S)
    assert late.result(WAIT_S) is held.recognizer
    held.give_back()


def test_releasing_what_the_same_thread_holds_is_noticed_at_the_deadline(residency: RecognitionModels) -> None:
    with residency.lease(A) as recognizer:
        assert not residency.release(A, timeout_s=0)
        recognizer.use()


def test_releases_of_the_same_model_close_it_once(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    held = Held(residency, pool)
    releases = [pool.submit(residency.release, A, timeout_s=WAIT_S) for _ in range(4)]
    until_quiet()
    held.give_back()
    assert [release.result(WAIT_S) for release in releases] == [True] * 4
    assert world.in_memory == 0


def test_a_release_during_the_load_waits_for_it_and_for_its_lease(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    load = BlockedLoad(world)
    user = pool.submit(use, residency)
    assert load.begun.wait(WAIT_S)
    released = pool.submit(residency.release, A, timeout_s=WAIT_S)
    until_quiet()
    load.go.set()
    assert released.result(WAIT_S)
    assert not user.result(WAIT_S).is_open
    assert residency.resident() == ()


def test_a_model_that_its_engine_will_not_let_go_of_is_told_of_stays_on_the_books_and_is_tried_again(
    world: World, residency: RecognitionModels
) -> None:
    """Elsewhere it was forgotten: its memory was held for ever, and a second copy was loaded beside it."""

    def fail(key: ModelKey) -> None:
        raise EngineError("ctranslate2", "unload", "it keeps the model in memory")

    world.before_close = fail
    use(residency)
    with pytest.raises(EngineError, match="keeps the model"):
        residency.release(A)
    assert residency.resident() == ()
    with pytest.raises(EngineError, match="does not leave memory"):
        use(residency)  # at once: nobody would wake who waits; it waited for its ten minutes
    assert world.in_memory == 1
    world.before_close = lambda key: None
    use(residency)
    assert world.reasons == ["first", "unloaded"]
    assert world.most_copies == 1


def test_a_lease_is_given_back_when_its_user_fails(residency: RecognitionModels) -> None:
    with pytest.raises(ZeroDivisionError), residency.lease(A):
        raise ZeroDivisionError
    assert residency.release(A, timeout_s=0)


# ---------------------------------------------------------------- eviction


def test_a_poisoned_model_is_closed_with_its_last_lease_and_nobody_gets_it_anew(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    held = Held(residency, pool)
    with residency.lease(A) as poisoned:
        residency.evict(A)
        poisoned.use()
    assert residency.resident() == ()
    late = pool.submit(use, residency)
    until_quiet()
    assert held.recognizer.is_open
    held.give_back()
    assert not poisoned.is_open
    assert late.result(WAIT_S) is not poisoned
    assert world.reasons == ["first", "evicted"]
    assert world.most_copies == 1


def test_a_poisoned_model_that_nobody_uses_is_closed_at_once(residency: RecognitionModels) -> None:
    poisoned = use(residency)
    residency.evict(A)
    assert not poisoned.is_open


def test_evicting_what_is_not_there_does_nothing(world: World, residency: RecognitionModels) -> None:
    residency.evict(A)
    use(residency)
    assert world.reasons == ["first"]


def test_evicting_during_a_load_leaves_the_fresh_copy_alone(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    load = BlockedLoad(world)
    user = pool.submit(use, residency)
    assert load.begun.wait(WAIT_S)
    residency.evict(A)
    load.go.set()
    assert user.result(WAIT_S).is_open
    assert residency.resident() == (A,)


def test_a_release_of_a_poisoned_model_waits_until_it_is_gone(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    held = Held(residency, pool)
    residency.evict(A)
    released = pool.submit(residency.release, A, timeout_s=WAIT_S)
    until_quiet()
    held.give_back()
    assert released.result(WAIT_S)
    use(residency)
    assert world.reasons == ["first", "evicted"]


def test_an_evicted_engine_that_fails_at_closing_is_logged_and_its_users_go_on(
    world: World, residency: RecognitionModels, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(key: ModelKey) -> None:
        raise EngineError("ctranslate2", "unload", "it keeps the model in memory")

    world.before_close = fail
    with residency.lease(A):
        residency.evict(A)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "keeps the model" in record.getMessage()
    assert residency.resident() == ()


# ---------------------------------------------------------------- the end


def test_closing_releases_everything_and_later_leases_are_refused(world: World, residency: RecognitionModels) -> None:
    use(residency, A)
    use(residency, B)
    assert residency.close()
    assert world.in_memory == 0
    assert residency.resident() == ()
    with pytest.raises(EngineError, match="closed"):
        use(residency)
    assert residency.close()


def test_what_is_leased_when_everything_closes_is_closed_with_its_last_lease(
    world: World, residency: RecognitionModels
) -> None:
    with residency.lease(A) as recognizer:
        assert not residency.close(timeout_s=0)
        recognizer.use()
    assert world.in_memory == 0
    assert residency.close(timeout_s=0)


def test_who_waits_when_everything_closes_is_told_at_once(
    world: World, residency: RecognitionModels, pool: ThreadPoolExecutor
) -> None:
    load = BlockedLoad(world)
    loader: Future[Resident] = pool.submit(use, residency)
    assert load.begun.wait(WAIT_S)
    waiter = pool.submit(use, residency, timeout_s=None)
    until_quiet()
    assert not residency.close(timeout_s=0)
    assert isinstance(waiter.exception(WAIT_S), EngineError)
    load.go.set()
    assert not loader.result(WAIT_S).is_open
    assert world.in_memory == 0


def test_an_engine_that_fails_at_closing_does_not_keep_the_others_open(
    world: World, residency: RecognitionModels
) -> None:
    def fail(key: ModelKey) -> None:
        if key != B:
            return
        raise EngineError("ctranslate2", "unload", "no")

    world.before_close = fail
    with ExitStack() as leases:
        for key in (A, B, C):
            leases.enter_context(residency.lease(key))
    assert not residency.close()
    assert (world.copies[A], world.copies[B], world.copies[C]) == (0, 1, 0)
