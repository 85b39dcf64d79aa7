"""Where a recording goes on in another language: running tests over pieces of 5 s, in their order.

Page's test for a change (CUSUM), one for every other language: each piece adds the logarithm of how much likelier that
language is than the one that is spoken, less `DRIFT`, times its share of speech; the sum never falls below nothing.
From a threshold on the language has changed, where that sum began to rise, if it has been likelier than all others
together.

```
pieces       en    en    en    de    de    de    de    ?     en    en
for de       0     0     0     4     8 > NEW                                       changed at the fourth piece
for en                                   0     0     0     4 > KNOWN               back, at the ninth: en is known here
```

Languages that are taken for each other (`domain.language.family`) count together. A change into a sister of the one
that is spoken, or into a language that Whisper hardly knows, needs `FOREIGN` times as much.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.domain.language import WELL_KNOWN, family
from autorag_whisper.recognition.language import LEAST_TOLD, SURE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.recognition.language import Piece

DRIFT = 2.0
"""A piece in which another language is less than e**2 = 7 times as likely says nothing for it."""
NEW, KNOWN, FOREIGN = 5.0, 3.0, 2.0
"""Evidence for a language that the file has not had, and for one that it had. A piece gives 6.1 at most; in no
recording of the kit in one language there was more than 2.3 (dev/LOG.md)."""
_FULL_S, _MOST = 4.0, 1.25
"""Seconds of speech in a piece that count once, and how often its evidence counts at most."""
_NEAR = 5 * SAMPLE_RATE_HZ // 2
"""Samples around the border between two pieces in which the pause is looked for."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples [start, stop) of the file that are recognised in `language`."""

    language: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """For a language, since the `begun`-th piece of a chunk.

    `total`: how much. `sure`: the same sum of how much likelier it was, with its sisters, than all others together.
    """

    total: float = 0.0
    begun: int = 0
    sure: float = 0.0


@dataclass(frozen=True, slots=True)
class Speaking:
    """Where a file is in its languages: the one that is spoken, those that it had, what speaks for others."""

    language: str
    known: frozenset[str]
    others: Mapping[str, Evidence] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def begin(cls, language: str, known: Sequence[str] = ()) -> Speaking:
        return cls(language, frozenset({language, *known}))

    def needed(self, language: str) -> float:
        """Evidence from which it is spoken."""
        if language in self.known:
            return KNOWN
        is_usual = language in WELL_KNOWN and family(language) != family(self.language)
        return NEW if is_usual else NEW * FOREIGN


def follow(speaking: Speaking, chunk: SpeechChunk, pieces: Sequence[Piece]) -> tuple[Speaking, tuple[Stretch, ...]]:
    """The state behind a chunk, and the stretches of the chunk with their languages, which are all of it."""
    languages: list[str] = []
    # What began in an earlier chunk has begun with this one: the text before is out.
    speaking = replace(speaking, others={code: replace(one, begun=0) for code, one in speaking.others.items()})
    for n, piece in enumerate(pieces):
        languages.append(speaking.language)
        speaking = replace(speaking, others=_heard(speaking, piece, n))
        enough = [code for code, one in speaking.others.items() if one.sure and one.total >= speaking.needed(code)]
        if enough:
            language = max(enough, key=lambda code: (speaking.others[code].total, code))
            since = speaking.others[language].begun
            languages[since:] = [language] * (len(languages) - since)
            speaking = Speaking(language, speaking.known | {language})
    return speaking, _stretches(chunk, pieces, languages or [speaking.language])


def short_turns(chunk: SpeechChunk, pieces: Sequence[Piece], language: str) -> tuple[Stretch, ...]:
    """The stretches of a chunk in `language`, with those apart that sound like another; () where none does.

    They are too short or unsure for the file to go on in another language, so their texts have to be compared. Each
    lies between two pauses, or reaches to an end of the chunk: else words of the language around it would be in it.
    """
    sounds = [piece.sounds_unlike(language) or language for piece in pieces]
    if not any(sound != language for sound in sounds):
        return ()
    found = _stretches(chunk, pieces, sounds)
    is_apart = not any(span.start < one.start < span.stop for one in found for span in chunk.speech)
    return found if is_apart else ()


def _heard(speaking: Speaking, piece: Piece, n: int) -> dict[str, Evidence]:
    """What there is for each other language after the `n`-th piece of a chunk."""
    told, own = piece.told, family(speaking.language)
    if not told:
        return dict(speaking.others)
    weight = min(_MOST, piece.speech_s / _FULL_S)
    families: dict[str, float] = {}
    for code, probability in told.items():
        families[family(code)] = families.get(family(code), 0.0) + probability
    found: dict[str, Evidence] = {}
    for code in sorted({*told, *speaking.others} - {speaking.language}):
        before = speaking.others.get(code, Evidence(begun=n))
        if family(code) == own:  # among sisters each speaks for itself
            share = told.get(code, 0.0)
            gain = _log(share) - _log(told.get(speaking.language, 0.0))
        else:
            share = families.get(family(code), 0.0)
            gain = _log(told.get(code, 0.0)) - _log(families.get(own, 0.0))
        total = before.total + weight * (gain - DRIFT)
        if total > 0:
            sure = max(0.0, before.sure + weight * (_log(share) - _log(SURE)))
            found[code] = Evidence(total, before.begun, sure)
    return found


def _log(probability: float) -> float:
    return math.log(max(probability, LEAST_TOLD))


def _stretches(chunk: SpeechChunk, pieces: Sequence[Piece], languages: Sequence[str]) -> tuple[Stretch, ...]:
    borders = [n for n in range(1, len(languages)) if languages[n] != languages[n - 1]]
    places = [pieces[n].start for n in borders]
    # No border passes another, or reaches it: what lies between them would be in no language.
    nearest = [min([_NEAR * 2, *(abs(one - place) for one in places if one != place)]) for place in places]
    pauses = [_pause_near(chunk, place, apart / 2) for place, apart in zip(places, nearest, strict=True)]
    edges = [chunk.start, *pauses, chunk.stop]
    spoken = [languages[n] for n in (0, *borders)]
    return tuple(
        Stretch(language, start, stop)
        for language, (start, stop) in zip(spoken, itertools.pairwise(edges), strict=True)
    )


def _pause_near(chunk: SpeechChunk, border: int, reach: float) -> int:
    """The middle of the longest pause around `border`, which is the border between two pieces; else `border` itself."""
    near = [
        (b.start - a.stop, (a.stop + b.start) // 2)
        for a, b in itertools.pairwise(chunk.speech)
        if abs((a.stop + b.start) // 2 - border) < reach
    ]
    return max(near)[1] if near else border
