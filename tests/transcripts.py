"""Transcripts of any kind, for laws over formats: every field of every part has any value that it can have."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from autorag_whisper.domain.audio import MediaDamage, MediaInfo
from autorag_whisper.domain.clips import Clip, merged
from autorag_whisper.domain.language import LANGUAGES
from autorag_whisper.domain.notes import Note
from autorag_whisper.domain.transcript import (
    Attempt,
    Coverage,
    DeviceFallbackStep,
    LanguageShare,
    RejectedText,
    Segment,
    Transcript,
    Unspoken,
    Word,
    WordSource,
    join_words,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FIGURES = st.floats(0, 1e6).map(lambda figure: round(figure, 4))
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
WORD_TEXT = st.one_of(
    st.sampled_from(["so", "end.", "你好。", "、", "a\nb", "e\u0301", "\u0301", "👩‍👩‍👧", "שלום", "x y", "\x00", "42"]),
    TEXT,
).filter(lambda text: text.strip() == text != "")


def any_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Values of a frozen dataclass with any value for all of its fields, those with a default as well."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: _any_value(hints[field.name]) for field in fields(kind)})


def _any_value(hint: Any) -> st.SearchStrategy[Any]:
    known: dict[Any, st.SearchStrategy[Any]] = {float: FIGURES, int: st.integers(0, 10**6), str: TEXT}
    if hint in known:
        return known[hint]
    if get_origin(hint) is tuple:
        return st.lists(_any_value(get_args(hint)[0]), max_size=2).map(tuple)
    return any_of(hint) if is_dataclass(hint) else st.from_type(hint)


@st.composite
def spoken_words(draw: st.DrawFn, texts: st.SearchStrategy[str] = WORD_TEXT, most: int = 12) -> list[Word]:
    """Words in order and apart, in whole milliseconds."""
    words, now_ms = [], draw(st.sampled_from([0, 35_990_000]))
    for text in draw(st.lists(texts, max_size=most)):
        now_ms += draw(st.sampled_from([0, 1, 40, 300, 2500]))
        end_ms = now_ms + draw(st.sampled_from([0, 20, 333, 1200]))
        probability = draw(st.integers(0, 10_000)) / 10_000
        score = draw(st.none() | FIGURES)
        source = draw(st.sampled_from(WordSource))
        words.append(Word(text, now_ms / 1000, end_ms / 1000, probability, source, score, draw(st.booleans())))
        now_ms = end_ms
    return words


@st.composite
def whole_transcripts(draw: st.DrawFn, texts: st.SearchStrategy[str] = WORD_TEXT, most: int = 12) -> Transcript:
    """Transcripts whose times are whole milliseconds and whose durations are whole samples."""
    words = draw(spoken_words(texts, most))
    cuts = sorted(draw(st.sets(st.integers(1, len(words) - 1)))) if len(words) > 1 else []
    bounds = [0, *cuts, len(words)] if words else []
    segments = tuple(_segment(draw, index, words[first:stop]) for index, (first, stop) in enumerate(pairwise(bounds)))
    ended_s = words[-1].end_s if words else 0.0
    return Transcript(
        name=draw(TEXT.filter(bool)),
        duration_s=(math.ceil(ended_s * 16_000) + draw(st.integers(0, 20_000))) / 16_000,
        language=draw(st.sampled_from(sorted(LANGUAGES))),
        language_probability=draw(st.integers(0, 1000)) / 1000,
        task=draw(st.sampled_from(["transcribe", "translate"])),
        segments=segments,
        model=draw(TEXT),
        device=draw(TEXT),
        compute_type=draw(TEXT),
        media=draw(any_of(MediaInfo)),
        damage=draw(any_of(MediaDamage)),
        rejected=tuple(
            RejectedText(0.0, min(0.25, ended_s), draw(TEXT), draw(TEXT)) for _ in range(draw(st.integers(0, 2)))
        ),
        coverage=draw(any_of(Coverage)),
        unspoken=draw(st.lists(any_of(Unspoken), max_size=2).map(tuple)),
        device_fallbacks=draw(st.lists(any_of(DeviceFallbackStep), max_size=2).map(tuple)),
        engine_s=draw(FIGURES),
        notes=draw(st.lists(any_of(Note), max_size=2).map(tuple)),
        languages=draw(st.lists(_shares(), max_size=2).map(tuple)),
        clips=merged(draw(st.lists(_clips(), max_size=2))),
    )


def _shares() -> st.SearchStrategy[LanguageShare]:
    return st.builds(LanguageShare, st.sampled_from(["en", "ja"]), FIGURES, FIGURES)


def _clips() -> st.SearchStrategy[Clip]:
    length = st.integers(1, 10**6).map(lambda ms: ms / 1000) | st.just(math.inf)
    return st.builds(
        lambda start, length: Clip(start / 1000, round(start / 1000 + length, 3)), st.integers(0, 10**6), length
    )


def _segment(draw: st.DrawFn, index: int, words: Sequence[Word]) -> Segment:
    figures = [draw(FIGURES) for _ in range(4)]
    language = draw(st.sampled_from(["en", "ja"]))
    return Segment(
        index, words[0].start_s, words[-1].end_s, join_words(list(words)), tuple(words), language,
        draw(st.integers(0, 10**6)) / 16_000, draw(st.lists(st.integers(0, 50_000), max_size=3).map(tuple)), *figures,
        draw(st.lists(any_of(Attempt), max_size=2).map(tuple)),
    )  # fmt: skip
