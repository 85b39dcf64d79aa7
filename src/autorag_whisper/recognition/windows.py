"""How long the encoder's window is, and how many tokens a chunk may have.

Whisper was trained on 3000 mel frames (30 s). It also takes fewer, which costs less than in proportion; under 1000
frames it runs away (measured, `dev/LOG.md`). A window depends on its chunk alone, so a chunk's text does not depend on
what it was batched with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.audio.features import FRAMES_PER_S, frame_count, log_mel
from autorag_whisper.engines.base import MAX_NEW_TOKENS, WINDOW_FRAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import SpeechChunk
    from autorag_whisper.engines.base import WhisperSpec

_SLACK_FRAMES = 200
_WINDOWS = (1000, 1250, 1500, 1750, 2000, 2500, WINDOW_FRAMES)
"""Few enough for long chunks to share one: a batch of four is decoded in half the time of four batches of one."""
_TOKENS_AT_LEAST = 24
_USUAL_TOKENS_PER_S = 8
_TOKENS_PER_S = {
    "my": 47, "lo": 50, "gu": 34, "km": 33, "ka": 32, "bo": 32, "ml": 32, "pa": 28, "te": 26, "as": 23, "bn": 23,
    "kn": 23, "am": 18, "si": 18, "hi": 17, "mr": 17, "ne": 17, "sa": 17, "hy": 15, "mn": 14, "ta": 13, "ba": 12,
    "kk": 12, "tg": 12, "tt": 12, "th": 10, "vi": 10, "el": 9,
}  # fmt: skip
"""Tokens of a second of speech at an ordinary pace, of languages that have more than the usual (dev/LOG.md)."""
MOST_TOKENS = 440
"""New tokens that the decoder's context of 448 has room for behind a prompt without text."""


def window_frames(samples: int, *, strict: bool) -> int:
    """Mel frames of the window for a chunk of `samples`: the first of `_WINDOWS` that holds it; 3000 if `strict`."""
    wanted = frame_count(samples) + _SLACK_FRAMES
    return next((window for window in _WINDOWS if wanted <= window and not strict), WINDOW_FRAMES)


def token_cap(samples: int, language: str) -> int:
    """New tokens that a chunk of `samples` may have: twice what speech needs, so that a runaway ends.

    Of a language that is written in few tokens never more than half of the decoder's context, as Whisper was trained;
    of another up to all of it.
    """
    per_s = _TOKENS_PER_S.get(language, _USUAL_TOKENS_PER_S)
    most = MAX_NEW_TOKENS if per_s <= _USUAL_TOKENS_PER_S else MOST_TOKENS
    return min(most, _TOKENS_AT_LEAST + 2 * per_s * frame_count(samples) // FRAMES_PER_S)


def windows_of(
    chunks: Sequence[SpeechChunk], frames: Sequence[int], spec: WhisperSpec
) -> NDArray[np.float32] | list[NDArray[np.float32]]:
    """The features of chunks that go together, for `WhisperModel.encode`; `frames`: the window of each.

    They are the same for all unless the engine mixes windows.
    """
    if spec.mixes_windows:
        return [features_of([chunk], spec.n_mels, count)[0] for chunk, count in zip(chunks, frames, strict=True)]
    return features_of(list(chunks), spec.n_mels, frames[0])


def features_of(chunks: list[SpeechChunk], n_mels: int, frames: int) -> NDArray[np.float32]:
    """float32[chunks, n_mels, frames]: log-mel features, filled up with 0.0 (which is not what silence looks like)."""
    features = np.zeros((len(chunks), n_mels, frames), dtype=np.float32)
    for row, chunk in enumerate(chunks):
        mel = log_mel(chunk.samples, n_mels)[:, :frames]
        features[row, :, : mel.shape[1]] = mel
    return features
