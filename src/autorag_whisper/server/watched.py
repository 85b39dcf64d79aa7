"""A watched folder: each recording that is put there becomes a durable job, its result files beside it.

```
look -> media files, as `transcribe FOLDER` finds them -> those that stay as they are from one look to the next, and
        that nobody has open for writing -> a durable job each -> when it is done: outputs, by the rules of `archive`
```
Nothing is remembered between two starts but what is on the disk: the manifest beside the outputs says what is finished,
and a file's job is found by its idempotency key (place, size, time of change, options), so none is done twice. What
failed is told beside the file (`talk.mp3.failed.txt`), until it has been changed or replaced.

Only regular files are taken, with the suffix of a format, in the folder itself and below; not hidden ones, links, nor
what is still being copied under another name (`.part`, `.crdownload`). It looks again and again, as nothing tells of
changes in folders of other machines.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import signal
import stat
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from autorag_whisper.archive.inputs import Found, find
from autorag_whisper.archive.outputs import make_writable, write_together
from autorag_whisper.archive.planning import Planner
from autorag_whisper.archive.writing import Writer
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.archive_errors import OutputFolderUnwritable, WatchedFolderMissing
from autorag_whisper.domain.errors import AutoragWhisperError
from autorag_whisper.files import system_reason
from autorag_whisper.format import parse
from autorag_whisper.format.text import encodable
from autorag_whisper.jobs.job import KEY_PREFIX, Job, JobRequest, JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from autorag_whisper.archive.naming import PlannedFile
    from autorag_whisper.archive.planning import Plan
    from autorag_whisper.archive.request import BatchRequest
    from autorag_whisper.jobs.store import JobStore

_log = logging.getLogger(__name__)

LOOK_S = 5.0
_REST = 20
"""Between two looks there are at least so many times as long as a look takes: it has a twentieth of a core at most."""
_SYSTEM_FOLDERS = ("@", "#", "$", "~")
"""How folders of storage devices and of systems begin, for thumbnails and what was thrown away."""
_MARK = "autorag-whisper could not transcribe this file."


class Desk(NamedTuple):
    """Where jobs are queued. `wake` is called when there is one more; `result` gives the JSON of one that is done.

    `client`: whose they are (`server.keys.client_id`), "" where there are no keys, or nobody's.
    """

    store: JobStore
    wake: Callable[[], None]
    result: Callable[[Job], str]
    clock: Callable[[], float]
    client: str = ""


@dataclass(frozen=True, slots=True)
class _Look:
    """What a file was like when it was looked at."""

    size_bytes: int
    mtime_ns: int

    @classmethod
    def at(cls, path: Path) -> _Look | None:
        """None where it is no regular file of its own (a link, a pipe, gone)."""
        try:
            status = path.lstat()
        except (OSError, ValueError):
            return None
        return cls(status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


class WatchedFolder:
    """One folder. `look` is for one thread.

    Raises WatchedFolderMissing where there is none, OutputFolderUnwritable where outputs cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        desk: Desk,
        request: BatchRequest,
        options: Mapping[str, Any],
        is_being_written: Callable[[Path], bool] | None = None,
    ) -> None:
        """`request` says which outputs, and where; `options` are those of the jobs, as JSON has them."""
        if not folder.is_dir():
            raise WatchedFolderMissing(str(folder))
        self._folder, self._desk, self._request, self._options = folder.resolve(), desk, request, dict(options)
        self._is_being_written = is_being_written or being_written
        try:
            make_writable(request.output_dir or folder)
        except OSError as error:
            raise OutputFolderUnwritable(str(request.output_dir or folder), system_reason(error)) from error
        self._before: dict[Path, _Look] = {}
        self._settled: dict[Path, _Look] = {}
        self._jobs: dict[str, str] = {}
        self._told: set[str] = set()

    def look(self) -> None:
        """Look once: queue what has come, deliver what is done."""
        found = find([str(self._folder)], holds_audio=lambda _: False)
        inputs = [one for one in found.inputs if one.path is not None and self._is_ours(one.path)]
        looks = {one.path: look for one in inputs if one.path and (look := _Look.at(one.path)) is not None}
        still = {path: look for path, look in looks.items() if look.size_bytes and self._before.get(path) == look}
        self._before = looks
        self._settled = {path: look for path, look in self._settled.items() if looks.get(path) == look}
        waiting = {path: look for path, look in still.items() if path not in self._settled}
        if not waiting:
            return
        plan = self._plan(Found(tuple(one for one in inputs if one.path in looks), (), ()))
        for planned in plan.files:
            path = planned.input.path
            if path in waiting:
                self._advance(planned, path, waiting.pop(path))
        for told in (*plan.kept, *plan.failed):
            self._tell_once(told.shown, f"{told.shown} is left as it is: {told.reason}")
        self._settled |= waiting  # finished by an earlier run, or nothing to be done

    def _plan(self, found: Found) -> Plan:
        return Planner(self._request).plan(found)

    def _is_ours(self, path: Path) -> bool:
        below = path.parent.relative_to(self._folder).parts
        if any(part.startswith(_SYSTEM_FOLDERS) for part in below):
            return False
        return os.path.realpath(path.parent) == os.path.join(os.path.realpath(self._folder), *below)  # noqa: PTH118 - both are strings

    def _advance(self, planned: PlannedFile, path: Path, look: _Look) -> None:
        key = self._key(path, look)
        job = self._job(key, path)
        if job is None:
            return
        try:
            if job.state is JobState.DONE:
                if self._deliver(planned, path, look, job):
                    self._settled[path] = look
            elif job.state is JobState.FAILED and key not in self._told:
                self._told.add(key)
                self._tell_failure(planned, job)
            elif job.state is JobState.QUEUED:
                self._told.discard(key)
        except (OSError, AutoragWhisperError) as error:  # the next look tries it again
            self._tell_once(f"{key} {error}", f"the outputs of {planned.input.shown} cannot be written: {error}")

    def _key(self, path: Path, look: _Look) -> str:
        facts = (
            f"{os.path.realpath(path.parent)}/{path.name} {look.size_bytes} {look.mtime_ns} {self._request.digest()}"
        )
        return f"{KEY_PREFIX}{hashlib.sha256(os.fsencode(facts)).hexdigest()[:40]}"

    def _job(self, key: str, path: Path) -> Job | None:
        """The job of a file, which is queued if there is none; None where the file is not to be taken yet."""
        if key in self._jobs and (job := self._desk.store.get(self._jobs[key])) is not None:
            return job
        if self._is_being_written(path):
            return None
        about = str(path), encodable(path.name), self._request.model, self._options, self._desk.client
        wanted = JobRequest(*about, idempotency_key=key)
        job = self._desk.store.add(wanted, self._desk.clock())
        self._jobs[key] = job.id
        if job.state is JobState.QUEUED:
            self._desk.wake()
        return job

    def _deliver(self, planned: PlannedFile, path: Path, look: _Look, job: Job) -> bool:
        """Write the outputs; False where the file has changed meanwhile, and is done again."""
        source = MediaSource.from_path(path)
        writer, transcript = Writer({source: planned}, self._request), parse(self._desk.result(job))
        if _Look.at(path) != look:
            return False
        written = writer.write(source, transcript)
        if written.error is not None:
            raise written.error
        _log.info("%s is done: %s", path.name, ", ".join(written.names))
        for remark in (*written.remarks, *([f"kept: {written.kept}"] if written.kept else ())):
            _log.warning("%s: %s", path.name, remark)
        note = _note_of(planned)
        if _is_our_note(note):
            note.unlink(missing_ok=True)
        return True

    def _tell_failure(self, planned: PlannedFile, job: Job) -> None:
        message = str(json.loads(job.error or "{}").get("message", "unknown reason"))
        _log.warning("%s failed: %s (job %s)", planned.input.name, message, job.id)
        note, text = _note_of(planned), failure_note(message, job.id)
        is_new = not os.path.lexists(note)
        if is_new or _is_our_note(note):
            note.parent.mkdir(parents=True, exist_ok=True)
            write_together({note: text.encode()}, new=frozenset({note} if is_new else ()))

    def _tell_once(self, key: str, message: str) -> None:
        if key not in self._told:
            self._told.add(key)
            _log.warning("%s", message.replace(f"{self._folder}{os.sep}", ""))  # no full path in a log


