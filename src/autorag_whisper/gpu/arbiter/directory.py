"""The folder through which the processes of one machine share a card: tickets, the grant, reservations.

```
  0000000042.ticket    one a waiter or holder; locked (flock) by its owner for as long as it is wanted
  grant                locked by the holder, and by nobody else
  holder               a FIFO that the holder has open: who is next in line sees its end at once (`Watch`)
  whisper-4711-1.claim a reservation: memory that a tenant keeps on the card between leases; locked by its process
  whisper-4711-1.sock  where that process is asked to offload
```

The kernel drops a lock when its owner dies, however it dies; a file that nobody locks is a dead one's, and whoever sees
it takes it away. Order is by ticket number alone: polling a lock without one lets the lucky pass for ever.

Two locks make two holders impossible: that of `grant`, and a name of the kernel's own (`sole`), which holds also where
the folder is taken away under a holder.

No number is used twice: the ticket file with the highest number is kept, even when its owner is dead, and a new
ticket has a higher one. A process that read the folder before others drew may pick a number that is too low; it looks
again after drawing, and draws anew if it finds a higher one. So a ticket's number serves as the epoch of its lease, and
`grant` remembers the last one.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import select
import stat
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import GpuDirectoryUnsafe
from autorag_whisper.gpu.arbiter import facts
from autorag_whisper.gpu.arbiter.private_folder import open_safely
from autorag_whisper.gpu.arbiter.sole import SoleName

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autorag_whisper.gpu.arbiter.core import Reservation, Ticket
    from autorag_whisper.gpu.arbiter.facts import GrantFacts

_log = logging.getLogger(__name__)

_TICKET, _RESERVATION, _GRANT, _HOLDER = ".ticket", ".claim", "grant", "holder"  # as earlier versions name them
_NUMBER = re.compile("[0-9]{10,18}")
_LONGEST = 4096
"""Bytes that a file may say."""


class LockedFile:
    """A file of our own, open and locked until it is closed. Not inherited by a program that this one starts.

    A forked child would hold the lock too, and for longer than its parent: it lets go when it is made.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path, self._fd, self._fifo = path, fd, -1
        self._sole: socket.socket | None = None
        _open_files.add(self)

    def tell_by(self, fifo: int) -> None:
        """Keep this end of a FIFO open for as long as the file is locked, and a moment longer."""
        self._fifo = fifo

    def bind(self, sole: socket.socket) -> None:
        """Keep that name for as long as the file is locked."""
        self._sole = sole

    @property
    def is_there(self) -> bool:
        """Whether its path still leads to it: it may have been deleted, or replaced."""
        mine = os.fstat(self._fd)
        try:
            found = self.path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def write(self, said: object) -> None:
        """Replace what it says. A reader in between sees a part, which it takes for nothing."""
        data = json.dumps(said).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)

    def read(self) -> dict[str, Any] | None:
        """What it says; None where that is nothing that can be read."""
        return facts.parse(os.pread(self._fd, _LONGEST, 0))

    def close(self) -> None:
        """Let go. The file stays."""
        if self._fd >= 0:
            os.close(self._fd)
        if self._sole is not None:
            self._sole.close()
        if self._fifo >= 0:  # last: who is told finds the locks free
            os.close(self._fifo)
        self._fd, self._sole, self._fifo = -1, None, -1
        _open_files.discard(self)

    def __enter__(self) -> LockedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_open_files: set[LockedFile] = set()


