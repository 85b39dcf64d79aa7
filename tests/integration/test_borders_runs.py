"""Where one chunk ends and the next begins no sentence is torn, and nothing but marks and case changes."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.device import FailureCause
from autorag_whisper.domain.errors import DeviceError, EngineError
from autorag_whisper.domain.request import Quality, Task, TranscribeOptions
from autorag_whisper.domain.transcript import Segment, Transcript
from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.recognition.border_hearing import BORDER_FRAMES
from autorag_whisper.testing import speech_samples, write_speech
from autorag_whisper.transcriber.cancellation import CancelToken
from autorag_whisper.transcriber.checkpoint import Checkpoint, Supervised
from autorag_whisper.transcriber.checkpoint_format import dumps, loads
from autorag_whisper.transcriber.run_request import RunControl
from run_world import CARD, World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


def and_so_on(_row: object) -> Hypothesis:
    return Hypothesis(tuple(map(ord, " and so On.")), -0.2, 0.01, cap_hit=False)


def test_a_whole_run_joins_its_chunks_and_a_stream_gives_what_the_transcript_has(tmp_path: Path) -> None:
    world = World(script=and_so_on)
    path = write_speech(tmp_path / "talk.wav", speech_samples(120))
    with world.transcriber.stream(path, TranscribeOptions(language="en"), model="fake") as stream:
        told = list(stream)
        transcript = stream.result()
    assert tuple(told) == transcript.segments
    assert len(told) > 3
    assert transcript.text == "and so On, " * (len(told) - 1) + "and so On."


def test_of_a_file_that_fails_the_segment_that_waits_is_told(tmp_path: Path) -> None:
    world = World(CARD, script=and_so_on)  # a card has one worker: one chunk after the other

    def fail(stage: str, number: int) -> None:
        if stage == "generate" and number >= 2:
            raise EngineError("fake", stage, "out of order")

    world.faults["cuda"].fail = fail
    path = write_speech(tmp_path / "talk.wav", speech_samples(120))
    told: list[Segment] = []
    stream = world.transcriber.stream(path, TranscribeOptions(language="en", batch_size=1), model="fake")
    with stream, pytest.raises(EngineError):
        told.extend(stream)
    assert [segment.text for segment in told] == ["and so On."]


def across(row: NDArray[np.float32]) -> Hypothesis:
    """Ends everywhere; across a border none."""
    text = ", so on" if row.shape[1] == BORDER_FRAMES else " So it goes On."
    return Hypothesis(tuple(map(ord, text)), -0.2, 0.01, cap_hit=False)


def joined_by(mark: str, transcript: Transcript) -> str:
    """What the chunks of `across` make, with `mark` between them."""
    return f"{mark}so it goes On".join(["So it goes On", *[""] * (len(transcript.segments) - 1)]) + "."


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Several chunks without a pause as between sentences."""
    return write_speech(tmp_path / "talk.wav", speech_samples(120))


@pytest.mark.parametrize("batch_size", [1, None])
def test_borders_that_only_the_sound_can_tell_are_heard_before_anything_behind_them_leaves(
    talk: Path, batch_size: int | None
) -> None:
    world = World(script=across)
    options = TranscribeOptions(language="en", batch_size=batch_size)
    with world.transcriber.stream(talk, options, model="fake") as stream:
        told = list(stream)
        transcript = stream.result()
    assert len(told) > 3
    assert transcript.text == joined_by(", ", transcript)
    assert tuple(told) == transcript.segments
    prefixes = [bytes(one.prefix).decode() for one in world.fakes[0].decodings if one.prefix]
    assert len(prefixes) == len(told) - 1
    assert all(" So it goes On".endswith(prefix) for prefix in prefixes), "the left side's words are given"


@pytest.mark.parametrize(
    "options",
    [TranscribeOptions(language="en", quality=Quality.FAST), TranscribeOptions(language="de", task=Task.TRANSLATE)],
)
def test_fast_and_translations_hear_no_border_again(talk: Path, options: TranscribeOptions) -> None:
    world = World(script=across)
    transcript = world.transcriber.transcribe(talk, options, model="fake")
    assert transcript.text == joined_by(". ", transcript).replace(" so", " So")


def test_a_border_that_the_engine_fails_at_stays_as_it_was(talk: Path, caplog: pytest.LogCaptureFixture) -> None:
    def script(row: NDArray[np.float32]) -> Hypothesis:
        if row.shape[1] == BORDER_FRAMES:
            raise EngineError("fake", "generate", "out of order")
        return across(row)

    transcript = World(script=script).transcriber.transcribe(talk, TranscribeOptions(language="en"), model="fake")
    assert transcript.text == joined_by(". ", transcript).replace(" so", " So")
    assert "could not be heard again" in caplog.text


def test_a_border_at_which_a_card_dies_is_heard_on_the_cpu(talk: Path) -> None:
    died = Event()

    def script(row: NDArray[np.float32]) -> Hypothesis:
        if row.shape[1] == BORDER_FRAMES and not died.is_set():
            died.set()
            raise DeviceError("cuda", FailureCause.STICKY, "generate: CUDA failed with error something")
        return across(row)

    transcript = World(CARD, script=script).transcriber.transcribe(talk, TranscribeOptions(language="en"), model="fake")
    assert died.is_set()
    assert transcript.text == joined_by(", ", transcript)
    assert [step.to_device for step in transcript.device_fallbacks] == ["cpu"]


class Kept:
    """Keeps what an earlier run has done, as a checkpoint does: without samples."""

    def __init__(self, done: Mapping[int, Checkpoint]) -> None:
        self.kept, self.noted = done, dict[int, Checkpoint]()

    def done(self, file: int) -> Mapping[int, Checkpoint]:
        return self.kept if file == 0 else {}

    def add(self, file: int, checkpoint: Checkpoint) -> None:
        assert file == 0
        self.noted[checkpoint.result.task.chunk.index] = loads(dumps(checkpoint))


def run_with(talk: Path, done: Mapping[int, Checkpoint]) -> tuple[list[Segment], Kept]:
    """Segments of a run that goes on behind chunks that are done, and what it has noted."""
    book = Kept(done)
    events = World(script=across).transcriber.events(
        [MediaSource.from_path(talk)],
        TranscribeOptions(language="en"),
        "fake",
        RunControl(CancelToken(), supervised=Supervised(book, linger=lambda wait: wait())),
    )
    return [event for event in events if isinstance(event, Segment)], book


def test_a_run_that_goes_on_behind_any_of_its_chunks_joins_them_in_the_same_way(talk: Path) -> None:
    undisturbed, book = run_with(talk, {})
    assert len(book.noted) > 3
    kept = list(book.noted)
    for done in ([], kept[:1], kept[:2], kept[1:], kept[::2], kept[1::2], kept):
        again, _ = run_with(talk, {index: book.noted[index] for index in done})
        assert again == undisturbed
