"""Which chunks go through the engine together: a pool in the order of the audio, and batches from it.

A batch has one window, unless the engine mixes them, and one profile of options (`recognition.profile`).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from autorag_whisper.engines.base import WINDOW_FRAMES
from autorag_whisper.recognition.chunk_result import AskLanguage
from autorag_whisper.recognition.profile import BatchProfile, profile_of
from autorag_whisper.recognition.shares import MOST_WAITED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from autorag_whisper.recognition.chunk_result import ChunkTask


MOST_PASSED_OVER = 3
"""Batches that may go before the oldest chunk: segments come in order, and its own are waited for."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How many chunks go together: `size` of the full window and, if it `stretches`, more of shorter ones."""

    size: int
    stretches: bool

    def of(self, window: int) -> int:
        """Chunks of this window: what they take of the engine's memory is in proportion to it."""
        return self.size * WINDOW_FRAMES // window if self.stretches else self.size

    def first_of(self, windows: Iterable[int]) -> int:
        """How many of the first chunks of these windows go together, one at least."""
        if not self.stretches:
            return self.size
        ends = accumulate(windows)
        return max(1, sum(end <= self.size * WINDOW_FRAMES for end in ends))


def batch_of(size: int, wanted: int | None, limit: int | None = None) -> Batch:
    """As large as was `wanted`, or of the device's `size`; `limit` chunks of any window where more did not fit."""
    if limit is not None:
        return Batch(min(wanted or size, limit), stretches=False)
    return Batch(wanted or size, stretches=wanted is None)


class Group(NamedTuple):
    """What the chunks of one batch have in common: mel frames of the encoder window, and the options of the calls."""

    window: int
    profile: BatchProfile


@dataclass(slots=True)
class Pool:
    """Chunks that wait, oldest first, also of several files. Belongs to one thread.

    `size`: chunks of the full window that the device takes at once; `limit`: where fewer did not fit. `mixes_windows`:
    a batch has chunks of any windows, of all together no more than `size` full ones.
    """

    strict_window: bool
    size: int
    limit: int | None = None
    waiting: list[ChunkTask] = field(default_factory=list)
    languages: dict[int, str] = field(default_factory=dict)
    known: dict[int, tuple[str, ...]] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    passed_over: int = 0
    mixes_windows: bool = False

    @property
    def seconds(self) -> float:
        """Audio that waits."""
        return sum(task.chunk.duration_s for task in self.waiting)

    def add(self, task: ChunkTask) -> None:
        """A new chunk of a file, its latest, in a language that is not known yet."""
        self.waiting.append(task)

    def put_back(self, tasks: list[ChunkTask], *, undecided: bool = False) -> None:
        """Chunks that have to be done again, in front; the language of an `undecided` one is not asked for again."""
        if not undecided:
            self.asked -= {task.file for task in tasks if task.chunk.index == 0}
        self.waiting[:0] = [task if task.is_settled else replace(task, ask=AskLanguage.IF_SURE) for task in tasks]

    def forget(self, file: int) -> None:
        """`file` is over: nothing of it waits any more, and what it speaks need not be known."""
        self.waiting = [task for task in self.waiting if task.file != file]
        self.languages.pop(file, None)
        self.known.pop(file, None)
        self.asked.discard(file)

    def clear(self) -> None:
        """Forget all that waits."""
        self.waiting = []

    def decide(self, file: int, language: str, known: Iterable[str] = ()) -> None:
        """From now on all of `file` may be recognised, which speaks `language` now, and spoke others before."""
        self.languages[file], self.known[file] = language, tuple(sorted({language, *known}))

    def eligible(self) -> list[ChunkTask]:
        """What may be recognised now: of a file of unknown language only its first chunk, and that once.

        Each in its file's language of now, unless its own is settled.
        """
        return [
            task
            if task.is_settled
            else replace(task, language=self.languages.get(task.file), known=self.known.get(task.file, ()))
            for task in self.waiting
            if self._is_eligible(task)
        ]

    def most(self, group: Group, tasks: Sequence[ChunkTask]) -> int:
        """Chunks of a group that may go together; `tasks` are all that wait in it."""
        window = group.window
        if self.mixes_windows and tasks:
            window = sum(task.window(strict=False) for task in tasks) // len(tasks)
        return self._batch(group).of(window)

    def fitting(self, group: Group, batch: list[ChunkTask]) -> list[ChunkTask]:
        """As many of the first of a group's chunks as the memory is for."""
        if not self.mixes_windows:
            return batch
        return batch[: self._batch(group).first_of(task.window(strict=False) for task in batch)]

    def _batch(self, group: Group) -> Batch:
        return batch_of(self.size, group.profile.batch_size, self.limit)

    @property
    def has_eligible(self) -> bool:
        """Whether anything may be recognised now."""
        return any(self._is_eligible(task) for task in self.waiting)

    def groups(self) -> dict[Group, list[ChunkTask]]:
        """What may be recognised now, oldest first, by what may go together."""
        found: dict[Group, list[ChunkTask]] = {}
        for task in self.eligible():
            found.setdefault(self._group(task), []).append(task)
        return found

    def _is_eligible(self, task: ChunkTask) -> bool:
        is_asked = task.chunk.index == 0 and task.file not in self.asked
        return task.is_settled or task.file in self.languages or is_asked

    def _group(self, task: ChunkTask) -> Group:
        return Group(task.window(strict=self.strict_window), profile_of(task.options))

    def take(self, tasks: list[ChunkTask]) -> None:
        """Take a batch out of the pool."""
        gone = {(task.file, task.chunk.index) for task in tasks}
        oldest = next(((task.file, task.chunk.index) for task in self.waiting if self._is_eligible(task)), None)
        self.passed_over = 0 if oldest in gone else self.passed_over + 1
        self.asked |= {task.file for task in tasks if task.language is None}
        self.waiting = [task for task in self.waiting if (task.file, task.chunk.index) not in gone]


