"""Wyoming, the protocol of Home Assistant's voice assistants (extra `[wyoming]`), on the engine of the HTTP routes.

```
describe -> info    ping -> pong
transcribe (model, language; may be left out), audio-start, audio-chunk, ..., audio-stop
         -> transcript-start, transcript-chunk, ..., transcript, transcript-stop
```
A connection asks as often as it likes, one thing at a time. What is wrong is answered by an `error`; where the stream
of events cannot be read on, the connection is closed behind it. The protocol has no keys: it is for addresses that only
this machine, or a trusted network, reaches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import wave
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioFormat, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info
from wyoming.ping import Ping, Pong

from autorag_whisper import __version__
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.domain.language import LANGUAGES
from autorag_whisper.server.access import too_large
from autorag_whisper.server.draining import ending
from autorag_whisper.server.errors import ApiError, answer_to, room_for
from autorag_whisper.server.fields import options_of
from autorag_whisper.server.listening import address_of
from autorag_whisper.server.uploads import Upload
from autorag_whisper.server.work import LEAST_S

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Coroutine

    from wyoming.event import Eventable

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.server.app import Service

_log = logging.getLogger(__name__)

MOST_EVENT_BYTES = 1 << 20
"""Of one event's data, and of its sound: 5 s of 48 kHz stereo, where clients send a tenth of a second at a time."""
_IN_MEMORY_BYTES = 1 << 23
_LINGER_S = 2.0
_WIDTHS, _MOST_CHANNELS, _RATES = (1, 2, 3, 4), 8, (4_000, 384_000)


class _BadEvent(Exception):  # noqa: N818 - named after what is wrong, as the package's errors
    """What was read is no event, or one that is too large: what follows it cannot be made out."""


class Wyoming:
    """Serves the protocol on a socket that listens. `serving` is for one event loop, once."""

    def __init__(self, listener: socket.socket, most_clients: int = 100, silent_s: float = 300.0) -> None:
        """`most_clients` at a time; a connection that sends nothing for `silent_s` is closed."""
        self._listener, self._most, self._silent_s = listener, most_clients, silent_s
        self.address = address_of(listener)
        self._clients: dict[_Client, asyncio.Task[None]] = {}

    def __str__(self) -> str:
        return f"Wyoming at {self.address}"

    @contextlib.asynccontextmanager
    async def serving(self, service: Service) -> AsyncIterator[None]:
        """For the length of a `with`, or until the service is to end.

        Then connections without work are closed, and what is in work may end, for the service's `drain_s` at most.
        """

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(self._clients) >= self._most:
                await _refuse(writer, self._most)
                return
            client = _Client(service, reader, writer, self._silent_s)
            self._clients[client] = task = asyncio.ensure_future(client.run())
            task.add_done_callback(lambda _: self._clients.pop(client, None))

        server = await asyncio.start_server(connected, sock=self._listener, limit=MOST_EVENT_BYTES)

        async def end() -> None:
            server.close()
            await self._end(service.settings.drain_s)

        async def end_with_the_service() -> None:
            await service.draining.begun.wait()
            await end()

        ending = asyncio.create_task(end_with_the_service())  # beside the requests of HTTP, not behind them
        try:
            yield
        finally:
            if not service.draining.begun.is_set():
                ending.cancel()
                await end()
            await asyncio.gather(ending, return_exceptions=True)

    async def _end(self, drain_s: float) -> None:
        tasks = dict(self._clients)
        busy = [task for client, task in tasks.items() if client.is_at_work]
        for client, task in tasks.items():
            if client.is_at_work:
                client.is_last = True
            else:
                task.cancel()
        if busy:
            _, late = await asyncio.wait(busy, timeout=drain_s)
            for task in late:
                task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


