"""The measurements, each bounded in count; each returns its figures by name."""

from __future__ import annotations

import asyncio
import math
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.serve.load import Loaded, ask, clips_of, events, load, open_client, quantile
from benchmarks.serve.peers import CHOICES, ours
from benchmarks.serve.servers import Served, served

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.compare.recordings import Recording
    from benchmarks.serve.load import Clip

SHORTEST_S, LONGEST_S = 3.0, 8.0
USUAL_S = 5.0


@dataclass(frozen=True)
class Plan:
    """What all measurements share.

    `rounds`: how often servers, or ways, take turns; `count`: requests in each. `turn_s`: after so long a server gets
    no more requests in its turn of the comparison.
    """

    kit: Path
    model: str = "base"
    threads: int = 2
    clients: int = 16
    rounds: int = 2
    count: int = 96
    servers: Sequence[str] = ("ours", "fw", "fw-workers")
    language: str = ""
    pause_s: float = 4.0
    long_file: str = "long_10min.flac"
    turn_s: float = 15.0

    @property
    def fields(self) -> dict[str, str]:
        """What every request says beside its file."""
        return {"response_format": "json"} | ({"language": self.language} if self.language else {})

    def clips(self) -> list[Clip]:
        """The clips that are sent: all languages of the kit, or the one that is told."""
        found = clips_of(self.kit, SHORTEST_S, LONGEST_S)
        return [clip for clip in found if self.language in ("", clip.recording.language)]

    def long(self) -> Recording:
        """The long file."""
        found = clips_of(self.kit, 500, math.inf)
        return next(clip.recording for clip in found if clip.recording.path.name == self.long_file)


