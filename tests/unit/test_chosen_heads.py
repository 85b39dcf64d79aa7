"""A model folder with other alignment heads, made of links."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from autorag_whisper.loading.chosen_heads import with_heads


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"alignment_heads": [[0, 1]], "lang_ids": [7]}')
    (folder / "model.bin").write_bytes(b"weights")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_the_heads_are_the_chosen_ones_and_all_else_is_the_models(model: Path, tmp_path: Path) -> None:
    made = with_heads(model, [(4, 2)], tmp_path / "cache")
    assert json.loads((made / "config.json").read_text()) == {"alignment_heads": [[4, 2]], "lang_ids": [7]}
    assert (made / "model.bin").samefile(model / "model.bin")
    assert (made / "tokenizer.json").samefile(model / "tokenizer.json")
    assert json.loads((model / "config.json").read_text())["alignment_heads"] == [[0, 1]]


def test_it_is_made_once_and_another_choice_is_another_folder(model: Path, tmp_path: Path) -> None:
    first = with_heads(model, [(4, 2)], tmp_path / "cache")
    inode = first.stat().st_ino
    assert with_heads(model, [(4, 2)], tmp_path / "cache") == first
    assert first.stat().st_ino == inode
    assert with_heads(model, [(5, 1)], tmp_path / "cache") != first


def test_a_folder_whose_model_was_replaced_is_made_again(model: Path, tmp_path: Path) -> None:
    made = with_heads(model, [(4, 2)], tmp_path / "cache")
    (made / "model.bin").unlink()
    again = with_heads(model, [(4, 2)], tmp_path / "cache")
    assert again == made
    assert (again / "model.bin").read_bytes() == b"weights"


def test_where_no_link_can_be_made_nothing_is_left_behind(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "symlink_to", refuse)
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(PermissionError):
        with_heads(model, [(4, 2)], tmp_path / "cache")
    assert list((tmp_path / "cache" / "heads").iterdir()) == []


def test_a_hard_link_serves_where_symbolic_ones_are_not_allowed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    made = with_heads(model, [(4, 2)], tmp_path / "cache")
    assert (made / "model.bin").samefile(model / "model.bin")
    assert not (made / "model.bin").is_symlink()


def test_a_configuration_that_is_no_object_is_refused(model: Path, tmp_path: Path) -> None:
    (model / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="JSON object"):
        with_heads(model, [(4, 2)], tmp_path / "cache")
