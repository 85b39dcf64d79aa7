"""From what the user named to a list of files: files, folders with everything below them, patterns, standard input."""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from autorag_whisper.audio.allowlist import SUFFIXES
from autorag_whisper.domain.archive_errors import NothingFound
from autorag_whisper.domain.media_errors import HOW_TO_FETCH, is_address
from autorag_whisper.files import system_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

STANDARD_INPUT = "-"

OTHER_SUFFIXES = frozenset({
    ".7z", ".ass", ".avif", ".bak", ".bin", ".bmp", ".bz2", ".c", ".cfg", ".cpp", ".css", ".csv", ".cue", ".db", ".doc",
    ".docx", ".epub", ".exe", ".gif", ".gz", ".h", ".heic", ".htm", ".html", ".ico", ".ini", ".iso", ".jpeg", ".jpg",
    ".js", ".json", ".lock", ".log", ".lrc", ".m3u", ".m3u8", ".md", ".md5", ".nfo", ".npy", ".odt", ".part", ".pdf",
    ".php", ".pkl", ".pls", ".png", ".ppt", ".pptx", ".py", ".pyc", ".rar", ".rs", ".rst", ".rtf", ".sbv", ".sh",
    ".sha256", ".smi", ".so", ".sqlite", ".srt", ".ssa", ".stl", ".sub", ".svg", ".sup", ".tar", ".tbn", ".tgz", ".tif",
    ".tiff", ".tmp", ".toml", ".torrent", ".tsv", ".ttf", ".ttml", ".txt", ".url", ".vtt", ".webp", ".xls", ".xlsx",
    ".xml", ".xz", ".yaml", ".yml", ".zip", ".zst",
})  # fmt: skip
"""Suffixes of files that are not media; such a file is not opened to find out."""

_NAMED_AT_MOST = 5

_MAGIC = re.compile(r"[*?\[]")
_LOOKING_REFUSED = {errno.EACCES, errno.EPERM, errno.EIO}


@dataclass(frozen=True, slots=True)
class Input:
    """One file to transcribe; `path` is None for standard input.

    `shown`: how the user would write it. `below`: its folder, relative to the folder or pattern that found it; an
    output folder gets the same tree.
    """

    path: Path | None
    shown: str
    below: PurePath = field(default_factory=PurePath)

    @property
    def name(self) -> str:
        """The file's name, after which its outputs are called."""
        return self.path.name if self.path else "stdin"


@dataclass(frozen=True, slots=True)
class NotDone:
    """Something that was asked for and is not done, or not wholly: as the user would write it, and why."""

    shown: str
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """What `find` found.

    `inputs`: each file once, in the order of the arguments, within a folder by name. `problems`: what was named and is
    not there, or could not be looked at. `notes` tell the user something although nothing failed.
    """

    inputs: tuple[Input, ...]
    problems: tuple[NotDone, ...]
    notes: tuple[str, ...]

    def refuse_if_empty(self, purpose: str) -> None:
        """Raise NothingFound where there is no file; `purpose` is what they were wanted for ("transcribe")."""
        if not self.inputs:
            reasons = (*(f"{problem.shown}: {problem.reason}" for problem in self.problems), *self.notes)
            raise NothingFound(purpose, reasons)


def _holds_audio(path: Path) -> bool:
    from autorag_whisper.audio.probe import holds_audio

    return holds_audio(path)


def find(
    arguments: Sequence[str],
    is_output: Callable[[Path], bool] = lambda _path: False,
    holds_audio: Callable[[Path], bool] = _holds_audio,
) -> Found:
    """Every file that `arguments` name, but those that `is_output` says earlier runs have written.

    `holds_audio` looks into a file of a folder whose suffix does not tell whether it is media.
    """
    search = _Search(is_output, holds_audio)
    for argument in arguments:
        search.take(argument)
    search.tell_left_out()
    return Found(tuple(search.inputs.values()), tuple(search.problems), tuple(search.notes))


def looks_like_a_file(argument: str) -> bool:
    """Whether an argument means a file, a folder or a pattern: that exists, or it is spelt like one."""
    spelt = _MAGIC.search(argument) or os.sep in argument or PurePath(argument).suffix.lower() in SUFFIXES
    return bool(spelt) or is_there(argument)


