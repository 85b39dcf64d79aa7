"""Words by their letters with the edges that energy knows: a frame is 20 ms, a silence is known to 5 ms.

```
silence    ------)                     [-------
sound            |:::wwwwoooorrrrdd::::|
word by letters      [-------------)              a first sound may be like none of its letters ("one")
sharpened         [--------------------)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Spans = Sequence[tuple[float, float]]

_INSIDE_S = 0.06
"""An edge so far inside a silence is that silence's: letters are heard over three frames."""
_OUTSIDE_S = 0.15
"""So much sound between a word and the silence next to it is the word's own, unless it is other speech."""
_LEAST_S = 0.01


def sharpened(spans_s: NDArray[np.float64], quiet: Spans, foreign: Spans = ()) -> NDArray[np.float64]:
    """Words with the edges next to a silence moved to it: float64[words, 2] in seconds, none into the next.

    `quiet`: silences; `foreign`: speech that is no word of the text; both in seconds, in order.
    """
    starts, ends = spans_s[:, 0].copy(), spans_s[:, 1].copy()
    for first_s, last_s in quiet if len(starts) else ():
        after, before = int(np.abs(starts - last_s).argmin()), int(np.abs(ends - first_s).argmin())
        is_free = after == 0 or ends[after - 1] <= last_s - _LEAST_S
        if is_free and _is_near(last_s, starts[after], starts[after] - last_s, foreign):
            starts[after] = last_s
        is_free = before + 1 == len(starts) or starts[before + 1] >= first_s + _LEAST_S
        if is_free and _is_near(ends[before], first_s, first_s - ends[before], foreign):
            ends[before] = first_s
    starts = np.maximum.accumulate(starts)
    ends[:-1] = np.minimum(ends[:-1], starts[1:])
    return np.stack((starts, np.maximum(starts, ends)), axis=1)


def _is_near(first_s: float, last_s: float, outside_s: float, foreign: Spans) -> bool:
    """Whether a word's edge that is `outside_s` from a silence (inside it if negative) is the silence's edge.

    Between the two, from `first_s` to `last_s`, is sound.
    """
    if outside_s <= _INSIDE_S:
        return outside_s >= -_INSIDE_S
    return outside_s <= _OUTSIDE_S and not any(start < last_s and stop > first_s for start, stop in foreign)
