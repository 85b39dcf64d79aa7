"""Which file each format of each input is written to. Pure: nothing here looks at a disk.

An input's outputs are called after its stem (`talk.srt`). Inputs that share a stem and a folder keep their whole names
(`talk.mp3.srt`), and so do inputs whose outputs would still meet another's or fall on an input. What meets even then
is refused. Names that differ only in case are the same: on many file systems they are.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper.cli.exits import BadUsage
from autorag_whisper.format import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from autorag_whisper.cli.inputs import Input

LONGEST_NAME_BYTES = 255
_LONGEST_SUFFIX_BYTES = max(len(info.suffix) for info in FORMATS.values())

Key = tuple[str, str]
"""A place as a file system that ignores case sees it: folder, name."""


@dataclass(frozen=True, slots=True)
class Job:
    """An input and the files to write: format -> file name in `folder`.

    `whole_names` are the same with the input's whole name: also good where an earlier run wrote them.
    """

    input: Input
    folder: Path
    names: Mapping[str, str]
    whole_names: Mapping[str, str]

    @property
    def targets(self) -> dict[str, Path]:
        """Format -> the file that it is written to."""
        return {form: self.folder / name for form, name in self.names.items()}


def plan(
    inputs: Sequence[Input],
    formats: Sequence[str],
    output_dir: Path | None,
    real: Callable[[Path], str] = os.path.realpath,
) -> tuple[Job, ...]:
    """A job for every input, no two with the same output, none with an input for an output.

    `real` tells folders apart however they are spelt.

    Raises:
        BadUsage: some outputs would meet whatever they are called.
    """
    # Folders beside inputs are there and apart; those of a mirrored tree are made on a disk that may ignore case.
    place = real if output_dir is None else lambda folder: _folded(real(folder))
    folders = [_folder(item, output_dir) for item in inputs]
    stems = [(place(folder), _folded(stem_of(item.name))) for item, folder in zip(inputs, folders, strict=True)]
    count = Counter(stems)
    whole = {index for index, stem in enumerate(stems) if count[stem] > 1}
    taken = [(place(item.path.parent), _folded(item.path.name)) for item in inputs if item.path]
    while True:
        jobs = tuple(
            _job(item, folder, formats, whole=index in whole)
            for index, (item, folder) in enumerate(zip(inputs, folders, strict=True))
        )
        meeting = _meeting(jobs, taken, place)
        if not meeting:
            return jobs
        if whole >= meeting.keys():
            raise _refusal(jobs, meeting)
        whole |= meeting.keys()


def stem_of(name: str) -> str:
    """`name` without what follows its last dot, whole where nothing precedes or follows that."""
    stem, _, suffix = name.rpartition(".")
    return stem if stem and suffix else name


def _folder(item: Input, output_dir: Path | None) -> Path:
    if output_dir is None:
        return item.path.parent if item.path else Path()
    return output_dir / item.below


def _job(item: Input, folder: Path, formats: Sequence[str], *, whole: bool) -> Job:
    stem, name = _fitted(stem_of(item.name)), _fitted(item.name)
    whole_names = {form: name + FORMATS[form].suffix for form in formats}
    names = {form: stem + FORMATS[form].suffix for form in formats}
    return Job(item, folder, whole_names if whole else names, whole_names)


def _fitted(base: str) -> str:
    """`base`, cut and marked with a digest where the file system would refuse it with the longest suffix."""
    limit = LONGEST_NAME_BYTES - _LONGEST_SUFFIX_BYTES
    if len(os.fsencode(base)) <= limit:
        return base
    digest = hashlib.sha256(os.fsencode(base)).hexdigest()[:8]
    while len(os.fsencode(base)) > limit - len(digest) - 1:
        base = base[:-1]
    return f"{base}~{digest}"


def _meeting(jobs: Sequence[Job], taken: Sequence[Key], place: Callable[[Path], str]) -> dict[int, str]:
    """The jobs that share an output with another or with an input: index -> such an output's name."""
    owners: dict[Key, list[tuple[int, str]]] = {}
    for index, job in enumerate(jobs):
        folder = place(job.folder)
        for name in job.names.values():
            owners.setdefault((folder, _folded(name)), []).append((index, name))
    inputs = set(taken)
    return {index: name for key, owned in owners.items() if len(owned) > 1 or key in inputs for index, name in owned}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _refusal(jobs: Sequence[Job], meeting: Mapping[int, str]) -> BadUsage:
    index, name = next(iter(meeting.items()))
    others = [jobs[i].input.shown for i, other in meeting.items() if i != index and _folded(other) == _folded(name)]
    what = f"{jobs[index].folder / name} would be the output of {jobs[index].input.shown}"
    rest = f" and of {others[0]}" if others else ", and it is itself an input"
    return BadUsage(what + rest, "transcribe them in separate runs with different --output-dir, or rename one")
