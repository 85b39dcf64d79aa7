"""Folders in the cache that are made of a model: built beside their place and renamed, so whole, or not there.

A lock keeps two processes from doing the work twice; correctness rests on the rename alone, so a lock that cannot be
had only costs time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


LOCK_WAIT_S = 60.0
"""How long another process is waited for: the work takes a second a gigabyte or so; who takes a minute was stopped."""
_POLL_S = 0.05


@contextmanager
def locked(place: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold the lock for making `place`; what killed processes have left of it is removed first.

    Waits up to `wait_s` for another process that holds it. After that the block runs without the lock, so that both
    processes do the work.
    """
    with (place.parent / f"{place.name}.lock").open("ab") as file:
        if _acquire(file, wait_s):  # nobody else can be at work
            for leftover in place.parent.glob(f".{place.name}.tmp-*"):
                _remove(leftover)
        yield


def _remove(leftover: Path) -> None:
    """A folder, or a file; what cannot be removed stays."""
    if leftover.is_dir():
        shutil.rmtree(leftover, ignore_errors=True)
        return
    with suppress(OSError):
        leftover.unlink()


@contextmanager
def one_at_a_time(place: Path) -> Iterator[None]:
    """Hold the lock for finding out what is kept in `place`, as `locked` does; without it where nothing can be kept."""
    with ExitStack() as held:
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(place))
        yield


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


@contextmanager
def building(place: Path, is_made: Callable[[], bool]) -> Iterator[Path]:
    """A new folder to fill, which becomes `place` at the end of the `with`; after an error nothing is left of it.

    `is_made`: whether what stands there by then is as good, as another process has made it; if not, it goes.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.tmp-", dir=place.parent))
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's 0700 would lock other users out of a shared cache
        _move_into_place(folder, place, is_made)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move_into_place(folder: Path, place: Path, is_made: Callable[[], bool]) -> None:
    try:
        folder.rename(place)
    except OSError:
        if is_made():
            return
        place.rename(f"{folder}-old")
        folder.rename(place)
        shutil.rmtree(f"{folder}-old", ignore_errors=True)


def link_files(source: Path, target: Path, but: str) -> None:
    """In `target` a link to every file of `source` except the one of that name. Raises OSError where that cannot be."""
    for file in _files(source, but):
        _link(file.resolve(), target / file.name)


def are_linked(source: Path, target: Path, but: str) -> bool:
    """Whether those links are all there and lead to the files as they are now."""
    try:
        return all((target / file.name).samefile(file) for file in _files(source, but))
    except OSError:
        return False


def _files(folder: Path, but: str) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file() and file.name != but]


def _link(target: Path, link: Path) -> None:
    """A symbolic link; where those need a right that users lack (Windows), a hard one."""
    try:
        link.symlink_to(target)
    except (OSError, NotImplementedError):
        os.link(target, link)
