"""`/asr` and `/detect-language` of whisper-asr-webservice, which Bazarr and others speak."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response

from autorag_whisper.domain.clips import Clip
from autorag_whisper.domain.language import LANGUAGES
from autorag_whisper.format import render
from autorag_whisper.server import documents, uploads
from autorag_whisper.server.answers import Json
from autorag_whisper.server.errors import ApiError
from autorag_whisper.server.fields import options_of

if TYPE_CHECKING:
    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.server.app import Service

_OUTPUTS = {
    "txt": "text/plain; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "json": "application/json",
}
_HEARD_S = 30.0
"""Of which the language is told."""


def add_routes(app: FastAPI, service: Service) -> None:
    """Both routes; their parameters are in the query."""

    async def heard(request: Request, task: str, *, clip: bool) -> Transcript:
        query = request.query_params
        fields = {name: [query[name]] for name in ("language", "hotwords") if name in query and not clip}
        fields |= {"prompt": [query["initial_prompt"]]} if "initial_prompt" in query and not clip else {}
        more = {"clips": (Clip(0.0, _HEARD_S),)} if clip else {}
        options = options_of(fields, task, service.settings.max_audio_s, **more)
        is_pcm = query.get("encode", "true").lower() == "false"
        upload = await uploads.receive(request, service.settings, "audio_file", pcm=is_pcm)
        async with service.recognised(upload, options, service.settings.model) as work:
            return await work.unless_gone(request)

    @app.post("/asr", openapi_extra=documents.ASR)
    async def asr(request: Request) -> Response:
        """Text of speech. `encode=false`: the audio is 16 kHz mono signed 16 bit, without a header."""
        output = request.query_params.get("output") or "txt"
        task = request.query_params.get("task") or "transcribe"
        for name, value, allowed in (("output", output, list(_OUTPUTS)), ("task", task, ["transcribe", "translate"])):
            if value not in allowed:
                message = f"{name} cannot be {value[:50]!r}. Use {', '.join(allowed)}."
                raise ApiError(400, message, param=name, code="invalid_value")
        transcript = await heard(request, task, clip=False)
        return Response(await asyncio.to_thread(render, transcript, output), media_type=_OUTPUTS[output])

    @app.post("/detect-language", openapi_extra=documents.ASR)
    async def detect_language(request: Request) -> Response:
        """The language of the first half minute."""
        transcript = await heard(request, "transcribe", clip=True)
        code = transcript.language
        return Json(
            {
                "detected_language": LANGUAGES.get(code, code),
                "language_code": code,
                "confidence": round(transcript.language_probability, 4),
            }
        )
