"""What several processes do with one file at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from autorag_whisper.files import made_once

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_made_once_is_the_same_for_all_who_ask_at_once(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def ask(number: int) -> bytes:
        start.wait()
        return made_once(tmp_path / "secret", f"{number}".encode())

    with ThreadPoolExecutor(8) as threads:
        told = set(threads.map(ask, range(8)))
    assert told == {(tmp_path / "secret").read_bytes()}
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