@dataclass(frozen=True, slots=True)
class Turn:
    """A run that wants to compute: its chunks, its priority (higher first), and what it has had.

    `in_flight_s`: audio of it that is being recognised. `waited`: batches since one had a chunk of it.
    """

    pool: Pool
    priority: int = 0
    in_flight_s: float = 0.0
    waited: int = 0


def in_turn(turns: Sequence[Turn], first: int | None = None) -> list[Turn]:
    """Who is asked first: by priority, then whoever has the least audio in flight, then whoever has waited longest.

    Before all others those of the priority `first` (`shares`). Of equals those that waited for `MOST_WAITED` batches.
    """

    def key(one: Turn) -> tuple[bool, int, bool, float, int]:
        return one.priority != first, -one.priority, one.waited < MOST_WAITED, one.in_flight_s, -one.waited

    return sorted(turns, key=key)


def next_batch(turns: Sequence[Turn], *, full: bool = False, share: int = 1) -> list[ChunkTask]:
    """Chunks of one group that go together, for the first of `turns`; [] if it has none that is eligible.

    Of its groups the one whose batch is fullest, with what the others have of it, unless its oldest chunk was passed
    over often enough. Those of its own priority have equal shares of the batch, oldest chunks first; the others what
    room is left. `full`: a whole batch or none. Where these are the last chunks, `share` of them: as many
    workers will divide them.
    """
    pool = turns[0].pool
    found = [turn.pool.groups() for turn in turns]
    own = found[0]
    if not own:
        return []
    waiting = {group: [task for each in found for task in each.get(group, ())] for group in own}
    group = next(iter(own))  # the oldest chunk's
    if pool.passed_over < MOST_PASSED_OVER:
        group = max(own, key=lambda one: min(1.0, len(waiting[one]) / pool.most(one, waiting[one])))
    count, size = len(waiting[group]), pool.most(group, waiting[group])
    if full and count < size:
        return []
    if share > 1 and count < size * share:
        size = min(size, -(-count // share))
    own_and_others = [(turn, each.get(group, [])) for turn, each in zip(turns, found, strict=True)]
    return pool.fitting(group, _shared(own_and_others, size))


def _shared(waiting: Sequence[tuple[Turn, list[ChunkTask]]], size: int) -> list[ChunkTask]:
    """`size` chunks at most, in equal shares of audio among those of the first one's priority, then among others."""
    lead = waiting[0][0].priority
    batch: list[ChunkTask] = []
    for priority in sorted({turn.priority for turn, _ in waiting}, key=lambda one: (one != lead, -one)):
        left = [
            (turn.in_flight_s, n, list(reversed(tasks)))
            for n, (turn, tasks) in enumerate(waiting)
            if turn.priority == priority and tasks
        ]
        heapq.heapify(left)
        while left and len(batch) < size:
            has_s, n, tasks = heapq.heappop(left)
            batch.append(tasks.pop())
            if tasks:
                heapq.heappush(left, (has_s + batch[-1].chunk.duration_s, n, tasks))
    return batch
