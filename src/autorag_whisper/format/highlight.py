"""The word that is spoken stands out: one text a word, or times inside the text (karaoke)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.format.stamps import vtt_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.format.cues import Cue

    Escape = Callable[[str], str]

ASS_TICK_MS = 10


def underlined_steps(cue: Cue, escape: Escape, tags: tuple[str, str], tick_ms: int) -> list[tuple[int, int, str]]:
    """(start, end, text) for each word: the whole cue with that word between `tags`, until the next word begins.

    Words that begin at the same tick are underlined together.
    """
    starts = word_starts(cue, tick_ms)
    begin, end = tags
    words = _words(cue, escape)
    steps = sorted(set(starts))
    texts = []
    for start, until in zip(steps, [*steps[1:], cue.end_ms], strict=True):
        marked = [begin + word + end if time == start else word for word, time in zip(words, starts, strict=True)]
        texts.append((start, until, _lines(cue, marked)))
    return texts


def ass_karaoke(cue: Cue, escape: Escape) -> str:
    r"""The cue with `{\k..}` before each word: for how many hundredths of a second it is the one that is spoken."""
    starts = word_starts(cue, ASS_TICK_MS)
    spans = [(until - start) // ASS_TICK_MS for start, until in zip(starts, [*starts[1:], cue.end_ms], strict=True)]
    words = _words(cue, escape)
    return _lines(cue, [f"{{\\k{span}}}{word}" for span, word in zip(spans, words, strict=True)])


def vtt_karaoke(cue: Cue, escape: Escape) -> str:
    """The cue with the time of each word that begins after the cue does, and each in a `<c>` for `::cue(:past)`."""
    starts = word_starts(cue, 1)
    before = [cue.start_ms, *starts[:-1]]
    stamps = [f"<{vtt_time(start)}>" if start > last else "" for last, start in zip(before, starts, strict=True)]
    words = _words(cue, escape)
    return _lines(cue, [f"{stamp}<c>{word}</c>" for stamp, word in zip(stamps, words, strict=True)])


def word_starts(cue: Cue, tick_ms: int) -> list[int]:
    """When each word begins, in milliseconds on the grid: in order, from the cue's start to before its end."""
    last = cue.start_ms
    starts = []
    for word in (word for line in cue.words for word in line):
        last = max(last, tick_ms * round(word.start_s * 1000 / tick_ms))
        starts.append(min(last, cue.end_ms - tick_ms))
    return [cue.start_ms, *starts[1:]]


def _words(cue: Cue, escape: Escape) -> list[str]:
    return [escape(word.text) for line in cue.words for word in line]


def _lines(cue: Cue, words: Sequence[str]) -> str:
    """The cue's lines of `words`, one for each of its words, with the blanks between them."""
    rest = iter(words)
    lines = []
    for line in cue.words:
        blanks = ["", *(" " if word.space_before else "" for word in line[1:])]
        lines.append("".join(blank + next(rest) for blank in blanks))
    return r"\N".join(lines)
