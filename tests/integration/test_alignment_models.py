"""Alignment models by (language, device): loaded once, bounded, off the card after use, back without a load."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autorag_whisper.domain.device import CPU, CUDA, Device
from autorag_whisper.domain.errors import DeviceError, EngineError, ModelBusy, ModelDamaged
from autorag_whisper.residency.alignment_models import AlignmentModels
from autorag_whisper.residency.kind import Yielded
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import FakeEmitter, Faults, speech_samples
from residents import RushingClock

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 10.0


class World:
    """Loads fakes and notes it; `faults` are those of the next one."""

    def __init__(self) -> None:
        self.loaded: list[FakeEmitter] = []
        self.faults: Faults | None = None
        self.before_load: Callable[[str], object] = lambda _language: None
        self.spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.telemetry = Telemetry(provider)

    def load(self, language: str, device: Device) -> FakeEmitter:
        self.before_load(language)
        emitter = FakeEmitter(device=device, faults=self.faults)
        self.loaded.append(emitter)
        return emitter

    def told(self) -> list[dict[str, object]]:
        """(short name and attributes) of every span so far."""
        spans = self.spans.get_finished_spans()
        return [{"span": s.name.rpartition(".")[2], **dict(s.attributes or {})} for s in spans]

    def restored_from(self) -> list[object]:
        return [span["align.restored_from"] for span in self.told() if span["span"] == "get_align_model"]


@pytest.fixture
def world() -> World:
    return World()


def use(models: AlignmentModels, language: str = "en", device: Device = CPU) -> FakeEmitter:
    with models.lease(language, device) as emitter:
        emitter.emit([speech_samples(1)])
        models.check()
    models.check()
    return emitter


def test_a_model_is_loaded_once_for_each_language_and_device(world: World) -> None:
    models = AlignmentModels(world.load, world.telemetry, capacity=8)
    for _ in range(2):
        assert len({id(use(models, *key)) for key in (("en", CPU), ("de", CPU), ("en", CUDA), ("en", CPU))}) == 3
    assert len(world.loaded) == 3


def test_on_the_cpu_a_model_stays_ready_and_no_offload_is_told(world: World) -> None:
    models = AlignmentModels(world.load, world.telemetry)
    use(models)
    use(models)
    assert world.told() == [
        {"span": "get_align_model", "align.language": "en", "align.device": "cpu", "align.restored_from": "fresh_load"},
        {"span": "get_align_model", "align.language": "en", "align.device": "cpu", "align.restored_from": "cpu"},
    ]
    assert world.loaded[0].moves == []


def test_on_a_card_a_model_leaves_after_use_and_comes_back_without_a_load(world: World) -> None:
    models = AlignmentModels(world.load, world.telemetry)
    use(models, device=CUDA)
    assert not world.loaded[0].is_on_device
    use(models, device=CUDA)
    assert world.loaded[0].moves == ["offload", "restore", "offload"]
    assert len(world.loaded) == 1
    assert [span["span"] for span in world.told()] == ["get_align_model", "offload_align"] * 2
    assert world.restored_from() == ["fresh_load", "cpu_to_cuda_restore"]
    assert world.told()[1] == {"span": "offload_align", "align.language": "en"}


def test_a_model_in_use_is_never_moved(world: World) -> None:
    """The usual design moves it away under another thread's feet."""
    models = AlignmentModels(world.load, world.telemetry)
    with models.lease("en", CUDA) as first:
        with models.lease("en", CUDA) as second:
            assert second is first
        assert models.offload_idle() == Yielded(0, 1)  # whoever wants the card is told
        assert first.is_on_device
        first.emit([speech_samples(1)])
    assert first.moves == ["offload"]
    assert world.restored_from() == ["fresh_load", "cuda"]


def test_what_stays_after_use_is_moved_for_another_tenant(world: World) -> None:
    models = AlignmentModels(world.load, world.telemetry, offload_after_use=False)
    use(models, "en", CUDA)
    use(models, "de", CUDA)
    assert all(emitter.is_on_device for emitter in world.loaded)
    assert models.offload_idle() == Yielded(2)
    assert models.offload_idle() == Yielded()
    assert not any(emitter.is_on_device for emitter in world.loaded)
    use(models, "en", CUDA)
    assert world.restored_from()[-1] == "cpu_to_cuda_restore"


def test_another_tenant_of_one_card_takes_nothing_from_the_others(world: World) -> None:
    models = AlignmentModels(world.load, world.telemetry, offload_after_use=False)
    other = replace(CUDA, index=1)
    use(models, "en", CUDA)
    with models.lease("de", other):
        assert models.offload_idle(CUDA) == Yielded(1, 0)
        assert models.offload_idle(other) == Yielded(0, 1)
    assert [emitter.is_on_device for emitter in world.loaded] == [False, True]
    assert models.offload_idle(CPU) == Yielded()


def test_the_model_used_longest_ago_makes_room(world: World) -> None:
    models = AlignmentModels(world.load, world.telemetry, capacity=2)
    for language in ("en", "de", "en", "fr"):
        use(models, language)
    assert [emitter.closed for emitter in world.loaded] == [False, True, False]
    use(models, "en")
    assert len(world.loaded) == 3
    use(models, "de")
    assert [emitter.closed for emitter in world.loaded] == [False, True, True, False]


