"""A process that transcribes, forks, and transcribes in both: run by `tests/integration/test_forks.py`."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper import build_transcriber, get_model, resolved_device, transcribe_segment
from autorag_whisper.audio.features import log_mel
from autorag_whisper.domain.process_errors import ForkedProcess
from letter_hearing import reading_classifier

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = Path(sys.argv[2])


def say(*what: object) -> None:
    sys.stdout.write(" ".join(map(str, what)) + "\n")
    sys.stdout.flush()


def words() -> list[str]:
    return [word["w"] for word in transcribe_segment(get_model("tiny.en"), FILE, "en")]


def child(act: str, *checks: object) -> None:
    """End as a worker process of a server does, with all that Python does at an exit."""
    say(act, *checks)
    sys.exit(0)


def ended(pid: int) -> None:
    say("exit status", os.waitpid(pid, 0)[1])


def after_use() -> None:
    """The parent has a model, a thread of it is at work, and a stream is half read."""
    before, stop = words(), threading.Event()
    handle = get_model("tiny.en")

    def busy() -> None:
        while not stop.is_set():
            words()

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    with build_transcriber() as transcriber, transcriber.stream(FILE, model="tiny.en") as stream:
        first = next(stream)
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                try:
                    next(stream)
                except ForkedProcess as error:
                    refused = "after the fork" in str(error)
                stream.close()
                own = [word["w"] for word in transcribe_segment(handle, FILE, "en")]
                rich = transcriber.transcribe(FILE, model="tiny.en").words
                transcriber.close()
                child("child", refused, own == before, [word.text for word in rich] == before, handle.device)
            ended(pid)
        said = [first, *stream]
    stop.set()
    for thread in threads:
        thread.join()
    say("parent", [word.text for segment in said for word in segment.words] == before, words() == before)


def before_load() -> None:
    """The parent has made everything but loaded nothing (gunicorn --preload with a module-level transcriber)."""
    transcriber = build_transcriber()
    resolved_device()
    pid = os.fork()
    if pid == 0:
        child("child", len(words()), len(transcriber.transcribe(FILE, model="tiny.en").words))
    ended(pid)


def untouched() -> None:
    """The child uses nothing of it."""
    words()
    pid = os.fork()
    if pid == 0:
        child("child")
    ended(pid)


def in_product(name: str) -> None:
    """Two threads are in a matrix product of recognition, which NumPy gives to threads of its own."""
    samples = np.random.default_rng(0).standard_normal(16_000 * 30).astype(np.float32)
    output = np.zeros((1500, 512), np.float32)
    classifier = reading_classifier(width=512)
    act: Callable[[], object] = {
        "log_mel": lambda: log_mel(samples, 80),
        "log_probabilities": lambda: classifier.log_probabilities(output),
    }[name]
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            act()

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    stop.set()
    for thread in threads:
        thread.join()
    say("all")


def pool() -> None:
    """Processes of a pool, forked after use (Celery's prefork, multiprocessing)."""
    before = words()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        say([job.result() == before for job in [executor.submit(words) for _ in range(4)]])


if __name__ == "__main__":
    acts = {"after_use": after_use, "before_load": before_load, "untouched": untouched, "pool": pool}
    act = acts.get(sys.argv[1])
    if act is None:
        in_product(sys.argv[1])
    else:
        act()
