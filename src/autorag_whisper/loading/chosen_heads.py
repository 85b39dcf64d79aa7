"""A model folder with other alignment heads: links to its files beside a `config.json` of its own.

CTranslate2 reads the heads from that file when it loads, and nowhere else. So the weights are neither copied nor read
twice. Where links cannot be made (no right to, another volume) the folder is not made.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from autorag_whisper.models.building import are_linked, building, link_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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
        with building(place, lambda: _is_made(folder, place, text)) as new:
            link_files(folder, new, but=_CONFIG)
            (new / _CONFIG).write_text(text, encoding="utf-8")
    return place


def _is_made(folder: Path, place: Path, text: str) -> bool:
    """Whether the folder is whole and its links still lead to the files as they are now."""
    try:
        return are_linked(folder, place, _CONFIG) and (place / _CONFIG).read_text(encoding="utf-8") == text
    except OSError:
        return False
