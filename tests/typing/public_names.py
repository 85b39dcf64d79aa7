"""What a user's type checker sees. Checked by mypy, never run."""

import io
from dataclasses import replace
from pathlib import Path
from typing import assert_type

import numpy as np

from autorag_whisper import (
    Aligner,
    AutoragWhisperError,
    FileOutcome,
    LoadedModel,
    MediaSource,
    Progress,
    Quality,
    Segment,
    SubtitleOptions,
    Task,
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
from autorag_whisper.domain.clips import Clip
from autorag_whisper.format.options import Highlight

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


# What is accepted as plain text at run time is accepted by the type, and read back in its one form.
options = TranscribeOptions(language="en", quality=Quality.FAST)
plain = TranscribeOptions(quality="fast", task="translate", aligner="none", clips="1:30-2:45", suppress_tokens="-1,50")
assert_type(plain.quality, Quality)
assert_type(plain.task, Task)
assert_type(plain.aligner, Aligner)
assert_type(plain.clips, tuple[Clip, ...])
assert_type(plain.suppress_tokens, tuple[int, ...])
assert_type(replace(plain, quality="best", temperatures=[0.0], allowed_languages="en,de"), TranscribeOptions)
assert_type(SubtitleOptions(highlight="karaoke").highlight, Highlight)
TranscribeOptions(quality="fats")  # type: ignore[arg-type]  # no quality is called that
TranscribeOptions(clips=[(1.0, None), "2:00-", Clip(0.0, 1.0)], task="summarise")  # type: ignore[arg-type]
SubtitleOptions(highlight="blink")  # type: ignore[arg-type]
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
