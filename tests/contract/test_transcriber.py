"""What `TranscriberProtocol` promises, kept in this process and in the worker's: both over the same fake engine."""

from __future__ import annotations

import inspect
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
import pytest

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import Cancelled, InvalidOption, MediaNotFound
from autorag_whisper.domain.media_errors import MediaAddress
from autorag_whisper.domain.notes import NoteKind
from autorag_whisper.domain.process_errors import TranscriberClosed
from autorag_whisper.domain.request import Task, TranscribeOptions
from autorag_whisper.testing import speech_samples, write_speech
from autorag_whisper.transcriber import CancelToken, FileDone, FileFailed, Transcriber, TranscriberProtocol
from autorag_whisper.transcriber.run_request import RunControl
from autorag_whisper.transcriber.supervised import SupervisedTranscriber
from autorag_whisper.worker.client import WorkerTranscriber
from autorag_whisper.worker.supervision import Limits
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.transcriber import Progress
    from autorag_whisper.transcriber.kept_chunks import Written

CHILD = Path(__file__).resolve().parents[1] / "worker_child.py"
WORDS = 60
"""Of `talk`."""
KINDS = ("in process", "worker")
ENGLISH = TranscribeOptions(language="en", batch_size=1)


def make(kind: str, folder: Path) -> TranscriberProtocol:
    if kind == "in process":
        return World().transcriber
    program = (sys.executable, str(CHILD), str(folder))
    return WorkerTranscriber(limits=Limits(idle_s=None), program=program)


@pytest.fixture(params=KINDS, scope="module")
def transcriber(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TranscriberProtocol]:
    """One for all tests: what one of them leaves behind must not disturb the next."""
    with make(request.param, tmp_path_factory.mktemp("orders")) as made:
        yield made


@pytest.fixture(scope="module")
def other() -> Iterator[TranscriberProtocol]:
    """Another one, whose handles are as good."""
    with World().transcriber as made:
        yield made


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six chunks of ten words."""
    parts = [speech_samples(10, tail_s=6.0)] * 6
    return write_speech(tmp_path_factory.mktemp("talk") / "talk.wav", np.concatenate(parts))


def test_both_have_the_methods_of_the_protocol_and_the_worker_all_of_the_others() -> None:
    """The worker "has the same methods", it was said: five were missing."""

    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(TranscriberProtocol) <= public(Transcriber) <= public(WorkerTranscriber)
    for name in sorted(public(TranscriberProtocol)):
        ours, its = (inspect.signature(getattr(kind, name)) for kind in (Transcriber, WorkerTranscriber))
        assert list(ours.parameters) == list(its.parameters), name


def test_a_stream_gives_segments_in_order_and_then_the_whole(transcriber: TranscriberProtocol, talk: Path) -> None:
    with transcriber.stream(talk, ENGLISH, model="fake") as stream:
        segments = list(stream)
        assert list(stream) == []
    transcript = stream.result()
    assert tuple(segments) == transcript.segments
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert transcript.text == transcriber.transcribe(talk, ENGLISH, model="fake").text
    assert (transcript.name, len(transcript.words)) == ("talk.wav", WORDS)


def test_a_language_that_is_not_spoken_is_told(transcriber: TranscriberProtocol, talk: Path) -> None:
    # The fake hears English in everything.
    options = TranscribeOptions(language="de", vad_min_silence_s=0.5)
    transcript = transcriber.transcribe(talk, options, model="fake")
    assert [note.kind for note in transcript.notes] == [NoteKind.OTHER_LANGUAGE]
    german, english = transcript.languages
    assert (german.language, english.language, german.heard_s, english.recognised_s) == ("de", "en", 0.0, 0.0)
    assert english.heard_s > 10
    found = transcriber.transcribe(talk, TranscribeOptions(vad_min_silence_s=0.5), model="fake")
    assert [share.language for share in found.languages] == ["en"]
    assert not found.notes


def test_a_result_may_be_asked_for_without_a_with(transcriber: TranscriberProtocol, talk: Path) -> None:
    stream = transcriber.stream(talk, ENGLISH, model="fake")
    first = next(stream)
    assert stream.result().segments[0] == first


def test_progress_is_told_in_the_thread_that_reads_and_ends_at_the_duration(
    transcriber: TranscriberProtocol, talk: Path
) -> None:
    told, threads = list[float](), set[int]()

    def on_progress(progress: Progress) -> None:
        told.append(progress.audio_s)
        threads.add(threading.get_ident())

    transcript = transcriber.transcribe(talk, ENGLISH, model="fake", on_progress=on_progress)
    assert threads == {threading.get_ident()}
    assert told == sorted(told)
    assert told[-1] == transcript.duration_s


def test_each_file_has_its_outcome_with_the_source_that_was_given(
    transcriber: TranscriberProtocol, tmp_path: Path
) -> None:
    paths = [write_speech(tmp_path / f"{n}.wav", speech_samples(n)) for n in (3, 5)]
    named = MediaSource("a name of its own", paths[1])
    found = {}
    for outcome in transcriber.transcribe_many([paths[0], named, tmp_path / "none.wav"], ENGLISH, model="fake"):
        match outcome:
            case FileDone(source, transcript):
                found[source.name] = len(transcript.words)
                assert transcript.name == source.name
                assert (source is named) == (source.name == named.name)
            case FileFailed(source, error):
                assert isinstance(error, MediaNotFound)
                found[source.name] = 0
            case never:
                assert_never(never)
    assert found == {"3.wav": 3, "a name of its own": 5, "none.wav": 0}


def test_errors_are_of_the_same_types(transcriber: TranscriberProtocol, tmp_path: Path, talk: Path) -> None:
    with pytest.raises(MediaNotFound, match=r"nothing\.wav"):
        transcriber.transcribe(tmp_path / "nothing.wav", ENGLISH, model="fake")
    with pytest.raises(InvalidOption, match="language"):
        transcriber.transcribe(talk, TranscribeOptions(language="fr"), model="fake")
    stream = transcriber.stream(tmp_path / "nothing.wav", ENGLISH, model="fake")
    for _ in range(2):
        with pytest.raises(MediaNotFound):
            stream.result()


def test_a_handle_says_where_its_model_would_run(transcriber: TranscriberProtocol) -> None:
    handle = transcriber.model("fake", "cpu")
    assert handle is transcriber.model("fake", " CPU")
    assert transcriber.model("fake", 3).device == "cpu"  # type: ignore[arg-type]  # what nobody understands is the CPU
    assert handle is not transcriber.model("fake")
    assert (handle.size, handle.device, handle.compute_type) == ("fake", "cpu", "int8")
    assert transcriber.resolved_device() == "cpu"


class Own(str, Enum):  # noqa: UP042 - the kind whose members say another text than they are
    """Texts of a caller's own class, which no other process knows."""

    MODEL, LANGUAGE, HINT, PROMPT = "fake", "en", "cpu", "Names: Ann."


