"""Whatever a model's folder holds: it resolves, or the error is a typed one that names a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autorag_whisper.domain.errors import ModelDamaged
from autorag_whisper.models.model_bin import Kind
from autorag_whisper.models.store import ModelStore
from native_models import EMBEDDINGS, random_model

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = [*(chr(n) for n in range(33, 54)), "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
WHOLE = {
    "config.json": b'{"alignment_heads": [[0, 0]], "lang_ids": [], "suppress_ids": [], "suppress_ids_begin": []}',
    "vocabulary.json": json.dumps(TOKENS).encode(),
    "model.bin": random_model().to_bytes(),
}
SHAPES = [(), (24,), (2, 3, 4), (1, 1), (0, 16), (24, 0)]
FILES = st.sampled_from(["config.json", "vocabulary.json", "vocabulary.txt", "tokenizer.json", "vocab.json"])
NAMED = {"model.bin", "config.json", "tokenizer.json", "vocabulary.json", "vocabulary.txt"}
NESTED = b"[" * 100_000
TEXTS = [
    b"", b"\n", b"[]", b"{}", b"null", b"1", b'"x"', b"NaN", b"1e999", b"\xff\xfe", b"9" * 5000, NESTED,
    b'{"a":' * 50_000, b'{"suppress_ids": 3}', b'{"suppress_ids": [1e999]}', b'{"alignment_heads": [[1]]}',
    b'{"alignment_heads": {}}', b'{"lang_ids": [true]}', b"[1, 2]", b'["<|endoftext|>"]', b'[["a"], "<|endoftext|>"]',
    b'{"model": {"vocab": {"a": 0, "<|endoftext|>": 1}}}', b'{"model": {"vocab": {"a": "0", "<|endoftext|>": 1}}}',
    b'{"model": {"vocab": [1]}, "added_tokens": [{"id": [1], "content": "x"}]}',
    b'{"model": {"vocab": {}}, "added_tokens": [{"id": 0, "content": ["x"]}]}', b'{"added_tokens": 5}',
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return ModelStore(cache_dir=tmp_path_factory.mktemp("cache"), offline=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folder")


@given(
    changed=st.dictionaries(FILES, st.sampled_from(TEXTS) | st.binary(max_size=40) | st.none(), max_size=2),
    shape=st.none() | st.sampled_from(SHAPES),
)
@example(changed={}, shape=None)
@example(changed={"config.json": NESTED}, shape=None)
@example(changed={}, shape=(24,))
def test_odd_files_are_a_model_or_a_typed_error(
    store: ModelStore, folder: Path, changed: dict[str, bytes | None], shape: tuple[int, ...] | None
) -> None:
    files = dict[str, bytes | None](WHOLE) | changed
    if shape is not None:
        table = np.zeros(shape, np.int8)
        files["model.bin"] = random_model().with_variable(EMBEDDINGS, table, Kind.INT8).to_bytes()
    for file in folder.iterdir():
        file.unlink()
    for name, content in files.items():
        if content is not None:
            (folder / name).write_bytes(content)
    try:
        found = store.resolve(str(folder))
    except ModelDamaged as error:
        damage = error
    else:
        assert (found.folder / "model.bin").is_file()
        return
    assert damage.file in NAMED
    assert "\n" not in damage.problem()
