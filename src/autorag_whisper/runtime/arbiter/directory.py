"""The folder through which the processes of one machine share a card: tickets, the grant, claims.

```
  0000000042.ticket    one a waiter or holder; locked (flock) by its owner for as long as it is wanted
  grant                locked by the holder, and by nobody else: this lock alone makes two holders impossible
  holder               a FIFO that the holder has open: who is next in line sees its end at once (`Watch`)
  whisper-4711-1.claim a tenant that keeps memory on the card between its leases; locked by its process
  whisper-4711-1.sock  where that process is asked to offload
```

The kernel drops a lock when its owner dies, however it dies; a file that nobody locks is a dead one's, and whoever sees
it takes it away. Order is by ticket number alone: polling a lock without one lets the lucky pass for ever.

Numbers never come again, as the file with the highest one stays: whoever finds after drawing that there are higher
ones drew on an old view of the folder, and draws again. So a ticket's number is also its epoch, and `grant` remembers
the last.
"""

from __future__ import annotations

import json
import os
import select
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import GpuDirectoryUnsafe
from autorag_whisper.runtime.arbiter.core import Claim, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TICKET, _CLAIM, _GRANT, _HOLDER = ".ticket", ".claim", "grant", "holder"
_LONGEST = 4096
"""Bytes that a file may say."""


def open_safely(folder: Path) -> None:
    """Make the folder, for this user alone, or see that it is such a one.

    Raises:
        GpuDirectoryUnsafe: it is a link, no folder, someone else's, or open to others.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise GpuDirectoryUnsafe(str(folder), "it is no folder, or a link to one")
    if found.st_uid != os.getuid():
        raise GpuDirectoryUnsafe(str(folder), "it belongs to another user")
    if found.st_mode & 0o077:
        raise GpuDirectoryUnsafe(str(folder), "other users may look into it or write to it")


@dataclass(frozen=True, slots=True)
class Held:
    """What `grant` says of its holder. `since_s` by the clock that all processes share (CLOCK_MONOTONIC)."""

    number: int
    tenant: str
    owner: str
    since_s: float
    needs_bytes: int = 0


class LockedFile:
    """A file of our own, open and locked until it is closed. Not inherited by a program that this one starts.

    A forked child would hold the lock too, and for longer than its parent: it lets go when it is made.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path, self._fd, self._fifo = path, fd, -1
        _open_files.add(self)

    def tell_by(self, fifo: int) -> None:
        """Keep this end of a FIFO open for as long as the file is locked, and a moment longer."""
        self._fifo = fifo

    def write(self, facts: object) -> None:
        """Replace what it says. A reader in between sees a part, which it takes for nothing."""
        data = json.dumps(facts).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)

    def read(self) -> Any:
        """What it says; None where that is nothing that can be read."""
        return _facts(os.pread(self._fd, _LONGEST, 0))

    def close(self) -> None:
        """Let go. The file stays."""
        for fd in (self._fd, self._fifo):  # in this order: who is told finds the lock free
            if fd >= 0:
                os.close(fd)
        self._fd = self._fifo = -1
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
    """

    def __init__(self, path: Path) -> None:
        self._fd = _open_fifo(path, os.O_RDONLY)
        self._poll = select.poll()
        self._poll.register(self._fd, 0)  # the end of the last writer is told in any case

    def wait(self, timeout_s: float) -> bool:
        """Whether it was told."""
        return bool(self._poll.poll(1000 * timeout_s))

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class Directory:
    """The files in that folder. Nothing in it waits: a lock is there or is not. (`Watch` does.)"""

    def __init__(self, folder: Path) -> None:
        open_safely(folder)
        self.folder = folder

    def draw(self, facts: dict[str, object]) -> tuple[int, LockedFile]:
        """A ticket with the highest number so far, written and locked before anyone can see it."""
        while True:
            number = max(self._numbers(), default=0) + 1
            scratch, file = self._scratch()
            try:
                file.write({**facts, "number": number})
                path = self.folder / f"{number:010d}{_TICKET}"
                try:
                    os.link(scratch, path)
                except FileExistsError:
                    file.close()
                    continue
                file.path = path
            finally:
                scratch.unlink()
            if max(self._numbers()) == number:
                return number, file
            path.unlink()
            file.close()

    def waiting(self) -> list[Ticket]:
        """The live tickets in order, the holder's among them. Takes away dead ones but the highest."""
        found: list[Ticket] = []
        numbers = sorted(self._numbers())
        highest = numbers[-1] if numbers else 0
        for number in numbers:
            path = self.folder / f"{number:010d}{_TICKET}"
            said = _said(path)
            if said is None:
                if number < highest:
                    path.unlink(missing_ok=True)
            elif isinstance(facts := _facts(said), dict):
                found.append(
                    Ticket(number, *(facts[name] for name in ("tenant", "owner", "deadline_s", "needs_bytes")))
                )
        return found

    def take_grant(self) -> LockedFile | None:
        """The grant, if nobody has it."""
        grant = _lock(self.folder / _GRANT, create=True)
        if grant is not None:
            try:
                grant.tell_by(_open_fifo(self.folder / _HOLDER, os.O_RDWR))
            except BaseException:
                grant.close()
                raise
        return grant

    def watch(self) -> Watch:
        """To be made before a look at the grant that may find it taken."""
        return Watch(self.folder / _HOLDER)

    def held(self) -> Held | None:
        """Who has the grant; None if nobody has, or it changes hands this moment."""
        said = _said(self.folder / _GRANT)
        facts = None if said is None else _facts(said)
        return Held(**facts) if isinstance(facts, dict) else None

    def claim(self, claim: Claim) -> LockedFile:
        """Say that a tenant of this process keeps memory on the card."""
        path = self.folder / f"{claim.tenant}-{claim.owner}{_CLAIM}"
        scratch, file = self._scratch()
        file.write(asdict(claim))
        scratch.rename(path)
        file.path = path
        return file

    def claims(self) -> Iterator[Claim]:
        """The claims of live processes. Takes away dead ones."""
        for path in sorted(path for path in self.folder.iterdir() if path.suffix == _CLAIM):
            said = _said(path)
            if said is None:
                path.unlink(missing_ok=True)
                path.with_suffix(".sock").unlink(missing_ok=True)
            elif isinstance(facts := _facts(said), dict):
                yield Claim(facts["tenant"], facts["owner"], facts["held_bytes"])

    def _scratch(self) -> tuple[Path, LockedFile]:
        """A new file, locked before anyone can know its name."""
        path = self.folder / f"{os.getpid()}-{os.urandom(4).hex()}.new"
        file = _lock(path, create=True)
        assert file is not None
        return path, file

    def _numbers(self) -> list[int]:
        return [int(path.stem) for path in self.folder.iterdir() if path.suffix == _TICKET]


def _lock(path: Path, *, create: bool = False) -> LockedFile | None:
    """`path`, open and locked; None if it is locked or not there."""
    import fcntl

    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    try:
        fd = os.open(path, flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return LockedFile(path, fd)


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
    """What a file says that somebody has locked; None if nobody has, or it is not there.

    Asked with a shared lock, which two who ask may hold at once.
    """
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(fd, _LONGEST, 0)
    finally:
        os.close(fd)
    return None


def _facts(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
