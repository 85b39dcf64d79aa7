"""Repetitions that nobody can have said, judged by the times of their words: the local pace, not that of the chunk.

A decoder that goes round in circles over noise writes a loop as long as the noise, at a speaker's pace over all. Where
its words are aligned it shows: of twelve sayings some have no time at all and others seconds, as nothing in the sound
answers to them. What is truly said again and again has nearly the same time again and again.

| rule | the text | its times |
|---|---|---|
| `unsaid_loop` | the same words four times and more | three sayings in ten, two at least, at over 13 syllables/s |
| `unsaid_repeat` | four words and eight syllables, said again | one saying at over 17, all together at over 8 |
| `unsaid_word` | one sound over and over within a word ("hahahaha") | over 13 syllables or 40 letters a second |

`unheard_repeat` asks the sound itself, where a classifier hears letters: `recognition.letter_alignment` compares the
text with the same text said once less. It comes first, and gives the other words their times back.

Of a loop the first saying stays; of a repetition all that had time; of such a word nothing. A saying has four syllables
at least: "no, no, no, no" is one. Where the same is truly said again and again an aligner slips by one saying: one has
no time then, and another has twice as much. Such a repetition stays, also under `hallucinations.SQUEEZED_REPEAT`.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from autorag_whisper.domain.transcript import join_words
from autorag_whisper.recognition.chunk_result import Rejection
from autorag_whisper.recognition.hallucinations import SQUEEZED, SQUEEZED_REPEAT, squeezed_from, squeezed_repeat
from autorag_whisper.recognition.loops import find_loop
from autorag_whisper.recognition.pace import FASTEST_PER_S, syllables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.align.words import TimedWord
    from autorag_whisper.domain.audio import SpeechSpan

UNSAID_LOOP = "unsaid_loop: the same words over and over, of which many have no time to be said; the first stays"
UNSAID_REPEAT = "unsaid_repeat: the same words once more, faster than anyone speaks"
UNSAID_WORD = "unsaid_word: a word that is one sound over and over, faster than anyone makes it"
UNHEARD_REPEAT = "unheard_repeat: the same words once more, and their letters are not heard"
"""The documented rules."""

_TIMES, _SAYING_SYLLABLES, _FAST_SHARE, _FAST_SAYINGS = 4, 4.0, 0.3, 2
_REPEAT_WORDS, _REPEAT_SYLLABLES, _REPEAT_PER_S, _ALL_PER_S = 4, 8.0, 17.0, 8.0
_SOUND_LETTERS, _SOUND_SHARE, _LETTERS_PER_S = 12, 0.8, 40.0
_SLIP = 1.6
_LEAST_S = 0.01


def without_unsaid(words: Sequence[TimedWord], speech: Sequence[SpeechSpan]) -> tuple[list[TimedWord], list[Rejection]]:
    """The words of a chunk without those that the alignment found no time for, and these with their rules."""
    kept, rejected = list(words), list[Rejection]()

    def reject(part: slice, rule: str) -> None:
        rejected.append(Rejection(join_words([timed.word for timed in kept[part]]), rule))
        del kept[part]

    end = squeezed_from(kept, speech)
    if end < len(kept):
        reject(slice(_saying_of(kept, end), None), SQUEEZED)
    for n in reversed(range(len(kept))):
        if is_unsaid(kept[n]):
            reject(slice(n, n + 1), UNSAID_WORD)
    while kept[loop := unsaid_loop(kept)]:
        reject(loop, UNSAID_LOOP)
    for find, rule in ((unsaid_repeat, UNSAID_REPEAT), (squeezed_repeat, SQUEEZED_REPEAT)):
        while (
            (repeated := kept[again := find(kept)]) and _per_s(repeated) > FASTEST_PER_S and not _slipped(kept, again)
        ):
            reject(again, rule)
    return kept, rejected


def _saying_of(words: Sequence[TimedWord], end: int) -> int:
    """Where a text ends whose words from `end` on are squeezed: before all of its last saying, if that has no time.

    Of a sentence that is written twice the beginning has some room before the end of the sound.
    """
    loop = find_loop(_said(words))
    if loop is None or loop.stop < len(words) or loop.period < _REPEAT_WORDS:
        return end
    start = loop.stop - loop.period
    return min(start, end) if _per_s(words[start:]) > FASTEST_PER_S else end


def unsaid_loop(words: Sequence[TimedWord]) -> slice:
    """The words of a loop behind its first saying, if that is rejected under `UNSAID_LOOP`; else an empty slice."""
    loop = find_loop(_said(words))
    if loop is None or loop.times < _TIMES:
        return slice(0, 0)
    said = max(1.0, _syllables(words[loop.start : loop.start + loop.period]))
    length = math.ceil(_SAYING_SYLLABLES / said) * loop.period
    starts = range(loop.start, loop.stop - length + 1, length)
    fast = sum(_per_s(words[at : at + length]) > FASTEST_PER_S for at in starts)
    if fast < max(_FAST_SAYINGS, _FAST_SHARE * len(starts)):
        return slice(0, 0)
    return slice(loop.start + loop.period, loop.stop)


def unsaid_repeat(words: Sequence[TimedWord]) -> slice:
    """The words of a loop that are rejected under `UNSAID_REPEAT`, whole sayings, begun anywhere in it; or none."""
    loop = find_loop(_said(words))
    if loop is None:
        return slice(0, 0)
    count = -(-_REPEAT_WORDS // loop.period) * loop.period
    is_long = _syllables(words[loop.start : loop.start + count]) >= _REPEAT_SYLLABLES
    if loop.stop - loop.start - count < loop.period or not is_long:
        return slice(0, 0)
    if _per_s(words[loop.start : loop.stop]) <= _ALL_PER_S:
        return slice(0, 0)
    at = max(range(loop.start, loop.stop - count + 1), key=lambda at: _per_s(words[at : at + count]))
    return slice(at, at + count) if _per_s(words[at : at + count]) > _REPEAT_PER_S else slice(0, 0)


def _slipped(words: Sequence[TimedWord], part: slice) -> bool:
    """Whether of the loop's sayings that are not in `part` one has so much more time than another that it has two."""
    loop = find_loop(_said(words))
    assert loop is not None
    starts = range(loop.start, loop.stop - loop.period + 1, loop.period)
    others = [words[at : at + loop.period] for at in starts if at + loop.period <= part.start or at >= part.stop]
    paces = sorted(_per_s(saying) for saying in others)
    return len(paces) >= 2 and paces[-1] >= _SLIP * paces[0]


