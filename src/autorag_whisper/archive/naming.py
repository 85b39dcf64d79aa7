"""Which file each format of each input is written to. Pure: nothing here looks at a disk.

The first of these names is taken by which no output has the name of another output or of an input:

- the input's stem (`talk.srt`), unless another input in the same folder has it too;
- its whole name (`talk.mp3.srt`);
- with its folder (`talk~monday.srt`), where two folders go into one and both have a `talk.mp3`;
- with a digest of its path (`talk.mp3~1f3a09c2.srt`).

Names that differ only in case are taken for the same, as they are on many file systems. Where an earlier run gave the
name to another recording or audio track, another one is taken at the writing (`PlannedFile.other_bases`): `talk.2.srt`
for the second audio track, `talk~monday.srt` for a file from the folder `monday`.
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
"""Placeholders in a name for what only the work tells. No file's name can have such a character."""

LONGEST_BASE_BYTES = LONGEST_NAME_BYTES - max(len(info.suffix) for info in FORMATS.values())
"""Of a name without its suffix, so that every format's name is one that a file system takes."""
_LONGEST_LANGUAGE_BYTES = 12
_NO_PART_OF_A_NAME = re.compile(r'[\x00-\x1f/\\:*?"<>|~.\s]+')

Key = tuple[str, str]
"""Folder and name of a file, as a file system sees them that ignores case."""


@dataclass(frozen=True, slots=True)
class NameParts:
    """What an output's name says besides the input's.

    `selector`: the audio track as the user named it, "" for the default. `with_track`, `with_language`: whether names
    have those. `clips`: the parts of the recording that are transcribed; names have them always.
    """

    selector: str = ""
    with_track: bool = False
    with_language: bool = False
    clips: str = ""

    @property
    def track(self) -> str:
        """The track's number, counted from 0; "" where only the work tells."""
        return self.selector if self.selector.isdecimal() else ""


NO_PARTS = NameParts()


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """An input, and the files to write for it.

    `folder`: where they go. `base`: their names without a format's suffix. `also`: other bases that an earlier run may
    have used for the same input. `left`: the formats that are still to be made, None for all of `formats`.
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
        """Format -> file name, with `LANGUAGE` and `TRACK` in the place of what is not known yet."""
        return {form: self.name(form, self.base) for form in self.formats}

    def is_called(self, form: str, name: str) -> bool:
        """Whether an earlier run, with these inputs or others, may have given this name to this input's output."""
        bases = (self.base, *self.also)
        known = {self.name(form, base) for base in bases}
        return name in known or any(name.startswith(f"{base}~") for base in bases)

    @property
    def targets(self) -> dict[str, Path]:
        """Format -> path, of the formats that are still to be made."""
        return {form: self.folder / self.names[form] for form in self.to_write}

    def name(self, form: str, base: str, language: str = LANGUAGE, track: str = "") -> str:
        """The name of a format's file. `track` counts from 0; names count from 1, as players do."""
        mark = f".{language}" if self.parts.with_language else ""
        name = f"{base}{mark}{FORMATS[form].suffix}"
        return name.replace(TRACK, str(int(track) + 1)) if track else name

    def other_bases(self, identity: str, *, track: str = "") -> Iterator[str]:
        """Bases to try where files called after `base` belong to another recording or, with `track`, another track.

        `identity` tells this recording from others of its name. The last base is a digest of it and of the input's
        name: only an earlier run over the same recording can have used that.
        """
        if track:
            yield _fitted(f"{self.base}.{int(track) + 1}", self.parts)
        elif self.input.path is not None and (folder := _plain(self.input.path.absolute().parent.name)):
            yield _fitted(f"{self.base}~{folder}", self.parts)
        for mine in (identity, f"{identity} {self.input.name}"):
            yield _fitted(f"{self.base}~{hashlib.sha256(os.fsencode(mine)).hexdigest()[:8]}", self.parts)

    def fresh(self, base: str) -> Iterator[str]:
        """Bases to try where another program has written files called after `base` during the work."""
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
    """Name the outputs of all inputs, so that no two have the same name and none has an input's.

    `real` gives a folder's real path: one folder may be spelt in several ways.

    Raises:
        OutputsMeet: that is not possible.
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
    """`name` without its suffix; all of it where it has none (`talk`, `.talk`, `talk.`)."""
    stem, _, suffix = name.rpartition(".")
    return stem if stem and suffix else name


def _folder(item: Input, output_dir: Path | None) -> Path:
    if output_dir is None:
        return item.path.parent if item.path else Path()
    return output_dir / item.below


def _bases(item: Input, label: str, parts: NameParts) -> tuple[str, ...]:
    """The bases that its outputs may have, in the order of the list above."""
    number = str(int(parts.track) + 1) if parts.track else TRACK
    mark = (f".{parts.clips}" if parts.clips else "") + (f".{number}" if parts.with_track else "")
    stem, name = stem_of(item.name), item.name
    told_apart = [f"{stem}~{label}", f"{name}~{label}"] if label else []
    where = os.fsencode(item.path.absolute()) if item.path else name.encode()
    last = f"{name}~{hashlib.sha256(where).hexdigest()[:8]}"
    return tuple(_fitted(base + mark, parts) for base in (stem, name, *told_apart, last))


def _labels(inputs: Sequence[Input]) -> list[str]:
    """For each input the last parts of its folder's path, as many as tell it from others of its name; "" for stdin."""
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


def fitted(base: str, limit_bytes: int) -> str:
    """`base`, cut and with a digest at its end where it would be too long for a file system."""
    if len(os.fsencode(base)) <= limit_bytes:
        return base
    digest = hashlib.sha256(os.fsencode(base)).hexdigest()[:8]
    while len(os.fsencode(base)) > limit_bytes - len(digest) - 1:
        base = base[:-1]
    return f"{base}~{digest}"


def _fitted(base: str, parts: NameParts) -> str:
    """`base`, so that it fits with the longest suffix, and with a language where names have one."""
    return fitted(base, LONGEST_BASE_BYTES - (_LONGEST_LANGUAGE_BYTES if parts.with_language else 0))


def _plain(name: str) -> str:
    """`name` as a part of another name, without characters that have a meaning there."""
    return _NO_PART_OF_A_NAME.sub("-", name).strip("-")


def _meeting(files: Sequence[PlannedFile], taken: Sequence[Key], place: Callable[[Path], str]) -> dict[int, str]:
    """The files of which an output has the name of another output or of an input: index -> that name."""
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
