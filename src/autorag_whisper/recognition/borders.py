"""Where one chunk ends and the next begins: a sentence that goes on there is not torn.

A chunk is recognised without its neighbours. Its text tends to end as a text ends, with a full stop, and to begin as
one begins, with a capital, though the chunk was cut inside a sentence. Where its two sides contradict each other the
side that has the better reason is believed:

| left side ends with | right side begins with | what is written | because |
|---|---|---|---|
| a full stop | a small letter | `,`; nothing if no pause is there | only a sentence that goes on begins so |
| `,`, `;` or no mark | the capital of a function word | the small letter | a text that stops in a clause was not over |
| a full stop, a long pause | a small letter | a capital | the sentence has left, and behind its stop another begins |

Where the sides agree that a sentence ends, but there is hardly a pause, the border is heard again
(`recognition.border_hearing`): so are the ends in scripts without case. Only marks and case change: words, tokens,
times and probabilities stay. Other borders stay as they were decoded: the end of an abbreviation, names, a right side
that is written without marks and capitals throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.audio import seconds
from autorag_whisper.domain.language import WITHOUT_SPACES
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

HEARD_PAUSE_S = 0.6
"""Behind a longer pause an end of a sentence on both sides is believed. Of 10 such ends in read prose one was none,
behind 0.48 s; and heard again, one of 0.9 s was lost."""

UNMARKED_PAUSE_S = 0.2
"""Where no mark was heard behind a longer pause the sentence may have ended all the same."""

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
_CLOSING = "\"'”’»)]}」』）"  # noqa: RUF001 - marks as they are written
_MARKS = ".,;:!?…。，、；：！？।॥؟،؛۔։" + _CLOSING  # noqa: RUF001 - marks as they are written
_DOTLESS = frozenset({"tr", "az"})
_NOUNS_HAVE_CAPITALS = frozenset({"de", "lb"})
_LEAST_ALIKE = 3
"""Letters that two words share that are nearly the same."""


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
        begins = begun(left, right, language)
        return Joint(left, begins, "" if begins == first else "a small letter behind a stop")
    stop = stop_after(left.text, first.text, language)
    if stop is Stop.SENTENCE and _begins_small(first.text) and _has_marks_or_capitals(right):
        mended = _without_stop(left.text, "" if pause_s < NO_PAUSE_S else ",")
        return Joint(replace(left, text=mended), first, "stop before a small letter") if mended else Joint(left, first)
    if stop is not Stop.SENTENCE and left.text[-1] not in _ENDS_NO_CLAUSE | {"."}:
        small = lower(first.text, language)
        if small != first.text and _is_function_word(small, language):
            return Joint(left, replace(first, text=small), "capital inside a clause")
    return Joint(left, first)


def begun(left: Word, right: Sequence[Word], language: str) -> Word:
    """The first word of `right` behind a sentence that is over: with a capital, if its language has them."""
    first = right[0]
    is_over = stop_after(left.text, first.text, language) is Stop.SENTENCE and _without_stop(left.text, "")
    if not is_over or not _begins_small(first.text) or not _has_marks_or_capitals(right):
        return first
    return replace(first, text=capital(first.text, language))


def is_to_be_heard(left: Word, right: Sequence[Word], language: str, pause_s: float) -> bool:
    """Whether nothing but the sound tells if a sentence goes on: both sides say that it ends, and hardly pause."""
    if pause_s >= HEARD_PAUSE_S or joint(left, right, language, pause_s).reason:
        return False
    is_end = stop_after(left.text, right[0].text, language) is Stop.SENTENCE
    return is_end and without_marks(left.text) != "" and not _begins_small(right[0].text) and _ends_once(left.text)


def is_full_stop_to_be_heard(left: Word, right: Sequence[Word], language: str, pause_s: float) -> bool:
    """The same inside a chunk, whose decoder heard both sides: where a full stop is before a capital alone.

    A question and a call have their marks for what they say, in scripts without case nothing says more than a mark, and
    what has dots inside is an abbreviation ("D.C."), whose last one stays.
    """
    ends, begins = left.text.rstrip(_CLOSING)[-1:] in _FULL_STOPS, right[0].text[:1].isupper()
    return ends and begins and "." not in without_marks(left.text) and is_to_be_heard(left, right, language, pause_s)


def joint_heard(left: Word, right: Word, language: str, pause_s: float, heard: str) -> Joint:
    """The last word of a chunk and the first of the next, with the mark and case `heard` between them.

    `heard`: what the decoder said behind `left`, without its marks, when it heard both sides. Where it says another
    word than `right`, or that a sentence ends, all stays. So it does where it says no mark at all in spite of a pause,
    which it does for ends too.
    """
    mark, said = _mark_and_word(heard)
    if not _same_word(right.text, said, language):
        return Joint(left, right)
    bare = without_marks(left.text)
    in_speech = not mark and pause_s < UNMARKED_PAUSE_S
    if not in_speech and (len(mark) != 1 or stop_after(bare + mark) is not Stop.CLAUSE):
        return Joint(left, right)
    small = lower(right.text, language)
    follows = small if said[0].islower() else right.text
    if follows == right.text and small != right.text and _is_function_word(small, language):
        return Joint(left, right)  # no end, and yet a capital: the two do not fit
    closed = left.text[len(left.text.rstrip(_CLOSING)) :]
    return Joint(replace(left, text=bare + mark + closed), replace(right, text=follows), "heard again")


def joint_heard_inside(left: Word, right: Word, language: str, pause_s: float, heard: str) -> Joint:
    """The same inside a chunk, where a full stop was heard once: no mark at all is a comma, if a small letter follows.

    Two sentences that are run together without any mark are worse to read than a comma too many; and a capital may be
    that of a name, or of "I".
    """
    mark, said = _mark_and_word(heard)
    if mark:
        return joint_heard(left, right, language, pause_s, heard)
    if pause_s >= UNMARKED_PAUSE_S or not said[:1].islower():
        return Joint(left, right)
    return joint_heard(left, right, language, pause_s, f", {said}")


def _mark_and_word(heard: str) -> tuple[str, str]:
    """The marks before the first word that was heard, and it with what follows."""
    said = heard.replace("\ufffd", "").strip()
    begins = next((n for n, c in enumerate(said) if c.isalnum()), len(said))
    return said[:begins].strip(), said[begins:]


def without_marks(text: str) -> str:
    """`text` without the marks of sentences and clauses at its end, and the blank that French has before some."""
    return text.rstrip(_MARKS).rstrip()


def _letters(text: str) -> str:
    """The letters and digits of the first word of `text`, as they are compared."""
    first = text.split(maxsplit=1)[0] if text.split() else ""
    return "".join(c for c in first.casefold() if c.isalnum())


def _same_word(right: str, said: str, language: str) -> bool:
    """Whether `said` begins with the word `right`, or one that is nearly it: three letters of four, but for the end.

    Its last word may have been cut off. In German, where a verb may be a noun but for its case, nearly is not enough.
    """
    one, other = _letters(right), _letters(said)
    alike = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    if not alike or one == other:
        return bool(alike)
    if language in WITHOUT_SPACES:
        return alike in {len(one), len(other)}
    if alike < _LEAST_ALIKE or language in _NOUNS_HAVE_CAPITALS:
        return False
    is_cut_off = alike == len(other) and len(said.split()) == 1
    return is_cut_off or 4 * alike >= 3 * max(len(one), len(other))


def _ends_once(text: str) -> bool:
    """Whether there is one mark at the end, no ellipsis."""
    bare = text.rstrip(_CLOSING)
    return len(bare.replace(" ", "")) - len(without_marks(bare)) == 1 and bare[-1] != "…"


def lower(text: str, language: str) -> str:
    """`text` with a small first letter, if it is a word with a capital and small letters behind it, or one letter."""
    head, rest = text[:1], text[1:]
    if not head.isupper() or rest != rest.lower():
        return text
    if language in _DOTLESS and head in "Iİ":
        return ("ı" if head == "I" else "i") + rest  # noqa: RUF001 - Turkish has two of them
    return head.lower() + rest


def capital(text: str, language: str) -> str:
    """`text`, which begins with a small letter, with a capital."""
    if language in _DOTLESS and text[0] == "i":
        return "İ" + text[1:]
    if language == "nl" and text.startswith("ij"):
        return "IJ" + text[2:]
    head = text[0].title()
    return head + text[1:] if len(head) == 1 else text


def _begins_small(text: str) -> bool:
    """Whether a word begins with a small letter, and has no capital behind it as "iPhone" does."""
    letters = [c for c in text if c.isalpha()]
    return bool(letters) and text[:1].islower() and not any(c.isupper() for c in letters)


def _has_marks_or_capitals(words: Sequence[Word]) -> bool:
    """Whether a text is written with them; of one that is not a small first letter says nothing."""
    return any(not word.text[-1].isalnum() or any(c.isupper() for c in word.text) for word in words)


def _without_stop(text: str, mark: str) -> str:
    """`text` with `mark` instead of the full stop at its end; "" where it ends otherwise."""
    bare = text.rstrip(_CLOSING)
    if bare[-1:] not in _FULL_STOPS or bare[-2:-1] in _FULL_STOPS or len(bare) < 2:
        return ""
    return bare[:-1] + mark + text[len(bare) :]


def _is_function_word(small: str, language: str) -> bool:
    """Whether a word in small letters is one that a sentence has inside, and is never written with a capital there."""
    bare = small.rstrip(",;.!?")
    if language == "en" and (bare == "i" or bare.startswith(("i'", "i’"))):  # noqa: RUF001 - an apostrophe
        return False
    return bare in function_words(language) and bare not in _POLITE.get(language, frozenset())
