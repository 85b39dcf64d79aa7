"""Two runs over the same files: each file has one of them, and a run that is over has none."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.archive.reservations import FOLDER, Reservations

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / FOLDER


def test_of_many_that_ask_at_once_one_gets_it(folder: Path, tmp_path: Path) -> None:
    runs, start, got = [Reservations(folder) for _ in range(8)], threading.Barrier(8), []

    def ask(reservations: Reservations) -> None:
        start.wait(timeout=60)
        got.extend([n for n in range(5) if reservations.take(tmp_path / str(n))])

    threads = [threading.Thread(target=ask, args=(reservations,)) for reservations in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(got) == [0, 1, 2, 3, 4]
    for reservations in runs:
        reservations.close()
