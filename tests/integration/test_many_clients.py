"""Many callers on one engine: they share batches, none waits for another one's reader or pipe, none hears another's."""

from __future__ import annotations

import gc
import io
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.errors import Cancelled, EngineError, InvalidOption
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import FakeWhisper, speech_samples, write_speech
from autorag_whisper.transcriber import CancelToken
from autorag_whisper.transcriber.results import MOST_UNREAD
from run_world import CARD, NO_CARD, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from autorag_whisper.domain.device import Hardware
    from autorag_whisper.domain.transcript import Transcript
    from autorag_whisper.engines.base import Decoding, Encoded, Hypothesis
    from autorag_whisper.testing.whisper import Script
    from autorag_whisper.transcriber import Progress, TranscriptStream
    from autorag_whisper.transcriber.outcome import FileOutcome
    from autorag_whisper.transcriber.run_request import RunRequest
    from autorag_whisper.transcriber.scheduler import Scheduler
    from autorag_whisper.transcriber.work import RunWork

WAIT_S = 60.0
ENGLISH = TranscribeOptions(language="en")
ONE_BY_ONE = TranscribeOptions(language="en", batch_size=1)
SETS = [
    ENGLISH,
    TranscribeOptions(language="de"),
    TranscribeOptions(),
    TranscribeOptions(language="en", task="translate"),
    TranscribeOptions(language="ja", quality="fast"),
    TranscribeOptions(initial_prompt="names of people"),
    TranscribeOptions(allowed_languages=("de", "ja"), batch_size=3),
    TranscribeOptions(language="en", vad=False, logprob_threshold=-0.1, temperatures=(0.0, 0.5)),
]


class Telling(FakeWhisper):
    """Says behind the words in which language, for which task and after which prompt it was asked."""

    def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
        found = super().generate(encoded, prompts, decoding)
        said = [
            f" l{prompt[-3] - 0x120000}t{prompt[-2] - 0x130000}p{len(prompt)}b{decoding.beam_size}"
            for prompt in prompts
        ]
        return [
            hypothesis.__class__((*hypothesis.token_ids, *map(ord, more)), hypothesis.avg_logprob, 0.01, cap_hit=False)
            for hypothesis, more in zip(found, said, strict=True)
        ]


