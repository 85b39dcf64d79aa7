"""What somebody says that is no word of the text: fillers, repetitions, what the recogniser left out.

Heard between words, where voice activity hears a voice: frames in which the best path has other speech, and those that
are loud, and no silence for the classifier either. It knows letters; "um" is like none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.letters import SILENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.letter_path import LetterPath

    Spans = Sequence[tuple[float, float]] | NDArray[np.float64]

_LOUD, _SILENT = 0.5, 0.9
"""A frame that energy calls silent by less than the one and the classifier by less than the other has sound in it."""
_LEAST_S = 0.1
"""Less is the edge of a word."""


def unspoken(
    path: LetterPath,
    heard: NDArray[np.float32],
    quiet: NDArray[np.float32],
    places: tuple[Spans, Spans],
    frame_s: float,
) -> list[tuple[float, float]]:
    """Spans in seconds from the start of the frames, in order.

    `heard`: float32[frames, symbols], the classifier's logarithms; `quiet`: float32[frames], 0..1; `places`: the words
    and the speech that voice activity found, in the same seconds.
    """
    words, speech = places
    sounds = (quiet < _LOUD) & (heard[:, SILENCE] < np.log(_SILENT))
    for first, stop in path.foreign:
        sounds[first:stop] = True
    found = sounds & _within(speech, len(heard), frame_s) & ~_within(words, len(heard), frame_s)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], found, [False])))) * frame_s
    return [(float(start), float(stop)) for start, stop in edges.reshape(-1, 2) if stop - start > _LEAST_S - 1e-6]


def _within(spans: Spans, frames: int, frame_s: float) -> NDArray[np.bool_]:
    """bool[frames]: which of them has its middle in one of the spans."""
    middles = (np.arange(frames) + 0.5) * frame_s
    inside = np.zeros(frames, np.bool_)
    for start, stop in spans:
        inside |= (middles > start) & (middles < stop)
    return inside
