"""Which language was heard: in a whole chunk, over several, and in pieces of one."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, seconds
from autorag_whisper.domain.language import WELL_KNOWN, family
from autorag_whisper.engines.base import ENCODER_FRAME_S, WINDOW_FRAMES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from autorag_whisper.domain.audio import SpeechChunk

SURE, SURE_WITH_MORE = 0.5, 0.75
"""Probability from which one chunk decides alone, and where more of its file can be asked.

Of the kit's clips at 0.5 to 0.75 one in four was wrong, and in the full window most of them still (dev/LOG.md).
"""
VOTING_CHUNKS = 4
RIVAL, MOST_RIVALS = 0.03, 2
"""Probability from which a language is a rival of the likeliest, and how many are looked at."""

PIECE_S = 5.0
PIECE_FRAMES, PIECE_STEP = round(PIECE_S / ENCODER_FRAME_S), 3
"""Encoder frames of a piece, and of how many one is looked at: a third of the cost, hardly less sure."""
LEAST_TOLD = 0.001
"""Probabilities under it are not kept: they count as this much."""
EXCLUDED = 0.01
"""Probability under which a language is not what is spoken; of the kit's pieces 3 in 643 are so wrong."""
SURE_PIECE, SURE_PIECE_S = 0.9, 2.0
"""Probability, and seconds of sure speech, from which one piece is sure of its language."""
LIKELY_PIECE, LIKELY_PIECE_S, HARDLY = 0.8, 1.8, 0.1
"""The same, from which it is told that it sounds like another language, and what the one that was used has at most: of
588 pieces of the kit in one language none is so wrong, and of eleven turns of 5 and 11 s in English behind Spanish ten
have one (dev/LOG.md)."""


@dataclass(frozen=True, slots=True)
class LanguageChoice:
    """A language code and its probability (0..1); `rivals` are those that are nearly as likely, the likeliest first."""

    code: str
    probability: float
    rivals: tuple[LanguageChoice, ...] = ()

    def is_sure(self, *, more: bool = False) -> bool:
        """Whether one chunk decides with it; `more`: there are other chunks that can be asked."""
        return self.probability >= (SURE_WITH_MORE if more else SURE)


@dataclass(frozen=True, slots=True)
class Piece:
    """What a piece of a chunk sounds like: samples [start, stop) of the file, with `speech_s` seconds of sure speech.

    `codes` with their `probabilities`, the likeliest first.
    """

    start: int
    stop: int
    speech_s: float
    codes: tuple[str, ...]
    probabilities: tuple[float, ...]

    @property
    def told(self) -> dict[str, float]:
        """Code -> probability; of what it does not have `LEAST_TOLD` at most."""
        return dict(zip(self.codes, self.probabilities, strict=True))

    @property
    def sure_of(self) -> str:
        """The language that it is sure of, "" if it is of none."""
        is_sure = self.codes and self.probabilities[0] >= SURE_PIECE and self.speech_s >= SURE_PIECE_S
        return self.codes[0] if is_sure else ""

    def sounds_unlike(self, language: str) -> str:
        """The other language that it sounds like where it hardly sounds like `language`, "" where that is not so."""
        if self.speech_s < LIKELY_PIECE_S or not self.codes or self.probabilities[0] < LIKELY_PIECE:
            return ""
        likely = self.codes[0]
        own = sum(share for code, share in self.told.items() if family(code) == family(language))
        return likely if own < HARDLY and likely in WELL_KNOWN and family(likely) != family(language) else ""

    def excludes(self, language: str) -> bool:
        """Whether this is another language, whichever: neither `language` nor one that is taken for it."""
        if self.speech_s < SURE_PIECE_S or not self.codes:
            return False
        own = sum(share for code, share in self.told.items() if family(code) == family(language))
        return own < EXCLUDED or family(self.sure_of or language) != family(language)


