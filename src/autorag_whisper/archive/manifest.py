"""What has been written: one file for each folder of outputs, `.autorag-whisper.json`.

It lists recordings with the digests of their content, of the options and of the outputs. By it a second run does only
what is new, and replaces only what is as an earlier run wrote it. Content is compared by the SHA-256 of the whole file,
so that a copied or touched file is still known; a file whose size, times and inode are as noted is not read again for
it (a program can set back the modification time, but not the change time).

A manifest that cannot be read, or that a newer version wrote, is left as it is; one that makes no sense is renamed
before a new one is written. In both cases no file counts as written by us.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from autorag_whisper.archive.fingerprint import Stamp
from autorag_whisper.archive.outputs import back_up, write_together
from autorag_whisper.files import sha256_of, system_reason
from autorag_whisper.per_process import Kept, PerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MANIFEST = ".autorag-whisper.json"
VERSION = 2
"""1 was keyed by the name of the input alone, and is still read."""

_POLL_S = 0.02
_LOCK_WAIT_S = 10.0  # it is held for milliseconds; a holder that takes longer was stopped

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Output:
    """A file that was written: its name and SHA-256.

    `wanted`: the name that was asked for, "" where it is `name`. `before`: digests of what was written under this name
    earlier, which is still there where a run is killed between noting and writing.
    """

    name: str
    sha256: str
    wanted: str = ""
    before: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or "/" in self.name or "\0" in self.name:
            raise ValueError("an output has no name of a file")

    @property
    def asked_for(self) -> str:
        """The name that was asked for."""
        return self.wanted or self.name

    def is_ours(self, sha256: str) -> bool:
        """Whether content with this digest is what we have written under the name."""
        return sha256 == self.sha256 or sha256 in self.before


@dataclass(frozen=True, slots=True)
class Recording:
    """What tells a recording from others.

    `name`: its file's. `folder`: that file's folder relative to the outputs' folder; "" where it is not known, and then
    only the content tells. `track`: the number of the audio track, counted from 0; "" before the work, unless
    `selector`, the track as the user named it, is that number.
    """

    name: str
    folder: str = ""
    track: str = "0"
    selector: str = ""

    def is_track_of(self, other: Recording) -> bool:
        """Whether both are of the same track of their files."""
        if self.track and other.track:
            return self.track == other.track
        return self.selector == other.selector


@dataclass(frozen=True)
class Entry:
    """A recording that was transcribed: `stamp` and `sha256` of its content, and format -> output.

    `options`: the digest of all options. `words`: of those that decide the words, without the layout of subtitles; ""
    where it is not known.
    """

    recording: Recording
    stamp: Stamp
    sha256: str
    options: str
    outputs: Mapping[str, Output]
    words: str = ""

    @property
    def names(self) -> frozenset[str]:
        """The names of the outputs."""
        return frozenset(output.name for output in self.outputs.values())

    @Kept
    def order(self) -> tuple[str, str, str]:
        """Entries are written in this order."""
        return self.recording.name, self.recording.folder, self.options

    @Kept
    def line(self) -> str:
        """As it is written: made once, as all of a folder is written for each of its files."""
        return json.dumps(_facts(self))  # ASCII: a name that is no UTF-8 comes back from its escapes as it was


@dataclass(frozen=True)
class Manifest:
    """The entries of a folder. `problem`: what is wrong with its file; `closed`: that must not be replaced."""

    entries: tuple[Entry, ...] = ()
    problem: str = ""
    closed: bool = False

    @Kept
    def outputs(self) -> Mapping[str, tuple[Entry, Output]]:
        """Every output by its name."""
        return {output.name: (entry, output) for entry in self.entries for output in entry.outputs.values()}

    @Kept
    def _by_name(self) -> Mapping[str, Sequence[Entry]]:
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.recording.name, []).append(entry)
        return found

    def called(self, name: str) -> Sequence[Entry]:
        """The entries of recordings of this name, wherever they lay."""
        return self._by_name.get(name, ())

    def with_entry(self, entry: Entry) -> Manifest:
        """With `entry`, joined to that of the same content and options; no other entry keeps its outputs."""
        outputs, others, names, key = dict(entry.outputs), list[Entry](), entry.names, _key(entry)
        for other in self.entries:
            is_same = other.sha256 == entry.sha256 and _key(other) == key
            if other.outputs and not is_same and not any(output.name in names for output in other.outputs.values()):
                others.append(other)
                continue
            left = {form: output for form, output in other.outputs.items() if output.name not in names}
            if is_same:
                for form, output in left.items():
                    outputs.setdefault(form, output)
                left = {form: output for form, output in left.items() if outputs[form] is not output}
            if left:
                others.append(replace(other, outputs=left))
        return Manifest((*others, replace(entry, outputs=outputs)))


def read(folder: Path, *, warn: bool = True) -> Manifest:
    """A folder's manifest. An empty one where there is none, or, with a warning, where it cannot be used."""
    path = folder / MANIFEST
    try:
        return _latest.get().of(path, path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):  # the latter: writing there fails, and says so
        return Manifest()
    except _NewerError as error:
        found = Manifest(problem=str(error), closed=True)
    except OSError as error:
        found = Manifest(problem=system_reason(error), closed=True)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        found = Manifest(problem=str(error) if isinstance(error, ValueError) else "it is not what was written")
    if warn:
        _log.warning("%s is ignored, so that nothing here is written over: %s", path, found.problem)
    return found


