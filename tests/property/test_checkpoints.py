"""A chunk that is done comes back from its line as it was; whatever else a line is, is refused."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.words import TimedWord
from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.domain.transcript import Attempt, Unspoken, Word, WordSource
from autorag_whisper.recognition.alignment import Aligned, LettersBy
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask, EngineTime, Rejection
from autorag_whisper.transcriber.checkpoint import Checkpoint
from autorag_whisper.transcriber.checkpoint_format import dumps, loads

NUMBERS = st.floats(0, 1e6).map(lambda number: round(number, 4))
SHARES = st.floats(0, 1)
TEXTS = st.text('ab \u00e4\u4f60\n\u2028\U0001f600"', min_size=0, max_size=6)
WORDS = st.builds(
    lambda text, start_s, length_s, *rest: Word(f"x{text.strip()}x", start_s, start_s + length_s, *rest),
    TEXTS, NUMBERS, NUMBERS, SHARES, st.sampled_from(WordSource), st.none() | SHARES, st.booleans(),
)  # fmt: skip
TIMED = st.builds(TimedWord, WORDS, st.lists(st.integers(0, 60_000), max_size=3).map(tuple))
ATTEMPTS = st.lists(
    st.builds(Attempt, SHARES, st.integers(1, 9), st.integers(0, 3000), NUMBERS, NUMBERS, SHARES, TEXTS), max_size=3
).map(tuple)
SPANS = st.builds(lambda a, b, sure: SpeechSpan(a, a + b, sure), st.integers(0, 99), st.integers(1, 99), st.booleans())
CHUNKS = st.builds(
    SpeechChunk, st.integers(0, 999), st.integers(0, 10**9), st.just(np.ones(3, np.float32)),
    st.lists(SPANS, max_size=3).map(tuple), SHARES,
)  # fmt: skip
SOURCES = st.none() | st.sampled_from(WordSource)
RESULTS = st.builds(
    ChunkResult,
    task=st.builds(ChunkTask, st.integers(0, 9), CHUNKS, st.none() | st.just("de"), st.booleans(), ATTEMPTS),
    language=st.sampled_from(["en", "yue"]),
    text=TEXTS,
    words=st.lists(TIMED, max_size=3).map(tuple),
    attempts=ATTEMPTS,
    kept=st.integers(0, 2),
    rejected=st.lists(st.builds(Rejection, TEXTS, TEXTS), max_size=2).map(tuple),
    aligned=st.builds(
        Aligned, st.lists(TIMED, max_size=2).map(tuple), SOURCES, SOURCES, st.none() | st.sampled_from(LettersBy),
        st.booleans(), st.lists(st.builds(Unspoken, NUMBERS, NUMBERS), max_size=2).map(tuple),
    ),
    time=st.builds(EngineTime, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
)  # fmt: skip
FINISHED = st.builds(Checkpoint.of, RESULTS, st.just("en"), SHARES)


def plain(value: Any) -> Any:
    """A value with all that is in it, comparable: arrays are not."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, [plain(getattr(value, item.name)) for item in fields(value)]
    return [plain(item) for item in value] if isinstance(value, tuple) else value


@given(FINISHED)
def test_a_chunk_comes_back_from_its_line_as_it_was(finished: Checkpoint) -> None:
    line = dumps(finished)
    assert "\n" not in line
    assert plain(loads(line)) == plain(finished)
    assert loads(line.encode()).stop == finished.stop


@given(FINISHED, st.data())
def test_a_line_that_is_cut_off_is_refused(finished: Checkpoint, data: st.DataObject) -> None:
    line = dumps(finished)
    with pytest.raises(ValueError, match="not a finished chunk"):
        loads(line[: data.draw(st.integers(0, len(line) - 1))])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(FINISHED, ANYTHING, st.lists(st.integers(0, 11), min_size=1, max_size=5))
def test_a_line_with_something_else_in_it_is_refused_or_is_a_chunk(
    finished: Checkpoint, other: Any, way: list[int]
) -> None:
    tree = json.loads(dumps(finished))
    at = tree
    for step in way[:-1]:
        if isinstance(at[step % len(at)], list) and at[step % len(at)]:
            at = at[step % len(at)]
    at[way[-1] % len(at)] = other
    try:
        found = loads(json.dumps(tree))
    except ValueError:
        return
    assert isinstance(found, Checkpoint)
    assert plain(loads(dumps(found))) == plain(found) or "nan" in repr(found)


@given(ANYTHING)
def test_any_other_json_is_refused(other: Any) -> None:
    with pytest.raises(ValueError, match="not a finished chunk"):
        loads(json.dumps(other))
