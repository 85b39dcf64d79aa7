"""Whisper folders of any shape with random weights, which CTranslate2 loads too."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from autorag_whisper.engines.native_model import SpecialTokens
from native_models import random_model, write_deep_model

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.engines.native_weights import WhisperShape

ARE_LARGEST_ASKED_FOR = os.environ.get("AUTORAG_WHISPER_LARGEST_SHAPES") == "1"  # noqa: TID251 - of the tests alone
LARGEST = pytest.mark.skipif(
    not ARE_LARGEST_ASKED_FOR, reason="minutes and gigabytes: AUTORAG_WHISPER_LARGEST_SHAPES=1 runs it"
)


def special_tokens(vocabulary: int) -> SpecialTokens:
    """As every Whisper has them at the end of its vocabulary, before 1,501 timestamps."""
    first_time = vocabulary - 1501
    end = 50257 if vocabulary >= 51865 else 50256
    return SpecialTokens(end + 1, end, no_speech=first_time - 2, no_timestamps=first_time - 1)


def make_folder(folder: Path, shape: WhisperShape, kind: str, seed: int = 0) -> Path:
    """`kind` as of `random_model`, or deep: int8, and of any depth. The last layer's first head aligns."""
    special = special_tokens(shape.vocabulary)
    names = {
        special.start_of_transcript: "<|startoftranscript|>",
        special.end_of_text: "<|endoftext|>",
        special.no_speech: "<|nospeech|>",
        special.no_timestamps: "<|notimestamps|>",
    }
    folder.mkdir()
    if kind == "deep":
        write_deep_model(folder / "model.bin", shape, seed)
    else:
        (folder / "model.bin").write_bytes(random_model(shape, kind, seed).to_bytes())
    words = [names.get(n, f"w{n}") for n in range(shape.vocabulary)]
    (folder / "vocabulary.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    heads = [[shape.decoder_layers - 1, 0]]
    config = {"alignment_heads": heads, "lang_ids": [special.start_of_transcript + n for n in (1, 2, 3)]}
    config |= {"suppress_ids": [], "suppress_ids_begin": []}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
