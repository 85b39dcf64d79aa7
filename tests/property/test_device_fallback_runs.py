"""Cards that run out of memory at any call: every chunk once, the steps in order, the text as it was."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from autorag_whisper.domain.device import CUDA, Hardware, OnYield
from autorag_whisper.domain.errors import DeviceError
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.testing import speech_samples, write_speech
from examples import examples
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autorag_whisper.domain.transcript import Transcript

CARD = Hardware(1, frozenset({"float16", "int8_float16", "float32"}), frozenset({"int8", "float32"}))
ORDER = ["halve_batch", "free_others", "compute_type", "cpu"]
STAGES = ("encode", "detect_language", "generate", "align")
COUNTS = (3, 7, 4, 5, 2, 6, 9, 8, 1, 10, 3, 4)


def out_of_memory(stage: str) -> DeviceError:
    return DeviceError("cuda", "out_of_memory", f"{stage}: CUDA failed with error out of memory")


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("talks")
    return [write_speech(folder / f"{n:02d}.wav", speech_samples(count)) for n, count in enumerate(COUNTS)]


@pytest.fixture(scope="module")
def undisturbed(talks: list[Path]) -> list[str]:
    return [t.text for t in transcribe(World(CARD), talks)]


def transcribe(world: World, talks: list[Path]) -> list[Transcript]:
    """All of them in one run. After its first result a batch waits until all are read: later ones are large."""
    fail, is_read, done = world.faults["cuda"].fail, Event(), list[str]()

    def sources() -> Iterator[Path]:
        yield from talks
        is_read.set()

    def wait_and_fail(stage: str, number: int) -> None:
        if stage == "encode" and done == ["align"]:
            is_read.wait(10)
        fail(stage, number)
        if stage == "align":
            done.append(stage)

    world.faults["cuda"].fail = wait_and_fail
    options = TranscribeOptions(language="en", batch_size=8)
    found = {o.source.name: o.transcript for o in world.transcriber.transcribe_many(sources(), options, model="fake")}
    world.faults["cuda"].fail = fail
    transcripts = [found[path.name] for path in talks]
    assert all(transcripts)
    return [transcript for transcript in transcripts if transcript is not None]


def steps_of(world: World, transcripts: list[Transcript]) -> list[str]:
    """All steps that were taken, in order: some file was at work at each."""
    longest = max((t.device_fallbacks for t in transcripts), key=len)
    return [step.step for step in longest]


def check(world: World, transcripts: list[Transcript], undisturbed: list[str]) -> None:
    assert [t.text for t in transcripts] == undisturbed
    steps = steps_of(world, transcripts)
    once = [step for step in steps if step != "halve_batch"]
    assert once == sorted(once, key=ORDER.index)
    world.residency.check()


@examples(40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.tuples(st.sampled_from((*STAGES, "load")), st.integers(1, 8)), st.just(None), min_size=1, max_size=2
    )
)
def test_out_of_memory_at_any_calls_singly_or_in_pairs_loses_and_doubles_no_chunk(
    talks: list[Path], undisturbed: list[str], failing: dict[tuple[str, int], None]
) -> None:
    world = World(CARD)
    loads = [0]

    def fail(stage: str, number: int) -> None:
        if (stage, number) in failing:
            raise out_of_memory(stage)

    def fail_load(device: object) -> None:
        loads[0] += 1
        if ("load", loads[0]) in failing:
            raise out_of_memory("load")

    world.faults["cuda"].fail, world.fail_load = fail, fail_load
    check(world, transcribe(world, talks), undisturbed)


@examples(15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.tuples(st.sampled_from(("restore", *STAGES)), st.integers(1, 4)), max_size=1))
def test_out_of_memory_when_a_model_comes_back_from_an_offload_alone_or_with_another_loses_no_chunk(
    talks: list[Path], undisturbed: list[str], another: set[tuple[str, int]]
) -> None:
    """What does not come back is closed and loaded anew: never two copies, and the text as it was."""
    world = World(CARD)
    world.transcriber.load(world.transcriber.model("fake"))
    assert world.residency.yield_device(CUDA, OnYield.OFFLOAD).went == 1
    failing = {("restore", 1), *another}

    def fail(stage: str, number: int) -> None:
        if (stage, number) in failing:
            raise out_of_memory(stage)

    world.faults["cuda"].fail = fail
    check(world, transcribe(world, talks), undisturbed)
    assert [load for load in world.loads if load[0] == "cuda"][:2] == [("cuda", "first"), ("cuda", "evicted")]
    assert world.fakes[0].closed
    assert sum(not fake.closed for fake in world.fakes) == len(world.residency.resident())


@pytest.mark.parametrize("fits", [4, 3, 2, 1])
@pytest.mark.parametrize("stage", ["encode", "generate", "align"])
def test_a_batch_is_halved_until_it_fits_and_no_larger_one_is_tried_again(
    talks: list[Path], undisturbed: list[str], fits: int, stage: str
) -> None:
    world = World(CARD)
    faults = world.faults["cuda"]

    def fail(at: str, _number: int) -> None:
        if at == stage and faults.rows > fits:
            raise out_of_memory(stage)

    faults.fail = fail
    transcripts = transcribe(world, talks)
    check(world, transcripts, undisturbed)
    assert {t.device for t in transcripts} == {"cuda"}
    assert set(steps_of(world, transcripts)) == {"halve_batch"}
    before = len(faults.batches)
    again = transcribe(world, talks)
    assert max(faults.batches[before:]) <= fits, "learned for the next run too"
    assert steps_of(world, again) == []


def test_a_card_that_does_not_fit_one_chunk_ends_on_the_cpu(talks: list[Path], undisturbed: list[str]) -> None:
    world = World(CARD)
    world.faults["cuda"].fail = lambda stage, _n: fail_at(stage, "generate")
    transcripts = transcribe(world, talks)
    check(world, transcripts, undisturbed)
    assert steps_of(world, transcripts) == ["compute_type", "cpu"], "one chunk goes first, and nothing can be freed"
    assert {t.device for t in transcripts} == {"cpu"}
    assert [device for device, _ in world.loads] == ["cuda", "cuda", "cpu"]
    assert all(fake.closed for fake in world.fakes[:2]), "what was left must not keep the card's memory"


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another model"])
def test_a_card_that_fits_nothing_any_more_ends_on_the_cpu_by_every_step(
    talks: list[Path], undisturbed: list[str], others: int
) -> None:
    world = World(CARD)
    for n in range(others):
        with world.residency.lease(world.key(f"other {n}")):
            pass
    faults, failed = world.faults["cuda"], list[int]()

    def fail(stage: str, _number: int) -> None:
        if stage == "generate" and (failed or faults.rows > 1):
            failed.append(faults.rows)
            raise out_of_memory(stage)

    faults.fail = fail
    transcripts = transcribe(world, talks)
    check(world, transcripts, undisturbed)
    steps = steps_of(world, transcripts)
    assert steps[0] == "halve_batch"
    assert [step for step in steps if step != "halve_batch"] == ["free_others"] * others + ["compute_type", "cpu"]
    assert failed[:2] == [8, 1], "the rest of a batch is done with what fits, which may be one chunk"
    assert (transcripts[0].device, transcripts[-1].device) == ("cuda", "cpu")
    assert [device for device, _ in world.loads[others:]] == ["cuda", "cuda", "cpu"]
    assert all(fake.closed for fake in world.fakes[:-1]), "what was left must not keep the card's memory"


def fail_at(stage: str, at: str) -> None:
    if stage == at:
        raise out_of_memory(stage)


def test_what_other_models_hold_is_freed_before_the_text_may_change(talks: list[Path], undisturbed: list[str]) -> None:
    world = World(CARD)
    with world.residency.lease(world.key("other")):
        pass
    held = [True]

    def fail(stage: str, _number: int) -> None:
        held[0] = world.key("other") in world.residency.resident()
        if stage == "generate" and held[0]:
            raise out_of_memory(stage)

    world.faults["cuda"].fail = fail
    transcripts = transcribe(world, talks)
    check(world, transcripts, undisturbed)
    assert steps_of(world, transcripts)[-1] == "free_others"
    assert {t.device for t in transcripts} == {"cuda"}
    assert not held[0]


@pytest.mark.parametrize(
    "error",
    [MemoryError("encode: bad allocation"), OSError("CUDA out of memory.wav: no such file")],
    ids=["host memory", "a file's name"],
)
def test_what_only_looks_like_the_card_is_not_retried_elsewhere(talks: list[Path], error: Exception) -> None:
    world = World(CARD)
    make: Callable[[str, int], None] = lambda stage, _n: _raise(error) if stage == "generate" else None  # noqa: E731 - a fault, in place
    world.faults["cuda"].fail = make
    outcomes = list(world.transcriber.transcribe_many(talks[:2], model="fake"))
    assert all(outcome.error is not None for outcome in outcomes)
    assert isinstance(error, MemoryError) or all(str(error) in str(outcome.error) for outcome in outcomes)
    assert {device for device, _ in world.loads} == {"cuda"}
    assert world.policy.pin is None


def _raise(error: Exception) -> None:
    raise error