class _Search:
    def __init__(self, is_output: Callable[[Path], bool], holds_audio: Callable[[Path], bool]) -> None:
        self._is_output, self._holds_audio = is_output, holds_audio
        self._left_out: dict[tuple[str, str], Path] = {}
        # By (real folder, name): another way to the same name is the same file. A link to a file is another name.
        self.inputs: dict[tuple[str, str], Input] = {}
        self.problems: list[NotDone] = []
        self.notes: list[str] = []

    def take(self, argument: str) -> None:
        if argument == STANDARD_INPUT:
            self.inputs.setdefault(("", ""), Input(None, "standard input"))
        elif argument and is_folder(argument):
            self._take_folder(Path(argument), Path(argument))
        elif is_there(argument):  # before patterns: a file may be called "star*.wav"
            self._add(Path(argument), PurePath())
        elif _MAGIC.search(argument) and not is_address(argument):
            self._take_pattern(argument)
        else:
            reason = HOW_TO_FETCH if is_address(argument) else "no such file or folder"
            self.problems.append(NotDone(argument or "''", reason))

    def _take_folder(self, folder: Path, top: Path) -> None:
        found = [file for file in self._files_below(folder) if self._is_media(file)]
        if not found and folder == top:  # of a pattern's many folders it would only be noise
            self.notes.append(f"{folder}: no media files in it")
        for file in sorted(found, key=lambda file: file.parts):
            self._add(file, file.parent.relative_to(top))

    def _take_pattern(self, pattern: str) -> None:
        # A pattern like "*" finds more than media, "*.txt" was meant as it was written.
        ending = PurePath(pattern).suffix.lower()
        endings = SUFFIXES if not ending or _MAGIC.search(ending) else {ending}
        parts = PurePath(pattern).parts
        fixed = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
        base = Path(*parts[:fixed])
        matches = sorted(set(self._matches(base, parts[fixed:])), key=lambda path: path.parts)
        found = [path for path in matches if is_folder(path) or self._is_wanted(path, endings)]
        if not found:
            self.problems.append(NotDone(pattern, "matches no media file"))
        for path in found:
            if is_folder(path):
                self._take_folder(path, base)
            else:
                self._add(path, path.parent.relative_to(base))

    def tell_left_out(self) -> None:
        """Add a note that names the files that were passed over because they are not media."""
        names = [path.name for path in self._left_out.values()]
        if names:
            count = "1 file" if len(names) == 1 else f"{len(names)} files"
            rest = len(names) - _NAMED_AT_MOST
            more = f" and {rest} more" if rest > 0 else ""
            self.notes.append(f"{count} left out, no media: {', '.join(names[:_NAMED_AT_MOST])}{more}")

    def _is_wanted(self, path: Path, endings: Collection[str]) -> bool:
        return self._is_media(path) if endings is SUFFIXES else path.suffix.lower() in endings

    def _is_media(self, path: Path) -> bool:
        """By its suffix, and by its content where the suffix does not tell. Other files, but outputs, are noted."""
        ending = path.suffix.lower()
        if ending in SUFFIXES:
            return True
        if self._is_output(path):
            return False
        if ending not in OTHER_SUFFIXES and self._holds_audio(path):
            return True
        self._left_out.setdefault((os.path.realpath(path.parent), path.name), path)
        return False

    def _matches(self, base: Path, parts: Sequence[str]) -> Iterator[Path]:
        """The paths below `base` that match a pattern's `parts`. Not by `glob`: it follows links in a circle."""
        if not parts:
            yield base
        elif parts[0] == "**":
            for folder, _ in self._walk(base):
                yield from self._matches(folder, parts[1:])
        elif _MAGIC.search(parts[0]):
            for entry in self._listed(base):
                hidden = entry.name.startswith(".") and not parts[0].startswith(".")
                if (
                    not hidden
                    and fnmatch.fnmatchcase(entry.name, parts[0])
                    and (not parts[1:] or _is_folder_entry(entry))
                ):
                    yield from self._matches(Path(entry), parts[1:])
        elif is_there(str(base / parts[0])):
            yield from self._matches(base / parts[0], parts[1:])

    def _files_below(self, folder: Path) -> Iterator[Path]:
        return (file for _, files in self._walk(folder) for file in files)

    def _walk(self, top: Path) -> Iterator[tuple[Path, list[Path]]]:
        """Every folder from `top` down, once, with its files. Links come last: a folder goes by its own name."""
        folders, links = deque([top]), deque[Path]()
        seen: set[tuple[int, int]] = set()
        while folders or links:
            folder = folders.popleft() if folders else links.popleft()
            if (identity := _identity(folder)) in seen:
                continue
            seen.add(identity)
            files: list[Path] = []
            for entry in self._listed(folder):
                if not entry.name.startswith("."):
                    place = (links if entry.is_symlink() else folders) if _is_folder_entry(entry) else files
                    place.append(Path(entry))
            yield folder, files

    def _listed(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.problems.append(NotDone(str(folder), system_reason(error, "cannot be listed")))
            return []

    def _add(self, path: Path, below: PurePath) -> None:
        if self._is_output(path):
            self.notes.append(f"{path}: made by an earlier run, left alone")
            return
        key = (os.path.realpath(path.parent), path.name)
        self.inputs.setdefault(key, Input(path, str(path), below))


def is_folder(path: str | Path) -> bool:
    """Whether it is a folder, or a link to one."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for what may not be looked at


def _is_folder_entry(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one, also where it may not be entered."""
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def is_there(name: str) -> bool:
    """Whether anything has this name, be it a broken link, or something that may not be looked at."""
    try:
        os.lstat(name)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        return error.errno in _LOOKING_REFUSED
    return True


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError:  # gone, or too deep: listing it says so
        return (-1, hash(folder))
    return status.st_dev, status.st_ino
