"""How a caller stops a run: a token, or the stream's own `close`, from wherever he is; and the spans that it leaves."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from autorag_whisper.audio.memory import HeldBytes
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import Cancelled, UnavailableError
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import speech_samples, write_speech
from autorag_whisper.transcriber import CancelToken
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from opentelemetry.sdk.trace import ReadableSpan

    from autorag_whisper.transcriber import Progress

ONE_BY_ONE = TranscribeOptions(language="en", batch_size=1)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Twelve chunks of ten words."""
    import numpy as np

    return write_speech(tmp_path / "talk.wav", np.concatenate([speech_samples(10, tail_s=6.0)] * 12))


def until(true: Callable[[], object]) -> None:
    pause = threading.Event()
    while not true():
        pause.wait(0.005)


@contextmanager
def interrupted_by(handle: Callable[..., None], when: Callable[[], object]) -> Iterator[None]:
    """For the length of a `with`, this thread gets a signal once something is so."""
    main, before = threading.get_ident(), signal.signal(signal.SIGUSR1, handle)

    def interrupt() -> None:
        until(when)
        signal.pthread_kill(main, signal.SIGUSR1)

    with ThreadPoolExecutor(1) as pool:
        interrupting = pool.submit(interrupt)
        try:
            yield
        finally:
            interrupting.result(60)
            signal.signal(signal.SIGUSR1, before)


class Held:
    """A world whose engine waits at every chunk but the first, until it is let go."""

    def __init__(self, telemetry: Telemetry | None = None) -> None:
        self.world, self.go_on = World(telemetry=telemetry), threading.Event()
        self.transcriber, self.faults = self.world.transcriber, self.world.faults["cpu"]
        self.faults.fail = self._hold

    @property
    def generated(self) -> int:
        return self.faults.calls.get("generate", 0)

    def _hold(self, stage: str, number: int) -> None:
        if stage == "generate" and number > 1:
            self.go_on.wait(60)


def test_a_token_is_cancelled_with_any_of_its_parents_and_for_good() -> None:
    of_all, own = CancelToken(), CancelToken()
    both, other = CancelToken(CancelToken(of_all), own), CancelToken(own)
    woken: list[str] = []
    with both.listening(lambda: woken.append("both")):
        assert not both.cancelled
        of_all.cancel()
        assert woken == ["both"]
    assert both.cancelled
    assert not own.cancelled
    assert not other.cancelled
    with pytest.raises(Cancelled):
        both.check()
    with both.listening(lambda: woken.append("late")):
        assert woken == ["both", "late"]
    of_all.cancel()
    assert woken == ["both", "late"], "whoever has left is not woken"


def test_cancelled_is_an_error_that_may_succeed_later() -> None:
    assert issubclass(Cancelled, UnavailableError)
    assert str(Cancelled()) == "cancelled."


@pytest.mark.parametrize("by", ["token", "close"])
def test_another_thread_ends_a_read_that_waits_for_the_engine_at_the_batch_in_flight(talk: Path, by: str) -> None:
    held, token = Held(), CancelToken()
    stream = held.transcriber.stream(talk, ONE_BY_ONE, model="fake", cancel=token)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(stream))
        until(lambda: held.generated >= 3)
        token.cancel() if by == "token" else stream.close()  # neither waits: the engine is still held
        begun = held.generated
        held.go_on.set()
        with pytest.raises(Cancelled):
            reading.result(60)
    assert held.generated <= begun + 2, "of those in flight"
    with pytest.raises(Cancelled, match="cancelled"):
        stream.result()
    assert held.world.residency.close()


def test_a_file_that_is_cancelled_before_it_began_is_never_opened(tmp_path: Path) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        World().transcriber.transcribe(tmp_path / "nothing.wav", model="fake", cancel=token)


def test_what_is_cancelled_after_its_end_has_its_result(talk: Path) -> None:
    token = CancelToken()
    stream = World().transcriber.stream(talk, ONE_BY_ONE, model="fake", cancel=token)
    list(stream)
    token.cancel()
    stream.close()
    assert len(stream.result().words) == 120


def test_a_token_ends_all_files_and_those_that_were_done_have_come(tmp_path: Path) -> None:
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(3)) for n in range(40)]
    token, came = CancelToken(), []
    outcomes = World().transcriber.transcribe_many(files, ONE_BY_ONE, model="fake", cancel=token)
    with pytest.raises(Cancelled):  # noqa: PT012 - it is the loop that raises
        for outcome in outcomes:
            came.append(outcome.result().text)
            token.cancel()
    assert came == ["one two three"]


def test_a_stream_may_be_closed_by_what_it_calls(talk: Path) -> None:
    world = World()

    def on_progress(progress: Progress) -> None:
        if progress.audio_s:
            stream.close()

    stream = world.transcriber.stream(talk, ONE_BY_ONE, model="fake", on_progress=on_progress)
    with pytest.raises(Cancelled):
        list(stream)
    assert world.residency.close()


