"""The run's policy over fakes: device fallback, language vote, redo, failing batches, cancellation."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag_whisper.domain.device import FailureCause
from autorag_whisper.domain.errors import Cancelled, DeviceError, EngineError, GpuBusy, ModelDamaged
from autorag_whisper.domain.notes import NoteKind
from autorag_whisper.domain.request import Quality, TranscribeOptions
from autorag_whisper.domain.transcript import WordSource
from autorag_whisper.engines.base import Hypothesis
from autorag_whisper.recognition.effort import REDO_CAPS, may_try_again, steps_of
from autorag_whisper.recognition.loops import RUNAWAY_RULE
from autorag_whisper.testing import FakeWhisper, speech_samples, write_speech
from quiet import until_quiet
from run_world import CARD, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    from autorag_whisper.engines.base import Decoding, Encoded
    from autorag_whisper.transcriber import Progress
    from autorag_whisper.transcriber.outcome import FileOutcome


def card_fails(stage: str, cause: FailureCause = FailureCause.STICKY, *, at: int = 1) -> Callable[[str, int], None]:
    def fail(now: str, number: int) -> None:
        if now == stage and number >= at:
            raise DeviceError("cuda", cause, f"{stage}: CUDA failed with error something")

    return fail


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Four chunks of ten words, ten seconds apart: not long enough for a short first chunk."""
    import numpy as np

    part = speech_samples(10, tail_s=6.0)
    return write_speech(tmp_path / "talk.wav", np.concatenate([part] * 4))


TEN = "one two three four five six seven eight nine ten"


def test_the_fakes_talk_is_recognised_word_for_word(talk: Path) -> None:
    transcript = World().transcriber.transcribe(talk, model="fake")
    assert transcript.text == " ".join([TEN] * 4)
    assert transcript.device == "cpu"


