"""Where one chunk ends and the next begins no sentence is torn, and nothing but marks and case changes."""

# ruff: noqa: RUF001 - letters of other scripts are the point

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.align.words import TimedWord
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.domain.transcript import Attempt, Segment, Word
from autorag_whisper.recognition.borders import (
    HEARD_PAUSE_S,
    LONGEST_PAUSE_S,
    is_to_be_heard,
    joint,
    joint_heard,
    joint_heard_inside,
    lower,
)
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
from autorag_whisper.transcriber.assembly import Assembly

if TYPE_CHECKING:
    from collections.abc import Sequence


def words(text: str) -> list[Word]:
    """The words of a text; `_` is a blank inside one."""
    return [Word(each.replace("_", " "), float(n), n + 0.5, 0.9) for n, each in enumerate(text.split())]


def joined(left: str, right: str, language: str = "en", pause_s: float = 0.4) -> str:
    before = words(left)
    found = joint(before[-1], words(right), language, pause_s)
    return " ".join([*left.split()[:-1], found.left.text, "|", found.right.text, *right.split()[1:]])


@pytest.mark.parametrize(
    ("language", "left", "right", "expected"),
    [
        # What base made of read prose (LJ Speech 1 to 32), where faster-whisper has no stop.
        ("en", "at present concerned.", "differs from most, if", "at present concerned, | differs from most, if"),
        ("en", "should be fine in form.", "especially as. No", "should be fine in form, | especially as. No"),
        ("en", "the true printed book,", "The invention of", "the true printed book, | the invention of"),
        ("en", "in the year 1462,", "It imitates a", "in the year 1462, | it imitates a"),
        ("en", "he went over", "The hills and", "he went over | the hills and"),
        ("de", "das Haus,", "Das er sah", "das Haus, | das er sah"),
        ("de", "kam er an.", "und ging Heim.", "kam er an, | und ging Heim."),
        ("fr", "la maison,", "Qui est", "la maison, | qui est"),
        ("es", "a la casa.", "que era Suya.", "a la casa, | que era Suya."),
        ("ru", "пришёл домой.", "и сказал: Да.", "пришёл домой, | и сказал: Да."),
        ("tr", "eve geldi.", "ışık yandı.", "eve geldi, | ışık yandı."),
    ],
)
def test_a_sentence_that_goes_on_is_not_torn(language: str, left: str, right: str, expected: str) -> None:
    assert joined(left, right, language) == expected


@pytest.mark.parametrize(
    ("language", "left", "right"),
    [
        ("en", "in black letter.", "The letter is"),  # two sentences
        ("en", "in letters, i.e.", "the letter"),  # abbreviations
        ("en", "met Mr.", "smith, who Is"),
        ("en", "pens, paper, etc.", "and Ink."),
        ("en", "in the U.S.", "in May."),
        ("en", "the point 3.", "iPhone users."),  # a word of its own making
        ("en", "we know that,", "I think, he"),  # never small
        ("en", "we know that,", "I'm here."),
        ("en", "he met her in", "Paris in May."),  # names
        ("en", "he said:", "The house."),
        ("en", "he waited...", "and then Went."),  # an ellipsis
        ("en", "is it so?", "and that. Is"),  # a question is heard, not guessed
        ("en", "this is right.", "so then we went there and we saw it"),  # written without marks
        ("de", "wir sahen,", "Häuser und"),  # nouns
        ("de", "wir wissen,", "Sie kommen."),  # politeness
        ("da", "men,", "I ved det."),
        ("zh", "我们知道。", "但是,他不知道。"),  # no case
        ("hi", "वह आया।", "और गया।"),
        ("ar", "جاء الرجل.", "ثم ذهب."),
        ("ja", "そうです。", "それで、"),
    ],
)
def test_other_borders_stay_as_they_were_decoded(language: str, left: str, right: str) -> None:
    assert joined(left, right, language) == f"{left} | {right}"


def test_a_chunk_that_was_cut_in_speech_has_no_comma_there() -> None:
    assert joined("from wood blocks.", "engraved in Relief.", pause_s=0.0) == "from wood blocks | engraved in Relief."


def test_a_stop_inside_quotes_is_mended_inside_them() -> None:
    assert joined("the “missal type.”", "and was, in") == "the “missal type,” | and was, in"


@pytest.mark.parametrize(
    ("language", "left", "right", "begins"),
    [
        ("en", "at present.", "differs, from", "Differs,"),
        ("es", "mi imaginación.", "y recordarás, que", "Y"),
        ("tr", "eve geldi.", "iki gün.", "İki"),
        ("nl", "het was zo.", "ijs is Koud.", "IJs"),
        ("el", "ήταν έτσι.", "και μετά, Ναι.", "Και"),
        ("de", "das war so.", "ßa, Ja.", "ßa,"),
        ("en", "met Mr.", "smith, who Is", "smith,"),
        ("en", "pens, paper, etc.", "and Ink.", "and"),
        ("en", "the point 3.", "iPhone users.", "iPhone"),
        ("en", "he waited...", "and then Went.", "and"),
        ("en", "he waited,", "and then Went.", "and"),
        ("en", "is it so?", "he asked. Is", "he"),
        ("en", "this is right.", "so then we went there and we saw it", "so"),
        ("zh", "我们知道。", "但是,他不知道。", "但是,他不知道。"),
    ],
)
def test_behind_a_long_pause_a_sentence_that_is_over_is_followed_by_a_capital(
    language: str, left: str, right: str, begins: str
) -> None:
    expected = " ".join([left, "|", begins, *right.split()[1:]])
    assert joined(left, right, language, pause_s=LONGEST_PAUSE_S) == expected
    gone = [result(0, left, tail_s=0.4, language=language), result(1, right, language=language)]
    assert " ".join(segment.text for segment in assembled(gone)[0]) == expected.replace("| ", "")


