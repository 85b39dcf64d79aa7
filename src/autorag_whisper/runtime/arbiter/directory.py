"""The folder through which the processes of one machine share a card: tickets, the grant, claims.

```
  0000000042.ticket    one a waiter or holder; locked (flock) by its owner for as long as it is wanted
  grant                locked by the holder, and by nobody else: this lock alone makes two holders impossible
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
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import GpuDirectoryUnsafe
from autorag_whisper.runtime.arbiter.core import Claim, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TICKET, _CLAIM, _GRANT = ".ticket", ".claim", "grant"


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
        self.path, self._fd = path, fd
        _open_files.add(self)

    def write(self, facts: object) -> None:
        """Replace what it says. A reader in between sees a part, which it takes for nothing."""
        data = json.dumps(facts).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)

    def read(self) -> Any:
        """What it says; None where that is nothing that can be read."""
        return _facts(os.pread(self._fd, 4096, 0))

    def close(self) -> None:
        """Let go. The file stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
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


class Directory:
    """The files in that folder. Nothing here waits: a lock is there or is not."""

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
        highest = max(self._numbers(), default=0)
        for number in sorted(self._numbers()):
            path = self.folder / f"{number:010d}{_TICKET}"
            if _is_dead(path):
                if number < highest:
                    path.unlink(missing_ok=True)
                continue
            facts = _read(path)
            if isinstance(facts, dict):
                found.append(
                    Ticket(number, *(facts[name] for name in ("tenant", "owner", "deadline_s", "needs_bytes")))
                )
        return found

    def take_grant(self) -> LockedFile | None:
        """The grant, if nobody has it."""
        return _lock(self.folder / _GRANT, create=True)

    def held(self) -> Held | None:
        """Who has the grant; None if nobody has, or it changes hands this moment."""
        path = self.folder / _GRANT
        if _is_dead(path):
            return None
        facts = _read(path)
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
        for path in sorted(self.folder.glob(f"*{_CLAIM}")):
            if _is_dead(path):
                path.unlink(missing_ok=True)
                path.with_suffix(".sock").unlink(missing_ok=True)
            elif isinstance(facts := _read(path), dict):
                yield Claim(facts["tenant"], facts["owner"], facts["held_bytes"])

    def _scratch(self) -> tuple[Path, LockedFile]:
        """A new file, locked before anyone can know its name."""
        path = self.folder / f"{os.getpid()}-{os.urandom(4).hex()}.new"
        file = _lock(path, create=True)
        assert file is not None
        return path, file

    def _numbers(self) -> list[int]:
        return [int(path.stem) for path in self.folder.glob(f"*{_TICKET}")]


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


def _is_dead(path: Path) -> bool:
    """Whether nobody has this file locked. Asked with a shared lock, which two who ask may hold at once."""
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _read(path: Path) -> Any:
    try:
        return _facts(path.read_bytes())
    except FileNotFoundError:
        return None


def _facts(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
