"""Where each decoded piece belongs on the file's timeline, and what to do where its clock disagrees.

A container says of (nearly) every packet when it plays. Most of the time that is the end of the piece before, give or
take the container's rounding; then samples are simply counted. Where it is not, the new time is believed only after
the next pieces have confirmed it, so that one wrong timestamp moves nothing:

    disagreement            confirmed                                   not confirmed
    up to TOLERANCE_S       nothing: rounding (1 ms in Matroska, a      -
                            Vorbis block, an encoder's delay)
    gap                     silence as long as the gap, so that later   no silence; the pieces follow each other
                            times stay true
    gap over MAX_GAP_S      another clock begins: BREAK_S of silence    no silence
    overlap up to 1 s       the overlap is cut off, later times true    nothing is lost
    further back            another clock begins (chained Ogg, joined   nothing is lost
                            recordings): follows without a gap

No audio is lost to a broken clock, one that stands still for example: what does not hold together is played through.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

TOLERANCE_S = 0.05
CONFIRM_S = 0.2
"""How much audio has to agree with a new clock before it is believed; more than TOLERANCE_S, else a clock that stands
still would confirm itself."""

MAX_GAP_S = 30 * 60.0
"""The longest gap that is filled; a longer one is taken for another clock."""

MAX_FILLED_S = 4 * 3600.0
"""Silence put into one file altogether, so that a small file with many jumps cannot become days of it."""

BREAK_S = 1.0
MAX_OVERLAP_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Decoded audio of one channel count and rate. `pcm`: float32[channels, samples]; `time_s`: where the container
    puts its first sample, None where it does not say."""

    pcm: NDArray[np.float32]
    rate_hz: int
    layout: tuple[str, ...]
    time_s: float | None

    @property
    def samples(self) -> int:
        return int(self.pcm.shape[1])

    @property
    def duration_s(self) -> float:
        return self.samples / self.rate_hz


@dataclass(frozen=True, slots=True)
class Silence:
    """Samples at 16 kHz in which the file has nothing. `leading`: before the first audio, where nothing was lost."""

    samples: int
    leading: bool = False


def resampled_length(samples: int, rate_hz: int) -> int:
    """How many samples at 16 kHz stand for `samples` at `rate_hz`, rounded to the nearest."""
    return (samples * SAMPLE_RATE_HZ + rate_hz // 2) // rate_hz


class Timeline:
    """Puts pieces in their place: give them in the order of the file, get pieces and silence that follow each other.

    `origin_s` is the time in the container that becomes 0. Holds back at most MAX_OVERLAP_S and a piece.
    """

    def __init__(self, origin_s: float, max_overlap_s: float = MAX_OVERLAP_S) -> None:
        self._shift_s = -origin_s
        self._max_overlap_s = max_overlap_s
        self._held: list[Piece] = []
        self._filled_s = 0.0
        # The run of one rate that is being counted: where it began, in 16 kHz samples, and its own samples since.
        self._run_start = 0
        self._run_samples = 0
        self._run_rate_hz = SAMPLE_RATE_HZ

    def push(self, piece: Piece) -> Iterator[Piece | Silence]:
        """Place `piece`, or hold it until its time is confirmed."""
        if not piece.samples:
            return
        if self._agrees(piece):
            if not self._held or piece.time_s is not None:
                yield from self._release()
                yield self._count(piece)
                return
        elif not self._continues_held(piece):
            yield from self._release()
        self._held.append(piece)
        if self._is_confirmed():
            yield from self._commit()

    def finish(self) -> Iterator[Piece | Silence]:
        """Give what is held back. A gap before it counts as confirmed, because no later piece can contradict it."""
        if self._held and 0 < self._jump_s() <= MAX_GAP_S:
            yield from self._commit()
        yield from self._release()

    def begin(self, origin_s: float) -> None:
        """Another recording begins, whose time `origin_s` is where the sound so far ends. Call `finish` before."""
        self._shift_s = self._position_s - origin_s

    @property
    def _position_s(self) -> float:
        return (self._run_start + resampled_length(self._run_samples, self._run_rate_hz)) / SAMPLE_RATE_HZ

    @property
    def _held_s(self) -> float:
        return sum(piece.duration_s for piece in self._held)

    def _jump_s(self) -> float:
        """How far the first held piece lies from where counting puts it; negative is an overlap."""
        first = self._held[0].time_s
        assert first is not None
        return first + self._shift_s - self._position_s

    def _agrees(self, piece: Piece) -> bool:
        """Whether counting puts `piece` where the container does. Without a time it belongs to what came before."""
        if piece.time_s is None:
            return True
        return abs(piece.time_s + self._shift_s - self._position_s - self._held_s) <= TOLERANCE_S

    def _continues_held(self, piece: Piece) -> bool:
        if not self._held:
            return True
        first = self._held[0].time_s
        assert first is not None
        assert piece.time_s is not None
        return abs(piece.time_s - first - self._held_s) <= TOLERANCE_S

    def _is_confirmed(self) -> bool:
        overlap_s = -self._jump_s()
        # As much as will be cut off, so that the cut is made once and in here.
        wanted_s = overlap_s if CONFIRM_S < overlap_s <= self._max_overlap_s else CONFIRM_S
        return len(self._held) > 1 and self._held_s >= wanted_s

    def _commit(self) -> Iterator[Piece | Silence]:
        jump_s, started = self._jump_s(), self._position_s > 0
        if jump_s > 0:
            if jump_s > MAX_GAP_S or self._filled_s + jump_s > MAX_FILLED_S:
                # Another clock. At the start of a file it is merely a clock that did not begin at 0.
                jump_s = BREAK_S if started else 0.0
                self._restart_clock(jump_s)
            yield from self._fill(jump_s)
        elif started and -jump_s <= self._max_overlap_s:
            self._cut(-jump_s)
        else:
            self._restart_clock(0.0)
        yield from self._release()

    def _restart_clock(self, after_s: float) -> None:
        first = self._held[0].time_s
        assert first is not None
        self._shift_s = self._position_s + after_s - first

    def _fill(self, gap_s: float) -> Iterator[Silence]:
        silence = Silence(round(gap_s * SAMPLE_RATE_HZ), leading=self._position_s == 0)
        if silence.samples:
            self._filled_s += gap_s
            self._end_run()
            self._run_start += silence.samples
            yield silence

    def _cut(self, overlap_s: float) -> None:
        while self._held and overlap_s > 0:
            piece = self._held.pop(0)
            drop = min(round(overlap_s * piece.rate_hz), piece.samples)
            overlap_s -= piece.duration_s
            if drop < piece.samples:
                self._held.insert(0, replace(piece, pcm=piece.pcm[:, drop:]))
                return

    def _release(self) -> Iterator[Piece]:
        held, self._held = self._held, []
        yield from map(self._count, held)

    def _count(self, piece: Piece) -> Piece:
        if piece.rate_hz != self._run_rate_hz:
            self._end_run()
            self._run_rate_hz = piece.rate_hz
        self._run_samples += piece.samples
        return piece

    def _end_run(self) -> None:
        self._run_start += resampled_length(self._run_samples, self._run_rate_hz)
        self._run_samples = 0
