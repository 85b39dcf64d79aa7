"""Timing under watch: word times on the kit must not get worse than what was recorded, by more than is said here.

`tests/data/word-times.json` is what `benchmarks/word_times.py --model MODEL --watch FILE` wrote: int8 on a CPU. A few
words more or less (another text of the same sound) move a share by a percent or two; a fault in the aligner moves the
median by half and the shares by tens.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.timing.figures import WITHIN_MS
from benchmarks.timing.groups import DIGITS
from benchmarks.word_times import drift, watched

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.timing.figures import Errors, Figures

MEDIAN_TOLERANCE, TAIL_TOLERANCE = 1.2, 1.35
"""A median may be a fifth worse; a mean and a 95th percentile, which a few words decide, so much."""
SHARE_TOLERANCE, WORDS_TOLERANCE, FAR_TOLERANCE = 3.0, 2, 2
"""A share of the words may be so many percentage points worse, or so many words, whichever is more; and so many words
more may be over 0.5 s off."""
FEW_WORDS, FEW_WORDS_TOLERANCE = 60, 1.35
"""Of groups with fewer words a median, too, is decided by a few."""


@pytest.mark.slow
@pytest.mark.kit
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("model", ["base", "tiny.en"])
def test_word_times_are_as_good_as_they_were(kit: Path, root: Path, model: str) -> None:
    recorded = json.loads((root / "tests/data/word-times.json").read_text())[model]
    figures, sources = watched(kit, model)
    assert set(sources) == set(recorded["sources"])  # no word without a time of its own
    assert set(figures) == set(recorded["groups"])
    for group, found in figures.items():
        before = recorded["groups"][group]
        assert found.found >= before["found"] - tolerance(found.asked), group
        assert found.far <= before["far"] + FAR_TOLERANCE, f"{group}: words over 0.5 s off"
        assert found.overlaps == 0, group
        if group != DIGITS:  # whose true edges are an energy threshold's
            for edge in ("start", "end"):
                assert_as_good(found, getattr(found, edge), before[edge], f"{group}, {edge}s")


def assert_as_good(found: Figures, errors: Errors, before: dict[str, Any], name: str) -> None:
    few = errors.words < FEW_WORDS
    assert errors.median <= before["median"] * (FEW_WORDS_TOLERANCE if few else MEDIAN_TOLERANCE), name
    assert errors.mean <= before["mean"] * TAIL_TOLERANCE, name
    assert errors.p95 <= before["p95"] * TAIL_TOLERANCE, name
    shares = {"right": list(errors.within), "recall": found.recall(errors), "precision": found.precision(errors)}
    for kind, share in shares.items():
        for limit, now, then in zip(WITHIN_MS, share, before[kind], strict=True):
            few_less = round((then - now) * errors.words / 100) <= WORDS_TOLERANCE  # shares are recorded to a tenth
            assert now >= then - SHARE_TOLERANCE or few_less, f"{name}: {kind} within {limit} ms"


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
