"""Which audio stream goes on where the chosen one has nothing: a pure rule over packets in the order of the file.

A broadcaster changes the PID, a recorder begins a second track: what was said goes on in another stream. Two streams
that run beside each other (languages, microphone and desktop) are no such thing, however one of them may pause.

    another stream's packets lie              then it
    beside those of the chosen one            is another track: never taken, not even in the chosen one's pauses
    only where the chosen one has none        goes on for the chosen one: it is played there
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PAUSE_S = 1.0
"""The chosen stream is absent from there on; interleaving keeps streams closer together than that."""

BESIDE_S = 1.0
"""As much of another stream beside the chosen one makes it another track. Less is the cut of a splicer."""

CONFIRM_S = 2.5
"""So much of the chosen stream is awaited behind a pause before it is filled, to see whether the other one runs on."""

_LEAST_S = 0.25
UNKNOWN_PACKET_S = 0.02
"""What a packet counts for that does not say how long it is (Opus in NUT, ALAC in Matroska)."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Time in which the chosen stream has nothing, on its own clock; None is open. `heard`: which streams go on in it,
    each with the byte of the file from which on."""

    start_s: float | None
    stop_s: float | None
    heard: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Other:
    """Another stream: its time beside the chosen one, and what came ahead of that one so far."""

    beside_s: float = 0.0
    ahead_s: float = 0.0
    first_s: float = 0.0
    last_s: float = 0.0
    byte: int = 0


@dataclass(slots=True)
class Following:
    """Give every packet of every audio stream, in the order of the file.

    `clock_restarts`: the order of the file counts, not the clock, which may begin anew (MPEG-TS).
    """

    clock_restarts: bool = False
    end_s: float | None = None
    _others: dict[int, _Other] = field(default_factory=dict)
    _chosen_s: float = 0.0

    def other(self, stream: int, time_s: float, duration_s: float, byte: int = 0) -> None:
        """A packet of another stream."""
        other = self._others.setdefault(stream, _Other())
        if not other.ahead_s:
            other.first_s, other.last_s, other.byte = time_s, time_s, byte
        other.ahead_s += duration_s or UNKNOWN_PACKET_S
        other.last_s = max(other.last_s, time_s + duration_s)

    def chosen(self, time_s: float, duration_s: float) -> Gap | None:
        """A packet of the chosen stream. The gap before it if it has one, with who was heard in it."""
        end_s, self.end_s = self.end_s, time_s + duration_s
        paused = end_s is None or time_s - end_s >= PAUSE_S or end_s - time_s >= PAUSE_S
        gap = self._heard(end_s, time_s) if paused else None
        for other in self._others.values():
            # A chosen packet accounts for as much of the others: one that the demuxer held back to the end of the file
            # (the last PES of a transport stream) does not make ten minutes of another stream run beside it.
            beside_s = 0.0 if paused else min(other.ahead_s, duration_s or UNKNOWN_PACKET_S)
            other.beside_s += beside_s
            other.first_s += beside_s
            other.ahead_s = 0.0 if paused else other.ahead_s - beside_s
        self._chosen_s += duration_s or UNKNOWN_PACKET_S
        return gap

    def finish(self) -> Gap:
        """The end of the file: what follows the last packet of the chosen stream."""
        return self._heard(self.end_s, None)

    def is_beside(self, stream: int) -> bool:
        """Whether `stream` is another track."""
        return stream in self._others and self._others[stream].beside_s >= BESIDE_S

    @property
    def beside(self) -> frozenset[int]:
        """All other tracks."""
        return frozenset(stream for stream in self._others if self.is_beside(stream))

    def _heard(self, start_s: float | None, stop_s: float | None) -> Gap:
        found = {
            stream: other.byte
            for stream, other in self._others.items()
            if not self.is_beside(stream) and self._fills(other, start_s, stop_s)
        }
        return Gap(start_s, stop_s, found)

    def _fills(self, other: _Other, start_s: float | None, stop_s: float | None) -> bool:
        # A stream that ran beside the chosen one, or begins before it, has to show more than interleaving explains.
        least_s = PAUSE_S if other.beside_s or start_s is None else _LEAST_S
        by_order = self.clock_restarts and self._chosen_s >= 2 * BESIDE_S
        behind = by_order or start_s is None or other.first_s >= start_s - BESIDE_S / 2
        before = by_order or stop_s is None or other.last_s <= stop_s + BESIDE_S / 2
        return other.ahead_s >= least_s and behind and before
