"""What several rooms do with files on the disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.files import made_once, replaced, sha256_of, sha256_of_open, sync_folder, system_reason, write_all

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_a_digest_is_that_of_all_bytes_from_where_the_file_stands(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()
    with (tmp_path / "a").open("rb") as file:
        file.seek(1)
        assert sha256_of_open(file) == hashlib.sha256(data[1:]).hexdigest()


def test_a_folder_is_synced_and_what_cannot_be_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        assert os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        synced.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    sync_folder(tmp_path)
    sync_folder(tmp_path / "gone")
    [descriptor] = synced
    with contextlib.suppress(OSError):  # it is closed; or another file has its number by now
        assert not os.path.samestat(os.fstat(descriptor), tmp_path.stat())


def test_what_is_made_once_stays_and_is_made_anew_where_nothing_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A secret that was made as the machine went down was empty, and everybody could sign with it.
    assert made_once(tmp_path / "secret", b"first") == made_once(tmp_path / "secret", b"other") == b"first"
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    (tmp_path / "secret").write_bytes(b"")
    assert made_once(tmp_path / "secret", b"anew") == b"anew"

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)  # as on exFAT
    assert made_once(tmp_path / "more", b"made") == b"made"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more", "secret"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_file_is_replaced_as_a_whole_or_stays_as_it_was(tmp_path: Path, failure: type[BaseException]) -> None:
    place = tmp_path / "a"
    with replaced(place) as file:
        file.write(b"old")
        assert not place.exists()

    def half() -> None:
        with replaced(place) as file:
            file.write(b"half")
            raise failure

    with pytest.raises(failure):
        half()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]
    with replaced(place) as file:
        file.write(b"new")
        assert place.read_bytes() == b"old"
    assert place.read_bytes() == b"new"


@pytest.mark.parametrize("most", [1, 3, 100])
def test_all_is_written_to_a_file_that_takes_a_part_at_a_time(most: int) -> None:
    class Slow(io.RawIOBase):
        taken = b""

        def write(self, data: object) -> int:
            part = bytes(data)[:most]  # type: ignore[call-overload]  # it is a view
            self.taken += part
            return len(part)

    file = Slow()
    write_all(file, b"0123456789")
    assert file.taken == b"0123456789"


@pytest.mark.parametrize(
    ("error", "otherwise", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "", "no space left on device"),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot be read", "no space left on device"),
        (OSError("the Line broke"), "", "the line broke"),
        (OSError("the Line broke"), "cannot be read", "cannot be read"),
    ],
)
def test_a_reason_is_the_systems_text_and_else_what_the_caller_says(
    error: OSError, otherwise: str, reason: str
) -> None:
    assert system_reason(error, otherwise) == reason
