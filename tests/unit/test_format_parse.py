from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.notes import NoteKind
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.domain.transcript_errors import InvalidTranscript
from autorag_whisper.format import parse, render
from autorag_whisper.format.schema import json_schema

OURS: dict[str, Any] = {
    "task": "transcribe", "language": "english", "duration": 8.47, "text": "Hello world.",
    "segments": [{
        "id": 0, "seek": 3025, "start": 0.5, "end": 1.5, "text": "Hello world.", "tokens": [1, 2], "temperature": 0.2,
        "avg_logprob": None, "compression_ratio": 1.1, "no_speech_prob": 0.01, "language_code": "en",
        "words": [
            {"word": "Hello", "start": 0.5, "end": 0.9, "probability": 0.98, "source": "tokens", "score": None},
            {"word": "world.", "start": 1.0, "end": 1.5, "probability": 0.5, "source": "ctc", "score": 0.75},
        ],
        "attempts": [],
    }],
    "language_code": "en", "spoken_language_code": "en", "language_probability": 0.99, "model": "base",
    "device": "cpu", "compute_type": "int8", "media": {"name": "a.wav", "damage": {"damaged_packets": 2}},
    "coverage": {"speech_s": 1.0, "something_newer": 1}, "something_newer": {},
}  # fmt: skip
"""A result as the first version wrote it, with less and more in it than there may be."""


def changed(**members: Any) -> str:
    return json.dumps(OURS | members)


def with_word(position: int, **members: Any) -> str:
    words = [dict(word) for word in OURS["segments"][0]["words"]]
    words[position] |= members
    return changed(segments=[OURS["segments"][0] | {"words": words}])


def test_what_an_earlier_version_did_not_write_has_its_default() -> None:
    transcript = parse(json.dumps(OURS))
    assert (transcript.name, transcript.duration_s, transcript.damage.damaged_packets) == ("a.wav", 8.47, 2)
    assert (transcript.coverage.speech_s, transcript.coverage.skipped_s, transcript.notes) == (1.0, 0.0, ())
    [segment] = transcript.segments
    assert (segment.seek_s, segment.token_ids) == (30.25, (1, 2))
    assert transcript.words[1].score == 0.75
    assert render(transcript, "srt") == "1\n00:00:00,500 --> 00:00:01,500\nHello world.\n\n"


def test_a_note_of_a_later_version_is_kept() -> None:
    transcript = parse(changed(notes=[{"kind": "from_the_future", "text": "so and so"}]))
    assert [(note.kind, note.text) for note in transcript.notes] == [(NoteKind.OTHER, "so and so")]


