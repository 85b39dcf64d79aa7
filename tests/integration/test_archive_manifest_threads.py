"""What this command wrote: noted, believed only while it is true, and shared with other processes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from autorag_whisper.archive import manifest
from autorag_whisper.archive.fingerprint import Stamp
from autorag_whisper.archive.manifest import MANIFEST, Entry, Output, Recording, read

if TYPE_CHECKING:
    from pathlib import Path


def record(folder: Path, entry: Entry) -> None:
    with manifest.locked(folder):
        known = read(folder, warn=False)
        manifest.write(folder, known.with_entry(entry), known)


def test_two_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    # Threads stand for processes here: the lock belongs to the open folder, which each opens for itself.
    start = threading.Barrier(4)

    def write(writer: int) -> None:
        start.wait(timeout=60)
        for n in range(10):
            name = f"{writer}-{n}"
            outputs = {"srt": Output(f"{name}.srt", "d")}
            record(tmp_path, Entry(Recording(name), Stamp(1, 1, 1, 1), "s", "o", outputs))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(read(tmp_path).entries) == 40
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]
