"""What whisperX returns, matched with the words that it was asked for; and what is said where it is not installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.device import CPU
from autorag_whisper.domain.errors import ExtraNotInstalled
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines import whisperx, whisperx_alignment
from autorag_whisper.engines.ctranslate2 import LoadRequest
from autorag_whisper.engines.whisperx_alignment import matched

if TYPE_CHECKING:
    from pathlib import Path


def said(word: str, start: float | None, end: float | None = None, score: float | None = 0.5) -> dict[str, Any]:
    times = {"start": start, "end": end, "score": score}
    return {"word": word} | {name: value for name, value in times.items() if value is not None}


def test_every_word_gets_what_is_said_of_it() -> None:
    found = matched(["one", "two,"], [said("one", 0.1, 0.4), said("two,", 0.5, 0.9)])
    assert found == [WordTime(0.1, 0.4, WordSource.CTC, 0.5), WordTime(0.5, 0.9, WordSource.CTC, 0.5)]


def test_a_word_that_it_dropped_costs_no_other_its_time() -> None:
    found = matched(["one", "two", "one", "three"], [said("one", 0.1, 0.4), said("three", 0.8, 0.9)])
    assert found == [WordTime(0.1, 0.4, WordSource.CTC, 0.5), None, None, WordTime(0.8, 0.9, WordSource.CTC, 0.5)]


@pytest.mark.parametrize(
    "answer",
    [
        said("one", None),
        said("one", 0.1),
        said("one", 0.1, 0.4, None),  # made up from its neighbours
        said("one", float("nan"), 0.4),
        said("one", 0.4, 0.1),
        said("other", 0.1, 0.4),
        said("", 0.1, 0.4),
    ],
)
def test_an_answer_that_is_none_is_none(answer: dict[str, Any]) -> None:
    assert matched(["one"], [answer]) == [None]


def test_letters_of_a_script_without_blanks_make_up_their_words() -> None:
    letters = [said("今", 0.1, 0.2), said("日", 0.2, 0.4), said("は", 0.5, 0.6, 0.8)]
    assert matched(["今日", "は"], letters) == [
        WordTime(0.1, 0.4, WordSource.CTC, 0.5),
        WordTime(0.5, 0.6, WordSource.CTC, 0.8),
    ]


@given(st.lists(st.text(min_size=1, max_size=5)), st.lists(st.text(max_size=5)))
def test_there_is_one_answer_for_every_word_whatever_comes_back(words: list[str], back: list[str]) -> None:
    assert len(matched(words, [said(word, 0.1, 0.2) for word in back])) == len(words)


@given(st.lists(st.integers(1, 480_000), min_size=1, max_size=9))
def test_the_clips_are_cut_out_of_their_sum_again_to_the_sample(lengths: list[int]) -> None:
    spans = whisperx._spans([np.zeros(length, np.float32) for length in lengths])
    cut = [(int(span["start"] * 16_000), int(span["end"] * 16_000)) for span in spans]  # as whisperX does
    assert [stop - start for start, stop in cut] == lengths
    assert cut[0][0] == 0


def test_where_it_is_not_installed_its_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in ("whisperx", "whisperx.asr", "whisperx.alignment"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraNotInstalled, match=r'pip install "autorag-whisper\[whisperx\]"'):
        whisperx.load(LoadRequest(tmp_path, "base", CPU, "int8", 1, strict_window=True))
    with pytest.raises(ExtraNotInstalled, match=r'pip install "autorag-whisper\[whisperx\]"'):
        whisperx_alignment.load("en", tmp_path, "some", CPU)
