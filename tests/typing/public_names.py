"""What a user's type checker sees. Checked by mypy, never run."""

from pathlib import Path
from typing import assert_type

from autorag_whisper import (
    LoadedModel,
    Segment,
    TranscribeOptions,
    Transcriber,
    Transcript,
    TranscriptStream,
    build_transcriber,
    get_model,
    resolved_device,
    transcribe_segment,
)

model = get_model("base", "cuda:1")
assert_type(model, LoadedModel)
assert_type(model.device, str)
assert_type(resolved_device(), str)
for word in transcribe_segment(model, Path("a.wav"), None):
    assert_type(word["w"], str)
    assert_type(word["s"], float)

with build_transcriber() as transcriber:
    assert_type(transcriber, Transcriber)
    assert_type(transcriber.transcribe("a.wav", TranscribeOptions(language="en"), model=model), Transcript)
    with transcriber.stream("a.wav") as stream:
        assert_type(stream, TranscriptStream)
        for segment in stream:
            assert_type(segment, Segment)
            segment.text = ""  # type: ignore[misc]  # results are frozen

transcriber.transcribe("a.wav", "en")  # type: ignore[arg-type]  # options are an object
get_model(3)  # type: ignore[arg-type]  # a size is a name
