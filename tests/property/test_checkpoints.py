"""A chunk that is done comes back from its line as it was; whatever else a line is, is refused."""

from __future__ import annotations

import json
import time
from copy import deepcopy
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.words import TimedWord
from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.domain.transcript import Attempt, Unspoken, Word, WordSource
from autorag_whisper.recognition.aligned import Aligned, LettersBy
from autorag_whisper.recognition.chunk_result import AskLanguage, ChunkResult, ChunkTask, EngineTime, Rejection
from autorag_whisper.transcriber.checkpoint import Checkpoint
from autorag_whisper.transcriber.checkpoint_format import (
    HEADER,
    RECORDS,
    CheckpointReader,
    RefusedCheckpointsError,
    dumps,
    loads,
)
from autorag_whisper.transcriber.kept_chunks import checkpoints_of

if TYPE_CHECKING:
    from random import Random

COMMITTED = Path(__file__).parents[1] / "data" / "checkpoints"

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
    task=st.builds(
        ChunkTask, st.integers(0, 9), CHUNKS, st.none() | st.just("de"), st.sampled_from(AskLanguage), st.booleans(),
        st.booleans(), ATTEMPTS,
    ),
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
CHECKPOINTS = st.builds(Checkpoint.of, RESULTS, st.just("en"), SHARES)


def plain(value: Any) -> Any:
    """A value with all that is in it, comparable: arrays are not."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, [plain(getattr(value, item.name)) for item in fields(value)]
    return [plain(item) for item in value] if isinstance(value, tuple) else value


@given(CHECKPOINTS)
def test_a_chunk_comes_back_from_its_line_as_it_was(checkpoint: Checkpoint) -> None:
    line = dumps(checkpoint)
    assert "\n" not in line
    assert plain(loads(line)) == plain(checkpoint)
    assert loads(line.encode()).stop == checkpoint.stop


@given(CHECKPOINTS, st.data())
def test_a_line_that_is_cut_off_is_refused(checkpoint: Checkpoint, data: st.DataObject) -> None:
    line = dumps(checkpoint)
    with pytest.raises(ValueError, match="not a checkpoint"):
        loads(line[: data.draw(st.integers(0, len(line) - 1))])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(CHECKPOINTS, ANYTHING, st.lists(st.integers(0, 11), min_size=1, max_size=5))
def test_a_line_with_something_else_in_it_is_refused_or_is_a_chunk(
    checkpoint: Checkpoint, other: Any, way: list[int]
) -> None:
    tree = json.loads(dumps(checkpoint))
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
    with pytest.raises(ValueError, match="not a checkpoint"):
        loads(json.dumps(other))


@given(CHECKPOINTS)
def test_what_was_kept_on_another_clock_has_moments_of_this_one(checkpoint: Checkpoint) -> None:
    # A job that went on behind a restart of its machine had a span of its alignment that began days before it.
    before = time.perf_counter()
    kept = {7: (HEADER.encode(), dumps(checkpoint).encode())}
    [(index, found)] = checkpoints_of(kept)
    spent, was = found.result.time, checkpoint.result.time
    assert index == 7
    assert all(before <= moment <= time.perf_counter() for moment in (spent.began, spent.turned, spent.ended))
    assert (spent.recognise_s, spent.align_s) == (was.recognise_s, was.align_s)


# ------------------------------------------------------------ other versions


def header_of(records: dict[str, dict[str, str]], package: str = "0.0.9") -> str:
    return json.dumps(json.loads(HEADER) | {"package": package, "records": records})


def refusal_of(header: str | bytes) -> str:
    """Why the checkpoints behind it are not read; "" if they are."""
    try:
        CheckpointReader(header)
    except RefusedCheckpointsError as refused:
        return str(refused)
    return ""


def mapped(kind: str, value: Any, change: Any) -> Any:
    """A checkpoint's line with `change(record, fields)` done to each record in it; `fields`: name -> value."""
    if value is None:
        return None
    if kind.endswith("?"):
        return mapped(kind[:-1], value, change)
    if kind.endswith("[]"):
        return [mapped(kind[:-2], item, change) for item in value]
    if kind not in RECORDS:
        return value
    named = dict(zip(RECORDS[kind], value, strict=True))
    inner = {name: mapped(RECORDS[kind][name], item, change) for name, item in named.items()}
    return list(change(kind, inner).values())


