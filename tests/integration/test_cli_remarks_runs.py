"""What the status line says of a result: true, on one line, the most important first."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.cli.remarks import status
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.format import render
from autorag_whisper.testing import speech_samples, write_speech
from run_world import NO_CARD, World

if TYPE_CHECKING:
    from pathlib import Path


def test_a_device_that_was_asked_for_and_is_not_there_is_in_the_result_and_in_the_line(tmp_path: Path) -> None:
    world = World(replace(NO_CARD, problem="no driver"))
    source = write_speech(tmp_path / "a.wav", speech_samples(3))
    model = world.transcriber.model("fake", "cuda")
    transcript = world.transcriber.transcribe(source, TranscribeOptions(language="en"), model=model)
    assert "on the CPU instead of cuda: no CUDA: no driver" in status("a.wav", transcript)
    notes = json.loads(render(transcript, "json"))["notes"]
    assert {note["kind"] for note in notes} == {"device_not_used"}
    assert not world.transcriber.transcribe(source, TranscribeOptions(language="en"), model="fake").notes
