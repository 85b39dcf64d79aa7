"""Chinese text in the characters that were asked for: simplified or traditional, by OpenCC.

Whisper writes what it likes, often both in one file. Words keep their times, their number and their tokens.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from autorag_whisper.domain.language import CHINESE
from autorag_whisper.domain.request import Task
from autorag_whisper.domain.transcript import join_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.align.words import TimedWord

_CONFIGURATIONS = {"Hans": "t2s", "Hant": "s2t", "Hant-TW": "s2tw", "Hant-HK": "s2hk"}
"""Characters alone: nobody's words become those of another region."""


class Writing:
    """Writes text in `script`, one of `domain.language.SCRIPTS`; "" leaves all as it is."""

    def __init__(self, script: str = "", task: str = Task.TRANSCRIBE.value) -> None:
        self._script = script if task == Task.TRANSCRIBE.value else ""

    def text(self, text: str, language: str) -> str:
        """`text`, which is in that language."""
        if not self._script or language not in CHINESE:
            return text
        return _converter(_CONFIGURATIONS[self._script])(text)

    def words(self, words: Sequence[TimedWord], language: str) -> list[TimedWord]:
        """Words that follow each other. What a character becomes may depend on those around it."""
        if not self._script or language not in CHINESE:
            return list(words)
        whole = join_words([timed.word for timed in words])
        converted = self.text(whole, language)
        if len(converted) != len(whole):  # a word became longer: each for itself
            return [_with_text(timed, self.text(timed.word.text, language)) for timed in words]
        written, at = [], 0
        for timed in words:
            at += at > 0 and timed.word.space_before
            written.append(_with_text(timed, converted[at : at + len(timed.word.text)]))
            at += len(timed.word.text)
        return written


def _with_text(timed: TimedWord, text: str) -> TimedWord:
    return replace(timed, word=replace(timed.word, text=text)) if text != timed.word.text else timed


@cache
def _converter(configuration: str) -> Callable[[str], str]:
    import opencc

    convert: Callable[[str], str] = opencc.OpenCC(configuration).convert
    return convert