def write(folder: Path, manifest: Manifest, former: Manifest) -> None:
    """Replace `former` by `manifest`. The folder must have been `locked` since `former` was read.

    Raises:
        OSError: it cannot be written.
    """
    if former.closed:
        return
    path = folder / MANIFEST
    if former.problem and path.is_file():
        _log.warning("%s is now %s", path, back_up(path).name)
    manifest = Manifest(tuple(sorted(manifest.entries, key=attrgetter("order"))))
    data = _dump(manifest.entries)
    write_together({path: data})
    _latest.get().keep(path, data, manifest)


class _Latest:
    """What the latest manifests say, by all their bytes: each is read and written for every file of its folder."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, tuple[bytes, Manifest]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, path: Path, data: bytes, manifest: Manifest) -> Manifest:
        with self._lock:
            self._kept[path] = data, manifest
            self._kept.move_to_end(path)
            while len(self._kept) > _FOLDERS:
                self._kept.popitem(last=False)
        return manifest

    def of(self, path: Path, data: bytes) -> Manifest:
        """What these bytes say, which are those at `path`. Raises what `_parse` does."""
        with self._lock:
            kept = self._kept.get(path)
        if kept is not None and kept[0] == data:
            return kept[1]
        return self.keep(path, data, _parse(json.loads(data)))


_FOLDERS = 4
_latest = PerProcess(_Latest)


def is_current(entry: Entry, path: Path) -> bool:
    """Whether the file at `path` has the content that was transcribed. Raises OSError."""
    stamp = Stamp.of(path)
    if stamp == entry.stamp:
        return True
    return stamp.size_bytes == entry.stamp.size_bytes and sha256_of(path) == entry.sha256


@contextlib.contextmanager
def locked(folder: Path, wait_s: float = _LOCK_WAIT_S) -> Iterator[None]:
    """Hold a lock of the folder itself, so that no lock file is left behind.

    Where that is not possible, or not within `wait_s` (logged), it goes on all the same: of two writers the last wins.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        tick = threading.Event()
        for _ in range(round(wait_s / _POLL_S)):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                tick.wait(_POLL_S)
            except OSError:  # a file system without locks
                break
        else:
            _log.warning(
                "%s has been locked by another program for %g s and is written to all the same: if that program writes "
                "there, too, one of the two may be done again by the next run",
                folder,
                wait_s,
            )
        yield
    finally:
        os.close(descriptor)


class _NewerError(Exception):
    """A newer version of this package wrote it."""


def _key(entry: Entry) -> tuple[Recording, str, str]:
    return replace(entry.recording, selector=""), entry.options, entry.sha256


def _dump(entries: Sequence[Entry]) -> bytes:
    lines = ",\n".join(entry.line for entry in entries)
    return f'{{"version": {VERSION}, "files": [\n{lines}\n]}}\n'.encode()


def _facts(value: Entry | Recording | Stamp | Output) -> dict[str, Any]:
    """As `dataclasses.asdict`, which copies all that it finds."""
    found = {item.name: getattr(value, item.name) for item in fields(value)}
    if isinstance(value, Entry):
        outputs = {form: _facts(output) for form, output in value.outputs.items()}
        found |= {"recording": _facts(value.recording), "stamp": _facts(value.stamp), "outputs": outputs}
    return found


def _parse(data: Any) -> Manifest:
    version = data["version"]
    if version == 1:
        files = [({"name": name}, value) for name, value in data["files"].items()]
    elif version == VERSION:
        files = [(value["recording"], value) for value in data["files"]]
    elif isinstance(version, int) and version > VERSION:
        raise _NewerError(f"a newer version of autorag-whisper wrote it (its format is {version})")
    else:
        raise ValueError(f"version {version!r} is not {VERSION}")
    return Manifest(tuple(_parse_entry(recording, value) for recording, value in files))


def _parse_entry(recording: Any, data: Any) -> Entry:
    who = Recording(**{name: str(value) for name, value in recording.items()})
    outputs = {form: _parse_output(value) for form, value in data["outputs"].items()}
    stamp = Stamp(**{name: int(value) for name, value in data["stamp"].items()})
    return Entry(who, stamp, str(data["sha256"]), str(data["options"]), outputs, str(data.get("words", "")))


def _parse_output(data: Any) -> Output:
    before = tuple(str(digest) for digest in data.get("before", ()))
    return Output(str(data["name"]), str(data["sha256"]), str(data.get("wanted", "")), before)
