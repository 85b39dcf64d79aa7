"""From recordings that were found to a plan: each once, each with its shard."""

from __future__ import annotations

import hashlib
import json
from array import array
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.archive.inputs import NotDone
from autorag_whisper.archive.sharded.cutting import Sizing, cut, estimated_s
from autorag_whisper.archive.sharded.listing import BY_CONTENT, BY_NAME, identity, stated_duration_s
from autorag_whisper.archive.sharded.rows import Head, Row, dumps, shown
from autorag_whisper.domain.archive_errors import InvalidList, InvalidPlan, NothingFound
from autorag_whisper.domain.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from autorag_whisper.archive.sharded.listing import Candidate
    from autorag_whisper.archive.sharded.plan_file import PlanFile

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """How a plan is made.

    `identity`: `content` or `name` (`listing.identity`). `with_durations`: headers of local files are read for what is
    not known. `on_progress` is told how many recordings were looked at.
    """

    sizing: Sizing = field(default_factory=Sizing)
    identity: str = BY_CONTENT
    with_durations: bool = True
    on_progress: Callable[[int], None] = lambda _count: None


@dataclass(frozen=True, slots=True)
class NewPlan:
    """A plan that is to be written: its head, and `lines` as `plan_file.write_plan` takes them.

    `added`: recordings that are new in it. `seconds`: of all of them, as far as it is known or can be guessed.
    `same`: places left out because another has the same content, `known`: because the old plan has it. `problems`: what
    could not be read.
    """

    head: Head
    lines: Iterable[tuple[int, str]]
    added: int
    seconds: float
    same: int
    known: int
    problems: tuple[NotDone, ...]


def make_plan(candidates: Iterable[Candidate], request: PlanRequest, old: PlanFile | None = None) -> NewPlan:
    """A plan of `candidates`; with `old` that one with what is new added, in shards of their own.

    Of each recording it keeps its line and some numbers, about 300 bytes.

    Raises:
        NothingFound: there is no recording.
        InvalidList: an id was given to two recordings.
    """
    gathered = _Gathered(request)
    if old is not None and old.head.attempt > 1:
        raise InvalidPlan(old.path.name, "it is a plan of what failed, and has only that")
    if old is not None:
        gathered.know(old)
    for candidate in candidates:
        gathered.take(candidate)
    gathered.write_places()
    if not gathered.lines and old is None:
        raise NothingFound("plan", tuple(f"{p.shown}: {p.reason}" for p in gathered.problems) or ("no recording",))
    identity_of_plan = gathered.close()
    durations = np.asarray(gathered.durations, np.float64)
    order, shards = cut(request.sizing.costs_s(durations), request.sizing.shard_minutes * 60)
    head = _head(identity_of_plan, len(gathered.lines), shards, request, old)

    def lines() -> Iterator[tuple[int, str]]:
        first = 0
        if old is not None:
            yield from ((row.shard, dumps(row.facts())) for row in old.rows())
            first = old.head.shards
        for index, shard in zip(order.tolist(), shards.tolist(), strict=True):
            yield first + shard, gathered.lines[index]

    seconds = float(durations.sum())
    same, known, problems = gathered.same, gathered.known, tuple(gathered.problems)
    return NewPlan(head, lines(), len(gathered.lines), seconds, same, known, problems)


def _head(plan: str, added: int, shards: NDArray[np.int64], request: PlanRequest, old: PlanFile | None) -> Head:
    count, sizing = int(shards.max()) + 1 if len(shards) else 0, request.sizing
    if old is not None:
        numbers = old.head.shards + count, old.head.rows + added
        return Head(old.head.plan, *numbers, 1, sizing.shard_minutes, sizing.speed)
    return Head(plan, count, added, 1, sizing.shard_minutes, sizing.speed)


class _Gathered:
    """Recordings, each once: by the digest of its id, as strings of a million ids would take 100 MB."""

    def __init__(self, request: PlanRequest) -> None:
        self._request = request
        self._index_of: dict[bytes, int] = {}
        self._places: dict[int, list[str]] = {}
        self.lines: list[str] = []
        self.durations = array("d")
        self.problems: list[NotDone] = []
        self.same = self.known = self._looked_at = 0

    def know(self, old: PlanFile) -> None:
        """What is planned already."""
        for row in old.rows():
            self._index_of[_digest(row.id)] = -1

    def take(self, candidate: Candidate) -> None:
        self._looked_at += 1
        self._request.on_progress(self._looked_at)
        try:
            who = self._identity(candidate)
            key = _digest(who)
            if (index := self._index_of.get(key)) is not None:
                self._take_same(index, candidate)
                return
            duration_s = candidate.duration_s
            if duration_s is None and self._request.with_durations:
                duration_s = stated_duration_s(candidate)
            row = Row(who, candidate.uri, duration_s, candidate.size_bytes)
        except ValueError as error:
            self.problems.append(NotDone(shown(candidate.uri), str(error)))
            return
        if duration_s is None:
            duration_s = estimated_s(candidate.size_bytes, PurePosixPath(candidate.uri).suffix)
        self._index_of[key] = len(self.lines)
        self.lines.append(dumps(row.facts()))
        self.durations.append(duration_s)

    def _identity(self, candidate: Candidate) -> str:
        try:
            return identity(candidate, self._request.identity)
        except (
            OSError,
            MediaError,
        ):  # recognising it says what is wrong with it: it is to be a failure, and not to be forgotten
            return identity(candidate, BY_NAME)

    def write_places(self) -> None:
        """Add to lines the other places of what they are about."""
        for index, places in self._places.items():
            self.lines[index] = dumps(json.loads(self.lines[index]) | {"also": places})

    def close(self) -> str:
        """Forget what is only needed to gather; a plan's identity: a digest of its recordings."""
        digest = hashlib.sha256()
        for key in sorted(self._index_of):
            digest.update(key)
        self._index_of, self._places = {}, {}
        return digest.hexdigest()[:16]

    def _take_same(self, index: int, candidate: Candidate) -> None:
        if index < 0:  # planned before: where else it lies is not added to rows that stand
            self.known += 1
            return
        places = self._places.setdefault(index, [])
        if f'"uri":{dumps_text(candidate.uri)}' in self.lines[index] or candidate.uri in places:
            return  # the same place, named twice
        if candidate.id:
            raise InvalidList(shown(candidate.uri), f"its id {candidate.id!r} is also that of another recording")
        places.append(candidate.uri)
        self.same += 1


def dumps_text(text: str) -> str:
    """A string as it stands in a line."""
    return json.dumps(text)


def _digest(who: str) -> bytes:
    return hashlib.blake2b(who.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
