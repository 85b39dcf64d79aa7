"""A run that is stopped or killed in the middle of a file goes on behind its chunks; two runs share the work."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autorag_whisper.cli.exits import KEPT
from autorag_whisper.testing import speech_samples, write_speech
from http_world import until

CHILD = Path(__file__).resolve().parents[1] / "resuming_child.py"
COUNTS = (9, 12, 10, 11)


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four chunks, of 9, 12, 10 and 11 words."""
    monkeypatch.setenv("AUTORAG_WHISPER_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "orders").mkdir()
    (tmp_path / "media").mkdir()
    parts = [speech_samples(count, tail_s=6.0) for count in COUNTS]
    return write_speech(tmp_path / "media" / "talk.wav", np.concatenate(parts))


def start(talk: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHILD), str(talk.parent.parent / "orders"), *arguments, "--batch-size", "1"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def run(talk: Path, *arguments: str) -> tuple[int, str]:
    with start(talk, *arguments) as process:
        _, said = process.communicate(timeout=240)
    return process.returncode, said


def heard(talk: Path) -> list[int]:
    place = talk.parent.parent / "orders" / "heard"
    numbers = [int(line) for line in place.read_text().splitlines()]
    place.unlink()
    return sorted(numbers)


def unfinished(talk: Path) -> list[Path]:
    return list((talk.parent.parent / "cache" / "unfinished").iterdir())


@pytest.fixture
def undisturbed(talk: Path) -> str:
    assert run(talk, str(talk), "-f", "txt", "-o", str(talk.parent.parent / "whole"))[0] == 0
    assert heard(talk) == sorted(COUNTS)
    assert unfinished(talk) == []
    return (talk.parent.parent / "whole" / "talk.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -signal.SIGKILL), ("SIGINT", 130), ("SIGTERM", 143)])
def test_a_run_that_ends_in_a_file_goes_on_behind_its_chunks(
    name: str, code: int, talk: Path, undisturbed: str
) -> None:
    (talk.parent.parent / "orders" / f"{name}-at-11").write_text("1")
    assert run(talk, str(talk), "-f", "txt")[0] == code
    assert 11 in heard(talk)
    [chunks] = unfinished(talk)
    assert stat.S_IMODE(chunks.stat().st_mode) == 0o600
    kept = len(chunks.read_bytes().splitlines()) - 1
    assert kept >= 1
    code, said = run(talk, str(talk), "-f", "txt")
    assert code == 0
    assert f"goes on behind {kept} piece" in said
    assert len(heard(talk)) == len(COUNTS) - kept
    assert talk.with_suffix(".txt").read_text() == undisturbed
    assert unfinished(talk) == []


@pytest.mark.slow
def test_chunks_of_other_options_or_of_a_file_that_was_changed_are_not_taken(talk: Path, undisturbed: str) -> None:
    orders = talk.parent.parent / "orders"
    (orders / "SIGKILL-at-11").touch()
    run(talk, str(talk), "-f", "txt")
    heard(talk)
    assert run(talk, str(talk), "-f", "txt", "--beam-size", "1")[0] == 0
    assert heard(talk) == sorted(COUNTS)
    (orders / "SIGKILL-at-11").touch()
    run(talk, str(talk), "-f", "txt", "--force")
    heard(talk)
    os.utime(talk)
    assert run(talk, str(talk), "-f", "txt", "--force")[0] == 0
    assert heard(talk) == sorted(COUNTS)


def test_a_cache_that_cannot_be_written_is_told_with_its_folder_and_variable(
    talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (talk.parent.parent / "file").touch()
    monkeypatch.setenv("AUTORAG_WHISPER_CACHE_DIR", str(talk.parent.parent / "file" / "cache"))
    code, said = run(talk, str(talk), "-f", "txt")
    assert code == 0
    assert said.count("AUTORAG_WHISPER_CACHE_DIR names another folder") == 2  # claims, chunks
    assert str(talk.parent.parent / "file" / "cache") in said


@pytest.mark.slow
def test_two_runs_over_a_folder_do_each_file_once_and_the_second_is_told(talk: Path) -> None:
    orders = talk.parent.parent / "orders"
    talk.unlink()
    for name, words in (("a", 5), ("b", 6), ("c", 7)):
        write_speech(talk.parent / f"{name}.wav", speech_samples(words))
    (orders / "hold-at-5").touch()
    first = start(talk, str(talk.parent / "a.wav"), "-f", "txt")
    until((orders / "holding").exists)
    code, said = run(talk, str(talk.parent), "-f", "txt")
    assert code == KEPT
    assert "a.wav: another run is at work on it" in said
    assert "1 file left to another run" in said
    (orders / "hold-at-5").unlink()
    first.communicate(timeout=240)
    assert first.returncode == 0
    assert heard(talk) == [5, 6, 7]
    assert {path.name for path in talk.parent.glob("*.txt")} == {"a.txt", "b.txt", "c.txt"}
    assert run(talk, str(talk.parent), "-f", "txt")[0] == 0


def test_a_run_that_was_killed_claims_nothing(talk: Path) -> None:
    (talk.parent.parent / "orders" / "SIGKILL-at-9").touch()
    run(talk, str(talk), "-f", "txt")
    claims = talk.parent.parent / "cache" / "claims"
    assert len(list(claims.glob("claim-*"))) == 1
    code, said = run(talk, str(talk), "-f", "txt")
    assert (code, "another run" in said) == (0, False)
    assert [path.name for path in claims.iterdir()] == ["lock"]
