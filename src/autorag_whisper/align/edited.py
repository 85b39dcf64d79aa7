"""An edited text against the words that it had: which keep their times, and what of the sound is to be aligned anew.

```
words         Mary had a  little lamb its fleece
text          Mary had  the big   lamb its fleece
units         kept kept [ run   ] kept kept kept
window             had  the big   lamb                the sound around a run, with kept words on both sides
room                  [         ]                     from the kept word before to the one behind
```
Pure. A run's words lie in its room whatever the aligner says; where it says they lie elsewhere, or nothing, they are
spread over the room and marked as interpolated.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from autorag_whisper.align.words import Place, in_order
from autorag_whisper.domain.language import WITHOUT_SPACES
from autorag_whisper.domain.transcript import Word, WordSource

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

_CONTEXT_WORDS, _CONTEXT_S = 5, 5.0
"""Kept words beside a run that are aligned with it: so many, and so far away."""
_PAD_S = 0.25
_OUTSIDE = 6
"""Words beside the span that are aligned with it, for their sound."""
_SILENT, _MARKS = frozenset("PZC"), frozenset("PZCM")
"""Categories of what is not said, and of that with the marks that are written on a letter."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A word of the new text; `kept`: the word that it was, whose times it has."""

    text: str
    space_before: bool
    kept: Word | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Units [first, stop) that are new, and the room in seconds that the kept ones leave them."""

    first: int
    stop: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Window:
    """What is aligned at once: units [first, stop), all that is said from `start_s` to `end_s`."""

    first: int
    stop: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for an edited span: its `units`, with kept words beside it, whose own are [first, stop)."""

    units: list[Unit]
    runs: list[Run]
    windows: list[Window]
    first: int
    stop: int


def plan_of(words: Sequence[Word], edit: tuple[str, str], span: tuple[float, float], most_s: float) -> Plan:
    """The plan for `edit` (a text and its language), all that is said in `span` of a recording with these words."""
    text, language = edit
    middles = [(word.start_s + word.end_s) / 2 for word in words]
    first, stop = bisect_left(middles, span[0]), bisect_left(middles, span[1])
    before = [Unit(word.text, word.space_before, word) for word in words[max(0, first - _OUTSIDE) : first]]
    behind = [Unit(word.text, word.space_before, word) for word in words[stop : stop + _OUTSIDE]]
    units = [*before, *units_of(words[first:stop], text, language), *behind]
    runs = runs_of(units, span)
    return Plan(units, runs, windows_of(units, runs, most_s), len(before), len(units) - len(behind))


def units_of(old: Sequence[Word], text: str, language: str) -> list[Unit]:
    """The words of `text`, with those of `old` that are the same, whatever their case and marks."""
    if language in WITHOUT_SPACES:
        return _by_characters(old, text)
    return _by_words(old, text)


# ------------------------------------------------------------ comparing


def _letters(text: str, silent: frozenset[str] = _SILENT) -> str:
    """What of a text is said: its letters, digits and signs."""
    return "".join(one for one in text.casefold() if unicodedata.category(one)[0] not in silent)


def _by_words(old: Sequence[Word], text: str) -> list[Unit]:
    """Old words that are written together ("555-", "0199") are one piece here, as they are in the text."""
    groups: list[list[Word]] = []
    for word in old:
        if word.space_before or not groups:
            groups.append([])
        groups[-1].append(word)
    pieces = _pieces(text)
    units: list[Unit] = []
    for (first, stop), (begin, end) in _changes([_key(_written(g)) for g in groups], [_key(piece) for piece in pieces]):
        if stop - first == end - begin and first < stop and _same(groups[first:stop], pieces[begin:end]):
            for group, piece in zip(groups[first:stop], pieces[begin:end], strict=True):
                units += _kept(group, piece)
        else:
            units += [Unit(piece, space_before=True) for piece in pieces[begin:end]]
    return units


def _same(groups: Sequence[Sequence[Word]], pieces: Sequence[str]) -> bool:
    return all(_key(_written(group)) == _key(piece) for group, piece in zip(groups, pieces, strict=True))


def _kept(group: Sequence[Word], piece: str) -> list[Unit]:
    if len(group) == 1:
        return [Unit(piece, group[0].space_before, group[0])]
    if _written(group) == piece:
        return [Unit(word.text, word.space_before, word) for word in group]
    return [Unit(piece, space_before=True)]


def _written(group: Sequence[Word]) -> str:
    return "".join(word.text for word in group)


