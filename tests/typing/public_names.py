"""What a user's type checker sees. Checked by mypy, never run."""

import io
from pathlib import Path
from typing import assert_type

import numpy as np

from autorag_whisper import (
    AutoragWhisperError,
    FileOutcome,
    LoadedModel,
    MediaSource,
    Progress,
    Quality,
    Segment,
    TranscribeOptions,
    Transcriber,
    Transcript,
    TranscriptStream,
    WorkerTranscriber,
    build_transcriber,
    get_model,
    render,
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

for media in (b"", bytearray(), Path("a.wav"), io.BytesIO(), np.zeros(1, np.float32), MediaSource.from_bytes(b"")):
    assert_type(transcriber.transcribe(media), Transcript)
assert_type(MediaSource.from_samples(np.zeros((2, 100), np.int16), 48_000, name="call"), MediaSource)


def on_progress(progress: Progress) -> None:
    assert_type(progress.source, MediaSource)
    assert_type(progress.total_s, float | None)


options = TranscribeOptions(language="en", quality=Quality.FAST)
for outcome in transcriber.transcribe_many(["a.mp3"], options, on_progress=on_progress):
    assert_type(outcome, FileOutcome)
    if outcome.error is None:
        assert_type(outcome.transcript, Transcript)
    else:
        assert_type(outcome.error, AutoragWhisperError)
    if outcome.transcript:
        assert_type(outcome.transcript, Transcript)
    assert_type(str(outcome.error or outcome.transcript.text), str)
    assert_type(outcome.result(), Transcript)

with WorkerTranscriber() as worker:
    for outcome in worker.transcribe_many(["a.mp3"], on_progress=on_progress):
        assert_type(render(outcome.result(), "srt") if outcome.error is None else str(outcome.error), str)

transcriber.transcribe("a.wav", "en")  # type: ignore[arg-type]  # options are an object
get_model(3)  # type: ignore[arg-type]  # a size is a name
