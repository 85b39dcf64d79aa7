"""The pieces of a packaged model become one folder: whole, once, and not left half done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.files import sha256_of
from autorag_whisper.models.digests import is_noted, write_note
from autorag_whisper.models.joining import is_joined, join, joined_place
from model_folders import make_pieces, model_files

if TYPE_CHECKING:
    from pathlib import Path

fcntl = pytest.importorskip("fcntl", reason="the lock is for systems that have flock")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "verified.json"}


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name.startswith("."))


def test_what_was_joined_is_the_model_byte_for_byte(tmp_path: Path) -> None:
    folder = join(make_pieces(tmp_path / "packages"), tmp_path / "new" / "cache")
    assert contents(folder) == model_files()
    assert leftovers(tmp_path / "new" / "cache") == []


def test_a_second_call_joins_nothing_even_where_the_cache_cannot_be_locked(tmp_path: Path) -> None:
    pieces = make_pieces(tmp_path / "packages")
    folder = join(pieces, tmp_path)
    before = (folder / "model.bin").stat()
    (tmp_path / f"{folder.name}.lock").unlink()
    assert join(pieces, tmp_path) == folder
    after = (folder / "model.bin").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert not (tmp_path / f"{folder.name}.lock").exists()


def test_a_joined_folder_may_be_read_by_whom_the_cache_may(tmp_path: Path) -> None:
    assert join(make_pieces(tmp_path / "packages"), tmp_path).stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("harm", ["cut", "altered", "gone", "unnoted and altered"])
def test_a_joined_file_that_came_to_harm_is_joined_again(tmp_path: Path, harm: str) -> None:
    pieces = make_pieces(tmp_path / "packages")
    folder = join(pieces, tmp_path)
    weights = folder / "model.bin"
    if harm == "cut":
        os.truncate(weights, 10)
    elif harm == "gone":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    if harm == "unnoted and altered":
        (folder / "verified.json").unlink()
    assert not is_joined(pieces, folder)
    assert contents(join(pieces, tmp_path)) == model_files()
    assert leftovers(tmp_path) == []


def test_a_sound_folder_without_its_note_is_verified_by_digest_and_noted_again(tmp_path: Path) -> None:
    pieces = make_pieces(tmp_path / "packages")
    folder = join(pieces, tmp_path)
    inode = (folder / "model.bin").stat().st_ino
    (folder / "verified.json").write_text("{not json")
    assert join(pieces, tmp_path) == folder
    assert (folder / "model.bin").stat().st_ino == inode
    assert (folder / "verified.json").read_text().startswith('{"config.json"')


def test_a_piece_with_another_digest_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    pieces = make_pieces(tmp_path / "packages")
    second = next(path for path in pieces.places.values() if path.name == "model.bin.part2")
    second.write_bytes(second.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ModelDamaged) as caught:
        join(pieces, tmp_path / "cache")
    assert caught.value.file == "model.bin.part2"
    assert "reinstall the package package-2" in caught.value.reason
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{joined_place(pieces, tmp_path).name}.lock"]


def test_other_pieces_are_joined_in_another_folder(tmp_path: Path) -> None:
    pieces = make_pieces(tmp_path / "packages")
    others = make_pieces(tmp_path / "packages", name="other")
    assert joined_place(pieces, tmp_path) != joined_place(others, tmp_path)


def test_what_a_killed_process_left_is_cleared_by_the_next_that_joins(tmp_path: Path) -> None:
    pieces = make_pieces(tmp_path / "packages")
    left = tmp_path / f".{joined_place(pieces, tmp_path).name}.tmp-abc"
    left.mkdir()
    (left / "model.bin").write_bytes(b"half")
    join(pieces, tmp_path)
    assert leftovers(tmp_path) == []


def test_a_holder_of_the_lock_that_never_finishes_is_not_waited_for_and_its_work_not_removed(tmp_path: Path) -> None:
    pieces = make_pieces(tmp_path / "packages")
    place = joined_place(pieces, tmp_path)
    its_work = tmp_path / f".{place.name}.tmp-its"
    its_work.mkdir()
    with (tmp_path / f"{place.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert contents(join(pieces, tmp_path, lock_wait_s=0.05)) == model_files()
        assert its_work.is_dir()


def test_a_note_holds_until_a_file_changes(tmp_path: Path) -> None:
    file, note = tmp_path / "model.bin", tmp_path / "notes" / "note.json"
    file.write_bytes(b"weights")
    files = {file: sha256_of(file)}
    assert not is_noted(files, note)
    write_note(files, note)
    assert is_noted(files, note)
    assert not is_noted({file: "another digest"}, note)
    os.utime(file, ns=(0, 0))
    assert not is_noted(files, note)
    file.unlink()
    assert not is_noted(files, note)


def test_a_note_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    write_note({tmp_path / "file": "digest"}, tmp_path / "file" / "note.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
