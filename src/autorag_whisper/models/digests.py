"""A note of large files whose SHA-256 was verified, so that no start-up hashes 145 MB again.

The note holds each file's size and time of change. It guards against accident, not against someone who may write to
these folders: whoever can do that can replace the program too.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def is_noted(files: Mapping[Path, str], note: Path) -> bool:
    """Whether `note` says of every file (path -> digest) that it was found to have it, and none changed since."""
    try:
        return bool(json.loads(note.read_bytes()) == _state(files))
    except (OSError, ValueError):
        return False


def write_note(files: Mapping[Path, str], note: Path) -> None:
    """Note that these files have these digests. A cache that cannot be written costs time, not the run."""
    temporary = note.with_name(f".{note.name}.tmp-{os.getpid()}-{threading.get_ident()}")
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(_state(files)), encoding="utf-8")
        temporary.replace(note)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _state(files: Mapping[Path, str]) -> dict[str, list[int | str]]:
    """What is compared; by name alone, so that a finished folder may be moved to its place after it was noted."""
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns, digest] for path, digest in files.items()}
