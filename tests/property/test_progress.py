"""Progress means recognised audio: it never runs back, never counts speech that waits, and ends at the duration."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.chunking import ChunkingRules
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import EngineError
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
from autorag_whisper.testing import FakeVoiceActivity, speech_samples, write_speech
from autorag_whisper.transcriber.assembly import Assembly
from autorag_whisper.transcriber.file import RunFile
from autorag_whisper.transcriber.reading import Reader
from examples import examples
from run_world import World

if TYPE_CHECKING:
    from autorag_whisper.domain.audio import Samples, SpeechChunk
    from autorag_whisper.transcriber import Progress

ENGLISH = TranscribeOptions(language="en")
LOUD = 0.05

PARTS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from([0.0, 0.3, 1.0, 2.5, 6.0, 20.0, 45.0])), min_size=1, max_size=5
)
"""Beeps in a row, and the silence behind them in seconds."""


def sound(parts: list[tuple[int, float]]) -> Samples:
    silent = np.zeros(8_000, np.float32)
    return np.concatenate([silent, *(speech_samples(n, lead_s=0.0, tail_s=tail_s) for n, tail_s in parts)])


def assert_lawful(told: list[Progress], duration_s: float) -> None:
    figures = [progress.audio_s for progress in told]
    assert figures == sorted(figures)
    assert all(progress.total_s is None or progress.total_s >= progress.audio_s for progress in told)
    assert (told[-1].audio_s, told[-1].total_s) == (duration_s, duration_s)


@examples(60)
@given(PARTS, st.data())
def test_in_whatever_order_chunks_are_read_and_come_back_only_what_is_recognised_counts(
    parts: list[tuple[int, float]], data: st.DataObject
) -> None:
    samples = sound(parts)
    loud = np.flatnonzero(np.abs(samples) > LOUD)
    with tempfile.TemporaryDirectory() as folder:
        source = MediaSource.from_path(write_speech(Path(folder) / "talk.wav", samples))
        file = RunFile(0, 0, source, Assembly("talk.wav", "transcribe"), "en")
        reader = Reader(source, ENGLISH, FakeVoiceActivity(), ChunkingRules(first_chunk_s=8.0))
        steps = reader.steps()
        file.take([], reader.so_far)
        waiting: list[SpeechChunk] = []
        done: list[SpeechChunk] = []
        told = []
        while not file.is_complete:
            if waiting and (file.decoded or data.draw(st.booleans(), "one comes back")):
                back = waiting.pop(data.draw(st.integers(0, len(waiting) - 1), "which"))
                list(file.assembly.add(ChunkResult(ChunkTask(0, back, "en"), "en")))
                done.append(back)
            else:
                for _ in range(data.draw(st.integers(1, 40), "blocks")):
                    chunks = next(steps, None)
                    file.take(chunks or [], reader.so_far, reader.decoder if chunks is None else None)
                    waiting += chunks or []
            told.append(file.progress)
            counted = loud[loud < round(told[-1].audio_s * 16_000)]
            for chunk in done:
                counted = counted[(counted < chunk.start) | (counted >= chunk.stop)]
            assert not len(counted), "speech counts that no chunk has given text for"
        reader.close()
    assert_lawful(told, len(samples) / 16_000)


@examples(15)
@given(st.lists(PARTS, min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 5))
def test_every_file_of_a_run_is_told_apart_and_its_progress_never_runs_back(
    files: list[list[tuple[int, float]]], batch_size: int, failing: int
) -> None:
    """Batches that fail are done again chunk by chunk: their chunks come back late. All files have the same name."""
    world = World()

    def fail(stage: str, number: int) -> None:
        if stage == "generate" and number == failing and world.faults["cpu"].rows > 1:
            raise EngineError("fake", "generate", "once")

    world.faults["cpu"].fail = fail
    told: dict[MediaSource, list[Progress]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        sources = []
        for number, parts in enumerate(files):
            (Path(folder) / str(number)).mkdir()
            sources.append(MediaSource.from_path(write_speech(Path(folder) / str(number) / "talk.wav", sound(parts))))
        options = TranscribeOptions(language="en", batch_size=batch_size)
        outcomes = list(
            world.transcriber.transcribe_many(
                sources, options, model="fake", on_progress=lambda progress: told[progress.source].append(progress)
            )
        )
    assert set(told) == set(sources)
    for outcome in outcomes:
        assert_lawful(told[outcome.source], outcome.result().duration_s)
