"""Which chunks go through the engine together."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.domain.request import Effort, Quality, TranscribeOptions
from autorag_whisper.recognition.batching import MOST_PASSED_OVER, Batch, Pool, Turn, in_turn, next_batch
from autorag_whisper.recognition.chunk_result import AskLanguage, ChunkTask
from autorag_whisper.recognition.profile import BatchProfile, profile_of
from autorag_whisper.recognition.shares import LEAST_SHARE, MOST_WAITED, Shares
from autorag_whisper.recognition.windows import features_of, window_frames, windows_of
from autorag_whisper.testing import FakeWhisper


def chunk(index: int, seconds: float) -> SpeechChunk:
    samples = round(seconds * SAMPLE_RATE_HZ)
    start = index * 30 * SAMPLE_RATE_HZ
    span = SpeechSpan(start, start + samples)
    return SpeechChunk(index=index, start=start, samples=np.zeros(samples, np.float32), speech=(span,))


def task_of(index: int, seconds: float, file: int = 0, **options: Any) -> ChunkTask:
    return ChunkTask(file, chunk(index, seconds), None, options=TranscribeOptions(**options))


def pool_of(*seconds: float) -> Pool:
    pool = Pool(strict_window=False, size=4)
    pool.decide(0, "en")
    for n, duration_s in enumerate(seconds):
        pool.add(task_of(n, duration_s))
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
    assert indices(next_batch([Turn(pool)])) == [1, 2, 3, 4]


def test_short_windows_take_more_chunks_for_the_same_memory() -> None:
    assert [Batch(4, stretches=True).of(window) for window in (3000, 2000, 1000)] == [4, 6, 12]
    assert [Batch(4, stretches=False).of(window) for window in (3000, 2000, 1000)] == [4, 4, 4]


@pytest.mark.parametrize("mixes", [False, True])
def test_each_chunk_of_a_batch_is_seen_whole_in_its_own_window(mixes: bool) -> None:
    spec = replace(FakeWhisper().spec, mixes_windows=mixes)
    seconds = [3.0, 29.0, 12.0] if mixes else [27.5, 29.0, 28.0]
    chunks = [chunk(n, duration) for n, duration in enumerate(seconds)]
    frames = [window_frames(len(one.samples), strict=False) for one in chunks]
    found = windows_of(chunks, frames, spec)
    assert [window.shape for window in found] == [(spec.n_mels, count) for count in frames]
    for window, one, count in zip(found, chunks, frames, strict=True):
        np.testing.assert_array_equal(window, features_of([one], spec.n_mels, count)[0])


def test_where_windows_are_mixed_the_oldest_chunks_go_together_for_the_same_memory() -> None:
    seconds = [29.0, 3.0, 15.0, 29.0, 3.0, 3.0, 29.0, 29.0]
    mixed, alike = pool_of(*seconds), pool_of(*seconds)
    mixed.strict_window = mixed.mixes_windows = True
    together = next_batch([Turn(mixed)])
    assert indices(together) == list(range(len(together)))
    assert len(together) > mixed.size, "their windows are shorter than the full one"
    assert sum(task.window(strict=False) for task in together) <= mixed.size * 3000
    assert len({task.window(strict=False) for task in next_batch([Turn(alike)])}) == 1


@given(st.lists(st.floats(0.5, 29), min_size=1, max_size=60))
def test_where_windows_are_mixed_every_chunk_goes_once_and_memory_is_bounded(durations: list[float]) -> None:
    pool, gone = pool_of(*durations), list[int]()
    pool.strict_window = pool.mixes_windows = True
    while batch := next_batch([Turn(pool)]):
        assert sum(task.window(strict=False) for task in batch) <= 3000 * pool.size
        pool.take(batch)
        gone += indices(batch)
    assert gone == list(range(len(durations)))


def test_a_batch_that_has_to_be_full_is_whole_or_none() -> None:
    pool = pool_of(27, 27, 27)
    assert next_batch([Turn(pool)], full=True) == []
    pool.add(task_of(3, 27))
    assert indices(next_batch([Turn(pool)], full=True)) == [0, 1, 2, 3]


def test_the_last_chunks_are_divided_among_the_workers() -> None:
    assert indices(next_batch([Turn(pool_of(27, 27, 27))], share=2)) == [0, 1]


def test_of_a_file_in_an_unknown_language_only_the_first_chunk_goes_and_once() -> None:
    pool = Pool(strict_window=False, size=4)
    pool.add(task_of(0, 27))
    pool.add(task_of(1, 27))
    first = next_batch([Turn(pool)])
    assert indices(first) == [0]
    pool.take(first)
    assert next_batch([Turn(pool)]) == []


@given(st.lists(st.sampled_from([3.0, 9.0, 12.0, 20.0, 27.0]), min_size=1, max_size=60))
def test_every_chunk_goes_once_and_none_is_passed_over_for_long(durations: list[float]) -> None:
    pool = pool_of(*durations)
    went: list[int] = []
    passed = 0
    while pool.waiting:
        oldest = pool.waiting[0].chunk.index
        batch = next_batch([Turn(pool)])
        assert len({task.window(strict=False) for task in batch}) == 1
        assert indices(batch) == sorted(indices(batch))
        pool.take(batch)
        went += indices(batch)
        passed = 0 if oldest in indices(batch) else passed + 1
        assert passed <= MOST_PASSED_OVER
    assert sorted(went) == list(range(len(durations)))


OTHER: dict[str, Any] = {
    "task": "translate", "quality": "best", "beam_size": 2, "temperatures": (0.5,), "patience": 2.0,
    "length_penalty": 0.5, "repetition_penalty": 1.5, "no_repeat_ngram_size": 3, "suppress_tokens": (7,),
    "suppress_blank": False, "max_new_tokens": 9, "initial_prompt": "said", "hotwords": "names", "prefix": "So",
    "code_switching": True, "aligner": "tokens", "batch_size": 2, "given_text": "Mary had",
}  # fmt: skip
"""Another value for each option that the engine's calls have in common."""
OWN: dict[str, Any] = {
    "language": "de", "allowed_languages": ("en", "de"), "script": "Hans", "audio_stream": 1,
    "compression_ratio_threshold": 3.0, "logprob_threshold": -2.0, "no_speech_threshold": 0.5, "vad": False,
    "vad_threshold": 0.4, "vad_min_speech_s": 1.0, "vad_min_silence_s": 1.0, "vad_pad_s": 1.0, "clips": "0-5",
    "max_duration_s": 60.0,
}  # fmt: skip
"""Another value for each option that every file has for itself."""


