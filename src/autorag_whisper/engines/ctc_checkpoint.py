"""A folder with a CTC checkpoint as the hub has them: config, vocabulary, how its sound is prepared, weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.align.spelling import CtcVocabulary
from autorag_whisper.domain.errors import ModelDamaged

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.domain.audio import Samples

CONFIG, VOCABULARY, PREPROCESSOR, WEIGHTS = "config.json", "vocab.json", "preprocessor_config.json", "model.safetensors"


@dataclass(frozen=True, slots=True)
class CtcCheckpoint:
    """What a folder says of its model, weights apart.

    `hop` and `field`: samples between two frames, and samples that one frame sees. `normalise`: the model was trained
    on sound of mean 0 and variance 1.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    vocabulary: CtcVocabulary
    normalise: bool
    hop: int
    field: int

    @property
    def is_layer_norm_family(self) -> bool:
        """Whether it is shaped as LV60-large, XLSR-53, XLS-R and MMS-300m are, and not as base-960h is."""
        return self.config.get("feat_extract_norm") == "layer" and bool(self.config.get("do_stable_layer_norm"))

    def prepare(self, samples: Samples) -> Samples:
        """As the model wants it: normalised where it was trained so, and never shorter than one frame."""
        sound = samples.astype(np.float32)
        if self.normalise and len(sound):
            sound = ((sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)).astype(np.float32)
        return np.pad(sound, (0, self.field - len(sound))) if len(sound) < self.field else sound


def read_checkpoint(folder: Path, name: str) -> CtcCheckpoint:
    """Read a checkpoint's folder.

    Raises ModelDamaged (a file is missing or no JSON, or it is no CTC model), VocabularyUnusable.
    """
    config = _object(folder, CONFIG, name)
    kernels: Any = config.get("conv_kernel")
    strides: Any = config.get("conv_stride")
    size = config.get("vocab_size", 32)
    if not (_are_counts(kernels) and _are_counts(strides) and _are_counts([size])):
        raise ModelDamaged(name, CONFIG, "it describes no wav2vec2 model")
    prepared = _object(folder, PREPROCESSOR, name) if (folder / PREPROCESSOR).is_file() else {}
    tokens = _object(folder, VOCABULARY, name) if (folder / VOCABULARY).is_file() else None
    field, hop = 1, 1
    for kernel, stride in zip(kernels, strides, strict=False):
        field += (kernel - 1) * hop
        hop *= stride
    return CtcCheckpoint(
        folder=folder,
        name=name,
        config=config,
        vocabulary=CtcVocabulary.read(tokens, config.get("pad_token_id"), size),
        normalise=bool(prepared.get("do_normalize", True)),
        hop=hop,
        field=field,
    )


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """float32, the natural logarithms of probabilities that sum to 1 over the last axis."""
    shifted = logits.astype(np.float32) - logits.max(axis=-1, keepdims=True)
    found: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found


def _object(folder: Path, file: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelDamaged(name, file, f"cannot be read ({type(error).__name__})") from error
    if not isinstance(found, dict):
        raise ModelDamaged(name, file, "is no JSON object")
    return found


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(n, int) and n > 0 for n in values)