@pytest.mark.parametrize(
    ("language", "text", "small"),
    [("tr", "Işık", "ışık"), ("tr", "İki", "iki"), ("en", "In", "in"), ("en", "USA", "USA"), ("el", "Και", "και")],
)
def test_small_letters_are_those_of_the_language(language: str, text: str, small: str) -> None:
    assert lower(text, language) == small


TEXT = st.text(st.sampled_from("aAbBiIİßñД我।.,;:!?…'\"”(-1"), min_size=1, max_size=6).filter(str.strip)


@given(TEXT, st.lists(TEXT, min_size=1, max_size=4), st.sampled_from(["en", "de", "tr", "zh", "xx"]), st.floats(0, 3))
def test_nothing_but_marks_and_case_changes(left: str, right: list[str], language: str, pause_s: float) -> None:
    before, after = Word(left, 1.0, 2.0, 0.5), [Word(text, 3.0, 4.0, 0.5, space_before=False) for text in right]
    found = joint(before, after, language, pause_s)
    for now, was in ((found.left, before), (found.right, after[0])):
        assert (now.start_s, now.end_s, now.probability, now.source, now.space_before) == (
            was.start_s, was.end_s, was.probability, was.source, was.space_before,
        )  # fmt: skip
        assert letters(now.text) == letters(was.text)
    assert bool(found.reason) == ((found.left, found.right) != (before, after[0]))
    again = joint(found.left, [found.right, *after[1:]], language, pause_s)
    assert (again.left, again.right) == (found.left, found.right), "what is mended is not mended again"


def letters(text: str) -> str:
    small = text.replace("İ", "i").replace("I", "ı").lower()
    return "".join(c for c in small if c.isalnum()).replace("ı", "i")


def result(index: int, text: str, *, tail_s: float = 0.1, language: str = "en") -> ChunkResult:
    """Chunk `index` of ten seconds, with speech up to `tail_s` before its end."""
    start = index * 10 * SAMPLE_RATE_HZ
    stop = start + round((10 - tail_s) * SAMPLE_RATE_HZ)
    chunk = SpeechChunk(index, start, np.zeros(10 * SAMPLE_RATE_HZ, np.float32), (SpeechSpan(start, stop),))
    timed = [
        TimedWord(Word(each, index * 10.0 + n * 0.5, index * 10.0 + n * 0.5 + 0.4, 0.9), (n,))
        for n, each in enumerate(text.split())
    ]
    attempts = (Attempt(0.0, 5, 1000, -0.2, 1.0, 0.1),)
    return ChunkResult(ChunkTask(0, chunk, language), language, words=tuple(timed), attempts=attempts)


TORN = ["It was so. We are at present concerned.", "differs from most, if not all books,", "The end came.", "Yes, so."]


def assembled(results: Sequence[ChunkResult]) -> tuple[list[Segment], Assembly]:
    assembly = Assembly("a.wav", "transcribe")
    left = [segment for one in results for segment in assembly.add(one)]
    return [*left, *assembly.finish()], assembly


def test_a_translation_is_joined_as_the_english_that_it_is() -> None:
    """ "i" is a word of Italian, Polish and Swedish."""
    assembly = Assembly("a.wav", "translate")
    said = [result(0, "He went and", language="it"), result(1, "I think so.", language="it")]
    left = [segment for one in said for segment in assembly.add(one)] + [*assembly.finish()]
    assert " ".join(segment.text for segment in left) == "He went and I think so."


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))])
def test_segments_leave_in_order_and_what_has_left_never_changes(order: Sequence[int]) -> None:
    left, assembly = assembled([result(n, TORN[n]) for n in order])
    assert left == assembly.segments
    assert [segment.index for segment in left] == list(range(len(left)))
    assert " ".join(segment.text for segment in left) == (
        "It was so. We are at present concerned, differs from most, if not all books, the end came. Yes, so."
    )
    assert [token for segment in left for token in segment.token_ids] == [
        n for text in TORN for n in range(len(text.split()))
    ]


def test_only_the_last_segment_waits_and_only_where_a_sentence_may_go_on() -> None:
    assembly = Assembly("a.wav", "transcribe")
    assert [segment.text for segment in assembly.add(result(0, TORN[0]))] == ["It was so."]
    assert [segment.text for segment in assembly.add(result(1, "Done with it.", tail_s=0.4))] == [
        "We are at present concerned.",
        "Done with it.",
    ]
    assert not list(assembly.finish())