@pytest.mark.parametrize("by", ["token", "close"])
def test_a_signal_handler_may_cancel_what_the_thread_that_it_interrupts_waits_for(talk: Path, by: str) -> None:
    held, token = Held(), CancelToken()
    stream = held.transcriber.stream(talk, ONE_BY_ONE, model="fake", cancel=token)

    def handle(*_: object) -> None:
        token.cancel() if by == "token" else stream.close()
        held.go_on.set()

    with interrupted_by(handle, lambda: held.generated >= 3), pytest.raises(Cancelled):
        list(stream)


def test_an_exception_out_of_a_signal_handler_ends_the_run(talk: Path) -> None:
    held = Held()

    class SoftLimitError(Exception):
        pass

    def handle(*_: object) -> None:
        held.go_on.set()
        raise SoftLimitError

    stream = held.transcriber.stream(talk, ONE_BY_ONE, model="fake")
    with interrupted_by(handle, lambda: held.generated >= 3), pytest.raises(SoftLimitError):
        list(stream)
    with pytest.raises(Cancelled):
        stream.result()
    assert held.world.residency.close()


def test_a_task_of_an_event_loop_that_is_cancelled_ends_its_run(talk: Path) -> None:
    """The example of the documentation."""
    held = Held()

    async def transcribe(path: Path) -> object:
        token = CancelToken()
        try:
            return await asyncio.to_thread(held.transcriber.transcribe, path, ONE_BY_ONE, model="fake", cancel=token)
        finally:
            token.cancel()

    async def main() -> None:
        task = asyncio.create_task(transcribe(talk))
        while held.generated < 3:
            await asyncio.sleep(0.005)
        begun = held.generated
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held.go_on.set()
        assert held.generated <= begun + 2

    asyncio.run(main())  # which waits for the thread
    assert held.generated < 12
    assert held.world.residency.close()


# ------------------------------------------------------------ spans


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter: InMemorySpanExporter) -> Telemetry:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Telemetry(provider)


def of(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == f"autorag.whisper.{name}"]


def test_a_stream_that_is_closed_early_leaves_spans_of_what_was_done(
    talk: Path, exporter: InMemorySpanExporter, telemetry: Telemetry
) -> None:
    world = World(telemetry=telemetry)
    with world.transcriber.stream(talk, ONE_BY_ONE, model="fake") as stream:
        next(stream)
    [audio], [work], [align] = (of(exporter, name) for name in ("load_audio", "ct2_transcribe", "align"))
    assert (audio.attributes or {})["audio.path"] == "talk.wav"
    assert (audio.attributes or {})["audio.duration_s"] > 0  # type: ignore[operator]  # it is a number
    assert (work.attributes or {})["audio.batch_size"] == 1
    assert (align.attributes or {})["segments.count"] >= 1  # type: ignore[operator]  # it is a number
    assert {work.status.description, align.status.description} == {"Cancelled"}


@pytest.mark.parametrize("ends", ["closed after three outcomes", "cancelled within the fourth file"])
def test_each_file_that_was_begun_and_no_other_leaves_one_span_of_each_stage(
    tmp_path: Path, exporter: InMemorySpanExporter, telemetry: Telemetry, ends: str
) -> None:
    talk, begun = HeldBytes(write_speech(tmp_path / "talk.wav", speech_samples(3)).read_bytes()), set[str]()

    class Noting:
        """Sound in memory that notes under which names it is opened."""

        def open(self, name: str) -> BinaryIO:
            begun.add(name)
            return talk.open(name)

    def on_progress(progress: Progress) -> None:
        if ends.startswith("cancelled") and progress.name == "3.wav":
            token.cancel()

    token, done = CancelToken(), set[str]()
    files = [MediaSource(f"{n}.wav", held=Noting()) for n in range(40)]
    transcriber = World(telemetry=telemetry).transcriber
    outcomes = transcriber.transcribe_many(files, ONE_BY_ONE, model="fake", on_progress=on_progress, cancel=token)
    with suppress(Cancelled):
        for outcome in outcomes:
            done.add(outcome.source.name)
            if ends.startswith("closed") and len(done) == 3:
                break
    outcomes.close()  # type: ignore[attr-defined]  # it is a generator
    spans = of(exporter, "load_audio")
    names = [str((span.attributes or {})["audio.path"]) for span in spans]
    assert set(names) == begun >= done
    assert ends.startswith("closed") or "3.wav" in begun - done
    assert len(names) == len(begun) < 40
    half_read = [span for span in spans if span.status.description == "Cancelled"]  # no batch of it had begun
    assert len(half_read) <= 1
    assert len(of(exporter, "ct2_transcribe")) == len(begun) - len(half_read)
    cancelled = [span for span in of(exporter, "ct2_transcribe") if span.status.description == "Cancelled"]
    assert len(cancelled) + len(half_read) == len(begun) - len(done)


def test_a_file_whose_caller_fails_leaves_spans_with_that(
    talk: Path, exporter: InMemorySpanExporter, telemetry: Telemetry
) -> None:
    def on_progress(progress: Progress) -> None:
        if progress.audio_s > 20:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        World(telemetry=telemetry).transcriber.transcribe(talk, ONE_BY_ONE, model="fake", on_progress=on_progress)
    [work] = of(exporter, "ct2_transcribe")
    assert work.status.description == "ZeroDivisionError"
