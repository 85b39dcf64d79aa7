"""What a finished transcript depends on, as digests: the file's content, the options, the model, this package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autorag_whisper import __version__

if TYPE_CHECKING:
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.settings import Settings

_WITHOUT_EFFECT = ("batch_size", "max_duration_s")
"""Options that change how long it takes or whether it is done, never what comes out."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells without reading that a file is the one it was."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of the file at `path` now."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def options_digest(options: TranscribeOptions, settings: Settings, *, model: str, device: str) -> str:
    """One digest of everything but the file. `model` is an identity, not only a name (`model_identity`)."""
    facts = {name: value for name, value in asdict(options).items() if name not in _WITHOUT_EFFECT}
    facts |= {"model": model, "device": device, "version": __version__}
    facts |= {"engine": settings.engine, "compute_type": settings.compute_type}
    facts["align_models"] = dict(settings.align_models)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii")).hexdigest()


def model_identity(name: str) -> str:
    """A size or hub id stands for its weights; a folder is told by its files' sizes and times as well."""
    from autorag_whisper.models.catalogue import ALIASES, find

    if name and find(name) is None:
        try:
            return _folder_identity(Path(name).expanduser())
        except (OSError, ValueError, RuntimeError):  # no folder, or none that can be looked at: resolving it says more
            pass
    return ALIASES.get(name, name)


def _folder_identity(folder: Path) -> str:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return json.dumps([str(folder.resolve()), facts])
