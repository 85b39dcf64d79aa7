"""The best way through the states of a text: letters, silence, and speech that is no word of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.letter_text import ANY, FOREIGN, GAP
from autorag_whisper.align.letters import SILENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from autorag_whisper.align.letter_text import LetterText
    from autorag_whisper.align.letters import LetterClassifier

_PRIOR_SHARE = 0.5
"""Weight of the letters' frequencies, which are taken out of what the classifier says."""
FOREIGN_FRAME = 3.0
"""Price of a frame of speech that is no word's, in nats."""
_ENTRY = 12.0
_ANY = 2.0
"""Price of a frame of a sound that nobody knows how to spell."""
LEFT_OUT = 6.0
"""Price of a letter that is not heard."""
_LEFT_OUT_UNSURE = 1.0
"""Price of a letter of one of several readings, while it is not known which of them is said."""
_QUIET = 2.0
"""What energy says of a frame without sound: so much for silence, and against letters."""


def emissions(
    heard: NDArray[np.float32], classifier: LetterClassifier, text: LetterText, quiet: NDArray[np.float32]
) -> NDArray[np.float32]:
    """float32[frames, states]: how likely each state is in each frame, in nats.

    `heard`: float32[frames, symbols], the classifier's logarithms; `quiet`: float32[frames], 0..1, how silent energy
    says each frame is.
    """
    likely = heard - np.float32(_PRIOR_SHARE) * classifier.prior
    hush = (np.float32(_QUIET) * quiet)[:, np.newaxis]
    speech = likely[:, 1:].max(axis=1, keepdims=True) - hush
    emitted: NDArray[np.float32] = likely[:, np.maximum(text.symbols, 0)] - hush
    emitted[:, text.symbols == GAP] = likely[:, SILENCE, np.newaxis] + hush
    emitted[:, text.symbols == FOREIGN] = speech - FOREIGN_FRAME
    emitted[:, text.symbols == ANY] = speech - _ANY
    return emitted


def best_path(emitted: NDArray[np.float32], text: LetterText) -> tuple[NDArray[np.int64], float]:
    """int64[frames]: the state of each frame, never one before the last; letters in between are left out.

    And how likely that path is.
    """
    paid = prices(text)
    best = forward(emitted, text, paid)
    frames = len(emitted)
    states = np.empty(frames, np.int64)
    state = int(np.argmax(best[-1] + paid[1:]))
    likelihood = float(best[-1, state] + paid[state + 1] - paid[-1])
    for frame in range(frames - 1, 0, -1):
        states[frame] = state
        before = best[frame - 1]
        if before[state] + emitted[frame, state] < best[frame, state]:  # it came from another state
            state = int(np.argmax(before[:state] + paid[1 : state + 1]))
    states[0] = state
    return states, likelihood


def prices(text: LetterText) -> NDArray[np.float32]:
    """float32[states + 1], `paid`: of leaving out all states before each; r to s costs `paid[s] - paid[r + 1]`."""
    price = np.where(text.owners < 0, 0.0, np.where(text.expected, LEFT_OUT, _LEFT_OUT_UNSURE))
    return np.concatenate(([0.0], np.cumsum(price))).astype(np.float32)


def forward(
    emitted: NDArray[np.float32],
    text: LetterText,
    paid: NDArray[np.float32],
    shorten: Callable[[NDArray[np.float32]], object] | None = None,
) -> NDArray[np.float32]:
    """float32[frames, states]: how likely the best way to each state is.

    The best way to s from any state before it is a running maximum, less `paid[s]`. `shorten` is given these maxima
    and may raise those behind states that may also be left out for nothing.
    """
    entry = np.where(text.symbols == FOREIGN, _ENTRY, 0.0)
    frames, states = emitted.shape
    best = np.empty((frames, states), np.float32)
    best[0] = emitted[0] - paid[:-1] - entry
    from_here = np.zeros(states, np.float32)
    if shorten is not None:
        shorten(from_here)
        best[0, 1:] += from_here[:-1]
    toll = (paid[1:-1] + entry[1:]).astype(np.float32)
    for frame in range(1, frames):
        now = best[frame]
        np.add(best[frame - 1], paid[1:], out=from_here)
        np.maximum.accumulate(from_here, out=from_here)
        if shorten is not None:
            shorten(from_here)
        np.subtract(from_here[:-1], toll, out=now[1:])
        now[0] = best[frame - 1, 0]
        np.maximum(now, best[frame - 1], out=now)
        now += emitted[frame]
    return best


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False]))))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]
