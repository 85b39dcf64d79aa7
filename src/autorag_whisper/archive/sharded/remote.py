"""Storages that fsspec knows (extra `archive`): S3 and what is compatible, and many more by their own packages.

Addresses of servers and keys come from where each storage's own tools have them (`AWS_ENDPOINT_URL`,
`AWS_ACCESS_KEY_ID`, ...); none stands in a plan.
"""

from __future__ import annotations

import io
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO

from autorag_whisper.archive.sharded.listing import Candidate
from autorag_whisper.domain.archive_errors import MediaUnreachable, ScratchFull
from autorag_whisper.domain.errors import AutoragWhisperError, ExtraNotInstalled, MediaNotFound, MediaUnreadable
from autorag_whisper.domain.interruptions import let_signals_through
from autorag_whisper.files import system_reason, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator

_COPY_BYTES = 1 << 20
_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "LastModified", "last_modified", "mtime")


def list_storage(address: str) -> Iterator[tuple[Candidate, bool]]:
    """What is at an address: an object, all below a folder, or what matches a pattern. True where it was named itself.

    What is there by that very name goes before a pattern: objects and folders are called "Talk [2020]", too.

    Raises:
        ExtraNotInstalled: the storage's package is not installed.
        OSError: it does not answer, or refuses.
    """
    try:
        system, path = _system(address)
    except ValueError as error:  # a protocol that nobody has registered
        raise _not_installed(address, error) from error
    try:
        found = _below(system, path) or (system.glob(path, detail=True) if _has_magic(path) else {})
        names = sorted(found)
    except OSError:
        raise
    except Exception as error:
        let_signals_through(error)
        raise OSError(str(error)) from error
    for name in names:
        info = found[name]
        if info.get("type") == "file":
            yield _candidate(system, info, name), system._strip_protocol(name) == path  # noqa: SLF001 - no public name does it


def fetch(uri: str, name: str) -> BinaryIO:
    """A temporary file without a name that holds the object. Blocks.

    Raises:
        MediaNotFound, MediaUnreadable: there is no such object, or no such kind of storage.
        MediaUnreachable: the storage does not answer as it should, or refuses: keys expire, and are given others.
        ScratchFull: this machine has no room for it.
        ExtraNotInstalled: its package is not installed.
    """
    try:
        system, path = _system(uri)
    except ValueError as error:
        raise MediaUnreadable(name, "lies in a storage of a kind that is not known here") from error
    file = _scratch()
    try:
        with system.open(path, "rb", cache_type="none") as remote:
            while block := remote.read(_COPY_BYTES):
                _write(file, block)
    except BaseException as error:
        file.close()
        if not isinstance(error, Exception) or isinstance(error, AutoragWhisperError):
            raise
        let_signals_through(error)
        if isinstance(error, FileNotFoundError):
            raise MediaNotFound(name) from error
        raise MediaUnreachable(name, str(error) or type(error).__name__) from error
    file.seek(0)
    return io.BufferedReader(file)


def _scratch() -> io.FileIO:
    try:
        # Without a buffer: what is written is there, or it was refused.
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise ScratchFull("the folder of temporary files", system_reason(error)) from error


def _write(file: io.FileIO, block: bytes) -> None:
    try:
        write_all(file, block)
    except OSError as error:
        raise ScratchFull(tempfile.gettempdir(), system_reason(error)) from error


def _below(system: Any, path: str) -> dict[str, Any]:
    """What there is by that very name, and below it."""
    try:
        found: dict[str, Any] = system.find(path, detail=True)
    except FileNotFoundError:
        if not _has_magic(path):
            raise
        return {}
    return found


def _has_magic(path: str) -> bool:
    return any(magic in path for magic in "*?[")


def _system(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path there. Raises ExtraNotInstalled; ValueError: none is known."""
    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise _not_installed(address, error) from error
    return system, str(path)


def _not_installed(address: str, error: Exception) -> ExtraNotInstalled:
    return ExtraNotInstalled(f"storage of {address.partition('://')[0]}://", "archive", str(error))


def _candidate(system: Any, info: dict[str, Any], name: str) -> Candidate:
    size = info.get("size")
    tag = next((str(info[key]) for key in _TAGS if info.get(key)), "")
    return Candidate(str(system.unstrip_protocol(name)), None if size is None else int(size), None, tag)
