"""Real forks of a real process (gunicorn --preload, Celery prefork, multiprocessing): they work, or say what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from autorag_whisper import fork_safety
from autorag_whisper.align import numbers
from autorag_whisper.domain.device import CPU, CUDA
from autorag_whisper.domain.process_errors import ForkedProcess
from autorag_whisper.gpu.arbiter.lease import Tenant
from autorag_whisper.gpu.arbiter.processes import ProcessArbiter
from autorag_whisper.gpu.arbiter.threads import ThreadArbiter
from autorag_whisper.per_process import PerProcess
from autorag_whisper.residency.alignment_models import AlignmentModels
from autorag_whisper.residency.recognition_models import RecognitionModels
from autorag_whisper.telemetry import Telemetry
from autorag_whisper.testing import FakeEmitter, FakeWhisper, write_speech
from autorag_whisper.transcriber.transcriber import Transcriber
from http_world import until
from made_media import RATE, decode
from quiet import until_quiet
from run_world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

WAIT_S = 60.0
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.timeout(900),  # processes that load a model and compute, one after another
]


@pytest.fixture(scope="module")
def sample(demo_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 7 s, as each process hears it several times."""
    return write_speech(tmp_path_factory.mktemp("sample") / "sample.wav", decode(demo_sample)[0][: 7 * RATE])


def forking(root: Path, what: str, file: Path) -> list[str]:
    command = [sys.executable, str(root / "tests" / "forking.py"), what, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=840, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_children_forked_in_the_midst_of_work_work_and_leave_the_parents_work_alone(root: Path, sample: Path) -> None:
    # Before: a child that used what its parent had loaded waited for threads that it did not have, for ever, and one
    # that did not use it crashed at its own exit.
    said = forking(root, "after_use", sample)
    assert said == ["child True True True cpu", "exit status 0"] * 3 + ["parent True True"]


@pytest.mark.slow
def test_a_child_of_a_parent_that_loaded_nothing_works(root: Path, sample: Path) -> None:
    [child, status] = forking(root, "before_load", sample)
    assert child.split()[1] == child.split()[2] != "0"
    assert status == "exit status 0"


def test_a_child_that_uses_nothing_ends_as_any_other(root: Path, sample: Path) -> None:
    assert forking(root, "untouched", sample) == ["child", "exit status 0"]


@pytest.mark.slow
def test_a_pool_of_forked_processes_works(root: Path, sample: Path) -> None:
    assert forking(root, "pool", sample) == ["[True, True, True, True]"]


@pytest.mark.parametrize("product", ["log_mel", "log_probabilities"])
def test_a_fork_in_the_midst_of_a_matrix_product_comes_back(root: Path, sample: Path, product: str) -> None:
    # Before: OpenBLAS ended its threads for the fork while one of them was at work, and both waited for ever.
    assert forking(root, product, sample) == ["all"]


def test_a_call_within_a_call_does_not_wait_for_a_fork_that_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_safety, "PATIENCE_S", 1e6)  # the fork comes back when the call is over, and not before
    entered, forked = threading.Event(), threading.Event()

    def work() -> None:
        with fork_safety.at_work():
            entered.set()
            until(lambda: fork_safety._gate.forking)
            with fork_safety.at_work():
                pass

    def fork() -> None:
        assert in_child(lambda: "child") == "child"
        forked.set()

    worker = threading.Thread(target=work)
    worker.start()
    assert entered.wait(WAIT_S)
    threading.Thread(target=fork, daemon=True).start()
    worker.join(WAIT_S)
    assert forked.wait(WAIT_S)


def in_child(act: Callable[[], str]) -> str:
    """What `act` gives in a forked child of this process."""
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(there, act().encode())
        finally:
            os._exit(0)
    os.close(there)
    with os.fdopen(here) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


def refusal(use: Callable[[], AbstractContextManager[object]]) -> Callable[[], str]:
    def act() -> str:
        try:
            with use():
                return "used"
        except ForkedProcess as error:
            return str(error)

    return act


