"""Two runs over the same files: each file has one of them, and a run that is over has none."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.archive.reservations import FOLDER, Reservations

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / FOLDER


def test_what_one_run_has_another_has_not_until_it_is_given_back(folder: Path, tmp_path: Path) -> None:
    with Reservations(folder) as first, Reservations(folder) as second:
        assert first.take(tmp_path / "talk")
        assert first.take(tmp_path / "talk")
        assert not second.take(tmp_path / "talk")
        assert second.take(tmp_path / "other")
        second.release(tmp_path / "talk")  # not its own
        assert not second.take(tmp_path / "talk")
        first.release(tmp_path / "talk")
        assert second.take(tmp_path / "talk")
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_a_place_is_the_same_however_it_is_spelt(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with Reservations(folder) as first, Reservations(folder) as second:
        assert first.take(tmp_path / "a" / "talk")
        assert not second.take(tmp_path / "link" / "talk")


def test_a_file_that_version_0_1_0_is_at_work_on_is_left_to_it(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    folder = tmp_path / "claims"
    folder.mkdir()
    digest = hashlib.sha256(os.fsencode(tmp_path.resolve() / "talk")).hexdigest()
    (folder / f"claim-{digest[:32]}").write_text("run-0123")
    assert folder.name == FOLDER
    with (folder / "run-0123").open("xb") as run, Reservations(folder) as ours:
        fcntl.flock(run, fcntl.LOCK_EX)
        assert not ours.take(tmp_path / "talk")
        assert ours.take(tmp_path / "other")


def test_a_run_that_is_over_has_nothing(folder: Path, tmp_path: Path) -> None:
    first = Reservations(folder)
    assert first.take(tmp_path / "talk")
    assert first._run is not None
    first._run.close()  # as when the process dies: the kernel gives its lock back
    with Reservations(folder) as second:
        assert second.take(tmp_path / "talk")


def test_the_reservations_of_dead_runs_are_removed(folder: Path, tmp_path: Path) -> None:
    for number in range(3):
        dead = Reservations(folder)
        dead.take(tmp_path / str(number))
        assert dead._run is not None
        dead._run.close()
    with Reservations(folder) as alive:
        alive.take(tmp_path / "talk")
        assert len(list(folder.glob("run-*"))) == 1
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_without_a_folder_to_write_in_all_may_be_had_and_that_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with Reservations(tmp_path / "file" / FOLDER) as first, Reservations(tmp_path / "file" / FOLDER) as second:
        assert first.take(tmp_path / "a")
        assert first.take(tmp_path / "b")
        assert second.take(tmp_path / "a")
        first.release(tmp_path / "a")
    assert [item.levelname for item in caplog.records] == ["WARNING"] * 2
    assert "AUTORAG_WHISPER_CACHE_DIR" in caplog.text


def test_what_is_no_reservation_is_in_nobodys_way(folder: Path, tmp_path: Path) -> None:
    with Reservations(folder) as first:
        first.take(tmp_path / "talk")
        [reservation] = folder.glob("claim-*")
    reservation.write_bytes(b"../../etc\xff")
    with Reservations(folder) as second:
        assert second.take(tmp_path / "talk")


def test_where_there_are_no_locks_all_may_be_had_and_that_is_told_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    with Reservations(folder) as first, Reservations(folder) as second:
        assert [first.take(tmp_path / name) for name in "aab"] == [True] * 3
        assert second.take(tmp_path / "a")
        first.release(tmp_path / "a")
    assert len(caplog.records) == 2
    assert "no locks available" in caplog.text
