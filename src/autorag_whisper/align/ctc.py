"""Where the words of a known text lie in the emissions of a CTC model: Viterbi over the blank lattice, numpy alone.

Connectionist temporal classification: Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented
Sequence Data with Recurrent Neural Networks", ICML 2006, section 4.1; its best path with the text given is forced
alignment (Kürzinger et al., "CTC-Segmentation", 2020; torchaudio's `forced_align`).

The text `ab|b` (two words) has 3 labels and 2 * 3 + 1 states. A path enters at the top left, leaves at the bottom
right, and takes one emission a frame; every arrow costs a frame.

```
 state  emits            frame 0   1   2   3  ...            from which states a state is reached
   0    gap of words       o-->o-->o-->o      o  may be entered first
   1    a                  o-->o-->o-->o            s: stay
   2    blank                \\   \\-->o-->o            s - 1: the state above
   3    b                    >o-->o-->o            s - 2: label to label, past an optional blank ...
   4    gap of words             \\-->o-->o                 ... but never from a label to its equal:
   5    b                         (3 -x-> 5)                a path must go through the gap between them
   6    gap of words                  o-->o   o  may be left last
```

Between two words, before the first and after the last, a frame counts as gap if it is blank *or* the separator (`|`):
models differ in what they emit there, and whether they emit it at all. Inside a word a gap is blank alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.domain.alignment_errors import EmissionsUnusable, NothingToAlign, TooFewFrames, VocabularyUnusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WILDCARD = -1
"""Label of a sound that the vocabulary has no letter for: any emission fits, at a price."""

_WILDCARD_PRICE = 0.5
"""What a wildcard's frame costs more than the likeliest column there, in nats.

A wildcard that costs nothing swallows its neighbours' frames; one that costs more than the wrong letter squeezes
itself, and its neighbours grow. Measured: dev/LOG.md.
"""
_TOUCHING_FRAMES = 2
"""A gap of so many frames is no pause: the words touch in its middle."""


@dataclass(frozen=True, slots=True)
class WordFrames:
    """Frames [first, stop) of a word, and how sure that is: the geometric mean of its frames' probabilities, 0..1.

    A word without a label has no frames: `first == stop`, where the word before it ends, score 0.
    """

    first: int
    stop: int
    score: float


def align_words(
    log_probs: NDArray[np.float32], words: Sequence[Sequence[int]], *, blank: int, separator: int | None = None
) -> list[WordFrames]:
    """The best path of a text, as the frames of its words, in order and without overlap.

    Args:
        log_probs: float32[frames, columns], natural logarithms of probabilities that sum to 1 in each frame.
        words: for each word its labels: columns, or `WILDCARD`. A word may have none.
        blank: the column of CTC's blank.
        separator: the column that is emitted between words, if the model has one.

    Raises:
        NothingToAlign: no word has a label.
        TooFewFrames: no path has room for the labels.
        EmissionsUnusable: a value is NaN or above 0, or every path is impossible.
        VocabularyUnusable: a label, the blank or the separator is no column.
    """
    labels = np.fromiter(chain.from_iterable(words), np.int64)
    _check(log_probs, labels, blank, separator)
    lengths = np.array([len(word) for word in words])
    emitted, states = _states(log_probs, labels, lengths, blank, separator)
    barrier = _barrier(labels)
    needed = len(labels) + int(np.isinf(barrier).sum())
    if len(log_probs) < needed:
        raise TooFewFrames(len(log_probs), needed)
    path = _best_path(emitted, states, barrier)
    return _word_frames(path, emitted[np.arange(len(path)), states[path]], lengths)


def word_edges(found: Sequence[WordFrames]) -> NDArray[np.float64]:
    """float64[words, 2]: start and end of each word in frames; what lies a frame or two apart meets in the middle."""
    edges = np.array([(word.first, word.stop) for word in found], np.float64).reshape(-1, 2)
    gaps = edges[1:, 0] - edges[:-1, 1]
    near = (gaps > 0) & (gaps <= _TOUCHING_FRAMES)
    middles = (edges[1:, 0] + edges[:-1, 1]) / 2
    edges[:-1, 1] = np.where(near, middles, edges[:-1, 1])
    edges[1:, 0] = np.where(near, middles, edges[1:, 0])
    return edges


def _check(log_probs: NDArray[np.float32], labels: NDArray[np.int64], blank: int, separator: int | None) -> None:
    if not len(labels):
        raise NothingToAlign
    if log_probs.ndim != 2:
        raise EmissionsUnusable(f"they have {log_probs.ndim} dimensions in place of 2")
    columns = log_probs.shape[1]
    if not 0 <= blank < columns:
        raise VocabularyUnusable(f"its blank is column {blank} of {columns}")
    if separator is not None and not 0 <= separator < columns:
        raise VocabularyUnusable(f"its separator is column {separator} of {columns}")
    if labels.min() < WILDCARD or labels.max() >= columns or blank in labels:
        raise VocabularyUnusable(f"a label is blank, or none of its {columns} columns")
    if not (log_probs <= 1e-3).all():  # false for NaN too
        raise EmissionsUnusable("they hold NaN, or values that are no logarithms of probabilities")


def _states(
    log_probs: NDArray[np.float32],
    labels: NDArray[np.int64],
    lengths: NDArray[np.int64],
    blank: int,
    separator: int | None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What each state emits: (float32[frames, columns + 2], int64[2 * labels + 1] columns of it).

    The two columns more: any letter (wildcard), and blank or separator (gap of words).
    """
    columns = log_probs.shape[1]
    gap = log_probs[:, blank] if separator is None else np.logaddexp(log_probs[:, blank], log_probs[:, separator])
    anything = log_probs.max(axis=1) - np.float32(_WILDCARD_PRICE)
    states = np.full(2 * len(labels) + 1, blank, np.int64)
    states[1::2] = np.where(labels == WILDCARD, columns, labels)
    states[0] = columns + 1
    states[2 * np.cumsum(lengths)] = columns + 1  # the gap behind each word's last label
    return np.column_stack((log_probs, anything, gap)), states


