"""What the states of a text cost and sound like: letters, silence, and speech that is no word of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.best_path import Trellis
from autorag_whisper.align.letter_text import ANY, FOREIGN, GAP
from autorag_whisper.align.letters import SILENCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autorag_whisper.align.letter_text import LetterText
    from autorag_whisper.align.letters import LetterHearing

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


def sounds_of(heard: NDArray[np.float32], classifier: LetterHearing, quiet: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32[frames, symbols + 3]: how likely each sound is in each frame, in nats.

    `ANY`, `FOREIGN` and `GAP` are the last three, so that a state's symbol is its column. `heard`:
    float32[frames, symbols], the classifier's logarithms; `quiet`: float32[frames], 0..1, how silent energy says each
    frame is.
    """
    frames, symbols = heard.shape
    hush = (np.float32(_QUIET) * quiet)[:, np.newaxis]
    sounds = np.empty((frames, symbols + 3), np.float32)
    letters = sounds[:, :symbols]
    np.subtract(heard, np.float32(_PRIOR_SHARE) * classifier.prior, out=letters)
    sounds[:, GAP] = letters[:, SILENCE] + hush[:, 0]
    letters -= hush
    speech = letters[:, 1:].max(axis=1)
    sounds[:, FOREIGN], sounds[:, ANY] = speech - np.float32(FOREIGN_FRAME), speech - np.float32(_ANY)
    return sounds


def trellis_of(sounds: NDArray[np.float32], text: LetterText) -> Trellis:
    """The paths through the states of a text: letters between may be left out, at a price."""
    column = np.where(text.symbols < 0, text.symbols + sounds.shape[1], text.symbols).astype(np.int32)
    entry = np.where(text.symbols == FOREIGN, np.float32(_ENTRY), np.float32(0.0))
    return Trellis(sounds, column, prices(text), entry)


def prices(text: LetterText) -> NDArray[np.float32]:
    """float32[states + 1], `paid`: of leaving out all states before each; r to s costs `paid[s] - paid[r + 1]`."""
    price = np.where(text.owners < 0, 0.0, np.where(text.expected, LEFT_OUT, _LEFT_OUT_UNSURE))
    return np.concatenate(([0.0], np.cumsum(price))).astype(np.float32)


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False]))))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]
