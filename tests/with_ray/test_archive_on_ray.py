"""Shards on a Ray cluster of the test's own: the words are those of one process, whatever is killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from benchmarks.archive import COMMAND, cut_clips, merged, run

from autorag_whisper.archive.sharded.plan_file import PlanFile

if TYPE_CHECKING:
    from pathlib import Path

from ray_processes import LOOPBACK, below, end, exit_code, listened_on, named, until

pytest.importorskip("ray", reason="scripts/ray_env.sh makes the environment")

pytestmark = pytest.mark.timeout(1200)  # a cluster starts in seconds, on a busy machine in minutes

CLIPS = 24
TINY = ("-m", "tiny.en")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, demo_sample: Path) -> Path:
    """A folder with a plan of clips and of one that is broken, and their results by one process in `alone`."""
    folder = tmp_path_factory.mktemp("archive")
    cut_clips(demo_sample, folder / "clips", CLIPS, 4.0)
    (folder / "clips" / "broken.mp3").write_bytes(b"broken")
    options = ("--shard-minutes", "1", "--speed", "0.3")
    assert run("archive", "plan", folder / "clips", "-o", folder / "plan.jsonl", *options)["code"] == 0
    assert run("archive", "run", folder / "plan.jsonl", "-o", folder / "alone", *TINY, "-q")["code"] == 0
    assert PlanFile(folder / "plan.jsonl").head.shards >= 4
    return folder


def heard(archive: Path, out: str, scratch: Path) -> dict[str, Any]:
    return merged(archive / "plan.jsonl", archive / out, scratch)


def started(archive: Path, out: str, log: Path, *options: str) -> subprocess.Popen[bytes]:
    """`archive run --ray` on a cluster of its own, in a session of its own."""
    command = [
        *COMMAND,
        "archive",
        "run",
        str(archive / "plan.jsonl"),
        "-o",
        str(archive / out),
        *TINY,
        "--ray",
        "--json",
        *options,
    ]
    with log.open("ab") as file:
        environ = {**os.environ, "PYTHONFAULTHANDLER": "1"}
        return subprocess.Popen(command, stdout=file, stderr=file, env=environ, start_new_session=True)


def test_a_cluster_of_its_own_gives_the_words_of_one_process(archive: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = started(archive, "ray", log)
    try:

        def seen() -> set[str] | None:
            actors = [child for child in below(process) if named(child, "MapBatches(Recognise)")]
            return listened_on(process) if actors else None

        addresses = until(seen, process, log)
        assert exit_code(process, log) == 0, log.read_text()
    finally:
        end(process)
    said = json.loads(next(line for line in log.read_text().splitlines() if line.startswith("{")))
    assert (said["done"], said["failed"]) == (CLIPS, 1)
    assert heard(archive, "ray", tmp_path / "m") == heard(archive, "alone", tmp_path / "n")
    assert addresses, "a cluster listens"
    assert addresses <= LOOPBACK
    [loaded] = said["loads"].values()
    assert len(loaded) >= 1
    assert set(loaded.values()) == {1}, "each model is loaded once in an actor's life"


@pytest.mark.parametrize("victim", ["actor", "driver", "head"])
def test_whatever_is_killed_every_recording_ends_once_with_the_same_words(
    archive: Path, tmp_path: Path, victim: str
) -> None:
    log, out = tmp_path / "log", f"killed-{victim}"
    chance = random.Random(victim)
    process = started(archive, out, log)
    try:
        until(lambda: list((archive / out).glob("*/parts/*/*.gz")), process, log)
        threading.Event().wait(chance.uniform(0, 1))  # at random: whatever is in work then
        if victim == "driver":
            process.kill()
        else:
            parts = ("MapBatches(Recognise)", "ray::decode", "ray::IDLE") if victim == "actor" else ("gcs_server",)
            for child in below(process):
                if named(child, *parts):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
        code = exit_code(process, log)
    finally:
        end(process)
    if code != 0:
        assert victim != "actor", f"an actor is begun again: {log.read_text()}"
        again = started(archive, out, log)
        try:
            assert exit_code(again, log) == 0, log.read_text()
        finally:
            end(again)
    else:
        # What the actor had done went down with the count of its block.
        said = json.loads(next(line for line in log.read_text().splitlines() if line.startswith("{")))
        assert (said["done"], said["failed"], said["finished_before"]) == (CLIPS, 1, 0)
    assert heard(archive, out, tmp_path / "m") == heard(archive, "alone", tmp_path / "n")


def test_actors_that_hang_are_given_up_and_the_run_is_begun_again(archive: Path, tmp_path: Path) -> None:
    """They are stopped, so that Ray waits for them for ever; and killed once they are given up, to leave nothing."""
    log, out = tmp_path / "log", "hung"
    process = started(archive, out, log)
    try:
        until(lambda: list((archive / out).glob("*/parts/*/*.gz")), process, log)
        hung = [child for child in below(process) if named(child, "MapBatches(Recognise)")]
        assert hung, f"no actor is left to hang: {log.read_text()}"
        for child in hung:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.suspend()
        try:
            until(lambda: "begun again" in log.read_text(), process, log)
        finally:
            for child in hung:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        assert exit_code(process, log) == 0, log.read_text()
    finally:
        end(process)
    said = json.loads(next(line for line in log.read_text().splitlines() if line.startswith("{")))
    assert (said["done"], said["failed"], said["elsewhere"]) == (CLIPS, 1, 0)
    assert heard(archive, out, tmp_path / "m") == heard(archive, "alone", tmp_path / "n")


def test_what_is_done_is_not_begun_again_and_needs_no_cluster(archive: Path, tmp_path: Path) -> None:
    found = run("archive", "run", archive / "plan.jsonl", "-o", archive / "alone", *TINY, "--ray", "--json")
    assert found["code"] == 0
    assert json.loads(found["said"])["finished_before"] == CLIPS + 1


def test_a_cluster_that_is_not_there_is_told_in_a_line(archive: Path, tmp_path: Path) -> None:
    found = subprocess.run(
        [
            *COMMAND,
            "archive",
            "run",
            str(archive / "plan.jsonl"),
            "-o",
            str(tmp_path / "o"),
            *TINY,
            "--ray",
            "127.0.0.1:1",
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert found.returncode == 1
    assert "the Ray cluster failed" in found.stderr
