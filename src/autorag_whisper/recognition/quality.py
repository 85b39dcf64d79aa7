"""Is a text good enough, and if not, why: Whisper's thresholds (Radford et al. 2022, section 4.5) as pure policy."""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Attempt


class Fault(StrEnum):
    """Why an attempt was not enough."""

    REPETITION = "compression_ratio"
    IMPROBABLE = "avg_logprob"
    TOKEN_CAP = "token_cap"  # noqa: S105 - the name of a limit, no secret
    LANGUAGE = "language"
    """The text in another language is likelier."""


def compression_ratio(text: str) -> float:
    """Bytes of `text` over its bytes when packed by zlib: repetition packs well. 0.0 for no text."""
    data = text.encode("utf-8", "replace")
    return len(data) / len(zlib.compress(data)) if data else 0.0


def fault_of(attempt: Attempt, options: TranscribeOptions, *, cap_hit: bool, is_hallucination: bool) -> Fault | None:
    """Why this attempt should be redone. An improbable text is no fault where nobody speaks (`hallucinations`)."""
    if attempt.compression_ratio > options.compression_ratio_threshold:
        return Fault.REPETITION
    if cap_hit:
        return Fault.TOKEN_CAP
    if attempt.avg_logprob < options.logprob_threshold and not is_hallucination:
        return Fault.IMPROBABLE
    return None


def best_of(attempts: Sequence[Attempt], options: TranscribeOptions) -> int:
    """Index of the attempt to keep: one without a fault, else the likeliest of those that do not repeat themselves."""
    for index, attempt in enumerate(attempts):
        if not attempt.rejected_for:
            return index
    limit = options.compression_ratio_threshold
    sound = [n for n, attempt in enumerate(attempts) if attempt.compression_ratio <= limit]
    return max(sound or range(len(attempts)), key=lambda n: attempts[n].avg_logprob)
