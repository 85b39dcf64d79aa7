"""The languages of one file, in the order of its chunks: what is settled, what is recognised again, what is told.

Chunks are recognised side by side, in what was known when they began. In their order it is settled in which languages
each should have been, from the pieces of all chunks up to it (`recognition.language_changes`): where that differs the
chunk is recognised again, before its text leaves. So the text depends on the file alone, not on what was done when.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, seconds
from autorag_whisper.domain.language import LANGUAGES, WELL_KNOWN
from autorag_whisper.domain.notes import Note, NoteKind
from autorag_whisper.domain.transcript import LanguageShare
from autorag_whisper.recognition.language import LEAST_TOLD, PIECE_S
from autorag_whisper.recognition.language_changes import Speaking, Stretch, follow
from autorag_whisper.recognition.quality import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
    from autorag_whisper.recognition.language import Piece

_WORTH_TELLING_S = 8.0
"""Seconds of speech that are not in the language that was used, or all of it where that is less; half of it where that
is sure of another. Of a language that Whisper knows well one piece is enough: a turn of a few seconds comes out in the
language around it."""


@dataclass(slots=True)
class _Heard:
    """Of one language: seconds of speech recognised in it and heard as it, and those recognised in it that are not it.

    `others`: of the latter, seconds that sound like some other language.

    `votes`: of the pieces recognised in it the summed log-probabilities of every language, weighted by their speech.
    """

    recognised_s: float = 0.0
    heard_s: float = 0.0
    foreign_s: float = 0.0
    others: dict[str, float] = field(default_factory=dict)
    votes: dict[str, float] = field(default_factory=dict)
    voted: float = 0.0

    def vote(self, piece: Piece) -> None:
        """Count a piece that was recognised in it."""
        told, least = piece.told, math.log(LEAST_TOLD)
        for code in {*self.votes, *told}:
            before = self.votes.get(code, self.voted * least)
            self.votes[code] = before + piece.speech_s * math.log(max(told.get(code, 0.0), LEAST_TOLD))
        self.voted += piece.speech_s

    def probability(self, code: str) -> float:
        """Of `code`, from all of those pieces together."""
        if not self.votes or not self.voted:
            return 0.0
        most = max(self.votes.values())
        shares = {name: math.exp((total - most) / PIECE_S) for name, total in self.votes.items()}
        return shares.get(code, 0.0) / sum(shares.values())


@dataclass(slots=True)
class LanguageTrack:
    """Of one file; belongs to the thread that owns the run.

    `follows`: the language was not given, and where it changes the text does. `speaking`: once it was found.
    """

    follows: bool = False
    speaking: Speaking | None = None
    _first: str = ""
    _asked_again: int = -1
    _heard: dict[str, _Heard] = field(default_factory=dict)

    def begin(self, language: str) -> None:
        """The file's language was found."""
        self._first = language
        self.speaking = Speaking.begin(language)

    def again(self, result: ChunkResult) -> ChunkTask | None:
        """What to do again, if the next chunk in order is not recognised as it should be; else it is noted."""
        task = result.task
        # Where two texts were compared the likelier one says more than the sound that was mistaken.
        is_settled = any(attempt.rejected_for == Fault.LANGUAGE.value for attempt in result.attempts)
        if self.follows and self.speaking is not None and task.stretches and not is_settled:
            speaking, stretches = follow(self.speaking, task.chunk, task.heard)
            if stretches != task.stretches and self._asked_again != task.chunk.index:
                self._asked_again = task.chunk.index
                return task.in_languages(stretches)
            self.speaking = speaking
        self._note(result)
        return None

    def _note(self, result: ChunkResult) -> None:
        task = result.task
        stretches = task.stretches if task.changes_language else _recognised(result)
        for stretch in stretches:
            for span in task.chunk.speech:
                if span.sure and (result.words or len(stretches) > 1):
                    overlap = min(span.stop, stretch.stop) - max(span.start, stretch.start)
                    self._of(stretch.language).recognised_s += seconds(max(0, overlap))
        for piece in task.heard:
            middle = (piece.start + piece.stop) // 2
            used = next((s.language for s in stretches if s.start <= middle < s.stop), result.language)
            self._note_piece(piece, used, result.language)

    def _note_piece(self, piece: Piece, used: str, of_chunk: str) -> None:
        # What tells that a piece is unlike the language of its chunk is heard, also where it was recognised in its own.
        language = piece.sounds_unlike(used) or piece.sounds_unlike(of_chunk) or piece.sure_of
        recognised = self._of(used)
        recognised.vote(piece)
        if language:
            self._of(language).heard_s += piece.speech_s
        if piece.excludes(used) or piece.sounds_unlike(used):
            recognised.foreign_s += piece.speech_s
            if language:
                recognised.others[language] = recognised.others.get(language, 0.0) + piece.speech_s

    def _of(self, language: str) -> _Heard:
        return self._heard.setdefault(language, _Heard())

    @property
    def shares(self) -> tuple[LanguageShare, ...]:
        """The languages of the file, the most recognised first."""
        found = [LanguageShare(code, one.recognised_s, one.heard_s) for code, one in self._heard.items()]
        spoken = [share for share in found if share.recognised_s or share.heard_s]
        return tuple(sorted(spoken, key=lambda share: (-share.recognised_s, -share.heard_s, share.language)))

    def probability(self, language: str, detected: float) -> float:
        """Of the language that most was recognised in: as it was `detected`, or what its pieces say together."""
        heard = self._heard.get(language)
        if language in ("", self._first) or not self._first or heard is None or not heard.recognised_s:
            return detected
        return heard.probability(language)

    def notes(self) -> Iterator[Note]:
        """What cannot be the language that it was recognised in."""
        speech_s = sum(one.recognised_s for one in self._heard.values())
        for code, one in sorted(self._heard.items(), key=lambda pair: -pair[1].foreign_s):
            sure_s = sum(one.others.values())
            is_likely = any(other in WELL_KNOWN for other in one.others)
            if one.foreign_s and (is_likely or max(2 * sure_s, one.foreign_s) >= min(_WORTH_TELLING_S, speech_s)):
                like = max(one.others, key=lambda other: one.others[other], default="")
                sounds = _name(like) if 2 * sure_s > one.foreign_s else "another language"
                why = "too short or unsure to go by" if self.follows else "the language that was asked for"
                what = f"{one.foreign_s:.0f} s of speech sound like {sounds}, recognised as {_name(code)}: {why}"
                yield Note(NoteKind.OTHER_LANGUAGE, what)


def _recognised(result: ChunkResult) -> tuple[Stretch, ...]:
    """The stretches of a chunk by the languages of its words: a short turn may have another than the chunk."""
    chunk, runs = result.task.chunk, [(code, words) for code, words in result.by_language if words]
    if len(runs) < 2:
        return result.task.in_one(runs[0][0] if runs else result.language)
    edges = [
        round((before[-1].word.end_s + after[0].word.start_s) / 2 * SAMPLE_RATE_HZ)
        for (_, before), (_, after) in itertools.pairwise(runs)
    ]
    bounds = itertools.pairwise((chunk.start, *edges, chunk.stop))
    return tuple(Stretch(code, start, stop) for (code, _), (start, stop) in zip(runs, bounds, strict=True))


def _name(code: str) -> str:
    return LANGUAGES.get(code, code).title()