def test_a_card_that_fails_at_load_costs_nothing_but_time(talk: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(CARD)
    world.fail_load = lambda device: card_fails("load")("load", 1) if device.is_cuda else None
    with caplog.at_level(logging.WARNING):
        transcript = world.transcriber.transcribe(talk, model="fake")
    assert transcript.text == " ".join([TEN] * 4)
    assert world.loads == [("cuda", "first"), ("cpu", "fallback")]
    assert [(s.stage, s.from_device, s.to_device, s.cause) for s in transcript.device_fallbacks] == [
        ("load", "cuda", "cpu", "sticky")
    ]
    assert sum("stays on the CPU" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("stage", ["encode", "detect_language", "generate", "align"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_card_that_dies_in_the_work_loses_and_doubles_no_chunk(talk: Path, stage: str, at: int) -> None:
    world = World(CARD)
    world.faults["cuda"].fail = card_fails(stage, at=at)
    transcript = world.transcriber.transcribe(talk, model="fake")
    assert transcript.text == " ".join([TEN] * 4)
    assert transcript.device == "cpu"
    assert [step.stage for step in transcript.device_fallbacks] == [stage]
    assert world.fakes[0].closed, "a process on the CPU must not keep the card's memory"


def test_after_the_pin_every_handle_works_on_the_cpu_and_the_warning_came_once(
    talk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A handle that fails for ever after the pin: it held the dead model instead of naming it."""
    world = World(CARD)
    handle = world.transcriber.model("fake", "cuda")
    world.transcriber.load(handle)
    assert handle.device == "cuda"
    world.faults["cuda"].fail = card_fails("generate")
    with caplog.at_level(logging.WARNING):
        first = world.transcriber.transcribe(talk, model=handle)
        second = world.transcriber.transcribe(talk, model=handle)
    assert first.text == second.text
    assert (handle.device, second.device, second.device_fallbacks) == ("cpu", "cpu", ())
    assert world.loads == [("cuda", "first"), ("cpu", "fallback")]
    assert sum("stays on the CPU" in record.message for record in caplog.records) == 1


def test_a_device_of_a_job_is_its_handles_not_the_processes(talk: Path) -> None:
    """A process-wide device used for a model that lives elsewhere."""
    world = World(CARD)
    on_card, on_cpu = world.transcriber.model("fake", "cuda"), world.transcriber.model("fake", "cpu")
    assert world.transcriber.transcribe(talk, model=on_card).device == "cuda"
    assert world.transcriber.transcribe(talk, model=on_cpu).device == "cpu"
    assert world.transcriber.transcribe(talk, model=on_card).device == "cuda"
    assert world.transcriber.resolved_device() == "cuda"


def test_an_aligner_that_fails_costs_no_word(talk: Path) -> None:
    """whisperX's unaligned segments carry no words, so its callers return nothing when alignment fails."""
    world = World()

    def fail(stage: str, _number: int) -> None:
        if stage == "align":
            raise EngineError("fake", "align", "no path")

    world.faults["cpu"].fail = fail
    transcript = world.transcriber.transcribe(talk, model="fake")
    assert transcript.text == " ".join([TEN] * 4)
    assert {word.source for word in transcript.words} == {WordSource.INTERPOLATED}
    starts = [word.start_s for word in transcript.words]
    assert starts == sorted(starts)
    assert all(word.end_s > word.start_s > 0 for word in transcript.words)


def test_one_chunk_that_the_engine_cannot_do_fails_its_file_alone(tmp_path: Path) -> None:
    def script(features: np.ndarray) -> Hypothesis:
        fake = FakeWhisper()
        found = fake._count(features)
        if "seven" in fake.tokenizer.decode(found.token_ids):
            raise EngineError("fake", "generate", "cannot")
        return found

    world = World(script=script)
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(n)) for n in (3, 7, 4, 5)]
    outcomes = {o.source.name: o for o in world.transcriber.transcribe_many(files, model="fake")}
    assert isinstance(outcomes["7.wav"].error, EngineError)
    texts = [outcomes[f"{n}.wav"].transcript for n in (3, 4, 5)]
    assert [len(t.words) for t in texts if t] == [3, 4, 5]


def test_an_unsure_language_is_looked_for_in_the_full_window_and_decoded_in_the_short_one(tmp_path: Path) -> None:
    """Short clips in noise were taken for Welsh, Latin or Hindi in a window of 10 s, with a probability of 0.3."""
    talk = write_speech(tmp_path / "talk.wav", speech_samples(4))
    world = World(language=lambda row: ("en", 0.4) if row.shape[1] == 3000 else ("cy", 0.4))
    transcript = world.transcriber.transcribe(talk, model="fake")
    assert transcript.language == "en"
    assert {a.window_frames for segment in transcript.segments for a in segment.attempts} == {1000}


def test_a_chunk_that_fills_the_full_window_is_not_encoded_again_after_the_vote(tmp_path: Path) -> None:
    world = World(language=("ja", 0.4))
    talk = write_speech(tmp_path / "talk.wav", speech_samples(3))
    world.transcriber.transcribe(talk, TranscribeOptions(quality=Quality.BEST), model="fake")
    assert world.faults["cpu"].calls["encode"] == 2  # found unsure, looked at


def test_an_unsure_language_is_voted_on_and_every_chunk_comes_once(talk: Path) -> None:
    world = World(language=("de", 0.4))
    transcript = world.transcriber.transcribe(talk, model="fake")
    assert (transcript.language, transcript.language_probability) == ("de", pytest.approx(0.4))
    assert transcript.text == " ".join([TEN] * 4)
    assert {segment.language for segment in transcript.segments} == {"de"}


def test_an_unsure_language_of_one_chunk_is_taken_as_it_is(tmp_path: Path) -> None:
    world = World(language=("ja", 0.4))
    file = write_speech(tmp_path / "short.wav", speech_samples(3))
    transcript = world.transcriber.transcribe(file, model="fake")
    assert (transcript.language, transcript.text) == ("ja", "one two three")


def test_a_chunk_that_repeats_itself_is_redone_alone_and_the_attempts_are_kept(tmp_path: Path) -> None:
    looped = FakeWhisper().tokenizer.encode(" thanks" * 20)
    sound = FakeWhisper().tokenizer.encode(" hello world")
    asked: list[int] = []

    def script(features: np.ndarray) -> Hypothesis:
        asked.append(features.shape[1])
        return Hypothesis(sound if len(asked) == 3 else looped, -0.3, 0.0, cap_hit=False)

    world = World(script=script)
    transcript = world.transcriber.transcribe(write_speech(tmp_path / "a.wav", speech_samples(3)), model="fake")
    assert transcript.text == "hello world"
    assert asked == [1000, 3000, 3000]
    attempts = transcript.segments[0].attempts
    assert [attempt.rejected_for for attempt in attempts] == ["compression_ratio", "compression_ratio", ""]
    assert [attempt.temperature for attempt in attempts] == [0.0, 0.0, 0.2]
    assert transcript.segments[0].temperature == 0.2


def test_a_sound_that_is_no_speech_in_the_full_window_either_is_not_sampled_until_it_is(tmp_path: Path) -> None:
    # Babble of many throats gave "Do you know what I mean?" once in a few runs: one sample of twenty was not hopeless.
    murmur = FakeWhisper().tokenizer.encode(" I love you.")
    world = World(script=lambda _features: Hypothesis(murmur, -2.2, 0.4, cap_hit=False))
    transcript = world.transcriber.transcribe(write_speech(tmp_path / "a.wav", speech_samples(3)), model="fake")
    assert transcript.words == ()
    assert [rejected.reason.partition(":")[0] for rejected in transcript.rejected] == ["hopeless"]
    assert world.faults["cpu"].calls["generate"] == 2


def test_hallucinated_text_is_not_returned_but_listed_with_its_rule(tmp_path: Path) -> None:
    hallucination = FakeWhisper().tokenizer.encode(" Thanks for watching!")
    world = World(script=lambda _features: Hypothesis(hallucination, -1.5, 0.95, cap_hit=False))
    transcript = world.transcriber.transcribe(write_speech(tmp_path / "a.wav", speech_samples(3)), model="fake")
    assert transcript.words == ()
    assert [(r.text, r.reason.partition(":")[0]) for r in transcript.rejected] == [
        ("Thanks for watching!", "no_speech")
    ]
    assert transcript.coverage.skipped_s == pytest.approx(transcript.coverage.speech_s)


def test_a_sound_that_fails_every_attempt_costs_no_more_than_its_budget(tmp_path: Path) -> None:
    # The decoder runs away whatever it is asked: each attempt ends at the token cap, and four caps end the redo.
    looped = FakeWhisper().tokenizer.encode(" thanks" * 200)
    world = World(script=lambda _features: Hypothesis(looped, -0.3, 0.0, cap_hit=True))
    samples = speech_samples(3)
    transcript = world.transcriber.transcribe(write_speech(tmp_path / "a.wav", samples), model="fake")
    calls = world.faults["cpu"].calls
    assert (calls["encode"], calls["generate"]) == (2, 1 + REDO_CAPS)
    assert len(transcript.segments[0].attempts) == 1 + REDO_CAPS


def test_a_text_that_is_there_twice_is_done_again_in_the_full_window(tmp_path: Path) -> None:
    encode, asked = FakeWhisper().tokenizer.encode, list[int]()

    def script(features: np.ndarray) -> Hypothesis:
        asked.append(features.shape[1])
        text = " leave the keys" * (2 if features.shape[1] < 3000 else 1)
        return Hypothesis(encode(text), -0.2, 0.0, cap_hit=False)

    world = World(script=script)
    transcript = world.transcriber.transcribe(write_speech(tmp_path / "a.wav", speech_samples(3)), model="fake")
    assert transcript.text == "leave the keys"
    assert asked == [1000, 3000]


def test_of_a_runaway_the_first_saying_is_kept_and_the_rest_is_listed(tmp_path: Path) -> None:
    looped = FakeWhisper().tokenizer.encode("你好感谢" + "感谢" * 200)  # a syllable each
    world = World(script=lambda _features: Hypothesis(looped, -0.3, 0.0, cap_hit=True))
    transcript = world.transcriber.transcribe(write_speech(tmp_path / "a.wav", speech_samples(3)), model="fake")
    assert transcript.text == "你好感谢"
    [rejected] = transcript.rejected
    assert rejected.reason == RUNAWAY_RULE
    assert rejected.text.startswith("感谢感谢")


@pytest.mark.parametrize("loops", [5, 6])
def test_a_redo_goes_on_behind_its_budget_where_the_loop_rule_would_leave_next_to_nothing(
    tmp_path: Path, loops: int
) -> None:
    calls: list[object] = []
    encode = FakeWhisper().tokenizer.encode

    def script(features: object) -> Hypothesis:
        calls.append(features)
        text = "感谢" * 200 if len(calls) <= loops else " what was said"
        return Hypothesis(encode(text), -0.3, 0.0, cap_hit=len(calls) <= loops)

    transcript = World(script=script).transcriber.transcribe(
        write_speech(tmp_path / "a.wav", speech_samples(3)), model="fake"
    )
    assert transcript.text == "what was said"
    assert len(calls) == loops + 1


@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=20), st.integers(1, 300))
def test_no_order_of_attempts_takes_more_than_the_budget(attempts: list[tuple[int, bool]], cap: int) -> None:
    spent = 0
    for tokens, sampled in attempts:
        if not may_try_again(spent, cap):
            break
        spent += steps_of(tokens, cap, sampled=sampled)
    assert spent <= REDO_CAPS * cap


@contextmanager
def _in_thread(work: Callable[[], None]):  # type: ignore[no-untyped-def]  # only used here
    thread = Thread(target=work)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


def test_closing_a_stream_waits_for_the_batch_in_flight_and_starts_no_other(talk: Path) -> None:
    world = World()
    stream = world.transcriber.stream(talk, TranscribeOptions(language="en", batch_size=1), model="fake")
    next(stream)
    go_on = Event()
    world.faults["cpu"].hold["generate"] = go_on
    before = world.faults["cpu"].calls["generate"]
    with _in_thread(stream.close):
        go_on.set()
    assert world.faults["cpu"].calls["generate"] <= before + 3
    assert not world.fakes[0].closed
    with pytest.raises(Cancelled, match="cancelled"):
        stream.result()


def test_an_error_of_the_callers_own_ends_the_run_cleanly(talk: Path) -> None:
    world = World()

    def on_progress(_progress: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.transcriber.transcribe(talk, model="fake", on_progress=on_progress)
    assert world.residency.close()


def test_batches_hold_chunks_of_several_files(tmp_path: Path) -> None:
    world = World()
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(2 + n % 3)) for n in range(12)]
    go_on = Event()
    seen: set[str] = set()

    def hold_all_but_the_first(stage: str, number: int) -> None:
        if stage == "encode" and number > 1:  # reading waits for the first result of a run
            go_on.wait(60)

    world.faults["cpu"].fail = hold_all_but_the_first

    def release_when_most_are_read(progress: Progress) -> None:
        seen.add(progress.name)
        if len(seen) == 11:
            go_on.set()

    options = TranscribeOptions(language="en")
    outcomes = list(
        world.transcriber.transcribe_many(files, options, model="fake", on_progress=release_when_most_are_read)
    )
    assert sorted(len(o.transcript.words) for o in outcomes if o.transcript) == [2] * 4 + [3] * 4 + [4] * 4
    assert max(world.faults["cpu"].batches) > 1


