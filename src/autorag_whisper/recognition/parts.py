"""A chunk whose text is not all of it: recognised again in parts, each as a chunk of its own.

What is missing is found by `recognition.holes`; what was cut by the token cap is known from the attempt. Parts are
judged by the same rules as any chunk, and cut again where they have a hole or a cut text themselves. Each time they
cost as much again as the chunk did, `MOST_CUTS` times at most. The part around a hole comes first: where nothing was
said in it, the others are not recognised again. Of the others each keeps the words that the whole chunk had there
where its own leave more speech without words. A short turn that sounds like another language
(`language_changes.short_turns`) is recognised in both: it has the words of the other where that text is clearly
likelier, the rest of the chunk keeps its own.

A chunk of sure speech without a word, and such a part around a hole, is done in halves, once: what a rule rejected may
have been the text of two utterances.

Where a text ended so early that most of the chunk's speech has no word, the chunk is done again in the full window
before anything is cut: in noise what parts of a second or two give is no better than a guess.
"""

from __future__ import annotations

import itertools
import logging
from bisect import bisect
from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.audio import seconds
from autorag_whisper.domain.errors import AutoragWhisperError, Cancelled, DeviceError
from autorag_whisper.domain.transcript import join_words
from autorag_whisper.engines.base import WINDOW_FRAMES
from autorag_whisper.recognition.aligned import Aligned
from autorag_whisper.recognition.aligner_fallback import told
from autorag_whisper.recognition.borders import gap_s, joint
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask, EngineTime, Rejection, WordsIn
from autorag_whisper.recognition.hallucinations import DOUBT, doubt_of
from autorag_whisper.recognition.hearing import follows
from autorag_whisper.recognition.holes import around, halves, holes, missing_s, within
from autorag_whisper.recognition.language import another
from autorag_whisper.recognition.language_changes import short_turns
from autorag_whisper.recognition.quality import Fault
from autorag_whisper.recognition.rival_languages import CLEARLY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.align.words import TimedWord
    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.domain.transcript import Word
    from autorag_whisper.recognition.holes import Hole
    from autorag_whisper.recognition.passes import Pass

_log = logging.getLogger(__name__)

MOST_CUTS = 3
"""How often a chunk of 30 s can be halved until a part is as short as it may be."""
_WORTH_S, _WORTH_SHARE = 0.5, 0.7
"""Speech that must have words now and had none before: so many seconds, or this part of it where that is less."""
_MOSTLY_MISSING = 0.5
"""Part of a chunk's sure speech without a word from which it is not worth cutting before it was heard again whole."""
_SURE_VOICE, _SURE_SPEECH_S = 0.9, 4.0
"""How sure voice activity is of a chunk, and for how long, that is done again in halves, once, where it has no word."""
DOUBTED_HOLE = "doubted_hole: where the chunk's text has a hole the model doubted that this is speech"
"""The rule for what a hole gave. Lost utterances had a doubt of 0.47 at most, all else 0.74 and more."""


class _Counted:
    """A pass that notes what it takes, whatever becomes of what it gives."""

    def __init__(self, one_pass: Pass) -> None:
        self._pass = one_pass
        self.spent: list[EngineTime] = []

    def recognise(self, tasks: Sequence[ChunkTask]) -> list[ChunkResult]:
        found = self._pass.recognise(tasks)
        self.spent += [one.time for one in found]
        return found


def completed(one_pass: Pass, result: ChunkResult) -> ChunkResult:
    """`result`, or where speech of its chunk has no words or its text was cut, what its parts give.

    Its time is that of everything that was tried. Where the parts fail, `result` is as good as it was. Raises
    Cancelled, and DeviceError. A chunk that changes its language has no text but its parts': what they raise is raised.
    """
    counted = _Counted(one_pass)
    done = _complete(counted, result)
    return replace(done, time=_time(result.time, counted.spent)) if counted.spent else done


def _complete(one_pass: Pass, result: ChunkResult, *, cuts: int = 0, is_half: bool = False) -> ChunkResult:
    """`is_half`: it is a part of a chunk without words, and not halved for that again."""
    if result.task.changes_language:
        return _by_language(one_pass, result, cuts)
    try:
        done = _in_another_language(one_pass, _completed(one_pass, result, cuts, is_half=is_half), cuts)
        return _with_short_turns(one_pass, done, cuts)
    except (AutoragWhisperError, MemoryError) as error:
        if isinstance(error, Cancelled | DeviceError):
            raise
        _log.warning("a chunk could not be recognised in parts, the whole stands: %s", told(error))
        return result


