"""What OpenAI's own client expects of a service that is started, wherever it runs: tests for a fixture `served`.

Modules that have such a fixture import them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai.types import Model
from openai.types.audio import Transcription, TranscriptionVerbose
from pydantic import BaseModel

if TYPE_CHECKING:
    from pathlib import Path

    from served import Served


def test_openais_client_reads_every_format(served: Served, demo_sample: Path) -> None:
    create = served.client.audio.transcriptions.create
    plain = create(file=demo_sample, model="whisper-1")
    assert "tickets" in plain.text
    assert plain.usage is not None
    assert plain.usage.type == "duration"
    verbose = create(
        file=demo_sample, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert (verbose.language, verbose.text) == ("english", plain.text)
    assert verbose.words is not None
    assert [word.word for word in verbose.words] == plain.text.split()
    assert verbose.segments is not None
    assert verbose.segments[0].avg_logprob < 0
    assert create(file=demo_sample, model="whisper-1", response_format="text") == plain.text + "\n"
    assert create(file=demo_sample, model="whisper-1", response_format="srt").startswith("1\n00:00:0")
    assert create(file=demo_sample, model="whisper-1", response_format="vtt").startswith("WEBVTT")


def test_openais_client_reads_the_stream(served: Served, demo_sample: Path) -> None:
    *deltas, done = served.client.audio.transcriptions.create(file=demo_sample, model="whisper-1", stream=True)
    assert done.type == "transcript.text.done"
    assert done.text == "".join(event.delta for event in deltas if event.type == "transcript.text.delta")


def test_openais_client_raises_its_own_errors(served: Served, demo_sample: Path, tmp_path: Path) -> None:
    create = served.client.audio.transcriptions.create
    (tmp_path / "no.wav").write_bytes(b"no media")
    with pytest.raises(openai.BadRequestError) as bad:
        create(file=tmp_path / "no.wav", model="whisper-1")
    assert (bad.value.param, bad.value.code) == ("file", "invalid_value")
    with pytest.raises(openai.BadRequestError):
        create(file=demo_sample, model="whisper-1", language="klingon")
    stranger = openai.OpenAI(api_key="sk-wrong", base_url=f"{served.base}/v1", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    assert next(model.id for model in served.client.models.list()) == "tiny.en"


def strictly(answer: Any, model: type[BaseModel]) -> None:
    """That an answer is exactly what OpenAI's own types say: no field of another type, none that they do not know."""
    read = model.model_validate_json(answer.http_response.content, strict=True)
    unknown = list[str]()

    def look(value: object) -> None:
        if isinstance(value, BaseModel):
            unknown.extend(value.model_extra or {})
            for name in type(value).model_fields:
                look(getattr(value, name))
        elif isinstance(value, list):
            for item in value:
                look(item)

    look(read)
    assert set(unknown) <= {"task"}  # which OpenAI sends, and its types leave out


def test_answers_are_what_openais_own_types_say(served: Served, demo_sample: Path) -> None:
    create = served.client.audio.transcriptions.with_raw_response.create
    both = ["word", "segment"]
    strictly(create(file=demo_sample, model="whisper-1"), Transcription)
    strictly(create(file=demo_sample, model="whisper-1", include=["logprobs"]), Transcription)
    for given in ({}, {"timestamp_granularities": ["word"]}, {"timestamp_granularities": both}):
        answer = create(file=demo_sample, model="whisper-1", response_format="verbose_json", **given)
        strictly(answer, TranscriptionVerbose)
    strictly(served.client.models.with_raw_response.retrieve("tiny.en"), Model)