def choose(votes: Sequence[Mapping[str, float]], allowed: Collection[str] = ()) -> LanguageChoice:
    """The language with the highest mean probability over `votes` (at least one), among the `allowed` if there are any.

    Its probability is the share that it has of those: where nothing allowed was heard at all, an even one.
    """
    totals: dict[str, float] = dict.fromkeys(allowed, 0.0)
    for vote in votes:
        for code, probability in vote.items():
            if not allowed or code in totals:
                totals[code] = totals.get(code, 0.0) + probability
    whole = sum(totals.values()) if allowed else float(len(votes))
    shares = {code: min(1.0, total / whole) if whole else 1 / len(totals) for code, total in totals.items()}
    code, *others = sorted(shares, key=lambda name: (shares[name], name), reverse=True)
    rivals = [LanguageChoice(other, shares[other]) for other in others[:MOST_RIVALS] if shares[other] >= RIVAL]
    return LanguageChoice(code, shares[code], tuple(rivals))


def another(pieces: Sequence[Piece], language: str) -> str:
    """What pieces sound like most of whose speech cannot be `language`: the likeliest other; "" if most of it can."""
    excluded = [piece for piece in pieces if piece.excludes(language)]
    if 2 * sum(piece.speech_s for piece in excluded) <= sum(piece.speech_s for piece in pieces):
        return ""
    codes = sorted({code for piece in excluded for code in piece.codes if family(code) != family(language)})
    told = [(piece.told, piece.speech_s) for piece in excluded]
    return max(
        codes,
        key=lambda code: sum(speech_s * math.log(max(shares.get(code, 0.0), LEAST_TOLD)) for shares, speech_s in told),
        default="",
    )


def piece_frames(chunk: SpeechChunk) -> list[int]:
    """The first encoder frames of the pieces of a chunk, evenly spread.

    ```
    audio     |---------------------------|......... padding
    pieces    [--------]                             PIECE_FRAMES each; two neighbours overlap where it is no multiple
                      [--------]
                               [--------]
    ```
    """
    heard = min(WINDOW_FRAMES // 2, len(chunk.samples) * 50 // SAMPLE_RATE_HZ)
    count = max(1, -(-heard // PIECE_FRAMES))
    last = max(0, heard - PIECE_FRAMES)
    return [round(n * last / max(1, count - 1)) for n in range(count)]


def pieces_of(
    chunk: SpeechChunk, firsts: Sequence[int], votes: Sequence[Mapping[str, float]], allowed: Collection[str] = ()
) -> tuple[Piece, ...]:
    """The pieces of a chunk that begin at these encoder frames, with what was heard in each, side by side."""
    edges = [chunk.start, *_edges(chunk, firsts), chunk.stop]
    return tuple(
        Piece(start, stop, _speech_s(chunk, start, stop), *_told(vote, allowed))
        for start, stop, vote in zip(edges[:-1], edges[1:], votes, strict=True)
    )


def _edges(chunk: SpeechChunk, firsts: Sequence[int]) -> Iterator[int]:
    """In the middle of what two neighbours share."""
    for before, after in itertools.pairwise(firsts):
        yield chunk.start + (before + PIECE_FRAMES + after) * SAMPLE_RATE_HZ // 100


def _speech_s(chunk: SpeechChunk, start: int, stop: int) -> float:
    return sum(seconds(max(0, min(span.stop, stop) - max(span.start, start))) for span in chunk.speech if span.sure)


def _told(vote: Mapping[str, float], allowed: Collection[str]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """What is worth keeping of a vote, of the `allowed` their shares."""
    votes = {code: vote.get(code, 0.0) for code in allowed} if allowed else dict(vote)
    whole = sum(votes.values()) if allowed else 1.0
    kept = [(code, share / whole) for code, share in votes.items() if whole and share / whole >= LEAST_TOLD]
    kept.sort(key=lambda pair: (-pair[1], pair[0]))
    return tuple(code for code, _ in kept), tuple(round(share, 4) for _, share in kept)
