"""A model of wav2vec2's base shape on PyTorch: what it takes, what offload gives back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.card.day import MIB, NotHereError

if TYPE_CHECKING:
    from benchmarks.card.day import Day

_LETTERS = "|ETAONIHSRDLUMWCFGYPBVK'XJQZ"


def wav2vec2(day: Day) -> None:
    """Emissions before, and after an offload and a restore."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise NotHereError(str(error)) from error
    from autorag_whisper.domain.device import Device, DeviceKind
    from autorag_whisper.engines import wav2vec2 as adapter

    torch.manual_seed(0)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.Wav2Vec2Config(
        vocab_size=len(_LETTERS) + 4, pad_token_id=0, feat_extract_norm="layer", conv_bias=True,
        do_stable_layer_norm=True, **(small | {"conv_dim": [16] * 7} if day.tiny else {}),
    )  # fmt: skip
    folder = day.work / "models" / "wav2vec2"
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3} | {letter: 4 + n for n, letter in enumerate(_LETTERS)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    device = Device(DeviceKind.CUDA if day.is_card else DeviceKind.CPU, 0)
    free = day.free_bytes() if day.is_card else 0
    emitter = adapter.load(folder, "random", device)
    sound = [
        np.random.default_rng(n).normal(0, 0.1, 16_000 * 20).astype(np.float32) for n in range(2 if day.tiny else 16)
    ]
    before = emitter.emit(sound)
    began = time.perf_counter()
    emitter.emit(sound)
    day.tell("emissions", f"{20 * len(sound) / (time.perf_counter() - began):.0f} x real time, clips of 20 s")
    if day.is_card:
        took = free - day.free_bytes()
        emitter.offload()
        kept = free - day.free_bytes()
        began = time.perf_counter()
        emitter.restore()
        back_s = time.perf_counter() - began
        shown = f"takes {took / MIB:.0f} MiB, offloaded {kept / MIB:.0f} MiB, back in {back_s:.2f} s"
        day.tell("memory", shown, ok=kept < took and back_s <= 1.0)
    after = emitter.emit(sound)
    apart = max(float(np.abs(a.log_probs - b.log_probs).max()) for a, b in zip(before, after, strict=True))
    day.tell("emissions before and after", f"differ by {apart:.1e}", ok=apart < 1e-3)
    emitter.close()
