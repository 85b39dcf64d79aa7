"""A recording that kills the process which recognises it is a row with its error; the rest of its shard is done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from autorag_whisper import cli
from autorag_whisper.archive.sharded.in_hand import MOST_ALONE
from autorag_whisper.cli.context import CommandContext
from autorag_whisper.cli.exits import KEPT, SUCCESS
from autorag_whisper.testing import speech_samples, write_speech
from autorag_whisper.transcriber.work import MOST_FAULTS

CHILD = Path(__file__).resolve().parents[1] / "archive_child.py"
WORDS = ("one", "one two", "one two three", "one two three four", "one two three four five")


class Archive:
    """Talks of one to five words in one shard, and the command: what recognises them in processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.plan, self.out = folder, folder / "plan.jsonl", folder / "out"
        (folder / "talks").mkdir()
        for count in range(1, len(WORDS) + 1):
            write_speech(folder / "talks" / f"talk{count}.wav", speech_samples(count))
        self._environ = os.environ | {"AUTORAG_WHISPER_CACHE_DIR": str(folder / "cache")}
        assert self.command("plan", folder / "talks", "-o", self.plan) == 0

    def begin(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """`archive run` with these arguments, in a process that may die of it."""
        return subprocess.Popen([sys.executable, CHILD, self.folder, "run", *map(str, arguments)], env=self._environ)

    def command(self, *arguments: str | Path) -> int:
        """Another command of `archive`, here: it recognises nothing."""
        return cli.run(["archive", *map(str, arguments)], CommandContext(self._environ))

    def run(self, plan: Path | None = None) -> int:
        return self.begin(plan or self.plan, "-o", self.out, "-l", "en").wait()

    def chunks_heard(self) -> int:
        path = self.folder / "heard"
        return len(path.read_text().split()) if path.exists() else 0

    def records(self) -> list[dict[str, Any]]:
        target = self.folder / "merged"
        assert self.command("merge", self.plan, "-o", self.out, "--to", target) in (SUCCESS, KEPT)
        return [json.loads(line) for line in (target / "results.jsonl").read_text().splitlines()]

    def heard(self) -> dict[str, str]:
        """Name -> text, or the error's type; fails where one is there twice."""
        records = self.records()
        found = {
            Path(one["uri"]).stem: one["error"]["type"] if "error" in one else one["result"]["text"] for one in records
        }
        assert len(found) == len(records)
        return found


ALL = {f"talk{n}": text for n, text in enumerate(WORDS, 1)}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


@pytest.mark.slow
def test_a_recording_that_kills_becomes_a_row_and_is_tried_again_when_that_is_asked_for(archive: Archive) -> None:
    order = archive.folder / "kill-at-4"
    order.touch()
    assert archive.run() == -signal.SIGKILL
    assert archive.run() == 0, "workers died of it, and not the run"
    assert archive.heard() == ALL | {"talk4": "RecordingKills"}
    assert archive.command("status", archive.plan, "-o", archive.out) == 1
    assert not list(archive.out.rglob("in_hand/*/*")), "nothing is left to say of a complete shard"
    assert archive.run() == 0, "and it is left alone"

    again = archive.folder / "again.jsonl"
    assert archive.command("retry", archive.plan, "-o", archive.out, "--to", again) == 0
    assert archive.run(again) == 0, "it is known, and begins alone: the run does not die once more"
    assert archive.heard() == ALL | {"talk4": "RecordingKills"}

    order.unlink()  # it was mended, or there is more memory now
    third = archive.folder / "third.jsonl"
    assert archive.command("retry", archive.plan, "-o", archive.out, "--to", third) == 0
    assert archive.run(third) == 0
    assert archive.heard() == ALL


@pytest.mark.slow
def test_without_a_worker_process_the_run_dies_of_it_some_times_and_not_for_ever(archive: Archive) -> None:
    (archive.folder / "kill-at-4").touch()
    (archive.folder / "no-worker").touch()
    died = 0
    while (code := archive.run()) != 0:
        assert code == -signal.SIGKILL
        died += 1
        assert died <= 1 + MOST_ALONE
    assert died == 1 + MOST_ALONE
    assert archive.heard() == ALL | {"talk4": "RecordingKills"}
    heard = (archive.folder / "heard").read_text().split()
    assert heard.count("4") == died, "each death was of it"


@pytest.mark.parametrize("worker", [True, False])
def test_a_recording_at_which_the_engine_raises_what_nobody_expects_becomes_a_row(
    archive: Archive, worker: bool
) -> None:
    # It ended the run with a traceback, and the next one set it aside: of a night nothing behind it was done.
    (archive.folder / "raise-at-4").touch()
    if not worker:
        (archive.folder / "no-worker").touch()
    assert archive.run() == 0
    assert archive.heard() == ALL | {"talk4": "EngineError"}
    assert len(set((archive.folder / "loads").read_text().split())) == 1, "in one process, which loaded it anew"
    [record] = [one for one in archive.records() if "error" in one]
    assert "IndexError: nobody expects this" in record["error"]["message"]
    assert archive.run() == 0, "and it is left alone"
    (archive.folder / "raise-at-4").unlink()
    again = archive.folder / "again.jsonl"
    assert archive.command("retry", archive.plan, "-o", archive.out, "--to", again) == 0
    assert archive.run(again) == 0
    assert archive.heard() == ALL


def test_an_engine_that_fails_at_every_recording_ends_the_run_and_says_so(archive: Archive) -> None:
    for count in range(1, len(WORDS) + 1):
        (archive.folder / f"raise-at-{count}").touch()
    assert archive.run() == 1
    assert list(archive.heard().values()) == ["EngineError"] * MOST_FAULTS, "what it failed at is kept"
    assert archive.run() == 0, "the others are fewer than that"
    assert list(archive.heard().values()) == ["EngineError"] * len(WORDS)
    assert not list(archive.out.rglob("in_hand/*/*")), "nobody has died of them"


def test_what_was_in_hand_of_a_process_that_somebody_killed_is_recognised_as_any_other(archive: Archive) -> None:
    for order in (archive.folder / f"hold-at-{n}" for n in range(1, 6)):
        order.touch()
    for _ in range(3):
        before = archive.chunks_heard()
        process = archive.begin(archive.plan, "-o", archive.out, "-l", "en")
        while archive.chunks_heard() == before:
            assert process.poll() is None
            threading.Event().wait(0.02)
        process.kill()
        process.wait()
    for order in archive.folder.glob("hold-at-*"):
        order.unlink()
    assert archive.run() == 0
    assert archive.heard() == ALL


def test_a_long_recording_of_a_storage_goes_on_behind_its_finished_chunks(archive: Archive) -> None:
    # Those of local files alone were kept: what is longer than a machine's life was never done.
    counts = (9, 12, 10, 11)
    talk = write_speech(
        archive.folder / "talk.wav", np.concatenate([speech_samples(count, tail_s=6.0) for count in counts])
    )
    listed, archive.plan = archive.folder / "list.txt", archive.folder / "long.jsonl"
    listed.write_text(f"local://{talk}")  # fsspec's name for this disk: to the archive it is an address
    assert archive.command("plan", "--from", listed, "-o", archive.plan) == 0
    order = archive.folder / "hold-at-11"
    order.touch()
    run = (archive.plan, "-o", archive.out, "-l", "en", "--batch-size", "1")
    process = archive.begin(*run)

    def kept() -> int:
        """Chunks, behind their header."""
        return sum(len(path.read_bytes().splitlines()) - 1 for path in archive.folder.glob("cache/unfinished/*"))

    while kept() < 1:
        assert process.poll() is None
        threading.Event().wait(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    order.unlink()
    _, alive = psutil.wait_procs(workers, 60)  # till then they may hear one chunk more
    assert not alive
    done, before = kept(), archive.chunks_heard()
    assert archive.begin(*run).wait() == 0
    assert archive.chunks_heard() - before == len(counts) - done


def test_each_process_loads_its_model_once_whatever_comes_to_it(archive: Archive) -> None:
    (archive.folder / "kill-at-5").touch()
    while archive.run() != 0:
        pass
    (archive.folder / "kill-at-5").unlink()
    loads = (archive.folder / "loads").read_text().split()
    assert loads
    assert len(set(loads)) == len(loads)
