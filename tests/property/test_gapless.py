"""Without voice activity: chunks that leave nothing out. And clips: each is heard as a file of its own."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.audio.chunking import WINDOW, ChunkingRules, GaplessChunker
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.audio import SpeechChunk
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.testing import FakeVoiceActivity
from autorag_whisper.transcriber.reading import Reader
from examples import examples

RATE = 16_000
rules = st.builds(
    ChunkingRules,
    max_chunk_s=st.sampled_from([5.0, 15.0, 30.0]),
    first_chunk_s=st.sampled_from([None, 4.0]),
    min_speech_s=st.sampled_from([0.0, 0.1, 1.0]),
    min_silence_s=st.sampled_from([0.0, 0.16, 1.0]),
)


def sound(seconds: float, seed: int) -> np.ndarray:
    """float32[n]: beeps of a second at random loudness."""
    random = np.random.default_rng(seed)
    loudness = np.repeat(random.choice([0.0, 0.001, 0.02, 0.06, 0.5], round(seconds) + 1), RATE)
    count = round(seconds * RATE)
    return (loudness[:count] * np.sin(np.arange(count))).astype(np.float32)


def gapless(samples: np.ndarray, given_rules: ChunkingRules, step: int) -> list[SpeechChunk]:
    chunker, voice, chunks = GaplessChunker(given_rules), FakeVoiceActivity().stream(), list[SpeechChunk]()
    for at in range(0, len(samples), step):
        block = samples[at : at + step]
        chunks += chunker.push(block, voice.push(block))
    return [*chunks, *chunker.push(samples[:0], voice.finish()), *chunker.finish()]


@examples(40)
@given(rules, st.floats(0.01, 130), st.integers(0, 99), st.integers(100, 60_000))
def test_chunks_without_voice_activity_are_all_of_the_sound_once(
    given_rules: ChunkingRules, seconds: float, seed: int, step: int
) -> None:
    samples = sound(seconds, seed)
    chunks = gapless(samples, given_rules, step)
    assert np.array_equal(np.concatenate([chunk.samples for chunk in chunks]), samples)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert chunks[0].start == 0
    assert all(a.stop == b.start for a, b in itertools.pairwise(chunks))
    assert all(chunk.duration_s <= given_rules.max_chunk_s for chunk in chunks)
    assert chunks[0].duration_s <= (given_rules.first_chunk_s or given_rules.max_chunk_s)
    for chunk in chunks:
        assert chunk.speech
        assert all(chunk.start <= span.start < span.stop <= chunk.stop for span in chunk.speech)
        assert all(a.stop <= b.start for a, b in itertools.pairwise(chunk.speech))
        assert 0 <= chunk.voice <= 1
    if len(chunks) > 1:
        assert chunks[-1].duration_s >= 0.99
    same = gapless(samples, given_rules, 16_000)
    assert [(c.start, c.stop, c.speech, c.voice) for c in chunks] == [
        (c.start, c.stop, c.speech, c.voice) for c in same
    ]


@pytest.mark.parametrize("at_s", [21.0, 24.7, 28.0])
def test_without_voice_activity_a_chunk_is_cut_in_the_quietest_place(at_s: float) -> None:
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, 60 * RATE).astype(np.float32)
    samples[round(at_s * RATE) : round((at_s + 0.4) * RATE)] *= 0.01
    first = gapless(samples, ChunkingRules(), 20_000)[0]
    assert at_s + 0.1 < first.duration_s < at_s + 0.3


def test_a_chunk_in_which_voice_activity_heard_nobody_is_a_span_that_is_not_sure() -> None:
    [chunk] = gapless(np.zeros(5 * WINDOW + 7, np.float32), ChunkingRules(), 1000)
    [span] = chunk.speech
    assert (span.start, span.stop, span.sure, chunk.voice) == (0, 5 * WINDOW + 7, False, 0.0)


def read(samples: np.ndarray, options: TranscribeOptions) -> list[SpeechChunk]:
    """As a run reads it, with rules that need no long file."""
    reader = Reader(MediaSource.from_samples(samples), options, FakeVoiceActivity(), ChunkingRules(first_chunk_s=4.0))
    chunks = [chunk for step in reader.steps() for chunk in step]
    reader.close()
    return chunks


moments = st.floats(0, 100).map(lambda x: round(x, 4))


@examples(30)
@given(st.lists(st.tuples(moments, moments), min_size=1, max_size=4), st.booleans(), st.integers(0, 99))
def test_a_clip_is_heard_as_the_file_that_was_cut_out(bounds: list[tuple[float, float]], vad: bool, seed: int) -> None:
    samples = sound(90, seed)
    options = TranscribeOptions(clips=[(min(b), max(b) + 0.01) for b in bounds], vad=vad)  # type: ignore[arg-type]  # as is convenient
    expected: list[SpeechChunk] = []
    first = True
    is_long = sum(min(clip.end_s, 90) - min(clip.start_s, 90) for clip in options.clips) > 60
    for clip in options.clips:
        start, stop = round(clip.start_s * RATE), round(clip.end_s * RATE)
        part = samples[start:stop]
        if not len(part):
            continue
        given_rules = ChunkingRules(first_chunk_s=4.0 if first and is_long else None)
        first = False
        reader = Reader(MediaSource.from_samples(part), TranscribeOptions(vad=vad), FakeVoiceActivity(), given_rules)
        reader._rules = given_rules
        for chunk in (chunk for step in reader.steps() for chunk in step):
            expected.append(replace(chunk, index=len(expected), start=chunk.start + start, speech=()))
    found = read(samples, options)
    assert [(c.index, c.start, c.stop, c.voice) for c in found] == [
        (c.index, c.start, c.stop, c.voice) for c in expected
    ]
    for chunk in found:
        assert np.array_equal(chunk.samples, samples[chunk.start : chunk.stop])
        assert all(chunk.start <= span.start < span.stop <= chunk.stop for span in chunk.speech)
        assert any(round(c.start_s * RATE) <= chunk.start < chunk.stop <= round(c.end_s * RATE) for c in options.clips)
