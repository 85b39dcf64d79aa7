"""Server-sent events of a transcription that is streamed: text as it comes, one `done` after all else."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi.responses import StreamingResponse

from autorag_whisper.server import errors
from autorag_whisper.server.bodies import logprobs_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AsyncExitStack

    from autorag_whisper.domain.transcript import Segment
    from autorag_whisper.server.access import Receive, Scope, Send
    from autorag_whisper.server.work import Recognition

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
KEEP_ALIVE_S = 10.0
"""Without an event for so long a comment is sent: proxies and clients end what is silent."""


async def stream(work: Recognition, *, logprobs: bool = False) -> AsyncIterator[str]:
    """The deltas together are the text of `done`. Where it fails, an event with the error is the last one.

    `logprobs`: each of them, and `done`, has those of its words.
    """
    first = True
    async for segment in _kept_alive(work):
        if segment is None:
            yield ": still at work\n\n"
            continue
        gap = "" if first or not segment.words or not segment.words[0].space_before else " "
        told = {"logprobs": logprobs_of(segment.words, goes_on=not first)} if logprobs else {}
        first = False
        yield _event({"type": "transcript.text.delta", "delta": gap + segment.text} | told)
    try:
        transcript = await work.transcript()
        text = await asyncio.to_thread(lambda: transcript.text)
        told = {"logprobs": await asyncio.to_thread(logprobs_of, transcript.words)} if logprobs else {}
    except Exception as error:  # noqa: BLE001 - it is told in the stream, whose status has been sent
        yield _event(errors.answer_to(error).body())
        return
    yield _event({"type": "transcript.text.done", "text": text} | told)


async def _kept_alive(work: Recognition) -> AsyncIterator[Segment | None]:
    """The segments; None where none came for a while."""
    segments = work.segments()
    waiting: asyncio.Task[Segment] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(segments))
            done, _ = await asyncio.wait({waiting}, timeout=KEEP_ALIVE_S)
            if not done:
                yield None
                continue
            try:
                segment = waiting.result()
            except StopAsyncIteration:
                return
            waiting = None
            yield segment
    finally:
        if waiting is not None:
            waiting.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await waiting


class EventStream(StreamingResponse):
    """An answer of events. It leaves `kept` when it ends, however, also where nothing of it was sent."""

    def __init__(self, kept: AsyncExitStack, body: AsyncIterator[bytes], headers: Mapping[str, str]) -> None:
        super().__init__(body, media_type="text/event-stream", headers={**headers, **_HEADERS})
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._kept:
            await super().__call__(scope, receive, send)


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