def _key(text: str) -> str:
    return _letters(text) or text


def _pieces(text: str) -> list[str]:
    """What stands between blanks; marks alone belong to the piece before them, or behind at the start."""
    pieces: list[str] = []
    for piece in text.split():
        if pieces and (not _letters(piece) or not _letters(pieces[-1])):
            pieces[-1] += f" {piece}"
        else:
            pieces.append(piece)
    return pieces


def _changes(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """What of `old` became what of `new`, in order; parts of one length may be the same."""
    head = next(
        (n for n, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), min(len(old), len(new))
    )
    most = min(len(old), len(new)) - head
    ends = zip(reversed(old), reversed(new), strict=False)
    tail = min(most, next((n for n, pair in enumerate(ends) if pair[0] != pair[1]), most))
    matcher = SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False)
    inner = [((head + a, head + b), (head + c, head + d)) for _, a, b, c, d in matcher.get_opcodes()]
    last = ((len(old) - tail, len(old)), (len(new) - tail, len(new)))
    return [((0, head), (0, head)), *inner, last]


def _by_characters(old: Sequence[Word], text: str) -> list[Unit]:
    """An old word is kept where its letters stand together; what is new is a unit for each character."""
    letters = [(n, one) for n, character in enumerate(text) for one in _letters(character, _MARKS)[:1]]
    if not letters:
        return _by_words(old, text)
    known = [(n, one) for n, word in enumerate(old) for one in _letters(word.text, _MARKS)]
    place_of: dict[int, int] = {}  # of old letters in the new ones
    for (first, stop), (begin, end) in _changes([one for _, one in known], [one for _, one in letters]):
        if stop - first == end - begin and [o for _, o in known[first:stop]] == [o for _, o in letters[begin:end]]:
            place_of |= dict(zip(range(first, stop), range(begin, end), strict=True))
    owners: dict[int, int] = {}  # first new letter -> old word
    sizes: dict[int, int] = {}
    for n, group in itertools.groupby(range(len(known)), key=lambda at: known[at][0]):
        places = [place_of.get(at) for at in group]
        first_place = places[0]
        if first_place is not None and places == list(range(first_place, first_place + len(places))):
            owners[first_place], sizes[first_place] = n, len(places)
    units: list[Unit] = []
    at = 0
    while at < len(letters):
        size = sizes.get(at, 1)
        begin = letters[at][0] if at else 0
        end = letters[at + size][0] if at + size < len(letters) else len(text)
        written = text[begin:end]
        space = begin > 0 and text[begin - 1].isspace()
        kept = old[owners[at]] if at in owners else None
        units.append(Unit(re.sub(r"\s+", " ", written.strip()), space if kept is None else kept.space_before, kept))
        at += size
    return units


# ------------------------------------------------------------ what is to be aligned


def runs_of(units: Sequence[Unit], span: tuple[float, float]) -> list[Run]:
    """The runs of new units, each with its room in `span`."""
    runs: list[Run] = []
    for is_new, group in itertools.groupby(range(len(units)), key=lambda n: units[n].kept is None):
        places = list(group)
        if is_new:
            before = next((u.kept for u in reversed(units[: places[0]]) if u.kept is not None), None)
            behind = next((u.kept for u in units[places[-1] + 1 :] if u.kept is not None), None)
            start_s = span[0] if before is None else max(span[0], before.end_s)
            end_s = span[1] if behind is None else min(span[1], behind.start_s)
            start_s = min(start_s, span[1])
            runs.append(Run(places[0], places[-1] + 1, start_s, max(start_s, end_s)))
    return runs


def windows_of(units: Sequence[Unit], runs: Sequence[Run], most_s: float) -> list[Window]:
    """The windows that have the runs, of `most_s` seconds at most; a run whose room is longer is in none."""
    found: list[Window] = []
    for run in runs:
        window = _around(units, run)
        if window.end_s - window.start_s > most_s:
            window = Window(run.first, run.stop, run.start_s, run.end_s)
        if window.end_s - window.start_s > most_s or run.end_s <= run.start_s:
            continue
        if found and window.first <= found[-1].stop:
            last = found[-1]
            joined = Window(last.first, window.stop, min(last.start_s, window.start_s), max(last.end_s, window.end_s))
            if joined.end_s - joined.start_s <= most_s:
                found[-1] = joined
                continue
        found.append(window)
    return found


