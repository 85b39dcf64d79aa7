"""Putting outputs on the disk: a folder that can be written is found out before, and a file is whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_TEMPORARY = ".autorag-whisper-{}.tmp"


def make_writable(folder: Path) -> None:
    """Make `folder` with its parents where it is missing, and write to it.

    Trying is the one test that holds for every file system, user and quota.

    Raises:
        OSError: it cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _temporary(folder, b"\n"):
        pass


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write every file, or leave those that are there as they were.

    All are on the disk under temporary names before the first gets its own; each appears at once and whole, with the
    permissions of a new file.

    Raises:
        OSError: a folder cannot be written, the disk is full, a folder has a file's name.
    """
    with contextlib.ExitStack() as stack:
        written = [(stack.enter_context(_temporary(path.parent, data)), path) for path, data in contents.items()]
        for path in contents:
            if path.is_dir():  # before the first replacement, as this can be known
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder")
        for temporary, path in written:
            temporary.replace(path)
    for folder in {path.parent for path in contents}:
        _sync_folder(folder)


@contextlib.contextmanager
def _temporary(folder: Path, data: bytes) -> Iterator[Path]:
    """A new file in `folder` that holds `data`; what still has its name at the end is removed."""
    path = folder / _TEMPORARY.format(secrets.token_hex(6))
    try:
        # Not `tempfile`: its files are for their owner alone, a transcript is as open as the umask says.
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Put the new names on the disk, where folders can be opened for that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