def test_until_the_first_words_are_there_no_file_is_read_ahead_of_busy_workers(tmp_path: Path) -> None:
    """Reading an hour ahead took a core from the first chunk, whose words the caller was waiting for."""
    world = World()
    source = write_speech(tmp_path / "hour.wav", speech_samples(600))
    read: list[float] = []
    seen = world.faults["cpu"].hold["generate"] = Event()

    def note(progress: Progress) -> None:
        read.append(progress.total_s or 0.0)

    options = TranscribeOptions(language="en", batch_size=1)
    with world.transcriber.stream(source, options, model="fake", on_progress=note) as stream:
        opener = Thread(target=lambda: next(stream))
        opener.start()
        until_quiet()  # both workers wait for `seen`
        while_busy = len(read)
        seen.set()
        opener.join(60)
        list(stream)
    assert 0 < while_busy < len(read) / 3


def test_the_quality_reaches_the_engine_as_beam_and_window(tmp_path: Path) -> None:
    file = write_speech(tmp_path / "a.wav", speech_samples(3))
    found = {}
    for quality in Quality:
        transcript = World().transcriber.transcribe(file, TranscribeOptions(quality=quality), model="fake")
        [attempt] = transcript.segments[0].attempts
        found[quality.value] = (attempt.beam_size, attempt.window_frames)
    assert found == {"fast": (1, 1000), "balanced": (5, 1000), "best": (5, 3000)}