def _completed(one_pass: Pass, result: ChunkResult, cuts: int, *, is_half: bool) -> ChunkResult:
    if result.undecided or cuts >= MOST_CUTS:
        return result
    chunk = result.task.chunk
    if is_cut(result):
        parts = halves(chunk)
        if len(parts) < 2:
            return result
        halved = _joined(result, [_again(one_pass, result, part, cuts) for part in parts])
        return halved if len(halved.words) >= len(result.words) else result
    if result.needs_redo or result.task.translates:
        return result
    if not result.words:
        is_of_another = follows(result.task.options) and another(result.task.heard, result.language)
        wanted = not is_half and not is_of_another and _is_surely_speech(chunk)
        return _halved(one_pass, result, cuts) if wanted else result
    result = result if cuts else _whole_again(one_pass, result)
    found = holes(chunk.speech, _said(result))
    joined = _around(one_pass, result, found, cuts) if found else result
    if joined.words is result.words:
        return joined
    return joined if _has_more(chunk, joined, result) else result


def _whole_again(one_pass: Pass, result: ChunkResult) -> ChunkResult:
    """Where most of its speech has no word, `result` or, if that has more of it, what the full window gives."""
    task, attempt = result.task, result.attempt
    sure_s = sum(span.duration_s for span in task.chunk.speech if span.sure)
    has_window = attempt is not None and 0 < attempt.window_frames < WINDOW_FRAMES
    if not has_window or missing_s(task.chunk.speech, _said(result)) <= _MOSTLY_MISSING * sure_s:
        return result
    [again] = one_pass.recognise([result.again()])
    again = _if_believed(again)
    return replace(again, task=task) if _has_more(task.chunk, again, result) else result


def _has_more(chunk: SpeechChunk, one: ChunkResult, other: ChunkResult) -> bool:
    """Whether the words of `one` leave so much less of the chunk's speech without words that it is worth it."""
    less_s, more_s = (missing_s(chunk.speech, _said(found)) for found in (one, other))
    return more_s > less_s and more_s - less_s >= min(_WORTH_S, _WORTH_SHARE * more_s)


def _is_surely_speech(chunk: SpeechChunk) -> bool:
    """Whether it is hard to believe that nothing is said in it."""
    return chunk.voice >= _SURE_VOICE and sum(s.duration_s for s in chunk.speech if s.sure) >= _SURE_SPEECH_S


def _halved(one_pass: Pass, result: ChunkResult, cuts: int) -> ChunkResult:
    """Of a chunk without words what its halves give, if anything."""
    parts = halves(result.task.chunk)
    if len(parts) < 2:
        return result
    halved = _joined(result, [_again(one_pass, result, part, cuts, is_half=True) for part in parts])
    return halved if halved.words else result


def _around(one_pass: Pass, result: ChunkResult, found: Sequence[Hole], cuts: int) -> ChunkResult:
    """What the parts of a chunk around its holes give together; where that is no more than there was, `result`."""
    parts = around(result.task.chunk, found)
    if len(parts) < 2:
        return result
    done: dict[int, ChunkResult] = {}
    for n, part in enumerate(parts):
        if any(hole.start < part.speech[-1].stop and part.speech[0].start < hole.stop for hole in found):
            done[n] = _if_believed(_again(one_pass, result, part, cuts))
    if not any(one.words for one in done.values()):
        rejected = [rejection for one in done.values() for rejection in one.rejected]
        return replace(result, rejected=(*result.rejected, *rejected))
    every = [done.get(n) or _again(one_pass, result, part, cuts) for n, part in enumerate(parts)]
    here = _words_in(result, parts)
    return _joined(result, [_no_worse(one, result, words) for one, words in zip(every, here, strict=True)])


