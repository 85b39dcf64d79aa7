"""The same stages by the native engine or CTranslate2: `python -m ...own_stages FOLDER MODEL native:avx2`.

Searches are real: greedy and beams of 5 with the end of text forbidden, so that 224 tokens are written. Their time has
the keys and values of the audio in it, which the peers' encoders make.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.native_decision.material import TOKENS
from benchmarks.native_decision.peer_stages import BATCH_TOKENS, spent_ms


class Engine(Protocol):
    def encode(self, mel: np.ndarray) -> Any: ...
    def decode(self, encoded: Any, windows: int, beams: int, count: int) -> list[int]:
        """The tokens of the first window, so many."""
        ...


class Native:
    """`name`: the instruction set, "" for the best."""

    def __init__(self, model: Path, window: Any, name: str) -> None:
        from autorag_whisper.engines.native import _given, read_config
        from autorag_whisper.engines.native_library import native_library
        from autorag_whisper.engines.native_model import NativeModel, SpecialTokens
        from autorag_whisper.engines.native_weights import read_weights

        self.special = SpecialTokens(*window["special"].tolist())
        self.model = NativeModel(native_library(), _given(read_weights(model / "model.bin")), self.special, name)
        self.prompt = window["prompt"].tolist()
        self.suppressed = (*read_config(model, "base").suppressed, self.special.end_of_text)

    def encode(self, mel: np.ndarray) -> np.ndarray:
        return self.model.encode(mel)

    def decode(self, encoded: np.ndarray, windows: int, beams: int, count: int) -> list[int]:
        from autorag_whisper.domain.request import Search
        from autorag_whisper.engines.native_model import NativeSearch

        search = NativeSearch(beams, 0.0, 0, count, Search(), tuple(sorted(set(self.suppressed))), ())
        heard = [self.model.audio(encoded) for _ in range(windows)]
        return list(self.model.generate(heard, [self.prompt] * windows, search).tokens[0])


class CTranslate2:
    """`name`: the compute type."""

    def __init__(self, model: Path, window: Any, name: str) -> None:
        import ctranslate2

        self.model = ctranslate2.models.Whisper(
            os.fspath(model), device="cpu", compute_type=name or "int8", intra_threads=1, inter_threads=1
        )
        self.array = ctranslate2.StorageView.from_array
        self.prompt, self.end = window["prompt"].tolist(), int(window["special"][1])

    def encode(self, mel: np.ndarray) -> Any:
        return self.model.encode(self.array(np.ascontiguousarray(mel[None])), to_cpu=True)

    def decode(self, encoded: Any, windows: int, beams: int, count: int) -> list[int]:
        view = self.array(np.repeat(np.array(encoded), windows, 0)) if windows > 1 else encoded
        found = self.model.generate(
            view,
            [self.prompt] * windows,
            beam_size=beams,
            max_length=2 * count,
            suppress_blank=False,
            suppress_tokens=[-1, self.end],
        )
        return list(found[0].sequences_ids[0])


def measured(engine: Engine, window: Any) -> dict[str, float]:
    """Processor milliseconds: of a window encoded; of a token of a window, greedy, with 5 beams, and of 8 windows."""
    mel = window["mel"]
    encoded = engine.encode(mel)  # the first is not counted
    found = {"encode_ms": spent_ms(lambda: engine.encode(mel), 3)}
    for name, windows, beams, count in (
        ("greedy_ms", 1, 1, TOKENS),
        ("beam_ms", 1, 5, TOKENS),
        ("batch_ms", 8, 5, BATCH_TOKENS),
    ):
        began = time.process_time()
        written = engine.decode(encoded, windows, beams, count)
        found[name] = 1000 * (time.process_time() - began) / (windows * count)
        assert len(written) == count
        if beams == 1:
            told = written
    wanted = window["tokens"].tolist()
    same = next((n for n, pair in enumerate(zip(told, wanted, strict=True)) if pair[0] != pair[1]), TOKENS)
    return found | {"alike": same / TOKENS}


def main() -> None:
    folder, model, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    kind, _, variant = name.partition(":")
    window = np.load(folder / "window.npz")
    made: dict[str, Any] = {"native": Native, "ctranslate2": CTranslate2}
    print(json.dumps(measured(made[kind](model, window, variant), window)))


if __name__ == "__main__":
    main()
