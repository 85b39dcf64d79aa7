"""Storages that fsspec knows (extra `archive`): S3 and what is compatible, and many more by their own packages.

Addresses of servers and keys come from where each storage's own tools have them (`AWS_ENDPOINT_URL`,
`AWS_ACCESS_KEY_ID`, ...); none stands in a plan.
"""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from autorag_whisper.archive.sharded.listing import Candidate
from autorag_whisper.domain.archive_errors import MediaUnreachable
from autorag_whisper.domain.errors import ExtraNotInstalled, MediaNotFound, MediaUnreadable
from autorag_whisper.domain.interruptions import let_signals_through
from autorag_whisper.files import system_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

_COPY_BYTES = 1 << 20
_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "LastModified", "last_modified", "mtime")


def list_storage(address: str) -> Iterator[tuple[Candidate, bool]]:
    """What is at an address: an object, all below a folder, or what matches a pattern. True where it was named itself.

    Raises:
        ExtraNotInstalled: the storage's package is not installed.
        OSError: it does not answer, or refuses.
    """
    system, path = _system(address)
    try:
        if any(magic in path for magic in "*?["):
            found = system.glob(path, detail=True)
        else:
            found = system.find(path, detail=True)
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
        MediaNotFound, MediaUnreadable: there is no such object, or it may not be read.
        MediaUnreachable: the storage does not answer as it should.
        ExtraNotInstalled: its package is not installed.
    """
    system, path = _system(uri)
    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - whoever called closes it
    try:
        with system.open(path, "rb", cache_type="none") as remote:
            shutil.copyfileobj(remote, file, _COPY_BYTES)
    except BaseException as error:
        file.close()
        if not isinstance(error, Exception):
            raise
        let_signals_through(error)
        if isinstance(error, FileNotFoundError):
            raise MediaNotFound(name) from error
        if isinstance(error, PermissionError):
            raise MediaUnreadable(name, system_reason(error, "may not be read")) from error
        raise MediaUnreachable(name, str(error) or type(error).__name__) from error
    file.seek(0)
    return file


def _system(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path there."""
    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:  # ValueError: a protocol that nobody has registered
        raise ExtraNotInstalled(f"storage of {address.partition('://')[0]}://", "archive", str(error)) from error
    return system, str(path)


def _candidate(system: Any, info: dict[str, Any], name: str) -> Candidate:
    size = info.get("size")
    tag = next((str(info[key]) for key in _TAGS if info.get(key)), "")
    return Candidate(str(system.unstrip_protocol(name)), None if size is None else int(size), None, tag)