@given(CHECKPOINTS, st.randoms(use_true_random=False))
def test_a_version_that_writes_fields_in_another_order_is_read(checkpoint: Checkpoint, chance: Random) -> None:
    orders = {kind: chance.sample(list(names), len(names)) for kind, names in RECORDS.items()}
    records = {kind: {name: RECORDS[kind][name] for name in orders[kind]} for kind in RECORDS}
    tree = json.loads(dumps(checkpoint))
    line = mapped("Checkpoint", tree, lambda kind, of: {name: of[name] for name in orders[kind]})
    assert plain(CheckpointReader(header_of(records)).read(json.dumps(line))) == plain(checkpoint)


@given(CHECKPOINTS, st.data())
def test_a_field_that_another_version_lacks_has_its_default_or_its_checkpoints_are_refused_by_name(
    checkpoint: Checkpoint, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(sorted(RECORDS)))
    field = data.draw(st.sampled_from(sorted(RECORDS[kind])))
    records = {name: {key: of for key, of in RECORDS[name].items() if (name, key) != (kind, field)} for name in RECORDS}
    line = mapped(
        "Checkpoint",
        json.loads(dumps(checkpoint)),
        lambda name, of: {key: value for key, value in of.items() if (name, key) != (kind, field)},
    )
    if refusal := refusal_of(header_of(records)):
        assert f"autorag-whisper 0.0.9, which has no {kind}.{field}" in refusal
        return
    reader = CheckpointReader(header_of(records))
    found = reader.read(json.dumps(line))
    again = CheckpointReader(HEADER).read(dumps(found))
    assert plain(again) == plain(found)

    def without(value: Checkpoint) -> Any:
        return mapped(
            "Checkpoint",
            json.loads(dumps(value)),
            lambda name, of: {key: part for key, part in of.items() if (name, key) != (kind, field)},
        )

    assert without(found) == without(checkpoint)


@given(st.data())
def test_a_field_that_this_version_does_not_know_is_refused_by_name(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(RECORDS)))
    field = data.draw(st.sampled_from([*sorted(RECORDS[kind]), "new"]))
    records = deepcopy(RECORDS)
    records[kind][field] = "str[]?"
    with pytest.raises(RefusedCheckpointsError, match=rf"autorag-whisper 0\.0\.9, where {kind}\.{field} is str"):
        CheckpointReader(header_of(records))


@given(ANYTHING, st.sampled_from(["format", "version", "package", "records", ""]))
def test_any_other_header_is_refused_or_says_the_same(other: Any, member: str) -> None:
    header = json.loads(HEADER) | {member: other} if member else other
    try:
        CheckpointReader(json.dumps(header))
    except ValueError:
        return
    assert member in ("package", "version")  # 2.0 is 2


@pytest.mark.parametrize("path", sorted(COMMITTED.glob("*.chunks")), ids=lambda path: path.stem)
def test_checkpoints_of_each_committed_version_are_read_or_refused_by_name(path: Path) -> None:
    header, *lines = path.read_bytes().splitlines()
    if refusal := refusal_of(header):
        assert refusal.startswith("they are of a")
        return
    reader = CheckpointReader(header)
    assert [reader.read(line).result.text for line in lines] == ["Piece 0.", "Piece 1.", "Piece 2."]


def test_the_first_format_is_refused_by_name() -> None:
    header, *_ = (COMMITTED / "version-1.chunks").read_bytes().splitlines()
    with pytest.raises(RefusedCheckpointsError, match=r"another version, in format 1; .* reads format 2"):
        CheckpointReader(header)
