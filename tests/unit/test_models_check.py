"""A model folder is whole, or the error names the file at fault."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.models.check import check_model_folder
from model_folders import make_model, weights

if TYPE_CHECKING:
    from pathlib import Path

PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1a5afae\nsize 75537502\n"


def damage(folder: Path) -> ModelDamaged:
    with pytest.raises(ModelDamaged) as caught:
        check_model_folder(folder, "little")
    assert caught.value.model == "little"
    return caught.value


@pytest.mark.parametrize("vocabulary", ["vocabulary.txt", "vocabulary.json"])
def test_a_whole_folder_passes_with_either_vocabulary(tmp_path: Path, vocabulary: str) -> None:
    folder = make_model(tmp_path)
    (folder / "vocabulary.txt").rename(folder / vocabulary)
    assert check_model_folder(folder, "little").encoder_layers == 2


def test_layers_that_were_taken_out_of_the_decoder_tell_a_distilled_model(tmp_path: Path) -> None:
    whole = check_model_folder(make_model(tmp_path / "whole", weights(encoder_layers=12, decoder_layers=12)), "x")
    distilled = check_model_folder(make_model(tmp_path / "less", weights(encoder_layers=12, decoder_layers=2)), "x")
    assert (whole.is_distilled, distilled.is_distilled) == (False, True)
    assert (distilled.encoder_layers, distilled.decoder_layers) == (12, 2)


def test_no_proper_beginning_of_a_models_weights_passes(tmp_path: Path) -> None:
    whole = weights()
    folder = make_model(tmp_path, whole)
    check_model_folder(folder, "little")
    for length in range(len(whole)):
        (folder / "model.bin").write_bytes(whole[:length])
        assert damage(folder).file == "model.bin", length


def test_a_file_that_was_cut_off_inside_a_weight_says_in_which_one(tmp_path: Path) -> None:
    whole = weights(aliases=0)
    error = damage(make_model(tmp_path, whole[: len(whole) - 5]))
    assert error.reason == f"is cut off in variable 5 of 5: {len(whole) - 5} bytes, at least {len(whole) - 4} needed"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (PAGE, "is a web page, not the file itself"),
        (POINTER, "is a git-lfs pointer, not the file itself (`git lfs pull` fetches it)"),
        (b"\0" * 4096, "is not a CTranslate2 model"),
        (b"PK\x03\x04" + bytes(500), "is not a CTranslate2 model"),
        (weights(version=3), "is not a CTranslate2 model"),
        (weights("TransformerSpec"), "is not a Whisper model but 'TransformerSpec'"),
    ],
    ids=["empty", "page", "pointer", "zeros", "zip", "ancient", "translator"],
)
def test_something_else_under_the_name_of_the_weights_is_told_apart(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    error = damage(make_model(tmp_path, content))
    assert error.file == "model.bin"
    assert error.reason.startswith(reason)


def test_a_number_of_variables_beyond_reason_ends_the_walk_at_once(tmp_path: Path) -> None:
    whole = bytearray(weights())
    at = 4 + 2 + len("WhisperSpec") + 1 + 4
    whole[at : at + 4] = b"\xff\xff\xff\xff"
    assert "4,294,967,295 variables" in damage(make_model(tmp_path, bytes(whole))).reason


def test_an_original_checkpoint_is_told_from_a_converted_one(tmp_path: Path) -> None:
    folder = make_model(tmp_path)
    (folder / "model.bin").rename(folder / "model.safetensors")
    error = damage(folder)
    assert error.file == "model.bin"
    assert "ct2-transformers-converter --model" in error.remedy


@pytest.mark.parametrize("name", ["config.json", "model.bin", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = make_model(tmp_path)
    (folder / name).unlink()
    error = damage(folder)
    assert (error.file, error.reason) == (name, "is missing")


@pytest.mark.parametrize("name", ["config.json", "model.bin", "tokenizer.json", "vocabulary.txt"])
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    folder = make_model(tmp_path)
    (folder / name).write_bytes(b"")
    error = damage(folder)
    assert (error.file, error.reason) == (name, "is empty")


def test_a_folder_without_any_vocabulary_says_so(tmp_path: Path) -> None:
    folder = make_model(tmp_path)
    (folder / "vocabulary.txt").unlink()
    assert str(damage(folder)).startswith("model 'little': vocabulary.json: is missing.")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", b'{"alignment_heads": [', "is not JSON"),
        ("config.json", b"\xff\xfe\x00", "is not JSON"),
        ("config.json", b"[]", "is not a JSON object"),
        ("tokenizer.json", PAGE, "is a web page, not the file itself"),
        ("tokenizer.json", b'{"version": "1.0", "model": {"vocab": {"a": 1,', "is cut off"),
        ("tokenizer.json", b"version: 1", "is not JSON"),
    ],
)
def test_a_text_file_with_the_wrong_content_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    folder = make_model(tmp_path)
    (folder / name).write_bytes(content)
    error = damage(folder)
    assert (error.file, error.reason) == (name, reason)


def test_what_is_no_regular_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    folder = make_model(tmp_path)
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")  # opening it for reading would wait for a writer for ever
    assert damage(folder).file == "tokenizer.json"
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").mkdir()
    assert damage(folder).file == "tokenizer.json"