def until(true: Callable[[], object]) -> None:
    pause, waited_s = threading.Event(), 0.0
    while not true():
        pause.wait(0.005)
        waited_s += 0.005
        assert waited_s < WAIT_S


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Twelve chunks of ten words."""
    return write_speech(tmp_path / "talk.wav", np.concatenate([speech_samples(10, tail_s=6.0)] * 12))


@pytest.fixture
def short(tmp_path: Path) -> Path:
    return write_speech(tmp_path / "short.wav", speech_samples(3))


class Held:
    """A world whose engine waits in every call of one stage until it is let go, but for the first `free` calls."""

    def __init__(self, stage: str = "encode", free: int = 0, script: Script | None = None) -> None:
        self.world, self.go_on = World(script=script), threading.Event()
        self.transcriber, self.faults = self.world.transcriber, self.world.faults["cpu"]
        self._stage, self._free = stage, free
        self.faults.fail = self._hold

    def calls(self, stage: str = "encode") -> int:
        return self.faults.calls.get(stage, 0)

    def _hold(self, stage: str, number: int) -> None:
        if stage == self._stage and number > self._free:
            assert self.go_on.wait(WAIT_S)


def wait(world: World, runs: int) -> None:
    """Until so many runs have a chunk that waits or is computed, and what follows from that has been handed out.

    What a caller is told is no sign of either: of a file that is read slowly his first progress comes before its first
    chunk, and a batch that lies ready is taken back for a chunk after he was told of it.
    """

    def have_chunks() -> int:
        all_runs = [work for scheduler in schedulers.copy() for work in scheduler._runs.copy()]
        return sum(bool(work.pool.waiting or work.in_flight) for work in all_runs)

    schedulers = world.transcriber._own.get().schedulers._live
    until(lambda: have_chunks() == runs)
    [scheduler] = schedulers
    dispatch, done = scheduler._dispatch, threading.Event()

    def noted() -> None:
        dispatch()
        done.set()

    scheduler._dispatch = noted  # type: ignore[method-assign]  # the same, seen
    scheduler.may_retire()  # something to wake up for
    assert done.wait(WAIT_S)
    scheduler._dispatch = dispatch  # type: ignore[method-assign]  # as before


# ------------------------------------------------------------ all of it at once


@pytest.mark.slow
def test_two_hundred_files_of_eight_callers_have_the_words_that_each_has_alone(tmp_path: Path) -> None:
    talks = [
        write_speech(tmp_path / f"{n}.wav", np.concatenate([speech_samples(n, tail_s=4.0)] * (1 + n % 3)))
        for n in range(1, 11)
    ]
    alone = {
        (talk, n): World(engine=Telling).transcriber.transcribe(talk, options, model="fake")
        for talk in talks
        for n, options in enumerate(SETS)
    }
    world = World(engine=Telling)
    before, ended = threading.active_count(), list[str]()
    slow, gone = set[int](), set[int]()  # callers that wait for others to end, and those that have done all

    def check(transcript: Transcript | None, talk: Path, n: int) -> None:
        assert transcript is not None
        assert transcript.words == alone[talk, n].words
        assert (transcript.language, transcript.task) == (alone[talk, n].language, alone[talk, n].task)

    def many(caller: int, files: list[Path]) -> None:
        n = caller % len(SETS)
        for outcome in world.transcriber.transcribe_many(files, SETS[n], model="fake", priority=caller % 3):
            check(outcome.transcript, next(file for file in files if file.name == outcome.source.name), n)
            ended.append("done")

    def one(caller: int, number: int, file: Path) -> None:
        n = (caller + number) % len(SETS)
        token = CancelToken()
        with world.transcriber.stream(file, SETS[n], model="fake", cancel=token) as stream:
            if number % 5 == 0:  # cancelled in the midst of it
                next(stream)
                token.cancel()
                with pytest.raises(Cancelled):
                    stream.result()
                ended.append("cancelled")
                return
            if number % 5 == 1:  # reads slowly: others end meanwhile
                next(stream)
                seen = len(ended)
                slow.add(caller)
                until(lambda: len(ended) > seen + 2 or len(slow | gone) == 8)  # or nobody is left who could end
                slow.discard(caller)
            check(stream.result(), file, n)
            ended.append("done")

    def call(caller: int) -> None:
        files = [talks[(caller + n) % len(talks)] for n in range(25)]
        many(caller, files[:10])
        for number, file in enumerate(files[10:]):
            one(caller, number, file)
        gone.add(caller)

    with ThreadPoolExecutor(8) as callers:
        for finished in [callers.submit(call, caller) for caller in range(8)]:
            finished.result(WAIT_S * 5)
    assert len(ended) == 200
    assert ended.count("cancelled") == 8 * 3
    assert len(world.loads) == 1
    until(lambda: threading.active_count() <= before)
    assert world.residency.close()


@pytest.mark.kit
@pytest.mark.slow
def test_real_speech_of_eight_callers_has_the_words_and_times_that_it_has_alone(kit: Path) -> None:
    files = [kit / "tts" / f"{name}.flac" for name in ("acronym01", "contr01", "dates01", "dates02", "dates03")]
    sets = [
        TranscribeOptions(language="en"),
        TranscribeOptions(quality="fast"),
        TranscribeOptions(language="en", initial_prompt="Dates, names and numbers."),
        TranscribeOptions(vad=False, logprob_threshold=-0.3, temperatures=(0.0, 0.4)),
    ]
    with build_transcriber() as transcriber:
        asked = [(file, options) for file in files for options in sets]
        alone = [transcriber.transcribe(file, options, model="tiny.en").words for file, options in asked]
        with ThreadPoolExecutor(8) as pool:
            found = [
                pool.submit(transcriber.transcribe, file, options, model="tiny.en", priority=n % 3)
                for n, (file, options) in enumerate(asked)
            ]
            assert [one.result(WAIT_S * 10).words for one in found] == alone


# ------------------------------------------------------------ what is shared


def test_files_of_different_options_share_a_batch(tmp_path: Path) -> None:
    held = Held(free=0)
    own = [
        {"language": "de"},
        {"logprob_threshold": -0.5},
        {"script": "Hans"},
        {"vad_pad_s": 0.2},
        {"no_speech_threshold": 0.5},
    ]
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(2 + n)) for n in range(2 + len(own))]
    options = [ENGLISH, ENGLISH, *(TranscribeOptions(**{"language": "en", **more}) for more in own)]  # type: ignore[arg-type]  # they are options
    with ThreadPoolExecutor(len(files)) as pool:
        texts = []
        for n, (file, chosen) in enumerate(zip(files, options, strict=True)):
            texts.append(pool.submit(held.transcriber.transcribe, file, chosen, model="fake"))
            if n < 2:  # each has a worker; the others wait for one
                until(lambda n=n: held.calls() == n + 1)
        wait(held.world, len(files))
        held.go_on.set()
        assert [len(text.result(WAIT_S).words) for text in texts] == [2 + n for n in range(len(files))]
    # Each worker has one; then they divide what is left, all of other options. One may have the next batch before the
    # other has told of its first.
    assert sorted(held.faults.batches)[:2] == [1, 1]
    assert max(held.faults.batches) > 1


@pytest.mark.slow
def test_a_caller_who_does_not_read_holds_up_nobody_and_is_not_worked_for(tmp_path: Path, short: Path) -> None:
    world = World()
    hour = write_speech(tmp_path / "hour.wav", np.concatenate([speech_samples(10, tail_s=6.0)] * 200))
    with world.transcriber.stream(hour, ONE_BY_ONE, model="fake") as stream:
        next(stream)
        [scheduler] = world.transcriber._own.get().schedulers._live
        [work] = scheduler._runs
        until(lambda: work.results.is_full and not work.in_flight)
        generated = world.faults["cpu"].calls["generate"]
        assert 0 < generated <= MOST_UNREAD + 4
        assert world.transcriber.transcribe(short, ENGLISH, model="fake").text == "one two three"
        assert world.faults["cpu"].calls["generate"] == generated + 1
        assert len(stream.result().words) == 2000, "it goes on where it stood"


class Blocked(io.RawIOBase):
    """A pipe that gives nothing until it is let go, and then a recording."""

    def __init__(self, data: bytes) -> None:
        self._data, self.go_on, self.is_read = io.BytesIO(data), threading.Event(), threading.Event()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        self.is_read.set()
        assert self.go_on.wait(WAIT_S)
        return self._data.read(size)


def test_a_pipe_that_gives_nothing_holds_up_its_own_caller_alone(short: Path) -> None:
    world, pipe = World(), Blocked(short.read_bytes())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.transcriber.transcribe, pipe, ENGLISH, model="fake")
        assert pipe.is_read.wait(WAIT_S)
        assert world.transcriber.transcribe(short, ENGLISH, model="fake").text == "one two three"
        assert not waiting.done()
        pipe.go_on.set()
        assert waiting.result(WAIT_S).text == "one two three"


def test_a_run_of_many_files_keeps_nothing_of_those_that_are_over(tmp_path: Path, short: Path) -> None:
    # Of each file it kept the language, and whose it was, as long as it went on: a folder of a million is one run.
    world, pipe = World(), Blocked(short.read_bytes())
    missing = [tmp_path / f"none{n}.wav" for n in range(5)]
    outcomes: list[FileOutcome] = []
    files = [*[short] * 40, *missing, pipe]
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(lambda: outcomes.extend(world.transcriber.transcribe_many(files, model="fake")))
        assert pipe.is_read.wait(WAIT_S)
        [scheduler] = world.transcriber._own.get().schedulers._live
        [work] = scheduler._runs
        until(lambda: [file.index for file in work.files.copy().values()] == [45])
        kept = (scheduler._owners, work.pool.languages, work.pool.known, work.pool.asked, work.over)
        until(lambda: {key for one in kept for key in one.copy()} == work.files.keys())
        pipe.go_on.set()
        run.result(WAIT_S)
    assert sum(outcome.error is not None for outcome in outcomes) == 5
    assert outcomes[-1].result().text == "one two three"


def test_who_cancels_does_not_wait_for_a_pipe_that_gives_nothing(short: Path) -> None:
    world, pipe, token = World(), Blocked(short.read_bytes()), CancelToken()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.transcriber.transcribe, pipe, ENGLISH, model="fake", cancel=token)
        assert pipe.is_read.wait(WAIT_S)
        token.cancel()
        with pytest.raises(Cancelled):
            waiting.result(WAIT_S)
    pipe.go_on.set()
    assert world.residency.close()


def test_a_run_that_is_cancelled_leaves_the_others_in_its_batch_alone(short: Path) -> None:
    held, token = Held(), CancelToken()

    def transcribe(cancel: CancelToken | None = None) -> Transcript:
        return held.transcriber.transcribe(short, ENGLISH, model="fake", cancel=cancel)

    with ThreadPoolExecutor(9) as pool:
        first = []
        for number in range(1, 4):  # two are computed, one waits
            first.append(pool.submit(transcribe))
            wait(held.world, number)
            until(lambda number=number: held.calls() == min(number, 2))
        cancelled = pool.submit(transcribe, token)  # in the batch of all that wait
        wait(held.world, 4)
        beside = [pool.submit(transcribe) for _ in range(5)]
        wait(held.world, 9)
        held.faults.fail = lambda stage, number: token.cancel() if stage == "generate" and number > 2 else None
        held.go_on.set()
        with pytest.raises(Cancelled):
            cancelled.result(WAIT_S)
        assert {one.result(WAIT_S).text for one in (*first, *beside)} == {"one two three"}
    assert max(held.faults.batches) > 2


# ------------------------------------------------------------ whose turn it is


@pytest.mark.slow
def test_what_comes_while_all_workers_are_busy_is_not_done_one_by_one(short: Path) -> None:
    held = Held()

    def transcribe() -> str:
        return held.transcriber.transcribe(short, ENGLISH, model="fake").text

    with ThreadPoolExecutor(8) as pool:
        first = []
        for number in range(1, 3):  # each has a worker: two that come at once may share a batch
            first.append(pool.submit(transcribe))
            until(lambda number=number: held.calls() == number)
        later = []
        for number in range(3, 9):  # one after another, each seen by the scheduler before the next one comes
            later.append(pool.submit(transcribe))
            wait(held.world, number)
        held.go_on.set()
        assert {one.result(WAIT_S) for one in (*first, *later)} == {"one two three"}
    assert sorted(held.faults.batches) in ([1, 1, 6], [1, 1, 3, 3]), "one worker is free, or both are"


def test_a_higher_priority_goes_first(tmp_path: Path) -> None:
    """On a card, whose one worker takes batches in the order in which they were chosen: each is told by its beeps."""
    computed, go_on = list[int](), threading.Event()

    def script(features: np.ndarray) -> Hypothesis:
        found = FakeWhisper()._count(features)
        computed.append(len(FakeWhisper().tokenizer.decode(found.token_ids).split()))
        return found

    world = World(CARD, script=script)
    world.faults["cuda"].fail = lambda stage, _n: assert_set(go_on) if stage == "encode" else None
    talks = {n: write_speech(tmp_path / f"{n}.wav", speech_samples(n)) for n in (1, 2, 3, 4, 5)}
    with ThreadPoolExecutor(len(talks)) as pool:
        calls = []
        for n, priority in ((1, 0), (2, 0), (3, 1), (4, 2), (5, 3)):  # the first is computed, the others wait
            options = TranscribeOptions(language="en", batch_size=1)
            calls.append(pool.submit(world.transcriber.transcribe, talks[n], options, model="fake", priority=priority))
            wait(world, n)
        go_on.set()
        for call in calls:
            call.result(WAIT_S)
    assert computed == [1, 5, 4, 3, 2]  # the second lay ready, and made way


@pytest.mark.parametrize(("hardware", "device", "rides"), [(NO_CARD, "cpu", False), (CARD, "cuda", True)])
def test_a_batch_has_room_for_another_priority_on_a_card_and_on_a_processor_none(
    short: Path, hardware: Hardware, device: str, rides: bool
) -> None:
    """Where each row takes its time whoever would ride in a batch of another priority waited for it, or held it up."""
    batches, go_on = list[int](), threading.Event()

    class Noting(FakeWhisper):
        def generate(self, encoded: Encoded, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Hypothesis]:
            batches.append(len({prompt[-3] for prompt in prompts}))  # languages
            return super().generate(encoded, prompts, decoding)

    world = World(hardware, engine=Noting)
    world.faults[device].fail = lambda stage, _n: assert_set(go_on) if stage == "encode" else None
    german, japanese = replace(ENGLISH, language="de"), replace(ENGLISH, language="ja")  # which one beam searches
    with ThreadPoolExecutor(9) as pool:
        calls = []
        for n, (options, priority) in enumerate([(german, 0)] * 3 + [(german, 0), (japanese, 1)] * 3):
            calls.append(pool.submit(world.transcriber.transcribe, short, options, model="fake", priority=priority))
            wait(world, n + 1)
        go_on.set()
        for call in calls:
            call.result(WAIT_S)
    assert (max(batches) == 2) == rides


def test_a_lower_priority_has_its_share_of_a_card_that_others_keep_busy(tmp_path: Path) -> None:
    """Runs of one chunk, computed one after another; the first is computed when the others come."""
    computed, go_on = list[int](), threading.Event()

    def script(features: np.ndarray) -> Hypothesis:
        found = FakeWhisper()._count(features)
        computed.append(len(FakeWhisper().tokenizer.decode(found.token_ids).split()))
        return found

    world = World(CARD, script=script, lower_share=0.25)
    world.faults["cuda"].fail = lambda stage, _n: assert_set(go_on) if stage == "encode" else None
    lower, options = {1, 2, 3, 4}, TranscribeOptions(language="en", batch_size=1)
    with ThreadPoolExecutor(12) as pool:
        calls = []
        for n in range(1, 13):
            talk = write_speech(tmp_path / f"{n}.wav", speech_samples(n))
            call = pool.submit(world.transcriber.transcribe, talk, options, model="fake", priority=int(n not in lower))
            calls.append(call)
            wait(world, n)
        go_on.set()
        for one in calls:
            one.result(WAIT_S)
    assert sorted(computed) == list(range(1, 13))
    assert computed[0] == 1
    assert [n in lower for n in computed[1:8]] == [False, True, False, False, False, True, False]


def assert_set(event: threading.Event) -> None:
    assert event.wait(WAIT_S)


@pytest.mark.parametrize("priority", ["high", 1.5, True, None])
def test_a_priority_is_a_whole_number(short: Path, priority: object) -> None:
    with pytest.raises(InvalidOption, match="priority"):
        World().transcriber.transcribe(short, model="fake", priority=priority)  # type: ignore[arg-type]  # it is wrong


def test_a_short_request_does_not_wait_for_the_archive_before_it(tmp_path: Path, short: Path) -> None:
    done = list[int]()

    def script(features: np.ndarray) -> Hypothesis:
        found = FakeWhisper()._count(features)
        done.append(len(FakeWhisper().tokenizer.decode(found.token_ids).split()))
        return found

    held = Held("generate", free=3, script=script)
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(5)) for n in range(60)]
    archive = held.transcriber.transcribe_many(files, ONE_BY_ONE, model="fake")
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(list, archive)
        until(lambda: held.calls("generate") >= 5)  # both workers are held, one batch lies ready
        asked = pool.submit(held.transcriber.transcribe, short, ONE_BY_ONE, model="fake")
        wait(held.world, 2)
        begun = held.calls("generate")
        held.go_on.set()
        asked.result(WAIT_S)
        assert len(reading.result(WAIT_S)) == 60
    assert done.index(3) <= begun + 8


class Stepped(Held):
    """Lets one call after the other go."""

    def __init__(self, stage: str, free: int) -> None:
        self._changed = threading.Condition()
        super().__init__(stage, free)

    def step(self) -> None:
        """One more call ends, and the next one of that worker has begun."""
        calls = self.calls(self._stage)
        with self._changed:
            self._free += 1
            self._changed.notify_all()
        until(lambda: self.calls(self._stage) > calls)

    def _hold(self, stage: str, number: int) -> None:
        with self._changed:
            held = stage == self._stage
            assert self._changed.wait_for(lambda: not held or number <= self._free or self.go_on.is_set(), WAIT_S)

    def let_go(self) -> None:
        """All calls go on."""
        with self._changed:
            self.go_on.set()
            self._changed.notify_all()


def test_a_long_file_of_other_options_has_its_share_beside_an_archive_whose_batches_are_always_full(
    tmp_path: Path,
) -> None:
    held = Stepped("generate", free=3)
    talk = write_speech(tmp_path / "talk.wav", speech_samples(120))
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(5)) for n in range(120)]
    archive = held.transcriber.transcribe_many(files, TranscribeOptions(language="en", batch_size=2), model="fake")
    other = TranscribeOptions(beam_size=7)  # its language is not known, and it shares no batch
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(list, archive)
        until(lambda: held.calls("generate") >= 5)  # both workers are held, one batch lies ready
        stream = held.transcriber.stream(talk, other, model="fake")
        first = pool.submit(next, stream)
        wait(held.world, 2)
        for _ in range(12):  # batches end one by one, so that no worker is ever without one
            held.step()
        beams = {decoding.beam_size for fake in held.world.fakes for decoding in fake.decodings}
        held.let_go()
        first.result(WAIT_S)
        stream.close()
        assert len(reading.result(WAIT_S)) == 120
    assert 7 in beams


# ------------------------------------------------------------ what fails


def test_an_exception_in_one_callers_progress_ends_his_run_alone(talk: Path, short: Path) -> None:
    held = Held()

    def fail(progress: Progress) -> None:
        if progress.audio_s > 30:
            raise ZeroDivisionError

    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(held.transcriber.transcribe, talk, ONE_BY_ONE, model="fake", on_progress=fail)
        until(lambda: held.calls() == 2)
        other = pool.submit(held.transcriber.transcribe, talk, ENGLISH, model="fake")
        held.go_on.set()
        with pytest.raises(ZeroDivisionError):
            failing.result(WAIT_S)
        assert len(other.result(WAIT_S).words) == 120
    assert held.transcriber.transcribe(short, ENGLISH, model="fake").text == "one two three"


def test_an_unexpected_exception_of_a_shared_batch_fails_the_file_whose_chunk_it_was(tmp_path: Path) -> None:
    def script(features: np.ndarray) -> Hypothesis:
        found = FakeWhisper()._count(features)
        if len(found.token_ids) == len(" one two three four five"):
            raise ZeroDivisionError
        return found

    held = Held()
    world = World(script=script)
    world.faults["cpu"].fail = held._hold
    files = [write_speech(tmp_path / f"{n}.wav", speech_samples(n)) for n in (1, 2, 3, 5, 4, 6, 7, 8, 9)]
    with ThreadPoolExecutor(len(files)) as pool:
        calls = []
        for n, file in enumerate(files):
            calls.append(pool.submit(world.transcriber.transcribe, file, ENGLISH, model="fake"))
            wait(world, n + 1)
        held.go_on.set()
        for file, call in zip(files, calls, strict=True):
            if file.stem == "5":
                with pytest.raises(EngineError, match="ZeroDivisionError"):
                    call.result(WAIT_S)
            else:
                assert len(call.result(WAIT_S).words) == int(file.stem)
    assert max(world.faults["cpu"].batches) > 1


@pytest.mark.parametrize("fails_at", range(1, 13))  # it looks at the clock four times for each file
def test_a_fault_of_the_schedulers_own_ends_every_run_and_the_next_one_works(
    talk: Path, short: Path, fails_at: int
) -> None:
    """No run may wait for ever, whatever goes wrong, and where, in the thread that all of them share."""
    calls, mended = itertools.count(1), threading.Event()

    def clock_ns() -> int:
        own = threading.current_thread().name == "autorag-whisper-scheduler"
        if own and not mended.is_set() and next(calls) >= fails_at:
            raise ZeroDivisionError
        return 1

    world = World(telemetry=Telemetry(clock_ns=clock_ns))
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(world.transcriber.transcribe, talk, ONE_BY_ONE, model="fake") for _ in range(3)]
        ends = [run.exception(WAIT_S) for run in runs]
    assert any(isinstance(end, ZeroDivisionError) for end in ends)
    # The others: a run that was over before, or that came when it had just failed.
    assert all(end is None or isinstance(end, ZeroDivisionError | EngineError) for end in ends)
    mended.set()
    assert world.transcriber.transcribe(short, ENGLISH, model="fake").text == "one two three"
    assert world.residency.close()


def test_sources_are_taken_in_the_callers_thread_alone_and_one_that_raises_ends_the_run(short: Path) -> None:
    threads = set[int]()

    def sources() -> Iterator[Path]:
        for _ in range(3):
            threads.add(threading.get_ident())
            yield short
        raise LookupError

    with pytest.raises(LookupError):
        list(World().transcriber.transcribe_many(sources(), ENGLISH, model="fake"))
    assert threads == {threading.get_ident()}


@pytest.mark.slow
def test_an_abandoned_stream_that_is_collected_in_any_thread_holds_up_nobody(talk: Path, short: Path) -> None:
    """The interpreter closes an abandoned generator in whichever thread it happens to be, the scheduler's too."""
    world = World()
    for _ in range(5):
        stream = world.transcriber.stream(talk, ONE_BY_ONE, model="fake")
        next(stream)
        circle: list[object] = [stream]
        circle.append(circle)
        del stream, circle
        collector = threading.Thread(target=gc.collect)
        collector.start()
        collector.join(WAIT_S)
        assert world.transcriber.transcribe(short, ENGLISH, model="fake").text == "one two three"
    until(lambda: all_ended(world))
    assert world.residency.close()


