"""Wyoming over a transcriber of fakes, asked by the client of its own library: what goes in, what comes out."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
import wave
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop, wav_to_chunks
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong

from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.process_errors import AddressTaken
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.listening import listen
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.server.wyoming import MOST_EVENT_BYTES, Wyoming
from autorag_whisper.testing import FakeWhisper, speech_samples
from run_world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from autorag_whisper.engines.base import Encoded
    from autorag_whisper.server.app import Service

WORDS = "one two three four five"


class HeldWhisper(FakeWhisper):
    """Encodes while it is let; says when it has begun."""

    let, begun = threading.Event(), threading.Event()

    def encode(self, features: Any) -> Encoded:
        HeldWhisper.begun.set()
        assert HeldWhisper.let.wait(240)
        return super().encode(features)


@pytest.fixture
def world() -> Iterator[World]:
    HeldWhisper.let, HeldWhisper.begun = threading.Event(), threading.Event()
    HeldWhisper.let.set()
    world = World(engine=HeldWhisper)
    with world.transcriber:
        yield world
        HeldWhisper.let.set()


class Served:
    """A service with Wyoming on a free port of this machine, in this event loop."""

    def __init__(self, port: int, service: Service) -> None:
        self.port, self.service = port, service

    def client(self) -> AsyncTcpClient:
        return AsyncTcpClient("127.0.0.1", self.port)

    async def says(self, *sent: Any, until: type = Transcript) -> list[Event]:
        """What comes back, up to and with the first event of that type, or an error."""
        async with self.client() as client:
            return await asked(client, *sent, until=until)


@contextlib.asynccontextmanager
async def serving(world: World, settings: dict[str, Any] | None = None, **limits: Any) -> AsyncIterator[Served]:
    listener = listen("127.0.0.1", 0, insecure=False)
    engine = Engine(world.transcriber, lambda: ["base", "tiny.en"], lambda: 0.0)
    app = create_app(engine, ServerSettings(**(settings or {})), beside=[Wyoming(listener, **limits)])
    async with app.router.lifespan_context(app):
        yield Served(listener.getsockname()[1], app.state.service)


async def asked(client: AsyncTcpClient, *sent: Any, until: type = Transcript) -> list[Event]:
    for one in sent:
        await client.write_event(one.event())
    heard: list[Event] = []
    while not heard or not (until.is_type(heard[-1].type) or Error.is_type(heard[-1].type)):
        event = await client.read_event()
        assert event is not None, heard
        heard.append(event)
    return heard


def wav(words: int = 5, *, channels: int = 1, rate: int = 16_000) -> bytes:
    samples = np.repeat(speech_samples(words), rate // 16_000)
    pcm = np.repeat((samples * 32_767).astype("<i2")[:, None], channels, axis=1)
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(pcm.tobytes())
    return made.getvalue()


def spoken(sound: bytes) -> list[Any]:
    """As the library's own command sends a file."""
    with wave.open(io.BytesIO(sound), "rb") as file:
        return list(wav_to_chunks(file, 1024, start_event=True, stop_event=True))


def test_it_describes_the_models_that_are_here(world: World) -> None:
    async def run() -> Info:
        async with serving(world) as served:
            return Info.from_event((await served.says(Describe(), until=Info))[-1])

    (program,) = asyncio.run(run()).asr
    assert program.supports_transcript_streaming
    assert [model.name for model in program.models] == ["base", "tiny.en"]
    assert program.models[1].languages == ["en"]
    assert {"en", "de", "zh"} <= set(program.models[0].languages)


@pytest.mark.parametrize(("channels", "rate"), [(1, 16_000), (2, 48_000)])
def test_speech_is_answered_by_its_text_as_it_comes_and_whole(world: World, channels: int, rate: int) -> None:
    async def run() -> list[Event]:
        async with serving(world) as served:
            return await served.says(Transcribe(language="en-US"), *spoken(wav(channels=channels, rate=rate)))

    heard = asyncio.run(run())
    assert [event.type for event in heard] == ["transcript-start", "transcript-chunk", "transcript"]
    assert TranscriptChunk.from_event(heard[1]).text.strip() == WORDS
    whole = Transcript.from_event(heard[-1])
    assert (whole.text, whole.language) == (WORDS, "en")


def test_the_text_is_that_of_the_http_route(world: World) -> None:
    async def run() -> str:
        async with serving(world) as served:
            return Transcript.from_event((await served.says(*spoken(wav(3))))[-1]).text

    engine = Engine(world.transcriber, lambda: ["base"], lambda: 0.0)
    with TestClient(create_app(engine, ServerSettings()), base_url="http://localhost") as client:
        response = client.post("/v1/audio/transcriptions", files={"file": ("a.wav", wav(3))})
    assert asyncio.run(run()) == response.json()["text"]


