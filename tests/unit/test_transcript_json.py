"""Versions of transcripts as JSON: what is near a span is read without the rest, edits give what `parse` reads."""

from __future__ import annotations

from typing import Any

import pytest

from autorag_whisper.domain.transcript_errors import InvalidTranscript
from autorag_whisper.format import parse, render
from autorag_whisper.jobs.transcript_json import (
    edited,
    edition_of,
    lines_in,
    of_result,
    pack,
    transcript_of,
    unpack,
    words_in,
    words_near,
)


def word(text: str, at: float) -> dict[str, Any]:
    return {"word": text, "start": at, "end": at + 0.5, "probability": 0.5, "source": "tokens", "space_before": True}


def document(segments: int = 50) -> dict[str, Any]:
    """A result of two words every ten seconds."""
    made = [
        {"id": n, "start": 10.0 * n, "end": 10.0 * n + 1, "text": f"one {n}", "language_code": "en",
         "words": [word("one", 10.0 * n), word(f"{n}", 10.0 * n + 0.5)]}
        for n in range(segments)
    ]  # fmt: skip
    text = " ".join(str(one["text"]) for one in made)
    return {"text": text, "duration": 10.0 * segments, "spoken_language_code": "en", "segments": made}


@pytest.mark.parametrize("has_blanks", [True, False])
def test_words_near_a_span_are_those_of_the_whole(has_blanks: bool) -> None:
    whole = document()
    if not has_blanks:  # as older versions wrote it
        for segment in whole["segments"]:
            for one in segment["words"]:
                del one["space_before"]
    near = words_near(whole, (200.0, 210.0))
    assert near == [one for one in transcript_of(whole).words if 140 <= one.start_s <= 270]
    assert len(near) == 27


def test_an_edit_gives_what_is_read_as_a_transcript_and_is_packed_and_found() -> None:
    new = [{"words": [word("two", 20.1) | {"end": 20.9}]}, {"language_code": "de", "words": [word("drei", 21.0)]}]
    made = edited(document(), [{"from": 40, "to": 41, "segments": []}, {"from": 2, "to": 3, "segments": new}])
    assert [one["id"] for one in made["segments"]] == list(range(50))
    assert [one["text"] for one in made["segments"][1:5]] == ["one 1", "two", "drei", "one 3"]
    assert (made["segments"][2]["start"], made["segments"][2]["end"]) == (20.1, 20.9)
    transcript = transcript_of(made)
    assert transcript.text == made["text"]
    assert parse(render(transcript, "json")) == transcript
    assert transcript.segments[3].language == "de"
    assert (words_in(made), unpack(pack(made))) == (98, made)
    assert "21.000\tdrei" in lines_in(made).split("\n")
    assert of_result(render(transcript, "json"))["segments"][3]["words"][0]["word"] == "drei"
    kept = edition_of(made, "Anna", "", is_draft=True)
    assert (kept.words, kept.author, kept.is_draft) == (98, "Anna", True)


def test_what_overlaps_its_neighbour_in_the_rest_is_refused_by_its_place() -> None:
    late = [{"words": [word("late", 29.0) | {"end": 31.0}]}]
    with pytest.raises(InvalidTranscript) as refused:
        edited(document(), [{"from": 2, "to": 3, "segments": late}])
    assert refused.value.where == "segments[3].words[0].start"
