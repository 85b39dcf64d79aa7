"""Model folders as fine-tuners and converters leave them: completed of what is there, or one error that mends them."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.engines.tokenizer import read_tokenizer
from autorag_whisper.models.byte_vocabulary import ByteVocabulary, read_tokens
from autorag_whisper.models.completion import completed
from autorag_whisper.models.store import ModelStore
from autorag_whisper.settings import Settings
from model_folders import make_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = ("config.json", "model.bin", "tokenizer.json", "vocabulary.txt")
TEXTS = (
    " Hello, world! It's 5:30 — naïve café, don't I'll we've 123456",
    "你好，世界。今天天气",  # noqa: RUF001 - Chinese marks
    " Привет, как дела?",
    " 한국어 텍스트",
    " ακρίβεια 🙂 👨‍👩‍👧",
)


def packaged(model: str) -> Path:
    return ModelStore(environ=os.environ, offline=True).resolve(model).folder


def laid_out(folder: Path, model: str = "tiny.en", files: tuple[str, ...] = FILES) -> Path:
    """A model's folder of links, whose configuration may be changed."""
    folder.mkdir(parents=True)
    for name in files:
        source = packaged(model) / name
        if name == "config.json":
            shutil.copy(source, folder)
        else:
            (folder / name).symlink_to(source)
    return folder


