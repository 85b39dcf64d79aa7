"""The words of a chunk where a classifier hears their letters in the encoder's output: no pass of the decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.letter_edges import sharpened
from autorag_whisper.align.letter_path import words_by_letters
from autorag_whisper.align.onsets import with_onsets
from autorag_whisper.align.pauses import quiet_frames, silences
from autorag_whisper.align.text_normalization import readings
from autorag_whisper.align.unspoken import unspoken
from autorag_whisper.domain.audio import seconds
from autorag_whisper.domain.transcript import Unspoken
from autorag_whisper.engines.base import ENCODER_FRAME_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.letters import LetterClassifier
    from autorag_whisper.domain.audio import SpeechChunk


@dataclass(frozen=True, slots=True)
class Heard:
    """Words on the file's timeline: start and end of each, how well its letters are heard (0..1), and other speech."""

    spans: tuple[tuple[float, float], ...]
    scores: tuple[float, ...]
    unspoken: tuple[Unspoken, ...]


def heard_words(
    classifier: LetterClassifier, output: NDArray[np.float32], chunk: SpeechChunk, words: Sequence[str], language: str
) -> Heard | None:
    """Where `words`, all that is said in `chunk`, are heard; None where the classifier does not know their script.

    `output`: float32[frames, width], the encoder's of the frames that are audio. Raises ValueError where it is of
    another width than the classifier was trained on, or no numbers.
    """
    heard = classifier.log_probabilities(output)
    quiet = quiet_frames(chunk.samples, len(output))
    path = words_by_letters(heard, classifier, with_onsets(readings(words, language), language), quiet)
    if path is None:
        return None
    if not np.isfinite(path.likelihood):
        message = "the encoder's output has values that are no numbers"
        raise ValueError(message)
    start_s = chunk.start_s
    speech = [(seconds(span.start) - start_s, seconds(span.stop) - start_s) for span in chunk.speech]
    foreign = [(first * ENCODER_FRAME_S, stop * ENCODER_FRAME_S) for first, stop in path.foreign]
    spans = sharpened(path.spans * ENCODER_FRAME_S, silences(chunk.samples, speech), foreign)
    return Heard(
        tuple((start_s + float(begin), start_s + float(end)) for begin, end in spans),
        tuple(path.scores),
        tuple(
            Unspoken(start_s + begin, start_s + end)
            for begin, end in unspoken(path, heard, quiet, (spans, speech), ENCODER_FRAME_S)
        ),
    )
