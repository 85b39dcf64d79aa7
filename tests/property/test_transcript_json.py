"""A transcript and its JSON say the same: back and forth nothing is lost, and nothing but a transcript is read."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import fields, replace
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from autorag_whisper.domain.transcript import Segment, Transcript, Word
from autorag_whisper.domain.transcript_errors import InvalidTranscript
from autorag_whisper.format import FORMATS, parse, render
from autorag_whisper.format.schema import json_schema
from transcripts import whole_transcripts


def strict(schema: Any) -> Any:
    """`schema` without room for members that it does not describe."""
    if isinstance(schema, dict):
        inner = {key: strict(value) for key, value in schema.items()}
        return inner | {"additionalProperties": False} if "properties" in inner else inner
    return [strict(item) for item in schema] if isinstance(schema, list) else schema


STRICT = Draft202012Validator(strict(json_schema()))


@given(whole_transcripts())
def test_a_transcript_is_read_back_from_its_json_as_it_was(transcript: Transcript) -> None:
    assert parse(render(transcript, "json")) == transcript


def test_the_transcripts_of_these_laws_differ_in_every_field() -> None:
    """A field that is added and not drawn would be held to no law."""
    seen: dict[tuple[type, str], set[str]] = {
        (kind, item.name): set() for kind in (Transcript, Segment, Word) for item in fields(kind)
    }

    @settings(max_examples=50, phases=[Phase.generate])
    @given(whole_transcripts())
    def look(transcript: Transcript) -> None:
        for part in (transcript, *transcript.segments, *transcript.words):
            for item in fields(part):
                seen[type(part), item.name].add(repr(getattr(part, item.name)))

    look()
    assert [place for place, values in seen.items() if len(values) < 2] == []


@given(whole_transcripts())
def test_converting_later_gives_what_writing_at_once_gave(transcript: Transcript) -> None:
    read = parse(render(transcript, "json"))
    assert [render(read, name) for name in FORMATS] == [render(transcript, name) for name in FORMATS]


@given(whole_transcripts())
def test_the_schema_describes_every_member_of_a_result(transcript: Transcript) -> None:
    assert [error.message for error in STRICT.iter_errors(json.loads(render(transcript, "json")))] == []


@given(st.data(), st.floats(0, 1.5), st.floats(0, 1), st.integers(0, 14_400).map(lambda n: n / 16_000))
def test_times_come_back_to_the_millisecond_and_the_second_time_exactly(
    data: st.DataObject, length_s: float, probability: float, early_s: float
) -> None:
    whole = data.draw(whole_transcripts().filter(lambda transcript: transcript.segments))
    segment = whole.segments[-1]
    word = Word("last", segment.end_s, segment.end_s + length_s, probability)
    segment = replace(segment, words=(*segment.words, word), end_s=word.end_s + early_s, avg_logprob=-math.inf)
    transcript = replace(whole, segments=(*whole.segments[:-1], segment), duration_s=segment.end_s + early_s)
    read = parse(render(transcript, "json"))
    assert abs(read.words[-1].end_s - word.end_s) <= 0.001
    assert abs(read.words[-1].probability - probability) <= 0.00005
    assert math.isnan(read.segments[-1].avg_logprob)
    assert render(parse(render(read, "json")), "json") == render(read, "json") == render(transcript, "json")


@given(whole_transcripts(), st.integers(0, 7200), st.floats(0, 4e-8))
def test_seconds_of_use_are_those_of_the_duration_that_is_written(
    transcript: Transcript, whole_s: int, more_s: float
) -> None:
    written = json.loads(render(replace(transcript, duration_s=whole_s + more_s), "json"))
    assert written["usage"]["seconds"] == math.ceil(written["duration"])


@given(whole_transcripts())
def test_the_list_of_words_gives_the_words_back(transcript: Transcript) -> None:
    read = parse(render(transcript, "words"))
    assert [(w.text, w.start_s, w.end_s, w.probability) for w in read.words] == [
        (w.text, w.start_s, w.end_s, w.probability) for w in transcript.words
    ]


@given(whole_transcripts())
def test_json_that_we_wrote_before_there_was_a_version_is_read(transcript: Transcript) -> None:
    """Without version, blanks, exact starts of chunks and notes; the blanks come from the text."""
    plain = [replace(word, text=f"w{n}.", space_before=n % 3 > 0) for n, word in enumerate(transcript.words)]
    words, segments = iter(plain), []
    for segment in transcript.segments:
        own = tuple(next(words) for _ in segment.words)
        segments.append(replace(segment, words=own, seek_s=round(segment.seek_s, 2)))
    now = replace(transcript, segments=tuple(segments), notes=())
    result = json.loads(render(now, "json"))
    del result["schema_version"], result["notes"]
    for segment in result["segments"]:
        del segment["seek_s"]
        for word in segment["words"]:
            del word["space_before"]
    read = parse(json.dumps(result))
    assert read.text == now.text
    assert [w.text for w in read.words] == [w.text for w in plain]
    assert [w.space_before for w in read.words][1:] == [w.space_before for w in plain][1:]


NOT_TRANSCRIPTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["segments", "words", "word", "w", "start", "end", "s", "e", "text", "language", "duration"]
            )
            | st.sampled_from(
                ["spoken_language_code", "schema_version", "media", "id", "probability", "score", "task"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(NOT_TRANSCRIPTS)
def test_any_other_json_is_a_transcript_or_a_typed_error(value: Any) -> None:
    try:
        transcript = parse(json.dumps(value))
    except InvalidTranscript:
        return
    assert isinstance(transcript, Transcript)
    assert [render(transcript, name) for name in FORMATS]


@given(whole_transcripts(), st.data())
def test_a_result_with_one_value_replaced_is_read_or_refused(transcript: Transcript, data: st.DataObject) -> None:
    result = json.loads(render(transcript, "json"))
    place = result
    for _ in range(data.draw(st.integers(1, 6))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(st.sampled_from([None, True, -1, 2.5, 1e300, "x", [], {}, [1], {"a": 1}]))
            break
        place = place[key]
    with contextlib.suppress(InvalidTranscript):
        assert isinstance(parse(json.dumps(result)), Transcript)


@given(st.binary(max_size=40) | st.text(max_size=40))
def test_what_is_no_json_is_a_typed_error(data: bytes | str) -> None:
    try:
        parse(data)
    except InvalidTranscript:
        return
    json.loads(data)
