"""CTC emissions on PyTorch: they agree with those of CTranslate2, and every family is batched without harm."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import transformers

from autorag_whisper.domain.alignment_errors import VocabularyUnusable
from autorag_whisper.domain.device import CPU, CUDA
from autorag_whisper.domain.errors import DeviceError, EngineError, ModelDamaged
from autorag_whisper.engines import ctranslate2_wav2vec2, wav2vec2
from autorag_whisper.recognition.ctc_alignment import ChunkText, align_words_by_ctc
from autorag_whisper.testing import speech_samples
from ctc_speech import read_speech

if TYPE_CHECKING:
    from pathlib import Path

CLIPS = [speech_samples(3), speech_samples(1), speech_samples(2)[:9000], speech_samples(3) * 0.5]


def test_both_routes_give_the_same_emissions_and_the_same_word_times(
    ctc_tiny_en_folder: Path, root: Path, tmp_path: Path
) -> None:
    spoken = read_speech(root / "tests" / "data" / "ctc-speech")
    chunks = [ChunkText(clip.samples, tuple(word.text for word in clip.words), "en") for clip in spoken]
    one = ctranslate2_wav2vec2.load(ctc_tiny_en_folder, "ctc-tiny-en", CPU, cache_dir=tmp_path)
    other = wav2vec2.load(ctc_tiny_en_folder, "ctc-tiny-en", CPU)
    samples = [chunk.samples for chunk in chunks]
    for left, right in zip(one.emit(samples), other.emit(samples), strict=True):
        assert np.abs(np.exp(left.log_probs) - np.exp(right.log_probs)).max() < 1e-4
        assert np.abs(left.log_probs - right.log_probs).max() < 1e-2
    for left, right in zip(align_words_by_ctc(one, chunks), align_words_by_ctc(other, chunks), strict=True):
        assert [(word.start_s, word.end_s) for word in left] == [(word.start_s, word.end_s) for word in right]


def test_the_committed_reference_is_what_transformers_gives(ctc_tiny_en_folder: Path, root: Path) -> None:
    [clip] = [clip for clip in read_speech(root / "tests" / "data" / "ctc-speech") if clip.name == "slt"]
    [found] = wav2vec2.load(ctc_tiny_en_folder, "ctc-tiny-en", CPU).emit([clip.samples[: 2 * 16_000]])
    assert np.abs(found.log_probs - np.load(ctc_tiny_en_folder / "reference.npy")).max() < 1e-4


@pytest.fixture(params=["layer", "group"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkpoint of each family, with random weights."""
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        vocab_size=6, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        conv_dim=[16] * 7, feat_extract_norm=request.param, conv_bias=request.param == "layer",
        do_stable_layer_norm=request.param == "layer", pad_token_id=0,
    )  # fmt: skip
    transformers.Wav2Vec2ForCTC(config).save_pretrained(tmp_path / "model")
    vocabulary = {"<pad>": 0, "|": 1, "A": 2, "B": 3, "C": 4, "<unk>": 5}
    (tmp_path / "model" / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    return tmp_path / "model"


def test_every_family_hears_a_clip_alone_as_in_company(checkpoint: Path) -> None:
    """Padding without a mask is heard as silence; a family that knows no mask must not be padded."""
    emitter = wav2vec2.load(checkpoint, "random", CPU)
    together = emitter.emit(CLIPS)
    for clip, found in zip(CLIPS, together, strict=True):
        [alone] = emitter.emit([clip])
        assert np.allclose(alone.log_probs, found.log_probs, atol=1e-4)


def test_clips_of_one_length_share_a_batch_in_every_family(checkpoint: Path) -> None:
    emitter = wav2vec2.load(checkpoint, "random", CPU)
    assert list(emitter._batches([100, 50, 100, 100])) in ([[1], [0, 2, 3]], [[1, 0, 2, 3]])
    assert list(emitter._batches([16_000 * 20] * 3)) == [[0], [1], [2]]
    assert list(emitter._batches([])) == []


def test_weights_that_were_moved_are_where_they_should_be(ctc_tiny_en_folder: Path) -> None:
    """As far as it can be tested without a card: the move that offload and restore make, and what comes of it."""
    emitter = wav2vec2.load(ctc_tiny_en_folder, "ctc-tiny-en", CPU)
    [before] = emitter.emit(CLIPS[:1])
    assert emitter._move("cpu")
    [after] = emitter.emit(CLIPS[:1])
    assert np.array_equal(before.log_probs, after.log_probs)
    assert emitter._move("meta")  # a device that every PyTorch has, and on which nothing can be computed
    assert not emitter.is_on_device
    with pytest.raises(EngineError, match="offloaded"):
        emitter.emit(CLIPS[:1])


def test_a_card_that_is_not_there_is_the_devices_fault(ctc_tiny_en_folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a card")
    with pytest.raises(DeviceError):
        wav2vec2.load(ctc_tiny_en_folder, "ctc-tiny-en", CUDA)


def test_a_folder_that_is_no_checkpoint_is_a_typed_error(checkpoint: Path) -> None:
    (checkpoint / "vocab.json").unlink()
    with pytest.raises(VocabularyUnusable):
        wav2vec2.load(checkpoint, "random", CPU)
    (checkpoint / "vocab.json").write_text('{"<pad>": 0, "a": 1}', encoding="utf-8")
    (checkpoint / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ModelDamaged):
        wav2vec2.load(checkpoint, "random", CPU)
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ModelDamaged):
        wav2vec2.load(checkpoint, "random", CPU)