def test_what_cannot_be_used_in_a_child_says_so_and_what_to_do(tmp_path: Path) -> None:
    residency = RecognitionModels(lambda _key, _reason: FakeWhisper())
    models = AlignmentModels(lambda _language, device: FakeEmitter(device=device), Telemetry())
    arbiters = [ProcessArbiter(tmp_path / "gpu"), ThreadArbiter()]
    for arbiter in arbiters:
        arbiter.register(Tenant("whisper"))
    key = World().key("fake")
    uses: list[Callable[[], AbstractContextManager[object]]] = [
        lambda: residency.lease(key),
        lambda: models.lease("en", CPU),
        lambda: arbiters[0].lease("whisper"),
        lambda: arbiters[1].lease("whisper"),
    ]
    for use in uses:
        with use():
            said = in_child(refusal(use))
        assert "was made before this process was forked" in said
        assert "WorkerTranscriber" in said
    for arbiter in arbiters:
        arbiter.close()


def test_a_transcriber_of_parts_that_cannot_be_made_again_says_so() -> None:
    transcriber = World().transcriber
    transcriber.model("base")

    def use() -> str:
        transcriber.close()  # has nothing to release here, and does not touch the parent's
        try:
            transcriber.model("base")
        except ForkedProcess as error:
            return str(error)
        return "used"

    assert "this transcriber was made before" in in_child(use)
    assert transcriber.model("base").device == "cpu"


def test_a_transcriber_goes_on_in_a_child_with_parts_of_its_own() -> None:
    parent, other = World().parts, World().parts
    transcriber = Transcriber(parent, lambda: other)
    handle = transcriber.model("base")
    other.policy.used(CUDA)
    assert in_child(transcriber.resolved_device) == "cuda"
    assert in_child(lambda: handle.device) == "cpu"
    assert transcriber.resolved_device() == "cpu"


def test_each_process_makes_its_own_once() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(os.getpid())
        return os.getpid()

    own = PerProcess(make)
    assert own.get() == own.get() == os.getpid()
    assert made == [os.getpid()]
    assert in_child(lambda: f"{own.get() == own.get() == os.getpid()} {len(made)}") == "True 2"


def test_a_fork_waits_for_the_call_in_flight_and_the_next_call_for_the_fork() -> None:
    # MKL's allocator has a lock, which a child inherited locked: it span for ever in its first allocation.
    in_call, go, done = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        with fork_safety.at_work():
            in_call.set()
            go.wait(WAIT_S)
            done.set()

    def end() -> None:
        until_quiet()  # the fork has come as far as it can
        go.set()

    worker, ender = threading.Thread(target=call), threading.Thread(target=end)
    worker.start()
    assert in_call.wait(WAIT_S)
    ender.start()

    def use() -> str:
        with fork_safety.at_work():
            return f"the call was over: {done.is_set()}"

    assert in_child(use) == "the call was over: True"
    with fork_safety.at_work():  # and here it goes on
        worker.join(WAIT_S)


def test_a_child_puts_numbers_into_words_though_another_thread_was_at_it_at_the_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It waited for ever for a lock that nobody had: a whole run on a busy machine found it.
    begun, go = threading.Event(), threading.Event()

    class Held:
        def format_number(self, *_: object) -> None:
            begun.set()
            go.wait(WAIT_S)
            raise ValueError("no rules")

    def use() -> str:
        signal.alarm(60)  # a child that waits for ever ends without a word
        return str(numbers.cardinal(7, "en"))

    assert numbers.cardinal(7, "en") == "seven"
    monkeypatch.setitem(numbers._formats.get()._engines, "en", Held())
    worker = threading.Thread(target=numbers.cardinal, args=(7, "en"))
    worker.start()
    try:
        assert begun.wait(WAIT_S)
        assert in_child(use) == "seven"
    finally:
        go.set()
        worker.join(WAIT_S)


def test_a_child_of_a_fork_that_could_not_wait_refuses_to_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_safety, "PATIENCE_S", 0.01)

    def use() -> str:
        try:
            with fork_safety.at_work():
                return "computed"
        except ForkedProcess as error:
            return str(error)

    with fork_safety.at_work():
        assert "an engine that was at work" in in_child(use)
    assert in_child(use) == "computed"
