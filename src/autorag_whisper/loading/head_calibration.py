"""Which attention head of a model times single letters best, and how late: found on a clip with exact word times.

For models that no table knows. Each candidate head is tried alone, because each has a lateness of its own and a mean of
heads blurs it (dev/LOG.md). A head that is not good enough is none: with such heads letters are worse than tokens.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.characters import marks, spell
from autorag_whisper.align.text_normalization import spoken_words
from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.features import frame_count, log_mel
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.engines.base import ENCODER_FRAME_S, WINDOW_FRAMES, CharacterHeads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.engines.base import Encoded, WhisperModel

Head = tuple[int, int]

GOOD_ENOUGH = 0.7
"""Share of words within 50 ms, lateness taken off. The heads of the table have 0.85 and more, tokens about 0.4."""
SURELY = 0.9
"""No further head is tried once one has this."""
_NEAR_S, _RUNS_ON_S = 0.05, 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Speech with its words and float64[n], their true starts in seconds; `runs_on`: no pause before the word."""

    samples: Samples
    words: tuple[str, ...]
    starts_s: NDArray[np.float64]
    runs_on: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Trial:
    """How a head did in running speech: its lateness, how early tokens are, the share of words that are near then."""

    head: Head
    late_s: float
    tokens_early_s: float
    near: float


@cache
def packaged_clip() -> Clip:
    """The clip of `scripts/make_calibration_clip.py`: English, which every Whisper model knows."""
    folder = files("autorag_whisper.loading")
    rows = json.loads(folder.joinpath("calibration.json").read_text(encoding="utf-8"))
    with as_file(folder.joinpath("calibration.flac")) as path:
        source = MediaSource.from_path(path)
        with source.open() as file, MediaDecoder(file, source.name) as decoder:
            samples = np.concatenate([block.data for block in decoder])
    runs_on = np.asarray([False, *(after[1] - before[2] < _RUNS_ON_S for before, after in itertools.pairwise(rows))])
    return Clip(samples, tuple(row[0] for row in rows), np.asarray([row[1] for row in rows]), runs_on)


def calibrate(
    candidates: Iterable[Head], load: Callable[[CharacterHeads], AbstractContextManager[WhisperModel]], clip: Clip
) -> CharacterHeads | None:
    """The best of the `candidates`; None if none is good enough. Raises what the engine raises.

    `load` opens the model with these heads, for the length of a `with`.
    """
    heard: Encoded | None = None
    trials: list[Trial] = []
    for head in candidates:
        with load(CharacterHeads((head,), late_s=0.0)) as recognizer:
            heard = heard or _encoded(recognizer, clip)
            trials.append(_tried(recognizer, head, clip, heard))
        if trials[-1].near >= SURELY:
            break
    best = max(trials, key=lambda trial: trial.near, default=None)
    if best is None or best.near < GOOD_ENOUGH:
        return None
    # Assumed, so that its times are compared with those of the tokens: whether a head loses its place in long texts
    # cannot be seen on a short clip.
    return CharacterHeads((best.head,), round(best.late_s, 3), round(best.tokens_early_s, 3), loses_its_place=True)


def _encoded(recognizer: WhisperModel, clip: Clip) -> Encoded:
    features = np.zeros((1, recognizer.spec.n_mels, WINDOW_FRAMES), np.float32)
    mel = log_mel(clip.samples, recognizer.spec.n_mels)[:, :WINDOW_FRAMES]
    features[0, :, : mel.shape[1]] = mel
    return recognizer.encode(features)


def _tried(recognizer: WhisperModel, head: Head, clip: Clip, heard: Encoded) -> Trial:
    tokenizer, frames = recognizer.tokenizer, [frame_count(len(clip.samples))]
    start = tokenizer.start_sequence("en", "transcribe")
    spelled = spell(clip.words, spoken_words(clip.words, "en"), tokenizer.encode, recognizer.spec.spells_below)
    assert spelled is not None
    [letters] = recognizer.align(heard, start, [spelled.token_ids], frames, spelled=True)
    firsts_s = marks(spelled, letters.starts.astype(np.float64) * ENCODER_FRAME_S, 0.0).first
    pieces = [tokenizer.encode(f" {word}") for word in clip.words]
    [tokens] = recognizer.align(heard, start, [tuple(itertools.chain(*pieces))], frames)
    by_tokens_s = tokens.starts[[0, *itertools.accumulate(map(len, pieces))][:-1]] * ENCODER_FRAME_S
    late_s = (firsts_s - clip.starts_s)[clip.runs_on]
    early_s = (clip.starts_s - by_tokens_s)[clip.runs_on]
    near = np.mean(np.abs(late_s - np.median(late_s)) <= _NEAR_S)
    return Trial(head, float(np.median(late_s)), float(np.median(early_s)), float(near))