def test_one_connection_asks_again_and_again(world: World) -> None:
    async def run() -> list[str]:
        async with serving(world) as served, served.client() as client:
            texts = []
            for words in (1, 2, 3):
                heard = await asked(client, *spoken(wav(words)))
                texts.append(Transcript.from_event(heard[-1]).text)
                assert (await client.read_event() or Event("")).type == "transcript-stop"
                assert Pong.from_event((await asked(client, Ping(text="x"), until=Pong))[-1]).text == "x"
            return texts

    assert asyncio.run(run()) == ["one", "one two", "one two three"]


def test_several_clients_are_served_at_once_on_one_engine(world: World) -> None:
    async def run() -> list[str]:
        async with serving(world) as served:
            heard = await asyncio.gather(*(served.says(*spoken(wav(words))) for words in (1, 2, 3, 4, 5, 6)))
            return [Transcript.from_event(events[-1]).text for events in heard]

    assert [len(text.split()) for text in asyncio.run(run())] == [1, 2, 3, 4, 5, 6]
    assert len(world.loads) == 1


SHORT = [AudioChunk(16_000, 2, 1, b"\0" * 1600), AudioStop()]


@pytest.mark.parametrize("sent", [[AudioStop()], [AudioStart(16_000, 2, 1), AudioStop()], SHORT])
def test_where_nothing_can_be_said_the_answer_is_empty(world: World, sent: list[Any]) -> None:
    async def run() -> str:
        async with serving(world) as served:
            return Transcript.from_event((await served.says(*sent))[-1]).text

    assert asyncio.run(run()) == ""


def test_sound_without_a_start_is_heard_too(world: World) -> None:
    async def run() -> str:
        async with serving(world) as served:
            return Transcript.from_event((await served.says(*spoken(wav(2))[1:]))[-1]).text

    assert asyncio.run(run()) == "one two"


LONG = MOST_EVENT_BYTES + 1
NO_EVENTS = {
    "no JSON": b"hello\n",
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "no object": b"[1]\n",
    "no type": b'{"data": {}}\n',
    "a type that is none": b'{"type": 7}\n',
    "data that is none": b'{"type": "transcribe", "data": "x"}\n',
    "nothing in a chunk": b'{"type": "audio-chunk"}\n',
    "a start without a rate": b'{"type": "audio-start", "data": {"width": 2, "channels": 1}}\n',
    "a length that is none": b'{"type": "audio-chunk", "payload_length": "x"}\n',
    "a length of half a byte": b'{"type": "audio-chunk", "payload_length": 1.5}\n',
    "too much sound": json.dumps({"type": "audio-chunk", "payload_length": LONG}).encode() + b"\n",
    "too much data": json.dumps({"type": "describe", "data_length": LONG}).encode() + b"\n",
    "data that is no object": b'{"type": "describe", "data_length": 3}\n[1]',
    "a line without an end": b"{" + b" " * LONG,
    "too deep": b"[" * 100_000 + b"\n",
    "no text": b"\xff\xfe\n",
}


@pytest.mark.parametrize("sent", NO_EVENTS.values(), ids=NO_EVENTS)
def test_what_is_no_event_is_answered_by_an_error_and_the_end(world: World, sent: bytes) -> None:
    async def run() -> tuple[dict[str, Any], str]:
        async with serving(world) as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(sent)
            writer.write_eof()
            head = json.loads(await reader.readline())
            told = json.loads(await reader.readexactly(head["data_length"])) | {"type": head["type"]}
            assert await reader.read() == b""
            writer.close()
            text = Transcript.from_event((await served.says(*spoken(wav(1))))[-1]).text
            return told, text

    told, text = asyncio.run(run())
    assert (told["type"], told["code"]) == ("error", "invalid_event")
    assert text == "one"


@pytest.mark.parametrize(
    "sent",
    [
        [AudioStart(0, 2, 1)],
        [AudioStart(16_000, 9, 1)],
        [AudioStart(16_000, 2, 0)],
        [AudioStart(10**30, 2, 1)],
        [Transcribe(language="klingon"), *spoken(wav(1))],
        [AudioStart(16_000, 2, 1), AudioChunk(8_000, 2, 1, b"\0" * 4000)],
    ],
    ids=["rate", "width", "channels", "huge", "language", "changing"],
)
def test_what_cannot_be_is_answered_by_an_error_and_the_connection_goes_on(world: World, sent: list[Any]) -> None:
    async def run() -> tuple[Error, str]:
        async with serving(world) as served, served.client() as client:
            error = Error.from_event((await asked(client, *sent))[-1])
            return error, Transcript.from_event((await asked(client, *spoken(wav(2))))[-1]).text

    error, text = asyncio.run(run())
    assert error.code == "invalid_value"
    assert text == "one two"


