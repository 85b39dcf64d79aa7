"""Speech without a word, and the parts of a chunk that are recognised again because of it.

Where the voice or the recording changes inside a chunk, a decoder may end early: whole utterances are missing, and
words of others are stretched over their place. After alignment that is visible:

```
speech        [-----------]   [------]    [-------]     [--]
words          aa bbb c dd                  ee  ff
holes                        |-------|                  |--|
parts         |--------------|-----------|------------|----|     cut in the pauses around them
```

A hole is `HOLE_S` of sure speech and more between two words, or an *island*: speech of `ISLAND_S` and more with a pause
on both sides that has next to no word. The parts are recognised as chunks of their own.

A chunk whose text was cut by the token cap is done again in two parts, cut in its longest pause near the middle.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.audio.chunking import voice_in
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, VOICE_WINDOW, SpeechSpan, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.transcript import Word
    from autorag_whisper.recognition.language_changes import Stretch

HOLE_S = 1.0
"""Sure speech between two words from which something is missing. Of 231 chunks of the kit 4 have as much; of chunks
with a lost utterance all that were looked at, but for those with less than a second of it."""
LISTED_S = 0.5
"""The same, from which it is told: a word is missing, or there was an "um". Not worth hearing a chunk again."""
ISLAND_S, APART_S, _ISLAND_SHARE = 0.3, 0.3, 0.7
"""Speech of an island without a word, the pauses around it, and the part of it that has no word at least. Of the 231
chunks 6 have one."""
LEAST_PART_S = 2.0
"""No chunk shorter than two of them is cut because of its text."""
LEAST_SPEECH_S = 0.2
"""Speech in a part at least; with less it stays with its neighbour."""
_PAD = 2 * SAMPLE_RATE_HZ // 5
_QUIET, _PAUSE_STEP = SAMPLE_RATE_HZ // 50, SAMPLE_RATE_HZ // 10


@dataclass(frozen=True, slots=True)
class Hole:
    """Between two words, samples [start, stop) on the file's timeline: `speech_s` seconds of sure speech are in it."""

    start: int
    stop: int
    speech_s: float


def holes(speech: Sequence[SpeechSpan], words: Sequence[Word], least_s: float = HOLE_S) -> tuple[Hole, ...]:
    """Where sure speech has no word, in order, apart. `words` of the same audio, in any order.

    `least_s`: seconds of speech in a hole that is no island, at least.
    """
    sure = [span for span in speech if span.sure]
    if not sure:
        return ()
    first, last = sure[0].start, sure[-1].stop
    said = sorted((round(word.start_s * SAMPLE_RATE_HZ), round(word.end_s * SAMPLE_RATE_HZ)) for word in words)
    found: list[Hole] = []
    heard_to = first
    for start, stop in [*said, (last, last)]:
        found += _between(sure, max(heard_to, first), min(start, last), least_s)
        heard_to = max(heard_to, stop)
    return tuple(found)


def _between(sure: Sequence[SpeechSpan], start: int, stop: int, least_s: float) -> list[Hole]:
    """The holes between a word that ends at `start` and one that begins at `stop`."""
    missing_s = _speech_s(sure, start, stop)
    if missing_s >= least_s:
        return [Hole(start, stop, missing_s)]
    if missing_s < ISLAND_S:
        return []
    found = []
    for island in _islands(sure):
        first, last = max(start, island[0].start), min(stop, island[-1].stop)
        without_s, whole_s = _speech_s(island, first, last), sum(span.duration_s for span in island)
        if without_s >= max(ISLAND_S, _ISLAND_SHARE * whole_s):
            found.append(Hole(first, last, without_s))
    return found


def _islands(sure: Sequence[SpeechSpan]) -> list[list[SpeechSpan]]:
    """The spans with `APART_S` and more between them and the next ones."""
    found = [[sure[0]]]
    for before, span in itertools.pairwise(sure):
        if seconds(span.start - before.stop) < APART_S:
            found[-1].append(span)
        else:
            found.append([span])
    return found


def _speech_s(spans: Sequence[SpeechSpan], start: int, stop: int) -> float:
    """Seconds of `spans` in [start, stop)."""
    return seconds(sum(max(0, min(stop, span.stop) - max(start, span.start)) for span in spans))


def missing_s(speech: Sequence[SpeechSpan], words: Sequence[Word]) -> float:
    """Seconds of sure speech in holes."""
    return sum(hole.speech_s for hole in holes(speech, words))


def around(chunk: SpeechChunk, found: Sequence[Hole]) -> tuple[SpeechChunk, ...]:
    """`chunk` cut before and behind each hole, in the pause that is there; alone where nothing is to be cut."""
    edges = [edge for hole in found for edge in (hole.start, hole.stop)]
    return _cut(chunk, [place for edge in edges if (place := _pause_at(chunk, edge)) is not None])