def test_of_every_option_it_is_known_whether_files_that_differ_in_it_may_share_a_batch() -> None:
    """A new option belongs into one of the two tables, and where it is an argument of a call into `BatchProfile`."""
    assert {item.name for item in fields(TranscribeOptions)} == OTHER.keys() | OWN.keys()


@pytest.mark.parametrize("option", sorted(OTHER))
def test_files_that_differ_in_what_a_call_takes_are_never_in_one_batch(option: str) -> None:
    pool = Pool(strict_window=False, size=4)
    for file, options in enumerate(({}, {option: OTHER[option]}, {})):
        pool.decide(file, "en")
        pool.add(task_of(0, 5, file, **options))
    batches = []
    while batch := next_batch([Turn(pool)]):
        pool.take(batch)
        batches.append({task.file for task in batch})
    assert sorted(batches, key=min) == [{0, 2}, {1}]


def test_files_that_differ_in_what_is_their_own_share_a_batch() -> None:
    pool = Pool(strict_window=False, size=8)
    for file, options in enumerate([{}, *({option: value} for option, value in OWN.items())]):
        pool.decide(file, "en")
        pool.add(task_of(0, 5, file, **options))
    assert len(next_batch([Turn(pool)])) == 1 + len(OWN)


def test_each_profile_has_batches_of_its_own_size_and_window() -> None:
    pool = Pool(strict_window=False, size=4)
    pool.decide(0, "en")
    for n in range(3):
        pool.add(task_of(n, 5, batch_size=2))
    assert indices(next_batch([Turn(pool)])) == [0, 1]
    assert task_of(0, 5, quality=Quality.BEST).window(strict=False) == 3000


def test_a_quality_and_the_beam_that_it_stands_for_are_one_profile() -> None:
    found = profile_of(TranscribeOptions(quality="balanced", beam_size=1))
    assert isinstance(found, BatchProfile)
    assert found == profile_of(TranscribeOptions(quality="fast"))
    assert found.effort == Effort(beam_size=1, non_english_beam_size=1)


@given(st.lists(st.sampled_from(AskLanguage), min_size=1, max_size=6), st.sampled_from(["en", "de", None]))
def test_a_chunk_whose_language_is_settled_goes_in_that_one_whatever_its_files_is(
    asks: list[AskLanguage], decided: str | None
) -> None:
    pool = Pool(strict_window=False, size=9)
    if decided:
        pool.decide(0, decided)
    pool.put_back([replace(task_of(n, 9), language="ja", ask=ask) for n, ask in enumerate(asks)])
    going = {task.chunk.index: task for task in pool.eligible()}
    settled = {n for n, ask in enumerate(asks) if ask is AskLanguage.NOTHING}
    assert settled <= going.keys()
    assert all(task.language == ("ja" if n in settled else decided) for n, task in going.items())
    assert all(task.ask is AskLanguage.IF_SURE for n, task in going.items() if n not in settled)


# ------------------------------------------------------------ several runs


def of_run(run: int, *seconds: float, **options: Any) -> Pool:
    """The chunks of a file of its own."""
    pool = Pool(strict_window=False, size=4)
    pool.decide(run, "en")
    for n, duration_s in enumerate(seconds):
        pool.add(task_of(n, duration_s, run, **options))
    return pool


def places(tasks: list[ChunkTask]) -> list[tuple[int, int]]:
    return [(task.file, task.chunk.index) for task in tasks]


def test_runs_have_equal_shares_of_a_batch_each_oldest_first() -> None:
    turns = [Turn(of_run(0, 27, 27, 27, 27)), Turn(of_run(1, 27, 27)), Turn(of_run(2, 27))]
    assert places(next_batch(turns)) == [(0, 0), (1, 0), (2, 0), (0, 1)]


