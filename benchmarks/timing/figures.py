"""Errors of word times, as figures: for one edge, for a group, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WITHIN_MS = (20, 50, 100, 200)
QUANTILES = tuple(range(101))
FAR_S = 0.5


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors of one edge, in milliseconds; `within` are percentages in the order of `WITHIN_MS`."""

    words: int
    bias: float
    median: float
    mean: float
    p95: float
    within: tuple[float, ...]
    quantiles: tuple[float, ...]
    """Of the sizes, from the smallest to the largest in steps of a hundredth."""

    @classmethod
    def of(cls, errors_s: Sequence[float]) -> Errors:
        signed = 1000 * np.asarray(errors_s)
        size = np.abs(signed)
        within = tuple(round(100 * float(np.mean(size <= limit)), 1) for limit in WITHIN_MS)
        figures = (np.median(signed), np.median(size), size.mean(), np.percentile(size, 95))
        rounded = (round(float(figure), 1) for figure in figures)
        return cls(len(size), *rounded, within, tuple(np.round(np.percentile(size, QUANTILES), 1).tolist()))


@dataclass(frozen=True, slots=True)
class Figures:
    """A group's figures. Of `asked` words with a true time so many percent were `found`.

    `heard`: words that came out, 0 for a group of words. `far`: found words with an edge over `FAR_S` off. `overlaps`:
    words that begin before the one before has ended. `placed`: percent of the found words whose middle lies inside the
    true word.
    """

    start: Errors
    end: Errors
    found: float
    asked: int
    heard: int
    far: int
    overlaps: int
    placed: float

    def recall(self, errors: Errors) -> list[float]:
        """Percent of all words with a true time that are within `WITHIN_MS`: a misheard word is a miss."""
        return [round(share * errors.words / self.asked, 1) for share in errors.within]

    def precision(self, errors: Errors) -> list[float]:
        """Percent of all words that came out that are right and within `WITHIN_MS`."""
        return [round(share * errors.words / self.heard, 1) if self.heard else 0.0 for share in errors.within]

    def f1(self, errors: Errors) -> float:
        """The harmonic mean of recall and precision within 20 ms, in percent: what papers on word times publish."""
        recall, precision = self.recall(errors)[0], self.precision(errors)[0]
        return round(2 * recall * precision / (recall + precision), 1) if recall + precision else 0.0


@dataclass(frozen=True, slots=True)
class TimedPair:
    """A word that was recognised right, in seconds: its true span and the span that came out. `name`: file and word."""

    name: str
    true_start: float
    true_end: float
    start: float
    end: float

    @property
    def off_by(self) -> float:
        return max(abs(self.start - self.true_start), abs(self.end - self.true_end))

    @property
    def is_far(self) -> bool:
        return self.off_by > FAR_S

    @property
    def is_placed(self) -> bool:
        return self.true_start <= (self.start + self.end) / 2 <= self.true_end


@dataclass(slots=True)
class Tally:
    """The words of a group so far; how many of its words were `asked` for, and came out (`heard`)."""

    asked: int = 0
    heard: int = 0
    overlaps: int = 0
    pairs: list[TimedPair] = field(default_factory=list)

    def add(self, asked: int, pairs: Iterable[TimedPair]) -> None:
        self.asked += asked
        self.pairs += pairs

    def figures(self) -> Figures:
        pairs = self.pairs
        return Figures(
            start=Errors.of([pair.start - pair.true_start for pair in pairs]),
            end=Errors.of([pair.end - pair.true_end for pair in pairs]),
            found=round(100 * len(pairs) / self.asked, 1),
            asked=self.asked,
            heard=self.heard,
            far=sum(pair.is_far for pair in pairs),
            overlaps=self.overlaps,
            placed=round(100 * sum(pair.is_placed for pair in pairs) / len(pairs), 1),
        )


def show(figures: dict[str, Figures]) -> None:
    """The table, in Markdown. F1 and precision are a group of files' alone."""
    columns = ("group", "edge", "words", "found %", "bias", "median", "mean", "p95", "within 20/50/100/200 ms, %")
    print("|", " | ".join(columns), "| recall | precision | F1 at 20 ms | over 0.5 s | overlaps |")
    print("|" + "---|" * (len(columns) + 5))
    for group, figure in figures.items():
        for edge, errors in (("start", figure.start), ("end", figure.end)):
            shares = (errors.within, figure.recall(errors), figure.precision(errors) if figure.heard else ())
            within = " | ".join(" / ".join(f"{share:.0f}" for share in one) for one in shares)
            numbers = f"{errors.bias:.0f} | {errors.median:.1f} | {errors.mean:.0f} | {errors.p95:.0f}"
            counts = f"{figure.f1(errors) if figure.heard else ''} | {figure.far} | {figure.overlaps}"
            print(f"| {group} | {edge} | {errors.words} | {figure.found:.0f} | {numbers} | {within} | {counts} |")