@pytest.fixture
def collects_when_told() -> Iterator[None]:
    """The garbage collector runs in `gc.collect` alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def abandoned(world: World, media: Path) -> None:
    """Leave behind a stream that has given its first segment and that only the garbage collector finds."""
    stream = world.transcriber.stream(media, ONE_BY_ONE, model="fake")
    next(stream)
    circle: list[object] = [stream]
    circle.append(circle)


def all_ended(world: World) -> bool:
    return not world.transcriber._own.get().schedulers._live


@pytest.mark.usefixtures("collects_when_told")
@pytest.mark.parametrize("way", ["collected", "closed"])
def test_a_run_that_ends_while_another_is_admitted_holds_up_nobody(talk: Path, short: Path, way: str) -> None:
    """The collector may run inside any lock, and a signal handler that closes a stream too: that of admission here."""
    world = World()
    streams: list[TranscriptStream] = []
    schedulers = world.transcriber._own.get().schedulers
    if way == "collected":
        abandoned(world, talk)
    else:
        streams.append(world.transcriber.stream(talk, ONE_BY_ONE, model="fake"))
        next(streams[0])

    def make() -> Scheduler:
        gc.collect()
        for stream in streams:
            stream.close()
        raise MemoryError

    other = SimpleNamespace(device_hint="another", session=SimpleNamespace(key=None))

    def admit() -> None:
        with pytest.raises(MemoryError):
            schedulers.admit(cast("RunWork", None), cast("RunRequest", other), make)

    admission = threading.Thread(target=admit, daemon=True)
    admission.start()
    admission.join(WAIT_S)
    assert not admission.is_alive()
    until(lambda: all_ended(world))
    assert world.transcriber.transcribe(short, ENGLISH, model="fake").text == "one two three"
    assert world.residency.close()


@pytest.mark.usefixtures("collects_when_told")
def test_the_garbage_collector_never_waits_for_the_engine(talk: Path) -> None:
    """What a batch needs to end may be locked by the very thread in which the collector runs."""
    held = Held("generate", free=4)
    abandoned(held.world, talk)
    until(lambda: held.calls("generate") >= 5)
    gc.collect()  # comes back while the engine computes
    assert not all_ended(held.world)
    held.go_on.set()
    until(lambda: all_ended(held.world))
    until(held.world.residency.close)
