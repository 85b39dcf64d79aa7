"""Timing under watch: word times on the kit must not get worse than what was recorded here, by more than is said.

A few words more or less (another text of the same sound) move a share by a percent or two; a fault in the aligner moves
the median by half and the shares by tens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks.word_times import drift, measure

if TYPE_CHECKING:
    from pathlib import Path

MEDIAN_TOLERANCE, SHARE_TOLERANCE = 1.25, 4.0
"""A median may be a quarter worse, a share of words so many percentage points."""

RECORDED = {
    # group: median of starts and of ends in ms; within 50 and within 100 ms, and found, in % (the worse edge)
    "clean English, exact": (14.4, 13.4, 91.9, 97.3, 94.0),
    "noisy, telephone, reverberant": (25.6, 25.6, 77.5, 90.7, 82.2),
    "other languages, exact": (28.9, 15.8, 73.0, 98.4, 71.6),
    "human": (19.9, 21.2, 92.3, 96.2, 100.0),
}
"""base, int8 on a CPU; `benchmarks/word_times.py` (dev/LOG.md, 2026-11-25)."""


@pytest.mark.slow
@pytest.mark.kit
def test_word_times_are_as_good_as_they_were(kit: Path) -> None:
    found, sources = measure(kit, "base", "auto", only=lambda row: "long" not in row["tags"])
    assert set(sources) == {"characters"}  # no word without a time of its own
    for group, (start_ms, end_ms, within_50, within_100, share) in RECORDED.items():
        figures = found[group]
        assert figures.start.median <= start_ms * MEDIAN_TOLERANCE, group
        assert figures.end.median <= end_ms * MEDIAN_TOLERANCE, group
        for errors in (figures.start, figures.end):
            assert errors.within[1] >= within_50 - SHARE_TOLERANCE, group
            assert errors.within[2] >= within_100 - SHARE_TOLERANCE, group
        assert figures.found >= share - SHARE_TOLERANCE, group


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(1800)
def test_times_at_the_end_of_an_hour_are_those_of_its_beginning(kit: Path) -> None:
    first, last = drift(kit, "base")
    assert min(first.words, last.words) > 500
    assert abs(first.bias - last.bias) < 20
    assert abs(first.median - last.median) < 20
