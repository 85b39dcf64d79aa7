"""Which run does which file, where two runs go over the same ones.

A run that is about to begin a file reserves its outputs: it writes a small file in the cache directory that names the
run. A run is alive as long as it holds the lock of its own file there, which the kernel takes away when it dies, in
whatever way; the reservations of a dead run are worth nothing. All of it happens under one more lock, held briefly.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import secrets
import threading
from typing import TYPE_CHECKING, BinaryIO, Self

from autorag_whisper.files import system_reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

_log = logging.getLogger(__name__)

FOLDER = "claims"
"""In the cache directory. This name and `claim-` below are version 0.1.0's: both respect each other's reservations."""

_RUN, _RESERVATION = "run-", "claim-"
_POLL_S, _WAIT_S = 0.005, 10.0  # it is held for microseconds; a holder that takes longer was stopped


class Reservations:
    """What this run has reserved. Where the folder cannot be written or has no locks, it logs that and reserves all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run: BinaryIO | None = None
        self._works = True

    def take(self, place: Path) -> bool:
        """Reserve the outputs that are called after `place`; False where another live run has reserved them."""
        try:
            with self._locked() as works:
                return not works or self._take(self._file_of(place))
        except OSError as error:
            self._tell(system_reason(error))
            return True
        except ImportError:  # Windows has no such locks: there is nothing that its user could do
            self._works = False
            return True

    def release(self, place: Path) -> None:
        """Give a reservation back: the outputs are there, or will not be."""
        if self._run is None:
            return
        with contextlib.suppress(OSError), self._locked():
            reservation = self._file_of(place)
            if _owner(reservation) == self._name:
                reservation.unlink()

    def close(self) -> None:
        """Give all reservations back."""
        if self._run is None:
            return
        with contextlib.suppress(OSError), self._locked():
            for reservation in self._folder.glob(f"{_RESERVATION}*"):
                if _owner(reservation) == self._name:
                    reservation.unlink()
            (self._folder / self._name).unlink()
        self._run.close()
        self._run = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def _name(self) -> str:
        assert self._run is not None
        return os.path.basename(self._run.name)  # noqa: PTH119 - the name of an open file is a string

    def _file_of(self, place: Path) -> Path:
        real = os.path.join(os.path.realpath(place.parent), place.name)  # noqa: PTH118 - as above
        return self._folder / f"{_RESERVATION}{hashlib.sha256(os.fsencode(real)).hexdigest()[:32]}"

    def _take(self, reservation: Path) -> bool:
        if self._run is None:
            self._begin()
        with contextlib.suppress(FileNotFoundError):
            owner = _owner(reservation)
            if owner != self._name and self._is_alive(owner):
                return False
        reservation.write_text(self._name)
        return True

    def _begin(self) -> None:
        """Make this run's file, and remove what dead runs have left."""
        for other in self._folder.glob(f"{_RUN}*"):
            if not self._is_alive(other.name):
                other.unlink(missing_ok=True)
        for reservation in self._folder.glob(f"{_RESERVATION}*"):
            if not (self._folder / _owner(reservation)).is_file():
                reservation.unlink(missing_ok=True)
        self._run = (self._folder / f"{_RUN}{secrets.token_hex(8)}").open("xb")
        _lock(self._run, wait=False)

    def _is_alive(self, name: str) -> bool:
        try:
            with (self._folder / name).open("r+b") as file:  # for writing: NFS locks nothing else
                return not _lock(file, wait=False)
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def _locked(self) -> Iterator[bool]:
        """Hold the lock under which runs look and reserve; False where that is not possible."""
        if not self._works:
            yield False
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / "lock").open("ab") as file:
            _lock(file, wait=True)
            yield True

    def _tell(self, reason: str) -> None:
        self._works = False
        _log.warning(
            "a second run over the same files would do them twice: %s cannot be used for reservations (%s); "
            "AUTORAG_WHISPER_CACHE_DIR names another folder",
            self._folder,
            reason,
        )


def _owner(reservation: Path) -> str:
    """The name of the run that a reservation belongs to."""
    name = reservation.read_bytes().decode("ascii", "replace")
    return name if name.startswith(_RUN) and "/" not in name else _RUN


def _lock(file: BinaryIO, *, wait: bool) -> bool:
    """Lock an open file until it is closed; False where another has it.

    Raises OSError where the file system has no locks, ImportError where the operating system has none.
    """
    import fcntl

    tick = threading.Event()
    for _ in range(round(_WAIT_S / _POLL_S) if wait else 1):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tick.wait(_POLL_S if wait else 0)
        else:
            return True
    if wait:
        raise OSError(errno.EBUSY, "another run holds its lock and does not go on")
    return False
