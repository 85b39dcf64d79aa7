"""How well a text reads if it is broken between two words, be it by a new line or by a new cue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.format.function_words import function_words, negations
from autorag_whisper.format.glue import Glue
from autorag_whisper.format.punctuation import Stop, is_title, may_begin_line, stop_after

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.transcript import Word

STOP_COST = {Stop.SENTENCE: 0, Stop.CLAUSE: 15, Stop.NONE: 60}
_BOUND_COST = 100
_BEFORE_CONJUNCTION, _BEFORE_PREPOSITION = 30, 18
_NAME_COST, _NUMBER_COST = 30, 25
_KINSOKU_COST = 200
_PUNCTUATION = ".,;:!?…\"'“”‘’«»„()[]{}-–—¿¡"  # noqa: RUF001 - quotes and dashes as written text has them


class Breaks:
    """For each cut 0..len(words), the place after so many words, what a break there does to the text.

    `stops`: the punctuation there. `bound`: the word before belongs to the one after ("the", "Dr.", "75"). `glue`: a
    word or a phrase would be broken. `costs`: how badly it reads, 0 (end of a sentence) and more.
    """

    def __init__(self, words: Sequence[Word], glue: Sequence[Glue], language: str = "") -> None:
        texts = [word.text for word in words]
        following = [*texts[1:], ""]
        pairs = list(zip(texts, following, strict=True))
        self._functions, self._negations = function_words(language), negations(language)
        self._texts = texts
        self.glue = [*glue, Glue.NONE]
        self.stops = [Stop.NONE, *(stop_after(text, after, language) for text, after in pairs)]
        self.bound = [False, *(self._is_bound(cut, text, after) for cut, (text, after) in enumerate(pairs, 1))]
        self.costs = [0, *(self._cost(cut, text, after) for cut, (text, after) in enumerate(pairs, 1))]

    def _is_bound(self, cut: int, text: str, after: str) -> bool:
        if not after or self.stops[cut] is not Stop.NONE:
            return False
        if self._denies_a_verb(cut):  # "ask not | what"
            return False
        bound = is_title(text) or bare(text) in self._functions or self._parts_a_number(cut, text, after)
        return bound or self._denies_a_verb(cut + 1)

    def _denies_a_verb(self, cut: int) -> bool:
        """Whether the word before `cut` negates a main verb before it ("ask not"), not an auxiliary ("do not")."""
        if cut < 2 or bare(self._texts[cut - 1]) not in self._negations or self.stops[cut - 1] is not Stop.NONE:
            return False
        return bare(self._texts[cut - 2]) not in self._functions

    def _parts_a_number(self, cut: int, text: str, after: str) -> bool:
        """Whether a number would lose its unit ("75 | dollars"), or a name its last word ("January | 18.")."""
        if after[0].isdigit():
            return text[0].isupper() and self.stops[cut + 1] is not Stop.NONE
        return text[-1].isdigit() and after[0].islower() and bare(after) not in self._functions

    def _cost(self, cut: int, text: str, after: str) -> int:
        if not after:
            return 0
        cost = STOP_COST[self.stops[cut]] + _KINSOKU_COST * (not may_begin_line(after))
        if self.stops[cut] is not Stop.NONE:
            return cost
        cost += _BOUND_COST * self.bound[cut]
        opener = bare(after)
        if opener in self._functions.conjunctions:
            cost -= _BEFORE_CONJUNCTION
        elif opener in self._functions.prepositions:
            cost -= _BEFORE_PREPOSITION
        cost += _NAME_COST * (text[0].isupper() and after[0].isupper())
        return cost + _NUMBER_COST * (text[-1].isdigit())


def bare(word: str) -> str:
    """`word` without its punctuation, in lower case."""
    return word.strip(_PUNCTUATION).lower() or word.lower()
