"""Which options the rows of a batch have in common, and which each has for itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autorag_whisper.domain.request import Aligner, Effort, Search, Task, TranscribeOptions


@dataclass(frozen=True, slots=True)
class BatchProfile:
    """What is said once for a whole batch: the arguments of the engine's calls, and the way of its words' times.

    Files whose options differ here are never in one batch. Whatever else `TranscribeOptions` has, each row reads from
    its own (`ChunkTask.options`), or it concerns what is before and behind recognition.
    """

    task: Task
    effort: Effort
    temperatures: tuple[float, ...]
    search: Search
    max_new_tokens: int | None
    initial_prompt: str
    hotwords: str
    prefix: str
    code_switching: bool
    aligner: Aligner
    batch_size: int | None
    given_text: str


@lru_cache(maxsize=256)
def profile_of(options: TranscribeOptions) -> BatchProfile:
    """The profile of a file with these options."""
    return BatchProfile(
        options.task,
        options.effort,
        options.temperatures,
        options.search,
        options.max_new_tokens,
        options.initial_prompt,
        options.hotwords,
        options.prefix,
        options.code_switching,
        options.aligner,
        options.batch_size,
        options.given_text,
    )
