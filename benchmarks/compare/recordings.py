"""What is listened to: recordings with their references, the sets that are run, the groups that are told."""

from __future__ import annotations

import json
import random
import tarfile
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

SHORT_S, LONG_S, TEN_MINUTES_S, HOUR_S = 10, 120, 300, 1800
_SILENT = frozenset({"silence", "no-speech"})
_LONGEST_SILENT_S = 600
"""Six hours of silence are a test of their own (`nasty.py`), not an hour of every peer's time."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file, and what is said in it. `speech` False: nobody speaks, every word heard is invented.

    `scored`: the reference is good enough to count errors against it.
    """

    path: Path
    origin: str
    duration_s: float
    language: str
    text: str
    speech: bool
    scored: bool

    @property
    def name(self) -> str:
        """Its key in results."""
        return f"{self.origin}/{self.path.name}"

    @property
    def length(self) -> str:
        """The class of its length."""
        if self.duration_s < LONG_S:
            return "short" if self.duration_s < SHORT_S else "middle"
        if self.duration_s < TEN_MINUTES_S:
            return "long"
        return "ten-minute" if self.duration_s < HOUR_S else "hour"

    @property
    def set_name(self) -> str:
        """The set that it is run in: files of one kind, in one process."""
        return f"{self.length}-{self.origin}" if self.speech else "no-speech"


GROUPS: dict[str, tuple[str, Callable[[Recording], bool]]] = {
    "whole": ("everything with speech", lambda r: r.speech),
    "short": ("clips under 10 s", lambda r: r.speech and r.length == "short"),
    "ten-minute": ("one file of 10 minutes", lambda r: r.speech and r.length == "ten-minute"),
    "hour": ("one file of an hour", lambda r: r.speech and r.length == "hour"),
    "long": ("files over 2 minutes", lambda r: r.speech and r.duration_s >= LONG_S),
    "real": ("real speech", lambda r: r.speech and r.origin == "real"),
    "tts": ("synthetic speech", lambda r: r.speech and r.origin == "tts"),
    "english": ("English", lambda r: r.speech and r.language == "en"),
    "english-real": ("English, real", lambda r: r.speech and r.language == "en" and r.origin == "real"),
    "english-tts": ("English, synthetic", lambda r: r.speech and r.language == "en" and r.origin == "tts"),
    "other": ("all other languages", lambda r: r.speech and r.language != "en"),
    "no-speech": ("no speech", lambda r: not r.speech),
}
"""What the tables tell of, each over any of the sets: name -> (in words, which recordings)."""


def read_folder(folder: Path) -> list[Recording]:
    """The recordings of a folder with a `manifest.jsonl`, in its order.

    A row with the tag `silence` or `no-speech` is one in which nobody speaks, whatever its text says.
    """
    return [_recording(folder, row) for row in _rows((folder / "manifest.jsonl").read_text(encoding="utf-8"))]


def _rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _recording(folder: Path, row: Mapping[str, Any]) -> Recording:
    silent = not _SILENT.isdisjoint(row.get("tags", ()))
    trusted = row.get("wer", True) and row.get("ref_trust", "exact") not in {"pseudo", "none"}
    return Recording(
        path=folder / row["path"],
        origin=folder.name,
        duration_s=row["duration_s"],
        language=row["language"],
        text="" if silent else row["text"],
        speech=not silent,
        scored=silent or bool(trusted and row["text"].strip()),
    )


def read_nasty(archive: Path, scratch: Path) -> list[Recording]:
    """Of the hostile files those that are sound but without speech, unpacked below `scratch`."""
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("nasty/manifest.jsonl")
        assert manifest is not None
        rows = [row for row in _rows(manifest.read().decode()) if _is_silent_sound(row)]
        for row in rows:
            tar.extract(f"nasty/{row['path']}", scratch, filter="data")
    return [_recording(scratch / "nasty", row | {"tags": ["no-speech"]}) for row in rows]


def _is_silent_sound(row: Mapping[str, Any]) -> bool:
    return (
        row.get("category") == "no-speech" and row.get("expect") == "empty" and row["duration_s"] <= _LONGEST_SILENT_S
    )


def chosen(recordings: Iterable[Recording], groups: Sequence[str]) -> list[Recording]:
    """The recordings that are in any of the named groups, all of them if none is named; not those in any "-group"."""
    wanted = [GROUPS[name][1] for name in groups if not name.startswith("-")]
    left_out = [GROUPS[name[1:]][1] for name in groups if name.startswith("-")]
    found = [r for r in recordings if not wanted or any(is_in(r) for is_in in wanted)]
    return [r for r in found if not any(is_in(r) for is_in in left_out)]


def limited(recordings: Sequence[Recording], limit_s: float) -> list[Recording]:
    """A sample of at most `limit_s`, the same every time, of every set as much as its share allows.

    Recordings that would fill a third of it are left out, and have no share, unless there are only such.
    """
    fitting = [r for r in recordings if r.duration_s <= limit_s / 3] or recordings
    sets = in_sets(fitting)
    whole_s = sum(r.duration_s for r in fitting)
    kept: set[Path] = set()
    for members in sets.values():
        room_s = limit_s * sum(r.duration_s for r in members) / whole_s
        shuffled = members[:]
        random.Random(len(members)).shuffle(shuffled)
        for r in shuffled:
            if r.duration_s <= room_s:
                kept.add(r.path)
                room_s -= r.duration_s
    return [r for r in recordings if r.path in kept]


def in_sets(recordings: Iterable[Recording]) -> dict[str, list[Recording]]:
    """Set name -> its recordings, in their order."""
    sets: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        sets[recording.set_name].append(recording)
    return dict(sorted(sets.items()))