@pytest.mark.parametrize(
    ("limit", "code"), [({"max_audio_s": 2.0}, "audio_too_long"), ({"max_upload_bytes": 10_000}, "request_too_large")]
)
def test_sound_beyond_the_limits_is_refused_while_it_comes(world: World, limit: dict[str, Any], code: str) -> None:
    async def run() -> Error:
        async with serving(world, limit) as served:
            return Error.from_event((await served.says(*spoken(wav(5))[:-1]))[-1])

    assert asyncio.run(run()).code == code


def test_a_client_that_goes_away_stops_its_work(world: World) -> None:
    HeldWhisper.let.clear()

    async def run() -> None:
        async with serving(world) as served:
            async with served.client() as client:
                for one in spoken(wav(5)):
                    await client.write_event(one.event())
                await asyncio.to_thread(HeldWhisper.begun.wait, 60)
                while not served.service.recognitions.in_work:
                    await asyncio.sleep(0)
                (work,) = served.service.recognitions.in_work
                assert not work.cancel.cancelled
            while not work.cancel.cancelled:
                await asyncio.sleep(0)
            HeldWhisper.let.set()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_the_end_waits_for_what_is_in_work_and_closes_the_rest(world: World) -> None:
    HeldWhisper.let.clear()

    async def run() -> tuple[str, Event | None]:
        async with contextlib.AsyncExitStack() as stack:
            async with serving(world) as served:
                idle = await stack.enter_async_context(served.client())
                await asked(idle, Ping(), until=Pong)
                busy = await stack.enter_async_context(served.client())
                answer = asyncio.create_task(asked(busy, *spoken(wav(3))))
                while not served.service.recognitions.in_work:
                    await asyncio.sleep(0)
                HeldWhisper.let.set()
            return Transcript.from_event((await answer)[-1]).text, await idle.read_event()

    assert asyncio.run(asyncio.wait_for(run(), 60)) == ("one two three", None)


def test_who_has_nothing_in_work_is_let_go_as_soon_as_the_service_is_to_end(world: World) -> None:
    async def run() -> tuple[Event | None, str]:
        async with serving(world) as served, served.client() as idle, served.client() as busy:
            HeldWhisper.let.clear()
            await asked(idle, Ping(), until=Pong)
            answer = asyncio.create_task(asked(busy, *spoken(wav(2))))
            while not served.service.recognitions.in_work:
                await asyncio.sleep(0)
            served.service.begin_to_end()
            gone = await idle.read_event()
            HeldWhisper.let.set()
            return gone, Transcript.from_event((await answer)[-1]).text

    assert asyncio.run(asyncio.wait_for(run(), 60)) == (None, "one two")


def test_a_service_that_ends_begins_nothing_new(world: World) -> None:
    async def run() -> Error:
        async with serving(world) as served:
            served.service.health.draining = True
            return Error.from_event((await served.says(*spoken(wav(1))))[-1])

    assert asyncio.run(run()).code == "draining"


def test_requests_take_places_among_those_of_http(world: World) -> None:
    async def run() -> list[str | None]:
        async with serving(world, {"waiting": 2}) as served:
            with served.service.admission.slot("http"), served.service.admission.slot("http"):
                full = await served.says(*spoken(wav(1)))
            free = await served.says(*spoken(wav(1)))
            return [Error.from_event(full[-1]).code, free[-1].type]

    assert asyncio.run(run()) == ["overloaded", "transcript"]


def test_more_clients_than_are_let_in_are_told_so(world: World) -> None:
    async def run() -> Error:
        async with serving(world, most_clients=1) as served, served.client() as first:
            await asked(first, Ping(), until=Pong)
            return Error.from_event((await served.says(until=Pong))[-1])

    assert asyncio.run(run()).code == "overloaded"


def test_a_connection_that_says_nothing_is_closed(world: World) -> None:
    async def run() -> Event | None:
        async with serving(world, silent_s=0.01) as served, served.client() as client:
            return await client.read_event()

    assert asyncio.run(asyncio.wait_for(run(), 60)) is None


def test_an_address_for_others_needs_to_be_asked_for(tmp_path: Any) -> None:
    with pytest.raises(InvalidOption, match="--insecure"):
        listen("0.0.0.0", 0, insecure=False)
    with listen("0.0.0.0", 0, insecure=True) as taken, pytest.raises(AddressTaken):
        listen("0.0.0.0", taken.getsockname()[1], insecure=True)
