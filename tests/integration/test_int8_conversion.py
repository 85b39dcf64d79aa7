"""A model whose weights were converted to int8 once."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections import namedtuple
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ctranslate2.specs.common_spec import LinearSpec

from autorag_whisper.loading import int8_weights
from autorag_whisper.loading.int8_weights import quantize, with_int8_weights
from autorag_whisper.models.model_bin import Kind, Piecewise, Weights, opened, write

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RNG = np.random.default_rng(7)
LINEAR = RNG.normal(size=(700, 8)).astype(np.float16)
EMBEDDINGS = RNG.normal(size=(3, 8)).astype(np.float32)
KEPT = {
    "encoder/conv1/weight": RNG.normal(size=(4, 2, 3)).astype(np.float16),
    "encoder/position_encodings/encodings": RNG.normal(size=(5, 8)).astype(np.float16),
    "decoder/layer_0/ffn/linear_0/bias": RNG.normal(size=(700,)).astype(np.float16),
    "decoder/layer_0/ffn/layer_norm/gamma": RNG.normal(size=(8,)).astype(np.float16),
}
KINDS = {np.dtype(np.float16): Kind.FLOAT16, np.dtype(np.float32): Kind.FLOAT32, np.dtype(np.int8): Kind.INT8}


def write_model(folder: Path, variables: dict[str, NDArray[np.generic]]) -> None:
    written = [
        Piecewise(name, value.shape, KINDS[value.dtype], value.nbytes, [value.tobytes()])
        for name, value in variables.items()
    ]
    with (folder / "model.bin").open("wb") as file:
        write(
            file,
            Weights(6, "WhisperSpec", 3, (), ()),
            written,
            [("decoder/projection/weight", "decoder/embeddings/weight")],
        )


def read_model(folder: Path) -> tuple[dict[str, NDArray[np.generic]], tuple[tuple[str, str], ...]]:
    kinds = {int(kind): kept for kept, kind in KINDS.items()}
    with opened(folder / "model.bin") as (weights, data):
        values = {
            v.name: np.frombuffer(data[v.at : v.at + v.size], kinds[v.kind]).reshape(v.shape) for v in weights.variables
        }
        return values, weights.aliases


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    write_model(
        folder, {"decoder/embeddings/weight": EMBEDDINGS, "decoder/layer_0/ffn/linear_0/weight": LINEAR, **KEPT}
    )
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_matrices_are_int8_with_a_scale_and_everything_else_is_as_it_was(model: Path, tmp_path: Path) -> None:
    made = with_int8_weights(model, tmp_path / "cache")
    values, aliases = read_model(made)
    for name, value in (("decoder/embeddings", EMBEDDINGS), ("decoder/layer_0/ffn/linear_0", LINEAR)):
        assert values[f"{name}/weight"].dtype == np.int8
        restored = values[f"{name}/weight"] / values[f"{name}/weight_scale"][:, None]
        assert np.abs(restored - value).max() <= np.abs(value).max() / 127 / 2 * 1.001
    for name, value in KEPT.items():
        assert np.array_equal(values[name], value)
    assert aliases == (
        ("decoder/projection/weight", "decoder/embeddings/weight"),
        ("decoder/projection/weight_scale", "decoder/embeddings/weight_scale"),
    )
    assert (made / "tokenizer.json").samefile(model / "tokenizer.json")
    assert (made / "config.json").samefile(model / "config.json")


@pytest.mark.parametrize("zeros", [False, True], ids=["numbers", "a row of zeros"])
def test_the_numbers_are_those_of_the_engines_own_converter(*, zeros: bool) -> None:
    values = RNG.normal(size=(9, 33)).astype(np.float16).astype(np.float32)
    values[4] *= not zeros
    spec = LinearSpec()
    spec.weight, spec.bias = values.copy(), np.zeros(9, np.float32)
    spec.validate()
    spec.optimize("int8")
    made = quantize(values)
    assert np.array_equal(made.rows, spec.weight.numpy())
    assert np.array_equal(made.scales, spec.weight_scale.numpy())


def test_it_is_made_once_and_again_when_the_model_was_replaced(model: Path, tmp_path: Path) -> None:
    made = with_int8_weights(model, tmp_path / "cache")
    inode = (made / "model.bin").stat().st_ino
    assert with_int8_weights(model, tmp_path / "cache") == made
    assert (made / "model.bin").stat().st_ino == inode
    write_model(model, {"decoder/layer_0/ffn/linear_0/weight": LINEAR[:2]})
    assert with_int8_weights(model, tmp_path / "cache") == made
    assert read_model(made)[0]["decoder/layer_0/ffn/linear_0/weight"].shape == (2, 8)
    assert [path.name for path in (tmp_path / "cache" / "int8").iterdir() if path.is_dir()] == [made.name]


@pytest.mark.parametrize("damage", ["cut off", "no note", "a link is gone"])
def test_what_is_not_whole_is_made_again(model: Path, tmp_path: Path, damage: str) -> None:
    made = with_int8_weights(model, tmp_path / "cache")
    whole = (made / "model.bin").read_bytes()
    if damage == "cut off":
        (made / "model.bin").write_bytes(whole[:-1])
    elif damage == "no note":
        (made / "made_of.json").unlink()
    else:
        (made / "tokenizer.json").unlink()
    assert with_int8_weights(model, tmp_path / "cache") == made
    assert (made / "model.bin").read_bytes() == whole
    assert (made / "tokenizer.json").exists()


def test_a_model_that_is_int8_already_is_itself(model: Path, tmp_path: Path) -> None:
    write_model(model, {"decoder/layer_0/ffn/linear_0/weight": LINEAR.astype(np.int8), **KEPT})
    assert with_int8_weights(model, tmp_path / "cache") == model
    assert not (tmp_path / "cache").exists()


def test_many_at_once_get_one_whole_folder(model: Path, tmp_path: Path) -> None:
    made: list[Path] = []
    threads = [
        threading.Thread(target=lambda: made.append(with_int8_weights(model, tmp_path / "cache"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [made[0]] * 8
    assert [path for path in (tmp_path / "cache" / "int8").iterdir() if path.is_dir()] == [made[0]]
    assert "decoder/embeddings/weight_scale" in read_model(made[0])[0]


def test_what_was_made_of_a_model_that_is_gone_goes_with_the_next_one(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(model, other)
    old = with_int8_weights(other, tmp_path / "cache")
    left_by_a_killed_process = old.with_name(f".{with_int8_weights(model, tmp_path / 'elsewhere').name}.tmp-x")
    left_by_a_killed_process.mkdir()
    shutil.rmtree(other)
    made = with_int8_weights(model, tmp_path / "cache")
    assert [path for path in made.parent.iterdir() if path.is_dir()] == [made]


def test_a_disk_that_would_be_full_is_left_alone(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nearly_full = namedtuple("nearly_full", "free")(2 * (model / "model.bin").stat().st_size - 1)
    monkeypatch.setattr(int8_weights.shutil, "disk_usage", lambda _path: nearly_full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        with_int8_weights(model, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache" / "int8").iterdir() if path.is_dir()]


def test_a_cut_off_model_is_refused_and_leaves_nothing_behind(model: Path, tmp_path: Path) -> None:
    weights = (model / "model.bin").read_bytes()
    (model / "model.bin").write_bytes(weights[:50])
    with pytest.raises(ValueError, match="cut off"):
        with_int8_weights(model, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_the_note_says_what_it_was_made_of(model: Path, tmp_path: Path) -> None:
    note = json.loads((with_int8_weights(model, tmp_path / "cache") / "made_of.json").read_text())
    assert note["folder"] == str(model)
