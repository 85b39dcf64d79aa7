"""The clips of `tests/data/ctc-speech`: sentences in six voices, with the times that the synthesiser itself gave."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np

from kit import TrueWord

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, eq=False)
class SpokenClip:
    """A clip: float32 samples at 16 kHz, and its words."""

    name: str
    samples: np.ndarray
    words: tuple[TrueWord, ...]


def read_speech(folder: Path) -> list[SpokenClip]:
    """All clips of a folder, in order of their names."""
    return [_clip(path) for path in sorted(folder.glob("*.flac"))]


def _clip(path: Path) -> SpokenClip:
    with av.open(str(path)) as container:
        pieces = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    words = json.loads(path.with_suffix(".words.json").read_text(encoding="utf-8"))
    return SpokenClip(
        path.stem,
        (np.concatenate(pieces) / 32768).astype(np.float32),
        tuple(TrueWord(word["w"], word["s"], word["e"]) for word in words),
    )
