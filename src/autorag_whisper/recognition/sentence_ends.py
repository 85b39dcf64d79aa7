"""Sentence ends inside a chunk behind which hardly anybody pauses, heard again.

Of two readings of a place ("a dot before, and I" and "a dot before. And I") the decoder may choose the one that ends a
sentence although the voice goes on. Where it does, the pause is short: of 13 such places in four hours of read prose
0.26 s at most. Ends that are ends have a longer one as a rule, and where not, the decoder mostly says so again when it
hears those seconds anew (`recognition.border_hearing`). In quick talk, and where pauses were cut out of a recording, a
short pause says nothing: an end is asked about only in a chunk half of whose ends have a longer one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.transcript import WordSource, join_words
from autorag_whisper.engines.base import WhisperSpec
from autorag_whisper.format.punctuation import Stop, stop_after
from autorag_whisper.recognition.border_hearing import heard_inside, hears_borders
from autorag_whisper.recognition.borders import is_full_stop_to_be_heard, joint_heard_inside, without_marks

if TYPE_CHECKING:
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.domain.transcript import Word
    from autorag_whisper.engines.base import RecognizerSpec, WhisperModel
    from autorag_whisper.recognition.chunk_result import ChunkResult
    from autorag_whisper.recognition.recognizer import Caller

_PAUSE_S = 0.3
"""A pause so long is one between sentences as a rule."""
_MOST = 6
"""How many are heard in a chunk at most."""
_TELL_PAUSES = frozenset({WordSource.CTC, WordSource.CHARACTERS})
"""The aligners whose words end where a pause begins."""


def hears_ends(spec: RecognizerSpec, options: TranscribeOptions) -> bool:
    """Whether ends inside chunks are heard again: where borders are, by a model that has windows of a few seconds.

    In the full window a place would cost as much as its chunk.
    """
    return hears_borders(spec, options) and isinstance(spec, WhisperSpec) and not spec.strict_window


def unsure_ends(result: ChunkResult) -> list[int]:
    """Which words of `result` begin a sentence with hardly a pause before them, where half of them have one."""
    words, languages = [timed.word for timed in result.words], _languages(result)
    ends = [
        n
        for n in range(1, len(words))
        if stop_after(words[n - 1].text, words[n].text, languages[n - 1]) is Stop.SENTENCE
    ]
    short = [n for n in ends if _pause_s(words, n) < _PAUSE_S]
    if 2 * len(short) > len(ends):
        return []
    return [
        n
        for n in short
        if languages[n - 1] == languages[n]
        and {words[n - 1].source, words[n].source} <= _TELL_PAUSES
        and is_full_stop_to_be_heard(words[n - 1], words[n:], languages[n], _pause_s(words, n))
    ][:_MOST]


def with_ends_heard(recognizer: WhisperModel, result: ChunkResult, ends: list[int], caller: Caller) -> ChunkResult:
    """`result` with the marks and the case that are heard at those of its `unsure_ends`.

    Each is heard behind the words as they were decoded. Words, tokens, times and probabilities stay. Raises what the
    engine raises, and Cancelled between two calls.
    """
    words, languages = [timed.word for timed in result.words], _languages(result)
    texts = [word.text for word in words]
    for n in ends:
        caller.check()
        left, right, language = words[n - 1], words[n], languages[n]
        heard = heard_inside(recognizer, result.task.chunk, words[:n], right, language)
        found = joint_heard_inside(left, right, language, _pause_s(words, n), heard)
        if found.reason:
            texts[n - 1] = without_marks(texts[n - 1]) + found.left.text[len(without_marks(left.text)) :]
            texts[n] = found.right.text
    timed = tuple(
        replace(timed, word=replace(timed.word, text=text)) for timed, text in zip(result.words, texts, strict=True)
    )
    return replace(result, words=timed, text=join_words([one.word for one in timed]))


def _pause_s(words: list[Word], n: int) -> float:
    """The seconds before a word."""
    return words[n].start_s - words[n - 1].end_s


def _languages(result: ChunkResult) -> list[str]:
    """Of every word."""
    return [language for language, said in result.by_language for _ in said]