def test_a_leased_model_makes_no_room_and_the_bound_is_kept_afterwards(world: World) -> None:
    models = AlignmentModels(world.load, world.telemetry, capacity=1)
    with models.lease("en", CPU) as held:
        use(models, "de")
        held.emit([speech_samples(1)])
    assert sum(not emitter.closed for emitter in world.loaded) == 1


def test_threads_that_race_load_and_restore_once(world: World) -> None:
    models = AlignmentModels(world.load, world.telemetry)
    for _ in range(3):
        with ThreadPoolExecutor(12) as pool:
            assert len({id(u.result(WAIT_S)) for u in [pool.submit(use, models, "en", CUDA) for _ in range(12)]}) == 1
    [emitter] = world.loaded
    assert emitter.moves.count("offload") == emitter.moves.count("restore") + 1


def test_no_lock_is_held_through_a_load(world: World) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(language: str) -> None:
        if language == "de":
            begun.set()
            assert go.wait(WAIT_S)

    world.before_load = slow
    models = AlignmentModels(world.load, world.telemetry)
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(use, models, "de")
        assert begun.wait(WAIT_S)
        pool.submit(use, models, "en").result(WAIT_S)
        go.set()
        waiting.result(WAIT_S)


def test_who_waits_for_a_load_too_long_is_told_that_it_is_busy(world: World) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(_language: str) -> None:
        begun.set()
        assert go.wait(WAIT_S)

    world.before_load = slow
    models = AlignmentModels(world.load, world.telemetry, clock=RushingClock())
    with ThreadPoolExecutor(1) as pool:
        loader = pool.submit(use, models)
        assert begun.wait(WAIT_S)
        with pytest.raises(ModelBusy), models.lease("en", CPU, timeout_s=5):
            pass
        go.set()
        loader.result(WAIT_S)


def test_a_load_that_fails_leaves_nothing_and_the_next_lease_tries_again(world: World) -> None:
    def fails(_language: str) -> None:
        raise ModelDamaged("x", "model.safetensors", "cut off")

    models = AlignmentModels(world.load, world.telemetry)
    world.before_load = fails
    with pytest.raises(ModelDamaged):
        use(models)
    world.before_load = lambda _language: None
    use(models)
    assert world.restored_from() == ["fresh_load"]


def test_a_restore_that_fails_is_a_warning_and_a_fresh_load(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail(stage: str, _number: int) -> None:
        if stage == "restore":
            raise DeviceError("cuda", "out_of_memory", "restore: CUDA failed with error out of memory")

    world.faults = Faults(fail=fail)
    models = AlignmentModels(world.load, world.telemetry)
    use(models, device=CUDA)
    with caplog.at_level(logging.WARNING):
        assert use(models, device=CUDA) is world.loaded[1]
    assert "restore failed" in caplog.text
    assert world.loaded[0].closed
    assert world.restored_from() == ["fresh_load", "fresh_load"]


def test_an_offload_that_fails_frees_the_card_all_the_same(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail(stage: str, _number: int) -> None:
        if stage == "offload":
            raise EngineError("fake", "unload", "it keeps the model in memory")

    world.faults = Faults(fail=fail)
    models = AlignmentModels(world.load, world.telemetry)
    with caplog.at_level(logging.WARNING):
        use(models, device=CUDA)
    assert "offload failed" in caplog.text
    assert world.loaded[0].closed
    world.faults = None
    use(models, device=CUDA)
    assert len(world.loaded) == 2


def test_a_poisoned_model_is_given_to_nobody_else(world: World) -> None:
    models = AlignmentModels(world.load, world.telemetry)
    with models.lease("en", CUDA) as held:
        with pytest.raises(DeviceError), models.lease("en", CUDA):
            raise DeviceError("cuda", "sticky", "encode: CUDA failed with error an illegal memory access")
        assert not held.closed
        assert use(models, "en", CUDA) is not held
    assert held.closed
    assert len(world.loaded) == 2


def test_after_close_nothing_is_lent_and_what_was_lent_is_closed_when_it_comes_back(world: World) -> None:
    models = AlignmentModels(world.load, world.telemetry)
    with models.lease("en", CPU) as held:
        use(models, "de")
        models.close()
        assert [emitter.closed for emitter in world.loaded] == [False, True]
        held.emit([speech_samples(1)])
        with pytest.raises(EngineError, match="closed"), models.lease("de", CPU):
            pass
    assert held.closed


def test_who_fails_on_a_poisoned_model_does_not_take_out_the_fresh_copy_of_its_key(world: World) -> None:
    models = AlignmentModels(world.load, world.telemetry, offload_after_use=False)
    broken = DeviceError("cuda", "sticky", "encode: CUDA failed with error an illegal memory access")
    one, other = ExitStack(), ExitStack()
    for stack in (one, other):
        stack.enter_context(models.lease("en", CUDA))
    assert not one.__exit__(DeviceError, broken, None)
    fresh = use(models, "en", CUDA)
    assert not other.__exit__(DeviceError, broken, None)
    assert use(models, "en", CUDA) is fresh
    assert len(world.loaded) == 2
