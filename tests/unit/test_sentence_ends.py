"""Ends of sentences inside a chunk without a pause are heard again, and nothing but marks and case changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autorag_whisper.align.words import TimedWord
from autorag_whisper.domain.audio import SpeechChunk, SpeechSpan
from autorag_whisper.domain.errors import Cancelled, EngineError
from autorag_whisper.domain.request import Quality, Task, TranscribeOptions
from autorag_whisper.domain.transcript import Word, WordSource
from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.recognition.border_hearing import BEHIND_S, BORDER_FRAMES
from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask, EngineTime, WordsIn
from autorag_whisper.recognition.recognizer import Caller, Recognizer
from autorag_whisper.recognition.sentence_ends import unsure_ends, with_ends_heard
from autorag_whisper.testing import FakeWhisper
from autorag_whisper.testing.engine import Faults

HZ = 16_000
WORD_S, PAUSE_S, FIRST_S = 0.4, 0.1, 100.0
CALLER = Caller(lambda _file, _choice: None, lambda: False)


def result(
    text: str, pauses: dict[str, float] | None = None, source: WordSource = WordSource.CHARACTERS, **options: object
) -> ChunkResult:
    """A chunk that starts at `FIRST_S` with the words of a text, and behind some of them other pauses."""
    time_s, timed = FIRST_S + 0.2, []
    for text_of_one in text.split():
        timed.append(TimedWord(Word(text_of_one, time_s, time_s + WORD_S, 0.9, source), (len(timed),)))
        time_s += WORD_S + (pauses or {}).get(text_of_one, PAUSE_S)
    start, stop = round(FIRST_S * HZ), round(time_s * HZ)
    samples = np.arange(stop - start, dtype=np.float32) / (stop - start)
    chunk = SpeechChunk(0, start, samples, (SpeechSpan(start, stop),))
    task = ChunkTask(0, chunk, "en", options=TranscribeOptions(**options))  # type: ignore[arg-type]  # whatever a test gives
    return ChunkResult(task, "en", text, tuple(timed))


def saying(*answers: str, faults: Faults | None = None) -> FakeWhisper:
    """It says these, one after the other, whatever it hears."""
    left = list(answers)
    return FakeWhisper(
        script=lambda _row: Hypothesis(tuple(map(ord, left.pop(0))), -0.1, 0.0, cap_hit=False), faults=faults
    )


def heard(found: ChunkResult, engine: FakeWhisper) -> ChunkResult:
    return with_ends_heard(engine, found, unsure_ends(found), CALLER)


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("seen a dot before. And I", ", and", "seen a dot before, and I"),
        ("from Prague. Photograph the", ", photographed", "from Prague, photograph the"),
        ("between them. With respect", " with", "between them, with respect"),
        ("be obtained. And when", ". And", "be obtained. And when"),
        ("beans. Star four", " pony", "beans. Star four"),
    ],
)
def test_what_is_heard_is_written(text: str, answer: str, expected: str) -> None:
    before = result(text)
    after = heard(before, engine := saying(answer))
    assert after.text == expected == " ".join(timed.word.text for timed in after.words)
    assert len(engine.decodings) == 1
    same = [replace(timed, word=replace(timed.word, text="x")) for timed in before.words]
    assert [replace(timed, word=replace(timed.word, text="x")) for timed in after.words] == same


def test_each_end_is_heard_behind_the_words_as_they_are_by_then() -> None:
    engine = saying(", we", ", and")
    after = heard(result("Today. We went. And came"), engine)
    assert after.text == "Today, we went, and came"
    assert [bytes(decoding.prefix).decode() for decoding in engine.decodings] == [" Today", " Today, we went"]


@pytest.mark.parametrize(
    "text",
    [
        "Mr. Smith",
        "before, And I",
        "before... And I",
        "before? And I",
        "before! And I",
        "before. and I",
        "before. 5 of",
    ],
)
def test_other_places_are_sure(text: str) -> None:
    assert unsure_ends(result(text)) == []


def test_a_pause_makes_an_end_sure() -> None:
    assert unsure_ends(result("It rained. We left.", {"rained.": 0.29})) == [2]
    assert unsure_ends(result("It rained. We left.", {"rained.": 0.31})) == []


def test_of_many_in_a_chunk_the_shortest_pauses_are_heard() -> None:
    names = [f"{chr(ord('A') + n)}{'a' * (n + 1)}." for n in range(9)]
    pauses = {name: 0.01 * (n * 7 % 9) for n, name in enumerate(names)}
    found = result(" ".join(names), pauses)
    assert unsure_ends(found) == sorted(sorted(range(1, 9), key=lambda n: pauses[names[n - 1]])[:6])


@pytest.mark.parametrize("source", list(WordSource))
def test_only_aligners_that_tell_pauses_make_an_end_unsure(source: WordSource) -> None:
    tells = source in {WordSource.CTC, WordSource.CHARACTERS}
    assert unsure_ends(result("It rained. We left.", source=source)) == ([2] if tells else [])


def test_where_the_language_changes_a_sentence_ends() -> None:
    whole = result("It rained. We left. Then we came.")
    assert unsure_ends(whole) == [2, 4]
    parts = replace(whole, spoken=(WordsIn("en", 2), WordsIn("de", 2), WordsIn("de", 3)))
    assert unsure_ends(parts) == [4]


def test_what_is_heard_begins_with_the_words_of_three_seconds_and_ends_two_behind_the_next() -> None:
    windows: list[np.ndarray] = []

    def script(row: np.ndarray) -> Hypothesis:
        windows.append(row)
        return Hypothesis(tuple(map(ord, ", we")), -0.1, 0.0, cap_hit=False)

    text = " ".join(["so"] * 20) + " said. We " + " ".join(["go"] * 20)
    engine = FakeWhisper(script=script)
    assert heard(result(text), engine).text.split()[20:22] == ["said,", "we"]
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
    before = replace(result("a dot before. And I"), time=EngineTime(1.0, 2.0, 3.0, 4.0, 5.0))
    after = recognised(before, saying(", and"), monkeypatch)
    assert after.text == "a dot before, and I"
    assert after.time.recognise_s > 1.0
    assert after.time.ended > 5.0
    assert (after.time.align_s, after.time.began, after.time.turned) == (2.0, 3.0, 4.0)


@pytest.mark.parametrize("options", [{"quality": Quality.FAST}, {"task": Task.TRANSLATE}])
def test_not_with_fast_nor_of_a_translation(options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    before = result("a dot before. And I", **options)
    assert recognised(before, saying(), monkeypatch) is before


def test_not_by_a_model_that_has_the_full_window_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before, engine = result("a dot before. And I"), saying()
    monkeypatch.setattr(engine, "_spec", replace(engine.spec, strict_window=True))
    assert recognised(before, engine, monkeypatch) is before


def test_an_engine_that_fails_at_it_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(stage: str, _number: int) -> None:
        raise EngineError("fake", stage, "something")

    before = result("a dot before. And I")
    assert recognised(before, saying(faults=Faults(fail)), monkeypatch).words == before.words
    assert "could not be heard again" in caplog.text


def test_a_caller_that_cancels_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = Caller(lambda _file, _choice: None, lambda: True)
    with pytest.raises(Cancelled):
        recognised(result("a dot before. And I"), saying(), monkeypatch, cancelled)