def _around(units: Sequence[Unit], run: Run) -> Window:
    first, stop, start_s, end_s = run.first, run.stop, run.start_s, run.end_s
    while first > max(0, run.first - _CONTEXT_WORDS):
        word = units[first - 1].kept
        if word is None or run.start_s - word.start_s > _CONTEXT_S:
            break
        first, start_s = first - 1, min(start_s, word.start_s)
    while stop < min(len(units), run.stop + _CONTEXT_WORDS):
        word = units[stop].kept
        if word is None or word.end_s - run.end_s > _CONTEXT_S:
            break
        stop, end_s = stop + 1, max(end_s, word.end_s)
    return Window(first, stop, max(0.0, start_s - _PAD_S), end_s + _PAD_S)


def text_of(units: Sequence[Unit]) -> str:
    """Their text."""
    return "".join((" " if unit.space_before else "") + unit.text for unit in units).strip()


# ------------------------------------------------------------ what came of it


def placed(units: Sequence[Unit], aligned: Sequence[Word]) -> list[Word | None]:
    """For each unit of a window the word that the aligner gave for it, cut and joined as units are.

    All None where the aligner's words have other letters.
    """
    of_units = [n for n, unit in enumerate(units) for _ in _characters(unit.text)]
    of_words = [n for n, word in enumerate(aligned) for _ in _characters(word.text)]
    same = [c for u in units for c in _characters(u.text)] == [c for w in aligned for c in _characters(w.text)]
    if not same:
        return [None] * len(units)
    parts: list[list[int]] = [[] for _ in units]
    for unit, word in zip(of_units, of_words, strict=True):
        if parts[unit][-1:] != [word]:
            parts[unit].append(word)
    return [_joined(units, n, [aligned[word] for word in words], parts) for n, words in enumerate(parts)]


def _joined(units: Sequence[Unit], n: int, words: Sequence[Word], parts: Sequence[Sequence[int]]) -> Word | None:
    """Of a word that is several units each has its share, by its characters."""
    if not words:
        return None
    start_s, end_s = words[0].start_s, words[-1].end_s
    if len(words) == 1:
        sharers = [other for other, owned in enumerate(parts) if list(owned) == list(parts[n])]
        sizes = [len(_characters(units[other].text)) for other in sharers]
        before, whole = sum(sizes[: sharers.index(n)]), sum(sizes)
        length_s = end_s - start_s
        start_s, end_s = (
            start_s + length_s * before / whole,
            start_s + length_s * (before + len(_characters(units[n].text))) / whole,
        )
    worst = min(words, key=lambda word: word.probability)
    return replace(worst, text=units[n].text, start_s=start_s, end_s=end_s, space_before=units[n].space_before)


def _characters(text: str) -> str:
    return "".join(text.split())


def words_of(units: Sequence[Unit], runs: Sequence[Run], found: Sequence[Word | None]) -> list[Word]:
    """The words of all units: kept ones as they were, those of runs in their rooms. `found`: what aligners gave."""
    words = [replace(unit.kept, text=unit.text) if unit.kept is not None else found[n] for n, unit in enumerate(units)]
    for run in runs:
        words[run.first : run.stop] = _in_room(units[run.first : run.stop], run, found[run.first : run.stop])
    return [word for word in words if word is not None]


def _in_room(units: Sequence[Unit], run: Run, found: Sequence[Word | None]) -> list[Word]:
    known = [word for word in found if word is not None and _is_in(word, run)]
    if len(known) == len(units):
        spans = in_order([(word.start_s, word.end_s) for word in known], Place(run.start_s, run.end_s))
        return [replace(word, start_s=start, end_s=end) for word, (start, end) in zip(known, spans, strict=True)]
    sizes = [max(1, len(unit.text)) for unit in units]
    edges = [share / sum(sizes) for share in itertools.accumulate(sizes, initial=0)]
    length_s = run.end_s - run.start_s
    return [
        Word(
            unit.text,
            run.start_s + length_s * begin,
            run.start_s + length_s * end,
            word.probability if word is not None else 0.0,
            WordSource.INTERPOLATED,
            space_before=unit.space_before,
        )
        for unit, word, (begin, end) in zip(units, found, itertools.pairwise(edges), strict=True)
    ]


def _is_in(word: Word, run: Run) -> bool:
    """Whether some of it is heard in the room."""
    return word.end_s > run.start_s and word.start_s < run.end_s and word.source is not WordSource.INTERPOLATED