def test_words_that_overlap_by_a_tenth_of_a_second_as_earlier_versions_wrote_them_are_read() -> None:
    assert parse(with_word(0, end=1.1)).words[0].end_s == 1.1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "is empty"),
        ("{", "is no JSON"),
        (b"\xff\xfe\x00", "is no JSON"),
        (b"\0\0\0 ftypisom\xff\xff", "is no JSON, nor any text"),  # a video in the place of its result
        ("[" * 100_000, "is nested too deeply"),
        ('{"duration": NaN}', "NaN is no JSON"),
        ("17", "talk.json: is no object"),
        ("{}", "has no words with times"),
        (changed(duration="long"), "duration is no number"),
        (changed(duration=1.0), "duration is 1 s, but the last word ends at 1.5 s"),
        (changed(spoken_language_code="klingon"), "spoken_language_code 'klingon' is no language"),
        (changed(task="sing"), "task 'sing' is no task"),
        (changed(schema_version=2), "schema_version is 2: made by a later version"),
        (changed(segments={}), "segments is no array"),
        (changed(segments=[1]), "segments[0] is no object"),
        (changed(segments=[{"id": 0, "text": "x"}]), "segments[0].start is no number"),
        (with_word(0, start=None), "segments[0].words[0].start is no number"),
        (with_word(0, start=-1), "segments[0].words[0] word times"),
        (with_word(0, end=0.1), "segments[0].words[0] word times"),
        (with_word(0, end=1.4), "segments[0].words[1] begins at 1 s; the word before it is 0.5 to 1.4 s"),
        (with_word(1, start=0.4), "segments[0].words[1] begins at 0.4 s"),
        (with_word(1, end=2.0), "segments[0] is 0.5 to 1.5 s, and its words reach beyond"),
        (with_word(1, end=10**400), "segments[0].words[1].end is no number that a transcript can have"),
        (with_word(1, probability=1.5), "word probability cannot be 1.5"),
        (with_word(1, source="magic"), "segments[0].words[1].source 'magic' is none of ctc,"),
        (with_word(1, word=" "), "segments[0].words[1] word"),
    ],
)  # fmt: skip
def test_what_is_no_transcript_says_where_and_why(data: str | bytes, message: str) -> None:
    with pytest.raises(InvalidTranscript) as caught:
        parse(data, name="talk.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("talk.json: ")
    assert caught.value.remedy


def test_whispers_and_faster_whispers_words_have_their_blanks_in_front() -> None:
    words = [
        {"word": " Don", "start": 0.0, "end": 0.2, "probability": 0.9},
        {"word": "'t", "start": 0.2, "end": 0.5, "probability": 0.9},
        {"word": " go.", "start": 0.45, "end": 0.8, "probability": 0.9},
    ]
    segment = {"id": 0, "start": 0.0, "end": 0.8, "text": " Don't go.", "words": words, "avg_logprob": -0.2}
    transcript = parse(json.dumps({"text": " Don't go.", "segments": [segment], "language": "en"}))
    assert (transcript.text, transcript.duration_s, transcript.segments[0].avg_logprob) == ("Don't go.", 0.8, -0.2)
    assert [word.end_s for word in transcript.words] == [0.2, 0.45, 0.8]


def test_whisperxs_words_without_times_get_them_from_their_neighbours() -> None:
    words = [
        {"word": "In", "start": 0.0, "end": 0.2, "score": 0.9}, {"word": "1999"}, {"word": "or"},
        {"word": "so.", "start": 1.2, "end": 1.5, "score": 0.8},
    ]  # fmt: skip
    segment = {"start": 0.0, "end": 1.5, "text": "In 1999 or so.", "words": words}
    transcript = parse(json.dumps({"segments": [segment], "word_segments": words, "language": "en"}))
    assert transcript.text == "In 1999 or so."
    assert [(w.start_s, w.end_s) for w in transcript.words] == [(0.0, 0.2), (0.2, 0.7), (0.7, 1.2), (1.2, 1.5)]
    assert transcript.words[1].source is WordSource.INTERPOLATED
    assert transcript.words[0].score == 0.9


def test_openais_words_get_their_punctuation_from_the_text() -> None:
    words = [{"word": word, "start": n, "end": n + 0.5} for n, word in enumerate(["Hello", "world", "Bye"])]
    segments = [{"id": 0, "start": 0.0, "end": 2.5, "text": " Hello, world! Bye."}]
    result = {"task": "transcribe", "language": "english", "duration": 3.0, "text": "Hello, world! Bye."}
    transcript = parse(json.dumps(result | {"words": words, "segments": segments}))
    assert [segment.text for segment in transcript.segments] == ["Hello, world!", "Bye."]
    assert (transcript.language, transcript.duration_s) == ("en", 3.0)


def test_a_list_of_words_is_in_the_language_that_is_given() -> None:
    data = json.dumps([{"w": w, "s": n, "e": n + 1, "p": 0.5} for n, w in enumerate(["吾輩", "は", "猫。"])])
    transcript = parse(data, name="neko", language="Japanese")
    assert (transcript.text, transcript.language, transcript.name) == ("吾輩は猫。", "ja", "neko")
    with pytest.raises(InvalidOption, match="language"):
        parse(data, language="klingon")


@pytest.mark.parametrize("data", ["[]", '{"segments": []}', '{"text": "", "segments": [], "words": []}'])
def test_a_result_without_speech_is_empty(data: str) -> None:
    assert parse(data).words == ()


@pytest.mark.parametrize(
    "result",
    [
        {"text": "Hello.", "segments": [{"start": 0.0, "end": 1.0, "text": "Hello."}]},
        {"text": "Hello."},
        {"segments": [{"text": "Hello.", "words": [{"word": "Hello."}]}]},
        {"segments": [{"text": "Two", "words": [{"word": "Two", "start": 0, "end": 1}]}, {"text": "more"}]},
        {"words": [{"word": "b", "start": 2.0, "end": 3.0}, {"word": "a", "start": 1.0, "end": 2.0}]},
    ],
)
def test_text_whose_words_have_no_times_or_are_out_of_order_is_refused(result: dict[str, Any]) -> None:
    with pytest.raises(InvalidTranscript):
        parse(json.dumps(result))


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("猫。", "zh"), ("吾輩は猫。", "ja"), ("カメラ", "ja"), ("안녕하세요", "ko"), ("วันนี้", "th"),
        ("مرحبا", "ar"), ("שלום", "he"), ("привет", "ru"), ("hello", "en"), ("hi 猫 you", "en"),
    ],
)  # fmt: skip
def test_text_of_a_language_that_nobody_names_is_told_by_its_letters(text: str, language: str) -> None:
    assert parse(json.dumps([{"w": text, "s": 0, "e": 1, "p": 1}])).language == language


@given(st.lists(st.one_of(st.none(), st.floats(0.0, 3.0)), min_size=1, max_size=12).filter(any))
def test_words_without_times_share_what_lies_between_their_neighbours(gaps: list[float | None]) -> None:
    now, words = 0.0, []
    for number, gap in enumerate(gaps):
        if gap is not None:
            now += gap
        times = {} if gap is None else {"start": now, "end": now}
        words.append({"word": f"w{number}", **times})
    read = [word for segment in parse(json.dumps({"words": words})).segments for word in segment.words]
    known = [n for n, gap in enumerate(gaps) if gap is not None]
    for n, word in enumerate(read):
        ahead = next((read[k].start_s for k in known if k >= n), None)
        if n in known or ahead is None:
            continue
        before = read[n - 1].end_s if n else ahead
        left = next(k for k in known if k >= n) - n
        assert word.start_s == pytest.approx(before)
        assert word.end_s == pytest.approx(before + (ahead - before) / left)


def test_a_word_without_times_behind_one_that_reaches_into_the_next_lies_before_that() -> None:
    words = [{"word": "a", "start": 0, "end": 5}, {"word": "7"}, {"word": "b", "start": 3, "end": 6}]
    transcript = parse(json.dumps({"segments": [{"text": "a 7 b", "words": words}]}))
    assert [(word.start_s, word.end_s) for word in transcript.words] == [(0.0, 3.0), (3.0, 3.0), (3.0, 6.0)]


def test_an_empty_language_says_nothing() -> None:
    words = [{"word": "gut", "start": 0, "end": 1}]
    assert parse(json.dumps({"language": "", "words": words}), language="de").language == "de"