def test_what_is_asked_for_may_be_texts_of_a_class_of_the_callers_own(
    transcriber: TranscriberProtocol, talk: Path
) -> None:
    # Such a name of a model was sent to the worker process as it was: it could not be read there, and all jobs hung.
    options = TranscribeOptions(language=Own.LANGUAGE, initial_prompt=Own.PROMPT, hotwords=Own.PROMPT)
    transcript = transcriber.transcribe(talk, options, model=Own.MODEL)
    assert len(transcript.words) == WORDS
    handle = transcriber.model(Own.MODEL, Own.HINT)
    assert (type(handle.size), handle.size, handle.device_hint) == (str, "fake", "cpu")
    assert handle is transcriber.model("fake", "cpu")
    assert transcriber.transcribe(talk, options, model=handle).text == transcript.text


def test_a_handle_of_any_transcriber_is_taken(
    transcriber: TranscriberProtocol, other: TranscriberProtocol, talk: Path
) -> None:
    for handle in (transcriber.model("fake", "cpu"), other.model("fake"), other.model("fake", "cpu")):
        transcriber.load(handle)
        assert len(transcriber.transcribe(talk, ENGLISH, model=handle).words) == WORDS
        assert len(other.transcribe(talk, ENGLISH, model=handle).words) == WORDS
    transcriber.load("fake")


