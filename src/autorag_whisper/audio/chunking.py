"""Speech spans by hysteresis, packed into chunks of bounded length that are cut in silence.

```
probability  ..▂▇▇▆▇▅..▂▇▇▇▆▇..........▂▆▇▇..      one value a window of 512 samples
span            [-----)  [----)          [--)      hysteresis: starts at `threshold`, ends 0.15 below it
chunk         [------------------)    [-------     contiguous audio; PAD before and after, never overlapping
```

A second look: what stays below the threshold but above half of it for a quarter of a second is a span too, not a
sure one: whispered and distant voices are there, and music. `recognition.hallucinations` tells them apart.

A chunk is closed by a long pause, or when it reaches its limit (`max_chunk_s`): then it is cut in the longest pause of
its second half, or where a voice is least likely if it has none. Speech is never left out and no sample is in two
chunks. The first chunk of a long file has a limit of its own, so that its words are there soon.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, VOICE_WINDOW, SpeechChunk, SpeechSpan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples

WINDOW = VOICE_WINDOW

_CLEAR, _CLEAR_WINDOWS = 0.8, 8
"""Probability of a voice beyond doubt, and the windows (a quarter of a second) for which it must be heard."""
_LEAST_REST = 32
"""Windows in the last chunk at least where everything is taken for speech, a second."""
_SILENT = 1e-9
"""Power of what is silence whatever there is beside it: -90 dB."""
_SUREST = 16
"""Windows in the half second that `SpeechChunk.voice` looks at."""


def _windows(duration_s: float) -> int:
    return round(duration_s * SAMPLE_RATE_HZ / WINDOW)


def _limit(duration_s: float) -> int:
    """Windows of a chunk at most: one less than it holds, so that a cut on a window's edge never exceeds it."""
    return int(duration_s * SAMPLE_RATE_HZ) // WINDOW - 1


@dataclass(frozen=True, slots=True)
class ChunkingRules:
    """How speech is found and packed. Lengths in seconds.

    `second_look` and its hysteresis (where it ends) are parts of `threshold`; 1 takes no second look. Spans of the two
    kinds that are `apart_s` apart never share a chunk. Where no voice is clear its edges are not either: a wider pad.
    `first_chunk_s`: the first chunk's limit; None has that of the others.
    """

    threshold: float = 0.5
    hysteresis: float = 0.15
    min_silence_s: float = 0.16
    min_speech_s: float = 0.1
    second_look: float = 0.5
    second_look_hysteresis: float = 0.3
    min_second_look_s: float = 0.25
    apart_s: float = 0.5
    unclear_pad_s: float = 2.0
    pad_s: float = 0.4
    pause_s: float = 2.0
    long_pause_s: float = 5.0
    min_chunk_s: float = 10.0
    max_chunk_s: float = 30.0
    first_chunk_s: float | None = None


@dataclass(slots=True)
class _Span:
    """Half-open span of windows, of which `clear` have a voice beyond doubt; `rest`: a chunk was cut in it before."""

    start: int
    stop: int
    sure: bool = True
    clear: int = 0
    rest: bool = False

    @property
    def is_clear(self) -> bool:
        """Whether that is a quarter of a second, or a third of a short word."""
        return self.sure and self.clear >= min(_CLEAR_WINDOWS, (self.stop - self.start) / 3)


