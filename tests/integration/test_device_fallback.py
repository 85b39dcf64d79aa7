"""The device policy over time: the pin after a failure, what is logged how often, the device that people are shown."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from autorag_whisper.device.device_fallback import DevicePolicy
from autorag_whisper.device.devices import Devices
from autorag_whisper.domain.device import CPU, CUDA, FailureCause, Hardware
from autorag_whisper.domain.errors import DeviceError, InvalidOption

VARIABLE = "AUTORAG_WHISPER_DEVICE"
CARD = Hardware(1, frozenset({"float16", "float32", "int8"}), frozenset({"int8", "float32"}))
NO_CARD = Hardware(0, frozenset(), frozenset({"int8", "float32"}), "no driver")
OUT_OF_MEMORY = DeviceError("cuda", "out_of_memory", "generate: CUDA failed with error out of memory")
STICKY = DeviceError("cuda", "sticky", "generate: CUDA failed with error an illegal memory access was encountered")
LOGGER = "autorag_whisper.device.device_fallback"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def environ() -> dict[str, str]:
    return {}


def policy_of(
    environ: dict[str, str], clock: Clock, *, hardware: Hardware = CARD, cooldown_s: float = 900.0
) -> DevicePolicy:
    return DevicePolicy(Devices(lambda: hardware), environ=environ, pin_cooldown_s=cooldown_s, clock=clock)


@pytest.fixture
def policy(environ: dict[str, str], clock: Clock) -> DevicePolicy:
    return policy_of(environ, clock)


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER and record.levelno == level]


def test_a_handle_does_not_fail_for_ever_after_the_pin(policy: DevicePolicy) -> None:
    # The usual design keeps the model object that died; the same hint asked for again must give a place that works.
    assert policy.place("cuda").device == CUDA
    policy.failed(STICKY)
    for hint in ("cuda", "cuda:0", "auto", None):
        assert policy.place(hint).device == CPU
        assert "illegal memory access" in policy.place(hint).reason


@pytest.mark.parametrize("cause", ["missing_library", "driver", "sticky"])
def test_what_no_batch_survives_pins_for_life(policy: DevicePolicy, clock: Clock, cause: str) -> None:
    pin = policy.failed(DeviceError("cuda", cause, "x"))
    clock.now += 1e9
    assert policy.pin == pin
    assert (pin.cause, pin.until_s) == (FailureCause(cause), None)
    assert policy.place().device == CPU


def test_out_of_memory_pins_for_the_cool_down_alone(policy: DevicePolicy, clock: Clock) -> None:
    pin = policy.failed(OUT_OF_MEMORY)
    clock.now += 899
    assert policy.pin == pin
    assert policy.place("cuda").device == CPU
    clock.now += 1
    assert policy.pin is None
    assert policy.place("cuda").device == CUDA


def test_a_cool_down_of_0_pins_for_good(environ: dict[str, str], clock: Clock) -> None:
    policy = policy_of(environ, clock, cooldown_s=0)
    assert policy.failed(OUT_OF_MEMORY).until_s is None
    clock.now += 1e9
    assert policy.place().device == CPU


def test_a_pin_for_life_is_not_shortened_by_a_later_out_of_memory(policy: DevicePolicy, clock: Clock) -> None:
    pin = policy.failed(STICKY)
    assert policy.failed(OUT_OF_MEMORY) == pin
    clock.now += 1e6
    assert policy.pin == pin


def test_a_pin_for_a_cool_down_becomes_one_for_life(policy: DevicePolicy, clock: Clock) -> None:
    policy.failed(OUT_OF_MEMORY)
    assert policy.failed(STICKY).until_s is None
    clock.now += 1e6
    assert policy.pin is not None
    assert policy.pin.cause is FailureCause.STICKY


def test_another_out_of_memory_under_the_pin_makes_it_last_longer(policy: DevicePolicy, clock: Clock) -> None:
    policy.failed(OUT_OF_MEMORY)
    clock.now += 600
    policy.failed(OUT_OF_MEMORY)
    clock.now += 600
    assert policy.place().device == CPU
    clock.now += 300
    assert policy.place().device == CUDA


def test_a_cause_that_nobody_listed_pins_for_life(policy: DevicePolicy) -> None:
    assert policy.failed(DeviceError("cuda", "gamma ray", "x")).until_s is None


def test_threads_that_fail_together_are_logged_once(policy: DevicePolicy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, LOGGER)
    barrier = threading.Barrier(8)

    def fail(_: int) -> object:
        barrier.wait(60)
        return policy.failed(STICKY)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(fail, range(8)))) == 1
    [message] = said(caplog, logging.WARNING)
    assert "the rest of its life" in message
    assert "illegal memory access" in message


def test_every_pin_is_logged_with_its_span_and_reason(
    policy: DevicePolicy, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, LOGGER)
    policy.failed(OUT_OF_MEMORY)
    policy.failed(OUT_OF_MEMORY)  # the same pin
    clock.now += 2000
    policy.failed(OUT_OF_MEMORY)
    assert [("900 s" in line, "out of memory" in line) for line in said(caplog, logging.WARNING)] == [(True, True)] * 2


def test_the_device_and_its_reason_are_logged_once(policy: DevicePolicy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    policy.resolved_device()
    assert said(caplog, logging.INFO) == []
    for hint in (None, "cpu", "cuda"):
        policy.place(hint)
    [message] = said(caplog, logging.INFO)
    assert "cuda" in message
    assert "float16" in message


def test_a_bad_hint_is_warned_about_each_time(policy: DevicePolicy, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        assert policy.place("gpu\nFAKE LINE").device == CPU
    assert len(said(caplog, logging.WARNING)) == 2
    assert all("gpu" in line and "\n" not in line for line in said(caplog, logging.WARNING))


def test_a_bad_setting_is_warned_about_once_and_taken_for_auto(
    policy: DevicePolicy, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    environ[VARIABLE] = "gpu"
    assert [policy.place().device for _ in range(3)] == [CUDA] * 3
    [message] = said(caplog, logging.WARNING)
    assert VARIABLE in message
    assert "gpu" in message


def test_the_setting_is_read_when_the_decision_is_made(policy: DevicePolicy, environ: dict[str, str]) -> None:
    assert policy.place().device == CUDA
    environ[VARIABLE] = " CPU "
    assert policy.place("cuda").device == CPU
    environ[VARIABLE] = "auto"
    assert policy.place().device == CUDA


def test_people_are_shown_the_device_that_would_be_used_and_then_the_one_used_last(
    policy: DevicePolicy, environ: dict[str, str], clock: Clock
) -> None:
    assert policy.resolved_device() == "cuda"
    policy.used(CPU)
    assert policy.resolved_device() == "cpu"
    policy.used(CUDA)
    assert policy.resolved_device() == "cuda"
    assert policy_of(environ, clock, hardware=NO_CARD).resolved_device() == "cpu"


def test_the_device_that_people_are_shown_decides_nothing(policy: DevicePolicy) -> None:
    # A process-wide device used for a model that lives elsewhere: the place of one model must not move another's.
    policy.used(CPU)
    assert policy.place("cuda").device == CUDA
    policy.used(CUDA)
    assert policy.place("cpu").device == CPU
    assert policy.place("cuda").device == CUDA


def test_showing_the_device_never_fails_where_placing_would(environ: dict[str, str], clock: Clock) -> None:
    policy = DevicePolicy(Devices(lambda: NO_CARD), environ=environ, compute_type="float16", clock=clock)
    environ[VARIABLE] = "cpu"
    with pytest.raises(InvalidOption):
        policy.place()
    assert policy.resolved_device() == "cpu"


def test_the_lock_is_not_held_while_the_hardware_is_probed(environ: dict[str, str], clock: Clock) -> None:
    begun, go = threading.Event(), threading.Event()

    def probe() -> Hardware:
        begun.set()
        assert go.wait(60)
        return CARD

    policy = DevicePolicy(Devices(probe), environ=environ, clock=clock)
    with ThreadPoolExecutor(2) as pool:
        placed = pool.submit(policy.place)
        assert begun.wait(60)
        try:
            assert pool.submit(policy.failed, STICKY).result(60).until_s is None
            assert policy.pin is not None
        finally:
            go.set()
        assert placed.result(60).device in (CPU, CUDA)


def test_the_lock_is_not_held_while_logging(policy: DevicePolicy) -> None:
    """A handler that asks the policy from another thread would wait for ever."""
    answers: list[str] = []

    class Curious(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            asking = threading.Thread(target=lambda: answers.append(policy.resolved_device()), daemon=True)
            asking.start()
            asking.join(60)

    logger, handler = logging.getLogger(LOGGER), Curious()
    logger.addHandler(handler)
    try:
        policy.failed(STICKY)
    finally:
        logger.removeHandler(handler)
    assert answers == ["cpu"]