def test_a_path_is_that_of_the_folder_in_which_the_method_was_called(
    transcriber: TranscriberProtocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker process looked where it had been begun, and a stream where its caller had gone meanwhile."""
    for folder, count in (("here", 3), ("there", 5)):
        (tmp_path / folder).mkdir()
        write_speech(tmp_path / folder / "talk.wav", speech_samples(count))
    monkeypatch.chdir(tmp_path / "here")
    assert len(transcriber.transcribe("talk.wav", ENGLISH, model="fake").words) == 3
    stream = transcriber.stream(Path("talk.wav"), ENGLISH, model="fake")
    outcomes = transcriber.transcribe_many(["talk.wav"], ENGLISH, model="fake")
    monkeypatch.chdir(tmp_path / "there")
    assert len(stream.result().words) == 3
    assert [len(outcome.result().words) for outcome in outcomes] == [3]
    assert len(transcriber.transcribe("talk.wav", ENGLISH, model="fake").words) == 5


def test_closing_ends_the_work_and_says_cancelled_from_then_on(transcriber: TranscriberProtocol, talk: Path) -> None:
    with transcriber.stream(talk, ENGLISH, model="fake") as stream:
        next(stream)
    stream.close()
    with pytest.raises(Cancelled, match="cancelled"):
        stream.result()
    with pytest.raises(Cancelled):
        next(stream)
    assert len(transcriber.transcribe(talk, ENGLISH, model="fake").words) == WORDS


@pytest.mark.parametrize("by", ["token", "close", "parent"])
def test_another_thread_may_end_it(transcriber: TranscriberProtocol, talk: Path, by: str) -> None:
    of_all = CancelToken()
    token, begun = CancelToken(of_all), threading.Event()

    def on_progress(_progress: Progress) -> None:
        begun.set()
        cancelled.wait(60)

    cancelled = threading.Event()
    stream = transcriber.stream(talk, ENGLISH, model="fake", cancel=token, on_progress=on_progress)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(stream.result)
        begun.wait(60)
        {"token": token.cancel, "close": stream.close, "parent": of_all.cancel}[by]()
        cancelled.set()
        with pytest.raises(Cancelled):
            reading.result(60)
    if by != "close":
        with pytest.raises(Cancelled):
            list(transcriber.transcribe_many([talk], ENGLISH, model="fake", cancel=token))
        with pytest.raises(Cancelled):
            transcriber.transcribe(talk, ENGLISH, model="fake", cancel=token)
    assert len(transcriber.transcribe(talk, ENGLISH, model="fake").words) == WORDS


def test_what_its_callback_raises_ends_the_job_and_no_other(transcriber: TranscriberProtocol, talk: Path) -> None:
    def on_progress(progress: Progress) -> None:
        if progress.audio_s > 20:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        transcriber.transcribe(talk, ENGLISH, model="fake", on_progress=on_progress)
    assert len(transcriber.transcribe(talk, ENGLISH, model="fake").words) == WORDS


def test_it_may_be_shared_by_threads(transcriber: TranscriberProtocol, tmp_path: Path) -> None:
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(1 + n)) for n in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda file: transcriber.transcribe(file, ENGLISH, model="fake"), files))
    assert [(one.name, len(one.words)) for one in found] == [(f"{n}.wav", 1 + n) for n in range(8)]


# ------------------------------------------------------------ several callers at once


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each gives, begun together, each in a thread of its own."""
    ready = threading.Barrier(len(calls))

    def call(work: Callable[[], Any]) -> Any:
        ready.wait(60)
        return work()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(120) for future in [pool.submit(call, work) for work in calls]]


def test_callers_with_options_of_their_own_each_have_what_they_have_alone(
    transcriber: TranscriberProtocol, talk: Path
) -> None:
    options = [
        ENGLISH,
        TranscribeOptions(language="en"),
        TranscribeOptions(),
        TranscribeOptions(language="de", vad_min_silence_s=0.5),
        TranscribeOptions(language="en", clips=((5.0, 20.0),)),
        TranscribeOptions(language="en", vad=False),
        TranscribeOptions(code_switching=True),
        TranscribeOptions(language="en", task=Task.TRANSLATE),
    ]

    def alone(own: TranscribeOptions) -> Transcript:
        return transcriber.transcribe(talk, own, model="fake")

    expected = [alone(own) for own in options]
    assert len({transcript.text for transcript in expected}) > 1
    found = at_once(*(partial(alone, own) for own in options))
    for one, other in zip(found, expected, strict=True):
        assert replace(one, engine_s=0.0) == replace(other, engine_s=0.0)


def test_a_caller_who_does_not_read_stops_no_other(transcriber: TranscriberProtocol, tmp_path: Path) -> None:
    """All in one thread: whoever waited for him would wait for ever."""
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(1 + n % 5)) for n in range(60)]
    slow = [transcriber.transcribe_many(files, ENGLISH, model="fake") for _ in range(2)]
    read = [[next(outcomes)] for outcomes in slow]
    streams = [transcriber.stream(file, ENGLISH, model="fake") for file in files[:12]]
    assert [next(stream).index for stream in streams] == [0] * 12
    assert len(transcriber.transcribe(files[4], ENGLISH, model="fake").words) == 5
    for outcomes, done in zip(slow, read, strict=True):
        words = {outcome.source.name: len(outcome.result().words) for outcome in [*done, *outcomes]}
        assert words == {f"{n}.wav": 1 + n % 5 for n in range(60)}
    assert [len(stream.result().words) for stream in streams] == [1 + n % 5 for n in range(12)]


