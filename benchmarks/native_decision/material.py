"""What every engine is given: the same weights, one window of speech, and the tokens that are decoded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.compare.launch import model_folder
from benchmarks.native_decision import ggml

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = 224
"""As many as a window may have, so the sum over growing caches is the dearest one."""
WINDOW_S = 30


@dataclass(frozen=True, slots=True)
class Material:
    """A folder with `weights.npz` (float32, by CTranslate2's names), `window.npz` and the files for whisper.cpp.

    `window.npz`: `mel` float32[mels, 3000], `prompt` and `tokens` (224 ids, by greedy search in float32 with the end of
    text forbidden), `heads`, `end` (the end of text), `samples` (the whole recording, 16 kHz).
    """

    folder: Path
    model: Path


def made(recording: Path, model: str, folder: Path, seconds: float) -> Material:
    """Write it; `seconds` of the recording are kept for whole pipelines."""
    from autorag_whisper.audio.features import log_mel
    from autorag_whisper.engines.native_weights import read_weights
    from autorag_whisper.engines.tokenizer import WhisperTokenizer, read_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    source = model_folder(model)
    weights = read_weights(source / "model.bin")
    names = [name for name in weights.tensors if name != "decoder/projection/weight"]  # it is the embeddings
    arrays = {name: weights.tensors[name].as_float32() for name in names}
    multilingual = weights.shape.vocabulary >= 51_865
    tokenizer = WhisperTokenizer(source, read_tokenizer(source), multilingual=multilingual)
    samples = decoded(recording)[: int(16_000 * seconds)]
    mel = np.zeros((weights.shape.mels, 3000), np.float32)
    found = log_mel(samples[: WINDOW_S * 16_000], weights.shape.mels)[:, :3000]
    mel[:, : found.shape[1]] = found
    prompt = tokenizer.prompt("en", "transcribe")
    special = tokenizer.special_tokens
    np.savez(folder / "weights.npz", **arrays)
    np.savez(
        folder / "window.npz",
        mel=mel,
        prompt=prompt,
        tokens=reference_tokens(source, mel, prompt),
        heads=weights.shape.heads,
        special=np.array(special),
        samples=samples,
    )
    tokens = ggml.text_tokens(source / "tokenizer.json", special[1])
    for kind in ggml.FILE_TYPES:
        ggml.write(folder / f"ggml-{kind}.bin", weights.shape, arrays, tokens, kind)
    return Material(folder, source)


def decoded(recording: Path) -> np.ndarray:
    """float32[samples] at 16 kHz, one channel."""
    import av

    resampler = av.AudioResampler("flt", "mono", 16_000)
    with av.open(os.fspath(recording)) as container:
        frames = [one.to_ndarray()[0] for frame in container.decode(audio=0) for one in resampler.resample(frame)]
    return np.ascontiguousarray(np.concatenate(frames), np.float32)


def reference_tokens(folder: Path, mel: np.ndarray, prompt: tuple[int, ...]) -> list[int]:
    import ctranslate2

    model = ctranslate2.models.Whisper(os.fspath(folder), device="cpu", compute_type="float32", intra_threads=1)
    view = ctranslate2.StorageView.from_array(mel[None])
    end = [n for n in range(50_256, 50_258) if n < prompt[0]]
    [found] = model.generate(view, [list(prompt)], beam_size=1, suppress_tokens=[-1, *end], suppress_blank=False)
    return list(found.sequences_ids[0])
