"""A checkpoint that another run made, in which the file had another number."""

from __future__ import annotations

import numpy as np

from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
from autorag_whisper.transcriber.checkpoint import Checkpoint

SAMPLES = np.ones(1600, np.float32)
CHUNK = SpeechChunk(3, 0, SAMPLES, (SpeechSpan(0, 1600),))


def test_its_result_is_of_the_file_of_the_run_that_goes_on_as_what_is_asked_about_it_later_names_that() -> None:
    checkpoint = Checkpoint.of(ChunkResult(ChunkTask(0, CHUNK, "en"), "en", "text"), "en", 1.0)
    options = TranscribeOptions(language="en")
    result = checkpoint.result_for(7, CHUNK, options)
    assert result is not None
    assert (result.task.file, result.task.options, result.text) == (7, options, "text")
    assert result.task.chunk.samples is SAMPLES
    assert checkpoint.result_for(7, SpeechChunk(3, 0, SAMPLES[:-1], CHUNK.speech), options) is None
