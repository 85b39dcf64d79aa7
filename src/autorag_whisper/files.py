"""What several rooms do with files on the disk, written once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path

TEMPORARY = ".autorag-whisper-{}.tmp"
"""The name of a file that is not yet whole."""
_BLOCK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """The SHA-256 of a whole file, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return sha256_of_open(file)


def sha256_of_open(file: BinaryIO) -> str:
    """The SHA-256 of an open file from where it stands to its end, in hexadecimal."""
    digest = hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk itself, as far as the system can do that (Windows cannot)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole and on the disk; nothing is left of it where that fails.

    It replaces what has that name. Raises OSError.
    """
    temporary = path.with_name(TEMPORARY.format(secrets.token_hex(6)))
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_all(file: io.RawIOBase, data: bytes) -> None:
    """All of it, to a file without a buffer, which may take a part at a time. Raises OSError."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]


def made_once(path: Path, content: bytes) -> bytes:
    """What a small file of this user's holds; it is made of `content` where there is none, or nothing in it.

    Whole and on the disk, and the same for all who ask at once. Raises OSError.
    """
    if not path.exists() or not path.stat().st_size:
        new = path.with_name(f".{secrets.token_hex(16)}")
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _named(new, path)
        finally:
            new.unlink(missing_ok=True)
        sync_folder(path.parent)
    return path.read_bytes()


def _named(new: Path, path: Path) -> None:
    """Give a file its name, if nobody was first; without links, or where an empty one has it, the last one stays."""
    try:
        os.link(new, path)
    except FileExistsError:
        if not path.stat().st_size:
            new.replace(path)
    except OSError:
        new.replace(path)


def cut_to(name: str, most_bytes: int) -> str:
    """The beginning of a name that takes so many bytes at most: a file's name has 255, of however many characters."""
    return name.encode("utf-8", "replace")[:most_bytes].decode("utf-8", "ignore")


def system_reason(error: OSError, otherwise: str = "") -> str:
    """What the operating system has against it, in lower case: the middle of a sentence.

    `otherwise`: what to say where the error has no text of the system's; "" for the error's own.
    """
    return (error.strerror or otherwise or str(error)).lower()
