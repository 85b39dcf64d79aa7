"""The pieces of a packaged model, joined once into the cache: whole and verified, or not there at all.

A folder is built beside its place and renamed when everything in it is on the disk. A lock keeps two processes from
doing the work twice; correctness rests on the rename alone, so a lock that cannot be had only costs time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from autorag_whisper.models.digests import is_noted, sha256_of, write_note
from autorag_whisper.models.packaged import Installed, ModelFile, Part, damaged_package

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOTE = "verified.json"
_BLOCK_BYTES = 1 << 20
_POLL_S = 0.05
_LOCK_WAIT_S = 60.0  # joining takes a second; a holder that takes a minute was stopped


def joined_place(installed: Installed, cache_dir: Path) -> Path:
    """The folder of the joined model. Its name carries the digests: other pieces are another folder."""
    digests = "".join(file.sha256 for file in installed.model.files)
    return cache_dir / f"{installed.model.name}-{hashlib.sha256(digests.encode()).hexdigest()[:12]}"


def join(installed: Installed, cache_dir: Path, *, lock_wait_s: float = _LOCK_WAIT_S) -> Path:
    """The folder of the joined model, made where it is missing, cut off or altered.

    Another process that is at it is waited for, but not longer than `lock_wait_s`: then it is done twice.

    Raises:
        ModelDamaged: a piece has another digest than the pinned one.
        OSError: the cache cannot be written (disk full, no permission).
    """
    place = joined_place(installed, cache_dir)
    if is_joined(installed, place):
        return place
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _lock(cache_dir / f"{place.name}.lock", lock_wait_s) as alone:
        if alone:
            _clear_leftovers(place)
        if not is_joined(installed, place):
            _build(installed, place)
    return place


def is_joined(installed: Installed, place: Path) -> bool:
    """Whether the finished folder is there and as it was verified."""
    files = {place / file.name: file.sha256 for file in installed.model.files}
    if is_noted(files, place / _NOTE):
        return True
    try:
        intact = all(sha256_of(path) == digest for path, digest in files.items())
    except OSError:
        return False
    if intact:
        write_note(files, place / _NOTE)
    return intact


def _build(installed: Installed, place: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.tmp-", dir=place.parent))
    try:
        for file in installed.model.files:
            _write(installed, file, folder / file.name)
        write_note({folder / file.name: file.sha256 for file in installed.model.files}, folder / _NOTE)
        folder.chmod(0o755)  # mkdtemp's 0700 would lock other users out of a shared cache
        _sync_folder(folder)
        _move_into_place(installed, folder, place)
        _sync_folder(place.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(installed: Installed, file: ModelFile, target: Path) -> None:
    with target.open("xb") as out:
        for part in file.parts:
            _append(installed, part, out)
        out.flush()
        os.fsync(out.fileno())


def _append(installed: Installed, part: Part, out: BinaryIO) -> None:
    digest = hashlib.sha256()
    with installed.places[part].open("rb") as source:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != part.sha256:
        raise damaged_package(installed.model, part, "its SHA-256 is not the pinned one")


def _move_into_place(installed: Installed, folder: Path, place: Path) -> None:
    """Rename the finished folder; what stands in its way is another's finished work, or damaged and goes."""
    try:
        folder.rename(place)
    except OSError:
        if not place.is_dir():
            raise
        if is_joined(installed, place):
            return
        place.rename(f"{folder}-old")
        folder.rename(place)
        shutil.rmtree(f"{folder}-old", ignore_errors=True)


def _clear_leftovers(place: Path) -> None:
    """Remove what a killed process left. Only the holder of the lock may: nobody else can be at work then."""
    for leftover in place.parent.glob(f".{place.name}.tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Put the folder's own entries on the disk, where folders can be opened for that (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _lock(path: Path, wait_s: float) -> Iterator[bool]:
    """Hold the lock file, or go on without it after a while, or where there are no such locks: True if held."""
    with path.open("ab") as file:
        yield _acquire(file, wait_s)


def _acquire(file: BinaryIO, wait_s: float) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    tick = threading.Event()
    for _ in range(max(1, round(wait_s / _POLL_S))):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tick.wait(_POLL_S)
        except OSError:  # a file system without locks
            return False
        else:
            return True
    return False
