"""The service on a Ray Serve cluster of the test's own: two replicas on one database, asked as any other server is."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import openai
import psutil
import pytest

from autorag_whisper.testing import write_speech
from made_media import decode
from openai_contract import (  # noqa: F401 - they run here, too
    test_answers_are_what_openais_own_types_say,
    test_openais_client_raises_its_own_errors,
    test_openais_client_reads_every_format,
    test_openais_client_reads_the_stream,
)
from ray_processes import LOOPBACK, below, end, listened_on, named, until
from served import KEY, SERVE, Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.postgres_server import PostgresServer

pytest.importorskip("ray", reason="scripts/ray_env.sh makes the environment")

pytestmark = pytest.mark.timeout(1200)  # a cluster starts in seconds, on a busy machine in minutes

MOST = 2


class OnRay(Served):
    """`serve --ray` on a cluster of its own, in a session of its own. It is ready when this is made."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "keys").write_text(KEY, encoding="utf-8")
        self.log = folder / "log"
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                [*SERVE, "--port", "0", "--ray", "--drain", "5", *options],
                stdout=file,
                stderr=file,
                env=os.environ | {"AUTORAG_WHISPER_API_KEYS": str(folder / "keys")},
                start_new_session=True,
            )
        try:
            found = until(lambda: re.search(r"serves (http://127\.0\.0\.1:\d+)/v1", self.log.read_text()),
                          self.process, self.log)  # fmt: skip
        except BaseException:
            end(self.process)
            raise
        self.line, self.base = found[0], found[1]

    def __exit__(self, *_: object) -> None:
        end(self.process)

    def replicas(self) -> list[psutil.Process]:
        return [one for one in below(self.process) if named(one, "ray::ServeReplica")]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[OnRay]:
    folder = tmp_path_factory.mktemp("on-ray")
    store = ("--data", str(folder / "data"), "--store", postgres_server.emptied())
    with OnRay(folder, "--replicas", "2", "--most", str(MOST), *store) as server:
        yield server


