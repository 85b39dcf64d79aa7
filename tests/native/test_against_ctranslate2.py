"""The native engine against CTranslate2 in float32 on the same weights: every shape that Whisper has, at random.

As many layers as keep a test short; the width, the heads, the mels and the vocabulary are the real ones. 8 bits set
both engines apart from float32: the native one no more than CTranslate2's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ctranslate2
import numpy as np
import pytest
from numpy.typing import NDArray

from autorag_whisper.engines.native_model import Attention, NativeModel
from autorag_whisper.engines.native_weights import WhisperShape, read_weights
from native_folders import make_folder, special_tokens

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.engines.native_library import NativeLibrary


def shape_of(width: int, mels: int, vocabulary: int, encoder_layers: int = 1, decoder_layers: int = 1) -> WhisperShape:
    return WhisperShape(mels, width, width // 64, 4 * width, encoder_layers, decoder_layers, vocabulary, 1500, 448)


SHAPES = {
    "tiny.en": shape_of(384, 80, 51864, 2, 2),
    "base": shape_of(512, 80, 51865, 2, 2),
    "medium": shape_of(1024, 80, 51865),
    "large-v3": shape_of(1280, 128, 51866),
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in SHAPES if name != "tiny.en"]


def apart(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    return float(np.sqrt(((found - wanted) ** 2).mean() / (wanted**2).mean()))


@pytest.mark.parametrize("name", ["tiny.en", *SLOW])
def test_a_network_computes_what_ctranslate2_computes(native_library: NativeLibrary, tmp_path: Path, name: str) -> None:
    shape = SHAPES[name]
    folder = make_folder(tmp_path / "model", shape, "float16")
    special = special_tokens(shape.vocabulary)
    tensors = dict(read_weights(folder / "model.bin").tensors)
    tensors.pop("decoder/projection/weight")
    native = NativeModel(native_library, tensors, special)
    mel = np.random.default_rng(1).standard_normal((shape.mels, 600)).astype(np.float32)
    view = ctranslate2.StorageView.from_array(mel[None])
    encoded = native.encode(mel)
    text, start = [*range(100, 4000, 130), 7, 7], special.start_of_transcript
    starts, probabilities = native.align(native.audio(encoded), [start], text, _heads(shape))
    outputs, told = dict[str, NDArray[np.float32]](), dict[str, NDArray[np.float32]]()
    for kind in ("float32", "int8"):
        reference = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type=kind, intra_threads=1)
        outputs[kind] = np.array(reference.encode(view))[0]
        [aligned] = reference.align(view, [start], [text], 600, median_filter_width=7)
        told[kind] = np.log(np.array(aligned.text_token_probs, np.float32))
    wanted = outputs["float32"]
    assert apart(encoded, wanted) < 1.2 * apart(outputs["int8"], wanted) + 0.004
    off, also_off = (np.abs(found - told["float32"]).mean() for found in (np.log(probabilities), told["int8"]))
    assert off < 1.5 * also_off + 0.02
    assert (np.diff(starts) >= 0).all()


def _heads(shape: WhisperShape) -> Attention:
    return Attention(((shape.decoder_layers - 1, 0),), 300, 7)
