"""A letter classifier for a model that none was shipped for: its encoder hears speech whose words' times are known.

The speech comes with the package: some minutes in windows of up to 27 s, most of it English. The encoder hears every
window once as it is and again as disturbed recordings; what it gives is learnt as `align.letter_training` does.
"""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.letter_training import Course, Lesson, spelled, train
from autorag_whisper.audio.decode import MediaDecoder
from autorag_whisper.audio.disturbance import disturbed
from autorag_whisper.audio.features import log_mel
from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.audio import SAMPLE_RATE_HZ
from autorag_whisper.recognition.windows import window_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.letters import LetterClassifier
    from autorag_whisper.domain.audio import Samples
    from autorag_whisper.engines.base import WhisperModel

LATIN = tuple("abcdefghijklmnopqrstuvwxyz")
FILLERS = frozenset({"um", "uh", "er", "uhm", "hmm", "mm", "ah"})
"""What recognisers leave out of a text."""
COPIES = 2
"""So often each window is heard: once as it is, else disturbed."""
FRAME_SAMPLES = 320
HIDDEN = 192


@dataclass(frozen=True, slots=True, eq=False)
class SpokenWindow:
    """Speech of up to 30 s, and `words` (text, start_s, end_s) in order, with the times of a synthesiser."""

    samples: Samples
    words: tuple[tuple[str, float, float], ...]
    language: str


@cache
def packaged_speech() -> tuple[SpokenWindow, ...]:
    """The speech of `scripts/make_letter_speech.py`."""
    folder = files("autorag_whisper.loading")
    rows = json.loads(folder.joinpath("letter_speech.json").read_text(encoding="utf-8"))
    with as_file(folder.joinpath("letter_speech.opus")) as path:
        source = MediaSource.from_path(path)
        with source.open() as file, MediaDecoder(file, source.name) as decoder:
            samples = np.concatenate([block.data for block in decoder])
    return tuple(
        SpokenWindow(
            samples[round(row["start_s"] * SAMPLE_RATE_HZ) : round(row["end_s"] * SAMPLE_RATE_HZ)],
            tuple((text, start_s, end_s) for text, start_s, end_s in row["words"]),
            row["language"],
        )
        for row in rows
    )


def calibrate_letters(
    recognizer: WhisperModel,
    speech: Iterable[SpokenWindow],
    *,
    seed: int = 0,
    on_progress: Callable[[float], None] | None = None,
) -> LetterClassifier:
    """The classifier for the encoder of `recognizer`, from what of the `speech` is in one of its languages.

    `on_progress` gets the share of the speech that was heard, 0 to 1. Raises what the engine raises, and ValueError
    where nothing of the speech is in its languages.
    """
    known = [window for window in speech if window.language in recognizer.spec.languages]

    def learnt(turn: tuple[int, int]) -> Lesson:
        copy, number = turn
        window, rng = known[number], np.random.default_rng((seed, *turn))
        sound = disturbed(window.samples, rng, known[number - 1].samples) if copy else window.samples
        return lesson(encoder_frames(recognizer, sound), window.words)

    turns, lessons = list(itertools.product(range(COPIES), range(len(known)))), list[Lesson]()
    with ThreadPoolExecutor(recognizer.spec.workers) as pool:
        for one in pool.map(learnt, turns):
            lessons.append(one)
            if on_progress is not None:
                on_progress(len(lessons) / len(turns))
    return train(lessons, LATIN, Course(hidden=HIDDEN, seed=seed))


def encoder_frames(recognizer: WhisperModel, samples: Samples) -> NDArray[np.float16]:
    """The encoder's output for each 20 ms of up to 30 s, in the window that a chunk of them would have."""
    spec = recognizer.spec
    mel = log_mel(samples, spec.n_mels)
    features = np.zeros((1, spec.n_mels, window_frames(len(samples), strict=spec.strict_window)), np.float32)
    features[0, :, : mel.shape[1]] = mel[:, : features.shape[2]]
    frames = recognizer.as_arrays(recognizer.encode(features))[0]
    return np.asarray(frames[: len(samples) // FRAME_SAMPLES], np.float16)


def lesson(
    frames: NDArray[np.floating], words: Sequence[tuple[str, float, float]], taught: NDArray[np.float32] | None = None
) -> Lesson:
    """A stretch of speech as something to learn from: `words` (text, start_s, end_s)."""
    fillers = frozenset(n for n, word in enumerate(words) if word[0].strip(".,?").lower() in FILLERS)
    return Lesson(frames, tuple((spelled(text, LATIN), start, end) for text, start, end in words), fillers, taught)
