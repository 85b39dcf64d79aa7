"""The OpenAPI document: whole, as it is committed, and true of what the routes answer."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from autorag_whisper.server import keys
from autorag_whisper.server.access import is_work
from autorag_whisper.server.openapi import document, operations
from autorag_whisper.testing import speech_samples, write_speech
from http_world import TRANSCRIPTIONS, app_of, client_of, post, until
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from fastapi.testclient import TestClient


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    world = World()
    with world.transcriber, client_of(app_of(world)) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client


@pytest.fixture(scope="module")
def committed(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / "docs" / "openapi.json").read_text(encoding="utf-8")))


def test_the_committed_document_is_that_of_the_routes(root: Path) -> None:
    """If it is not: `.venv/bin/python scripts/openapi.py`."""
    done = subprocess.run([sys.executable, root / "scripts" / "openapi.py", "--check"], check=False, timeout=120)
    assert done.returncode == 0


def test_every_operation_says_what_it_answers_and_with_which_errors(committed: dict[str, Any]) -> None:
    found = list(operations(committed))
    assert len(found) > 12
    for method, path, operation in found:
        answers = operation["responses"]
        assert operation["summary"], path
        # FastAPI says 422 of every route with parameters, which answers 400 here
        assert ("422" in answers) == ((method, path) == ("post", "/v1/jobs"))
        assert any(status.startswith("2") for status in answers), (method, path)
        assert {"401", "403", "500"} <= answers.keys() or path in ("/livez", "/readyz")
        if "requestBody" in operation:
            assert {"400", "408", "413", "503"} <= answers.keys(), path
            assert ("429" in answers) == is_work(method.upper(), path), path
        for status, answer in answers.items():
            assert answer["description"], (path, status)
            assert status in ("204", "304") or answer["content"], (path, status)  # those have no body


def test_the_document_that_is_served_is_the_same_but_for_what_is_not_asked_for(
    client: TestClient, committed: dict[str, Any]
) -> None:
    served = client.get("/openapi.json").json()
    assert served["components"] == committed["components"]
    assert all(committed["paths"][path] == item for path, item in served["paths"].items())


def check(answer: httpx.Response, document: dict[str, Any], method: str, path: str) -> None:
    """That an answer is what the document says of its status and content type."""
    told = document["paths"][path][method]["responses"][str(answer.status_code)]["content"]
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in told
    if kind == "application/json":
        schema = told[kind]["schema"] | {"components": document["components"]}
        jsonschema.validate(answer.json(), schema, cls=jsonschema.Draft202012Validator)


def test_answers_are_what_the_document_says(client: TestClient, tmp_path: Path) -> None:
    speech = write_speech(tmp_path / "talk.wav", speech_samples(5)).read_bytes()
    told = document(client.app)  # type: ignore[arg-type]  # it is a FastAPI
    for fields in (
        {},
        {"include[]": "logprobs"},
        {"response_format": "verbose_json"},
        {"response_format": "verbose_json", "timestamp_granularities[]": "word"},
        {"response_format": "text"},
        {"response_format": "srt"},
        {"response_format": "vtt"},
        {"stream": "true"},
        {"temperature": "x"},
    ):
        for path in (TRANSCRIPTIONS, "/v1/audio/translations"):
            check(post(client, speech, path, **fields), told, "post", path)
    for output in ("txt", "vtt", "srt", "tsv", "json", "docx"):
        answer = client.post(f"/asr?output={output}", files={"audio_file": speech})
        check(answer, told, "post", "/asr")
    check(client.post("/detect-language", files={"audio_file": speech}), told, "post", "/detect-language")
    for path in ("/v1/models", "/livez", "/readyz"):
        check(client.get(path), told, "get", path)
    for name in ("base", "none"):
        check(client.get(f"/v1/models/{name}"), told, "get", "/v1/models/{name}")


def test_refusals_are_what_the_document_says() -> None:
    world = World()
    with world.transcriber, client_of(app_of(world, key_digests=(keys.digest("k"),), max_upload_bytes=10)) as client:
        told = document(client.app)  # type: ignore[arg-type]  # it is a FastAPI
        check(client.get("/v1/models"), told, "get", "/v1/models")
        let_in = {"Authorization": "Bearer k"}
        too_large = client.post(TRANSCRIPTIONS, files={"file": b"x" * 100}, headers=let_in)
        assert too_large.status_code == 413
        check(too_large, told, "post", TRANSCRIPTIONS)
        client.app.state.service.health.draining = True  # type: ignore[attr-defined]  # the state of a FastAPI
        for path in (TRANSCRIPTIONS, "/asr", "/detect-language"):
            check(client.post(path, headers=let_in), told, "post", path)
        check(client.get("/readyz"), told, "get", "/readyz")
