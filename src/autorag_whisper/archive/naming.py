"""Which file each format of each input is written to. Pure: nothing here looks at a disk.

An input's outputs are called after its stem (`talk.srt`). Inputs that share a stem and a folder keep their whole names
(`talk.mp3.srt`), and so do inputs whose outputs would still meet another's or fall on an input. What meets even then is
told apart by its folder (`talk~monday.srt`, `talk~tuesday.srt`): two folders named in one command may have files of one
name; in the end a digest of its path does. Names that differ only in case are the same: on many file systems they are.

Where an output of that name belongs to another recording or audio track of an earlier run, another name is taken
(`PlannedFile.other_bases`): `talk.2.srt` for the second audio track, `talk~monday.srt` for a file from `monday`.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.domain.archive_errors import OutputsMeet
from autorag_whisper.format import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from autorag_whisper.archive.inputs import Input

LONGEST_NAME_BYTES = 255
LANGUAGE, TRACK = "\0language\0", "\0track\0"
"""Stand in a name for what is not known before the work. No file's name has such characters."""

_LONGEST_SUFFIX_BYTES = max(len(info.suffix) for info in FORMATS.values())
_LONGEST_LANGUAGE_BYTES = 12
_NO_PART_OF_A_NAME = re.compile(r'[\x00-\x1f/\\:*?"<>|~.\s]+')

Key = tuple[str, str]
"""A place as a file system that ignores case sees it: folder, name."""


@dataclass(frozen=True, slots=True)
class NameParts:
    """What else a name may say. `selector`: the audio track as the user named it, "" for the default.

    `clips`: the parts of the recording, which are always in the name: they are not the whole.
    """

    selector: str = ""
    with_track: bool = False
    with_language: bool = False
    clips: str = ""

    @property
    def track(self) -> str:
        """The track's number, counted from 0; "" where the work must tell."""
        return self.selector if self.selector.isdecimal() else ""


NO_PARTS = NameParts()


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """An input and the files to write in `folder`, called after `base`.

    `also` are bases that are as good where an earlier run wrote them. `left` are the formats that are still to be made,
    None for all.
    """

    input: Input
    folder: Path
    formats: tuple[str, ...]
    base: str
    also: tuple[str, ...]
    parts: NameParts = NO_PARTS
    left: tuple[str, ...] | None = None

    @property
    def to_write(self) -> tuple[str, ...]:
        """The formats that are still to be made."""
        return self.formats if self.left is None else self.left

    @property
    def names(self) -> dict[str, str]:
        """Format -> file name; with `LANGUAGE` and `TRACK` where it has what is not known yet."""
        return {form: self.name(form, self.base) for form in self.formats}

    def is_called(self, form: str, name: str) -> bool:
        """Whether an earlier run may have called this input's output so, alone or among others."""
        bases = (self.base, *self.also)
        known = {self.name(form, base) for base in bases}
        return name in known or any(name.startswith(f"{base}~") for base in bases)

    @property
    def targets(self) -> dict[str, Path]:
        """Format -> the file that it is written to, of those that are still to be made."""
        return {form: self.folder / self.names[form] for form in self.to_write}

    def name(self, form: str, base: str, language: str = LANGUAGE, track: str = "") -> str:
        """The name of a format's file; `track` counts from 0, in a name from 1, as players do."""
        mark = f".{language}" if self.parts.with_language else ""
        name = f"{base}{mark}{FORMATS[form].suffix}"
        return name.replace(TRACK, str(int(track) + 1)) if track else name

    def other_bases(self, identity: str, *, track: str = "") -> Iterator[str]:
        """What the outputs are called after where `base` is another recording's, or, with `track`, another track's.

        `identity` tells this one from others of its name: the last name is free unless it was here before. Others of
        its stem (`talk.mp3`, `talk.wav`) may have all names but that one.
        """
        if track:
            yield _fitted(f"{self.base}.{int(track) + 1}", self.parts)
        elif self.input.path is not None and (folder := _plain(self.input.path.absolute().parent.name)):
            yield _fitted(f"{self.base}~{folder}", self.parts)
        for mine in (identity, f"{identity} {self.input.name}"):
            yield _fitted(f"{self.base}~{hashlib.sha256(os.fsencode(mine)).hexdigest()[:8]}", self.parts)

    def fresh(self, base: str) -> Iterator[str]:
        """What the outputs are called after where `base` was taken by a stranger during the work."""
        yield _fitted(f"{base}.new", self.parts)
        for number in range(2, 1000):
            yield _fitted(f"{base}.new{number}", self.parts)


