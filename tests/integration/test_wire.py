"""Where clients of OpenAI's audio API break on other servers: each test has a client's name, and where it was told."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autorag_whisper.domain.errors import Cancelled, EngineError
from autorag_whisper.server import errors, events
from autorag_whisper.testing import FakeVoiceActivity, speech_samples, write_speech
from http_world import BASE, TRANSCRIPTIONS, Exchange, Gate, app_of, client_of, error_of, form, held_world, post, until
from made_media import write
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi.testclient import TestClient
    from numpy.typing import NDArray

WORDS = "timestamp_granularities[]"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World()
    with world.transcriber:
        yield world


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[TestClient]:
    with client_of(app_of(world)) as client:
        yield client


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "talk.wav", speech_samples(5)).read_bytes()


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What browsers record: speech of three seconds in each container."""
    folder = tmp_path_factory.mktemp("containers")
    made = {
        "webm": ("libopus", 48_000),
        "mp4": ("aac", 48_000),
        "ogg": ("libopus", 48_000),
        "mp3": ("libmp3lame", 16_000),
    }
    return {
        name: write(folder / f"a.{name}", [(0.0, 3.0, 440.0)], codec=codec, rate=rate).read_bytes()
        for name, (codec, rate) in made.items()
    }


@pytest.mark.parametrize("container", ["webm", "mp4", "ogg", "mp3"])
def test_open_webui_sends_no_content_type_and_wrong_suffixes(
    client: TestClient, containers: dict[str, bytes], container: str
) -> None:
    """open-webui#12128, #14101: what it is is told by the bytes."""
    for name in ("audio.wav", "audio.webm", "audio", "audio.txt"):
        disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
        body = f"--x\r\n{disposition}\r\n\r\n".encode() + containers[container] + b"\r\n--x--\r\n"
        headers = {"content-type": "multipart/form-data; boundary=x"}
        answer = client.post(TRANSCRIPTIONS, content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["text"]


def test_speakr_sends_webm(client: TestClient, containers: dict[str, bytes]) -> None:
    """speakr#156."""
    answer = client.post(TRANSCRIPTIONS, files={"file": ("a.webm", containers["webm"], "audio/webm;codecs=opus")})
    assert answer.json()["text"]


@pytest.mark.parametrize("spelling", [WORDS, "timestamp_granularities"])
def test_litellm_writes_arrays_without_brackets(client: TestClient, speech: bytes, spelling: str) -> None:
    """litellm#12407."""
    body = post(client, speech, response_format="verbose_json", **{spelling: ["word"]}).json()
    assert body["words"]
    assert "segments" not in body


def nulls(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [name for name, inner in value.items() if inner is None or nulls(inner)]
    return [inner for inner in value if nulls(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize("response_format", ["json", "verbose_json"])
def test_litellm_reads_the_duration_from_usage_and_no_null(
    client: TestClient, speech: bytes, response_format: str
) -> None:
    """litellm#33764, #22622: a null fails, and a guessed duration is billed."""
    body = post(client, speech, response_format=response_format).json()
    assert body["usage"] == {"type": "duration", "seconds": 5}
    assert nulls(body) == []


def test_speaches_failed_at_verbose_json_without_granularities(client: TestClient, speech: bytes) -> None:
    """speaches#58."""
    body = post(client, speech, response_format="verbose_json").json()
    assert body["segments"]
    assert "words" not in body


def test_subtitle_edit_sends_granularities_with_json(world: World, client: TestClient, speech: bytes) -> None:
    """subtitleedit#11146: they say nothing there, and only a strict server minds."""
    assert post(client, speech, **{WORDS: "word"}).json() == post(client, speech).json()
    with client_of(app_of(world, strict=True)) as strict:
        refused = post(strict, speech, model="base", **{WORDS: "word"})
        assert (refused.status_code, error_of(refused)["param"]) == (400, "timestamp_granularities")
        assert post(strict, speech, model="base", response_format="verbose_json", **{WORDS: "word"}).status_code == 200
        unknown = post(strict, speech, model="base", colour="red")
        assert (unknown.status_code, error_of(unknown)["code"]) == (400, "unknown_parameter")
        assert (post(strict, speech, model="whisper-1")).status_code == 404


def test_subtitle_edit_sends_the_file_last_and_stale_model_names(client: TestClient, speech: bytes) -> None:
    """subtitleedit#12882."""
    for parts in (
        [("model", (None, "whisper-9")), ("file", ("a", speech)), ("language", (None, "en"))],
        [("language", (None, "en")), ("model", (None, "whisper-9")), ("file", ("a", speech))],
        [("file", ("a", speech)), ("model", (None, "")), ("language", (None, "en"))],
    ):
        answer = client.post(TRANSCRIPTIONS, files=parts)
        assert answer.json()["text"]
        assert answer.headers["x-autorag-whisper-model"] == "base"


def test_audio_cpp_sends_an_empty_language(client: TestClient, speech: bytes) -> None:
    """audio.cpp#400."""
    body = post(client, speech, language="", response_format="verbose_json").json()
    assert body["language"] == "english"


@pytest.mark.parametrize("language", ["en-US", "en_GB", "EN", "English"])
def test_obsidian_scribe_sends_regional_languages(client: TestClient, speech: bytes, language: str) -> None:
    """obsidian-scribe#27."""
    assert post(client, speech, language=language).json() == post(client, speech, language="en").json()


def test_the_vercel_sdk_maps_names_and_takes_segments_before_words(client: TestClient, speech: bytes) -> None:
    """It knows languages by their English names, and an empty list of segments hides the words."""
    body = post(client, speech, response_format="verbose_json", **{WORDS: "word"}).json()
    assert body["language"] == "english"
    assert body["words"]
    assert "segments" not in body
    assert isinstance(body["duration"], float)


@pytest.mark.parametrize("response_format", ["text", "srt", "vtt"])
def test_whisperx_api_server_quoted_its_subtitles(client: TestClient, speech: bytes, response_format: str) -> None:
    """whisperx-api-server#4."""
    answer = post(client, speech, response_format=response_format)
    assert "json" not in answer.headers["content-type"]
    assert '"' not in answer.text
    assert answer.text.endswith("\n")


def test_speech_swift_refuses_fields_that_it_does_not_know(client: TestClient, speech: bytes) -> None:
    """speech-swift#273: `json` has two fields, and errors are nested."""
    assert set(post(client, speech).json()) == {"text", "usage"}
    assert error_of(post(client, b"no media"))["type"] == "invalid_request_error"


def test_the_java_sdk_reads_one_done_after_all_else(client: TestClient, speech: bytes) -> None:
    """vllm#49116."""
    lines = [line[6:] for line in post(client, speech, stream="true").text.splitlines() if line.startswith("data: ")]
    kinds = [json.loads(line)["type"] for line in lines]
    assert kinds.count("transcript.text.done") == 1
    assert kinds[-1] == "transcript.text.done"
    assert "usage" not in json.loads(lines[-1])


def test_riffado_and_n8n_end_what_is_silent(speech: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """riffado#218, n8n#26504: comments keep a stream of a long file alive."""
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.01)
    gate = Gate()
    headers, message = form(speech, stream="true", language="en")
    exchange = Exchange(TRANSCRIPTIONS, headers, message)

    async def play(world: World) -> None:
        app = app_of(world)
        async with app.router.lifespan_context(app):
            request = asyncio.create_task(app(exchange.scope, exchange.receive, exchange.send))
            while not exchange.sent or exchange.body.count(b": still at work\n\n") < 3:
                await asyncio.sleep(0.01)
            gate.let.set()
            await request

    with held_world(gate) as world:
        asyncio.run(play(world))
    *_, done = exchange.body.decode().strip().split("\n\n")
    assert json.loads(done[6:])["type"] == "transcript.text.done"
    assert b"[DONE]" not in exchange.body


def test_hermes_agent_meets_a_cold_start(speech: bytes) -> None:
    """hermes-agent#112939: the model is loaded before anybody asks, and readiness says when it is."""
    gate = Gate()
    with held_world(gate) as world, client_of(app_of(world)) as client:
        assert gate.asked.acquire(timeout=60)  # by itself
        assert client.get("/readyz").json()["reason"] == "the model is being loaded"
        gate.let.set()
        until(lambda: client.get("/readyz").status_code == 200)
        assert post(client, speech).status_code == 200


def out_of_order(stage: str, _: int) -> None:
    raise EngineError("fake", stage, "out of order")


def test_whisper_live_kit_answered_a_timeout_with_an_empty_text(speech: bytes) -> None:
    """WhisperLiveKit#374: what failed has an error's status; what was stopped is not to be repeated."""
    world = World()
    with world.transcriber, client_of(app_of(world)) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        world.faults["cpu"].fail = out_of_order
        failed = post(client, speech)
        assert failed.status_code == 503
        assert error_of(failed)["code"] == "unavailable"
        assert "retry-after" in failed.headers
    assert errors.of(Cancelled()).headers == {"x-should-retry": "false"}


@pytest.mark.parametrize(
    "path", [f"{TRANSCRIPTIONS}/audio/transcriptions", f"{TRANSCRIPTIONS}/models", "/v1/v1/models"]
)
def test_speakr_is_given_a_whole_path_as_base_url(client: TestClient, path: str) -> None:
    """speakr#8, VideoCaptioner#724."""
    answer = client.post(path)
    assert answer.status_code == 404
    assert f"base URL of the API is {BASE}/v1." in error_of(answer)["message"]


def test_bazarr_sends_raw_samples(client: TestClient, speech: bytes) -> None:
    """bazarr#2140."""
    samples = np.frombuffer(speech[44:], "<i2").tobytes()
    found = client.post("/detect-language?encode=false", files={"audio_file": samples}).json()
    assert found["detected_language"] == "english"
    query = f"task=transcribe&language={found['language_code']}&output=srt&encode=false"
    answer = client.post(f"/asr?{query}&video_file=a.mkv", files={"audio_file": samples})
    assert answer.text.startswith("1\n00:00:0")


def test_home_assistant_posts_a_file_and_reads_json(client: TestClient, speech: bytes) -> None:
    """ha-openai-whisper-stt-api#22."""
    answer = client.post(TRANSCRIPTIONS, files={"file": ("audio.wav", speech, "audio/wav")})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["text"]


def test_home_generative_agent_asks_for_models_and_sends_placeholder_keys(client: TestClient) -> None:
    """home-generative-agent#598."""
    answer = client.get("/v1/models", headers={"Authorization": "Bearer not-needed"})
    assert [model["id"] for model in answer.json()["data"]] == ["base", "tiny.en"]


class Deaf(FakeVoiceActivity):
    """Hears nothing in anything."""

    def stream(self) -> Any:
        class Stream:
            def __init__(self) -> None:
                self._inner = FakeVoiceActivity().stream()

            def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
                return np.zeros_like(self._inner.push(samples))

            def finish(self) -> NDArray[np.float32]:
                return np.zeros_like(self._inner.finish())

        return Stream()


def test_wyoming_openai_lost_short_commands_to_voice_activity(speech: bytes, tmp_path: Path) -> None:
    """wyoming_openai#18: what is shorter than five seconds was cut out on purpose, so all of it is heard."""
    short = write_speech(tmp_path / "short.wav", speech_samples(2)).read_bytes()
    world = World(voice=Deaf())
    with world.transcriber, client_of(app_of(world)) as client:
        assert post(client, short, language="en").json()["text"] == "one two"
        assert post(client, speech, language="en").json()["text"] == ""  # five seconds
        streamed = post(client, short, language="en", stream="true").text
        assert json.loads(streamed.strip().split("\n\n")[-1][6:])["text"] == "one two"


def test_bazarr_got_subtitles_early_where_audio_begins_late(client: TestClient, tmp_path: Path) -> None:
    """bazarr#3154, subgen PR 305: times are those of the container."""
    media = write(tmp_path / "late.mkv", [(4.9, 2.0, 440.0)], codec="libopus", rate=48_000, picture_s=7.0).read_bytes()
    body = post(client, media, response_format="verbose_json", language="en", **{WORDS: "word"}).json()
    assert 4.3 < body["words"][0]["start"] < 5.2
    subtitles = client.post("/asr?output=srt&language=en", files={"audio_file": media}).text
    assert subtitles.splitlines()[1] > "00:00:04,3"


def test_logprobs_are_there_where_they_are_asked_for(client: TestClient, speech: bytes) -> None:
    body = post(client, speech, **{"include[]": "logprobs"}).json()
    assert "".join(item["token"] for item in body["logprobs"]) == body["text"]
    assert all(item["logprob"] <= 0 for item in body["logprobs"])
    assert [bytes(item["bytes"]).decode() for item in body["logprobs"]] == [i["token"] for i in body["logprobs"]]
    assert error_of(post(client, speech, **{"include[]": "usage"}))["param"] == "include"


def test_logprobs_of_a_stream_are_those_of_each_delta_and_of_the_whole(client: TestClient, speech: bytes) -> None:
    lines = post(client, speech, stream="true", **{"include[]": "logprobs"}).text.split("\n\n")
    *deltas, done = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert deltas
    for event, text in ((done, done["text"]), *((delta, delta["delta"]) for delta in deltas)):
        assert "".join(item["token"] for item in event["logprobs"]) == text
    assert [i["logprob"] for delta in deltas for i in delta["logprobs"]] == [i["logprob"] for i in done["logprobs"]]
    assert "logprobs" not in post(client, speech, stream="true").text


def test_whoever_says_that_nobody_waits_goes_behind(client: TestClient, speech: bytes) -> None:
    assert post(client, speech, service_tier="flex").json() == post(client, speech, service_tier="auto").json()
    assert error_of(post(client, speech, service_tier="gold"))["param"] == "service_tier"


def test_references_of_speakers_may_be_long_and_are_not_kept(client: TestClient, speech: bytes) -> None:
    """OpenAI takes recordings of ten seconds as data URLs in a field; here they say nothing."""
    long = {"known_speaker_references[]": "data:audio/wav;base64," + "A" * (3 << 20), "known_speaker_names[]": "Ann"}
    assert post(client, speech, **long).json() == post(client, speech).json()
    assert error_of(post(client, speech, prompt="x" * (1 << 20)))["code"] == "invalid_form"
