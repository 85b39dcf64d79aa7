"""What processes have in hand, noted on the disk before it is begun: so a recording that kills them is found.

    OUT/base-3f2a90c1b7de/in_hand/0000/0000012.jsonl     of shard 12, while it is not complete

A recording that is begun and not ended there was in hand when a process died (decoder, engine, out of memory, or
whoever killed it). Nothing is synced: the notes are to outlive a process, and a power cut is no recording's fault.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, BinaryIO

from autorag_whisper.archive.sharded.rows import dumps
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.domain.interruptions import came_by_a_signal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

FOLDER = "in_hand"
MOST_ALONE = 3
"""Deaths of processes that had a recording in hand alone and got no chunk of it done, after which it fails. Mostly a
worker process dies of it, which is noticed at once (`sharded.alone`); that the process which waits for the worker dies
too is rare, and may be somebody's kill."""
_SHARDS_A_FOLDER = 100


@dataclass(frozen=True, slots=True)
class Deaths:
    """Processes that died with a recording in hand: `together` with others, `alone` since a chunk of it was done."""

    together: int = 0
    alone: int = 0


NONE = Deaths()


class Turn(Enum):
    """How a recording is recognised next."""

    TOGETHER = "no process died with it: it goes with all others"
    ALONE = "it may have killed one: nothing else is in hand with it"
    GIVEN_UP = "processes die of it: it fails"


def turn_of(deaths: Deaths) -> Turn:
    """What a recording's history says. Pure."""
    if deaths == NONE:
        return Turn.TOGETHER
    return Turn.ALONE if deaths.alone < MOST_ALONE else Turn.GIVEN_UP


def deaths_of(lines: Iterable[bytes]) -> dict[str, Deaths]:
    """Of each recording that was begun and not ended. Lines that are not whole are left out."""
    found: dict[str, Deaths] = {}
    chunks: dict[str, int] = {}
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            note = json.loads(line)
            if "end" in note:
                found.pop(note["end"], None)
                chunks.pop(note["end"], None)
                continue
            who, done = str(note["begin"]), note.get("chunks")
            known = found.get(who, NONE)
            if done is None:
                found[who] = Deaths(known.together + 1, known.alone)
            else:
                got_on = int(done) > chunks.get(who, 0)
                chunks[who] = max(int(done), chunks.get(who, 0))
                found[who] = Deaths(known.together, 1 if got_on else known.alone + 1)
    return found


class InHand:
    """The notes of a folder of results. A context manager: at its end this process has nothing in hand any more.

    But where it ends by an exception that nobody expects the notes stay, as if the process had died: it was one of the
    recordings in hand that the engine failed at, and the next process would end by it as well.

    Raises OSError where they cannot be written.
    """

    def __init__(self, results: Path) -> None:
        self._folder = results / FOLDER
        self._files: dict[int, BinaryIO] = {}
        self._begun: dict[int, set[str]] = {}

    def deaths(self, shard: int) -> dict[str, Deaths]:
        """id -> deaths, of what other processes had in hand of a shard when they died."""
        try:
            return deaths_of(self._path(shard).read_bytes().split(b"\n"))
        except FileNotFoundError:
            return {}

    def begin(self, shard: int, who: str, chunks: int | None = None) -> None:
        """Before a recording is read. `chunks`: it is alone, and so many of its chunks are done."""
        self._note(shard, {"begin": who} if chunks is None else {"begin": who, "chunks": chunks})
        self._begun.setdefault(shard, set()).add(who)

    def end(self, shard: int, who: str) -> None:
        """It has an outcome: nobody died of it."""
        self._begun.get(shard, set()).discard(who)
        self._note(shard, {"end": who})

    def forget(self, shard: int) -> None:
        """A shard is complete."""
        self._begun.pop(shard, None)
        if (file := self._files.pop(shard, None)) is not None:
            file.close()
        self._path(shard).unlink(missing_ok=True)

    def __enter__(self) -> InHand:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, Exception) and not (isinstance(error, AutoragWhisperError) or came_by_a_signal(error)):
            self._begun.clear()
        with contextlib.suppress(OSError):  # a full disk ended the run: what is in hand goes alone next time
            for shard, begun in self._begun.items():
                for who in sorted(begun):
                    self._note(shard, {"end": who})
        self._begun.clear()
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _note(self, shard: int, note: dict[str, object]) -> None:
        file = self._files.get(shard)
        if file is None:
            path = self._path(shard)
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._files[shard] = path.open("ab", buffering=0)
        file.write(b"\n" + dumps(note).encode())  # behind a line that was cut short, too

    def _path(self, shard: int) -> Path:
        return self._folder / f"{shard // _SHARDS_A_FOLDER:04d}" / f"{shard:07d}.jsonl"