def name_outputs(
    inputs: Sequence[Input],
    formats: Sequence[str],
    output_dir: Path | None,
    real: Callable[[Path], str] = os.path.realpath,
    parts: NameParts = NO_PARTS,
) -> tuple[PlannedFile, ...]:
    """Every input with its outputs' names, no two with the same output, none with an input for an output.

    `real` tells folders apart however they are spelt.

    Raises:
        OutputsMeet: some outputs would meet whatever they are called.
    """
    # Folders beside inputs are there and apart; those of a mirrored tree are made on a disk that may ignore case.
    place = real if output_dir is None else lambda folder: _folded(real(folder))
    folders = [_folder(item, output_dir) for item in inputs]
    stems = [(place(folder), _folded(stem_of(item.name))) for item, folder in zip(inputs, folders, strict=True)]
    count = Counter(stems)
    bases = [_bases(item, label, parts) for item, label in zip(inputs, _labels(inputs), strict=True)]
    rungs = [int(count[stem] > 1) for stem in stems]
    taken = [(place(item.path.parent), _folded(item.path.name)) for item in inputs if item.path]
    while True:
        files = tuple(
            PlannedFile(item, folder, tuple(formats), own[rung], own[:rung] if rung > 1 else own[1:2], parts)
            for item, folder, own, rung in zip(inputs, folders, bases, rungs, strict=True)
        )
        meeting = _meeting(files, taken, place)
        if not meeting:
            return files
        above = [index for index in meeting if rungs[index] + 1 < len(bases[index])]
        if not above:
            raise _refusal(files, meeting)
        for index in above:
            rungs[index] += 1


def stem_of(name: str) -> str:
    """`name` without what follows its last dot, whole where nothing precedes or follows that."""
    stem, _, suffix = name.rpartition(".")
    return stem if stem and suffix else name


def _folder(item: Input, output_dir: Path | None) -> Path:
    if output_dir is None:
        return item.path.parent if item.path else Path()
    return output_dir / item.below


def _bases(item: Input, label: str, parts: NameParts) -> tuple[str, ...]:
    """What its outputs may be called after, of which the first that meets no other's is taken."""
    number = str(int(parts.track) + 1) if parts.track else TRACK
    mark = (f".{parts.clips}" if parts.clips else "") + (f".{number}" if parts.with_track else "")
    stem, name = stem_of(item.name), item.name
    told_apart = [f"{stem}~{label}", f"{name}~{label}"] if label else []
    where = os.fsencode(item.path.absolute()) if item.path else name.encode()
    last = f"{name}~{hashlib.sha256(where).hexdigest()[:8]}"
    return tuple(_fitted(base + mark, parts) for base in (stem, name, *told_apart, last))


def _labels(inputs: Sequence[Input]) -> list[str]:
    """Of each input as much of its folder, from the end on, as others of its name have not; "" of standard input."""
    parents = [item.path.absolute().parent.parts[1:] if item.path else () for item in inputs]
    same: dict[str, list[int]] = {}
    for index, item in enumerate(inputs):
        same.setdefault(_folded(item.name), []).append(index)
    labels = [""] * len(inputs)
    for group in same.values():
        left = group
        for length in range(1, max(len(parents[index]) for index in group) + 1):
            ends = Counter(parents[index][-length:] for index in left)
            for index in left:
                labels[index] = "-".join(filter(None, map(_plain, parents[index][-length:])))
            left = [index for index in left if ends[parents[index][-length:]] > 1]
            if not left:
                break
    return labels


def _fitted(base: str, parts: NameParts) -> str:
    """`base`, cut and marked with a digest where the file system would refuse it with the longest suffix."""
    limit = LONGEST_NAME_BYTES - _LONGEST_SUFFIX_BYTES - (_LONGEST_LANGUAGE_BYTES if parts.with_language else 0)
    if len(os.fsencode(base)) <= limit:
        return base
    digest = hashlib.sha256(os.fsencode(base)).hexdigest()[:8]
    while len(os.fsencode(base)) > limit - len(digest) - 1:
        base = base[:-1]
    return f"{base}~{digest}"


def _plain(name: str) -> str:
    """`name` as a part of another name: without what has a meaning there."""
    return _NO_PART_OF_A_NAME.sub("-", name).strip("-")


def _meeting(files: Sequence[PlannedFile], taken: Sequence[Key], place: Callable[[Path], str]) -> dict[int, str]:
    """The files that share an output with another or with an input: index -> such an output's name."""
    owners: dict[Key, list[tuple[int, str]]] = {}
    for index, planned in enumerate(files):
        folder = place(planned.folder)
        for name in planned.names.values():
            owners.setdefault((folder, _folded(name)), []).append((index, name))
    inputs = set(taken)
    return {index: name for key, owned in owners.items() if len(owned) > 1 or key in inputs for index, name in owned}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _refusal(files: Sequence[PlannedFile], meeting: Mapping[int, str]) -> OutputsMeet:
    index, name = next(iter(meeting.items()))
    others = [files[i].input.shown for i, other in meeting.items() if i != index and _folded(other) == _folded(name)]
    name = name.replace(LANGUAGE, "(language)").replace(TRACK, "(stream)")
    return OutputsMeet(str(files[index].folder / name), files[index].input.shown, others[0] if others else "")
