"""The pieces of a packaged model, joined once into the cache: whole and verified, or not there at all.

A folder is renamed to its place (`models.building`) when everything in it is on the disk.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, BinaryIO

from autorag_whisper.files import sha256_of, sync_folder
from autorag_whisper.models.building import LOCK_WAIT_S, building, locked
from autorag_whisper.models.digests import is_noted, write_note
from autorag_whisper.models.packaged import Installed, ModelFile, Part, damaged_package

if TYPE_CHECKING:
    from pathlib import Path

_NOTE = "verified.json"
_BLOCK_BYTES = 1 << 20


def joined_place(installed: Installed, cache_dir: Path) -> Path:
    """The folder of the joined model. Its name carries the digests: other pieces are another folder."""
    digests = "".join(file.sha256 for file in installed.model.files)
    return cache_dir / f"{installed.model.name}-{hashlib.sha256(digests.encode()).hexdigest()[:12]}"


def join(installed: Installed, cache_dir: Path, *, lock_wait_s: float = LOCK_WAIT_S) -> Path:
    """The folder of the joined model, made where it is missing, cut off or altered.

    Another process that is at it is waited for, but not longer than `lock_wait_s`: then it is done twice.

    Raises:
        ModelDamaged: a piece has another digest than the pinned one.
        OSError: the cache cannot be written (disk full, no permission).
    """
    place = joined_place(installed, cache_dir)
    if is_joined(installed, place):
        return place
    cache_dir.mkdir(parents=True, exist_ok=True)
    with locked(place, lock_wait_s):
        if not is_joined(installed, place):
            _build(installed, place)
    return place


def is_joined(installed: Installed, place: Path) -> bool:
    """Whether the finished folder is there and as it was verified."""
    files = {place / file.name: file.sha256 for file in installed.model.files}
    if is_noted(files, place / _NOTE):
        return True
    try:
        intact = all(sha256_of(path) == digest for path, digest in files.items())
    except OSError:
        return False
    if intact:
        write_note(files, place / _NOTE)
    return intact


def _build(installed: Installed, place: Path) -> None:
    with building(place, lambda: is_joined(installed, place)) as folder:
        for file in installed.model.files:
            _write(installed, file, folder / file.name)
        write_note({folder / file.name: file.sha256 for file in installed.model.files}, folder / _NOTE)
        sync_folder(folder)
    sync_folder(place.parent)


def _write(installed: Installed, file: ModelFile, target: Path) -> None:
    with target.open("xb") as out:
        for part in file.parts:
            _append(installed, part, out)
        out.flush()
        os.fsync(out.fileno())


def _append(installed: Installed, part: Part, out: BinaryIO) -> None:
    digest = hashlib.sha256()
    with installed.places[part].open("rb") as source:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != part.sha256:
        raise damaged_package(installed.model, part, "its SHA-256 is not the pinned one")
