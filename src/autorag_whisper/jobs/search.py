"""Searching transcripts: into which terms a text falls, and where in it they are.

A term is a word, without case and accents. Scripts that are written without spaces give every two characters that
follow on each other, so that any run of them is found; the last character of a run is a term too. A query's terms must
all be there, each may be the beginning of a longer one.

What is searched of a transcript is kept as lines, one for each segment: its start in seconds, a tabulator, its text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONGEST_TERM = 64
"""Characters of a term that count."""
MOST_TERM_BYTES = 600_000
"""Of one text: a `tsvector` holds a megabyte."""
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670]")
_AROUND = 60
"""Characters of a line before and behind a match that are shown."""


@dataclass(frozen=True, slots=True)
class Match:
    """A place that was found: in the segment `segment` that starts at `start_s`, with what stands around it."""

    segment: int
    start_s: float
    before: str
    match: str
    after: str


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    """A character without case and accents; a blank for what belongs to no word."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", character)).casefold()
    plain = unicodedata.normalize("NFC", plain)
    return "".join(one if unicodedata.category(one)[0] in "LNM" else " " for one in plain)


def folded(text: str) -> str:
    """`text` without case, accents and punctuation."""
    return "".join(map(_folded, unicodedata.normalize("NFC", text)))


def terms_of(text: str) -> list[str]:
    """The terms of a text, each once, in the order in which they come first."""
    found: dict[str, None] = {}
    size = 0
    for run in (run for word in folded(text).split() for run in _RUN.findall(word)):
        for term in _pairs(run) if _IS_UNSPACED.match(run) else [run[:LONGEST_TERM]]:
            if term not in found and size < MOST_TERM_BYTES:
                found[term] = None
                size += len(term.encode("utf-8", "surrogatepass"))
    return list(found)


def terms_asked(query: str) -> list[str]:
    """The terms of a query; [] for one without a word. Of a run without spaces the last character is in its pair."""
    found: dict[str, None] = {}
    for run in (run for word in folded(query).split() for run in _RUN.findall(word)):
        pairs = _pairs(run) if _IS_UNSPACED.match(run) else [run[:LONGEST_TERM]]
        found |= dict.fromkeys(pairs[:-1] if len(pairs) > 1 else pairs)
    return list(found)


def _pairs(run: str) -> list[str]:
    return [run[n : n + 2] for n in range(len(run))]


def lines_of(segments: Iterable[tuple[float, str]]) -> str:
    """The lines of segments, each with its start in seconds and its text."""
    return "\n".join(f"{start_s:.3f}\t{' '.join(text.split())}" for start_s, text in segments)


def text_of(lines: str) -> str:
    """The text of lines alone."""
    return "\n".join(line.partition("\t")[2] for line in lines.split("\n"))


def has_runs(text: str, query: str) -> bool:
    """Whether a text has the runs of a query in scripts without spaces whole; pairs alone may be of several places."""
    runs = [run for word in folded(query).split() for run in _RUN.findall(word) if _IS_UNSPACED.match(run)]
    whole = folded(text) if any(len(run) > 2 for run in runs) else ""
    return all(len(run) <= 2 or run in whole for run in runs)


def matches_in(lines: str, query: str, most: int = 3) -> list[Match]:
    """The first places where a word of the query is in the text, one in a segment at most."""
    asked = [run for word in folded(query).split() for run in _RUN.findall(word)]
    found: list[Match] = []
    for number, line in enumerate(lines.split("\n")):
        start, _, text = line.partition("\t")
        place = _first_place(text, asked)
        if place is not None:
            found.append(_match(number, float(start), text, place))
        if len(found) == most:
            break
    return found


def _first_place(text: str, asked: Sequence[str]) -> tuple[int, int] | None:
    """The characters [first, stop) of `text` in which the first word that is asked for stands."""
    text_ = unicodedata.normalize("NFC", text)
    if text_ != text:
        return (0, len(text)) if any(_stands(folded(text), run) >= 0 for run in asked) else None
    parts = [_folded(character) for character in text]
    whole, owners = "".join(parts), [n for n, part in enumerate(parts) for _ in part]
    places = [(at, run) for run in asked if (at := _stands(whole, run)) >= 0]
    if not places:
        return None
    at, run = min(places, key=lambda place: (place[0], -len(place[1])))
    return owners[at], owners[at + len(run) - 1] + 1


def _stands(whole: str, run: str) -> int:
    """Where a word begins with `run`, or `run` is in a script without spaces; -1 for nowhere."""
    if _IS_UNSPACED.match(run):
        return whole.find(run)
    found = re.search(rf"(?:^|(?<=[ {_UNSPACED}])){re.escape(run)}", whole)
    return found.start() if found else -1


def _match(segment: int, start_s: float, text: str, place: tuple[int, int]) -> Match:
    first, stop = place
    begin, end = max(0, first - _AROUND), min(len(text), stop + _AROUND)
    if begin and " " in text[begin:first]:
        begin = text.index(" ", begin, first) + 1
    if end < len(text) and " " in text[stop:end]:
        end = text.rindex(" ", stop, end)
    before = ("…" if begin else "") + text[begin:first]
    after = text[stop:end] + ("…" if end < len(text) else "")
    return Match(segment, start_s, before, text[first:stop], after)
