"""The native engine against CTranslate2 in float32 on the same weights: every shape that Whisper has, at random.

As many layers as keep a test short; the width, the heads, the mels and the vocabulary are the real ones. 8 bits set
both engines apart from float32: the native one no more than CTranslate2's own. The large shapes are there in all their
layers too; medium and large-v3, which take minutes and up to 9 GB, where AUTORAG_WHISPER_LARGEST_SHAPES=1 asks for it.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ctranslate2
import numpy as np
import pytest
from numpy.typing import NDArray

from autorag_whisper.domain.request import Search
from autorag_whisper.engines.native_model import Attention, NativeModel, NativeSearch
from autorag_whisper.engines.native_weights import WhisperShape, read_weights
from native_folders import LARGEST, make_folder, special_tokens

if TYPE_CHECKING:
    from collections.abc import Callable
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


WHOLE = {
    "small": shape_of(768, 80, 51865, 12, 12),
    "large-v3-turbo": shape_of(1280, 128, 51866, 32, 4),
    "medium": shape_of(1024, 80, 51865, 24, 24),
    "large-v3": shape_of(1280, 128, 51866, 32, 32),
}
AT_FULL_DEPTH = [
    "small",
    "large-v3-turbo",
    pytest.param("medium", marks=LARGEST),
    pytest.param("large-v3", marks=LARGEST),
]


@dataclass(frozen=True)
class Computed:
    """One engine's encoder output, log-probabilities of a given text's tokens, and the score of the text it writes."""

    encoded: NDArray[np.float32]
    told: NDArray[np.float32]
    score: float


NEW_TOKENS = 6


def by_native(library: NativeLibrary, folder: Path, shape: WhisperShape, mel: NDArray[np.float32]) -> Computed:
    special = special_tokens(shape.vocabulary)
    tensors = dict(read_weights(folder / "model.bin").tensors)
    tensors.pop("decoder/projection/weight")
    model = NativeModel(library, tensors, special)
    assert model.bytes == pytest.approx(library.model_bytes(shape), rel=0.02), "as was told before it was loaded"
    encoded = model.encode(mel)
    audio = model.audio(encoded)
    attention = Attention(((shape.decoder_layers - 1, 0),), mel.shape[1] // 2, 7)
    _, probabilities = model.align(audio, [special.start_of_transcript], TEXT, attention)
    search = NativeSearch(2, 0.0, 0, NEW_TOKENS, Search(), (special.end_of_text,), ())
    texts = model.generate([audio], [[special.start_of_transcript, special.no_timestamps]], search)
    assert len(texts.tokens[0]) == NEW_TOKENS
    model.close()
    return Computed(encoded, np.log(probabilities), texts.scores[0])


def by_ctranslate2(folder: Path, shape: WhisperShape, mel: NDArray[np.float32], kind: str) -> Computed:
    special = special_tokens(shape.vocabulary)
    model = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type=kind, intra_threads=2)
    view = ctranslate2.StorageView.from_array(mel[None])
    encoded = np.array(model.encode(view))[0]
    [aligned] = model.align(view, [special.start_of_transcript], [TEXT], mel.shape[1], median_filter_width=7)
    [written] = model.generate(
        view,
        [[special.start_of_transcript, special.no_timestamps]],
        beam_size=2,
        max_length=2 * NEW_TOKENS,
        suppress_blank=False,
        suppress_tokens=[special.end_of_text],
        return_scores=True,
    )
    assert len(written.sequences_ids[0]) == NEW_TOKENS
    return Computed(encoded, np.log(np.array(aligned.text_token_probs, np.float32)), written.scores[0])


TEXT = [*range(100, 4000, 500), 7, 7]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", AT_FULL_DEPTH)
def test_a_network_at_its_full_depth_computes_what_ctranslate2_computes(
    native_library: NativeLibrary, tmp_path: Path, name: str, record_property: Callable[[str, object], None]
) -> None:
    shape = WHOLE[name]
    folder = make_folder(tmp_path / "model", shape, "deep")
    mel = np.random.default_rng(1).standard_normal((shape.mels, 200)).astype(np.float32)
    try:
        native = by_native(native_library, folder, shape, mel)
        gc.collect()
        int8, wanted = (by_ctranslate2(folder, shape, mel, kind) for kind in ("int8", "float32"))
    finally:
        (folder / "model.bin").unlink()  # gigabytes that pytest would keep
    encoded, also_encoded = (apart(found.encoded, wanted.encoded) for found in (native, int8))
    off, also_off = (np.abs(found.told - wanted.told).mean() for found in (native, int8))
    record_property("encoded", (encoded, also_encoded))
    record_property("told", (off, also_off))
    record_property("scores", (native.score, int8.score, wanted.score))
    assert encoded < 1.2 * also_encoded + 0.004
    assert off < 1.5 * also_off + 0.02
    assert abs(native.score - wanted.score) < 1.5 * abs(int8.score - wanted.score) + 0.1
