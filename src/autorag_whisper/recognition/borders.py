"""Where one chunk ends and the next begins: a sentence that goes on there is not torn.

A chunk is recognised without its neighbours. Its text tends to end as a text ends, with a full stop, and to begin as
one begins, with a capital, though the chunk was cut inside a sentence. Where its two sides contradict each other the
side that has the better reason is believed:

| left side ends with | right side begins with | what is written | because |
|---|---|---|---|
| a full stop | a small letter | `,`; nothing if no pause is there | only a sentence that goes on begins so |
| `,`, `;` or no mark | the capital of a function word | the small letter | a text that stops in a clause was not over |

Only marks and case change: words, tokens, times and probabilities stay. Other borders stay as they were decoded: the
end of an abbreviation, names, scripts without case, a right side that is written without marks and capitals throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.audio import seconds
from autorag_whisper.format.function_words import function_words
from autorag_whisper.format.punctuation import Stop, stop_after

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.transcript import Word

QUIET_TAIL_S = 0.36
"""Silence at a chunk's end from which the pause behind it is as long as that between two sentences: 0.8 s, of which a
chunk keeps half, its padding at most. Of 19 borders in read prose the sentence went on behind 0.67 s at most."""
NO_PAUSE_S = 0.1
"""A shorter pause between the speech of two chunks is none: the chunk was cut in speech."""
LONGEST_PAUSE_S = 1.0
"""From here on nothing is mended: two clips of a recording lie minutes apart."""

_FULL_STOPS = frozenset(".։")  # noqa: RUF001 - marks as they are written
_ENDS_NO_CLAUSE = frozenset(":—–\"'”’»")  # noqa: RUF001 - behind them a capital may well stand
_POLITE = {
    "de": frozenset({"sie", "ihr", "ihre", "ihren", "ihrem", "ihrer"}),
    "da": frozenset({"i", "de", "dem", "deres"}),
    "no": frozenset({"de", "dem", "deres"}),
    "nn": frozenset({"de", "dem", "dykkar"}),
    "it": frozenset({"lei", "loro"}),
}
"""Function words that are written with a capital where they address somebody."""
_DOTLESS = frozenset({"tr", "az"})


@dataclass(frozen=True, slots=True)
class Joint:
    """The words on both sides of a border, and why they are what they are: "" where nothing was changed."""

    left: Word
    right: Word
    reason: str = ""


def may_go_on(chunk: SpeechChunk) -> bool:
    """Whether a sentence may go on behind `chunk`: it was not cut in a pause as between sentences."""
    return not chunk.speech or seconds(chunk.stop - chunk.speech[-1].stop) < QUIET_TAIL_S


def gap_s(left: SpeechChunk, right: SpeechChunk) -> float:
    """Seconds from the last speech of `left` to the first of `right`, the chunk behind it."""
    stop = left.speech[-1].stop if left.speech else left.stop
    start = right.speech[0].start if right.speech else right.start
    return max(0.0, seconds(start - stop))


def joint(left: Word, right: Sequence[Word], language: str, pause_s: float) -> Joint:
    """The last word of a chunk and the first of the words that follow it, as they are to be written.

    `right`: one word at least. `pause_s`: the silence between them.
    """
    first = right[0]
    if pause_s >= LONGEST_PAUSE_S:
        return Joint(left, first)
    stop = stop_after(left.text, first.text, language)
    if stop is Stop.SENTENCE and _begins_small(first.text) and _has_marks_or_capitals(right):
        mended = _without_stop(left.text, "" if pause_s < NO_PAUSE_S else ",")
        return Joint(replace(left, text=mended), first, "stop before a small letter") if mended else Joint(left, first)
    if stop is not Stop.SENTENCE and left.text[-1] not in _ENDS_NO_CLAUSE | {"."}:
        small = lower(first.text, language)
        if small != first.text and _is_function_word(small, language):
            return Joint(left, replace(first, text=small), "capital inside a clause")
    return Joint(left, first)


def lower(text: str, language: str) -> str:
    """`text` with a small first letter, if it is a word with a capital and small letters behind it, or one letter."""
    head, rest = text[:1], text[1:]
    if not head.isupper() or rest != rest.lower():
        return text
    if language in _DOTLESS and head in "Iİ":
        return ("ı" if head == "I" else "i") + rest  # noqa: RUF001 - Turkish has two of them
    return head.lower() + rest


def _begins_small(text: str) -> bool:
    """Whether a word begins with a small letter, and has no capital behind it as "iPhone" does."""
    letters = [c for c in text if c.isalpha()]
    return bool(letters) and text[:1].islower() and not any(c.isupper() for c in letters)


def _has_marks_or_capitals(words: Sequence[Word]) -> bool:
    """Whether a text is written with them; of one that is not a small first letter says nothing."""
    return any(not word.text[-1].isalnum() or any(c.isupper() for c in word.text) for word in words)


def _without_stop(text: str, mark: str) -> str:
    """`text` with `mark` instead of the full stop at its end; "" where it ends otherwise."""
    bare = text.rstrip("\"'”’»)]")  # noqa: RUF001 - marks as they are written
    if bare[-1:] not in _FULL_STOPS or bare[-2:-1] in _FULL_STOPS or len(bare) < 2:
        return ""
    return bare[:-1] + mark + text[len(bare) :]


def _is_function_word(small: str, language: str) -> bool:
    """Whether a word in small letters is one that a sentence has inside, and is never written with a capital there."""
    bare = small.rstrip(",;.!?")
    if language == "en" and (bare == "i" or bare.startswith(("i'", "i’"))):  # noqa: RUF001 - an apostrophe
        return False
    return bare in function_words(language) and bare not in _POLITE.get(language, frozenset())