@pytest.fixture(scope="module")
def long(demo_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of speech: more than any machine is through with while a test does its next step."""
    samples, _, _ = decode(demo_sample)
    place = tmp_path_factory.mktemp("long") / "long.wav"
    return write_speech(place, np.tile(samples, math.ceil(600 * 16_000 / len(samples))))


def test_every_port_of_the_cluster_is_on_loopback_and_wants_a_token(served: OnRay) -> None:
    assert len(served.replicas()) == 2
    assert listened_on(served.process) <= LOOPBACK
    ask = f"import ray; ray.init(address='{head_of(served)}', log_to_driver=False); print('in', len(ray.nodes()))"
    bare = as_they_are()
    stranger = joined(ask, bare | {"RAY_AUTH_TOKEN": "f" * 64})
    assert stranger.returncode != 0
    assert "Unauthenticated" in stranger.stdout + stranger.stderr
    assert "in 1" in joined(ask, bare).stdout, "with the token of this user"


def head_of(served: OnRay) -> str:
    heads = [one for one in below(served.process) if named(one, "gcs_server")]
    gcs = max(heads, key=psutil.Process.create_time)  # a try that was given up leaves one, too
    port = next(one.laddr.port for one in gcs.net_connections("inet") if one.status == psutil.CONN_LISTEN)
    return f"127.0.0.1:{port}"


def as_they_are() -> dict[str, str]:
    """The environment of somebody else on this machine."""
    alike = {"RAY_AUTH_MODE": "token", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # the latter: by loopback
    return {name: text for name, text in os.environ.items() if not name.startswith("RAY_")} | alike


def test_options_that_make_no_sense_leave_what_is_served_on_a_cluster_alone(served: OnRay) -> None:
    # Whoever mistyped one ended the service that was there.
    command = [*SERVE, "--port", "0", "--ray", head_of(served), "--replicas", "0"]
    wrong = subprocess.run(command, capture_output=True, text=True, env=as_they_are(), timeout=300, check=False)
    assert wrong.returncode == 2, wrong.stderr
    assert "LEAST-MOST" in wrong.stderr
    assert served.client.models.list().data
    assert len(served.replicas()) == 2


@pytest.mark.parametrize(("host", "code"), [("127.0.0.1", 0), ("0.0.0.0", 3)])
def test_proxies_that_others_reach_need_keys_whoever_started_them(host: str, code: int) -> None:
    # `serve deploy` has them on every address; the options of the application said loopback, so it served without keys.
    ask = (
        "import ray, sys; from ray import serve; from autorag_whisper.cli.ray_serve import app; "
        "from autorag_whisper.domain.errors import InvalidOption; "
        "ray.init(address='local', num_cpus=2, include_dashboard=False, log_to_driver=False)\n"
        f"serve.start(http_options={{'host': {host!r}, 'port': 0}}, proxy_location='Disabled')\n"
        "try: app({'replicas': '1'})\n"
        "except InvalidOption as error: sys.exit(3 if 'API_KEYS' in str(error) else 4)"
    )
    assert joined(ask, as_they_are()).returncode == code


def test_the_application_finds_the_cluster_for_rays_own_command(served: OnRay) -> None:
    # `serve run autorag_whisper.cli.ray_serve:app` calls it before Ray is connected: it ended there.
    ask = (
        "import ray; from autorag_whisper.cli.ray_serve import app; "
        "app({'replicas': '1'}); print('in', len(ray.nodes()))"
    )
    done = joined(ask, as_they_are() | {"RAY_ADDRESS": head_of(served)})
    assert "in 1" in done.stdout, done.stderr


def joined(code: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=300, check=False)


def test_a_job_is_in_the_database_whoever_answers_for_it(served: OnRay, demo_sample: Path) -> None:
    wanted = served.client.audio.transcriptions.create(file=demo_sample, model="whisper-1").text
    with served.http() as client:
        added = client.post("/v1/jobs", files={"file": ("demo.flac", demo_sample.read_bytes())})
        assert added.status_code in (200, 201, 202), added.text
        job = added.json()["id"]

        def is_over() -> bool:
            return bool(client.get(f"/v1/jobs/{job}").json()["state"] in ("done", "failed"))

        until(is_over, served.process, served.log)
        seen = [client.get(f"/v1/jobs/{job}/result").json() for _ in range(6)]  # of this replica or of that
    assert all(one["text"] == wanted for one in seen)


def test_over_the_limit_it_is_503_in_openais_shape_with_the_time_to_wait(served: OnRay, long: Path) -> None:
    refused: openai.InternalServerError | None = None
    with contextlib.ExitStack() as streams:
        for _ in range(2 * MOST + 1):  # two replicas
            try:
                stream = served.client.audio.transcriptions.create(file=long, model="whisper-1", stream=True)
            except openai.InternalServerError as error:
                refused = error
                break
            streams.callback(stream.close)
    assert refused is not None
    assert (refused.status_code, refused.code, refused.type) == (503, "overloaded", "server_error")
    assert int(refused.response.headers["Retry-After"]) >= 1


def test_replicas_that_are_killed_end_a_stream_with_an_error_and_are_replaced(
    served: OnRay, long: Path, demo_sample: Path
) -> None:
    def begun() -> Any:
        with contextlib.suppress(openai.InternalServerError):  # what the tests before have left is cancelled by then
            return served.client.audio.transcriptions.create(file=long, model="whisper-1", stream=True)
        return None

    events = iter(until(begun, served.process, served.log))
    assert next(events).type == "transcript.text.delta"
    before = {one.pid for one in served.replicas()}
    for one in served.replicas():
        one.kill()
    with pytest.raises((openai.APIError, httpx.HTTPError)):
        list(events)
    codes: set[str | None] = set()

    def is_served_again() -> bool:
        try:
            return "tickets" in served.client.audio.transcriptions.create(file=demo_sample, model="whisper-1").text
        except openai.InternalServerError as error:
            codes.add(error.code)
            return False

    until(is_served_again, served.process, served.log)
    assert codes <= {"replica_lost", "overloaded"}
    assert before.isdisjoint({one.pid for one in served.replicas()})


def test_sigterm_ends_the_cluster_too(tmp_path: Path) -> None:
    with OnRay(tmp_path, "--replicas", "1") as server:
        everything: list[Any] = below(server.process)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(120) == 143, server.log.read_text()
        _, alive = psutil.wait_procs(everything, timeout=120)
    assert not alive
