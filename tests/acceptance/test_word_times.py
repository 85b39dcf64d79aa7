"""Timing under watch: word times on the kit must not get worse than what was recorded here, by more than is said.

A few words more or less (another text of the same sound) move a share by a percent or two; a fault in the aligner moves
the median by half and the shares by tens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from benchmarks.timing.figures import WITHIN_MS
from benchmarks.word_times import drift, measure

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.timing.figures import Errors
    from benchmarks.timing.groups import Row

MEDIAN_TOLERANCE, TAIL_TOLERANCE = 1.25, 1.4
"""A median may be a quarter worse; a mean and a 95th percentile, which a few words decide, so much."""
SHARE_TOLERANCE, WORDS_TOLERANCE = 4.0, 2
"""A share of the words may be so many percentage points worse, or so many words, whichever is more."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What was recorded, in ms; `within` in percent of the right words, `recall` of all words, for `WITHIN_MS`."""

    median: float
    mean: float
    p95: float
    within: tuple[float, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]


RECORDED: dict[tuple[str, str], tuple[Edge, Edge, float]] = {
    # model, group: starts, ends, and how many percent of the words were found
    ("base", "clean English, exact"): (
        Edge(14.4, 23.8, 76.4, (63.5, 91.7, 97.1, 99.0), (59.8, 86.4, 91.5, 93.3), (60.8, 87.8, 93.0, 94.8)),
        Edge(13.4, 23.4, 58.2, (63.9, 92.9, 97.9, 98.8), (60.2, 87.5, 92.2, 93.1), (61.2, 89.0, 93.8, 94.6)),
        94.2,
    ),
    ("base", "noisy, telephone, reverberant"): (
        Edge(23.8, 56.9, 131.5, (43.4, 76.7, 90.7, 97.7), (35.7, 63.0, 74.5, 80.3), (32.5, 57.5, 68.0, 73.3)),
        Edge(24.8, 53.4, 153.4, (43.4, 77.5, 91.5, 96.9), (35.7, 63.7, 75.2, 79.6), (32.5, 58.1, 68.6, 72.7)),
        82.2,
    ),
    ("base", "other languages, exact"): (
        Edge(28.5, 30.9, 66.1, (47.6, 74.6, 98.4, 100.0), (34.1, 53.4, 70.4, 71.6), (33.3, 52.2, 68.9, 70.0)),
        Edge(15.6, 21.1, 54.9, (61.9, 88.9, 100.0, 100.0), (44.3, 63.6, 71.6, 71.6), (43.3, 62.2, 70.0, 70.0)),
        71.6,
    ),
    ("base", "human, read"): (
        Edge(19.9, 31.9, 114.3, (50.0, 86.0, 90.0, 100.0), (39.7, 68.3, 71.4, 79.4), (40.3, 69.4, 72.6, 80.6)),
        Edge(23.9, 37.6, 102.8, (42.0, 76.0, 92.0, 100.0), (33.3, 60.3, 73.0, 79.4), (33.9, 61.3, 74.2, 80.6)),
        79.4,
    ),
    ("tiny.en", "clean English, exact"): (
        Edge(16.5, 41.1, 168.7, (56.4, 82.0, 90.7, 95.9), (52.6, 76.5, 84.6, 89.5), (53.3, 77.5, 85.7, 90.6)),
        Edge(16.3, 40.1, 166.3, (57.2, 82.8, 91.5, 95.9), (53.4, 77.3, 85.4, 89.5), (54.1, 78.3, 86.5, 90.6)),
        93.3,
    ),
    ("tiny.en", "noisy, telephone, reverberant"): (
        Edge(26.5, 51.8, 191.7, (37.9, 74.1, 87.9, 94.8), (28.0, 54.7, 64.9, 70.0), (28.5, 55.8, 66.2, 71.4)),
        Edge(26.2, 51.7, 174.1, (38.8, 72.4, 85.3, 95.7), (28.7, 53.5, 63.0, 70.7), (29.2, 54.5, 64.3, 72.1)),
        73.9,
    ),
    ("tiny.en", "human, read"): (
        Edge(20.1, 47.8, 229.3, (48.9, 80.9, 89.4, 89.4), (36.5, 60.4, 66.7, 66.7), (36.5, 60.4, 66.7, 66.7)),
        Edge(35.6, 66.0, 277.3, (36.2, 63.8, 83.0, 87.2), (27.0, 47.6, 61.9, 65.1), (27.0, 47.6, 61.9, 65.1)),
        74.6,
    ),
}
"""int8 on a CPU; `benchmarks.word_times.measure` at temperature 0 alone (dev/LOG.md, 2026-11-26)."""


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", ["base", "tiny.en"])
def test_word_times_are_as_good_as_they_were(kit: Path, model: str) -> None:
    # Without samples: these are drawn, and one that runs on moves the precision of the noisy copies by ten points.
    def only(row: Row) -> bool:
        return not {"long", "made"} & set(row["tags"])

    found, sources = measure(kit, model, "auto", only=only, temperatures=(0.0,))
    assert set(sources) == {"characters"}  # no word without a time of its own
    for (recorded_for, group), (start, end, share) in RECORDED.items():
        if recorded_for != model:
            continue
        figures = found[group]
        assert figures.found >= share - tolerance(figures.asked), group
        for errors, edge in ((figures.start, start), (figures.end, end)):
            assert_as_good(errors, edge, group)
            for name, shares in (("recall", figures.recall(errors)), ("precision", figures.precision(errors))):
                for limit, now, before in zip(WITHIN_MS, shares, getattr(edge, name), strict=True):
                    assert now >= before - tolerance(errors.words), f"{group}: {name} within {limit} ms"


def assert_as_good(errors: Errors, edge: Edge, group: str) -> None:
    assert errors.median <= edge.median * MEDIAN_TOLERANCE, group
    assert errors.mean <= edge.mean * TAIL_TOLERANCE, group
    assert errors.p95 <= edge.p95 * TAIL_TOLERANCE, group
    for limit, now, before in zip(WITHIN_MS, errors.within, edge.within, strict=True):
        assert now >= before - tolerance(errors.words), f"{group}: within {limit} ms"


def tolerance(words: int) -> float:
    return max(SHARE_TOLERANCE, 100 * WORDS_TOLERANCE / words)


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(1800)
def test_times_at_the_end_of_an_hour_are_those_of_its_beginning(kit: Path) -> None:
    first, last = drift(kit, "base")
    assert min(first.words, last.words) > 500
    assert abs(first.bias - last.bias) < 20
    assert abs(first.median - last.median) < 20
