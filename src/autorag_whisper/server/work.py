"""Recognitions in work: one for all requests that ask the same, in a thread, heard by any number of them.

```
request -> Recognitions.join(key) -> Recognition: segments as they come, then the transcript or its error
request -> the same key, while it is in work -> the same Recognition, from its first segment on
the last one leaves -> the work is cancelled, within a batch
```
All of it belongs to the event loop's thread, but for `_Recognition._run`, which posts to it.
"""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.server.errors import RETRY_AFTER_S, ApiError
from autorag_whisper.transcriber.cancellation import CancelToken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from fastapi import Request

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Segment, Transcript
    from autorag_whisper.server.uploads import Upload
    from autorag_whisper.transcriber.protocol import TranscriberProtocol


Wanted = TypeVar("Wanted")

LEAST_S = 0.1
"""Shorter audio is refused, as OpenAI does: nothing can be said in it, and clients take no words for a failure."""


COMMAND_S = 5.0
"""Whoever sends so little has cut it out himself, a command: voice activity alone does not say that it is nothing."""


def may_be_unheard(transcript: Transcript, options: TranscribeOptions) -> bool:
    """Whether nothing of a short clip came to the recogniser, which then is to hear all of it.

    What it makes of noise is still rejected by the rules, which know how little voice there was.
    """
    was_offered = transcript.segments or transcript.rejected or transcript.coverage.speech_s
    return options.vad and LEAST_S <= transcript.duration_s < COMMAND_S and not was_offered


def too_short() -> ApiError:
    """Of a request whose audio is no audio worth the name."""
    message = f"The audio is too short: {LEAST_S:g} seconds is the least."
    return ApiError(400, message, param="file", code="invalid_value")


class Recognition:
    """What comes of one file. Iterate `segments`, then ask for `transcript`. `priority`: at the engine."""

    def __init__(self, priority: int = 0) -> None:
        self.priority = priority
        self._segments: list[Segment] = []
        self._over: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self.cancel = CancelToken()
        self.listeners = 0

    async def segments(self) -> AsyncIterator[Segment]:
        """From the first one on, each as soon as it is there. Ends with the work, also where that failed."""
        heard = 0
        while True:
            while heard < len(self._segments):
                yield self._segments[heard]
                heard += 1
            if self._over.done():
                return
            self._changed.clear()
            await self._changed.wait()

    @property
    def failed(self) -> bool:
        """Whether it is over without a transcript."""
        return self._over.done() and self._over.exception() is not None

    @property
    def audio_s(self) -> float:
        """How much audio was recognised, once it is over."""
        return self._over.result().duration_s if self._over.done() and not self.failed else 0.0

    async def unless_gone(self, request: Request) -> Transcript:
        """The transcript. Raises what went wrong, and ApiError as soon as the client of `request` has gone away."""
        return await unless_gone(request, self.transcript())

    async def transcript(self) -> Transcript:
        """The whole. Raises what went wrong."""
        return await asyncio.shield(self._over)

    def post(self, segment: Segment) -> None:
        """One more."""
        self._segments.append(segment)
        self._changed.set()

    def finish(self, transcript: Transcript | BaseException) -> None:
        """It is over."""
        if isinstance(transcript, BaseException):
            self._over.set_exception(transcript)
            self._over.exception()  # nobody need ask for it
        else:
            self._over.set_result(transcript)
        self._changed.set()


class Recognitions:
    """Every recognition that is in work. `most` at a time: more are refused, not queued behind an HTTP timeout.

    `on_beat` is called, in a thread of the work, whenever the engine has got on.
    """

    def __init__(self, transcriber: TranscriberProtocol, most: int, on_beat: Callable[[], None]) -> None:
        self._transcriber, self._most, self._on_beat = transcriber, most, on_beat
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="autorag-whisper-request")
        self._in_work: dict[str, Recognition] = {}

    def __len__(self) -> int:
        return len(self._in_work)

    @property
    def in_work(self) -> list[Recognition]:
        """Each of them, once."""
        return list(self._in_work.values())

    @contextmanager
    def join(
        self, key: str, upload: Upload, model: str, options: TranscribeOptions, priority: int = 0
    ) -> Iterator[Recognition]:
        """The recognition of `key`, begun if there is none; whoever leaves last stops it. `upload` is closed in time.

        Raises ApiError (503) where enough are in work.
        """
        found = self._in_work.get(key)
        if found is not None:
            upload.file.close()
        elif len(self._in_work) >= self._most:
            upload.file.close()
            message = f"{self._most} requests are in work, which is the limit. Try again later."
            raise ApiError(503, message, "server_error", code="overloaded", headers={"Retry-After": str(RETRY_AFTER_S)})
        else:
            found = self._in_work[key] = Recognition(priority)
            self._begin(key, found, upload, model, options)
        found.listeners += 1
        try:
            yield found
        finally:
            found.listeners -= 1
            if not found.listeners:
                found.cancel.cancel()
                if self._in_work.get(key) is found:  # whoever comes now begins anew
                    del self._in_work[key]

    def _begin(self, key: str, work: Recognition, upload: Upload, model: str, options: TranscribeOptions) -> None:
        loop = asyncio.get_running_loop()

        def post(act: Callable[..., None], *given: object) -> None:
            loop.call_soon_threadsafe(act, *given)

        def finish(outcome: Transcript | BaseException) -> None:
            if self._in_work.get(key) is work:
                del self._in_work[key]
            work.finish(outcome)

        def heard(options: TranscribeOptions) -> Transcript:
            with self._transcriber.stream(
                upload.source(),
                options,
                model=model,
                on_progress=lambda _: self._on_beat(),
                cancel=work.cancel,
                priority=work.priority,
            ) as stream:
                for segment in stream:
                    post(work.post, segment)
                return stream.result()

        def run() -> None:
            outcome: Transcript | BaseException
            try:
                with upload.file:
                    outcome = heard(options)
                    if may_be_unheard(outcome, options):
                        upload.file.seek(0)
                        outcome = heard(replace(options, vad=False))
                if outcome.duration_s < LEAST_S:
                    outcome = too_short()
            except AutoragWhisperError as error:
                outcome = error
            except BaseException as error:  # noqa: BLE001 - the request answers it, as an internal error
                outcome = error
            post(finish, outcome)

        self._threads.submit(contextvars.copy_context().run, run)  # its spans join the request's trace

    def close(self) -> None:
        """Stop what is in work, and wait for it. Not for the event loop's thread."""
        for work in list(self._in_work.values()):
            work.cancel.cancel()
        self._threads.shutdown()


async def unless_gone(request: Request, wanted: Awaitable[Wanted]) -> Wanted:
    """What comes of `wanted`. Raises ApiError as soon as the client of `request`, read whole, has gone away."""
    gone, found = asyncio.ensure_future(_gone(request)), asyncio.ensure_future(wanted)
    try:
        await asyncio.wait({gone, found}, return_when=asyncio.FIRST_COMPLETED)
        if found.done():
            return found.result()
        raise ApiError(499, "The client has gone away.")  # which nobody reads
    finally:
        for task in (gone, found):
            task.cancel()
        await asyncio.gather(gone, found, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