def is_unsaid(timed: TimedWord) -> bool:
    """Whether a word is rejected under `UNSAID_WORD`."""
    letters = _letters(timed)
    if len(letters) < _SOUND_LETTERS:
        return False
    loop, length_s = find_loop(letters), max(_LEAST_S, timed.word.end_s - timed.word.start_s)
    if loop is None or loop.times < _TIMES or loop.stop - loop.start < _SOUND_SHARE * len(letters):
        return False
    # Of digits few are spoken: "1000000000000" has three syllables.
    spoken = syllables(re.sub(r"\d", "", timed.word.text))
    return spoken > FASTEST_PER_S * length_s or len(letters) > _LETTERS_PER_S * length_s


def _said(words: Sequence[TimedWord]) -> list[str]:
    """What is compared of each: its letters, or the signs of a word that has none."""
    return [_letters(timed) or timed.word.text for timed in words]


def _letters(timed: TimedWord) -> str:
    return "".join(re.findall(r"\w", timed.word.text.lower()))


def _syllables(words: Sequence[TimedWord]) -> float:
    return syllables(join_words([timed.word for timed in words]))


def _per_s(words: Sequence[TimedWord]) -> float:
    """Syllables a second, from where the first word begins to where the last one ends."""
    return _syllables(words) / max(_LEAST_S, words[-1].word.end_s - words[0].word.start_s)
