"""A model folder with other alignment heads, made of links."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.loading.chosen_heads import with_heads

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"alignment_heads": [[0, 1]], "lang_ids": [7]}')
    (folder / "model.bin").write_bytes(b"weights")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_many_at_once_get_one_whole_folder(model: Path, tmp_path: Path) -> None:
    made: list[Path] = []
    threads = [
        threading.Thread(target=lambda: made.append(with_heads(model, [(4, 2)], tmp_path / "cache"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    assert len(made) == 8
    assert list((tmp_path / "cache" / "heads").iterdir()) == [made[0]]
