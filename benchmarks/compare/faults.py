"""Whether a comparison can be believed, and whether ours holds its ground: for a small run by a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.compare.summary import OURS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.compare.recordings import Recording
    from benchmarks.compare.summary import Comparison

WORST_RATE = 50
"""Percent of errors beyond which the engine, the files or the counting is broken, not merely bad."""


def faults(comparison: Comparison, recordings: Sequence[Recording]) -> list[str]:
    """What is wrong with it, in words; nothing if it is sound."""
    return [*_of_the_harness(comparison, recordings), *_of_ours(comparison)]


def _of_the_harness(comparison: Comparison, recordings: Sequence[Recording]) -> Iterator[str]:
    scored = {r.name for r in recordings if r.scored}
    for engine, counts in comparison.counts.items():
        if missing := scored - counts.keys():
            yield f"{engine} has no counts for {len(missing)} recordings, {min(missing)} among them"
    for engine, figures in comparison.groups["whole"].items():
        if figures.wer is None or not 0 < figures.wer.points < WORST_RATE:
            yield f"{engine}: a word error rate of {figures.wer} cannot be"
        if figures.cost is None or not 1 <= figures.cost.overhead < 10:
            yield f"{engine}: its time does not fit the time in its engine: {figures.cost}"


def _of_ours(comparison: Comparison) -> Iterator[str]:
    whole = comparison.groups["whole"]
    mine, peers = whole[OURS], {engine: figures for engine, figures in whole.items() if engine != OURS}
    if mine.lost_files:
        yield f"ours failed at {mine.lost_files} files"
    for peer, figures in peers.items():
        if mine.cost and figures.cost and mine.cost.speed.median <= figures.cost.speed.median:
            yield f"ours is slower than {peer}: {mine.cost.speed.median:.1f} and {figures.cost.speed.median:.1f}"
    for pair, interval in comparison.differences["whole"].items():
        if interval.is_settled and interval.points > 0:
            yield f"{pair}: {interval.points:+.1f} points of word error rate, and not by chance"
