"""Models of which nothing but the encoder's vectors is there, and letter classifiers of random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.letters import LetterClassifier
from autorag_whisper.models.model_bin import Kind, Piecewise, Weights
from autorag_whisper.models.model_bin import write as write_model_bin

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RNG = np.random.default_rng(4)
VECTORS = {
    "encoder/layer_0/ffn/layer_norm/gamma": RNG.normal(size=8),
    "encoder/layer_0/ffn/linear_0/bias": RNG.normal(size=16),
}
KINDS = {np.dtype(np.float16): Kind.FLOAT16, np.dtype(np.float32): Kind.FLOAT32, np.dtype(np.int8): Kind.INT8}


def a_model(folder: Path, variables: dict[str, NDArray[np.generic]]) -> Path:
    folder.mkdir()
    pieces = [Piecewise(k, v.shape, KINDS[v.dtype], v.nbytes, [v.tobytes()]) for k, v in variables.items()]
    with (folder / "model.bin").open("wb") as file:
        write_model_bin(file, Weights(6, "WhisperSpec", 3, (), ()), pieces, [])
    return folder


def in_halves(values: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.generic]]:
    return {name: value.astype(np.float16) for name, value in values.items()}


def a_classifier(width: int = 6, hidden: int = 5, seed: int = 1) -> LetterClassifier:
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape).astype(np.float32)

    return LetterClassifier(
        some(width), np.abs(some(width)) + 0.5, some(3 * width, hidden), some(hidden), some(hidden, 4), some(4),
        some(4), ("a", "ж"),
    )  # fmt: skip
