"""Answers with a whole transcript, as OpenAI gives them: what was not asked for is absent, never empty or null."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.language import LANGUAGES
from autorag_whisper.format import render
from autorag_whisper.format.language import text_language
from autorag_whisper.format.structured import MEL_FRAMES_PER_S, usage_of
from autorag_whisper.format.times import Clock
from autorag_whisper.server.answers import as_bytes, json_text
from autorag_whisper.server.fields import Asked, ResponseFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.transcript import Segment, Transcript, Word

_LEAST = 1e-6
"""The probability below which its logarithm says nothing more."""

CONTENT_TYPES = {
    ResponseFormat.JSON: "application/json",
    ResponseFormat.VERBOSE_JSON: "application/json",
    ResponseFormat.TEXT: "text/plain; charset=utf-8",
    ResponseFormat.SRT: "application/x-subrip; charset=utf-8",
    ResponseFormat.VTT: "text/vtt; charset=utf-8",
}


def body_of(transcript: Transcript, asked: Asked) -> bytes:
    """The answer in the format that was asked for. It takes a while: not for the event loop's thread."""
    if asked.response_format in (ResponseFormat.JSON, ResponseFormat.VERBOSE_JSON):
        return as_json(json_body(transcript, asked))
    if asked.response_format is ResponseFormat.TEXT:
        return f"{transcript.text}\n".encode()
    return render(transcript, asked.response_format.value).encode()


def as_json(body: dict[str, Any]) -> bytes:
    """JSON, of long lists an item at a time: the encoder lets no other thread run while it is at one object."""
    parts = [
        f"{json_text(name)}:{_items(value) if isinstance(value, list) else json_text(value)}"
        for name, value in body.items()
    ]
    return as_bytes(f"{{{','.join(parts)}}}")


def _items(values: list[Any]) -> str:
    return f"[{','.join(json_text(value) for value in values)}]"


def json_body(transcript: Transcript, asked: Asked) -> dict[str, Any]:
    """Of `json`: `text` and `usage` alone, as strict clients refuse more. Of `verbose_json`: what was asked for."""
    usage = usage_of(transcript)
    if asked.response_format is ResponseFormat.JSON:
        short: dict[str, Any] = {"text": transcript.text, "usage": usage}
        return short | {"logprobs": logprobs_of(transcript.words)} if asked.logprobs else short
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


def logprobs_of(words: Sequence[Word], *, goes_on: bool = False) -> list[dict[str, Any]]:
    """`include[]=logprobs`: an item for each word, with its blank, which together are the text.

    `goes_on`: there is text before it, so that the first one has its blank too.
    """
    found: list[dict[str, Any]] = []
    for word in words:
        token = f" {word.text}" if word.space_before and (found or goes_on) else word.text
        logprob = math.log(max(word.probability, _LEAST))
        found.append({"token": token, "logprob": logprob, "bytes": list(token.encode())})
    return found


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
