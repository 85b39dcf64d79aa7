"""A classifier that hears what was planted: frames of encoder output with one value for each letter."""

from __future__ import annotations

import numpy as np

from autorag_whisper.align.letters import LetterClassifier

ALPHABET = tuple("abcdefghijklmnopqrstuvwxyz")
SURE = 8.0
"""Nats between the letter that is planted in a frame and every other."""


def reading_classifier(alphabet: tuple[str, ...] = ALPHABET, width: int | None = None) -> LetterClassifier:
    """Hears symbol n in a frame whose n-th value is 1; takes no frame before or behind into account.

    `width`: values in a frame, as many as there are symbols and more.
    """
    symbols = len(alphabet) + 2
    width = symbols if width is None else width
    hidden = np.zeros((3 * width, symbols), np.float32)
    hidden[width + np.arange(symbols), np.arange(symbols)] = 1.0
    return LetterClassifier(
        mean=np.zeros(width, np.float32),
        spread=np.ones(width, np.float32),
        hidden_weights=hidden,
        hidden_bias=np.zeros(symbols, np.float32),
        output_weights=SURE * np.eye(symbols, dtype=np.float32),
        output_bias=np.zeros(symbols, np.float32),
        prior=np.full(symbols, -np.log(symbols), np.float32),
        alphabet=alphabet,
    )


def planted(heard: str, classifier: LetterClassifier) -> np.ndarray:
    """float32[frames, width]: one frame for each character of `heard`; "." is silence, "#" a letter of no alphabet."""
    symbol_of = {".": 0, "#": classifier.other} | {letter: n for n, letter in enumerate(classifier.alphabet, 1)}
    frames = np.zeros((len(heard), classifier.width), np.float32)
    frames[np.arange(len(heard)), [symbol_of[character] for character in heard]] = 1.0
    return frames