def failure_note(message: str, job_id: str) -> str:
    """What stands beside a file that failed. Its last line says that nobody has changed it."""
    text = f"{_MARK}\n\n{message}\n\nJob {job_id}. Change or replace the file, and it is tried again.\n"
    return f"{text}{hashlib.sha256(text.encode()).hexdigest()}\n"


def _note_of(planned: PlannedFile) -> Path:
    return planned.folder / f"{planned.input.name}.failed.txt"


def _is_our_note(path: Path) -> bool:
    """Whether it is a note of ours that nobody has changed."""
    try:
        text = path.read_text(encoding="utf-8") if _Look.at(path) is not None else ""
    except (OSError, ValueError):
        return False
    body, _, digest = text.rstrip("\n").rpartition("\n")
    return body.startswith(_MARK) and hashlib.sha256(f"{body}\n".encode()).hexdigest() == digest


def being_written(path: Path) -> bool:
    """Whether a program on this machine has a file open for writing, where the system tells (Linux, its own disks)."""
    try:
        import fcntl

        lease, unlocked, signalled = fcntl.F_SETLEASE, fcntl.F_UNLCK, fcntl.F_SETSIG
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (ImportError, AttributeError, OSError):
        return False
    try:
        # Who opens it in the moment of the lease waits for its end; the signal of that is one that is ignored.
        fcntl.fcntl(file, signalled, signal.SIGURG)
        fcntl.fcntl(file, lease, fcntl.F_RDLCK)
        fcntl.fcntl(file, lease, unlocked)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(file)
    return False


@contextmanager
def watching(folder: WatchedFolder, every_s: float = LOOK_S) -> Iterator[None]:
    """Look again and again, in a thread, for the length of a `with`."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            began = perf_counter()
            try:
                folder.look()
            except Exception:  # noqa: BLE001 - a store that fails, a share that is gone: the next look may find it mended
                _log.exception("the watched folder could not be looked at")
            ended.wait(max(every_s, _REST * (perf_counter() - began)))

    thread = threading.Thread(target=run, name="autorag-whisper-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
