"""The service, asked over a socket what schemathesis makes of its OpenAPI document: right requests and wrong ones.

No answer may be a 5xx, nor have a status, content type, header or body that the document does not tell. EXAMPLES: how
many requests for each operation; SEED: which.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis import checks as known

from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.server.app import Engine, create_app
from autorag_whisper.server.jobs import Jobs
from autorag_whisper.server.settings import ServerSettings
from autorag_whisper.testing import speech_samples, write_speech
from http_world import until
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
EXAMPLES, SEED = int(os.environ.get("EXAMPLES", "200")), int(os.environ.get("SEED", "1"))
CHECKS = [
    getattr(known, name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
    if hasattr(known, name)
]
SPEECH = b""


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server over fakes is, on a free port."""
    global SPEECH  # noqa: PLW0603 - the hook below has no fixture
    folder = tmp_path_factory.mktemp("served")
    SPEECH = write_speech(folder / "talk.wav", speech_samples(2)).read_bytes()
    world, store = World(), MemoryJobStore()
    with world.transcriber, closing(JobRunner(store, world.transcriber, folder, time.time)) as runner:
        engine = Engine(world.transcriber, lambda: ["base"], time.monotonic)
        app = create_app(engine, ServerSettings(), Jobs(store, runner, time.time))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        listening = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        until(lambda: httpx.get(f"{base}/readyz").status_code == 200)
        yield base
        server.should_exit = True
        thread.join()


schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")  # uploads in pieces
api = schemathesis.openapi.from_path(Path(__file__).parents[2] / "docs" / "openapi.json")


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Of random bytes every other is speech: else no request would come to an answer."""
    if isinstance(body, dict):
        for name in ("file", "audio_file"):
            given = body.get(name)
            if isinstance(given, bytes) and len(given) % 2:
                body[name] = SPEECH
    return body


@pytest.mark.timeout(1800)
@api.parametrize()
@seed(SEED)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_no_request_makes_it_fail_or_answer_what_it_does_not_tell(case: schemathesis.Case, base: str) -> None:
    case.call_and_validate(base_url=base, checks=CHECKS, timeout=60)
