"""What a real run writes: the schema describes it, and it is read back as it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import av
import pytest
from jsonschema import Draft202012Validator

from autorag_whisper import Highlight, SubtitleOptions, build_transcriber, parse, render
from autorag_whisper.format.schema import json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autorag_whisper import Transcript


@pytest.fixture(scope="module")
def transcript(demo_sample: Path) -> Iterator[Transcript]:
    with build_transcriber() as transcriber:
        yield transcriber.transcribe(demo_sample, model="tiny.en")


def strict(schema: Any) -> Any:
    """`schema` without room for members that it does not describe."""
    if isinstance(schema, dict):
        inner = {key: strict(value) for key, value in schema.items()}
        return inner | {"additionalProperties": False} if "properties" in inner else inner
    return [strict(item) for item in schema] if isinstance(schema, list) else schema


def test_a_real_result_keeps_the_schema_and_says_no_more_than_it_describes(transcript: Transcript) -> None:
    result = json.loads(render(transcript, "json"))
    assert result["words"]
    assert [error.message for error in Draft202012Validator(strict(json_schema())).iter_errors(result)] == []


def test_a_real_result_is_read_back_and_gives_the_same_files(transcript: Transcript) -> None:
    text = render(transcript, "json")
    read = parse(text)
    assert render(read, "json") == text
    assert read.text == transcript.text
    for name in ("srt", "vtt", "ass", "txt", "tsv", "words"):
        assert render(read, name) == render(transcript, name)


@pytest.mark.parametrize("highlight", list(Highlight))
@pytest.mark.parametrize("name", ["srt", "vtt", "ass"])
def test_ffmpeg_reads_every_kind_of_subtitles(
    transcript: Transcript, name: str, highlight: Highlight, tmp_path: Path
) -> None:
    path = tmp_path / f"talk.{name}"
    path.write_text(render(transcript, name, SubtitleOptions(highlight=highlight)), encoding="utf-8")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(container.streams.subtitles[0]) if packet.duration]
    steps = len(packets)
    assert steps >= len(transcript.words) if highlight is Highlight.UNDERLINE else steps >= 1
    assert [packet.pts for packet in packets] == sorted(packet.pts for packet in packets)
