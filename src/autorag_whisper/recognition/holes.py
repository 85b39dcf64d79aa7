"""Speech without a word, and the parts of a chunk that are recognised again because of it.

Where the voice or the recording changes inside a chunk, a decoder may end early: whole utterances are missing, and
words of others are stretched over their place. After alignment that is visible:

```
speech        [-----------]   [------]    [-------]
words          aa bbb c dd                  ee  ff
hole                         |-------|                    HOLE_S of sure speech and more between two words
parts         |--------------|-----------|--------|       cut in the pauses around it, each recognised as a chunk
```

A chunk whose text was cut by the token cap is done again in two parts, cut in its longest pause near the middle.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechSpan, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.transcript import Word

HOLE_S = 1.0
"""Sure speech between two words from which something is missing. Of 231 chunks of the kit 4 have as much; of chunks
with a lost utterance all that were looked at, but for those with less than a second of it."""
LEAST_PART_S = 2.0
"""No chunk shorter than two of them is cut because of its text."""
_PAD = SAMPLE_RATE_HZ // 10
_QUIET = SAMPLE_RATE_HZ // 50


@dataclass(frozen=True, slots=True)
class Hole:
    """Between two words, samples [start, stop) on the file's timeline: `speech_s` seconds of sure speech are in it."""

    start: int
    stop: int
    speech_s: float


def holes(speech: Sequence[SpeechSpan], words: Sequence[Word], least_s: float = HOLE_S) -> tuple[Hole, ...]:
    """Where `least_s` of sure speech and more has no word. `words` of the same audio, in any order."""
    sure = [span for span in speech if span.sure]
    if not sure:
        return ()
    first, last = sure[0].start, sure[-1].stop
    said = sorted((round(word.start_s * SAMPLE_RATE_HZ), round(word.end_s * SAMPLE_RATE_HZ)) for word in words)
    found, heard_to = [], first
    for start, stop in [*said, (last, last)]:
        missing = sum(max(0, min(start, span.stop) - max(heard_to, span.start)) for span in sure)
        if seconds(missing) >= least_s:
            found.append(Hole(max(heard_to, first), min(start, last), seconds(missing)))
        heard_to = max(heard_to, stop)
    return tuple(found)


def missing_s(speech: Sequence[SpeechSpan], words: Sequence[Word]) -> float:
    """Seconds of sure speech in holes."""
    return sum(hole.speech_s for hole in holes(speech, words))


def around(chunk: SpeechChunk, found: Sequence[Hole]) -> tuple[SpeechChunk, ...]:
    """`chunk` cut before and behind each hole, in the pause that is there; alone where nothing is to be cut."""
    first, last = chunk.speech[0].start, chunk.speech[-1].stop
    edges = [edge for hole in found for edge in (hole.start, hole.stop) if first < edge < last]
    return _cut(chunk, [_pause_at(chunk, edge) for edge in edges])


def halves(chunk: SpeechChunk) -> tuple[SpeechChunk, ...]:
    """`chunk` cut in two in its longest pause near the middle, or where it is quietest; alone if it is too short."""
    if chunk.duration_s < 2 * LEAST_PART_S:
        return (chunk,)
    middle, reach = chunk.start + len(chunk.samples) // 2, len(chunk.samples) // 4
    near = [(a, b) for a, b in _pauses(chunk) if abs((a + b) // 2 - middle) <= reach]
    if near:
        start, stop = max(near, key=lambda pause: pause[1] - pause[0])
        return _cut(chunk, [(start + stop) // 2])
    return _cut(chunk, [_quietest(chunk, middle - reach, middle + reach)])


def _pauses(chunk: SpeechChunk) -> list[tuple[int, int]]:
    return [(a.stop, b.start) for a, b in itertools.pairwise(chunk.speech) if a.stop < b.start]


def _pause_at(chunk: SpeechChunk, edge: int) -> int:
    """The middle of the pause that `edge` is in, or of the next one within half of `HOLE_S`; else `edge` itself."""

    def distance(pause: tuple[int, int]) -> int:
        return max(pause[0] - edge, edge - pause[1], 0)

    pauses = _pauses(chunk)
    if not pauses:
        return edge
    start, stop = min(pauses, key=distance)
    return (start + stop) // 2 if seconds(distance((start, stop))) <= HOLE_S / 2 else edge


def _quietest(chunk: SpeechChunk, start: int, stop: int) -> int:
    """Where the power of a fiftieth of a second is least."""
    samples = chunk.samples[start - chunk.start : stop - chunk.start].astype(np.float64)
    power = np.add.reduceat(samples**2, np.arange(0, len(samples), _QUIET))
    return start + int(np.argmin(power)) * _QUIET + _QUIET // 2


def _cut(chunk: SpeechChunk, places: Sequence[int]) -> tuple[SpeechChunk, ...]:
    """The parts of `chunk` between `places`, without those in which nobody speaks."""
    bounds = sorted({chunk.start, chunk.stop, *(place for place in places if chunk.start < place < chunk.stop)})
    parts = [_part(chunk, start, stop) for start, stop in itertools.pairwise(bounds)]
    if len(parts) == 1:
        return (chunk,)
    first, *others = [part for part in parts if part.speech] or [chunk]
    # Only the first can begin a file.
    return (first, *(replace(part, index=-1) for part in others))


def _part(chunk: SpeechChunk, start: int, stop: int) -> SpeechChunk:
    speech = tuple(
        SpeechSpan(max(span.start, start), min(span.stop, stop), span.sure)
        for span in chunk.speech
        if min(span.stop, stop) > max(span.start, start)
    )
    if speech:  # silence around a part is of no use: a tenth of a second stays
        start, stop = max(start, speech[0].start - _PAD), min(stop, speech[-1].stop + _PAD)
    samples = chunk.samples[start - chunk.start : stop - chunk.start]
    return replace(chunk, start=start, samples=samples, speech=speech)
