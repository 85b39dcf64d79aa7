"""Silences without the beginnings of sounds that steady noise hides: 5 to 25 ms of each.

```
in quiet     ______.▁▂▃▅▆▇▇▇      a sound is heard from 40 dB under the loud parts on
in noise     ░░░░░░░░░░▄▆▇▇▇      and here when it is louder than the noise, which takes it longer
silence      ---------)
without      -----)
```
How much later that is follows from how far under the loud parts the limit of silence lies, where the noise is steady.
In the noise of a crowd, which comes and goes, silences are its dips, and end early as often as late. How long a sound
goes on in noise is not told: that depends on the sound (measured, dev/LOG.md).
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

_ENOUGH_DB, _S_A_DB = 28.0, 0.0013
"""A limit so far under the loud parts hides nothing, a higher one so much for each decibel: of the highest 25 ms."""
_STEADY_DB = 1.6
"""Quartiles of steady noise are no further apart, as levels of 40 ms: 0.4 to 1.3, those of a crowd 1.7 to 6."""
_MEAN_HOPS, _STEP_HOPS, _EDGE_HOPS, _LEAST = 8, 4, 2, 8
"""Levels are means over so many hops, every so many, so far from a silence's edges; of fewer nothing is known."""


def with_hidden_onsets(silences: Spans, level: SoundLevel) -> list[tuple[float, float]]:
    """The silences, each as much shorter at its end as the noise hides of the sound behind it, half of it at most.

    In seconds from the start of the audio, in order, as `level.silences` gives them.
    """
    late_s = hidden_s(silences, level)
    return [
        (start, end if end >= level.duration_s - HOP_S else max(end - late_s, (start + end) / 2))
        for start, end in silences
    ]


def hidden_s(silences: Spans, level: SoundLevel) -> float:
    """How much of the beginning of a sound is hidden: seconds, 0 where that is not known."""
    if level.above_db is None or level.depth_db >= _ENOUGH_DB or not _is_steady(silences, level.above_db):
        return 0.0
    return _S_A_DB * (_ENOUGH_DB - level.depth_db)


def _is_steady(silences: Spans, above_db: NDArray[np.float64]) -> bool:
    means = []
    for start, end in silences:
        inside = above_db[round(start / HOP_S) + _EDGE_HOPS : round(end / HOP_S) - _EDGE_HOPS]
        if len(inside) >= _MEAN_HOPS:
            sums = np.cumsum(np.concatenate(([0.0], inside)))
            means.append((sums[_MEAN_HOPS:] - sums[:-_MEAN_HOPS])[::_STEP_HOPS] / _MEAN_HOPS)
    found = np.concatenate(means) if means else np.empty(0)
    return len(found) >= _LEAST and float(np.subtract(*np.percentile(found, (75, 25)))) <= _STEADY_DB
