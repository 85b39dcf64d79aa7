"""Putting outputs on the disk: a folder that can be written is found out before, and a file is whole or not there."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
from types import MappingProxyType
from typing import TYPE_CHECKING

from autorag_whisper.archive.fingerprint import Stamp
from autorag_whisper.files import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_TEMPORARY = ".autorag-whisper-{}.tmp"
_LONGEST_NAME_BYTES = 255
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES}
"""How file systems say that they have no hard links (FAT, some network shares)."""


def make_writable(folder: Path) -> None:
    """Make `folder` with its parents where it is missing, and write to it.

    Trying is the one test that holds for every file system, user and quota.

    Raises:
        OSError: it cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _temporary(folder, b"\n"):
        pass


def write_together(
    contents: Mapping[Path, bytes],
    *,
    new: frozenset[Path] = frozenset(),
    seen: Mapping[Path, Stamp | None] = MappingProxyType({}),
) -> None:
    """Write every file, or leave those that are there as they were. Those in `new` replace nothing.

    `seen`: a file that has another stamp by now was changed since it was looked at, and is not replaced.

    All are on the disk under temporary names before the first gets its own; each appears at once and whole, with the
    permissions of a new file.

    Raises:
        OSError: a folder cannot be written, the disk is full, a folder has a file's name.
        FileExistsError: there is another file now than was seen, or none was; others may have been written.
    """
    with contextlib.ExitStack() as stack:
        written = [(stack.enter_context(_temporary(path.parent, data)), path) for path, data in contents.items()]
        for path in contents:
            if path.is_dir():  # before the first replacement, as this can be known
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder")
        for temporary, path in written:
            if path in new:
                _move_to_new(temporary, path)
            elif path in seen and Stamp.of_name(path) not in (seen[path], None):
                raise FileExistsError(errno.EEXIST, f"{path.name} was changed")
            else:
                temporary.replace(path)
    for folder in {path.parent for path in contents}:
        sync_folder(folder)


def is_set_aside(path: Path, copy: Path) -> bool:
    """Whether `copy` is what is called `path` still: a second copy would be of the same file."""
    try:
        return path.samefile(copy)
    except OSError:
        return False


def set_aside(path: Path) -> Path:
    """Give a file another name, `talk.srt.bak` and so on, that no file has. The copy is the file itself.

    Where the file system has hard links it also stays under its own name, for whoever replaces it at once.

    Raises:
        OSError: it cannot be done.
    """
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder")
    for place in _copies(path):
        try:
            os.link(path, place, follow_symlinks=False)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with place.open("xb"):  # the name is ours, and only then the file moves there
                path.replace(place)
        return place
    raise FileExistsError(errno.EEXIST, f"{path.name} has too many copies")


def _copies(path: Path) -> Iterator[Path]:
    for number in itertools.chain([""], range(2, 10_000)):
        end = f".bak{number}"
        name = path.name
        while len(os.fsencode(name + end)) > _LONGEST_NAME_BYTES:
            name = name[:-1]
        place = path.with_name(name + end)
        if not os.path.lexists(place):
            yield place


def _move_to_new(temporary: Path, path: Path) -> None:
    """Give a temporary file its name, unless there is a file of that name. Raises FileExistsError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with path.open("xb"):  # ours from here on
            temporary.replace(path)


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
