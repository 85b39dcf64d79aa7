"""Words to segments: cut at the ends of sentences and at pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.domain.transcript import join_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autorag_whisper.align.words import TimedWord

_SENTENCE_ENDS = frozenset(".?!。？！…।؟۔።")  # noqa: RUF001 - marks as they are written
_CLOSING = "\"'”’»」』)]）】"  # noqa: RUF001 - marks as they are written
_PAUSE_S = 1.5
_MIN_WORDS = 2
"""A sentence of fewer words goes on with the next: "Mr." and "1." end none."""


def cut_segments(words: Sequence[TimedWord]) -> Iterator[list[TimedWord]]:
    """The words in order, in runs that are sentences or end at a pause."""
    run: list[TimedWord] = []
    for timed in words:
        if run and _is_cut(run, timed):
            yield run
            run = []
        run.append(timed)
    if run:
        yield run


def _is_cut(run: list[TimedWord], following: TimedWord) -> bool:
    last = run[-1].word
    if following.word.start_s - last.end_s >= _PAUSE_S:
        return True
    return len(run) >= _MIN_WORDS and last.text.rstrip(_CLOSING)[-1:] in _SENTENCE_ENDS


def text_of(words: Sequence[TimedWord]) -> str:
    """The running text."""
    return join_words([timed.word for timed in words])
