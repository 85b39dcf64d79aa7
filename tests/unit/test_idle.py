"""A process that nobody asks for anything."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.domain.device import OnYield
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.residency.idle import IdleTimer
from autorag_whisper.testing import speech_samples, write_speech
from run_world import CARD, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOON_S = 0.02


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return write_speech(tmp_path / "talk.wav", speech_samples(5))


def until(true: Callable[[], object]) -> None:
    pause = Event()
    for _ in range(1000):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError("it never came true")


def test_it_acts_once_when_the_last_of_them_is_done_and_not_while_anybody_is_busy() -> None:
    acted = list[int]()
    done = Event()

    def act() -> None:
        acted.append(len(acted))
        done.set()

    timer = IdleTimer(SOON_S, act)
    with timer.busy():
        with timer.busy():
            pass
        assert not done.wait(5 * SOON_S)
    assert done.wait(10)
    assert acted == [0]


def test_closed_it_acts_no_more() -> None:
    done = Event()
    timer = IdleTimer(SOON_S, done.set)
    with timer.busy():
        pass
    timer.close()
    assert not done.wait(5 * SOON_S)


def test_an_engine_that_does_not_let_go_ends_no_thread_with_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def act() -> None:
        raise EngineError("fake", "unload", "a batch is active")

    timer = IdleTimer(SOON_S, act)
    with timer.busy():
        pass
    until(lambda: "not all models left" in caplog.text)


def test_models_of_an_idle_process_leave_memory_and_the_next_load_says_why(talk: Path) -> None:
    world = World(idle_s=SOON_S)
    first = world.transcriber.transcribe(talk, model="fake")
    until(lambda: not world.residency.resident())
    assert world.fakes[0].closed
    assert world.transcriber.transcribe(talk, model="fake").text == first.text
    assert world.loads == [("cpu", "first"), ("cpu", "unloaded")]


def test_where_the_policy_is_offload_they_leave_the_card_alone_and_come_back_without_a_load(talk: Path) -> None:
    world = World(CARD, idle_s=SOON_S, on_yield=OnYield.OFFLOAD)
    first = world.transcriber.transcribe(talk, model="fake")
    until(lambda: world.fakes[0].away)
    second = world.transcriber.transcribe(talk, model="fake")
    assert (second.text, second.device) == (first.text, "cuda")
    assert world.loads == [("cuda", "first")]


def test_without_the_setting_nothing_leaves(talk: Path) -> None:
    """In-process use never idles out by default."""
    world = World()
    world.transcriber.transcribe(talk, model="fake")
    assert world.residency.resident()
