"""What may happen to a worker process on a card: it is killed, or its context of CUDA is spoilt for good."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from benchmarks.card.day import SAMPLE

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.worker.client import WorkerTranscriber
    from benchmarks.card.day import Day

_FILES, _TINY_FILES = 12, 6

_SPOIL = '''
"""Planted in the worker's process: once a file appears, an index beyond its tensor, which no call after it survives."""
import os, threading, time

def _spoil(path, device):
    while not os.path.exists(path):
        time.sleep(0.01)
    os.unlink(path)
    if device.startswith("cuda"):
        import torch
        try:
            torch.zeros(1, device=device)[torch.tensor([1 << 20], device=device)]
            torch.cuda.synchronize()
        except RuntimeError as error:
            print("planted:", str(error).splitlines()[0], flush=True)
    else:
        os.abort()

if "CARD_SPOIL" in os.environ:
    _at = os.environ["CARD_SPOIL"].rpartition("|")
    threading.Thread(target=_spoil, args=(_at[0], _at[2]), daemon=True).start()
'''


def _count(day: Day) -> int:
    return _TINY_FILES if day.tiny else _FILES


def _worker(**environ: str) -> WorkerTranscriber:
    from autorag_whisper.worker.client import WorkerTranscriber

    os.environ.update(environ)
    return WorkerTranscriber()


def _texts(worker: WorkerTranscriber, model: str, day: Day) -> list[str]:
    from autorag_whisper.domain.request import TranscribeOptions

    handle = worker.model(model, day.device)
    found = worker.transcribe_many([SAMPLE] * _count(day), TranscribeOptions(language="en"), model=handle)
    return [outcome.result().text for outcome in found]


def killed(day: Day) -> None:
    """Two workers with engines on one card; one is killed in the midst of its job, which goes on in a new process."""
    model = day.model("tiny.en")
    found: dict[int, list[str] | BaseException] = {}

    def run(n: int, worker: WorkerTranscriber) -> None:
        try:
            found[n] = _texts(worker, model, day)
        except BaseException as error:  # noqa: BLE001 - told in the row
            found[n] = error

    with _worker() as one, _worker() as other:
        threads = [threading.Thread(target=run, args=(n, worker)) for n, worker in enumerate((one, other))]
        for thread in threads:
            thread.start()
        victim = _busy_process(one)
        time.sleep(0.5)
        os.kill(victim, signal.SIGKILL)
        for thread in threads:
            thread.join()
    texts = {text for texts in found.values() if isinstance(texts, list) for text in texts}
    problems = [repr(error) for error in found.values() if isinstance(error, BaseException)]
    whole = (
        not problems and all(isinstance(t, list) and len(t) == _count(day) for t in found.values()) and len(texts) == 1
    )
    day.tell("one of two is killed", f"{problems or 'both jobs whole, the same words'}", ok=whole)


def sticky(day: Day) -> None:
    """An illegal access in the worker's own context: every later call of the engine there fails."""
    plant = day.work / "plant"
    plant.mkdir(parents=True, exist_ok=True)
    (plant / "sitecustomize.py").write_text(_SPOIL, encoding="utf-8")
    trigger = plant / "now"
    trigger.unlink(missing_ok=True)
    paths = os.pathsep.join(filter(None, (str(plant), os.environ.get("PYTHONPATH", ""))))
    model = day.model("tiny.en")
    with _worker(PYTHONPATH=paths, CARD_SPOIL=f"{trigger}|{day.device}") as worker:
        before = _texts(worker, model, day)
        first = worker.process_id
        thread = threading.Thread(target=_pull, args=(trigger,))
        thread.start()
        after = _texts(worker, model, day)
        thread.join()
        second = worker.process_id
    whole = before == after
    process, words = "replaced" if first != second else "the same", "the same" if whole else "other"
    found = f"process {process}, {len(after)} files, words {words}"
    day.tell("illegal access in the midst of a job", found, ok=whole and first != second)


def _pull(trigger: Path) -> None:
    time.sleep(0.2)
    trigger.touch()


def _busy_process(worker: WorkerTranscriber) -> int:
    for _ in range(6000):
        if (process := worker.process_id) is not None:
            return process
        time.sleep(0.01)
    raise RuntimeError("the worker did not start")
