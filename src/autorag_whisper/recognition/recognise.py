"""One batch of chunks through the engine: encode once, find the language, decode, align; redo what failed."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.domain.device import FailureCause
from autorag_whisper.domain.errors import DeviceError, EngineError, ModelDamaged
from autorag_whisper.domain.request import Task
from autorag_whisper.engines.base import WINDOW_FRAMES, Decoding
from autorag_whisper.recognition.aligner_fallback import told
from autorag_whisper.recognition.alignment import Alignment, Spoken
from autorag_whisper.recognition.chunk_result import AskLanguage, ChunkResult, ChunkTask, EngineTime, Row
from autorag_whisper.recognition.effort import MOST_KEPT, may_try_again, steps_of
from autorag_whisper.recognition.hallucinations import hallucination_rule
from autorag_whisper.recognition.hearing import Hearing, language_by_itself, language_together
from autorag_whisper.recognition.judging import Judge, speech_s
from autorag_whisper.recognition.loops import runaway, without
from autorag_whisper.recognition.quality import Fault, best_of
from autorag_whisper.recognition.rival_languages import Reading, is_doubtful, likeliest, most_promising, trial_cap
from autorag_whisper.recognition.sampling import seed_of
from autorag_whisper.recognition.search import Asked, TextSearch
from autorag_whisper.recognition.windows import windows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import Encoded, Hypothesis, WhisperModel
    from autorag_whisper.recognition.language import LanguageChoice
    from autorag_whisper.recognition.recognizer import Caller

_log = logging.getLogger(__name__)


class WhisperPass:
    """Recognises batches of one profile by the steps of a Whisper model. Thread-safe: it keeps nothing.

    `options` are those of any of their files: what is not in the profile is read from each task's own. The caller is
    told a detected language before anything is decoded in it, or, where others are nearly as likely, when the first
    text is there.
    """

    def __init__(self, model: WhisperModel, options: TranscribeOptions, caller: Caller) -> None:
        self._engine, self._options, self._caller = model, options, caller
        self._alignment = Alignment(model, options, caller.ctc)
        self._strict_window = model.spec.strict_window
        self._search, self._hearing = TextSearch(model, options), Hearing(model, options)
        self._judge = Judge(model.tokenizer)

    def recognise(self, tasks: Sequence[ChunkTask]) -> list[ChunkResult]:
        """What comes of chunks, of one window unless the engine mixes them.

        Raises what the engine raises, and Cancelled between two engine calls.
        """
        started = time.perf_counter()
        if all(task.changes_language for task in tasks):  # in which languages they are is known, their parts are next
            nothing = EngineTime(began=started, turned=started, ended=started)
            return [ChunkResult(task, task.stretches[0].language, time=nothing) for task in tasks]
        if tasks[0].ask is AskLanguage.TOGETHER:
            return self._vote(tasks)
        encoded = self._encode(tasks)
        votes = self._hearing.choices(encoded, tasks)
        rows = [self._row(task, vote) for task, vote in zip(tasks, votes, strict=True)]
        decided = [n for n, row in enumerate(rows) if row.language]
        if not decided:
            now = time.perf_counter()
            return self._judge.results(rows, EngineTime((now - started) / len(tasks), 0.0, started, now, now))
        encoded = self._engine.select(encoded, decided)
        return self._decode(encoded, [rows[n] for n in decided], rows, started)

    def _vote(self, tasks: Sequence[ChunkTask]) -> list[ChunkResult]:
        """Recognise the first chunks of one file in the language that they choose together.

        Each is looked at in the full window, in which the model learned to tell languages: a short one was unsure.
        """
        looked_at = [self._encode([task], full=True) for task in tasks]
        votes = [self._engine.detect_languages(encoded)[0] for encoded in looked_at]
        choice = self._hearing.choice(votes, tasks[0])
        unsettled = choice if len(tasks) == 1 and self._has_rivals(choice) else None
        if unsettled is None:
            self._caller.on_language(tasks[0].file, choice)
        results = []
        for task, full, vote in zip(tasks, looked_at, votes, strict=True):
            encoded = full if task.window(strict=self._strict_window) == WINDOW_FRAMES else self._encode([task])
            own = self._hearing.choice([vote], task)
            row = Row(task, language_together(task, own, choice), choice=unsettled)
            results += self._decode(encoded, [row], [row], time.perf_counter())
        return results

    def _encode(self, tasks: Sequence[ChunkTask], *, full: bool = False) -> Encoded:
        self._caller.check()
        windows = [task.window(strict=full or self._strict_window) for task in tasks]
        return self._engine.encode(windows_of([task.chunk for task in tasks], windows, self._engine.spec))

    def _row(self, task: ChunkTask, choice: LanguageChoice | None) -> Row:
        if choice is None:
            assert task.language is not None  # else it would have been asked
            return Row(task, task.language, is_last=task.fallback)
        row = Row(task, language_by_itself(task, choice), is_last=task.fallback)
        if task.language is None and row.language:
            if self._has_rivals(choice):
                row.choice = choice
            else:
                self._caller.on_language(task.file, choice)
        return row

    def _has_rivals(self, choice: LanguageChoice) -> bool:
        """Whether the first text is to be heard before a file has this language."""
        own_text = self._options.task is not Task.TRANSLATE and not self._options.code_switching
        return bool(choice.rivals) and own_text and not self._options.temperatures[0]

    def _listen(self, encoded: Encoded, rows: list[Row]) -> None:
        """Hear where the language changes, and with which one each of these chunks goes on."""
        for row, heard in zip(rows, self._hearing.pieces(encoded, [row.task for row in rows]), strict=True):
            stretches = row.task.stretches or self._hearing.stretches(row.task, row.language, heard)
            row.task, row.language = replace(row.task, heard=heard, stretches=stretches), stretches[0].language

    def _decode(self, encoded: Encoded, decided: list[Row], rows: list[Row], started: float) -> list[ChunkResult]:
        self._listen(encoded, decided)
        for row in decided:
            if row.choice is not None and (row.task.changes_language or row.language != row.choice.code):
                self._caller.on_language(row.task.file, row.choice)
                row.choice = None
        whole = [n for n, row in enumerate(decided) if not row.task.changes_language]
        encoded, decided = self._engine.select(encoded, whole) if whole else encoded, [decided[n] for n in whole]
        if not decided:
            pass
        elif decided[0].task.fallback:
            self._redo(encoded, decided[0])
        else:
            self._first_attempt(encoded, decided)
        turned = time.perf_counter()
        if decided:
            self._align(encoded, decided)
        ended = time.perf_counter()
        count = len(rows)
        return self._judge.results(
            rows, EngineTime((turned - started) / count, (ended - turned) / count, started, turned, ended)
        )

    def _first_attempt(self, encoded: Encoded, rows: list[Row]) -> None:
        for decoding, together in self._search.first_ways([(row.task.chunk, row.language) for row in rows]):
            self._attempt(self._engine.select(encoded, together), [rows[n] for n in together], decoding)

    def _attempt(self, encoded: Encoded, rows: list[Row], decoding: Decoding) -> None:
        if decoding.temperature > 0:
            hypotheses = self._sampled(encoded, rows, decoding)
        else:
            hypotheses = self._generate(encoded, rows, decoding)
        for n, (row, hypothesis) in enumerate(zip(rows, hypotheses, strict=True)):
            self._judged(row, hypothesis, decoding)
            if row.choice is not None:
                self._settle_language(self._engine.select(encoded, [n]), row, row.choice, decoding)
            if row.is_final:
                self._judge.reject(row)

    def _settle_language(self, encoded: Encoded, row: Row, choice: LanguageChoice, decoding: Decoding) -> None:
        """Where its text puts the detected language in doubt, try its rivals too; the likeliest is the file's.

        `encoded` has this row alone.
        """
        best = row
        rival = self._most_promising(encoded, row, choice, decoding)
        if rival is not None:
            other = Row(row.task, rival.code, choice=rival)
            self._judged(other, self._generate(encoded, [other], decoding)[0], decoding)
            best = (row, other)[likeliest([self._reading(row), self._reading(other)])]
        if best is not row:
            row.attempts = [replace(row.attempts[-1], rejected_for=Fault.LANGUAGE.value), *best.attempts]
            row.hypothesis, row.kept = best.hypothesis, len(row.attempts) - 1
            row.language = best.language
            row.task = replace(row.task, stretches=row.task.in_one(row.language))
        assert best.choice is not None
        self._caller.on_language(row.task.file, best.choice)

    def _most_promising(
        self, encoded: Encoded, row: Row, choice: LanguageChoice, decoding: Decoding
    ) -> LanguageChoice | None:
        """The rival whose trial is likelier than the row's doubtful text; None where no other is, or none in doubt."""
        assert row.hypothesis is not None
        text, task = self._judge.text(row.hypothesis.token_ids), row.task
        if not choice.rivals or not is_doubtful(text, row.attempts[-1], task.chunk, task.options):
            return None
        trials = [Row(task, rival.code, choice=rival) for rival in choice.rivals]
        cap = trial_cap(len(row.hypothesis.token_ids), decoding.max_new_tokens)
        short = replace(decoding, beam_size=1, max_new_tokens=cap)
        # All in one call, whose steps take about as long with several rows as with one.
        frames = task.window(strict=self._strict_window) // 2
        together = self._engine.excerpts(encoded, [(0, 0)] * len(trials), frames, 1)
        for trial, hypothesis in zip(trials, self._generate(together, trials, short), strict=True):
            self._judged(trial, replace(hypothesis, cap_hit=False), short)  # at its cap it is no worse for that
        found = most_promising(self._reading(row), [self._reading(trial) for trial in trials])
        return None if found is None else choice.rivals[found]

    def _reading(self, row: Row) -> Reading:
        assert row.choice is not None
        assert row.hypothesis is not None
        attempt, text = row.attempts[row.kept], self._judge.text(row.hypothesis.token_ids)
        rule = hallucination_rule(text, attempt, row.task.chunk, row.task.options)
        return Reading(row.choice, text, attempt, len(row.hypothesis.token_ids), rejected=rule is not None)

    def _sampled(self, encoded: Encoded, rows: list[Row], decoding: Decoding) -> list[Hypothesis]:
        """Row by row, each with its own seed: of a batch the samples would depend on what it was batched with."""
        found = []
        for n, row in enumerate(rows):
            own = replace(decoding, seed=seed_of(row.task.chunk.samples))
            found += self._generate(self._engine.select(encoded, [n]), [row], own)
        return found

    def _redo(self, encoded: Encoded, row: Row) -> None:
        """The full window with a wider beam, then the temperature fallback, until an attempt is good."""
        row.attempts, first = list(row.task.earlier), row.task.earlier_text
        row.task = replace(row.task, earlier_text=None)  # what comes of it is final
        hypotheses: list[Hypothesis | None] = [None] * len(row.attempts)
        spent = 0
        for decoding in self._search.ways(row.task.chunk, row.language):
            try:
                hypothesis = self._generate(encoded, [row], decoding)[0]
            except (EngineError, ModelDamaged, MemoryError, DeviceError) as error:
                if not decoding.temperature or not any(hypotheses) or _is_devices_end(error):
                    raise
                # What samples is loaded for that: its files or the memory for it may be gone. The text before stays.
                _log.warning("a chunk could not be sampled, the best text before that stands: %s", told(error))
                row.unsampled = True
                break
            hypotheses.append(hypothesis)
            spent += steps_of(len(hypothesis.token_ids), decoding.max_new_tokens, sampled=decoding.temperature > 0)
            if self._judged(row, hypothesis, decoding):
                break
            within_budget = may_try_again(spent, decoding.max_new_tokens)
            if not within_budget and not self._loses_most(row, hypotheses):
                break
        row.kept = self._best(row, hypotheses)
        row.hypothesis = hypotheses[row.kept]
        if self._judge.is_lost_in_a_loop(row):
            if row.task.earlier:
                hypotheses[len(row.task.earlier) - 1] = first
            self._keep_improbable(row, hypotheses)
        self._judge.reject(row)

    def _keep_improbable(self, row: Row, hypotheses: Sequence[Hypothesis | None]) -> None:
        """Keep the likeliest of the texts that are only improbable; where there is none all stays as it is."""
        improbable = [
            n
            for n, (hypothesis, attempt) in enumerate(zip(hypotheses, row.attempts, strict=True))
            if hypothesis is not None and self._judge.is_only_improbable(row, hypothesis, attempt)
        ]
        if improbable:
            row.kept = max(improbable, key=lambda n: row.attempts[n].avg_logprob)
            row.hypothesis = hypotheses[row.kept]

    def _best(self, row: Row, hypotheses: Sequence[Hypothesis | None]) -> int:
        """Which attempt is to be kept, of those whose text there is."""
        tried = [n for n, hypothesis in enumerate(hypotheses) if hypothesis is not None]
        return tried[best_of([row.attempts[n] for n in tried], row.task.options)]

    def _loses_most(self, row: Row, hypotheses: Sequence[Hypothesis | None]) -> bool:
        """Whether the loop rule would take most of the best text that there is so far."""
        best = hypotheses[self._best(row, hypotheses)]
        assert best is not None
        loop = runaway(best.token_ids, self._judge.text(best.token_ids), speech_s(row.task.chunk))
        return loop is not None and len(without(best.token_ids, loop)) < MOST_KEPT * len(best.token_ids)

    def _generate(self, encoded: Encoded, rows: list[Row], decoding: Decoding) -> list[Hypothesis]:
        self._caller.check()
        return self._search.generate(
            encoded, [Asked(row.language, row.task.chunk.index == 0) for row in rows], decoding
        )

    def _judged(self, row: Row, hypothesis: Hypothesis, decoding: Decoding) -> bool:
        """Note an attempt; whether it is good enough."""
        attempt = self._judge.attempt(hypothesis, decoding, row.task.window(strict=self._strict_window))
        cap_hit = self._search.is_cut(hypothesis, row.task.chunk, row.language)
        return self._judge.judge(row, hypothesis, attempt, cap_hit=cap_hit)

    def _align(self, encoded: Encoded, rows: list[Row]) -> None:
        """Time the words of every row that is final."""
        self._caller.check()
        spoken = [
            Spoken(n, row.task.chunk, row.language, row.hypothesis)
            for n, row in enumerate(rows)
            if row.hypothesis and row.is_final and row.hypothesis.token_ids
        ]
        for one, aligned in zip(spoken, self._alignment.align(encoded, spoken), strict=True):
            rows[one.row].aligned = aligned


def _is_devices_end(error: Exception) -> bool:
    """Whether the device itself failed, which the device fallback answers; out of memory alone does not count."""
    return isinstance(error, DeviceError) and error.cause != FailureCause.OUT_OF_MEMORY
