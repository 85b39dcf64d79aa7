"""The pieces of a packaged model become one folder: whole, once, and not left half done."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from autorag_whisper.models.joining import join
from model_folders import make_pieces

if TYPE_CHECKING:
    from pathlib import Path


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name.startswith("."))


def test_threads_that_race_end_with_one_folder_and_no_leftovers(tmp_path: Path) -> None:
    pieces = make_pieces(tmp_path / "packages")
    start = threading.Barrier(8)

    def race(_: int) -> tuple[Path, int]:
        start.wait()
        folder = join(pieces, tmp_path)
        return folder, (folder / "model.bin").stat().st_ino

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(race, range(8)))) == 1
    assert leftovers(tmp_path) == []
