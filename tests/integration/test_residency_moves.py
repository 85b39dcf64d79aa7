"""Models that leave a card for another tenant and come back, make room for each other, and idle out."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from autorag_whisper.domain.device import CUDA, FailureCause, ModelKey, OnYield
from autorag_whisper.domain.errors import DeviceError, EngineError
from autorag_whisper.engines.ctranslate2 import Sampler
from autorag_whisper.residency.footprints import Footprints
from autorag_whisper.residency.recognition_models import RecognitionModels
from quiet import until_quiet
from residents import Resident, World

WAIT_S = 60.0
A, B, C = (ModelKey(name, CUDA, "float16") for name in ("tiny", "base", "small"))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def residency(world: World) -> RecognitionModels:
    return RecognitionModels(world.load)


def use(residency: RecognitionModels, key: ModelKey = A) -> Resident:
    with residency.lease(key) as model:
        model.use()
        return model


def refuse(_key: ModelKey) -> None:
    raise EngineError("ctranslate2", "move", "it keeps the model in memory")


def test_an_offloaded_model_comes_back_without_a_load(world: World, residency: RecognitionModels) -> None:
    model = use(residency)
    assert residency.yield_device(CUDA, OnYield.OFFLOAD).went == 1
    assert model.is_away
    assert use(residency) is model
    assert not model.is_away
    assert world.reasons == ["first"]


def test_a_model_that_is_kept_stays_and_an_unloaded_one_says_why_it_is_loaded_again(
    world: World, residency: RecognitionModels
) -> None:
    model = use(residency)
    assert residency.yield_device(CUDA, OnYield.KEEP).went == 0
    assert use(residency) is model
    assert residency.yield_device(CUDA, OnYield.UNLOAD).went == 1
    use(residency)
    assert world.reasons == ["first", "unloaded"]


def test_a_model_in_use_is_never_moved(residency: RecognitionModels) -> None:
    with residency.lease(A) as model:
        left = residency.yield_device(CUDA, OnYield.OFFLOAD)
        assert (left.went, left.stuck) == (0, 1)
        model.use()


def test_a_lease_that_comes_while_a_model_moves_waits_and_restores_it(
    world: World, residency: RecognitionModels
) -> None:
    """An alignment model was moved while another thread used it."""
    model = use(residency)
    begun, go = threading.Event(), threading.Event()

    def wait(_key: ModelKey) -> None:
        begun.set()
        assert go.wait(WAIT_S)

    world.before_move = wait
    with ThreadPoolExecutor(2) as pool:
        moving = pool.submit(residency.yield_device, CUDA, OnYield.OFFLOAD)
        assert begun.wait(WAIT_S)
        user = pool.submit(use, residency)
        until_quiet()
        world.before_move = lambda _key: None
        go.set()
        assert moving.result(WAIT_S).went == 1
        assert user.result(WAIT_S) is model


def test_a_model_that_cannot_be_offloaded_is_closed_so_that_the_card_comes_free(
    world: World, residency: RecognitionModels, caplog: pytest.LogCaptureFixture
) -> None:
    use(residency)
    world.before_move = refuse
    with caplog.at_level(logging.WARNING):
        left = residency.yield_device(CUDA, OnYield.OFFLOAD)
    assert (left.went, left.stuck, world.in_memory) == (1, 0, 0)
    assert "offload failed" in caplog.text
    use(residency)
    assert world.reasons == ["first", "evicted"]


def test_a_release_that_was_refused_counts_as_stuck_and_its_bytes_stay_on_the_books(world: World) -> None:
    """Elsewhere an unload that was refused was forgotten, and its memory with it."""
    used = [0]
    world.before_load = lambda _key: used.__setitem__(0, used[0] + 50)
    residency = RecognitionModels(world.load, budget=Footprints(lambda _device: used[0]))
    use(residency)
    world.before_move = world.before_close = refuse
    left = residency.yield_device(CUDA, OnYield.OFFLOAD)
    assert (left.went, left.stuck) == (0, 1)
    assert residency.held_bytes(CUDA) == 50
    world.before_close = lambda _key: None
    use(residency, B)
    assert (world.copies[A], world.copies[B]) == (0, 1)


@pytest.mark.parametrize("policy", [OnYield.OFFLOAD, OnYield.UNLOAD])
def test_what_was_not_let_go_of_once_is_tried_again_when_another_tenant_wants_the_card(
    world: World, residency: RecognitionModels, policy: OnYield
) -> None:
    """With `offload` it was left on the card, as nobody would lease it again, until something else was released."""
    use(residency)
    world.before_close = refuse
    residency.evict(A)
    world.before_close = lambda _key: None
    left = residency.yield_device(CUDA, policy)
    assert (left.went, left.stuck, world.in_memory) == (1, 0, 0)


def test_a_model_that_is_away_and_will_not_be_let_go_of_takes_nothing_of_its_card(world: World) -> None:
    """Found by the state machine: refused its end, it was taken for resident on the card that it had left."""
    size = 40
    used = Footprints(lambda _device: size * world.in_memory, lambda _device: None)
    residency = RecognitionModels(world.load, budget=used)
    use(residency)
    assert residency.held_bytes(CUDA) == size
    residency.yield_device(CUDA, OnYield.OFFLOAD)
    world.before_close = refuse
    with pytest.raises(EngineError, match="keeps the model"):
        residency.release(A)
    residency.check()
    assert residency.held_bytes(CUDA) == 0
    world.before_close = lambda _key: None
    assert residency.close()
    assert world.in_memory == 0


def test_a_model_that_does_not_come_back_is_loaded_anew(
    world: World, residency: RecognitionModels, caplog: pytest.LogCaptureFixture
) -> None:
    first = use(residency)
    residency.yield_device(CUDA, OnYield.OFFLOAD)
    world.before_move = refuse
    with caplog.at_level(logging.WARNING):
        second = use(residency)
    assert second is not first
    assert not first.is_open
    assert "restore failed" in caplog.text
    assert world.reasons == ["first", "evicted"]


def test_what_was_used_longest_ago_makes_room_and_what_is_in_use_stays(world: World) -> None:
    sizes, used, now = {A: 30, B: 30, C: 50}, [0], [0.0]
    world.before_load = lambda key: used.__setitem__(0, used[0] + sizes[key])
    world.before_close = lambda key: used.__setitem__(0, used[0] - sizes[key])

    def clock() -> float:
        now[0] += 1
        return now[0]

    residency = RecognitionModels(world.load, budget=Footprints(lambda _device: used[0], {CUDA: 100}.get), clock=clock)
    for key in (C, A, B, A):
        use(residency, key)
    assert residency.resident() == (A, B), "when C was loaded first nobody knew its size; B then did not fit beside it"
    with residency.lease(B):
        use(residency, C)
        assert set(residency.resident()) == {B, C}, "A was used later than B, but B is in use"
    residency.check()


@pytest.mark.parametrize("away", [False, True], ids=["loaded again", "moved back"])
def test_a_model_that_comes_back_pushes_nobody_out_for_whom_there_is_room(world: World, away: bool) -> None:
    # What it takes was counted twice: as on its way there, and as there already.
    used = [0]
    world.before_load = lambda _key: used.__setitem__(0, used[0] + 40)
    world.before_close = lambda _key: used.__setitem__(0, used[0] - 40)
    residency = RecognitionModels(world.load, budget=Footprints(lambda _device: used[0], {CUDA: 100}.get))
    use(residency, A)
    use(residency, B)
    if away:
        assert residency.offload(B)
    else:
        assert residency.release(B)
    use(residency, B)
    assert set(residency.resident()) == {A, B}
    assert residency.held_bytes(CUDA) == 80
    use(residency, C)
    assert len(residency.resident()) == 2


def test_nothing_idles_out_unless_somebody_asks_for_it(world: World) -> None:
    now = [0.0]
    residency = RecognitionModels(world.load, clock=lambda: now[0])
    use(residency, A)
    now[0] = 1e6
    use(residency, B)
    assert residency.resident() == (A, B)
    with residency.lease(B):
        now[0] = 2e6
        assert residency.release_unused(1e5) == 1
    assert residency.resident() == (B,)


def test_loads_that_overlap_are_not_measured() -> None:
    used = [0]
    footprints = Footprints(lambda _device: used[0])
    with footprints.measure(A):
        with footprints.measure(B):
            used[0] += 5
        used[0] += 7
    assert (footprints.of(A), footprints.of(B)) == (None, None)
    with footprints.measure(A):
        used[0] += 9
    assert footprints.of(A) == 9


def test_a_load_that_fails_teaches_nothing() -> None:
    used = [0]
    footprints = Footprints(lambda _device: used[0])

    def load() -> None:
        with footprints.measure(A):
            used[0] += 9
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        load()
    assert footprints.of(A) is None


def test_a_copy_of_a_model_counts_in_the_budget_while_it_is_there_and_takes_nobodys_place(world: World) -> None:
    """What samples is a second copy: on a card it was in no budget."""
    used = [0]
    world.before_load = lambda _key: used.__setitem__(0, used[0] + 40)
    footprints = Footprints(lambda _device: used[0], {CUDA: 100}.get)
    residency = RecognitionModels(world.load, budget=footprints)
    use(residency, A)
    with footprints.copy(A, residency.held_bytes(CUDA)):
        assert footprints.is_short(CUDA, residency.held_bytes(CUDA), A)
    assert not footprints.is_short(CUDA, residency.held_bytes(CUDA), A)
    use(residency, B)
    with pytest.raises(DeviceError) as refused, footprints.copy(A, residency.held_bytes(CUDA)):
        pass
    assert refused.value.cause == FailureCause.OUT_OF_MEMORY
    assert set(residency.resident()) == {A, B}


def test_what_samples_is_not_loaded_where_there_is_no_room_for_it() -> None:
    footprints = Footprints(lambda _device: 0, {CUDA: 10}.get)
    loads: list[object] = []
    with pytest.raises(DeviceError):
        Sampler(lambda: loads.append(1), lambda: footprints.copy(A, 11)).generate(1)
    assert not loads
