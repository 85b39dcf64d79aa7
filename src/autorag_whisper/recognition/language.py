"""Which language a file is in: by its first chunk, or by a vote over several when that one is unsure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

SURE = 0.5
"""Probability from which one chunk decides alone."""
VOTING_CHUNKS = 4


@dataclass(frozen=True, slots=True)
class LanguageChoice:
    """A language code and its probability (0..1)."""

    code: str
    probability: float

    @property
    def is_sure(self) -> bool:
        return self.probability >= SURE


def choose(votes: Sequence[Mapping[str, float]], allowed: Collection[str] = ()) -> LanguageChoice:
    """The language with the highest mean probability over `votes` (at least one), among the `allowed` if there are any.

    Its probability is the share that it has of those: where nothing allowed was heard at all, an even one.
    """
    totals: dict[str, float] = dict.fromkeys(allowed, 0.0)
    for vote in votes:
        for code, probability in vote.items():
            if not allowed or code in totals:
                totals[code] = totals.get(code, 0.0) + probability
    code = max(totals, key=lambda name: (totals[name], name))
    whole = sum(totals.values()) if allowed else float(len(votes))
    return LanguageChoice(code, min(1.0, totals[code] / whole) if whole else 1 / len(totals))