@pytest.mark.parametrize("between", [result(1, ""), result(1, "differs, Sie", language="de")])
def test_behind_silence_or_another_language_no_sentence_goes_on(between: ChunkResult) -> None:
    left, _ = assembled([result(0, TORN[0]), between, result(2, "differs from most, if")])
    assert left[1].text == "We are at present concerned."


@pytest.mark.parametrize(
    ("language", "left", "right", "heard", "expected"),
    [
        ("fr", "votre premier projet_?", "Sélectionnez Speech", ", sélectionnez Speech", "projet, | sélectionnez"),
        ("it", "quattro schede, dati.", "Test, tra", ", test, tra", "dati, | test,"),
        ("es", "la vecina corte.", "Hube de", ", hubo de refer", "corte, | hube"),
        ("en", "my old excuse.", "Proving his", ", proving his", "excuse, | proving"),
        ("en", "he met her.", "Paris in May", ", Paris in", "her, | Paris"),
        ("en", "the “missal type.”", "Was in", ", was", "type,” | was"),
        ("zh", "我们知道。", "但是他", "，但是", "我们知道， | 但是他"),
        ("hi", "वह आया।", "और गया।", ", और", "आया, | और"),
    ],
)
def test_an_end_that_is_none_is_heard(language: str, left: str, right: str, heard: str, expected: str) -> None:
    last, following = words(left)[-1], words(right)
    assert is_to_be_heard(last, following, language, 0.3)
    found = joint_heard(last, following[0], language, 0.3, heard)
    assert f"{found.left.text} | {found.right.text}" == expected


@pytest.mark.parametrize(
    "heard",
    [
        ". The Middle Ages",  # it ends
        "? The",
        "... the",
        ", and then",  # another word
        "",
        ",",
        " the middle",  # no mark in spite of a pause
        ", The middle",  # no end, and yet a capital
        "\ufffd",
    ],
)
def test_an_end_that_is_one_stays(heard: str) -> None:
    last, following = words("letters themselves.")[-1], words("The Middle Ages")
    found = joint_heard(last, following[0], "en", 0.3, heard)
    assert (found.left, found.right, found.reason) == (last, following[0], "")


@pytest.mark.parametrize(
    ("language", "right", "heard"),
    [
        ("en", "I saw", ", in the"),
        ("en", "I'm here", ", in"),
        ("en", "An end", ", a"),
        ("en", "Paris is", ", part of"),
        ("en", "Rome fell", ", room"),
        ("de", "Mann kam", ", man kam"),
        ("de", "Regen kam", ", regnet es"),
        ("de", "Regen kam", ", rege"),
    ],
)
def test_a_word_that_only_begins_alike_tells_nothing_of_a_name(language: str, right: str, heard: str) -> None:
    last, following = words("letters themselves.")[-1], words(right)
    found = joint_heard(last, following[0], language, 0.3, heard)
    assert (found.left, found.right, found.reason) == (last, following[0], "")


@pytest.mark.parametrize(
    ("right", "heard"),
    [("Photograph", ", photographed the"), ("Produced", ", produ"), ("Hube", ", hubo"), ("The", ", the")],
)
def test_nearly_the_same_word_and_one_that_was_cut_off_are_the_same(right: str, heard: str) -> None:
    found = joint_heard(words("themselves.")[0], words(right)[0], "es", 0.3, heard)
    assert (found.left.text, found.right.text) == ("themselves,", right.lower())


def test_a_chunk_that_was_cut_in_speech_needs_no_mark() -> None:
    last, following = words("a similar process.")[-1], words("Produced the block")
    found = joint_heard(last, following[0], "en", 0.1, " produced the")
    assert (found.left.text, found.right.text) == ("process", "produced")


@pytest.mark.parametrize(
    ("left", "right", "pause_s"),
    [
        ("at present.", "Differs from", HEARD_PAUSE_S),  # a pause as between sentences
        ("at present.", "differs From", 0.3),  # decided without
        ("at present,", "Differs from", 0.3),
        ("at present...", "Differs from", 0.3),
        ("met Mr.", "Smith in", 0.3),
    ],
)
def test_only_what_nothing_else_tells_is_heard_again(left: str, right: str, pause_s: float) -> None:
    assert not is_to_be_heard(words(left)[-1], words(right), "en", pause_s)


@given(TEXT, TEXT, st.sampled_from(["en", "de", "tr", "zh", "xx"]), st.floats(0, 1), st.text(max_size=8) | TEXT)
def test_whatever_is_heard_changes_nothing_but_marks_and_case(
    left: str, right: str, language: str, pause_s: float, heard: str
) -> None:
    before, after = Word(left.strip(), 1.0, 2.0, 0.5), Word(right.strip(), 3.0, 4.0, 0.5)
    if not is_to_be_heard(before, [after], language, pause_s):
        return
    for found in (each(before, after, language, pause_s, heard) for each in (joint_heard, joint_heard_inside)):
        assert letters(found.left.text) == letters(before.text)
        assert letters(found.right.text) == letters(after.text)
        assert (found.left.end_s, found.right.start_s) == (2.0, 3.0)