def test_a_caller_who_ends_his_job_ends_no_other(transcriber: TranscriberProtocol, talk: Path) -> None:
    token, is_on = CancelToken(), threading.Event()

    def ended() -> None:
        stream = transcriber.stream(talk, ENGLISH, model="fake", cancel=token, on_progress=lambda _: is_on.wait(60))
        with pytest.raises(Cancelled):
            stream.result()

    def closed() -> None:
        with transcriber.stream(talk, ENGLISH, model="fake") as stream:
            next(stream)

    def cancels() -> None:
        token.cancel()
        is_on.set()

    def whole() -> int:
        return len(transcriber.transcribe(talk, ENGLISH, model="fake").words)

    *_, first, second = at_once(ended, closed, cancels, whole, whole)
    assert first == second == WORDS


def test_a_file_that_fails_and_a_callback_that_raises_concern_their_own_caller_alone(
    transcriber: TranscriberProtocol, talk: Path, tmp_path: Path
) -> None:
    def fails() -> None:
        with pytest.raises(MediaNotFound):
            transcriber.transcribe(tmp_path / "nothing.wav", ENGLISH, model="fake")

    def some_fail() -> list[bool]:
        media = [talk, tmp_path / "nothing.wav", talk]
        outcomes = transcriber.transcribe_many(media, ENGLISH, model="fake")
        return sorted(outcome.error is None for outcome in outcomes)

    def raises() -> None:
        with pytest.raises(ZeroDivisionError):
            transcriber.transcribe(talk, ENGLISH, model="fake", on_progress=lambda _: 1 // 0)

    def whole() -> int:
        return len(transcriber.transcribe(talk, ENGLISH, model="fake").words)

    _, some, _, words = at_once(fails, some_fail, raises, whole)
    assert some == [False, True, True]
    assert words == WORDS


def test_progress_names_its_source_and_two_files_of_one_name_are_two(
    transcriber: TranscriberProtocol, tmp_path: Path
) -> None:
    """Each overwrote the other's figures."""
    paths = []
    for folder, count in (("one", 3), ("two", 12)):
        (tmp_path / folder).mkdir()
        paths.append(write_speech(tmp_path / folder / "talk.wav", speech_samples(count)))
    told: dict[Path | None, list[float]] = {}

    def on_progress(progress: Progress) -> None:
        assert progress.name == "talk.wav"
        told.setdefault(progress.source.path, []).append(progress.audio_s)

    outcomes = list(transcriber.transcribe_many(paths, ENGLISH, model="fake", on_progress=on_progress))
    assert set(told) == set(paths)
    for outcome in outcomes:
        figures = told[outcome.source.path]
        assert figures == sorted(figures)
        assert figures[-1] == outcome.result().duration_s


@pytest.mark.parametrize("kind", KINDS)
def test_it_closes_with_a_stream_left_open(kind: str, tmp_path: Path, talk: Path) -> None:
    transcriber = make(kind, tmp_path)
    stream = transcriber.stream(talk, ENGLISH, model="fake")
    next(stream)
    stream.close()
    transcriber.close()
    with pytest.raises(Cancelled):
        stream.result()


@pytest.mark.parametrize("model", [None, 3, b"base", object()], ids=["none", "number", "bytes", "object"])
def test_what_names_no_model_is_said_at_the_call(transcriber: TranscriberProtocol, talk: Path, model: Any) -> None:
    with pytest.raises(InvalidOption, match="model cannot be"):
        transcriber.transcribe(talk, ENGLISH, model=model)


@pytest.mark.parametrize("options", [{"language": "en"}, "en", 5], ids=repr)
def test_what_is_no_options_is_said_at_the_call(transcriber: TranscriberProtocol, talk: Path, options: Any) -> None:
    with pytest.raises(InvalidOption, match="options cannot be"):
        transcriber.transcribe(talk, options, model="fake")


@pytest.mark.parametrize("call", ["transcribe", "stream", "transcribe_many"])
@pytest.mark.parametrize(
    ("argument", "value"), [("cancel", threading.Event()), ("cancel", True), ("on_progress", 5), ("on_progress", "yes")]
)
def test_what_cannot_cancel_or_be_called_is_said_at_the_call(
    transcriber: TranscriberProtocol, talk: Path, call: str, argument: str, value: Any
) -> None:
    """An AttributeError or a TypeError came from inside, when the job was on."""
    media = [talk] if call == "transcribe_many" else talk
    with pytest.raises(InvalidOption, match=f"{argument} cannot be"):
        getattr(transcriber, call)(media, ENGLISH, model="fake", **{argument: value})


def test_an_address_is_no_file_and_the_error_says_what_to_do(transcriber: TranscriberProtocol) -> None:
    for address in ("https://example.org/a/talk.mp3", Path("https://example.org") / "talk.mp3", "rtsp://camera"):
        with pytest.raises(MediaAddress, match=r".*//?[a-z/.3]+: an address, and no file.*fetch it first"):
            transcriber.transcribe(address, ENGLISH, model="fake")


@pytest.mark.parametrize("kind", ["text", "path", "bytes", "file", "samples", "number", "nothing"])
def test_one_medium_where_a_list_is_wanted_is_said_and_never_taken_apart(
    transcriber: TranscriberProtocol, talk: Path, kind: str
) -> None:
    """Python iterates over characters, bytes, lines and samples: each would be a file that fails."""
    with talk.open("rb") as file:
        media: dict[str, Any] = {
            "text": str(talk), "path": talk, "bytes": b"RIFF", "file": file, "samples": np.zeros(9, np.float32),
            "number": 5, "nothing": None,
        }  # fmt: skip
        with pytest.raises(InvalidOption, match="sources cannot be"):
            transcriber.transcribe_many(media[kind], ENGLISH, model="fake")


def test_an_array_of_paths_and_rows_of_samples_are_lists(transcriber: TranscriberProtocol, talk: Path) -> None:
    paths: Any = np.array([str(talk)])
    assert [type(outcome) for outcome in transcriber.transcribe_many(paths, ENGLISH, model="fake")] == [FileDone]
    rows: Any = np.zeros((2, 16_000), np.float32)
    assert [type(outcome) for outcome in transcriber.transcribe_many(rows, ENGLISH, model="fake")] == [FileDone] * 2


class KeptInMemory:
    """A `KeptChunks`."""

    def __init__(self, done: Mapping[int, Written] = MappingProxyType({})) -> None:
        self._done = done
        self.added: dict[int, Written] = {}

    def done(self) -> Mapping[int, Written]:
        return self._done

    def add(self, chunk: int, written: Written) -> None:
        self.added[chunk] = written


def test_chunks_that_were_kept_and_cannot_be_read_any_more_are_done_again(
    transcriber: TranscriberProtocol, talk: Path
) -> None:
    # In the worker process a header that is none ended the job: it read what was kept by code of its own.
    assert isinstance(transcriber, SupervisedTranscriber | WorkerTranscriber)
    kept = KeptInMemory()
    with transcriber.resume(talk, kept, ENGLISH, model="fake", control=RunControl(CancelToken())) as stream:
        text = stream.result().text
    assert len(kept.added) > 3
    (header, line), *_ = kept.added.values()
    damaged = {0: (b"no header", line), 1: (header, b"no checkpoint"), 2: (b'{"format": 1}', line)}
    again = KeptInMemory(kept.added | damaged)
    with transcriber.resume(talk, again, ENGLISH, model="fake", control=RunControl(CancelToken())) as stream:
        assert stream.result().text == text
    assert set(again.added) == set(damaged)


def test_nothing_is_told_of_a_file_behind_its_outcome_also_where_all_of_it_was_done_before(
    transcriber: TranscriberProtocol, talk: Path
) -> None:
    # A folder's run that went on counted the audio of such a file twice.
    assert isinstance(transcriber, SupervisedTranscriber | WorkerTranscriber)
    kept = KeptInMemory()
    told: list[float] = []
    for done in (kept, None):
        told.clear()
        again = done or KeptInMemory(kept.added)
        control = RunControl(CancelToken(), lambda progress: told.append(progress.audio_s))
        with transcriber.resume(talk, again, ENGLISH, model="fake", control=control) as stream:
            *_, last = stream._events  # what a stream does not read behind the outcome, too
            assert isinstance(last, FileDone)
            duration_s = last.transcript.duration_s
        assert told == sorted(told)
        assert told.count(duration_s) == 1
    assert not again.added


def test_a_closed_transcriber_says_that_it_is(talk: Path) -> None:
    with World().transcriber as closed:
        closed.transcribe(talk, ENGLISH, model="fake")
    with pytest.raises(TranscriberClosed, match="this transcriber was closed"):
        closed.transcribe(talk, ENGLISH, model="fake")
    with pytest.raises(TranscriberClosed):
        list(closed.transcribe_many([talk], ENGLISH, model="fake"))
