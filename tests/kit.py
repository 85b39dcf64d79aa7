"""The kit of recordings: `real/`, `tts/` and `nasty`, read from their manifests. The fixtures stand in conftest.py."""

from __future__ import annotations

import base64
import json
import os
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class TrueWord:
    """A word of the reference, with its true span."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Clip:
    """A line of a manifest. `expect` is set in `nasty` only: text, partial, empty, error or either."""

    path: Path
    language: str
    text: str
    words: tuple[TrueWord, ...]
    tags: frozenset[str]
    duration_s: float | None
    expect: str
    category: str
    ref_trust: str
    word_trust: str


def read_manifest(folder: Path) -> list[Clip]:
    """The clips of a folder that holds a `manifest.jsonl`, in its order."""
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [_clip(folder, json.loads(line)) for line in lines if line.strip()]


def _clip(folder: Path, row: dict[str, Any]) -> Clip:
    # A name that is no UTF-8 cannot stand in JSON: it comes as base64.
    name = os.fsdecode(base64.b64decode(row["path_b64"])) if "path_b64" in row else row["path"]
    timed = [word for word in row.get("words", ()) if word.get("s") is not None and word.get("e") is not None]
    return Clip(
        path=folder / name,
        language=row["language"],
        text=row["text"],
        words=tuple(TrueWord(word["w"], word["s"], word["e"]) for word in timed),
        tags=frozenset(row.get("tags", ())),
        duration_s=row.get("duration_s"),
        expect=row.get("expect", "text"),
        category=row.get("category", ""),
        ref_trust=row.get("ref_trust", "none"),
        word_trust=row.get("word_trust", ""),
    )


def unpack_nasty(kit: Path, scratch: Path) -> Path:
    """Unpack the hostile files below `scratch`; the folder with their manifest and `make_special.sh`."""
    with tarfile.open(kit / "nasty.tar.gz") as archive:
        archive.extractall(scratch, filter="data")
    return scratch / "nasty"
