"""What is finished: one file for each folder of outputs, so that a second run does only what is new.

`.autorag-whisper.json` lists, by the input's file name: the content that was transcribed, the options, and the outputs
with their digests. An input is finished when all three still hold. Content is compared by the whole file's SHA-256, so
that a copied or touched file is still known; a file whose size, times and inode are as noted is not read again for it
(the change time cannot be set back by a program, unlike the modification time).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autorag_whisper.cli.fingerprint import Stamp, sha256_of
from autorag_whisper.cli.outputs import write_together

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from autorag_whisper.cli.naming import Job

SIDECAR = ".autorag-whisper.json"
VERSION = 1

_POLL_S = 0.02
_LOCK_WAIT_S = 10.0  # it is held for milliseconds; a holder that takes longer was stopped

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Output:
    """A file that was written: its name and SHA-256."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished input: its content, the digest of the options, and format -> output."""

    stamp: Stamp
    sha256: str
    options: str
    outputs: Mapping[str, Output]

    @property
    def names(self) -> frozenset[str]:
        """The names of the outputs."""
        return frozenset(output.name for output in self.outputs.values())


def read(folder: Path, *, warn: bool = True) -> dict[str, Entry]:
    """The entries of a folder's sidecar; none where there is no sidecar, or one that makes no sense (a warning)."""
    path = folder / SIDECAR
    try:
        return _parse(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        if warn:
            _log.warning("%s is ignored: %s", path, _reason(error))
        return {}


def is_finished(job: Job, options: str, entry: Entry | None) -> bool:
    """Whether `entry` says that `job` was done with these options, and its input and outputs are still the same."""
    if entry is None or job.input.path is None or entry.options != options:
        return False
    try:
        return _has_outputs(job, entry) and _has_content(job.input.path, entry)
    except OSError:
        return False


def record(folder: Path, name: str, entry: Entry) -> None:
    """Note `name` as finished. What others have noted in the meantime stays; outputs have one owner, the newest.

    A sidecar that cannot be written costs a warning, not the transcript.
    """
    try:
        with _alone_in(folder):
            entries = read(folder, warn=False)  # who planned with it has warned
            entries[name] = _with_older(entry, entries.get(name))
            for other in [key for key, value in entries.items() if key != name and value.names & entry.names]:
                _log.warning("%s: its outputs were replaced by those of %s", other, name)
                del entries[other]
            write_together({folder / SIDECAR: _dump(entries)})
    except OSError as error:
        _log.warning("%s cannot be written, this file will be done again: %s", folder / SIDECAR, _reason(error))


def _has_outputs(job: Job, entry: Entry) -> bool:
    for form, name in job.names.items():
        output = entry.outputs.get(form)
        if output is None or output.name not in (name, job.whole_names[form]):
            return False
        if sha256_of(job.folder / output.name) != output.sha256:
            return False
    return True


def _has_content(path: Path, entry: Entry) -> bool:
    stamp = Stamp.of(path)
    if stamp == entry.stamp:
        return True
    return stamp.size_bytes == entry.stamp.size_bytes and sha256_of(path) == entry.sha256


def _with_older(entry: Entry, older: Entry | None) -> Entry:
    """`entry` with the outputs in other formats that an earlier run made of the same content with the same options."""
    if older is None or (older.sha256, older.options) != (entry.sha256, entry.options):
        return entry
    return Entry(entry.stamp, entry.sha256, entry.options, {**older.outputs, **entry.outputs})


def _dump(entries: Mapping[str, Entry]) -> bytes:
    files = {name: asdict(entry) for name, entry in sorted(entries.items())}
    # ASCII: a name that is no UTF-8 comes back from its escapes as it was.
    return json.dumps({"version": VERSION, "files": files}, indent=1).encode("ascii") + b"\n"


def _parse(data: Any) -> dict[str, Entry]:
    if data["version"] != VERSION:
        raise ValueError(f"version {data['version']!r} is not {VERSION}")
    return {str(name): _parse_entry(value) for name, value in data["files"].items()}


def _parse_entry(data: Any) -> Entry:
    outputs = {form: Output(str(value["name"]), str(value["sha256"])) for form, value in data["outputs"].items()}
    stamp = Stamp(**{name: int(value) for name, value in data["stamp"].items()})
    return Entry(stamp, str(data["sha256"]), str(data["options"]), outputs)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error) if isinstance(error, ValueError) else "it is not what was written"


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder itself locked: no lock file is left behind. Without such locks the last of two writers wins."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        tick = threading.Event()
        for _ in range(round(_LOCK_WAIT_S / _POLL_S)):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                tick.wait(_POLL_S)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        os.close(descriptor)
