"""A model folder with other alignment heads: links to its files beside a `config.json` of its own.

CTranslate2 reads the heads from that file when it loads, and nowhere else. So the weights are neither copied nor read
twice. Where links cannot be made (no right to, another volume) the folder is not made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONFIG = "config.json"


def with_heads(folder: Path, heads: Sequence[tuple[int, int]], cache_dir: Path) -> Path:
    """A folder in `cache_dir` that is `folder` with these alignment heads (decoder layer, head); made once.

    Raises OSError where it cannot be made, ValueError where the folder's configuration cannot be read.
    """
    config = json.loads((folder / _CONFIG).read_bytes())
    if not isinstance(config, dict):
        raise ValueError(f"{_CONFIG} is not a JSON object")  # noqa: TRY004 - JSON that does not fit is a bad value
    text = json.dumps(config | {"alignment_heads": [list(head) for head in heads]}, sort_keys=True)
    key = hashlib.sha256(os.fsencode(folder.absolute()) + b"\0" + text.encode()).hexdigest()[:16]
    place = cache_dir / "heads" / key
    if not _is_made(folder, place, text):
        _make(folder, place, text)
    return place


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file() and file.name != _CONFIG]


def _is_made(folder: Path, place: Path, text: str) -> bool:
    """Whether the folder is whole and its links still lead to the files as they are now."""
    try:
        whole = all((place / file.name).samefile(file) for file in _files(folder))
        return whole and (place / _CONFIG).read_text(encoding="utf-8") == text
    except OSError:
        return False


def _make(folder: Path, place: Path, text: str) -> None:
    """Built beside its place and renamed: whole, or not there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{place.name}.tmp-", dir=place.parent))
    try:
        for file in _files(folder):
            _link(file.resolve(), building / file.name)
        (building / _CONFIG).write_text(text, encoding="utf-8")
        building.chmod(0o755)  # mkdtemp's 0700 would lock other users out of a shared cache
        _move_into_place(folder, building, place, text)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _link(target: Path, link: Path) -> None:
    """A symbolic link; where those need a right that users lack (Windows), a hard one."""
    try:
        link.symlink_to(target)
    except (OSError, NotImplementedError):
        os.link(target, link)


def _move_into_place(folder: Path, building: Path, place: Path, text: str) -> None:
    """Rename; another process's finished folder is as good, a stale one goes."""
    try:
        building.rename(place)
    except OSError:
        if _is_made(folder, place, text):
            return
        shutil.rmtree(place, ignore_errors=True)
        building.rename(place)
