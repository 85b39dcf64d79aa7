"""Answers with a whole transcript, as OpenAI gives them: what was not asked for is absent, never empty or null."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.language import LANGUAGES
from autorag_whisper.format import render
from autorag_whisper.format.language import text_language
from autorag_whisper.format.structured import MEL_FRAMES_PER_S
from autorag_whisper.format.times import Clock
from autorag_whisper.server.fields import Asked, ResponseFormat

if TYPE_CHECKING:
    from autorag_whisper.domain.transcript import Segment, Transcript

CONTENT_TYPES = {
    ResponseFormat.JSON: "application/json",
    ResponseFormat.VERBOSE_JSON: "application/json",
    ResponseFormat.TEXT: "text/plain; charset=utf-8",
    ResponseFormat.SRT: "application/x-subrip; charset=utf-8",
    ResponseFormat.VTT: "text/vtt; charset=utf-8",
}


def text_body(transcript: Transcript, asked: Asked) -> str:
    """Of the formats that are no JSON."""
    if asked.response_format is ResponseFormat.TEXT:
        return f"{transcript.text}\n"
    return render(transcript, asked.response_format.value)


def json_body(transcript: Transcript, asked: Asked) -> dict[str, Any]:
    """Of `json`: `text` and `usage` alone, as strict clients refuse more. Of `verbose_json`: what was asked for."""
    usage = {"type": "duration", "seconds": math.ceil(transcript.duration_s)}
    if asked.response_format is ResponseFormat.JSON:
        return {"text": transcript.text, "usage": usage}
    clock, code = Clock(transcript.duration_s), text_language(transcript)
    body: dict[str, Any] = {
        "task": transcript.task,
        "language": LANGUAGES.get(code, code),
        "duration": float(transcript.duration_s),
        "text": transcript.text,
        "usage": usage,
    }
    if asked.segments:
        body["segments"] = [_segment(segment, clock) for segment in transcript.segments]
    if asked.words:
        body["words"] = [
            {"word": word.text, "start": clock.seconds(word.start_s), "end": clock.seconds(word.end_s)}
            for word in transcript.words
        ]
    return body


def _segment(segment: Segment, clock: Clock) -> dict[str, Any]:
    return {
        "id": segment.index,
        "seek": round(segment.seek_s * MEL_FRAMES_PER_S),
        "start": clock.seconds(segment.start_s),
        "end": clock.seconds(segment.end_s),
        "text": segment.text,
        "tokens": list(segment.token_ids),
        "temperature": _finite(segment.temperature),
        "avg_logprob": _finite(segment.avg_logprob),
        "compression_ratio": _finite(segment.compression_ratio),
        "no_speech_prob": _finite(segment.no_speech_prob),
    }


def _finite(figure: float) -> float:
    """JSON has no other numbers, and clients no null here."""
    return figure if math.isfinite(figure) else 0.0