def test_an_error_that_is_no_files_fault_ends_every_file_of_its_batch(tmp_path: Path) -> None:
    # Only the first of them had an outcome; the run waited for the others for ever.
    world, all_read = World(), Event()

    def busy(stage: str, number: int) -> None:
        if stage == "generate" and number in (3, 4):  # both workers: the others go together
            all_read.wait(60)
        elif stage == "generate" and number > 4:
            raise GpuBusy("whisper", "llm", 1.0)

    def read(progress: Progress) -> None:
        if progress.source.name == files[-1].name:
            all_read.set()

    world.faults["cpu"].fail = busy
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(3)) for n in range(12)]
    outcomes: list[FileOutcome] = []

    def transcribe() -> None:
        options = TranscribeOptions(language="en")
        outcomes.extend(world.transcriber.transcribe_many(files, options, model="fake", on_progress=read))

    reader = Thread(target=transcribe, daemon=True)
    reader.start()
    reader.join(120)
    assert not reader.is_alive()
    assert max(world.faults["cpu"].batches) > 1
    assert sorted(outcome.source.name for outcome in outcomes) == sorted(file.name for file in files)
    assert {type(outcome.error) for outcome in outcomes} == {type(None), GpuBusy}


NO_MEMORY = DeviceError("cuda", FailureCause.OUT_OF_MEMORY, "load: CUDA failed with error out of memory")
STICKY = DeviceError("cuda", FailureCause.STICKY, "load: CUDA failed with error an illegal memory access")


