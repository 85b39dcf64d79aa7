"""A store that says nothing holds up who needs it, for a bounded time, and nobody else; behind it all goes on."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.domain.job_errors import StoreUnavailable
from autorag_whisper.jobs.job import JobRequest, JobState
from autorag_whisper.jobs.memory import MemoryJobStore
from autorag_whisper.jobs.runner import JobRunner
from autorag_whisper.server.health import Health
from autorag_whisper.server.store_calls import MOST_CALLS, StoreCalls
from autorag_whisper.testing import speech_samples, write_speech
from http_world import TRANSCRIPTIONS, Gate, error_of, held_world, until
from jobs_world import jobs_world

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_speech(tmp_path_factory.mktemp("speech") / "talk.wav", speech_samples(5)).read_bytes()


class Mute:
    """A store whose calls wait for `speaks`. `waiting`: how many do."""

    def __init__(self, store: Any, speaks: threading.Event, waiting: list[str]) -> None:
        self._store, self._speaks, self._waiting = store, speaks, waiting

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name in ("deliveries", "library"):
            return Mute(found, self._speaks, self._waiting)
        if not callable(found):
            return found

        def call(*given: Any, **named: Any) -> Any:
            if not self._speaks.is_set():
                self._waiting.append(name)
                assert self._speaks.wait(120)
            return found(*given, **named)

        return call


@pytest.mark.slow
def test_a_store_that_is_silent_holds_up_who_needs_it_and_nobody_else(tmp_path: Path, speech: bytes) -> None:
    # A server process that was stopped, or a network that drops packets: what waited for it took every thread.
    speaks, waiting = threading.Event(), list[str]()
    speaks.set()
    store: Any = Mute(MemoryJobStore(), speaks, waiting)
    with jobs_world(tmp_path, store) as world, ThreadPoolExecutor(60) as clients:
        until(lambda: world.get("/readyz").status_code == 200)
        job = world.add(speech, language="en")
        asked = ("/v1/jobs", f"/v1/jobs/{job}", f"/v1/jobs/{job}/result", f"/v1/jobs/{job}/events",
                 f"/v1/jobs/{job}/transcript", f"/v1/jobs/{job}/peaks", "/v1/jobs/search?q=one")  # fmt: skip
        speaks.clear()
        held = [clients.submit(world.client.get, path) for path in asked * 8]
        until(lambda: len(waiting) > MOST_CALLS)  # the runner's own are among them
        for path in ("/livez", "/v1/models", "/", "/metrics"):
            assert world.get(path).status_code == 200, path
        assert world.get("/readyz").json()
        files, form = {"file": ("talk.wav", speech)}, {"language": "en"}
        said = world.client.post(TRANSCRIPTIONS, files=files, data=form)
        assert said.json()["text"] == "one two three four five"
        assert 'autorag_whisper_jobs{state="done"}' not in world.get("/metrics").text, "they cannot be counted"
        speaks.set()
        for answer in (one.result(120) for one in held):
            if answer.status_code != 200:  # its turn did not come in time
                assert answer.status_code == 503, answer.text
                assert error_of(answer)["code"] == "unavailable"
                assert int(answer.headers["retry-after"]) > 0
        assert world.get(f"/v1/jobs/{job}").status_code == 200
        assert 'autorag_whisper_jobs{state="done"} 1.0' in world.get("/metrics").text


def test_a_call_whose_turn_does_not_come_is_refused_and_never_made() -> None:
    calls, made, go_on = StoreCalls(most=1, patience_s=0.05), list[int](), threading.Event()

    async def ask() -> None:
        first = asyncio.create_task(calls(go_on.wait, 60))
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable):
            await calls(made.append, 1)
        left = asyncio.create_task(calls(made.append, 2))
        await asyncio.sleep(0)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        with pytest.raises(StoreUnavailable):
            await asyncio.to_thread(calls.within, 0.05, lambda: made.append(3))
        assert not first.done(), "one that has begun is waited for, however long it takes"
        go_on.set()
        assert await first
        await calls(made.append, 4)
        with pytest.raises(LookupError):
            await calls([].pop)  # what a call raises is raised

    asyncio.run(ask())
    assert made == [4]


class Away(MemoryJobStore):
    """One that cannot be used while `away` names one of its methods."""

    away = ""

    def _check(self, name: str) -> None:
        if name in self.away.split():
            raise StoreUnavailable("the store", "it is away")

    def renew(self, *given: Any) -> Any:
        self._check("renew")
        return super().renew(*given)

    def checkpoints(self, job_id: str) -> Any:
        self._check("checkpoints")
        return super().checkpoints(job_id)


def test_a_server_whose_threads_all_have_a_job_is_red_while_the_store_is_away_and_no_longer(
    tmp_path: Path, speech: bytes
) -> None:
    # Who looks for a next job took it back: with jobs of hours the server stayed red for hours.
    store, gate, health = Away(), Gate(), Health(lambda: 0.0)
    media = tmp_path / "talk.wav"
    media.write_bytes(speech)
    with held_world(gate) as world:
        runner = JobRunner(store, world.transcriber, tmp_path / "data", lambda: 1e6, 1)
        runner.watch = health
        job = store.add(JobRequest(str(media), "talk.wav"), 1e6)
        assert gate.asked.acquire(timeout=60)
        for _ in range(2):
            store.away = "renew"
            until(lambda: "it is away" in health.problem)
            store.away = ""
            until(lambda: not health.problem)
            assert store.get(job.id).state is JobState.RUNNING  # type: ignore[union-attr]  # it is there
        gate.let.set()
        until(lambda: store.get(job.id).state is JobState.DONE)  # type: ignore[union-attr]  # it is there
        runner.close()


def test_a_store_that_goes_away_when_a_job_has_just_been_claimed_costs_that_no_attempt(
    tmp_path: Path, speech: bytes
) -> None:
    # It counted as a failure of the job, which fails for good behind five.
    store, health = Away(), Health(lambda: 0.0)
    store.away = "checkpoints"
    media = tmp_path / "talk.wav"
    media.write_bytes(speech)
    with held_world(gate := Gate()) as world:
        gate.let.set()
        runner = JobRunner(store, world.transcriber, tmp_path / "data", lambda: 1e6, 1)
        runner.watch = health
        job = store.add(JobRequest(str(media), "talk.wav"), 1e6)
        until(lambda: "it is away" in health.problem)
        store.away = ""
        until(lambda: store.get(job.id).state is JobState.DONE)  # type: ignore[union-attr]  # it is there
        runner.close()
    done = store.get(job.id)
    assert done is not None
    assert (done.failures, done.deaths) == (0, 0)
    assert not health.problem