class _Bounded:
    """As much of a stream reader as `async_read_event` needs; raises _BadEvent for more than an event may have."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.is_within = False

    async def readline(self) -> bytes:
        try:
            line = await self._reader.readline()
        except ValueError:  # the limit of the reader
            raise _BadEvent(f"a line is longer than {MOST_EVENT_BYTES} bytes") from None
        self.is_within = bool(line)
        return line

    async def readexactly(self, count: object) -> bytes:
        if isinstance(count, bool) or not isinstance(count, int) or count > MOST_EVENT_BYTES:
            raise _BadEvent(f"an event has a part of {str(count)[:20]} bytes; {MOST_EVENT_BYTES} are the most")
        return await self._reader.readexactly(count)


async def read_event(reader: asyncio.StreamReader) -> Event | None:
    """The next event; None where the client has gone. Raises _BadEvent."""
    bounded = _Bounded(reader)
    try:
        event = await async_read_event(cast("asyncio.StreamReader", bounded))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except (AttributeError, KeyError, TypeError, RecursionError):
        raise _BadEvent("what was sent is no Wyoming event") from None
    if event is None and bounded.is_within:
        raise _BadEvent("what was sent is no Wyoming event")
    given: tuple[object, object] = (event.type, event.data) if event is not None else ("", {})
    if not isinstance(given[0], str) or not isinstance(given[1], dict):
        raise _BadEvent("what was sent is no Wyoming event")
    return event


class _Sound:
    """What a client sends between `audio-start` and `audio-stop`, as a WAV file without a name."""

    def __init__(self, told: AudioFormat) -> None:
        self.told = (told.rate, told.width, told.channels)
        rate, width, channels = self.told
        numbers: tuple[object, ...] = self.told
        if (
            any(isinstance(number, bool) or not isinstance(number, int) for number in numbers)
            or not _RATES[0] <= rate <= _RATES[1]
            or width not in _WIDTHS
            or not 1 <= channels <= _MOST_CHANNELS
        ):
            told_so = f"rate {str(rate)[:20]}, width {str(width)[:20]} and {str(channels)[:20]} channels"
            raise ApiError(400, f"Sound of {told_so} cannot be read.", param="rate", code="invalid_value")
        self.file = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))  # noqa: SIM115 - for the recognition to close
        self._wave = wave.open(self.file, "wb")  # noqa: SIM115 - closed by `whole`
        self._wave.setparams((channels, width, rate, 0, "NONE", ""))
        self.bytes = 0

    @property
    def seconds(self) -> float:
        """How much it is so far."""
        rate, width, channels = self.told
        return self.bytes / (rate * width * channels)

    async def add(self, audio: bytes) -> None:
        """One piece more."""
        self.bytes += len(audio)
        if self.bytes > _IN_MEMORY_BYTES:  # on a disk by now
            await asyncio.to_thread(self._wave.writeframesraw, audio)
        else:
            self._wave.writeframesraw(audio)

    def whole(self) -> Upload:
        """All of it."""
        self._wave.close()
        self.file.seek(0)
        return Upload(self.file, "speech.wav", {})

    def drop(self) -> None:
        """It is not wanted."""
        self._wave.close()
        self.file.close()


class _Client:
    """One connection."""

    def __init__(
        self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent_s: float
    ) -> None:
        self._service, self._reader, self._writer, self._silent_s = service, reader, writer, silent_s
        self._asked, self._sound = Transcribe(), cast("_Sound | None", None)
        self._reading: asyncio.Task[Event | None] | None = None
        self.is_at_work = self.is_last = False

    async def run(self) -> None:
        """Until it goes, or cannot be understood."""
        try:
            while not self.is_last:
                event = await self._next()
                if event is None:
                    return
                await self._take(event)
        except _BadEvent as error:
            await self._say(Error(str(error), "invalid_event"))
            await self._linger()
        except (ConnectionError, TimeoutError):
            pass
        except Exception:  # noqa: BLE001 - it is this connection's end alone
            _log.exception("a Wyoming client's connection failed by a fault of ours")
            await self._say(Error("An internal error, which the server's log has.", "internal_error"))
        finally:
            if self._reading is not None:
                self._reading.cancel()
            if self._sound is not None:
                self._sound.drop()
            self._writer.close()

    async def _linger(self) -> None:
        """Have the client read what was said last: a socket that is closed over unread bytes takes that with it."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                self._writer.write_eof()
                while await self._reader.read(_IN_MEMORY_BYTES):
                    pass

    def _begin_to_read(self) -> asyncio.Task[Event | None]:
        """The next event: one reader at a time, which is never stopped within an event that is read on."""
        if self._reading is None:
            self._reading = asyncio.create_task(read_event(self._reader))
        return self._reading

    async def _next(self) -> Event | None:
        reading = self._begin_to_read()
        async with asyncio.timeout(self._silent_s):
            event = await reading
        self._reading = None
        return event

    async def _say(self, told: Eventable) -> None:
        with contextlib.suppress(ConnectionError):
            await async_write_event(told.event(), self._writer)

    async def _take(self, event: Event) -> None:
        try:
            if Describe.is_type(event.type):
                await self._say(await _info(self._service))
            elif Ping.is_type(event.type):
                await self._say(Pong(text=Ping.from_event(event).text))
            elif Transcribe.is_type(event.type):
                self._asked = Transcribe.from_event(event)
            elif AudioStart.is_type(event.type):
                self._begin(AudioStart.from_event(event))
            elif AudioChunk.is_type(event.type):
                await self._hear(AudioChunk.from_event(event))
            elif AudioStop.is_type(event.type):
                await self._recognise()
        except ApiError as error:
            self._forget()
            await self._say(Error(error.message, error.code))
        except (AttributeError, KeyError, TypeError) as error:
            raise _BadEvent(f"{event.type[:50]!r} has not what belongs to it: {str(error)[:100]}") from None

    def _forget(self) -> None:
        if self._sound is not None:
            self._sound.drop()
        self._asked, self._sound = Transcribe(), None

    def _begin(self, told: AudioFormat) -> _Sound:
        if self._sound is not None:
            self._sound.drop()
            self._sound = None
        self._sound = _Sound(told)
        return self._sound

    async def _hear(self, chunk: AudioChunk) -> None:
        sound = self._sound or self._begin(chunk)
        if (chunk.rate, chunk.width, chunk.channels) != sound.told:
            raise ApiError(400, "The sound changes its rate, width or channels.", param="rate", code="invalid_value")
        settings = self._service.settings
        with room_for("sound"):
            await sound.add(chunk.audio)
        if sound.seconds > (most_s := settings.max_audio_s):
            raise ApiError(400, f"The audio is longer than {most_s:g} s, the limit.", code="audio_too_long")
        if sound.bytes > settings.max_upload_bytes:
            raise too_large(settings.max_upload_bytes)

    async def _recognise(self) -> None:
        """What was heard since `audio-start`; nothing is an answer too, as assistants wait for one."""
        asked, sound, self._asked, self._sound = self._asked, self._sound, Transcribe(), None
        if sound is None or sound.seconds < LEAST_S:
            if sound is not None:
                sound.drop()
            await self._say(Transcript(text=""))
            return
        with self._service.observers.wyoming_request() as record:
            record.received = sound.bytes
            with contextlib.ExitStack() as stack:
                stack.callback(sound.drop)
                options, model = _options(asked, self._service), await self._service.model_for(asked.name or "")
                slot = self._slot()
                stack.pop_all()  # it is the recognition's from here on
            self.is_at_work = True
            try:
                with slot:
                    await self._unless_gone(self._answer(sound.whole(), options, model))
            except AutoragWhisperError as error:
                raise answer_to(error) from None
            finally:
                self.is_at_work = False

    def _slot(self) -> contextlib.AbstractContextManager[None]:
        """The place of a request of HTTP among all. Raises ApiError where there is none."""
        who, admission = f"wyoming {self._writer.get_extra_info('peername')[0]}", self._service.admission
        refusal = ending() if self._service.health.draining else admission.refusal(who)
        if refusal is not None:
            raise refusal
        return admission.slot(who)

    async def _answer(self, upload: Upload, options: TranscribeOptions, model: str) -> None:
        async with self._service.recognised(upload, options, model) as work:
            begun = False
            async for segment in work.segments():
                if not begun:
                    await self._say(TranscriptStart())
                begun = True
                await self._say(TranscriptChunk(text=segment.text))
            transcript = await work.transcript()
        await self._say(Transcript(text=transcript.text.strip(), language=transcript.language or None))
        if begun:
            await self._say(TranscriptStop())

    async def _unless_gone(self, answer: Coroutine[object, object, None]) -> None:
        """Give the answer; stop it as soon as the client goes. An event that comes meanwhile waits for its turn."""
        answering, reading = asyncio.create_task(answer), self._begin_to_read()
        try:
            await asyncio.wait({answering, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and reading.exception() is None and reading.result() is None:
                raise ConnectionAbortedError
            await answering
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)


async def _refuse(writer: asyncio.StreamWriter, most: int) -> None:
    with contextlib.suppress(ConnectionError):
        await async_write_event(Error(f"{most} clients are the most.", "overloaded").event(), writer)
    writer.close()


def _options(asked: Transcribe, service: Service) -> TranscribeOptions:
    names = [*(asked.transcript_names or []), *(asked.transcript_terms or [])]
    fields = {"language": [asked.language or ""], "keywords": [str(name) for name in names]}
    return options_of(
        {name: [v for v in found if v] for name, found in fields.items()}, "transcribe", service.settings.max_audio_s
    )


async def _info(service: Service) -> Info:
    names = dict.fromkeys([service.settings.model, *await asyncio.to_thread(service.engine.local_models)])
    ours: dict[str, Any] = {"attribution": Attribution("autorag-whisper", ""), "installed": True}
    models = [
        AsrModel(name=name, description=f"Whisper {name}", version=None, languages=_languages(name), **ours)
        for name in names
    ]
    about: dict[str, Any] = {
        "name": "autorag-whisper",
        "description": "Resident Whisper models",
        "version": __version__,
    }
    return Info(asr=[AsrProgram(models=models, supports_transcript_streaming=True, **about, **ours)])


def _languages(model: str) -> list[str]:
    return ["en"] if model.endswith(".en") else sorted(LANGUAGES)
