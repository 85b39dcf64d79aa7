"""Ends of sentences inside a chunk without a pause are heard again, and nothing but marks and case changes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autorag_whisper.align.words import TimedWord
from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.domain.device import FailureCause
from autorag_whisper.domain.errors import Cancelled, DeviceError, EngineError
from autorag_whisper.domain.request import Quality, Task, TranscribeOptions
from autorag_whisper.domain.transcript import Word, WordSource
from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.recognition.border_hearing import BEHIND_S, BORDER_FRAMES, Border
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask, EngineTime, WordsIn
from autorag_whisper.recognition.recognizer import Caller, Recognizer
from autorag_whisper.recognition.sentence_ends import unsure_ends, with_ends_heard
from autorag_whisper.testing import FakeWhisper
from autorag_whisper.testing.engine import Faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.engines.base import Decoding, Encoded
    from autorag_whisper.testing.whisper import Script

HZ = 16_000
WORD_S, PAUSE_S, FIRST_S = 0.4, 0.1, 100.0
CALLER = Caller(lambda _file, _choice: None, lambda: False)


SLOWLY = "Well. Then. "
"""Two sentences with a pause behind each."""


def result(
    text: str, pauses: dict[str, float] | None = None, source: WordSource = WordSource.CHARACTERS, **options: object
) -> ChunkResult:
    """A chunk that starts at `FIRST_S` with the words of a text, and behind some of them other pauses."""
    pauses = {"Well.": 0.6, "Then.": 0.6} | (pauses or {})
    time_s, timed = FIRST_S + 0.2, []
    for text_of_one in text.split():
        timed.append(TimedWord(Word(text_of_one, time_s, time_s + WORD_S, 0.9, source), (len(timed),)))
        time_s += WORD_S + pauses.get(text_of_one, PAUSE_S)
    start, stop = round(FIRST_S * HZ), round(time_s * HZ)
    samples = np.arange(stop - start, dtype=np.float32) / (stop - start)
    chunk = SpeechChunk(0, start, samples, (SpeechSpan(start, stop),))
    task = ChunkTask(0, chunk, "en", options=TranscribeOptions(**options))  # type: ignore[arg-type]  # whatever a test gives
    return ChunkResult(task, "en", text, tuple(timed))


class Saying(FakeWhisper):
    """Its tokens are letters, of which it says as many as a model says in tokens of several; it notes its prompts."""

    def __init__(self, script: Script, faults: Faults | None = None) -> None:
        super().__init__(script=script, faults=faults)
        self.prompts: list[str] = []

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        self.prompts += ["".join(chr(token) for token in prompt if token < 0x110000) for prompt in prompts]
        return super().generate(encoded, prompts, replace(decoding, max_new_tokens=8 * decoding.max_new_tokens))


def hypothesis_of(answer: str) -> Hypothesis:
    return Hypothesis(tuple(map(ord, answer)), -0.1, 0.0, cap_hit=False)


def saying(*answers: str, faults: Faults | None = None) -> Saying:
    """It says these, one after the other, whatever it hears."""
    left = list(answers)
    return Saying(lambda _row: hypothesis_of(left.pop(0)), faults)


def heard(found: ChunkResult, engine: FakeWhisper) -> ChunkResult:
    return with_ends_heard(engine, found, unsure_ends(found), CALLER)


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("seen a dot before. And I", ", and", "seen a dot before, and I"),
        ("from Prague. Measures the", ", measured", "from Prague, measures the"),
        ("between them. With respect", " with", "between them, with respect"),
        ("the “type.” Was in", ", was", "the “type,” was in"),
        ("be obtained. And when", ". And", "be obtained. And when"),
        ("the corpus. I'm talking", " I'm", "the corpus. I'm talking"),
        ("it rained. I was", ", in", "it rained. I was"),
        ("the Mt. Everest is", " Everest", "the Mt. Everest is"),
        ("beans. Star four", ", pony", "beans. Star four"),
        ("beans. Star four", "", "beans. Star four"),
    ],
)
def test_what_is_heard_is_written(text: str, answer: str, expected: str) -> None:
    before = result(SLOWLY + text)
    after = heard(before, engine := saying(answer))
    assert after.text == SLOWLY + expected == " ".join(timed.word.text for timed in after.words)
    assert len(engine.decodings) == 1
    same = [replace(timed, word=replace(timed.word, text="x")) for timed in before.words]
    assert [replace(timed, word=replace(timed.word, text="x")) for timed in after.words] == same


@pytest.mark.parametrize(("pause_s", "expected"), [(0.19, "it rained, we"), (0.21, "it rained. We")])
def test_no_mark_in_spite_of_a_pause_says_nothing(pause_s: float, expected: str) -> None:
    before = result(SLOWLY + "it rained. We", {"rained.": pause_s})
    assert heard(before, saying(" we")).text == SLOWLY + expected


def test_each_end_is_heard_behind_the_words_as_they_were_decoded() -> None:
    engine = saying(", we", ", and")
    after = heard(result(SLOWLY + "Today. We. And came"), engine)
    assert after.text == SLOWLY + "Today, we, and came"
    assert [bytes(decoding.prefix).decode() for decoding in engine.decodings] == [
        " Well. Then. Today",
        " Well. Then. Today. We",
    ]


def test_what_was_said_before_the_window_is_its_prompt() -> None:
    text = SLOWLY + "so " * 20 + "said. We went"
    heard(result(text), engine := saying("."))
    assert engine.prompts == [" ".join(text.split()[:17])]


@pytest.mark.parametrize(
    "text",
    [
        *("before, And I", "before... And I", "before? And I", "before! And I", "before. and I", "before. 5 of"),
        *("Mr. Smith", "in D.C. On Monday", "at 5 a.m. Eastern", "a U.S. Senate"),
    ],
)
def test_other_places_are_sure(text: str) -> None:
    assert unsure_ends(result(SLOWLY + text)) == []


def test_a_pause_makes_an_end_sure() -> None:
    assert unsure_ends(result(SLOWLY + "It rained. We left.", {"rained.": 0.29})) == [4]
    assert unsure_ends(result(SLOWLY + "It rained. We left.", {"rained.": 0.31})) == []


def test_where_hardly_an_end_has_a_pause_a_short_one_says_nothing() -> None:
    text = "It rained. We left. Then we came."
    assert unsure_ends(result(text, {"rained.": 0.6})) == [4]
    assert unsure_ends(result(text)) == []
    assert unsure_ends(result("It rained. We left.")) == []


def test_where_the_next_word_is_not_in_the_window_nothing_is_asked() -> None:
    found = result(SLOWLY + "It rained. We left.")
    shorter = replace(found.task.chunk, samples=found.task.chunk.samples[: 2 * HZ])
    engine = saying()
    assert heard(replace(found, task=replace(found.task, chunk=shorter)), engine).words == found.words
    whole = replace(found.task.chunk, samples=np.tile(found.task.chunk.samples, 4))
    longer_s = [(7.0 * (n > 3), 7.0 * (n > 2)) for n in range(len(found.words))]
    words = tuple(
        replace(one, word=replace(one.word, start_s=one.word.start_s + start_s, end_s=one.word.end_s + end_s))
        for one, (start_s, end_s) in zip(found.words, longer_s, strict=True)
    )
    far = replace(found, task=replace(found.task, chunk=whole), words=words)
    assert unsure_ends(far) == [4]
    assert heard(far, engine).words == words
    assert not engine.decodings


def test_six_ends_of_a_chunk_are_heard_at_most() -> None:
    assert unsure_ends(result("Well. " * 9 + "We rained. " * 9)) == [9 + 2 * n for n in range(1, 7)]


@pytest.mark.parametrize("source", list(WordSource))
def test_only_aligners_that_tell_pauses_make_an_end_unsure(source: WordSource) -> None:
    tells = source in {WordSource.CTC, WordSource.CHARACTERS}
    assert unsure_ends(result(SLOWLY + "It rained. We left.", source=source)) == ([4] if tells else [])


def test_where_the_language_changes_a_sentence_ends() -> None:
    whole = result(SLOWLY + "It rained. We left. Then we came.")
    assert unsure_ends(whole) == [4, 6]
    parts = replace(whole, spoken=(WordsIn("en", 4), WordsIn("de", 2), WordsIn("de", 3)))
    assert unsure_ends(parts) == [6]


def test_what_is_heard_begins_with_the_words_of_three_seconds_and_ends_two_behind_the_next() -> None:
    windows: list[np.ndarray] = []

    def script(row: np.ndarray) -> Hypothesis:
        windows.append(row)
        return hypothesis_of(", we")

    text = SLOWLY + "so " * 20 + "said. We " + "go " * 20
    engine = Saying(script)
    assert heard(result(text), engine).text.split()[22:24] == ["said,", "we"]
    [window] = windows
    assert window.shape == (80, BORDER_FRAMES)
    filled_s = np.flatnonzero(window.any(axis=0))[-1] / 100
    assert filled_s == pytest.approx(0.05 + 6 * (WORD_S + PAUSE_S) + BEHIND_S, abs=0.03)
    assert bytes(engine.decodings[0].prefix).decode() == " so so so so so said"


# ---------------------------------------------------------------- as a recognizer does it


class OneResult:
    """A pass whose result is known."""

    def __init__(self, found: ChunkResult) -> None:
        self._found = found

    def recognise(self, _tasks: object) -> list[ChunkResult]:
        return [self._found]


def recognised(
    found: ChunkResult, engine: FakeWhisper, monkeypatch: pytest.MonkeyPatch, caller: Caller = CALLER
) -> ChunkResult:
    monkeypatch.setattr("autorag_whisper.recognition.passes.pass_of", lambda *_: OneResult(found))
    return Recognizer(engine).batch([found.task], caller)[0]


def test_a_chunks_text_has_what_is_heard_and_its_time_that_too(monkeypatch: pytest.MonkeyPatch) -> None:
    before = replace(result(SLOWLY + "a dot before. And I"), time=EngineTime(1.0, 2.0, 3.0, 4.0, 5.0))
    after = recognised(before, saying(", and"), monkeypatch)
    assert after.text == SLOWLY + "a dot before, and I"
    assert 1.0 < after.time.recognise_s < 1.0 + after.time.ended
    assert 5.0 < after.time.ended <= time.perf_counter()
    assert (after.time.align_s, after.time.began, after.time.turned) == (2.0, 3.0, 4.0)


@pytest.mark.parametrize("options", [{"quality": Quality.FAST}, {"task": Task.TRANSLATE}])
def test_not_with_fast_nor_of_a_translation(options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    before = result(SLOWLY + "a dot before. And I", **options)
    assert recognised(before, saying(), monkeypatch) is before


def test_not_by_a_model_that_has_the_full_window_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before, engine = result(SLOWLY + "a dot before. And I"), saying()
    monkeypatch.setattr(engine, "_spec", replace(engine.spec, strict_window=True))
    assert recognised(before, engine, monkeypatch) is before


@pytest.mark.parametrize(
    "error",
    [
        EngineError("fake", "encode", "something"),
        MemoryError(),
        DeviceError("cuda:0", FailureCause.OUT_OF_MEMORY, "a tensor"),
    ],
)
def test_an_engine_that_fails_at_it_costs_nothing(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = result(SLOWLY + "a dot before. And I")
    assert recognised(before, saying(faults=failing(error)), monkeypatch).words == before.words
    assert "could not be heard again" in caplog.text


def test_a_device_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = DeviceError("cuda:0", FailureCause.STICKY, "it fell off the bus")
    with pytest.raises(DeviceError, match="bus"):
        recognised(result(SLOWLY + "a dot before. And I"), saying(faults=failing(lost)), monkeypatch)


def test_a_border_costs_nothing_either_where_memory_ends(caplog: pytest.LogCaptureFixture) -> None:
    left, right = result(SLOWLY + "a dot before."), result("And I")
    full = DeviceError("cuda:0", FailureCause.OUT_OF_MEMORY, "a tensor")
    assert Recognizer(saying(faults=failing(full))).hear_border(Border(left, right, "en"), CALLER) == ""
    assert "could not be heard again" in caplog.text


def failing(error: Exception) -> Faults:
    def fail(_stage: str, _number: int) -> None:
        raise error

    return Faults(fail)


def test_a_caller_that_cancels_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = Caller(lambda _file, _choice: None, lambda: True)
    with pytest.raises(Cancelled):
        recognised(result(SLOWLY + "a dot before. And I"), saying(), monkeypatch, cancelled)
