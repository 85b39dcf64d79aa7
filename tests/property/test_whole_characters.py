"""No half character reaches a text, a word or a segment's tokens: over any tokens of the real vocabularies."""

from __future__ import annotations

import os
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autorag_whisper.align.tokens import split_words
from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.engines.tokenizer import WhisperTokenizer, read_tokenizer
from autorag_whisper.engines.whole_characters import whole
from autorag_whisper.format import FORMATS, render
from autorag_whisper.models.store import ModelStore
from examples import examples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@cache
def tokenizer(model: str) -> WhisperTokenizer:
    folder = ModelStore(environ=os.environ, offline=True).resolve(model).folder  # noqa: TID251 - where the tests' cache is
    return WhisperTokenizer(folder, read_tokenizer(folder), multilingual=model == "base")


MODELS = ("base", "tiny.en")
HALVES = st.sampled_from(
    [b"\xe4", b"\xe5\xa4", b"\x9d", b"\xd0\xbe\xd0", b"\xf0\x9f", b"\xef\xbf\xbd", b"\x07", b" \xe4"]
)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffd"), max_size=12)


NAMES = st.sampled_from(["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|0.00|>", "<|", "|>", "<", "|"])


@given(model=st.sampled_from(MODELS), parts=st.lists(texts | NAMES, max_size=6))
def test_whatever_a_text_holds_it_is_text_to_the_tokenizer_and_comes_back(model: str, parts: list[str]) -> None:
    real, text = tokenizer(model), "".join(parts)
    found = real.encode(text)
    assert all(token < real.end for token in found)
    assert real.decode(found) == text


def cut(model: str, parts: Sequence[str | bytes]) -> list[int]:
    """Tokens of texts, with pieces of bytes between them as the search may leave them."""
    real = tokenizer(model)
    found: list[int] = []
    for part in parts:
        found += real.encode(part) if isinstance(part, str) else real._of_bytes(part)
    return found


def assert_is_text(model: str, token_ids: Sequence[int], language: str) -> tuple[int, ...]:
    real = tokenizer(model)
    probabilities = tuple(n / 1000 for n in range(len(token_ids)))
    kept = Hypothesis(tuple(token_ids), -0.2, 0.01, cap_hit=False, probabilities=probabilities).whole(real)
    text = real.decode(kept.token_ids)
    assert "\ufffd" not in text
    assert not any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in text)
    assert kept.probabilities is not None
    assert len(kept.probabilities) == len(kept.token_ids)
    assert list(kept.probabilities) == sorted(kept.probabilities)
    assert kept.whole(real) is kept
    assert all(token < real.end for token in kept.token_ids)
    words = split_words(kept.token_ids, real.decode, language)
    assert not any("\ufffd" in word.text for word in words)
    if words:
        assert "".join(word.text for word in words) == text
        assert [words[0].first, words[-1].stop] == [0, len(kept.token_ids)]
    return kept.token_ids


@given(
    st.sampled_from(MODELS),
    st.lists(st.one_of(st.integers(0, 50_256), st.integers(50_257, 51_863)), max_size=40),  # text, and special tokens
    st.sampled_from(["en", "zh", "ru"]),
)
@examples(300, deadline=None)
@example("base", [171, 120], "zh")
@example("base", [50_266, 171, 50_266, 120, 11, 50_266], "ru")
def test_any_tokens_become_text(model: str, token_ids: list[int], language: str) -> None:
    assert_is_text(model, token_ids, language)


@given(st.sampled_from(MODELS), texts)
@examples(200, deadline=None)
def test_a_text_without_halves_stays_as_it_is(model: str, text: str) -> None:
    ids = tuple(tokenizer(model).encode(text))
    assert assert_is_text(model, ids, "en") == ids


@given(st.sampled_from(MODELS), st.lists(st.one_of(texts, HALVES), max_size=6))
@examples(300, deadline=None)
def test_of_texts_with_halves_between_them_no_character_is_lost(model: str, parts: list[str | bytes]) -> None:
    kept = assert_is_text(model, cut(model, parts), "en")
    data = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    shown = data.decode(errors="ignore").replace("\ufffd", "")
    expected = [c for c in shown if unicodedata.category(c) != "Cc"]
    found = tokenizer(model).decode(kept)
    assert sorted(c for c in found if unicodedata.category(c) != "Cc") == sorted(expected)


@given(st.lists(st.binary(max_size=5), max_size=12))
def test_bytes_that_are_left_are_text_and_in_order(pieces: list[bytes]) -> None:
    left = whole(pieces, list)
    if left is None:
        b"".join(pieces).decode()
        return
    data = b"".join(pieces[place] if token is None else bytes([token]) for token, place in left)
    assert "\ufffd" not in data.decode()
    places = [place for _, place in left]
    assert places == sorted(places)


def test_a_token_of_a_letter_and_half_of_the_next_keeps_its_letter() -> None:
    real = tokenizer("base")
    [mixed] = real._of_bytes(b"\xd0\xbe\xd0")
    kept = real.whole([mixed, *real.encode(" да")])
    assert real.decode([token for token, _ in kept]) == "\u043e да"


@pytest.mark.kit
@pytest.mark.slow
def test_a_prompt_in_another_punctuation_leaves_no_half_comma(kit: Path) -> None:
    # The tokens 171 120 are the first two bytes of a full-width comma: the text had "内容�组织".
    said = "这是一个关于自定义语音门户的说明，其中包括数据、模型、测试和终结点等内容，请注意使用标点符号和简体中文。"  # noqa: RUF001 - Chinese marks
    options = TranscribeOptions(language="zh", initial_prompt=said * 6)
    with build_transcriber() as transcriber:
        transcript = transcriber.transcribe(kit / "real" / "az_zh-CN_train_audio1.opus", options, model="base")
    assert transcript.words
    for name in FORMATS:
        assert "\ufffd" not in render(transcript, name)
    real = tokenizer("base")
    assert not any("\ufffd" in real.decode(segment.token_ids) for segment in transcript.segments)
