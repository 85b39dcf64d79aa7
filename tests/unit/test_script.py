"""Chinese in the characters that were asked for: nothing else about a word changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.words import TimedWord
from autorag_whisper.domain.language import SCRIPTS
from autorag_whisper.domain.transcript import Word, join_words
from autorag_whisper.transcriber.script import Writing

BOTH = "這个软體很好、頭发發展、皇后在后面、台灣的国家図書館。 皇 后 乾隆 干净 只有一隻 OpenCC 3.5 kg"
"""Characters of both kinds, and what has no kind."""


def timed(texts: list[str], *, spaces: bool = False) -> list[TimedWord]:
    return [
        TimedWord(Word(text, n / 2, n / 2 + 0.4, 0.9, score=0.5, space_before=spaces and n > 0), (n, n + 1))
        for n, text in enumerate(texts)
    ]


def texts_of(words: list[TimedWord]) -> list[str]:
    return [word.word.text for word in words]


@pytest.mark.parametrize(
    ("script", "text", "written"),
    [
        ("Hans", "這個頭髮和發展", "这个头发和发展"),
        ("Hans", "这个头发和发展", "这个头发和发展"),
        ("Hant", "这个头发和发展", "這個頭髮和發展"),
        ("Hant", "這個頭髮和發展", "這個頭髮和發展"),
        ("Hant-TW", "台湾的软件在里面", "臺灣的軟件在裡面"),
        ("Hant-HK", "台湾的软件在里面", "台灣的軟件在裏面"),
        ("", "這个", "這个"),
    ],
)
def test_characters_are_those_of_the_script_and_words_stay_those_that_were_said(
    script: str, text: str, written: str
) -> None:
    assert Writing(script).text(text, "zh") == written


def test_a_word_is_written_as_its_neighbours_want_it() -> None:
    """One character for one: 发 is 髮 in hair and 發 in growth, which a word alone does not tell."""
    words = Writing("Hant").words(timed(["头", "发", "发", "展"]), "zh")
    assert texts_of(words) == ["頭", "髮", "發", "展"]


@given(st.lists(st.text(st.sampled_from(BOTH), min_size=1), max_size=12), st.sampled_from(SCRIPTS), st.booleans())
def test_words_keep_their_number_times_tokens_and_length(texts: list[str], script: str, spaces: bool) -> None:
    """What is written once more need not stay: OpenCC finds other phrases in what it wrote (干一只, 幹一只, 幹一隻)."""
    before = timed([text.strip() for text in texts if text.strip()], spaces=spaces)
    writing = Writing(script)
    after = writing.words(before, "yue")
    assert [(w.word.start_s, w.word.end_s, w.word.score, w.token_ids) for w in after] == [
        (w.word.start_s, w.word.end_s, w.word.score, w.token_ids) for w in before
    ]
    assert join_words([w.word for w in after]) == writing.text(join_words([w.word for w in before]), "yue")


def test_other_languages_and_translations_are_left_alone() -> None:
    assert Writing("Hans").text("図書館と發展", "ja") == "図書館と發展"
    assert Writing("Hans", "translate").text("發展", "zh") == "發展"