def test_who_has_audio_in_flight_gets_less_of_the_next_batch() -> None:
    turns = in_turn([Turn(of_run(0, *[27] * 4), in_flight_s=60.0), Turn(of_run(1, *[27] * 4))])
    assert places(next_batch(turns)) == [(1, 0), (1, 1), (1, 2), (0, 0)]


def test_a_lower_priority_has_the_room_that_is_left() -> None:
    turns = in_turn([Turn(of_run(0, *[27] * 4)), Turn(of_run(1, 27, 27), priority=1, in_flight_s=90.0)])
    assert places(next_batch(turns)) == [(1, 0), (1, 1), (0, 0), (0, 1)]


def test_of_different_profiles_and_windows_only_the_first_ones_goes() -> None:
    turns = [Turn(of_run(0, 27)), Turn(of_run(1, 27, beam_size=2)), Turn(of_run(2, 5)), Turn(of_run(3, 27))]
    assert places(next_batch(turns)) == [(0, 0), (3, 0)]


def test_others_chunks_fill_a_batch_that_has_to_be_full() -> None:
    turns = [Turn(of_run(0, 27, 27)), Turn(of_run(1, 27, 27))]
    assert next_batch(turns[:1], full=True) == []
    assert len(next_batch(turns, full=True)) == 4


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.sampled_from([3.0, 9.0, 27.0]), max_size=12)), max_size=6))
def test_every_chunk_of_every_run_goes_once_and_no_run_waits_for_ever(given: list[tuple[int, list[float]]]) -> None:
    runs = {run: (priority, of_run(run, *seconds)) for run, (priority, seconds) in enumerate(given)}
    waited, went, shares = dict.fromkeys(runs, 0), list[tuple[int, int]](), Shares()
    levels = {priority for priority, _ in runs.values()}
    while able := [run for run, (_, pool) in runs.items() if pool.waiting]:
        waiting = {runs[run][0] for run in able}
        first = shares.first(waiting)
        turns = in_turn([Turn(runs[run][1], runs[run][0], waited=waited[run]) for run in able], first)
        assert turns[0].priority == first
        batch = next_batch(turns)
        assert batch, "somebody has chunks"
        assert len({task.window(strict=False) for task in batch}) == 1
        for run, (_, pool) in runs.items():
            own = [task for task in batch if task.file == run]
            assert own == sorted(own, key=lambda task: task.chunk.index)
            waited[run] = 0 if own or not pool.waiting else waited[run] + 1
            if own:
                pool.take(own)
            assert waited[run] <= (MOST_WAITED + len(levels)) * len(runs)
        shares = shares.after(
            first, window_s(batch, {run: priority for run, (priority, _) in runs.items()}), waiting, levels
        )
        went += places(batch)
    expected = [(run, n) for run, (_, seconds) in enumerate(given) for n in range(len(seconds))]
    assert sorted(went) == expected


def window_s(batch: list[ChunkTask], priorities: dict[int, int]) -> dict[int, float]:
    """What a batch takes for each priority; a file is a run here."""
    found: dict[int, float] = {}
    for task in batch:
        priority = priorities[task.file]
        found[priority] = found.get(priority, 0.0) + task.window(strict=False) / 100
    return found


@pytest.mark.parametrize(("least", "turn"), [(LEAST_SHARE, 2), (0.0, MOST_WAITED + 1)])
def test_a_run_of_low_priority_has_its_turn_beside_any_number_of_others(least: float, turn: int) -> None:
    low, batches, shares = of_run(0, 27), 0, Shares(least)
    while low.waiting:
        first = shares.first({0, 5})
        turns = in_turn([Turn(of_run(1, *[27] * 8), priority=5), Turn(low, waited=batches)], first)
        batch = next_batch(turns)
        shares = shares.after(first, window_s(batch, {0: 0, 1: 5}), {0, 5}, {0, 5})
        low.take([task for task in batch if task.file == 0])
        batches += 1
    assert batches == turn


def test_any_number_of_runs_of_low_priority_leaves_the_higher_one_its_part() -> None:
    """Each that had waited long went before all others: a hundred of them had the engine for themselves."""
    low, went, shares = [of_run(n, 27, beam_size=n + 6) for n in range(40)], list[int](), Shares(0.25)
    waited = [0] * len(low)
    while any(pool.waiting for pool in low):
        first = shares.first({0, 1})
        turns = [Turn(pool, waited=waited[n]) for n, pool in enumerate(low) if pool.waiting]
        batch = next_batch(in_turn([*turns, Turn(of_run(99, 27), priority=1)], first))
        priorities = dict.fromkeys(range(40), 0) | {99: 1}
        shares = shares.after(first, window_s(batch, priorities), {0, 1}, {0, 1})
        for n, pool in enumerate(low):
            own = [task for task in batch if task.file == n]
            pool.take(own)
            waited[n] = 0 if own else waited[n] + 1
        went.append(first)
    assert went.count(0) == len(low)
    assert all(sum(went[n : n + 4]) == 3 for n in range(2, len(went) - 4)), "three of four batches are the higher one's"
