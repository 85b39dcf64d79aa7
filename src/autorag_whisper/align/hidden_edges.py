"""Silences without the edges of sounds that steady noise hides: up to 25 ms on each side.

```
in quiet     ▇▅▃▁.______.▁▂▃▅▆▇▇▇      a sound is heard down to 40 dB under the loud parts
in noise     ▇▅▂░░░░░░░░░░▄▆▇▇▇        and here while it is louder than the noise
silence         (--------)
without           (----)
```
How much that is follows from how far under the loud parts the limit of silence lies, where the noise is steady. In the
noise of a crowd, which comes and goes, silences are its dips, and end early as often as late. A sound that begins takes
a little longer to get out of the noise than one that fades takes to get into it, and one before a short silence does
not fade: that is a stop, which is cut off (measured, dev/LOG.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.align.pauses import HOP_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from autorag_whisper.align.pauses import SoundLevel

    Spans = Sequence[tuple[float, float]]

_ENOUGH_DB, _ONSET_S_A_DB, _FADE_S_A_DB = 28.0, 0.0013, 0.001
"""A limit so far under the loud parts hides nothing, a higher one so many seconds of an onset and of a fade for each
decibel: of the highest 25 and 20 ms."""
_FADED_S = 0.1
"""Before a silence so long a sound fades."""
_STEADY_DB = 1.6
"""Quartiles of steady noise are no further apart, as levels of 40 ms: 0.4 to 1.3, those of a crowd 1.7 to 6."""
_MEAN_HOPS, _STEP_HOPS, _EDGE_HOPS, _LEAST = 8, 4, 2, 8
"""Levels are means over so many hops, every so many, so far from a silence's edges; of fewer nothing is known."""


def with_hidden_edges(silences: Spans, level: SoundLevel) -> list[tuple[float, float]]:
    """The silences without what is hidden of the sounds before and behind each; at least half of a silence stays.

    In seconds from the start of the audio, in order, as `level.silences` gives them.
    """
    by_db = raised_db(silences, level)
    fade_s, onset_s = _FADE_S_A_DB * by_db, _ONSET_S_A_DB * by_db
    return [
        (
            start + fade_s if start > HOP_S and end - start >= _FADED_S else start,
            max(end - onset_s, (start + end) / 2) if end < level.duration_s - HOP_S else end,
        )
        for start, end in silences
    ]


def raised_db(silences: Spans, level: SoundLevel) -> float:
    """How far steady noise raises the limit of silence over where it hides nothing; 0 too where that is not known."""
    if level.above_db is None or not _is_steady(silences, level.above_db):
        return 0.0
    return max(_ENOUGH_DB - level.depth_db, 0.0)


def _is_steady(silences: Spans, above_db: NDArray[np.float64]) -> bool:
    means = []
    for start, end in silences:
        inside = above_db[round(start / HOP_S) + _EDGE_HOPS : round(end / HOP_S) - _EDGE_HOPS]
        if len(inside) >= _MEAN_HOPS:
            sums = np.cumsum(np.concatenate(([0.0], inside)))
            means.append((sums[_MEAN_HOPS:] - sums[:-_MEAN_HOPS])[::_STEP_HOPS] / _MEAN_HOPS)
    found = np.concatenate(means) if means else np.empty(0)
    return len(found) >= _LEAST and float(np.subtract(*np.percentile(found, (75, 25)))) <= _STEADY_DB
