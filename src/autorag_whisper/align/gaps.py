"""Times for words that an aligner could not place, between those that it could."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from autorag_whisper.align.word_time import WordTime
from autorag_whisper.domain.transcript import WordSource

if TYPE_CHECKING:
    from collections.abc import Sequence


def filled(times: Sequence[WordTime | None], lengths: Sequence[int], duration_s: float) -> list[WordTime]:
    """`times` in a clip, with every None given its share, by `lengths`, of the time between its neighbours.

    Before the first one that is known that is the time from 0, behind the last one that to `duration_s`. A word that
    begins before the one in front of it is taken as not known, and so is one whose time is none.
    """
    known = _in_order(times)
    found: list[WordTime] = []
    n = 0
    while n < len(known):
        time = known[n]
        if time is not None:
            found.append(time)
            n += 1
            continue
        stop = next((k for k in range(n, len(known)) if known[k] is not None), len(known))
        begin_s = found[-1].end_s if found else 0.0
        following = known[stop] if stop < len(known) else None
        end_s = max(begin_s, following.start_s if following is not None else duration_s)
        found += _shared(begin_s, end_s, lengths[n:stop])
        n = stop
    return found


def _in_order(times: Sequence[WordTime | None]) -> list[WordTime | None]:
    kept: list[WordTime | None] = []
    latest_s = 0.0
    for time in times:
        in_order = time is not None and time.is_sound and time.start_s >= latest_s
        kept.append(time if in_order else None)
        latest_s = time.start_s if time is not None and in_order else latest_s
    return kept


def shares(lengths: Sequence[int]) -> list[tuple[float, float]]:
    """Where each of several things that follow each other begins and ends, as shares (0 to 1) of all their lengths."""
    total = sum(lengths) or 1
    edges = [done / total for done in accumulate(lengths, initial=0)]
    return list(pairwise(edges))


def _shared(begin_s: float, end_s: float, lengths: Sequence[int]) -> list[WordTime]:
    length_s = end_s - begin_s
    return [
        WordTime(begin_s + length_s * first, begin_s + length_s * last, WordSource.INTERPOLATED)
        for first, last in shares(lengths)
    ]