class Chunker:
    """Takes samples and their speech probabilities in order, gives chunks in order as soon as each is closed.

    Holds at most a chunk of samples and what was pushed since the last whole window.
    """

    def __init__(self, rules: ChunkingRules | None = None) -> None:
        self._rules = rules or ChunkingRules()
        self._max = _limit(self._rules.first_chunk_s or self._rules.max_chunk_s)
        self._pads = {True: _windows(self._rules.pad_s), False: _windows(self._rules.unclear_pad_s)}
        self._samples = _SampleBuffer()
        self._probabilities: list[float] = []
        self._probabilities_from = 0
        self._now = 0
        self._bound = 0  # no chunk begins before this window
        self._spans: list[_Span] = []
        self._open: _Span | None = None
        self._faint: _Span | None = None  # under the threshold, open; never at the same time as it would be in `_open`
        self._index = 0

    def push(self, samples: Samples, probabilities: NDArray[np.float32]) -> Iterator[SpeechChunk]:
        """`samples`: the next ones; `probabilities`: float32[n] of the windows that are complete by now."""
        self._samples.append(samples)
        for probability in probabilities.tolist():
            yield from self._step(probability)
        self._forget()

    def finish(self) -> Iterator[SpeechChunk]:
        """What is left when the audio has ended."""
        self._close_span()
        self._close_faint()
        if self._spans:
            yield self._emit(len(self._spans), self._spans[-1].stop + self._pad(self._spans))

    def _step(self, probability: float) -> Iterator[SpeechChunk]:
        self._probabilities.append(probability)
        self._now += 1
        if self._track(probability):
            self._close_faint()
        else:
            self._look_again(probability)
        if (coming := self._apart()) is not None:
            yield self._cut_between(len(self._spans), self._spans[-1], coming)
        if self._is_pause():
            # What a faint span may yet begin with is not given away as padding.
            yield self._emit(len(self._spans), min(self._spans[-1].stop + self._pad(self._spans), self._quiet_until))
        elif self._begun() and self._now - self._start() >= self._max:
            if self._open is None:
                self._close_faint()
            yield self._cut()

    def _track(self, probability: float) -> bool:
        """Hysteresis: a span is open from the first window at the threshold until `min_silence_s` well below it.

        Whether this window belongs to one.
        """
        rules = self._rules
        if probability >= rules.threshold:
            self._open = self._open or _Span(self._now - 1, self._now)
            self._open.stop = self._now
            self._open.clear += probability >= _CLEAR
            return True
        if self._open is not None and probability >= rules.threshold - rules.hysteresis:
            self._open.stop = self._now
            return True
        if self._open is not None and self._now - self._open.stop >= _windows(rules.min_silence_s):
            self._close_span()
        return False

    def _look_again(self, probability: float) -> None:
        """The same below the threshold, for windows that belong to no sure span."""
        rules = self._rules
        if probability >= rules.threshold * rules.second_look:
            self._faint = self._faint or _Span(self._now - 1, self._now, sure=False)
            self._faint.stop = self._now
        elif self._faint is not None and probability >= rules.threshold * rules.second_look_hysteresis:
            self._faint.stop = self._now
        elif self._faint is not None and self._now - self._faint.stop >= _windows(rules.min_silence_s):
            self._close_faint()

    def _close_faint(self) -> None:
        span, self._faint = self._faint, None
        if span is None or not self._is_long(span):
            return
        if self._open is None or self._open.start > span.start:  # else it is inside that sure span
            self._spans.append(span)

    def _is_long(self, span: _Span) -> bool:
        return span.stop - span.start >= _windows(self._rules.min_second_look_s)

    def _close_span(self) -> None:
        span, self._open = self._open, None
        if span is not None and span.stop > span.start and (span.rest or self._lasts(span)):
            self._spans.append(span)

    def _lasts(self, span: _Span) -> bool:
        return span.stop - span.start >= _windows(self._rules.min_speech_s)

    def _begun(self) -> list[_Span]:
        """The spans of the chunk being made, the last of which may be open."""
        return [span for span in (*self._spans, self._open or self._faint) if span is not None]

    def _start(self) -> int:
        """The window with which the chunk being made begins."""
        begun = self._begun()
        return max(self._bound, begun[0].start - self._pad(begun))

    def _pad(self, spans: list[_Span]) -> int:
        """Before and behind a chunk of `spans`: wide if a voice is not clear for long enough in any of them."""
        return self._pads[any(span.is_clear for span in spans)]

    def _is_pause(self) -> bool:
        if self._open is not None or not self._spans:
            return False
        pause, length = self._quiet_until - self._spans[-1].stop, self._spans[-1].stop - self._start()
        limit = self._rules.pause_s if length >= _windows(self._rules.min_chunk_s) else self._rules.long_pause_s
        return pause >= _windows(limit)

    @property
    def _quiet_until(self) -> int:
        """The first window behind the last span in which even a faint voice may begin; now, if there is none."""
        return self._faint.start if self._faint is not None else self._now

    def _apart(self) -> _Span | None:
        """The span that has begun, if it is sure and the last one is not, or the other way about, and they are apart.

        It then begins a new chunk, so that text of faint speech is judged by itself, not together with clear speech.
        """
        coming = self._open or (self._faint if self._faint is not None and self._is_long(self._faint) else None)
        if coming is None or not self._spans or self._spans[-1].sure == coming.sure:
            return None
        return coming if coming.start - self._spans[-1].stop >= _windows(self._rules.apart_s) else None

    def _cut(self) -> SpeechChunk:
        """Close a chunk that reached its limit, in a pause if there is one."""
        start = self._start()
        for earliest in (start + self._max // 2, start + self._max // 4):
            pauses = [pause for pause in self._pauses() if pause[0].stop >= earliest]
            if pauses:
                before, after = max(pauses, key=lambda pause: pause[1].start - pause[0].stop)
                count = sum(span.stop <= before.stop for span in self._spans)
                return self._cut_between(count, before, after)
        return self._cut_in_speech(start)

    def _cut_between(self, count: int, before: _Span, after: _Span) -> SpeechChunk:
        """The chunk of the first `count` spans, of which `before` is the last, and `after` begins the next."""
        middle = (before.stop + after.start + 1) // 2
        stop = min(before.stop + self._pad(self._spans[:count]), middle)
        return self._emit(count, stop, max(after.start - self._pad([after]), middle))

    def _pauses(self) -> list[tuple[_Span, _Span]]:
        """The spans before and behind each pause, the last of which is going on."""
        spans = [*self._spans, self._open or _Span(self._now, self._now)]
        return [(a, b) for a, b in itertools.pairwise(spans) if a.stop < b.start]

    def _cut_in_speech(self, start: int) -> SpeechChunk:
        """Where a voice is least likely (mean of three windows) in the last third of the chunk."""
        first = start + 2 * self._max // 3
        tail = np.asarray(self._probabilities[first - self._probabilities_from :])
        cut = first + int(np.argmin(np.convolve(tail, np.ones(3) / 3, mode="same")[1:-1])) + 1
        return self._cut_at(min(cut, self._decided))

    @property
    def _decided(self) -> int:
        """The window before which later audio cannot change what belongs to a span."""
        if self._open is None:
            return self._now
        is_noise = not self._open.rest and not self._lasts(self._open)
        return self._open.start if is_noise else self._open.stop

    def _cut_at(self, cut: int) -> SpeechChunk:
        """The chunk up to window `cut`; a span that goes on is divided, one that may go on begins anew there."""
        spans = [*self._spans, *([self._open] if self._open else [])]
        if self._open is not None and self._open.stop <= cut:
            self._open = _Span(cut, cut, clear=self._open.clear, rest=True)
        at = next((n for n, span in enumerate(spans) if span.stop > cut), len(spans))
        later = spans[at:]
        if later and later[0].start < cut:
            spans.insert(at, _Span(later[0].start, cut, later[0].sure, later[0].clear))
            later[0].start, later[0].rest = cut, True
            at += 1
        self._spans = spans[:at] + [span for span in later if span is not self._open]
        return self._emit(at, cut)

    def _emit(self, count: int, stop: int, bound: int = 0) -> SpeechChunk:
        """The chunk of the first `count` spans, up to window `stop`; later ones begin at `bound` or later."""
        start = self._start()
        spans, self._spans = self._spans[:count], self._spans[count:]
        self._bound = max(min(stop, self._now), bound)
        total = self._samples.stop
        spans = spans or [_Span(start, self._bound, sure=False)]
        speech = tuple(SpeechSpan(s.start * WINDOW, min(s.stop * WINDOW, total), s.sure) for s in spans)
        first = self._probabilities_from
        heard = np.asarray(self._probabilities[start - first : min(stop, self._now) - first], dtype=np.float32)
        chunk = SpeechChunk(
            index=self._index,
            start=start * WINDOW,
            samples=self._samples.take(start * WINDOW, min(min(stop, self._now) * WINDOW, total)),
            speech=speech,
            voice=voice_in(heard, start * WINDOW, speech),
            probabilities=heard,
        )
        self._index += 1
        self._max = _limit(self._rules.max_chunk_s)
        return chunk

    @property
    def judged_s(self) -> float:
        """What lies before it is in a chunk that was given, or is silence. Never decreases."""
        return self._needed * WINDOW / SAMPLE_RATE_HZ

    @property
    def _needed(self) -> int:
        """The first window that a chunk may still need."""
        # A short span may yet be dropped, or a voice stay unclear: whatever the chunk will be, the wide pad is there.
        begun = [*self._begun(), _Span(self._now, self._now)]
        return max(self._bound, begun[0].start - max(self._pads.values()))

    def _forget(self) -> None:
        """Drop what no chunk can need any more."""
        needed = self._needed
        self._samples.drop_before(needed * WINDOW)
        surplus = needed - self._probabilities_from
        if surplus > self._max:
            del self._probabilities[:surplus]
            self._probabilities_from += surplus


class GaplessChunker(Chunker):
    """Takes everything for speech: a chunk begins where the last one ended, up to the last sample.

    It is cut where the last third of the longest chunk is quietest, and the last chunk is a second long at least. What
    voice activity found is told all the same; a chunk in which it found nothing is one span that is not sure.
    """

    def finish(self) -> Iterator[SpeechChunk]:
        self._close_span()
        self._close_faint()
        while self._now - self._bound > self._max:
            yield self._cut_at(self._quietest())
        if self._bound * WINDOW < self._samples.stop:
            yield self._emit(len(self._spans), self._now)

    def _step(self, probability: float) -> Iterator[SpeechChunk]:
        self._probabilities.append(probability)
        self._now += 1
        if self._track(probability):
            self._close_faint()
        else:
            self._look_again(probability)
        if self._now - self._bound >= self._max + _LEAST_REST:
            if self._faint is not None:
                self._close_span()
            self._close_faint()
            yield self._cut_at(self._quietest())

    def _start(self) -> int:
        return self._bound

    @property
    def _needed(self) -> int:
        return self._bound

    def _quietest(self) -> int:
        """The middle of the longest quiet stretch in the last third of a chunk that begins now."""
        first, last = self._bound + 2 * self._max // 3, min(self._bound + self._max, self._now - _LEAST_REST)
        samples = self._samples.take(first * WINDOW, last * WINDOW).reshape(-1, WINDOW)
        power = np.convolve(np.square(samples).mean(axis=1), np.ones(3) / 3, mode="same")
        quiet = np.concatenate(([False], power <= max(2 * float(power.min()), _SILENT), [False]))
        edges = np.flatnonzero(np.diff(quiet)).reshape(-1, 2)
        start, stop = edges[np.argmax(edges[:, 1] - edges[:, 0])]
        return first + int(start + stop) // 2


def voice_in(probabilities: NDArray[np.float32], start: int, speech: Sequence[SpeechSpan]) -> float:
    """How sure voice activity is at its best in `speech` (`SpeechChunk.voice`); `probabilities` begin at `start`."""
    windows = [slice(max(0, span.start - start) // WINDOW, -((start - span.stop) // WINDOW)) for span in speech]
    surest = sorted(p for window in windows for p in probabilities[window].tolist())[-_SUREST:]
    return sum(surest) / len(surest) if surest else 0.0


class _SampleBuffer:
    """Samples [start, stop) of a stream, as the blocks that came."""

    def __init__(self) -> None:
        self._blocks: list[Samples] = []
        self._start = self.stop = 0

    def append(self, samples: Samples) -> None:
        self._blocks.append(samples)
        self.stop += len(samples)

    def drop_before(self, sample: int) -> None:
        while self._blocks and self._start + len(self._blocks[0]) <= sample:
            self._start += len(self._blocks.pop(0))

    def take(self, start: int, stop: int) -> Samples:
        """A copy of [start, stop)."""
        held = np.concatenate(self._blocks)
        return held[start - self._start : stop - self._start].copy()
