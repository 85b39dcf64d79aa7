"""The files of jobs: media that was sent (uploads/), results (results/), and whether there is room for more."""

from __future__ import annotations

import errno
import shutil
import uuid
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.files import made_once, replaced
from autorag_whisper.jobs.job import JobState
from autorag_whisper.jobs.listening import Listening
from autorag_whisper.jobs.partial import PartialUploads
from autorag_whisper.jobs.store import every_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.jobs.job import Claim, Job
    from autorag_whisper.jobs.store import JobStore

LEAST_FREE_BYTES = 200 << 20
"""With less room on the disk nothing new is begun: what is in work needs some."""
_STRAY_S = 86_400.0
_MOST_CLAIMS = 1000


def is_full(error: BaseException) -> bool:
    """Whether it says that a disk, or a quota of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class JobFiles:
    """What lies in `folder`, which is made. `free_bytes`: of its disk; None asks the system."""

    def __init__(self, folder: Path, free_bytes: Callable[[], int] | None = None) -> None:
        folder = folder.resolve()
        self.results, self.uploads = folder / "results", folder / "uploads"
        for made in (folder, self.results, self.uploads):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.clock = folder / "clock.json"
        self.listening = Listening(folder / "audio", self.media)
        self.partial = PartialUploads(folder / "partial")
        self._free_bytes = free_bytes or (lambda: shutil.disk_usage(folder).free)

    def why_no_room(self, more_bytes: int = 0) -> str:
        """Why nothing new is to be begun, or `more_bytes` not to be taken in; "" if there is room."""
        free = self._free_bytes() - more_bytes
        if free >= LEAST_FREE_BYTES:
            return ""
        left, least = max(0, free) >> 20, LEAST_FREE_BYTES >> 20
        return f"the disk of durable jobs is nearly full: {left} MB are free, {least} are needed"

    def media(self, job: Job) -> Path:
        """Where its media is: what was sent lies in this folder, wherever that was when the job was added."""
        path = Path(job.request.path)
        return self.uploads / path.name if job.request.media_bytes else path

    def result(self, job: Job) -> Path:
        """Where the result of a DONE job is."""
        return self.results / Path(job.result).name

    def write_result(self, claim: Claim, text: str) -> Path:
        """Write a result, which is on the disk then under its name: a file of this claim's own. Raises OSError."""
        target = self.results / f"{claim.job.id}.{claim.fence}.json"
        with replaced(target) as file:
            file.write(text.encode())
        return target

    def remove_older_results(self, claim: Claim) -> None:
        """What earlier claims of the job have written, who died before its row said so."""
        for fence in range(max(1, claim.fence - _MOST_CLAIMS), claim.fence):
            (self.results / f"{claim.job.id}.{fence}.json").unlink(missing_ok=True)

    def remove_media(self, job: Job) -> None:
        """Its media, if it was sent: nobody else's. And what was decoded of it."""
        self.listening.remove(job.id)
        path = self.media(job)
        if path.parent == self.uploads:
            path.unlink(missing_ok=True)

    def remove(self, job: Job) -> None:
        """All that is there of a job that is forgotten."""
        if job.result:
            self.result(job).unlink(missing_ok=True)
        self.remove_media(job)

    def remove_strays(self, store: JobStore, now_s: float) -> None:
        """What processes left that died between a file and its row.

        Where other processes have the store too, what is a day old: theirs may still become a row.
        """
        old_s = now_s - _STRAY_S if store.is_shared else None

        def is_old(path: Path) -> bool:
            try:
                return old_s is None or path.stat().st_mtime < old_s
            except FileNotFoundError:  # another server has removed it
                return False

        folders = (self.uploads, self.results, self.listening.folder)
        strays = {path for folder in folders for path in folder.iterdir() if is_old(path)}
        by_id = defaultdict[str, set[Path]](set)
        for path in strays:
            by_id[path.name.partition(".")[0]].add(path)
        for job in every_job(store) if strays else ():
            if job.media_bytes or job.state is not JobState.DONE:
                strays.discard(self.media(job))
            is_in_hand = store.is_shared and not job.state.is_final
            strays -= {
                path
                for path in by_id.get(job.id, ())
                if path.parent != self.results or path.name == job.result or is_in_hand
            }
        for stray in strays:
            stray.unlink(missing_ok=True)


def mark_of(folder: Path) -> str:
    """What tells this folder from every other, wherever it is mounted; made if there is none yet. Raises OSError."""
    return made_once(folder / "folder-id", uuid.uuid4().hex.encode()).decode("ascii").strip()