def without_samples(error: Exception) -> type[FakeWhisper]:
    """A recogniser whose copy that samples cannot be loaded, on a card."""

    class NoSamples(FakeWhisper):
        def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
            if decoding.temperature > 0 and (self.spec.device.is_cuda or not isinstance(error, DeviceError)):
                raise error
            return super().generate(encoded, prompts, decoding)

    return NoSamples


DOUBTFUL = Hypothesis(FakeWhisper().tokenizer.encode(" hello there"), -1.5, 0.01, cap_hit=False)


@pytest.mark.parametrize(
    "error", [ModelDamaged("fake", "model.bin", "is missing"), EngineError("fake", "load", "no"), NO_MEMORY]
)
def test_a_text_stays_where_nothing_can_be_sampled_and_that_is_told(tmp_path: Path, error: Exception) -> None:
    """Out of memory for the copy that samples sent the whole session to the CPU."""
    world = World(CARD, engine=without_samples(error), script=lambda _: DOUBTFUL)
    audio = write_speech(tmp_path / "a.wav", speech_samples(3))
    transcript = world.transcriber.transcribe(audio, TranscribeOptions(language="en"), model="fake")
    assert transcript.text == "hello there"
    assert (transcript.device, transcript.device_fallbacks) == ("cuda", ())
    assert [note.kind for note in transcript.notes] == [NoteKind.NOT_SAMPLED]
    options = TranscribeOptions(language="en", temperatures=(0.4,))
    if error is NO_MEMORY:  # nothing was searched for before: the device fallback is asked
        assert world.transcriber.transcribe(audio, options, model="fake").device == "cpu"
    else:
        with pytest.raises(type(error)):
            world.transcriber.transcribe(audio, options, model="fake")


def test_a_card_that_dies_at_sampling_is_left(tmp_path: Path) -> None:
    world = World(CARD, engine=without_samples(STICKY), script=lambda _: DOUBTFUL)
    audio = write_speech(tmp_path / "a.wav", speech_samples(3))
    transcript = world.transcriber.transcribe(audio, TranscribeOptions(language="en"), model="fake")
    assert (transcript.text, transcript.device) == ("hello there", "cpu")
    assert not transcript.notes
