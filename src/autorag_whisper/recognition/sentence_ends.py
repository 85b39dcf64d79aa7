"""Sentence ends inside a chunk behind which hardly anybody pauses, heard again.

Of two readings of a place ("a dot before, and I" and "a dot before. And I") the decoder may choose the one that ends a
sentence although the voice goes on. Where it does, the pause is short: of 13 such places in three hours of read prose
0.26 s at most. Ends that are ends have a longer one as a rule, and where not, the decoder says so again when it hears
those seconds anew (`recognition.border_hearing`). Where it hears no mark at all then, a comma is what both allow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.transcript import WordSource, join_words
from autorag_whisper.engines.base import WhisperSpec
from autorag_whisper.recognition.border_hearing import heard_inside, hears_borders
from autorag_whisper.recognition.borders import is_full_stop_to_be_heard, joint_heard

if TYPE_CHECKING:
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Word
    from autorag_whisper.engines.base import RecognizerSpec, WhisperModel
    from autorag_whisper.recognition.chunk_result import ChunkResult
    from autorag_whisper.recognition.recognizer import Caller

_PAUSE_S = 0.3
_MOST = 6
"""How many are heard in a chunk at most; in quick talk there may be more."""
_TELL_PAUSES = frozenset({WordSource.CTC, WordSource.CHARACTERS})
"""The aligners whose words end where a pause begins."""


def hears_ends(spec: RecognizerSpec, options: TranscribeOptions) -> bool:
    """Whether ends inside chunks are heard again: where borders are, by a model that has windows of a few seconds.

    In the full window a place would cost as much as its chunk.
    """
    return hears_borders(spec, options) and isinstance(spec, WhisperSpec) and not spec.strict_window


def unsure_ends(result: ChunkResult) -> list[int]:
    """Which words of `result` begin a sentence with hardly a pause before them: of many those with the shortest."""
    words, languages = [timed.word for timed in result.words], _languages(result)
    found = [
        n
        for n in range(1, len(words))
        if languages[n - 1] == languages[n] and _is_unsure(words[n - 1], words[n:], languages[n])
    ]
    return sorted(sorted(found, key=lambda n: words[n].start_s - words[n - 1].end_s)[:_MOST])


def with_ends_heard(recognizer: WhisperModel, result: ChunkResult, ends: list[int], caller: Caller) -> ChunkResult:
    """`result` with the marks and the case that are heard at those of its `unsure_ends`.

    Words, tokens, times and probabilities stay. Raises what the engine raises, and Cancelled between two calls.
    """
    words, languages = [timed.word for timed in result.words], _languages(result)
    for n in ends:
        caller.check()
        left, right, language = words[n - 1], words[n], languages[n]
        heard = heard_inside(recognizer, result.task.chunk, words[:n], right, language)
        pause_s = right.start_s - left.end_s
        found = joint_heard(left, right, language, pause_s, heard, unmarked=",")
        words[n - 1 : n + 1] = found.left, found.right
    timed = tuple(replace(timed, word=word) for timed, word in zip(result.words, words, strict=True))
    return replace(result, words=timed, text=join_words(words))


def _languages(result: ChunkResult) -> list[str]:
    """Of every word."""
    return [language for language, said in result.by_language for _ in said]


def _is_unsure(left: Word, right: list[Word], language: str) -> bool:
    pause_s = right[0].start_s - left.end_s
    tells = {left.source, right[0].source} <= _TELL_PAUSES
    return tells and pause_s < _PAUSE_S and is_full_stop_to_be_heard(left, right, language, pause_s)
