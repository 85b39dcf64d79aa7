"""Files appear whole, all formats or none, and nothing temporary stays."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.archive.fingerprint import Stamp
from autorag_whisper.archive.outputs import back_up, make_writable, write_together

if TYPE_CHECKING:
    from pathlib import Path


def test_all_files_are_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("old")
    write_together({tmp_path / "a.srt": b"new", tmp_path / "a.json": b"{}"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.srt": b"new", "a.json": b"{}"}


def test_one_that_cannot_be_written_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("old")
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match="a folder"):
        write_together({tmp_path / "a.srt": b"new", tmp_path / "a.json": b"{}"})
    assert (tmp_path / "a.srt").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.srt"]


def test_a_folder_that_is_gone_is_an_error_and_the_others_are_as_they_were(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_together({tmp_path / "a.srt": b"new", tmp_path / "gone" / "a.json": b"{}"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_permissions_are_those_of_a_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_together({tmp_path / "a.srt": b"new"})
    finally:
        os.umask(before)
    assert (tmp_path / "a.srt").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_reader_of_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("old and long")
    with (tmp_path / "a.srt").open() as reader:
        write_together({tmp_path / "a.srt": b"new"})
        assert reader.read() == "old and long"


def test_a_folder_is_made_with_its_parents_and_stays_empty(tmp_path: Path) -> None:
    make_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="Not a directory"):
        make_writable(tmp_path / "file" / "out")


def test_a_file_that_was_changed_since_it_was_seen_is_not_replaced(tmp_path: Path) -> None:
    place = tmp_path / "a.srt"
    place.write_text("old")
    seen = {place: Stamp.of_name(place)}
    write_together({place: b"new"}, seen=seen)
    assert place.read_text() == "new"
    with pytest.raises(FileExistsError):
        write_together({place: b"newer"}, seen=seen)
    assert place.read_text() == "new"
    place.unlink()
    write_together({place: b"newer"}, seen=seen)
    assert [path.name for path in tmp_path.iterdir()] == ["a.srt"]


def test_a_copy_has_a_name_of_its_own_and_the_file_keeps_its_own_too(tmp_path: Path) -> None:
    place = tmp_path / "a.srt"
    for text in ("one", "two"):
        place.write_text(text)
        assert back_up(place).read_text() == text
        place.unlink()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.srt.bak": "one", "a.srt.bak2": "two"}


@pytest.mark.parametrize("refusal", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_nothing_is_replaced_either(
    tmp_path: Path, refusal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "link", link)
    place = tmp_path / "a.srt"
    write_together({place: b"first"}, new=frozenset({place}))
    with pytest.raises(FileExistsError):
        write_together({place: b"second"}, new=frozenset({place}))
    assert place.read_bytes() == b"first"
    assert back_up(place).read_bytes() == b"first"
    write_together({place: b"second"}, new=frozenset({place}))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.srt": "second", "a.srt.bak": "first"}