def configured(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def state(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((p.name, p.lstat().st_size, p.lstat().st_mtime_ns) for p in folder.rglob("*"))


def words(folder: Path, cache: Path, sample: Path, language: str | None = "en") -> list[str]:
    settings = Settings(cache_dir=cache, offline=True)
    with build_transcriber(settings) as transcriber:
        transcript = transcriber.transcribe(sample, TranscribeOptions(language=language), model=str(folder))
    return [word.text for word in transcript.words]


def without(*keys: str) -> Callable[[Path], Path]:
    return lambda folder: configured(laid_out(folder), lambda config: [config.pop(key) for key in keys])


def wrong(folder: Path) -> Path:
    bad = {"suppress_ids": None, "suppress_ids_begin": "none", "lang_ids": [1.5], "alignment_heads": [[99, 0]]}
    return configured(laid_out(folder), lambda config: config.update(bad))


def in_a_subfolder(folder: Path) -> Path:
    laid_out(folder / "export" / "ct2")
    return folder


def of_transformers_names(folder: Path) -> Path:
    """vocab.json and merges.txt as `transformers` leaves them, and no list of the engine's."""
    laid_out(folder, files=("config.json", "model.bin"))
    told = json.loads((packaged("tiny.en") / "tokenizer.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(told["model"]["vocab"]))
    (folder / "added_tokens.json").write_text(json.dumps({one["content"]: one["id"] for one in told["added_tokens"]}))
    return folder


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "no suppress_ids": without("suppress_ids"),
    "no ids at all": without("suppress_ids", "suppress_ids_begin", "lang_ids"),
    "no heads": without("alignment_heads"),
    "wrong types": wrong,
    "no config": lambda folder: laid_out(folder, files=("model.bin", "tokenizer.json", "vocabulary.txt")),
    "no tokenizer": lambda folder: laid_out(folder, files=("config.json", "model.bin", "vocabulary.txt")),
    "no vocabulary": lambda folder: laid_out(folder, files=("config.json", "model.bin", "tokenizer.json")),
    "vocab.json": of_transformers_names,
    "subfolder": in_a_subfolder,
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, demo_sample: Path) -> list[str]:
    folder = tmp_path_factory.mktemp("whole")
    return words(laid_out(folder / "model"), folder / "cache", demo_sample)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_can_be_derived_is_and_the_folder_is_left_as_it_was(
    layout: str, tmp_path: Path, demo_sample: Path, expected: list[str]
) -> None:
    # Each file of the run failed with "[json.exception.type_error.302] type must be number, but is number".
    folder = LAYOUTS[layout](tmp_path / "model")
    before = state(folder)
    assert words(folder, tmp_path / "cache", demo_sample) == expected
    assert state(folder) == before


@pytest.mark.slow
def test_languages_are_found_without_lang_ids(tmp_path: Path, demo_sample: Path) -> None:
    folder = configured(laid_out(tmp_path / "model", "base"), lambda config: config.pop("lang_ids"))
    assert len(words(folder, tmp_path / "cache", demo_sample, None)) > 10


@pytest.mark.parametrize("wrong", [[], [50258], [0, 1, 2], list(range(50260, 50360)), [50359]], ids=str)
def test_ids_of_languages_that_are_none_are_derived_anew(wrong: list[int], tmp_path: Path) -> None:
    """In range and of no language: each language was then found with some other token's probability, or none at all."""
    folder = configured(laid_out(tmp_path / "model", "base"), lambda config: config.update(lang_ids=wrong))
    derived = json.loads((completed(folder, "mine", tmp_path / "cache") / "config.json").read_text())
    assert derived["lang_ids"] == list(range(50259, 50358))


def test_a_choice_of_languages_is_left_as_it_is(tmp_path: Path) -> None:
    folder = configured(laid_out(tmp_path / "model", "base"), lambda config: config.update(lang_ids=[50259, 50261]))
    assert completed(folder, "mine", tmp_path / "cache") == folder


@pytest.mark.parametrize("model", ["base", "tiny.en"])
def test_what_is_derived_is_what_the_converter_wrote(model: str, tmp_path: Path) -> None:
    folder = laid_out(tmp_path / "model", model, ("model.bin", "vocabulary.txt"))
    made, whole = completed(folder, "mine", tmp_path / "cache"), packaged(model)
    derived, written = (json.loads((one / "config.json").read_text()) for one in (made, whole))
    assert derived["suppress_ids"] == written["suppress_ids"]
    assert derived["suppress_ids_begin"] == written["suppress_ids_begin"]
    if model == "base":
        assert derived["lang_ids"] == written["lang_ids"]
    ours, theirs = read_tokenizer(made), read_tokenizer(whole)
    assert ours.get_vocab() == theirs.get_vocab()
    for text in TEXTS:
        assert ours.encode(text, add_special_tokens=False).ids == theirs.encode(text, add_special_tokens=False).ids
    ids = list(range(0, 50_000, 7))
    assert ours.decode(ids) == theirs.decode(ids)
    assert completed(folder, "mine", tmp_path / "cache") == made


def test_a_whole_folder_is_used_as_it_is(tmp_path: Path) -> None:
    folder = laid_out(tmp_path / "model")
    assert completed(folder, "mine", tmp_path / "cache") == folder
    assert not (tmp_path / "cache").exists()


def test_the_merges_follow_from_the_tokens() -> None:
    tokens = read_tokens(packaged("tiny.en"))
    assert tokens is not None
    told = json.loads((packaged("tiny.en") / "tokenizer.json").read_text())["model"]["merges"]
    assert ByteVocabulary(tokens).merges() == [tuple(pair.split()) for pair in told]


# ---------------------------------------------------------------- what is no such folder


def refused(folder: Path, cache: Path) -> ModelDamaged:
    """The one error, at load, before any audio."""
    settings = Settings(cache_dir=cache, offline=True)
    with build_transcriber(settings) as transcriber, pytest.raises(ModelDamaged) as caught:
        transcriber.load(transcriber.model(str(folder)))
    return caught.value


CONVERT = "ct2-transformers-converter --model"
FOUND: dict[str, tuple[dict[str, bytes], str, str]] = {
    "transformers": (
        {"model.safetensors": b"x", "config.json": b"{}", "tokenizer.json": b"{}"},
        "transformers",
        CONVERT,
    ),
    "transformers, sharded": (
        {"pytorch_model.bin.index.json": b"{}", "vocab.json": b"{}"},
        "transformers",
        "vocab.json",
    ),
    "ggml": ({"ggml-base.bin": b"lmgg" + bytes(9)}, "whisper.cpp", "name the checkpoint"),
    "gguf": ({"base.gguf": b"GGUF" + bytes(9)}, "whisper.cpp", "name the checkpoint"),
    "openai-whisper": ({"base.pt": b"PK\x03\x04" + bytes(9)}, "openai-whisper", "convert_openai_to_hf"),
    "onnx": ({"encoder_model.onnx": b"x", "config.json": b"{}"}, "ONNX", "name the checkpoint"),
    "mlx": ({"weights.npz": b"PK", "config.json": b"{}"}, "MLX", "name the checkpoint"),
    "mlx, safetensors": ({"model.safetensors": b"x", "config.json": b'{"n_audio_state": 512}'}, "MLX", "name the"),
    "adapter": ({"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"}, "adapter", "merge_and_unload"),
    "nothing": ({"README.md": b"x"}, "model.bin", "models pull"),
}


@pytest.mark.parametrize("found", FOUND)
def test_another_layout_is_told_with_what_makes_a_model_of_it(found: str, tmp_path: Path) -> None:
    files, reason, how = FOUND[found]
    (tmp_path / "mine").mkdir()
    for name, content in files.items():
        (tmp_path / "mine" / name).write_bytes(content)
    error = refused(tmp_path / "mine", tmp_path / "cache")
    assert reason in error.problem()
    assert how in error.remedy


@pytest.mark.parametrize(
    ("name", "content"), [("base.pt", b"PK\x03\x04"), ("ggml-base.bin", b"lmgg"), ("a.onnx", b"x")]
)
def test_a_file_of_another_program_is_told_apart(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content + bytes(20))
    error = refused(tmp_path / name, tmp_path / "cache")
    assert error.file == name
    assert error.remedy


@pytest.mark.parametrize("lost", ["config.json", "tokenizer.json", "vocabulary.txt"])
def test_what_cannot_be_derived_is_named_with_the_command(tmp_path: Path, lost: str) -> None:
    folder = make_model(tmp_path / "mine")  # its tokens are none of Whisper's
    (folder / lost).unlink()
    error = refused(folder, tmp_path / "cache")
    assert error.file in (lost, "vocabulary.json")
    assert f"{CONVERT} CHECKPOINT" in error.remedy


def test_several_models_in_one_folder_are_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_model(tmp_path / "mine" / name)
    assert "one, two" in refused(tmp_path / "mine", tmp_path / "cache").problem()


def test_a_cache_that_cannot_be_written_is_told_with_what_has_to_be_derived(tmp_path: Path) -> None:
    folder = laid_out(tmp_path / "model", files=("model.bin", "vocabulary.txt"))
    (tmp_path / "file").write_text("")
    error = refused(folder, tmp_path / "file" / "cache")
    assert "config.json, tokenizer.json" in error.problem()
