"""How far a word error rate, or the difference of two, can be trusted: the bootstrap, with files as units.

Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation" (2004): files are drawn
with replacement; for a difference both engines are counted on the same draw (paired), so that what makes a file hard
for both does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.compare.scoring import Errors

DRAWS = 10_000
SEED = 20_260_101
FEWEST_FILES = 5
"""Of fewer the draws say nothing: one file is always drawn as itself."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure in percentage points and the interval that holds 95 % of its draws; None where files are too few."""

    points: float
    low: float | None
    high: float | None

    @property
    def is_settled(self) -> bool:
        """Whether 0 is outside."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def rate(counts: Sequence[Errors]) -> Interval:
    """The pooled word error rate of files."""
    return _interval(*_drawn(counts), len(counts))


def difference(counts: Sequence[Errors], others: Sequence[Errors]) -> Interval:
    """The first rate minus the second, of the same files in the same order: below 0, the first makes fewer errors."""
    (first, drawn_first), (second, drawn_second) = _drawn(counts), _drawn(others)
    return _interval(first - second, drawn_first - drawn_second, len(counts))


def _drawn(counts: Sequence[Errors]) -> tuple[float, np.ndarray]:
    """The pooled rate, and that of every draw, (DRAWS,) float64, in percent."""
    errors = np.array([count.all for count in counts])
    words = np.array([count.words for count in counts])
    size = len(counts)
    # The same seed and size give the same draws: that is what pairs two engines.
    times = np.random.default_rng(SEED).multinomial(size, np.full(size, 1 / size), size=DRAWS)
    return 100 * errors.sum() / words.sum(), 100 * (times @ errors) / (times @ words)


def _interval(points: float, drawn: np.ndarray, files: int) -> Interval:
    if files < FEWEST_FILES:
        return Interval(float(points), None, None)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(float(points), float(low), float(high))
