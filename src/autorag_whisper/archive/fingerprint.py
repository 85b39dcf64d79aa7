"""What a finished transcript depends on, as digests: the file's content, the options, the model.

Neither the version of this package nor the device is among them: after an upgrade, or on another device, a finished
file stays finished. Only options that differ from their defaults count, so that a new option changes no digest.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorag_whisper.settings import COMPUTE_TYPES

if TYPE_CHECKING:
    import os

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.format.options import SubtitleOptions
    from autorag_whisper.settings import Settings

_WITHOUT_EFFECT = ("batch_size", "max_duration_s")
"""Options that never change a result, only how long it takes, or whether there is one."""

_DEFAULTS_OF_0_1_0: dict[str, Any] = {
    "language": None, "allowed_languages": (), "code_switching": False, "task": "transcribe", "quality": "balanced",
    "beam_size": None, "temperatures": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "initial_prompt": "", "hotwords": "",
    "audio_stream": None, "compression_ratio_threshold": 2.4, "logprob_threshold": -1.0, "no_speech_threshold": 0.6,
    "vad_threshold": 0.5, "aligner": "auto",
}  # fmt: skip
"""They stay what they were then, whatever the defaults are now."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells without reading a file that it was not changed."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of the file at `path` now."""
        return cls._of(path.stat())

    @classmethod
    def of_name(cls, path: Path) -> Stamp | None:
        """The stamp of what has the name, of a link the link's own; None where nothing has it."""
        try:
            return cls._of(path.lstat())
        except (OSError, ValueError):
            return None

    @classmethod
    def _of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def options_digest(options: TranscribeOptions, settings: Settings, *, model: str) -> str:
    """A digest of all that a transcript depends on but the file. `model`: see `model_identity`."""
    facts = _changed(options)
    facts |= {"model": model, "engine": _engine(settings)}
    if settings.align_models:
        facts["align_models"] = dict(settings.align_models)
    return _digest(facts)


def _engine(settings: Settings) -> str:
    """The engine's name; what `auto` takes is noted as CTranslate2, the default of before: nothing is redone for it."""
    return "ctranslate2" if settings.engine == "auto" else settings.engine


def layout_digest(digest: str, subtitles: SubtitleOptions) -> str:
    """A digest of an options' digest and of what differs from the default in the layout of subtitles."""
    usual = asdict(type(subtitles)())
    changed = {name: value for name, value in asdict(subtitles).items() if value != usual[name]}
    return _digest({"options": digest, "subtitles": changed})


def digests_of_0_1_0(options: TranscribeOptions, settings: Settings, *, model: str, device: str) -> frozenset[str]:
    """The digests that version 0.1.0 may have noted for the same request, for any device and compute type.

    It put its version, the device and every option into its digest. An option that it did not know has no such digest.
    """
    changed = _changed(options)
    if not changed.keys() <= _DEFAULTS_OF_0_1_0.keys():
        return frozenset()
    facts = _DEFAULTS_OF_0_1_0 | changed
    facts |= {
        "model": model,
        "version": "0.1.0",
        "engine": _engine(settings),
        "align_models": dict(settings.align_models),
    }
    places = itertools.product(sorted({device, "auto", "cpu", "cuda", *(f"cuda:{n}" for n in range(8))}), COMPUTE_TYPES)
    return frozenset(_digest(facts | {"device": place, "compute_type": kind}) for place, kind in places)


def model_identity(name: str) -> str:
    """A size or hub id as it is; a folder with its files' names, sizes and times."""
    from autorag_whisper.models.catalogue import ALIASES, find

    if name and find(name) is None:
        try:
            return _folder_identity(Path(name).expanduser())
        except (OSError, ValueError, RuntimeError):  # no folder, or none that can be looked at: resolving it says more
            pass
    return ALIASES.get(name, name)


def _changed(options: TranscribeOptions) -> dict[str, Any]:
    """The options that differ from their defaults and decide what comes out."""
    values = asdict(options)
    return {
        item.name: values[item.name]
        for item in fields(options)
        if item.name not in _WITHOUT_EFFECT and getattr(options, item.name) != item.default
    }


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii")).hexdigest()


def _folder_identity(folder: Path) -> str:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return json.dumps([str(folder.resolve()), facts])
