"""Writing files so that each is there as a whole or not at all, and finding out before whether a folder allows it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
from types import MappingProxyType
from typing import TYPE_CHECKING

from autorag_whisper.archive.fingerprint import Stamp
from autorag_whisper.files import TEMPORARY, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LONGEST_NAME_BYTES = 255
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES}
"""How file systems say that they have no hard links (FAT, some network shares)."""


def make_writable(folder: Path) -> None:
    """Make `folder` with its parents where it is missing, and write to it.

    Only trying tells on every file system, for every user and quota.

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
    """Write several files. All are on the disk under temporary names before the first gets its own.

    `new`: files that must not replace another. `seen`: path -> the stamp that its file had when it was looked at; one
    with another stamp now is not replaced. Each file appears at once and whole, with the permissions of a new file.

    Raises:
        OSError: a folder cannot be written, the disk is full, a folder has a file's name.
        FileExistsError: a file of `new` exists, or one of `seen` has changed; others may have been written.
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


def is_backed_up(path: Path, copy: Path) -> bool:
    """Whether `copy` is the file that `path` names still, so that it needs no other copy."""
    try:
        return path.samefile(copy)
    except OSError:
        return False


def back_up(path: Path) -> Path:
    """Give a file another name that no file has (`talk.srt.bak`, `talk.srt.bak2`, ...), and return that path.

    Where the file system has hard links the file keeps its own name too, until it is replaced.

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
    """A new file in `folder` with `data` in it, which is removed at the end unless it was renamed."""
    path = folder / TEMPORARY.format(secrets.token_hex(6))
    try:
        # Not `tempfile`: its files are for their owner alone, a transcript is as open as the umask says.
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)
