"""OpenAI's client for Node reads every answer of a live server. `npm ci --prefix tests/node` installs it."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from served import KEY, Served

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def got(tmp_path_factory: pytest.TempPathFactory, root: Path, demo_sample: Path) -> dict[str, Any]:
    """What the client got."""
    node, folder = shutil.which("node"), root / "tests" / "node"
    if node is None:
        pytest.skip("there is no Node here")
    if not (folder / "node_modules" / "openai").is_dir():
        pytest.skip("OpenAI's client for Node is not installed: npm ci --prefix tests/node")
    with Served(tmp_path_factory.mktemp("served")) as served:
        script = [node, folder / "client.mjs", f"{served.base}/v1", KEY, demo_sample]
        done = subprocess.run(script, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_it_reads_every_format(got: dict[str, Any]) -> None:
    text = got["json"]["text"]
    assert "tickets" in text
    assert got["json"]["usage"]["type"] == "duration"
    assert got["bytes"]["text"] == text
    assert got["verbose"]["language"] == "english"
    assert [word["word"] for word in got["verbose"]["words"]] == text.split()
    assert got["verbose"]["segments"][0]["avg_logprob"] < 0
    assert "segments" not in got["words"]
    assert got["text"] == text + "\n"
    assert got["srt"].startswith("1\n00:00:0")
    assert got["vtt"].startswith("WEBVTT")
    assert got["models"][0] == "tiny.en"


def test_it_reads_the_stream(got: dict[str, Any]) -> None:
    *deltas, done = got["events"]
    assert done == {"type": "transcript.text.done", "text": "".join(event["delta"] for event in deltas)}
    assert done["text"] == got["json"]["text"]


def test_it_raises_its_own_errors(got: dict[str, Any]) -> None:
    assert (got["noMedia"]["name"], got["noMedia"]["param"], got["noMedia"]["code"]) == (
        "BadRequestError", "file", "invalid_value",
    )  # fmt: skip
    refused = got["noTranslation"]  # tiny.en knows English alone
    assert (refused["status"], refused["param"]) == (400, "task")
    assert (got["noLanguage"]["name"], got["noLanguage"]["param"]) == ("BadRequestError", "language")
    assert (got["noModel"]["name"], got["noModel"]["code"]) == ("NotFoundError", "model_not_found")
    assert (got["stranger"]["name"], got["stranger"]["code"]) == ("AuthenticationError", "invalid_api_key")
