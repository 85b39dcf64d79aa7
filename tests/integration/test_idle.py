"""A process that nobody asks for anything."""

from __future__ import annotations

from functools import partial
from threading import Event, Timer
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

AFTER_S = 600.0


class HandTimer(Timer):
    """Runs out when the test says so, in the test's thread."""

    is_running = False

    def start(self) -> None:
        self.is_running = True

    def cancel(self) -> None:
        self.is_running = False

    def run_out(self) -> None:
        assert self.is_running
        self.is_running = False
        self.function()


class Hand:
    """Makes timers, and has the one that runs run out."""

    def __init__(self) -> None:
        self.made = list[HandTimer]()

    def __call__(self, after_s: float, act: Callable[[], None]) -> HandTimer:
        assert after_s == AFTER_S
        self.made.append(HandTimer(after_s, act))
        return self.made[-1]

    @property
    def running(self) -> list[HandTimer]:
        return [timer for timer in self.made if timer.is_running]

    def run_out(self) -> None:
        [timer] = self.running
        timer.run_out()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return write_speech(tmp_path / "talk.wav", speech_samples(5))


def test_it_acts_once_when_the_last_of_them_is_done_and_not_while_anybody_is_busy(hand: Hand) -> None:
    acted = list[int]()
    timer = IdleTimer(AFTER_S, lambda: acted.append(len(acted)), timer=hand)
    assert hand.made == []
    with timer.busy():
        with timer.busy():
            pass
        assert hand.running == []
    with timer.busy():
        assert hand.running == []
    assert acted == []
    hand.run_out()
    assert (acted, hand.running) == ([0], [])


def test_closed_it_acts_no_more(hand: Hand) -> None:
    timer = IdleTimer(AFTER_S, lambda: None, timer=hand)
    with timer.busy():
        pass
    assert len(hand.running) == 1
    timer.close()
    assert hand.running == []
    still_busy = IdleTimer(AFTER_S, lambda: None, timer=hand)
    with still_busy.busy():
        still_busy.close()
    assert hand.running == []


def test_by_itself_it_acts_in_a_thread_that_does_not_keep_the_process_alive() -> None:
    acted = Event()
    timer = IdleTimer(0.001, acted.set)
    with timer.busy():
        pass
    assert acted.wait(60)
    made = list[Timer]()

    def noted(after_s: float, act: Callable[[], None]) -> Timer:
        made.append(HandTimer(after_s, act))
        return made[-1]

    with IdleTimer(AFTER_S, acted.set, timer=noted).busy():
        pass
    assert [timer.daemon for timer in made] == [True]


def test_an_engine_that_does_not_let_go_ends_no_thread_with_a_traceback(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    def act() -> None:
        raise EngineError("fake", "unload", "a batch is active")

    with IdleTimer(AFTER_S, act, timer=hand).busy():
        pass
    hand.run_out()
    assert "not all models left" in caplog.text


def test_models_of_an_idle_process_leave_memory_and_the_next_load_says_why(hand: Hand, talk: Path) -> None:
    world = World(idle=partial(IdleTimer, AFTER_S, timer=hand))
    first = world.transcriber.transcribe(talk, model="fake")
    assert world.residency.resident()
    hand.run_out()
    assert not world.residency.resident()
    assert world.fakes[0].closed
    assert world.transcriber.transcribe(talk, model="fake").text == first.text
    assert world.loads == [("cpu", "first"), ("cpu", "unloaded")]


def test_where_the_policy_is_offload_they_leave_the_card_alone_and_come_back_without_a_load(
    hand: Hand, talk: Path
) -> None:
    world = World(CARD, idle=partial(IdleTimer, AFTER_S, timer=hand), on_yield=OnYield.OFFLOAD)
    first = world.transcriber.transcribe(talk, model="fake")
    hand.run_out()
    assert world.fakes[0].away
    second = world.transcriber.transcribe(talk, model="fake")
    assert (second.text, second.device) == (first.text, "cuda")
    assert world.loads == [("cuda", "first")]


def test_without_the_setting_nothing_leaves(talk: Path) -> None:
    """In-process use never idles out by default."""
    world = World()
    world.transcriber.transcribe(talk, model="fake")
    assert world.residency.resident()
