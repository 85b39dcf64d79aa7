"""Uploads that come in pieces, over several connections: what came of each is on the disk, and goes on from there.

`partial/ID.part` has the bytes, `partial/ID.json` whose it is, its name, its length, and the job that it became.
Nothing of it is in the store: an upload that is never finished is removed by its age.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import uuid
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from autorag_whisper.files import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEPT_S = 86_400.0
"""Since its last piece."""
_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Partial:
    """An upload of `length` bytes, of which `offset` have come. `job`: what it became; "" while it is nothing."""

    id: str
    client: str
    name: str
    length: int
    offset: int = 0
    job: str = ""

    @property
    def is_whole(self) -> bool:
        return self.offset == self.length


class PartialUploads:
    """In `folder`, which is made. Several processes may share it: who writes to an upload has a lock on its file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(self, client: str, name: str, length: int) -> Partial:
        """A new one, empty. Raises OSError."""
        made = Partial(uuid.uuid4().hex, client, name, length)
        self.part(made.id).touch(mode=0o600, exist_ok=False)
        try:
            self._note(made)
        except BaseException:
            self.remove(made.id)
            raise
        return made

    def get(self, upload_id: str, client: str) -> Partial | None:
        """One of a client's; None where there is none."""
        found = self._noted(upload_id) if _ID.fullmatch(upload_id) else None
        if found is None or found.client != client:
            return None
        try:
            return found if found.job else replace(found, offset=self.part(upload_id).stat().st_size)
        except OSError:
            return None

    def part(self, upload_id: str) -> Path:
        """Where its bytes are."""
        return self._folder / f"{upload_id}.part"

    @contextlib.contextmanager
    def writing(self, upload: Partial) -> Iterator[BinaryIO]:
        """Its file, to be written to at its end; on the disk then. Raises BlockingIOError where another has it."""
        with self.part(upload.id).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0, os.SEEK_END)
            try:
                yield file
            finally:
                file.flush()
                os.fsync(file.fileno())

    def became(self, upload: Partial, job_id: str) -> None:
        """It is a job now: its bytes are elsewhere, and whoever asks for it again is told the job."""
        self._note(replace(upload, job=job_id))
        self.part(upload.id).unlink(missing_ok=True)

    def remove(self, upload_id: str) -> None:
        """Forget it."""
        for path in (self._about(upload_id), self.part(upload_id)):
            path.unlink(missing_ok=True)

    def remove_old(self, before_s: float) -> None:
        """Forget those to which nothing has come since, and what is left of a process that died at one."""
        newest: dict[str, float] = {}
        for path in (there := list(self._folder.iterdir())):
            with contextlib.suppress(OSError):  # removed meanwhile
                newest[path.stem] = max(newest.get(path.stem, 0.0), path.stat().st_mtime)
        for path in there:
            if newest.get(path.stem, before_s) < before_s:
                path.unlink(missing_ok=True)

    def expected_bytes(self, client: str | None = None) -> tuple[int, int]:
        """How many uploads of a client, or of all, are no jobs yet, and how many bytes they will have."""
        noted = (self._noted(path.stem) for path in self._folder.glob("*.json"))
        lengths = [one.length for one in noted if one is not None and not one.job and client in (None, one.client)]
        return len(lengths), sum(lengths)

    def _about(self, upload_id: str) -> Path:
        return self._folder / f"{upload_id}.json"

    def _noted(self, upload_id: str) -> Partial | None:
        """What is noted of an upload, without its offset; None where nothing is, or another request has removed it."""
        try:
            told = json.loads(self._about(upload_id).read_text(encoding="utf-8"))
            return Partial(upload_id, told["client"], told["name"], told["length"], job=told["job"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _note(self, upload: Partial) -> None:
        with replaced(self._about(upload.id)) as file:
            file.write(json.dumps(asdict(upload)).encode())
