"""Whether a file's first text says that its language was mistaken, and which of the next likely ones it is in then.

Over noise and in rooms English is taken for Welsh, Latin or Nynorsk, with probabilities up to 0.9, and comes out as
syllables of these. The text in the right language is far likelier, so a doubtful one is tried in the rivals too: by a
greedy search that ends about where the first text did (a trial), and only the one that this leaves ahead as the first
text was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.language import WELL_KNOWN
from autorag_whisper.recognition.hallucinations import FAINT_VOICE, is_loop
from autorag_whisper.recognition.quality import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Attempt
    from autorag_whisper.recognition.language import LanguageChoice

SURE_TEXT, CLEARLY = -0.3, 0.1
"""Mean log-probability from which a text leaves its language in no doubt, and by how much another's must be better."""


TRIAL_TOKENS, TRIAL_LOSS = 8, 0.1
"""A trial may be so many tokens longer than the first text; a wider search would find one likelier by so much."""


def is_doubtful(text: str, attempt: Attempt, chunk: SpeechChunk, options: TranscribeOptions) -> bool:
    """Whether the first text of a file puts its detected language in doubt.

    Only where a voice is heard: over other sounds no language is right, and each would be one more text to reject. And
    only where there are letters: "2 9 3" is of every language. A sure sentence that is there twice has a fault, and is
    no worse in its language for it.
    """
    is_told = chunk.voice >= FAINT_VOICE and any(character.isalpha() for character in text)
    is_twice = (
        attempt.rejected_for == Fault.REPETITION and attempt.compression_ratio <= options.compression_ratio_threshold
    )
    has_fault = bool(attempt.rejected_for) and not is_twice
    return is_told and (has_fault or attempt.avg_logprob < SURE_TEXT)


def trial_cap(tokens: int, cap: int) -> int:
    """New tokens of a trial beside a first text of so many `tokens`, and `cap` at most."""
    return min(cap, tokens + TRIAL_TOKENS)


@dataclass(frozen=True, slots=True)
class Reading:
    """A chunk's text in one language, how it was judged, and its tokens; `rejected`: some rule says nobody said it."""

    choice: LanguageChoice
    text: str
    attempt: Attempt
    tokens: int
    rejected: bool

    @property
    def is_sound(self) -> bool:
        """Whether it may speak for its language."""
        return self._may_be_said and not self.attempt.rejected_for

    @property
    def is_only_improbable(self) -> bool:
        """Whether nothing speaks against its text but that its tokens are improbable."""
        return self._may_be_said and self.attempt.rejected_for == Fault.IMPROBABLE

    @property
    def _may_be_said(self) -> bool:
        has_letters = any(character.isalpha() for character in self.text)
        return has_letters and not (self.rejected or is_loop(self.text))

    @property
    def together(self) -> float:
        """The log-probability of the language and of all of its text."""
        return math.log(max(self.choice.probability, 1e-9)) + self.attempt.avg_logprob * (self.tokens + 1)


def likeliest(readings: Sequence[Reading]) -> int:
    """Which reading of a chunk is the likeliest; the first, the detected language's, unless a sound one is clearly so.

    A language and its text are judged together, as one probability. By that alone a short text would beat a long one,
    so it has to be better by token too. A text that is not sound says nothing for its language. So where that is the
    first, in a language that Whisper hardly knows, one in a well-known language may also be improbable.
    """
    first = readings[0]
    rivals = [n for n, other in enumerate(readings) if n and other.is_sound]
    if not rivals and not first.is_sound and not first.is_only_improbable and first.choice.code not in WELL_KNOWN:
        known = [n for n, other in enumerate(readings) if other.choice.code in WELL_KNOWN]
        rivals = [n for n in known if readings[n].is_only_improbable]
    if first.is_sound:
        enough = first.attempt.avg_logprob + CLEARLY
        rivals = [0, *(n for n in rivals if readings[n].attempt.avg_logprob > enough)]
    return max(rivals or [0], key=lambda n: readings[n].together)


def most_promising(first: Reading, trials: Sequence[Reading]) -> int | None:
    """Which of the `trials` may turn out likelier than the first reading; None where none may.

    A trial is the beginning of a text that was not searched for as widely. So that it is improbable says less than of
    a first text: where no sound trial promises anything it is worth a wider search. (That is beside a first text that
    is not sound itself, a loop say: one that is sound is too probable to be outdone by it.)
    """
    lifted = [
        replace(one, attempt=replace(one.attempt, avg_logprob=one.attempt.avg_logprob + TRIAL_LOSS)) for one in trials
    ]
    best = likeliest([first, *lifted])
    if not best:
        best = likeliest([first, *map(_unblamed, lifted)])
    return best - 1 if best else None


def _unblamed(trial: Reading) -> Reading:
    """A trial that is not held to be improbable."""
    if trial.attempt.rejected_for != Fault.IMPROBABLE:
        return trial
    return replace(trial, attempt=replace(trial.attempt, rejected_for=""))
