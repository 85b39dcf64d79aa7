"""What comes up while a file is read: its own faults fail that file alone, the program's go through as they are."""

from __future__ import annotations

import io
import signal
import struct
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import AutoragWhisperError, MediaUnreadable
from autorag_whisper.domain.interruptions import came_by_a_signal
from autorag_whisper.domain.media_errors import ReaderFailed
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.testing import FakeVoiceActivity, speech_samples
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

ENGLISH = TranscribeOptions(language="en")
READERS_OWN = (ValueError, KeyError, IndexError, TypeError, AssertionError, struct.error, RecursionError, MemoryError)


class TimeIsUpError(Exception):
    """Of the program, as Celery's soft time limit."""


class Trying(FakeVoiceActivity):
    """Raises at a block of the files in which it is not the first to listen."""

    def __init__(self, error: BaseException, at: int) -> None:
        self.error, self.left = error, at

    def stream(self) -> Any:
        heard = super().stream()
        voice = self

        class Stream:
            def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
                voice.left -= 1
                if voice.left == 0:
                    raise voice.error
                return heard.push(samples)

            def finish(self) -> NDArray[np.float32]:
                return heard.finish()

        return Stream()


class Telling(io.BytesIO):
    """A file object that does something at its read of that number."""

    def __init__(self, data: bytes, at: int, do: Callable[[], object]) -> None:
        super().__init__(data)
        self.left, self.do = at, do

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left == 0:
            self.do()
        return super().read(size)


@contextmanager
def handled_by(handler: Callable[..., object]) -> Iterator[Callable[[], None]]:
    """For the length of a `with`, what is yielded sends a signal that this handler answers."""
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield partial(signal.raise_signal, signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


@given(st.sampled_from(READERS_OWN), st.integers(1, 4))
def test_a_fault_of_a_reader_fails_its_file_and_the_others_are_done(kind: type[Exception], at: int) -> None:
    """It ended the whole run: of a folder over night nothing behind it was done."""
    media = [MediaSource.from_samples(speech_samples(count), name=str(count)) for count in (3, 4, 5, 6)]
    outcomes = list(World(voice=Trying(kind("oh"), at)).transcriber.transcribe_many(media, ENGLISH, model="fake"))
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    assert [type(error) for error in failed] == [ReaderFailed]
    assert kind.__name__ in str(failed[0])
    assert len([outcome for outcome in outcomes if outcome.transcript is not None]) == 3


@pytest.mark.parametrize("error", [TimeIsUpError(), TimeoutError(), InterruptedError()], ids=repr)
def test_what_no_reader_raises_belongs_to_the_program(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        World(voice=Trying(error, 1)).transcriber.transcribe(speech_samples(3), ENGLISH, model="fake")
    assert raised.value is error


def functions() -> list[Callable[[Exception], Callable[..., object]]]:
    """Handlers of every form that raise what they are told to."""

    def plain(error: Exception) -> Callable[..., object]:
        def handler(number: int, frame: object) -> None:
            raise error

        return handler

    def starred(error: Exception) -> Callable[..., object]:
        def handler(*_: object) -> None:
            raise error

        return handler

    class Object:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def __call__(self, number: int, frame: object) -> None:
            self.deeper()

        def deeper(self) -> None:
            raise self.error

    def partly(error: Exception) -> Callable[..., object]:
        def handler(error: Exception, number: int, frame: object) -> None:
            raise error

        return partial(handler, error)

    return [plain, starred, Object, partly, lambda error: Object(error).__call__]


@pytest.mark.parametrize("make", functions(), ids=["plain", "starred", "object", "partial", "method"])
@given(st.sampled_from([TimeIsUpError, TimeoutError, ValueError, OSError, MediaUnreadable]), st.integers(1, 12))
def test_what_a_signal_handler_raises_in_the_callers_file_object_goes_through_as_it_is(
    make: Callable[[Exception], Callable[..., object]], kind: type[Exception], at: int
) -> None:
    """It became an OSError of the file object, and the job went on or failed as unreadable."""
    error = kind("talk", "why") if kind is MediaUnreadable else kind("time is up")
    data = _wave(speech_samples(30))
    with handled_by(make(error)) as send:
        media = Telling(data, at, send)
        raised = raised_by(lambda: list(World().transcriber.transcribe_many([media], ENGLISH, model="fake")))
    assert raised is error or media.left > 0


@given(st.sampled_from([*READERS_OWN, TimeIsUpError, OSError]), st.integers(1, 12))
def test_what_the_callers_file_object_raises_itself_makes_it_unreadable(kind: type[Exception], at: int) -> None:
    def fail() -> None:
        raise kind("the bucket has gone")

    broken = Telling(_wave(speech_samples(30)), at, fail)
    outcomes = list(World().transcriber.transcribe_many([broken, speech_samples(2)], ENGLISH, model="fake"))
    assert [len(outcome.result().words) for outcome in outcomes if outcome.error is None][-1] == 2
    for outcome in outcomes:
        assert outcome.error is None or isinstance(outcome.error, AutoragWhisperError)


def test_an_exception_from_elsewhere_is_none_of_a_signal() -> None:
    def deeper(frame: object) -> None:
        raise ValueError

    for call in (lambda: int("x"), lambda: deeper(object()), lambda: deeper((1, 2))):
        error = raised_by(call)
        assert isinstance(error, ValueError)
        assert not came_by_a_signal(error)


def test_what_was_made_of_a_signals_exception_still_came_by_it() -> None:
    def handler(_number: int, _frame: object) -> None:
        raise TimeIsUpError

    def wrapping(send: Callable[[], None]) -> None:
        try:
            send()
        except TimeIsUpError as error:
            raise ConnectionError("while reading") from error

    with handled_by(handler) as send:
        wrapped = raised_by(lambda: wrapping(send))
    assert isinstance(wrapped, ConnectionError)
    assert came_by_a_signal(wrapped)


def raised_by(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        return error
    return None


def _wave(samples: NDArray[np.float32]) -> bytes:
    return MediaSource.from_samples(samples).open().read()