def halves(chunk: SpeechChunk) -> tuple[SpeechChunk, ...]:
    """`chunk` cut in two in its longest pause near the middle, or where it is quietest; alone if it is too short."""
    if chunk.duration_s < 2 * LEAST_PART_S:
        return (chunk,)
    middle, reach = chunk.start + len(chunk.samples) // 2, len(chunk.samples) // 4
    near = [(a, b) for a, b in _pauses(chunk) if abs((a + b) // 2 - middle) <= reach]
    if near:
        # Of pauses that are as long the one that is nearest.
        start, stop = max(near, key=lambda p: ((p[1] - p[0]) // _PAUSE_STEP, -abs((p[0] + p[1]) // 2 - middle)))
        return _cut(chunk, [(start + stop) // 2])
    return _cut(chunk, [_quietest(chunk, middle - reach, middle + reach)])


def within(chunk: SpeechChunk, stretches: Sequence[Stretch]) -> list[tuple[Stretch, SpeechChunk]]:
    """The parts of `chunk` that these stretches of it are, without those in which nobody speaks; one at least."""
    spoken = [
        (stretch, _part(chunk, stretch.start, stretch.stop))
        for stretch in stretches
        if any(span.start < stretch.stop and stretch.start < span.stop for span in chunk.speech)
    ] or [(stretches[0], chunk)]
    # Only the first can begin a file.
    return [(stretch, part if n == 0 else replace(part, index=-1)) for n, (stretch, part) in enumerate(spoken)]


def _pauses(chunk: SpeechChunk) -> list[tuple[int, int]]:
    return [(a.stop, b.start) for a, b in itertools.pairwise(chunk.speech) if a.stop < b.start]


def _pause_at(chunk: SpeechChunk, edge: int) -> int | None:
    """The middle of the pause that `edge` is in, or of the next one within half of `HOLE_S`; else `edge` itself.

    None where that is the beginning of all speech or its end.
    """

    def distance(pause: tuple[int, int]) -> int:
        return max(pause[0] - edge, edge - pause[1], 0)

    outside = [(chunk.start, chunk.speech[0].start), (chunk.speech[-1].stop, chunk.stop)]
    pause = min(outside + _pauses(chunk), key=distance)
    if seconds(distance(pause)) > HOLE_S / 2:
        return edge
    return None if pause in outside else sum(pause) // 2


def _quietest(chunk: SpeechChunk, start: int, stop: int) -> int:
    """Where the power of a fiftieth of a second is least."""
    samples = chunk.samples[start - chunk.start : stop - chunk.start].astype(np.float64)
    power = np.add.reduceat(samples**2, np.arange(0, len(samples), _QUIET))
    return start + int(np.argmin(power)) * _QUIET + _QUIET // 2


def _cut(chunk: SpeechChunk, places: Sequence[int]) -> tuple[SpeechChunk, ...]:
    """The parts of `chunk` between `places`, but for those that would leave a part with too little speech."""
    bounds = [chunk.start]
    for place in sorted({_on_a_window(chunk, place) for place in places}):
        if (
            min(_speech_s(chunk.speech, bounds[-1], place), _speech_s(chunk.speech, place, chunk.stop))
            >= LEAST_SPEECH_S
        ):
            bounds.append(place)
    if len(bounds) == 1:
        return (chunk,)
    first, *others = [_part(chunk, start, stop) for start, stop in itertools.pairwise([*bounds, chunk.stop])]
    # Only the first can begin a file.
    return (first, *(replace(part, index=-1) for part in others))


def _on_a_window(chunk: SpeechChunk, place: int) -> int:
    """`place`, where a window of voice activity begins."""
    return chunk.start + (place - chunk.start) // VOICE_WINDOW * VOICE_WINDOW


def _part(chunk: SpeechChunk, start: int, stop: int) -> SpeechChunk:
    """[start, stop) of `chunk`, which holds speech, without more silence around it than a chunk has."""
    speech = tuple(
        SpeechSpan(max(span.start, start), min(span.stop, stop), span.sure)
        for span in chunk.speech
        if min(span.stop, stop) > max(span.start, start)
    )
    start = max(start, _on_a_window(chunk, speech[0].start - _PAD))
    stop = min(stop, speech[-1].stop + _PAD)
    first, last = start - chunk.start, stop - chunk.start
    heard = chunk.probabilities[first // VOICE_WINDOW : -(-last // VOICE_WINDOW)]
    voice = voice_in(heard, start, speech) if len(heard) else chunk.voice
    return replace(
        chunk, start=start, samples=chunk.samples[first:last], speech=speech, voice=voice, probabilities=heard
    )