def _forget_all() -> None:
    """In a forked child: its parent's locks are not its own."""
    for file in list(_open_files):
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class Watch:
    """Tells when a holder of the grant lets go or dies; only of one that did so after this was made.

    It may be told a moment before the kernel has dropped a dead one's lock, so that is no promise to find it free.
    Where there is no such FIFO it tells nothing.
    """

    def __init__(self, path: Path) -> None:
        self._poll = select.poll()
        self._fd = -1
        with suppress(OSError):
            self._fd = _open_fifo(path, os.O_RDONLY)
            self._poll.register(self._fd, 0)  # the end of the last writer is told in any case

    def wait(self, timeout_s: float) -> bool:
        """Whether it was told."""
        return bool(self._poll.poll(1000 * timeout_s))

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class Directory:
    """The files in that folder. Nothing in it waits: a lock is there or is not. (`Watch` does.)

    Any of them may be deleted, cut off, replaced or written by somebody else at any time, and the folder with them: it
    is made again by whoever next writes to it. Foreign facts are skipped, and told once.
    """

    def __init__(self, folder: Path, clock_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        open_safely(folder)
        self.folder, self._clock_us = folder, clock_us
        self._sole = SoleName(folder)
        self._told: set[str] = set()

    def draw(self, said: dict[str, object]) -> tuple[int, LockedFile]:
        """A ticket with the highest number so far, written and locked before anyone can see it.

        In an empty folder that is the time, so that it is higher than in a folder of that name that was taken away.
        Raises GpuDirectoryUnsafe where the folder is gone and cannot be made again.
        """
        while True:
            numbers = [*self._numbers(), *self._last_number()]
            number = max(numbers) + 1 if numbers else self._clock_us()
            if number >= facts.HIGHEST:
                raise GpuDirectoryUnsafe(str(self.folder), f"it holds a ticket with the number {number - 1}")
            scratch, file = self._scratch()
            try:
                file.write({**said, "number": number})
                path = self.folder / f"{number:010d}{_TICKET}"
                os.link(scratch, path)
                file.path = path
            except (FileExistsError, FileNotFoundError):  # another was faster; the folder is gone
                file.close()
                continue
            except OSError as error:  # no room; a file system without hard links
                file.close()
                raise GpuDirectoryUnsafe(str(self.folder), f"it takes no ticket ({error.strerror})") from error
            finally:
                scratch.unlink(missing_ok=True)
            if max(self._numbers(), default=0) == number:
                return number, file
            path.unlink(missing_ok=True)
            file.close()

    def waiting(self) -> list[Ticket]:
        """The live tickets in order, the holder's among them. Deletes those of dead processes, but for the highest."""
        found: list[Ticket] = []
        numbers = sorted(self._numbers())
        highest = numbers[-1] if numbers else 0
        for number in numbers:
            path = self.folder / f"{number:010d}{_TICKET}"
            said = _said(path)
            if said is None:
                if number < highest:
                    _delete(path)
            elif (ticket := facts.ticket_of(number, facts.parse(said))) is not None:
                found.append(ticket)
            else:
                self._skip(path, said)
        return found

    def take_grant(self) -> LockedFile | None:
        """The grant, if nobody has it, also in a folder of this name that was taken away under him.

        Raises GpuDirectoryUnsafe where it is no file.
        """
        try:
            grant = _lock(self.folder / _GRANT, create=True)
        except OSError as error:
            raise GpuDirectoryUnsafe(str(self.folder), f"{_GRANT} is none of its files ({error.strerror})") from error
        if grant is None:
            return None
        try:
            sole = self._sole.bind() if grant.is_there else None
            if sole is None:
                grant.close()
                return None
            grant.bind(sole)
            with suppress(OSError):
                grant.tell_by(_open_fifo(self.folder / _HOLDER, os.O_RDWR))
        except BaseException:
            grant.close()
            raise
        return grant

    def watch(self) -> Watch:
        """To be made before a look at the grant that may find it taken."""
        return Watch(self.folder / _HOLDER)

    def held(self) -> GrantFacts | None:
        """Who has the grant; None if nobody has, or it changes hands this moment."""
        path = self.folder / _GRANT
        said = _said(path)
        held = None if said is None else facts.grant_of(facts.parse(said))
        if said is not None and held is None:
            self._skip(path, said)
        return held

    def reserve(self, reservation: Reservation) -> LockedFile:
        """Say that a tenant of this process keeps memory on the card, until the file is closed.

        Raises GpuDirectoryUnsafe.
        """
        path = self.folder / f"{reservation.tenant}-{reservation.owner}{_RESERVATION}"
        while True:
            scratch, file = self._scratch()
            try:
                file.write(asdict(reservation))
                scratch.rename(path)
            except FileNotFoundError:  # the folder is gone
                file.close()
                continue
            except OSError as error:
                file.close()
                _delete(scratch)
                raise GpuDirectoryUnsafe(str(self.folder), f"it takes no reservation ({error.strerror})") from error
            file.path = path
            return file

    def reservations(self) -> Iterator[Reservation]:
        """The reservations of live processes. Deletes those of dead ones."""
        for path in sorted(path for path in self._files() if path.suffix == _RESERVATION):
            said = _said(path)
            if said is None:
                _delete(path)
                _delete(path.with_suffix(".sock"))
            elif (reservation := facts.reservation_of(path.stem, facts.parse(said))) is not None:
                yield reservation
            else:
                self._skip(path, said)

    def _skip(self, path: Path, said: bytes) -> None:
        if path.name not in self._told and not facts.is_half_written(said):
            self._told.add(path.name)
            _log.warning("%s in the GPU's folder says what this version does not know, and is skipped", path.name)

    def _scratch(self) -> tuple[Path, LockedFile]:
        """A new file, locked before anyone can know its name, in a folder that is made again where it is gone."""
        while True:
            open_safely(self.folder)
            path = self.folder / f"{os.getpid()}-{os.urandom(4).hex()}.new"
            try:
                file = _lock(path, create=True)
            except OSError as error:
                raise GpuDirectoryUnsafe(str(self.folder), f"it cannot be written ({error.strerror})") from error
            if file is not None:
                return path, file

    def _numbers(self) -> list[int]:
        names = (path.name.removesuffix(_TICKET) for path in self._files() if path.suffix == _TICKET)
        return [int(name) for name in names if _NUMBER.fullmatch(name) and int(name) < facts.HIGHEST]

    def _last_number(self) -> list[int]:
        """That of the last grant, which no ticket may fall behind."""
        try:
            fd = _opened(self.folder / _GRANT)
        except OSError:
            return []
        try:
            last = facts.grant_of(facts.parse(os.pread(fd, _LONGEST, 0)))
        except OSError:
            return []
        finally:
            os.close(fd)
        return [last.number] if last is not None else []

    def _files(self) -> list[Path]:
        try:
            return list(self.folder.iterdir())
        except OSError:  # gone, or replaced by a file
            return []


def _opened(path: Path) -> int:
    """To be read; a FIFO in a file's place blocks nobody."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def _delete(path: Path) -> None:
    """A dead one's file, if it is one."""
    with suppress(OSError):
        path.unlink()


def _lock(path: Path, *, create: bool = False) -> LockedFile | None:
    """`path`, open and locked; None if it is locked or not there."""
    import fcntl

    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if create else 0)
    try:
        fd = os.open(path, flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _require_file(fd)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return LockedFile(path, fd)


def _require_file(fd: int) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")


def _open_fifo(path: Path, access: int) -> int:
    """An end of the FIFO `path`, which is made if it is not there."""
    flags = access | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        return os.open(path, flags)


def _said(path: Path) -> bytes | None:
    """What a file says that somebody has locked; None if nobody has, or it is not there; b"" if it is no file to read.

    Asked with a shared lock, which two who ask may hold at once.
    """
    import fcntl

    try:
        fd = _opened(path)
    except FileNotFoundError:
        return None
    except OSError:  # a link, a folder's place taken by a file
        return b""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(fd, _LONGEST, 0)
    finally:
        os.close(fd)
    return None
