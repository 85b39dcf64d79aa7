"""Seconds rounded to milliseconds so that what was ordered stays ordered and nothing ends after the file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Rounds times of a file that lasts `duration_s`.

    Rounding to the nearest and cutting at one limit are both monotone, so start <= end and the order of starts hold.
    """

    duration_s: float

    @property
    def limit_s(self) -> float:
        """The last whole millisecond inside the file, in seconds."""
        nearest = round(self.duration_s, 3)
        return nearest if nearest <= self.duration_s else round(nearest - 0.001, 3)

    def seconds(self, time_s: float) -> float:
        """`time_s` in seconds, to three decimals."""
        return min(round(time_s, 3), self.limit_s)

    def milliseconds(self, time_s: float) -> int:
        """`time_s` in whole milliseconds."""
        return round(1000 * self.seconds(time_s))
