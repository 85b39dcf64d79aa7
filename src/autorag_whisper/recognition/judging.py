"""What was decoded of a chunk: is it good, what of it did nobody say, and what is the chunk's result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.transcript import Attempt
from autorag_whisper.recognition.chunk_result import ChunkResult, Rejection
from autorag_whisper.recognition.hallucinations import NO_SPEECH, Hallucination, doubt_of, hallucination_rule
from autorag_whisper.recognition.loops import RUNAWAY_RULE, is_said_twice, runaway, without
from autorag_whisper.recognition.quality import Fault, compression_ratio, fault_of
from autorag_whisper.recognition.unsaid import UNHEARD_REPEAT, without_unsaid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.align.words import TimedWord
    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.engines.base import Decoding, Hypothesis, Texts
    from autorag_whisper.recognition.chunk_result import EngineTime, Row


BESIDE_LOOP_DOUBT = 0.8
"""The most doubt of a text that is kept where a redo ended in a loop. Of five such texts those of speech had 0.50, 0.56
and 0.71, one of laughter ("Ahem.") 0.95, and syllables of a language that nobody spoke 0.87."""


class Judge:
    """Judges the texts of rows by their own options. Thread-safe: it keeps nothing."""

    def __init__(self, tokenizer: Texts) -> None:
        self._tokenizer = tokenizer

    def text(self, token_ids: Sequence[int]) -> str:
        """The text of tokens."""
        return self._tokenizer.decode(token_ids).replace("\ufffd", "").strip()

    def attempt(self, hypothesis: Hypothesis, decoding: Decoding, window_frames: int) -> Attempt:
        """The figures of a text that was decoded in a window."""
        return Attempt(
            temperature=decoding.temperature,
            beam_size=decoding.beam_size,
            window_frames=window_frames,
            avg_logprob=hypothesis.avg_logprob,
            compression_ratio=compression_ratio(self.text(hypothesis.token_ids)),
            no_speech_prob=hypothesis.no_speech_prob,
        )

    def judge(self, row: Row, hypothesis: Hypothesis, attempt: Attempt, *, cap_hit: bool) -> bool:
        """Note an attempt; whether it is good enough. `cap_hit`: its text ends where the token cap is."""
        is_hallucination = self._is_hopeless(row, self.text(hypothesis.token_ids), attempt)
        fault = fault_of(attempt, row.task.options, cap_hit=cap_hit, is_hallucination=is_hallucination)
        if is_hallucination and row.is_last:
            fault = None  # it is rejected, whatever else is wrong with it
        if fault is None and not row.is_last and is_said_twice(hypothesis.token_ids):
            fault = Fault.REPETITION  # once: a speaker who does say it twice says so again in the full window
        row.attempts.append(replace(attempt, rejected_for=fault.value) if fault else attempt)
        row.hypothesis, row.kept = hypothesis, len(row.attempts) - 1
        return fault is None

    def _is_hopeless(self, row: Row, text: str, attempt: Attempt) -> bool:
        """Whether `text` is hallucinated and will be however often it is redone.

        Where the encoder heard no speech a redo hears none either; where it did, the decoder gets one more chance, in
        the full window. What is hallucinated there too is not sampled: of enough samples some text looks like speech.
        """
        if hallucination_rule(text, attempt, row.task.chunk, row.task.options) is None:
            return False
        return attempt.no_speech_prob > NO_SPEECH or row.is_last

    def is_lost_in_a_loop(self, row: Row) -> bool:
        """Whether its text is a loop that a rule rejects whole, which says nothing of the sound either way."""
        assert row.hypothesis is not None
        return self._rule(row, row.hypothesis, row.attempts[row.kept]) is Hallucination.FAINT_LOOP

    def is_only_improbable(self, row: Row, hypothesis: Hypothesis, attempt: Attempt) -> bool:
        """Whether nothing speaks against a text but that its tokens are improbable, and not by much."""
        if attempt.rejected_for != Fault.IMPROBABLE or doubt_of(attempt) > BESIDE_LOOP_DOUBT:
            return False
        return self._rule(row, hypothesis, attempt) is None

    def _rule(self, row: Row, hypothesis: Hypothesis, attempt: Attempt) -> Hallucination | None:
        return hallucination_rule(self.text(hypothesis.token_ids), attempt, row.task.chunk, row.task.options)

    def reject(self, row: Row) -> None:
        """Take out of a final text what nobody said."""
        assert row.hypothesis is not None
        chunk, ids = row.task.chunk, row.hypothesis.token_ids
        text = self.text(ids)
        rule = hallucination_rule(text, row.attempts[row.kept], chunk, row.task.options)
        loop = None if rule else runaway(ids, text, speech_s(chunk))
        if rule:
            row.rejected.append(Rejection(text, rule.value))
            row.hypothesis = row.hypothesis.first(0)
        elif loop:
            kept = without(ids, loop)
            row.rejected.append(Rejection(self.text(ids[len(kept) :]), RUNAWAY_RULE))
            row.hypothesis = row.hypothesis.first(len(kept)).whole(self._tokenizer)

    def results(self, rows: Sequence[Row], charge: EngineTime) -> list[ChunkResult]:
        """What came of all rows of a batch; `charge` is the engine's time for each."""
        return [self._result(row, charge) for row in rows]

    def _result(self, row: Row, charge: EngineTime) -> ChunkResult:
        if not row.language or row.task.changes_language:
            return ChunkResult(row.task, row.language, undecided=not row.language, time=charge)
        assert row.hypothesis is not None
        words = self._accepted(row) if row.is_final and row.hypothesis.token_ids else []
        return ChunkResult(
            task=row.task,
            language=row.language,
            text=self.text(row.hypothesis.token_ids),
            words=tuple(words),
            attempts=tuple(row.attempts),
            kept=row.kept,
            needs_redo=not row.is_final,
            hypothesis=None if row.is_final else row.hypothesis,
            rejected=tuple(row.rejected),
            aligned=row.aligned,
            time=charge,
            unsampled=row.unsampled,
        )

    def _accepted(self, row: Row) -> list[TimedWord]:
        """The words of a row that has some, without those that the alignment found no place for."""
        words = list(row.aligned.words)
        if row.task.translates:
            return words
        if row.aligned.unheard:
            row.rejected.append(Rejection(row.aligned.unheard, UNHEARD_REPEAT))
        words, rejected = without_unsaid(words, row.task.chunk.speech)
        row.rejected += rejected
        return words


def speech_s(chunk: SpeechChunk) -> float:
    """Seconds of speech in a chunk."""
    return sum(span.duration_s for span in chunk.speech)
