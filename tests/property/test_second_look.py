"""The second look of the chunker: what is sure stays as it was, what is faint comes besides, nothing twice."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from autorag_whisper.audio.chunking import WINDOW, Chunker, ChunkingRules
from autorag_whisper.domain.audio import SpeechChunk
from autorag_whisper.transcriber.reading import SWITCHING

ONCE = ChunkingRules(second_look=1.0)
# Levels around every threshold; lengths in windows around every limit: short, a pause, a pad, the longest chunk.
levels = st.sampled_from([0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.34, 0.35, 0.4, 0.49, 0.5, 0.55, 0.8, 0.9])
lengths = st.one_of(
    st.integers(1, 9), st.integers(1, 200), st.sampled_from([12, 13, 21, 22, 62, 63, 156, 157, 240, 245, 249, 930, 937])
)
runs = st.lists(st.tuples(levels, lengths), min_size=1, max_size=40)
BRIDGES = ChunkingRules(min_silence_s=2.0)
"""A sure span goes on behind silence in which a faint one has its place: they are not two spans."""
every_rules = st.sampled_from(
    [
        ChunkingRules(),
        ChunkingRules(first_chunk_s=8.0),
        SWITCHING,
        ChunkingRules(max_chunk_s=6.0, pause_s=0.2),
        BRIDGES,
        ChunkingRules(min_silence_s=0.5, first_chunk_s=8.0),
    ]
)


def heard(run: list[tuple[float, int]]) -> np.ndarray:
    return np.concatenate([np.full(length, value, np.float32) for value, length in run])


def chunked(probabilities: np.ndarray, rules: ChunkingRules | None = None, step: int = 64) -> list[SpeechChunk]:
    """Samples say where they are, so that a chunk shows what it was cut from."""
    samples = np.arange(len(probabilities) * WINDOW, dtype=np.float32)
    chunker, chunks = Chunker(rules), list[SpeechChunk]()
    for at in range(0, len(probabilities), step):
        block = probabilities[at : at + step]
        chunks += chunker.push(samples[at * WINDOW : (at + len(block)) * WINDOW], block)
    return chunks + list(chunker.finish())


def windows_of(chunks: list[SpeechChunk], *, sure: bool) -> set[int]:
    spans = [span for chunk in chunks for span in chunk.speech if span.sure == sure]
    return {window for span in spans for window in range(span.start // WINDOW, span.stop // WINDOW)}


@example([(0.3, 8), (0.0, 127), (0.3, 200), (0.2, 200), (0.4, 200), (0.55, 200), (0.0, 1)])
@given(runs)
def test_what_is_sure_is_the_same_with_and_without_a_second_look(run: list[tuple[float, int]]) -> None:
    assert windows_of(chunked(heard(run)), sure=True) == windows_of(chunked(heard(run), ONCE), sure=True)
    assert not windows_of(chunked(heard(run), ONCE), sure=False)


CUT_IN_A_SPANS_END = [
    *[(0.0, 1)] * 16, (0.0, 26), (0.4, 139), (0.0, 46), (0.0, 105), (0.3, 200), (0.55, 200), (0.55, 200), (0.0, 5)
]  # fmt: skip
"""The limit falls into the silence that might still have been a gap in the last span: it was in two chunks."""
FAINT_IN_A_SHORT_PAUSE = [(0.0, 10), (0.55, 150), (0.0, 21), (0.3, 40), (0.0, 200)]
"""The pause that closes the chunk is shorter than its wide pad, in which a faint span has begun."""


FAINT_IN_A_BRIDGE = [(0.9, 100), (0.0, 10), (0.3, 20), (0.0, 10), (0.9, 100), (0.0, 200)]


@example(CUT_IN_A_SPANS_END, 10, ChunkingRules())
@example(FAINT_IN_A_BRIDGE, 64, BRIDGES)
@example(FAINT_IN_A_SHORT_PAUSE, 64, SWITCHING)
@given(runs, st.integers(1, 500), every_rules)
def test_chunks_are_exact_in_order_apart_and_bounded_however_the_blocks_fall(
    run: list[tuple[float, int]], step: int, rules: ChunkingRules
) -> None:
    chunks = chunked(heard(run), rules, step)
    for chunk in chunks:
        assert chunk.samples[0] == chunk.start
        assert chunk.samples[-1] == chunk.stop - 1
        assert chunk.duration_s <= (
            rules.max_chunk_s if chunk.index or not rules.first_chunk_s else rules.first_chunk_s
        )
        assert chunk.speech
        assert all(chunk.start <= span.start < span.stop <= chunk.stop for span in chunk.speech)
        assert all(a.stop <= b.start for a, b in itertools.pairwise(chunk.speech))
    assert all(a.stop <= b.start for a, b in itertools.pairwise(chunks))
    same = chunked(heard(run), rules)
    assert [(c.start, c.stop, c.speech) for c in chunks] == [(c.start, c.stop, c.speech) for c in same]


@example(FAINT_IN_A_BRIDGE, BRIDGES)
@given(runs, every_rules)
def test_speech_that_lasts_is_in_a_sure_span_and_in_a_chunk(run: list[tuple[float, int]], rules: ChunkingRules) -> None:
    """The first 3.1 s of that example were in no chunk."""
    chunks = chunked(heard(run), rules)
    found = windows_of(chunks, sure=True)
    found &= {window for chunk in chunks for window in range(chunk.start // WINDOW, chunk.stop // WINDOW)}
    at = 0
    for level, length in run:
        if level >= rules.threshold and length >= 4:
            assert found.issuperset(range(at, at + length))
        at += length


def test_a_faint_span_that_begins_as_the_pause_ends_is_not_cut() -> None:
    # Its first windows, too few to count yet, were given to the chunk before as padding.
    chunks = chunked(heard([(0.0, 1), (0.3, 111), (0.2, 200), (0.0, 55), (0.3, 8)]))
    assert all(chunk.start <= span.start < span.stop <= chunk.stop for chunk in chunks for span in chunk.speech)


@given(runs)
def test_what_lasts_between_the_thresholds_is_looked_at_again(run: list[tuple[float, int]]) -> None:
    probabilities = np.minimum(heard(run), 0.4)
    found = windows_of(chunked(probabilities), sure=False)
    assert not windows_of(chunked(probabilities), sure=True)
    for start in range(len(probabilities) - 16):
        if (probabilities[start : start + 16] >= 0.25).all():  # where 30 s end in it, one of its halves may be missed
            assert found.issuperset(range(start, start + 8)) or found.issuperset(range(start + 8, start + 16))


@given(st.integers(20, 200), st.integers(20, 150), st.integers(20, 200))
def test_a_faint_stretch_apart_from_the_sure_ones_has_a_chunk_of_its_own(sure: int, gap: int, faint: int) -> None:
    run = [(0.9, sure), (0.0, gap), (0.3, faint), (0.0, gap), (0.9, sure)]
    chunks = chunked(heard(run))
    kinds = [{span.sure for span in chunk.speech} for chunk in chunks]
    assert kinds == [{True}, {False}, {True}]
    assert [chunk.voice > 0.5 for chunk in chunks] == [True, False, True]


def test_a_faint_end_stays_with_its_sentence() -> None:
    [chunk] = chunked(heard([(0.0, 50), (0.9, 50), (0.3, 30), (0.0, 100)]))
    assert [span.sure for span in chunk.speech] == [True, False]
    assert chunk.stop >= 130 * WINDOW


def test_what_is_left_behind_a_cut_is_speech_however_short() -> None:
    """A limit that fell one window before the end of a word left that window out: under `min_speech_s` it was noise."""
    for length in range(620, 950):
        speech = heard([(0.9, length), (0.0, 40)])
        assert windows_of(chunked(speech), sure=True) == set(range(length))
