"""A day of load in minutes: clips, streams, clients that leave, bad uploads, jobs. Memory and files are watched."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.serve.load import Clip, ask, events, open_client
from benchmarks.serve.peers import ours
from benchmarks.serve.servers import served

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from benchmarks.serve.parts import Plan
    from benchmarks.serve.servers import Served

    Act = Callable[[httpx.AsyncClient, Clip], Coroutine[Any, Any, None]]

SAMPLE_S = 2.0
WARM_UP = 0.25
"""The share of the time in which what is kept for good is made: work space, caches, threads."""
SEED = 1


@dataclass(slots=True)
class Soaked:
    """What was seen: each row the memory of each process that lasts in MB, by its id, and their open files."""

    memory_mb: list[dict[int, float]] = field(default_factory=list)
    descriptors: list[list[int]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    minutes: float = 0.0


def soak(plan: Plan, minutes: float) -> dict[str, Any]:
    """`plan.clients` clients for so many minutes, each with something else every time; then, at rest, a last look."""
    seen = Soaked(minutes=minutes)
    with tempfile.TemporaryDirectory() as folder, served(ours(plan.model, plan.threads, "--data", folder)) as server:
        asyncio.run(_soak(server, plan, minutes * 60, seen))
    return report(seen)


def report(seen: Soaked) -> dict[str, Any]:
    """How much the memory of each process grew after the warm-up, in percent: the last quarter against the first.

    `replaced`: processes that ended, or began, meanwhile; of them there is no growth.
    """
    rows = seen.memory_mb[round(WARM_UP * len(seen.memory_mb)) :]
    quarter = max(1, len(rows) // 4)
    ever = dict.fromkeys(pid for row in rows for pid in row)
    lasting = [pid for pid in ever if all(pid in row for row in rows)]
    first = [max(row[pid] for row in rows[:quarter]) for pid in lasting]
    last = [max(row[pid] for row in rows[-quarter:]) for pid in lasting]
    return {
        "minutes": round(seen.minutes, 1),
        "replaced": len(ever) - len(lasting),
        "requests": seen.counts,
        "memory_mb": [round(mb) for mb in last],
        "grew_percent": [round(100 * (b / a - 1), 1) for a, b in zip(first, last, strict=True)],
        "descriptors_at_rest": {"before": seen.descriptors[0], "after": seen.descriptors[-1]},
        "wrong": seen.wrong[:10],
    }


async def _soak(server: Served, plan: Plan, seconds: float, seen: Soaked) -> None:
    clips, chosen = plan.clips(), random.Random(SEED)
    await _warm_up(server, clips, plan)
    seen.descriptors.append(server.descriptors())
    until = time.monotonic() + seconds
    acts = _acts(plan, seen)

    async def client_of() -> None:
        while time.monotonic() < until:
            # A client that comes and goes: its connections too.
            async with open_client(server.base, 4) as client:
                for _ in range(8):
                    name = chosen.choices(list(acts), [weight for weight, _ in acts.values()])[0]
                    seen.counts[name] = seen.counts.get(name, 0) + 1
                    try:
                        await acts[name][1](client, chosen.choice(clips))
                    except httpx.HTTPError as error:
                        seen.wrong.append(f"{name}: {type(error).__name__} {error}")
                    if time.monotonic() >= until:
                        break

    async def look() -> None:
        while time.monotonic() < until:
            seen.memory_mb.append(server.memory_of())
            await asyncio.sleep(SAMPLE_S)

    await asyncio.gather(look(), *(client_of() for _ in range(plan.clients)))
    await _at_rest(server)
    seen.memory_mb.append(server.memory_of())
    seen.descriptors.append(server.descriptors())


async def _warm_up(server: Served, clips: Sequence[Clip], plan: Plan) -> None:
    async with open_client(server.base) as client:
        await asyncio.gather(*(ask(client, clip, plan.fields) for clip in clips[: plan.clients]))
    await _at_rest(server)


async def _at_rest(server: Served) -> None:
    """Until jobs are done, and what clients left behind has ended."""
    async with open_client(server.base) as client:
        for _ in range(600):
            states = [job["state"] for job in (await client.get("/v1/jobs?limit=1000")).json()["data"]]
            if not any(state in ("queued", "running") for state in states):
                break
            await asyncio.sleep(0.5)
    await asyncio.sleep(3.0)  # a batch in flight ends, connections close


def _acts(plan: Plan, seen: Soaked) -> dict[str, tuple[int, Act]]:
    """What a client does, with how often of all."""

    def expect(what: str, status: int, *allowed: int) -> None:
        if status not in allowed:
            seen.wrong.append(f"{what}: {status}")

    async def clip(client: httpx.AsyncClient, clip: Clip) -> None:
        expect("clip", (await ask(client, clip, plan.fields)).status, 200)

    async def words(client: httpx.AsyncClient, clip: Clip) -> None:
        fields = plan.fields | {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
        expect("words", (await ask(client, clip, fields)).status, 200)

    async def stream(client: httpx.AsyncClient, clip: Clip) -> None:
        last = {"type": "nothing"}
        async for event in events(client, clip.recording, plan.fields):
            last = event  # type: ignore[assignment]  # an event of any type
        if last.get("type") != "transcript.text.done":
            seen.wrong.append(f"stream: ended with {last}")

    async def leave(client: httpx.AsyncClient, clip: Clip) -> None:
        task = asyncio.create_task(ask(client, clip, plan.fields))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def bad(client: httpx.AsyncClient, clip: Clip) -> None:
        broken = Clip(clip.recording, b"no sound at all" * 100)
        expect("bad", (await ask(client, broken, plan.fields)).status, 400)

    async def job(client: httpx.AsyncClient, clip: Clip) -> None:
        file = {"file": (clip.recording.path.name, clip.data)}
        answer = await client.post("/v1/jobs", files=file, data=plan.fields)
        expect("job", answer.status_code, 201)

    return {
        "clip": (8, clip),
        "words": (2, words),
        "stream": (2, stream),
        "leave": (1, leave),
        "bad": (1, bad),
        "job": (1, job),
    }
