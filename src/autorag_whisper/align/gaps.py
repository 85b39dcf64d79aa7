"""Times for words that an aligner could not place, between those that it could."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Span = tuple[float, float]


def filled(spans: Sequence[Span | None], lengths: Sequence[int], duration_s: float) -> list[Span]:
    """`spans` with every None given its share, by `lengths`, of the time between its neighbours.

    Before the first span that is known that is the time from 0, behind the last one that to `duration_s`. A span that
    begins before the one in front of it is taken as not known.
    """
    known = _in_order(spans)
    found: list[Span] = []
    n = 0
    while n < len(known):
        span = known[n]
        if span is not None:
            found.append(span)
            n += 1
            continue
        stop = next((k for k in range(n, len(known)) if known[k] is not None), len(known))
        begin_s = found[-1][1] if found else 0.0
        following = known[stop] if stop < len(known) else None
        end_s = max(begin_s, following[0] if following is not None else duration_s)
        found += _shared(begin_s, end_s, lengths[n:stop])
        n = stop
    return found


def _in_order(spans: Sequence[Span | None]) -> list[Span | None]:
    kept: list[Span | None] = []
    latest = 0.0
    for span in spans:
        in_order = span is not None and span[0] >= latest
        kept.append(span if in_order else None)
        latest = span[0] if span is not None and in_order else latest
    return kept


def shares(lengths: Sequence[int]) -> list[Span]:
    """Where each of several things that follow each other begins and ends, as shares (0 to 1) of all their lengths."""
    total = sum(lengths) or 1
    edges = [done / total for done in accumulate(lengths, initial=0)]
    return list(pairwise(edges))


def _shared(begin_s: float, end_s: float, lengths: Sequence[int]) -> list[Span]:
    length_s = end_s - begin_s
    return [(begin_s + length_s * first, begin_s + length_s * last) for first, last in shares(lengths)]
