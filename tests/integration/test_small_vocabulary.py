"""A model cut down to what spelling needs."""

from __future__ import annotations

import json
import os
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.loading import small_vocabulary
from autorag_whisper.loading.small_vocabulary import with_small_vocabulary

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.engines.speller import SmallVocabulary

TOKENS = [f"t{n}" for n in range(40)] + ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>", "<|0.00|>"]
WIDTH = 2


def name(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def variable(text: str, shape: tuple[int, ...], data: bytes) -> bytes:
    return name(text) + struct.pack(f"<B{len(shape)}IBI", len(shape), *shape, 1, len(data)) + data


def model_bin(decoder_layers: int = 2) -> bytes:
    """Weights of a byte each; a token's two embeddings are its number, twice."""
    variables = [variable("encoder/conv1/weight", (1,), b"c")]
    variables += [variable(f"encoder/layer_{n}/ffn/linear_0/weight", (1,), b"e") for n in range(3)]
    variables += [variable("encoder/layer_norm/gamma", (1,), b"n")]
    embeddings = b"".join(bytes([n, n]) for n in range(len(TOKENS)))
    variables += [variable("decoder/embeddings/weight", (len(TOKENS), WIDTH), embeddings)]
    variables += [variable("decoder/embeddings/weight_scale", (len(TOKENS),), bytes(range(len(TOKENS))))]
    variables += [variable(f"decoder/layer_{n}/ffn/linear_0/weight", (1,), b"d") for n in range(decoder_layers)]
    variables += [variable("decoder/activation", (), b"a")]
    alias = name("decoder/projection/weight") + name("decoder/embeddings/weight")
    head = struct.pack("<I", 6) + name("WhisperSpec") + struct.pack("<II", 3, len(variables))
    return head + b"".join(variables) + struct.pack("<I", 1) + alias


@pytest.fixture(autouse=True)
def _ten_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_vocabulary, "KEPT", 10)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.bin").write_bytes(model_bin())
    (folder / "config.json").write_text('{"alignment_heads": [[1, 3]], "suppress_ids": [1, 2], "lang_ids": [7]}')
    (folder / "vocabulary.txt").write_text("\n".join(TOKENS) + "\n")
    return folder


def made_of(model: Path, tmp_path: Path) -> SmallVocabulary:
    made = with_small_vocabulary(model, tmp_path / "cache")
    assert made is not None
    return made


def test_the_first_tokens_and_the_special_ones_stay_with_the_heads(model: Path, tmp_path: Path) -> None:
    made = made_of(model, tmp_path)
    assert (made.folder / "vocabulary.txt").read_text().split() == [*TOKENS[:10], *TOKENS[40:43]]
    assert json.loads((made.folder / "config.json").read_text())["alignment_heads"] == [[1, 3]]
    weights = (made.folder / "model.bin").read_bytes()
    rows = b"".join(bytes([n, n]) for n in (*range(10), 40, 41, 42))
    assert variable("decoder/embeddings/weight", (13, WIDTH), rows) in weights
    assert variable("decoder/embeddings/weight_scale", (13,), bytes([*range(10), 40, 41, 42])) in weights


def test_of_the_encoder_a_stump_is_kept_and_of_the_decoder_every_layer(model: Path, tmp_path: Path) -> None:
    weights = (made_of(model, tmp_path).folder / "model.bin").read_bytes()
    assert weights.count(b"encoder/layer_") == 2  # the first layer, and the norm behind the last
    assert all(f"decoder/layer_{n}/ffn".encode() in weights for n in range(2))
    assert weights.endswith(name("decoder/projection/weight") + name("decoder/embeddings/weight"))


def test_ids_are_those_of_the_model_for_text_and_follow_it_for_the_rest(model: Path, tmp_path: Path) -> None:
    made = made_of(model, tmp_path)
    assert made.knows([0, 9])
    assert not made.knows([0, 10])
    assert [made.special(TOKENS.index(token)) for token in ("<|endoftext|>", "<|notimestamps|>")] == [10, 12]


def test_a_vocabulary_in_json_stays_in_json(model: Path, tmp_path: Path) -> None:
    (model / "vocabulary.txt").unlink()
    (model / "vocabulary.json").write_text(json.dumps(TOKENS))
    made = made_of(model, tmp_path)
    assert json.loads((made.folder / "vocabulary.json").read_text()) == [*TOKENS[:10], *TOKENS[40:43]]


def test_it_is_made_once_and_again_when_the_model_was_replaced(model: Path, tmp_path: Path) -> None:
    first = made_of(model, tmp_path)
    inode = (first.folder / "model.bin").stat().st_ino
    assert made_of(model, tmp_path) == first
    assert (first.folder / "model.bin").stat().st_ino == inode
    os.utime(model / "model.bin", ns=(1, 1))
    assert made_of(model, tmp_path) != first


def test_many_at_once_get_one_whole_folder(model: Path, tmp_path: Path) -> None:
    made: list[SmallVocabulary] = []
    threads = [threading.Thread(target=lambda: made.append(made_of(model, tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1
    found = [path for path in (tmp_path / "cache" / "spelling").iterdir() if path.suffix != ".lock"]
    assert found == [made[0].folder]


def test_where_the_vocabulary_is_a_small_part_none_is_made(model: Path, tmp_path: Path) -> None:
    (model / "model.bin").write_bytes(model_bin(decoder_layers=4))  # 44 tokens against 7 x 2 x 4
    assert with_small_vocabulary(model, tmp_path / "cache") is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("cut", [3, 40, 300])
def test_weights_that_are_cut_off_are_refused_and_leave_nothing_behind(model: Path, tmp_path: Path, cut: int) -> None:
    (model / "model.bin").write_bytes(model_bin()[:cut])
    with pytest.raises(ValueError, match="cut off"):
        with_small_vocabulary(model, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
