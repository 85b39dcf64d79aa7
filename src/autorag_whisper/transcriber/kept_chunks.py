"""Chunks of one file that are done, in bytes: for whoever keeps them longer than a run, a process or a version."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from autorag_whisper.transcriber.checkpoint_format import HEADER, CheckpointReader, RefusedCheckpointsError, dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from autorag_whisper.transcriber.checkpoint import Checkpoint

Written = tuple[bytes, bytes]
"""A checkpoint: the header that says how it is written, and its line (`transcriber.checkpoint_format`)."""


class KeptChunks(Protocol):
    """Who keeps them, of one file."""

    def done(self) -> Mapping[int, Written]:
        """Chunk index -> its checkpoint. Asked once, when the file is begun."""
        ...

    def add(self, chunk: int, written: Written) -> None:
        """A chunk is done; its segments come later. Called from any thread, and must not wait."""
        ...


def why_refused(header: bytes) -> str:
    """Why this version does not read checkpoints with that header; "" if it does."""
    try:
        CheckpointReader(header)
    except RefusedCheckpointsError as refused:
        return str(refused)
    except ValueError:
        return "what was kept of them cannot be read"
    return ""


class ChunksOfOneFile:
    """A `transcriber.checkpoint.Checkpoints` over a `KeptChunks`. What this version does not read is done again."""

    def __init__(self, kept: KeptChunks) -> None:
        self._kept = kept
        self._done: dict[int, Checkpoint] | None = None

    def done(self, file: int) -> Mapping[int, Checkpoint]:  # noqa: ARG002 - there is one file
        if self._done is None:
            self._done = dict(checkpoints_of(self._kept.done()))
        return self._done

    def add(self, file: int, checkpoint: Checkpoint) -> None:  # noqa: ARG002 - there is one file
        index = checkpoint.result.task.chunk.index
        self._kept.add(index, (HEADER.encode(), dumps(checkpoint).encode()))


def checkpoints_of(
    kept: Mapping[int, Written], refused: Callable[[str], object] = lambda _why: None
) -> Iterator[tuple[int, Checkpoint]]:
    """Chunk index -> what this version reads of it, for a run of this process.

    `refused` is told why it does not read one. What is damaged is left out: its chunk is done again.
    """
    readers: dict[bytes, CheckpointReader | None] = {}
    for index, (header, line) in kept.items():
        if header not in readers:
            if why := why_refused(header):
                refused(why)
            readers[header] = None if why else CheckpointReader(header)
        if (reader := readers[header]) is not None:
            with suppress(ValueError):
                yield index, _of_this_process(reader.read(line))


def _of_this_process(checkpoint: Checkpoint) -> Checkpoint:
    """With moments of this process's clock."""
    now = time.perf_counter()
    spent = replace(checkpoint.result.time, began=now, turned=now, ended=now)
    return replace(checkpoint, result=replace(checkpoint.result, time=spent))