def _words_in(result: ChunkResult, parts: Sequence[SpeechChunk]) -> list[tuple[TimedWord, ...]]:
    """The words of the whole chunk by the part that the middle of each is in, none longer than that part."""
    found: list[list[TimedWord]] = [[] for _ in parts]
    borders_s = [(seconds(a.stop) + b.start_s) / 2 for a, b in itertools.pairwise(parts)]
    for timed in result.words:
        word = timed.word
        n = bisect(borders_s, (word.start_s + word.end_s) / 2)
        first_s, last_s = parts[n].start_s, seconds(parts[n].stop)
        start_s, end_s = (min(max(time_s, first_s), last_s) for time_s in (word.start_s, word.end_s))
        found[n].append(replace(timed, word=replace(word, start_s=start_s, end_s=end_s)))
    return [tuple(words) for words in found]


def _no_worse(part: ChunkResult, whole: ChunkResult, words: tuple[TimedWord, ...]) -> ChunkResult:
    """`part`, or with `words`, what `whole` has there, if its own leave more of its speech without words."""
    before = _with_words(part, whole, words)
    return before if _has_more(part.task.chunk, before, part) else part


def _with_words(part: ChunkResult, whole: ChunkResult, words: tuple[TimedWord, ...]) -> ChunkResult:
    """`part` with `words`, what `whole` has there."""
    text = join_words([timed.word for timed in words])
    aligned = replace(whole.aligned, words=words, unspoken=part.aligned.unspoken)
    return replace(part, text=text, words=words, attempts=(), rejected=(), aligned=aligned, spoken=())


def _in_another_language(one_pass: Pass, result: ChunkResult, cuts: int) -> ChunkResult:
    """`result`, or where nothing came of speech that is not in its language what the likeliest other one gives.

    That is not sure enough for the file to go on in it, and better than nothing.
    """
    task = result.task
    if result.words or result.needs_redo or result.undecided or cuts or not follows(task.options):
        return result
    language = another(task.heard, result.language)
    if not language:
        return result
    found = _alone(one_pass, task.alone(task.chunk, language), MOST_CUTS)
    if not found.words:
        return result
    return replace(
        found,
        task=task,
        attempts=(*result.attempts, *found.attempts),
        kept=len(result.attempts) + found.kept,
        rejected=(*result.rejected, *found.rejected),
        spoken=(WordsIn(language, len(found.words)),),
    )


def _with_short_turns(one_pass: Pass, result: ChunkResult, cuts: int) -> ChunkResult:
    """`result`, with the words of short turns in another language in that."""
    task, language = result.task, result.language
    is_in_one = all(code == language for code, _ in result.by_language)
    if not result.words or not is_in_one or result.needs_redo or cuts or task.translates or not follows(task.options):
        return result
    turns = short_turns(task.chunk, task.heard, language)
    if not turns:
        return result
    parts = within(task.chunk, turns)
    here = _words_in(result, [part for _, part in parts])
    found: list[ChunkResult] = []
    for (stretch, part), words in zip(parts, here, strict=True):
        heard = [one for one in result.aligned.unspoken if part.start_s <= one.start_s < seconds(part.stop)]
        own = ChunkResult(task.alone(part, language), language, aligned=Aligned(unspoken=tuple(heard)))
        kept = _with_words(own, result, words)
        found.append(kept if stretch.language == language else _turn(one_pass, kept, stretch.language))
    if all(one.language == language for one in found):
        return result
    joined = _joined(result, found)
    return replace(joined, rejected=(*result.rejected, *joined.rejected))


def _turn(one_pass: Pass, kept: ChunkResult, language: str) -> ChunkResult:
    """What a part is in `language`, where that is clearly likelier than in its own; else as it was `kept`."""
    own, other = (
        _alone(one_pass, kept.task.alone(kept.task.chunk, code), MOST_CUTS) for code in (kept.language, language)
    )
    if not other.words or other.attempt is None or other.attempt.rejected_for:
        return kept
    if own.words and own.attempt and other.attempt.avg_logprob <= own.attempt.avg_logprob + CLEARLY:
        return kept
    return replace(other, attempts=(*own.attempts, *other.attempts), kept=len(own.attempts) + other.kept)


def _if_believed(result: ChunkResult) -> ChunkResult:
    """What a hole gave, without text that is in doubt: the recogniser heard nothing there once."""
    attempt = result.attempt
    if not result.words or attempt is None or doubt_of(attempt) <= DOUBT:
        return result
    rejection = Rejection(join_words(_said(result)), DOUBTED_HOLE)
    return replace(result, text="", words=(), rejected=(*result.rejected, rejection))


