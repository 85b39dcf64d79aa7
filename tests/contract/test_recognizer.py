"""What `recognition.recognizer.Recognizer` promises, held against every kind of engine: chunks in, results out.

whisperX's takes part in the environment that `scripts/whisperx_env.sh` makes.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from autorag_whisper.domain.audio import SAMPLE_RATE_HZ, SpeechChunk, SpeechSpan
from autorag_whisper.domain.device import CPU, CUDA, FailureCause
from autorag_whisper.domain.errors import Cancelled, DeviceError, EngineError
from autorag_whisper.domain.request import Aligner, TranscribeOptions
from autorag_whisper.domain.transcript import WordSource, join_words
from autorag_whisper.engines import native, whisperx
from autorag_whisper.engines.base import DECODING_OPTIONS
from autorag_whisper.engines.ctranslate2 import LoadRequest, load
from autorag_whisper.recognition.border_hearing import Border
from autorag_whisper.recognition.chunk_result import AskLanguage, ChunkTask
from autorag_whisper.recognition.ctc_alignment import CtcAligner
from autorag_whisper.recognition.recognizer import Caller, Recognizer
from autorag_whisper.testing import (
    FakeEmitter,
    FakeTextEngine,
    FakeWhisper,
    FakeWhisperPipeline,
    Faults,
    speech_samples,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from autorag_whisper.recognition.chunk_result import ChunkResult
    from autorag_whisper.recognition.language import LanguageChoice

needs_whisperx = pytest.mark.skipif(find_spec("whisperx") is None, reason="needs whisperX: scripts/whisperx_env.sh")
FAKES = {
    "fake-whisper": FakeWhisper,
    "fake-pipeline": FakeWhisperPipeline,
    "fake-text": FakeTextEngine,
    "fake-text-without-times": lambda **given: FakeTextEngine(times_words=False, **given),
}
STAGES = {"fake-whisper": "generate", "fake-pipeline": "generate"}
ENGINES = [*FAKES, "tiny.en", "native", pytest.param("whisperx", marks=needs_whisperx)]


@pytest.fixture(scope="module", params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def make(kind: str, request: pytest.FixtureRequest) -> Callable[[], Recognizer]:
    """Makes a recogniser; each call a new one."""
    if kind in FAKES:
        return lambda: Recognizer(FAKES[kind]())
    tiny = request.getfixturevalue("tiny_en_int8_folder" if kind == "native" else "tiny_en_folder")
    if kind == "native":
        request.getfixturevalue("native_library")
    loader = {"whisperx": whisperx.load, "native": native.load}.get(kind, load)
    wanted = LoadRequest(tiny, "tiny.en", CPU, "int8", 2, strict_window=kind == "whisperx")
    return lambda: Recognizer(loader(wanted))


@pytest.fixture(scope="module")
def recognizer(make: Callable[[], Recognizer]) -> Recognizer:
    return make()


@pytest.fixture(scope="module")
def chunks(kind: str, demo_sample: Path) -> list[SpeechChunk]:
    """Three chunks of speech that the engine understands, and one of silence, of unequal lengths."""
    if kind in FAKES:
        sounds = [speech_samples(words) for words in (5, 3, 7)]
    else:
        with av.open(str(demo_sample)) as container:
            resampler = av.AudioResampler("fltp", "mono", 16_000)
            pieces = [p.to_ndarray()[0] for f in container.decode(audio=0) for p in resampler.resample(f)]
        speech = np.concatenate(pieces).astype(np.float32)
        sounds = [speech[: 7 * 16_000 + 1], speech[7 * 16_000 : 11 * 16_000], speech[-6 * 16_000 :]]
    return [*map(chunk_of, range(3), sounds), chunk_of(3, np.zeros(3 * 16_000, np.float32))]


def chunk_of(index: int, samples: np.ndarray) -> SpeechChunk:
    """The chunks of a file lie 30 s apart."""
    start = index * 30 * SAMPLE_RATE_HZ
    speech = (SpeechSpan(start + SAMPLE_RATE_HZ // 2, start + len(samples) - SAMPLE_RATE_HZ // 2),)
    return SpeechChunk(index, start, samples, speech, 0.99)


def tasks_of(chunks: list[SpeechChunk], language: str | None = "en", **options: object) -> list[ChunkTask]:
    asked = TranscribeOptions(**options)  # type: ignore[arg-type]  # whatever a test gives
    return [ChunkTask(0, chunk, language, options=asked) for chunk in chunks]


class Listening:
    """A caller that notes what it is told, and cancels when its engine has been asked often enough."""

    def __init__(self, patience: float = math.inf, ctc: CtcAligner | None = None) -> None:
        self.told: list[tuple[int, str]] = []
        self._patience = patience
        self.caller = Caller(on_language=self._note, cancelled=self._is_out_of_patience, ctc=ctc)

    def _note(self, file: int, choice: LanguageChoice) -> None:
        self.told.append((file, choice.code))

    def _is_out_of_patience(self) -> bool:
        self._patience -= 1
        return self._patience < 0


def run(recognizer: Recognizer, tasks: list[ChunkTask], caller: Caller | None = None) -> list[ChunkResult]:
    """The final results of tasks: what needs a redo is done again, alone."""
    caller = caller or Listening().caller
    found = recognizer.batch(tasks, caller)
    return [recognizer.batch([one.again()], caller)[0] if one.needs_redo else one for one in found]


def said(results: list[ChunkResult]) -> list[tuple[str, ...]]:
    return [tuple(timed.word.text for timed in result.words) for result in results]


def test_each_chunk_has_a_result_in_the_order_of_the_tasks(recognizer: Recognizer, chunks: list[SpeechChunk]) -> None:
    for order in ([0, 1, 2, 3], [2, 0]):
        results = run(recognizer, tasks_of([chunks[n] for n in order]))
        assert [result.task.chunk.index for result in results] == order
        assert all((len(result.words) > 2) is (n != 3) for n, result in zip(order, results, strict=True))
        assert not any(result.needs_redo or result.undecided for result in results)


def test_words_are_those_of_the_text_in_order_and_inside_their_chunk(
    recognizer: Recognizer, chunks: list[SpeechChunk]
) -> None:
    for result in run(recognizer, tasks_of(chunks[:3])):
        words = [timed.word for timed in result.words]
        assert join_words(words) == result.text
        chunk = result.task.chunk
        times = [moment for word in words for moment in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert chunk.start_s <= times[0] < times[-1] <= chunk.start_s + chunk.duration_s + 1e-6
        assert all(0 < word.probability <= 1 for word in words)


def test_a_chunks_result_does_not_depend_on_its_company(recognizer: Recognizer, chunks: list[SpeechChunk]) -> None:
    tasks = tasks_of(chunks)
    together = said(run(recognizer, tasks))
    assert together == [said(run(recognizer, [task]))[0] for task in tasks]


def test_an_attempt_says_how_it_was_decoded(recognizer: Recognizer, chunks: list[SpeechChunk]) -> None:
    [result] = run(recognizer, tasks_of(chunks[:1]))
    assert result.attempt is not None
    assert (result.attempt.window_frames > 0) is recognizer.spec.has_windows
    assert math.isfinite(result.attempt.avg_logprob)
    assert 0 <= result.attempt.no_speech_prob <= 1


def test_arguments_are_neither_changed_nor_kept(recognizer: Recognizer, chunks: list[SpeechChunk]) -> None:
    copies = [replace(chunk, samples=chunk.samples.copy()) for chunk in chunks[:2]]
    before = said(run(recognizer, tasks_of(copies)))
    for copy, chunk in zip(copies, chunks, strict=False):
        assert np.array_equal(copy.samples, chunk.samples)
        copy.samples[:] = 0
    assert said(run(recognizer, tasks_of(chunks[:2]))) == before


def test_many_threads_get_what_one_gets(recognizer: Recognizer, chunks: list[SpeechChunk]) -> None:
    expected = said(run(recognizer, tasks_of(chunks)))
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(lambda: said(run(recognizer, tasks_of(chunks)))) for _ in range(3)]
        assert [job.result(120) for job in jobs] == [expected] * 3


def test_a_language_is_told_once_where_it_was_asked_for_and_else_never(
    recognizer: Recognizer, chunks: list[SpeechChunk]
) -> None:
    listening = Listening()
    results = run(recognizer, tasks_of(chunks[:2]), listening.caller)
    assert not listening.told
    assert {result.language for result in results} == {"en"}
    if not recognizer.spec.detects_languages:
        return
    for ask, count in ((AskLanguage.IF_SURE, 1), (AskLanguage.LIKELIEST, 1), (AskLanguage.TOGETHER, 2)):
        listening = Listening()
        asked = [replace(task, ask=ask) for task in tasks_of(chunks[:count], None)]
        results = run(recognizer, asked, listening.caller)
        assert listening.told == [(0, "en")]
        assert {result.language for result in results} == {"en"}


def test_an_unsure_language_comes_back_undecided_only_where_that_was_asked_for(kind: str) -> None:
    if kind not in ("fake-whisper", "fake-pipeline"):
        pytest.skip("it is never unsure, or cannot be asked")
    recognizer = Recognizer(FAKES[kind](language=("de", 0.4)))
    [task] = tasks_of([chunk_of(0, speech_samples(3))], None)
    listening = Listening()
    [result] = recognizer.batch([task], listening.caller)
    assert result.undecided
    assert not result.words
    assert not listening.told
    for ask in (AskLanguage.LIKELIEST, AskLanguage.TOGETHER):
        [result] = run(recognizer, [replace(task, ask=ask)])
        assert (result.undecided, result.language, len(result.words)) == (False, "de", 3)


def test_a_chunk_whose_language_is_settled_is_never_asked(kind: str) -> None:
    if kind not in ("fake-whisper", "fake-pipeline"):
        pytest.skip("it knows one language")
    recognizer = Recognizer(FAKES[kind](language=("de", 0.99)))
    tasks = tasks_of([chunk_of(n, speech_samples(3)) for n in range(2)], "ja", code_switching=True)
    listening = Listening()
    assert [result.language for result in run(recognizer, tasks, listening.caller)] == ["de", "de"]
    assert not listening.told, "a chunk that decides for itself says nothing of its file"
    settled = [replace(task, ask=AskLanguage.NOTHING) for task in tasks]
    assert [result.language for result in run(recognizer, settled)] == ["ja", "ja"]


def test_each_row_is_judged_by_its_own_options(kind: str) -> None:
    if kind not in FAKES:
        pytest.skip("its figures are not a test's to choose")
    recognizer = Recognizer(FAKES[kind]())
    chunk = chunk_of(0, speech_samples(12, tail_s=0.5))
    strict, usual = (
        ChunkTask(n, chunk, "en", options=TranscribeOptions(compression_ratio_threshold=limit))
        for n, limit in enumerate((0.0, 2.4))
    )
    one, other = recognizer.batch([strict, usual], Listening().caller)
    assert one.attempts[0].rejected_for == "compression_ratio"
    assert one.needs_redo is recognizer.spec.redoes
    assert other.attempts[0].rejected_for == ""
    assert said([other]) == [
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    ]


def test_whoever_cancels_gets_no_result_and_the_engine_no_further_call(
    make: Callable[[], Recognizer], kind: str, chunks: list[SpeechChunk]
) -> None:
    recognizer = make()
    with pytest.raises(Cancelled):
        recognizer.batch(tasks_of(chunks[:2]), Listening(patience=0).caller)
    if kind in FAKES:
        assert not recognizer.engine.faults.calls  # type: ignore[attr-defined]  # a fake has them
    with pytest.raises(Cancelled):  # between two calls
        recognizer.batch(tasks_of(chunks[:2]), Listening(patience=1).caller)


@pytest.mark.parametrize(
    "error",
    [EngineError("fake", "call", "x"), MemoryError(), DeviceError("cuda", FailureCause.STICKY, "call: x")],
    ids=lambda error: type(error).__name__,
)
def test_what_the_engine_raises_comes_as_it_is(kind: str, error: Exception) -> None:
    if kind not in FAKES:
        pytest.skip("it cannot be made to fail")

    def fail(stage: str, _number: int) -> None:
        if stage == STAGES.get(kind, "transcribe"):
            raise error

    recognizer = Recognizer(FAKES[kind](device=CUDA, faults=Faults(fail)))
    with pytest.raises(type(error)):
        recognizer.batch(tasks_of([chunk_of(0, speech_samples(3))]), Listening().caller)


def aligner(fail: Callable[[str, int], None] = lambda _stage, _number: None) -> CtcAligner:
    return CtcAligner(lambda _language: nullcontext(FakeEmitter(faults=Faults(fail))), CPU)


def test_words_are_timed_by_the_callers_model_where_that_is_asked_for(kind: str) -> None:
    if kind not in FAKES:
        pytest.skip("beeps are no words to it")
    tasks = tasks_of([chunk_of(n, speech_samples(words)) for n, words in enumerate((5, 3))], aligner=Aligner.CTC)
    results = run(Recognizer(FAKES[kind]()), tasks, Listening(ctc=aligner()).caller)
    assert [len(result.words) for result in results] == [5, 3]
    assert {timed.word.source for result in results for timed in result.words} == {WordSource.CTC}
    for result in results:
        starts = [timed.word.start_s - result.task.chunk.start_s for timed in result.words]
        assert starts == pytest.approx([0.5 + 0.8 * n for n in range(len(starts))], abs=0.05)


def test_a_model_of_the_callers_that_fails_costs_no_word(kind: str) -> None:
    if kind not in FAKES:
        pytest.skip("beeps are no words to it")

    def fail(stage: str, _number: int) -> None:
        raise EngineError("fake", stage, "something")

    tasks = tasks_of([chunk_of(0, speech_samples(5))], aligner=Aligner.CTC)
    [result] = run(Recognizer(FAKES[kind]()), tasks, Listening(ctc=aligner(fail)).caller)
    assert said([result]) == [("one", "two", "three", "four", "five")]
    assert {timed.word.source for timed in result.words} <= {WordSource.TOKENS, WordSource.INTERPOLATED}
    assert result.aligned.wanted is WordSource.CTC
    assert result.aligned.fallbacks


def test_a_border_is_heard_by_engines_that_say_so(recognizer: Recognizer, chunks: list[SpeechChunk]) -> None:
    left, right = run(recognizer, tasks_of(chunks[:2]))
    if recognizer.spec.hears_borders:
        assert isinstance(recognizer.hear_border(Border(left, right, "en"), Listening().caller), str)
        with pytest.raises(Cancelled):
            recognizer.hear_border(Border(left, right, "en"), Listening(patience=0).caller)


def test_its_spec_says_what_it_can_do(recognizer: Recognizer) -> None:
    spec = recognizer.spec
    assert spec.languages
    assert spec.workers >= 1
    assert spec.batch_size >= 1
    assert spec.options <= DECODING_OPTIONS.keys()
    assert spec.one_window is (spec.strict_window or spec.mixes_windows or not spec.has_windows)
    assert spec.only_language == ("en" if spec.languages == {"en"} else None)


def test_it_goes_comes_back_and_hears_what_it_heard(make: Callable[[], Recognizer], chunks: list[SpeechChunk]) -> None:
    recognizer = make()
    before = said(run(recognizer, tasks_of(chunks[:1])))
    went = recognizer.offload()
    assert went is recognizer.spec.device.is_cuda
    assert recognizer.restore() is went
    assert said(run(recognizer, tasks_of(chunks[:1]))) == before
    recognizer.close()
    recognizer.close()
    with pytest.raises(EngineError, match="closed"):
        recognizer.batch(tasks_of(chunks[:1]), Listening().caller)