def throughput(plan: Plan) -> dict[str, Any]:
    """Clients that send clips without pause, to one server after another, in turn; half a turn of them to warm up.

    Word errors are those of the clips that every server has answered. A server that does not start is told, not fatal.
    """
    clips, rows = plan.clips(), dict[str, dict[str, Any]]()
    with ExitStack() as stack:
        running = dict[str, Served]()
        for name in plan.servers:
            try:
                running[name] = stack.enter_context(served(CHOICES[name](plan.model, plan.threads)))
            except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                rows[name] = {"told": name, "problem": str(error).strip()}
        found = dict.fromkeys(running, Loaded())
        for server in running.values():
            asyncio.run(load(server.base, clips, plan.clients, max(1, plan.clients // 2), _fields(plan, server)))
        for number in range(plan.rounds):
            sent = clips[number * plan.count % len(clips) :] + clips
            for name, server in running.items():
                fields = _fields(plan, server)
                found[name] += asyncio.run(
                    load(server.base, sent, plan.clients, plan.count, fields, most_s=plan.turn_s)
                )
        memory = {name: round(server.memory_mb()) for name, server in running.items()}
        told = {name: server.choice.told for name, server in running.items()}
    shared = set.intersection(*(one.names for one in found.values() if one.good)) if found else set[str]()
    for name in running:
        rows[name] = {"told": told[name], **found[name].figures(shared), "memory_mb": memory[name]}
    rows = {name: rows[name] for name in plan.servers}
    return {"clients": plan.clients, "clips_compared": len(shared), "servers": rows} | _against_best(rows)


def _fields(plan: Plan, server: Served) -> dict[str, str]:
    return plan.fields | dict(server.choice.fields)


def _against_best(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rates = {name: row["requests_per_s"] for name, row in rows.items() if row.get("requests_per_s")}
    peers = {name: rate for name, rate in rates.items() if name != "ours"}
    if not peers or "ours" not in rates:
        return {}
    best = max(peers, key=lambda name: peers[name])
    return {"best_peer": best, "times_best_peer": round(rows["ours"]["requests_per_s"] / peers[best], 2)}


def latency(plan: Plan) -> dict[str, Any]:
    """A clip by the library in this process and by the server, in turn: what HTTP and a second process add."""
    from autorag_whisper import build_transcriber
    from autorag_whisper.domain.request import TranscribeOptions

    clip = min(plan.clips(), key=lambda clip: abs(clip.recording.duration_s - USUAL_S))
    options, library, server_s = TranscribeOptions(language=plan.language or None), list[float](), list[float]()

    async def measure(base: str) -> None:
        async with open_client(base) as client:
            for number in range(plan.count + 3):
                began = time.perf_counter()
                transcriber.transcribe(clip.data, options, model=plan.model)
                own_s = time.perf_counter() - began
                answer = await ask(client, clip, plan.fields)
                if answer.status != 200:
                    raise RuntimeError(f"the server answered {answer.status}")
                if number >= 3:  # what is made at the first use is not what is measured
                    library.append(own_s)
                    server_s.append(answer.latency_s)

    with served(ours(plan.model, plan.threads)) as server, build_transcriber() as transcriber:
        asyncio.run(measure(server.base))
    added = [1000 * (b - a) for a, b in zip(library, server_s, strict=True)]
    figures: dict[str, Any] = {"clip": clip.name, "seconds": clip.recording.duration_s, "pairs": len(added)}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        own, other = 1000 * quantile(library, share), 1000 * quantile(server_s, share)
        figures |= {f"library_{name}_ms": round(own, 1), f"server_{name}_ms": round(other, 1)}
        figures[f"added_{name}_ms"] = round(other - own, 1)
        figures[f"pairs_{name}_ms"] = round(quantile(added, share), 1)
    return figures


def beside_a_long_job(plan: Plan) -> dict[str, Any]:
    """Clips alone, then while a long file is done as a durable job; and how long that takes alone and beside them.

    Once with one client that pauses between two clips, once with all of them without pause.
    """
    clips = plan.clips()
    figures: dict[str, Any] = {"long_file": plan.long().path.name, "pause_s": plan.pause_s}
    with tempfile.TemporaryDirectory() as folder:
        choice = ours(plan.model, plan.threads, "--data", folder)
        with served(choice) as server:
            alone = asyncio.run(_job_beside(server, plan, clips, 0, 0.0))
            figures["job_alone_s"] = round(alone.job_s, 1)
            for name, clients, pause_s in (("one", 1, plan.pause_s), ("many", plan.clients, 0.0)):
                unloaded = asyncio.run(_clips_for(server, plan, clips, clients, pause_s, plan.count // 2))
                beside = asyncio.run(_job_beside(server, plan, clips, clients, pause_s))
                figures[name] = {
                    "clients": clients,
                    "unloaded": unloaded.figures(),
                    "beside": beside.clips.figures(),
                    "job_s": round(beside.job_s, 1),
                    "job_times_alone": round(beside.job_s / alone.job_s, 2),
                }
    return figures


@dataclass(slots=True)
class Beside:
    """A job's time, and the clips that were sent meanwhile."""

    job_s: float
    clips: Loaded


async def _clips_for(
    server: Served, plan: Plan, clips: Sequence[Clip], clients: int, pause_s: float, count: int
) -> Loaded:
    if not pause_s:
        return await load(server.base, clips, clients, count, plan.fields)
    found = Loaded()
    async with open_client(server.base) as client:
        began = time.perf_counter()
        for clip in clips[: min(count, 12)]:
            found.answers.append(await ask(client, clip, plan.fields))
            await asyncio.sleep(pause_s)
        found.wall_s = time.perf_counter() - began
    return found


async def _job_beside(server: Served, plan: Plan, clips: Sequence[Clip], clients: int, pause_s: float) -> Beside:
    """A long job, with `clients` that send clips as long as it is in work."""
    recording, over = plan.long(), asyncio.Event()
    found = Loaded()
    waiting: Iterator[Clip] = iter([clip for _ in range(100) for clip in clips])

    async def send_on() -> None:
        async with open_client(server.base) as client:
            for clip in waiting:
                found.answers.append(await ask(client, clip, plan.fields))
                if over.is_set():
                    return
                if pause_s:
                    await asyncio.sleep(pause_s)

    async with open_client(server.base) as client:
        began = time.perf_counter()
        file = {"file": (recording.path.name, recording.path.read_bytes())}
        answer = await client.post("/v1/jobs", files=file, data=plan.fields)
        answer.raise_for_status()
        senders = [asyncio.create_task(send_on()) for _ in range(clients)]
        state = await _end_of_job(client, answer.json()["id"])
        job_s = time.perf_counter() - began
        over.set()
        await asyncio.gather(*senders)
    if state != "done":
        raise RuntimeError(f"the long job is {state}")
    found.answers = [a for a in found.answers if a.began_s + a.latency_s <= began + job_s] or found.answers
    return Beside(job_s, replace(found, wall_s=job_s))


async def _end_of_job(client: Any, job_id: str) -> str:
    while True:
        state: str = (await client.get(f"/v1/jobs/{job_id}")).json()["state"]
        if state in ("done", "failed", "cancelled"):
            return state
        await asyncio.sleep(0.2)


def first_delta(plan: Plan) -> dict[str, Any]:
    """From the request to the first text of a long file that is streamed, warm; it is left then: the work ends."""

    async def once(base: str) -> float:
        async with open_client(base) as client:
            began = time.perf_counter()
            async for event in events(client, plan.long(), plan.fields):
                if event["type"] == "transcript.text.delta":
                    return time.perf_counter() - began
        raise RuntimeError("no text came")

    with served(ours(plan.model, plan.threads)) as server:
        asyncio.run(load(server.base, plan.clips(), 1, 1, plan.fields))
        seconds = [asyncio.run(once(server.base)) for _ in range(5)]
    return {
        "long_file": plan.long().path.name,
        "median_s": round(quantile(seconds, 0.5), 2),
        "worst_s": round(max(seconds), 2),
    }


def shutdown(plan: Plan) -> dict[str, Any]:
    """SIGTERM while nothing is in work, while clips are, and while a long job is: exit code, time, what came of it."""
    figures: dict[str, Any] = {}
    with served(ours(plan.model, plan.threads)) as server:
        asyncio.run(load(server.base, plan.clips(), 1, 1, plan.fields))
        code, took_s = server.end()
        figures["idle"] = {"exit_code": code, "seconds": round(took_s, 2)}
    with served(ours(plan.model, plan.threads)) as server:
        figures["clips_in_work"] = asyncio.run(_end_in_work(server, plan))
    with tempfile.TemporaryDirectory() as folder:
        choice = ours(plan.model, plan.threads, "--data", folder)
        with served(choice) as server:
            figures["job_in_work"] = asyncio.run(_end_in_job(server, plan))
        with served(choice) as server:
            figures["job_in_work"]["after_restart"] = asyncio.run(_job_after(server, figures["job_in_work"].pop("id")))
    return figures


async def _end_in_work(server: Served, plan: Plan) -> dict[str, Any]:
    async with open_client(server.base) as client:
        asked = [asyncio.create_task(ask(client, clip, plan.fields)) for clip in plan.clips()[:4]]
        await asyncio.sleep(0.2)
        code, took_s = await asyncio.to_thread(server.end, signal.SIGTERM)
        answers = await asyncio.gather(*asked)
    statuses = [answer.status for answer in answers]
    return {"exit_code": code, "seconds": round(took_s, 2), "statuses": statuses}


async def _end_in_job(server: Served, plan: Plan) -> dict[str, Any]:
    async with open_client(server.base) as client:
        file = {"file": (plan.long().path.name, plan.long().path.read_bytes())}
        job_id = (await client.post("/v1/jobs", files=file, data=plan.fields)).json()["id"]
        while (await client.get(f"/v1/jobs/{job_id}")).json()["state"] == "queued":
            await asyncio.sleep(0.05)
        code, took_s = await asyncio.to_thread(server.end, signal.SIGTERM)
    return {"exit_code": code, "seconds": round(took_s, 2), "id": job_id}


async def _job_after(server: Served, job_id: str) -> str:
    async with open_client(server.base) as client:
        return await _end_of_job(client, job_id)