def is_cut(result: ChunkResult) -> bool:
    """Whether its text ends where the token cap is, and not where the speech does."""
    attempt = result.attempts[-1] if result.needs_redo and result.attempts else result.attempt
    return attempt is not None and attempt.rejected_for == Fault.TOKEN_CAP.value


def _said(result: ChunkResult) -> list[Word]:
    return [timed.word for timed in result.words]


def _by_language(one_pass: Pass, result: ChunkResult, cuts: int) -> ChunkResult:
    """Each stretch of one language as a chunk of its own."""
    done = [
        _alone(one_pass, result.task.alone(part, stretch.language), cuts)
        for stretch, part in within(result.task.chunk, result.task.stretches)
    ]
    longest = max(done, key=lambda part: part.task.chunk.duration_s)
    return replace(_joined(result, done), language=longest.language)


def _again(one_pass: Pass, result: ChunkResult, part: SpeechChunk, cuts: int, *, is_half: bool = False) -> ChunkResult:
    """A part of a chunk in the chunk's language."""
    return _alone(one_pass, result.task.alone(part, result.language), cuts, is_half=is_half)


def _alone(one_pass: Pass, task: ChunkTask, cuts: int, *, is_half: bool = False) -> ChunkResult:
    [found] = one_pass.recognise([task])
    found = _complete(one_pass, found, cuts=cuts + 1, is_half=is_half)
    if found.needs_redo:
        [found] = one_pass.recognise([found.again()])
        found = _complete(one_pass, found, cuts=cuts + 1, is_half=is_half)
    return found


def _joined(result: ChunkResult, parts: Sequence[ChunkResult]) -> ChunkResult:
    attempts = (*result.attempts, *(attempt for part in parts for attempt in part.attempts))
    offsets = itertools.accumulate((len(part.attempts) for part in parts), initial=len(result.attempts))
    kept = [
        offset + part.kept if part.attempts else result.kept  # without an attempt of its own it has the chunk's words
        for offset, part in zip(offsets, parts, strict=False)
        if part.words
    ]
    words = _sewn(parts, translated=result.task.translates)
    return replace(
        result,
        text=" ".join(part.text for part in parts if part.text),
        words=words,
        attempts=attempts,
        kept=kept[0] if kept else len(attempts) - 1,
        needs_redo=False,
        hypothesis=None,
        rejected=tuple(rejection for part in parts for rejection in part.rejected),
        aligned=_aligned([part.aligned for part in parts], words),
        unsampled=result.unsampled or any(part.unsampled for part in parts),
        spoken=tuple(WordsIn(language, len(said)) for part in parts for language, said in part.by_language),
    )


def _sewn(parts: Sequence[ChunkResult], *, translated: bool) -> tuple[TimedWord, ...]:
    """The words of all parts, which do not overlap: a sentence that goes on in the next part is not torn there."""
    words: list[TimedWord] = []
    before: ChunkResult | None = None
    for part in parts:
        said = list(part.words)
        if before is not None and said and before.by_language[-1][0] == part.by_language[0][0]:
            language, pause_s = part.by_language[0][0], gap_s(before.task.chunk, part.task.chunk)
            found = joint(words[-1].word, _said(part), "en" if translated else language, pause_s)
            words[-1], said[0] = replace(words[-1], word=found.left), replace(said[0], word=found.right)
        words += said
        before = part if said else None
    return tuple(words)


def _aligned(parts: Sequence[Aligned], words: tuple[TimedWord, ...]) -> Aligned:
    """Of the ways in which the parts were aligned the one with the most steps of the aligner fallback."""
    timed = [part for part in parts if part.source is not None]
    unspoken = tuple(stretch for part in parts for stretch in part.unspoken)
    worst = max(timed, key=lambda part: len(part.fallbacks), default=Aligned())
    return replace(worst, words=words, unspoken=unspoken)


def _time(whole: EngineTime, parts: Sequence[EngineTime]) -> EngineTime:
    every = (whole, *parts)
    return replace(
        whole,
        recognise_s=sum(time.recognise_s for time in every),
        align_s=sum(time.align_s for time in every),
        ended=max(time.ended for time in every),
    )
