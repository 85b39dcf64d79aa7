"""Which chunks go through the engine together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.recognition.batching import MOST_PASSED_OVER, Batch, Pool
from autorag_whisper.recognition.windows import window_frames

if TYPE_CHECKING:
    from autorag_whisper.recognition.chunk_result import ChunkTask


def chunk(index: int, seconds: float) -> SpeechChunk:
    samples = round(seconds * SAMPLE_RATE_HZ)
    start = index * 30 * SAMPLE_RATE_HZ
    span = SpeechSpan(start, start + samples)
    return SpeechChunk(index=index, start=start, samples=np.zeros(samples, np.float32), speech=(span,))


def pool_of(*seconds: float, batch: Batch | None = None) -> Pool:
    pool = Pool(strict_window=False, batch=batch or Batch(4, stretches=True))
    pool.decide(0, "en")
    for n, duration_s in enumerate(seconds):
        pool.add(0, chunk(n, duration_s))
    return pool


def indices(tasks: list[ChunkTask]) -> list[int]:
    return [task.chunk.index for task in tasks]


@pytest.mark.parametrize(
    ("seconds", "frames"),
    [(0.5, 1000), (8, 1000), (8.1, 1250), (15, 1750), (18, 2000), (18.1, 2500), (28, 3000), (30, 3000)],
)
def test_a_window_holds_its_chunk_and_two_seconds_more(seconds: float, frames: int) -> None:
    assert window_frames(round(seconds * SAMPLE_RATE_HZ), strict=False) == frames
    assert window_frames(round(seconds * SAMPLE_RATE_HZ), strict=True) == 3000


def test_the_window_with_the_fullest_batch_goes_first() -> None:
    pool = pool_of(5, 27, 27, 27, 27)
    assert indices(pool.next_batch()) == [1, 2, 3, 4]


def test_short_windows_take_more_chunks_for_the_same_memory() -> None:
    assert [Batch(4, stretches=True).of(window) for window in (3000, 2000, 1000)] == [4, 6, 12]
    assert [Batch(4, stretches=False).of(window) for window in (3000, 2000, 1000)] == [4, 4, 4]


def test_a_batch_that_has_to_be_full_is_whole_or_none() -> None:
    pool = pool_of(27, 27, 27)
    assert pool.next_batch(full=True) == []
    pool.add(0, chunk(3, 27))
    assert indices(pool.next_batch(full=True)) == [0, 1, 2, 3]


def test_the_last_chunks_are_divided_among_the_workers() -> None:
    assert indices(pool_of(27, 27, 27).next_batch(share=2)) == [0, 1]


def test_of_a_file_in_an_unknown_language_only_the_first_chunk_goes_and_once() -> None:
    pool = Pool(strict_window=False, batch=Batch(4, stretches=True))
    pool.add(0, chunk(0, 27))
    pool.add(0, chunk(1, 27))
    first = pool.next_batch()
    assert indices(first) == [0]
    pool.take(first)
    assert pool.next_batch() == []


@given(st.lists(st.sampled_from([3.0, 9.0, 12.0, 20.0, 27.0]), min_size=1, max_size=60))
def test_every_chunk_goes_once_and_none_is_passed_over_for_long(durations: list[float]) -> None:
    pool = pool_of(*durations)
    went: list[int] = []
    passed = 0
    while pool.waiting:
        oldest = pool.waiting[0].chunk.index
        batch = pool.next_batch()
        assert len({task.window(strict=False) for task in batch}) == 1
        assert indices(batch) == sorted(indices(batch))
        pool.take(batch)
        went += indices(batch)
        passed = 0 if oldest in indices(batch) else passed + 1
        assert passed <= MOST_PASSED_OVER
    assert sorted(went) == list(range(len(durations)))
