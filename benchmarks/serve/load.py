"""A client that sends clips: one after another, or several at a time without pause. Loopback alone, bounded in count.

It is a process of its own beside the servers, with one event loop; what it takes itself is the same for all of them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from benchmarks.compare.recordings import read_folder
from benchmarks.compare.scoring import Errors, count_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.compare.recordings import Recording

ROUTE = "/v1/audio/transcriptions"
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording as it is sent."""

    recording: Recording
    data: bytes

    @property
    def name(self) -> str:
        """Its file's name, with the folder's."""
        return self.recording.name


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request. `began_s` by the clock of the process; `text` "" where `status` is not 200."""

    clip: Clip
    began_s: float
    latency_s: float
    status: int
    text: str = ""


@dataclass(slots=True)
class Loaded:
    """What a load came to. `wall_s`: from the first request to the last answer."""

    wall_s: float = 0.0
    answers: list[Answer] = field(default_factory=list)

    def __add__(self, other: Loaded) -> Loaded:
        return Loaded(self.wall_s + other.wall_s, self.answers + other.answers)

    @property
    def good(self) -> list[Answer]:
        """Those that were answered."""
        return [answer for answer in self.answers if answer.status == 200]

    def errors(self, names: Collection[str] | None = None) -> Errors:
        """Words that came out wrong, of the clips whose text is known; of those of `names` alone, if they are given."""
        total = Errors()
        for answer in self.good:
            r = answer.clip.recording
            if r.scored and (names is None or answer.clip.name in names):
                found = count_errors(r.text, answer.text, r.language)
                total = Errors(*(a + b for a, b in zip(_counts(total), _counts(found), strict=True)))
        return total

    @property
    def names(self) -> set[str]:
        """The clips that were answered."""
        return {answer.clip.name for answer in self.good}

    def figures(self, names: Collection[str] | None = None) -> dict[str, float]:
        """Requests and audio a second, latencies in ms, the word error rate in percent, and what failed.

        `names`: the clips whose words are compared; None: all. Figures of nothing are NaN.
        """
        latencies = [1000 * answer.latency_s for answer in self.good]
        audio_s = sum(answer.clip.recording.duration_s for answer in self.good)
        return {
            "requests": len(self.good),
            "failed": len(self.answers) - len(self.good),
            "requests_per_s": round(len(self.good) / self.wall_s, 3),
            "audio_per_s": round(audio_s / self.wall_s, 1),
            "p50_ms": round(quantile(latencies, 0.5), 0),
            "p95_ms": round(quantile(latencies, 0.95), 0),
            "p99_ms": round(quantile(latencies, 0.99), 0),
            "wer": round(self.errors(names).rate, 2),
        }


def _counts(errors: Errors) -> tuple[float, float, float, float]:
    return errors.words, errors.substitutions, errors.deletions, errors.insertions


def quantile(values: Iterable[float], share: float) -> float:
    """The least value that `share` of them do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def clips_of(kit: Path, shortest_s: float, longest_s: float, seed: int = 1) -> list[Clip]:
    """The kit's recordings of people and of synthetic voices of that length, in an order of their own."""
    found = [r for folder in ("real", "tts") for r in read_folder(kit / folder)]
    found = [r for r in found if r.speech and shortest_s <= r.duration_s <= longest_s]
    random.Random(seed).shuffle(found)
    return [Clip(r, r.path.read_bytes()) for r in found]


def require_loopback(base: str) -> str:
    """`base`, if it is an address of this machine that nobody else reaches. Raises ValueError."""
    if urlsplit(base).hostname not in {"127.0.0.1", "::1"}:
        raise ValueError(f"load goes to this machine alone, not to {base}")
    return base


def open_client(base: str, connections: int = 64) -> httpx.AsyncClient:
    """A client with connections that stay open."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(base_url=require_loopback(base), timeout=TIMEOUT_S, limits=limits, trust_env=False)


async def ask(client: httpx.AsyncClient, clip: Clip, fields: Mapping[str, str]) -> Answer:
    """One request, one answer."""
    file = {"file": (clip.recording.path.name, clip.data, "application/octet-stream")}
    began = time.perf_counter()
    try:
        answer = await client.post(ROUTE, data=dict(fields), files=file)
    except httpx.HTTPError:
        return Answer(clip, began, time.perf_counter() - began, 0)
    latency = time.perf_counter() - began
    text = answer.json().get("text", "") if answer.status_code == 200 else ""
    return Answer(clip, began, latency, answer.status_code, text)


async def load(
    base: str, clips: Sequence[Clip], clients: int, count: int, fields: Mapping[str, str], *, most_s: float = math.inf
) -> Loaded:
    """`count` requests, `clients` at a time without pause, of the clips in turn; none after `most_s`."""
    found = Loaded()
    waiting: Iterator[Clip] = itertools.islice(itertools.cycle(clips), count)

    async def send_on(client: httpx.AsyncClient) -> None:
        for clip in waiting:
            found.answers.append(await ask(client, clip, fields))
            if time.perf_counter() - began > most_s:
                return

    async with open_client(base) as client:
        began = time.perf_counter()
        await asyncio.gather(*(send_on(client) for _ in range(clients)))
        found.wall_s = time.perf_counter() - began
    return found


async def events(
    client: httpx.AsyncClient, recording: Recording, fields: Mapping[str, str]
) -> AsyncIterator[dict[str, object]]:
    """The events of a transcription that is streamed, as they come."""
    with recording.path.open("rb") as file:
        form = {"file": (recording.path.name, file.read(), "application/octet-stream")}
    async with client.stream("POST", ROUTE, data=dict(fields) | {"stream": "true"}, files=form) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line[6:])