def _barrier(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[2 * labels + 1]: added to a skip into each state; -inf into a label that repeats the one before."""
    barrier = np.zeros(2 * len(labels) + 1)
    again = (labels[1:] == labels[:-1]) & (labels[1:] != WILDCARD)
    barrier[3::2][again] = -np.inf
    return barrier


def _best_path(
    emitted: NDArray[np.float32], columns: NDArray[np.int64], barrier: NDArray[np.float64]
) -> NDArray[np.int64]:
    """int64[frames]: the state of each frame. Of ways that are equally good the one that moves on earlier is taken.

    Back pointers take two bits a state and frame. A skip lands on labels alone, that is on odd states.
    """
    frames, count = len(emitted), len(columns)
    padded = np.full(count + 2, -np.inf)
    score = padded[2:]  # views: the state itself, the one above, the one two above
    score[:2] = emitted[0, columns[:2]]
    above, two_above = padded[1:-1], padded[:-2]
    barrier = np.where(np.arange(count) % 2 == 1, barrier, -np.inf)
    moved = np.zeros((frames, -(-count // 8)), np.uint8)
    skipped = np.zeros_like(moved)
    best, skip = np.empty(count), np.empty(count)
    for frame in range(1, frames):
        moved[frame] = np.packbits(above > score)
        np.maximum(score, above, out=best)
        np.add(two_above, barrier, out=skip)
        skipped[frame] = np.packbits(skip > best)
        np.maximum(best, skip, out=best)
        np.add(best, emitted[frame, columns], out=score)
    if not np.isfinite(score[-2:]).any():
        raise EmissionsUnusable("they give the text no path")
    return _walk_back(moved, skipped, count - 1 if score[-1] > score[-2] else count - 2)


def _walk_back(moved: NDArray[np.uint8], skipped: NDArray[np.uint8], state: int) -> NDArray[np.int64]:
    path = np.empty(len(moved), np.int64)
    for frame in range(len(moved) - 1, -1, -1):
        path[frame] = state
        place, bit = state >> 3, 0x80 >> (state & 7)
        if skipped[frame, place] & bit:
            state -= 2
        elif moved[frame, place] & bit:
            state -= 1
    return path


def _word_frames(path: NDArray[np.int64], emitted: NDArray[np.float32], lengths: NDArray[np.int64]) -> list[WordFrames]:
    """Cut a path at its words: from a word's first label to its last, blanks in between included."""
    stops = np.cumsum(lengths)
    first = np.searchsorted(path, 2 * (stops - lengths) + 1)  # the states never decrease
    stop = np.searchsorted(path, 2 * stops - 1, side="right")
    found: list[WordFrames] = []
    speech = int(first[lengths > 0][0])
    for begin, end, length in zip(first.tolist(), stop.tolist(), lengths.tolist(), strict=True):
        if not length:
            at = found[-1].stop if found else speech
            found.append(WordFrames(at, at, 0.0))
            continue
        own = emitted[begin:end][path[begin:end] % 2 == 1]
        found.append(WordFrames(begin, end, float(np.exp(min(0.0, own.mean(dtype=np.float64))))))
    return found
