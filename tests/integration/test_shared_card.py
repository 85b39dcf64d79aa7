"""Runs that share a card with an LLM, over fakes: short leases, hand-overs at a batch's end, no second load."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autorag_whisper import telemetry as names
from autorag_whisper.domain.device import CUDA, FailureCause, OnYield
from autorag_whisper.domain.errors import DeviceError, GpuBusy
from autorag_whisper.gpu.arbiter.lease import AtDeadline, Eviction, GpuArbiter, LeaseRequest, Released, Tenant
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
from autorag_whisper.gpu.arbiter.threads import ThreadArbiter
from autorag_whisper.gpu.card_sharing import WhisperTenant
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import speech_samples, write_speech
from run_world import CARD, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENT = LeaseRequest(timeout_s=60.0)


@pytest.fixture(params=["threads", "processes"])
def arbiter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GpuArbiter]:
    made = ThreadArbiter() if request.param == "threads" else ProcessArbiter(tmp_path / "gpu0")
    made.register(Tenant("llm"))
    yield made
    made.close()


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return write_speech(tmp_path / "talk.wav", speech_samples(10))


@pytest.mark.parametrize("policy", OnYield)
def test_a_second_job_after_the_llm_had_the_card_loads_nothing_unless_the_policy_says_so(
    arbiter: GpuArbiter, talk: Path, policy: OnYield
) -> None:
    world = World(CARD, arbiter=arbiter, on_yield=policy)
    first = world.transcriber.transcribe(talk, model="fake")
    with arbiter.lease("llm", PATIENT):
        assert world.fakes[0].away is (policy is OnYield.OFFLOAD)
        assert world.fakes[0].closed is (policy is OnYield.UNLOAD)
    second = world.transcriber.transcribe(talk, model="fake")
    assert (first.text, first.device) == (second.text, second.device)
    again = [("cuda", "unloaded")] if policy is OnYield.UNLOAD else []
    assert world.loads == [("cuda", "first"), *again]


def test_each_model_may_have_a_policy_of_its_own(tmp_path: Path) -> None:
    policies = {"a": OnYield.KEEP, "b": OnYield.OFFLOAD, "c": OnYield.UNLOAD}
    free = [100]
    world = World(CARD)
    tenant = WhisperTenant(world.residency, None, Telemetry(), lambda key: policies[key.model], lambda _index: free[0])
    for name in policies:
        with world.residency.lease(world.key(name)):
            pass
    a, b, c = world.fakes
    tenant.leave(CUDA, Eviction("llm", 50))
    assert [fake.away for fake in (a, b, c)] == [False, True, False]
    assert [fake.closed for fake in (a, b, c)] == [False, False, True]
    tenant.leave(CUDA, Eviction("llm", 200))
    assert a.away, "what stays by default leaves where there is no room"
    tenant.idle_out()
    assert [fake.closed for fake in (a, b, c)] == [True, False, True]


def test_what_the_next_tenant_needs_decides_whether_the_recognition_model_stays(tmp_path: Path, talk: Path) -> None:
    world = World(CARD, arbiter=ProcessArbiter(tmp_path / "gpu0"))
    world.transcriber.transcribe(talk, model="fake")
    free = [100]
    tenant = WhisperTenant(world.residency, None, Telemetry(), lambda _key: OnYield.KEEP, lambda _index: free[0])
    assert tenant.leave(CUDA, Eviction("llm", 100)).verified
    assert not world.fakes[0].away
    released = tenant.leave(CUDA, Eviction("llm", 101))
    assert world.fakes[0].away
    assert not released.verified, "the card shows no more free memory than before"


def test_between_two_batches_the_llm_has_its_turn(arbiter: GpuArbiter, talk: Path) -> None:
    world = World(CARD, arbiter=arbiter)
    turns: list[int] = []
    faults = world.faults["cuda"]
    asked = Event()

    def llm() -> None:
        with arbiter.lease("llm", PATIENT):
            turns.append(faults.calls.get("encode", 0))

    with ThreadPoolExecutor(1) as pool:

        def ask_in_the_first_batch(stage: str, number: int) -> None:
            if (stage, number) == ("encode", 1):
                pool.submit(llm)
                asked.set()

        faults.fail = ask_in_the_first_batch
        files = [write_speech(talk.with_name(f"{n}.wav"), speech_samples(3)) for n in range(6)]
        outcomes = list(world.transcriber.transcribe_many(files, model="fake"))
    assert asked.is_set()
    assert [outcome.transcript is not None for outcome in outcomes] == [True] * 6
    assert turns
    assert faults.calls["encode"] >= turns[0]
    assert world.loads == [("cuda", "first")]


def test_while_others_have_the_card_for_too_long_a_batch_is_done_on_the_cpu_and_says_so(
    arbiter: GpuArbiter, talk: Path
) -> None:
    world = World(CARD, arbiter=arbiter, request=LeaseRequest(timeout_s=0.0, at_deadline=AtDeadline.CPU))
    undisturbed = World().transcriber.transcribe(talk, model="fake").text
    with arbiter.lease("llm", PATIENT):
        transcript = world.transcriber.transcribe(talk, model="fake")
    assert transcript.text == undisturbed
    assert {(step.stage, step.cause, step.step) for step in transcript.device_fallbacks} == {
        ("lease", "gpu_busy", "busy")
    }
    assert world.policy.pin is None
    assert {device for device, _ in world.loads} == {"cpu"}


def test_where_waiting_was_to_fail_the_caller_is_told_who_has_the_card(arbiter: GpuArbiter, talk: Path) -> None:
    world = World(CARD, arbiter=arbiter, request=LeaseRequest(timeout_s=0.0, at_deadline=AtDeadline.FAIL))
    with arbiter.lease("llm", PATIENT), pytest.raises(GpuBusy, match="llm"):
        world.transcriber.transcribe(talk, model="fake")


def test_a_run_on_the_cpu_never_asks_for_the_card(arbiter: GpuArbiter, talk: Path) -> None:
    world = World(CARD, arbiter=arbiter, request=LeaseRequest(timeout_s=0.0, at_deadline=AtDeadline.FAIL))
    handle = world.transcriber.model("fake", "cpu")
    with arbiter.lease("llm", PATIENT):
        assert world.transcriber.transcribe(talk, model=handle).device == "cpu"


def test_an_llm_that_says_it_left_and_did_not_costs_a_batch_its_card_and_no_word(tmp_path: Path, talk: Path) -> None:
    arbiter = ThreadArbiter(read_free=lambda: 100 - sum(kept.held_bytes for kept in arbiter.state.reservations))
    arbiter.register(Tenant("llm", lambda _wanted: Released(verified=False, note="200, and nothing freed"), lambda: 90))
    world = World(CARD, arbiter=arbiter, request=LeaseRequest(20, 0.05, AtDeadline.CPU))
    with arbiter.lease("llm", LeaseRequest(90, 60.0)):
        pass
    transcript = world.transcriber.transcribe(talk, model="fake")
    assert transcript.text
    assert {step.step for step in transcript.device_fallbacks} == {"busy"}


def test_while_a_pin_holds_the_span_of_a_job_says_why_and_how_long(talk: Path) -> None:
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    world = World(CARD, telemetry=Telemetry(provider))

    def break_card(stage: str, _number: int) -> None:
        if stage == "generate":
            raise DeviceError("cuda", FailureCause.STICKY, f"{stage}: CUDA failed with error something")

    def attributes() -> dict[str, object]:
        world.transcriber.transcribe(talk, model="fake")
        [span] = [span for span in spans.get_finished_spans() if span.name == names.CT2_TRANSCRIBE]
        spans.clear()
        return dict(span.attributes or {})

    assert names.CPU_PIN_CAUSE not in attributes()
    world.faults["cuda"].fail = break_card
    for found in (attributes(), attributes()):  # the job that fell back, and the next one
        assert (found[names.CPU_PIN_CAUSE], found[names.CPU_PIN_LASTS]) == ("sticky", "life")
