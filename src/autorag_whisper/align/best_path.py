"""The likeliest path through states that are in order (Viterbi, 1967): what the states stand for is `letter_search`'s.

This is the reference. An engine may do the same faster, bit for bit: all numbers are float32, and nothing is added in
another order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Trellis:
    """What paths through states are made of, in nats: each frame is in one state, none in an earlier one than the last.

    `sounds`: float32[frames, columns], how likely each sound is. `column`: int32[states], the sound of each state.
    `paid`: float32[states + 1], of leaving out all states before each; from r on to s costs `paid[s] - paid[r + 1]`.
    `entry`: float32[states], what each state costs that comes from another one.
    """

    sounds: NDArray[np.float32]
    column: NDArray[np.int32]
    paid: NDArray[np.float32]
    entry: NDArray[np.float32]

    @property
    def emitted(self) -> NDArray[np.float32]:
        """float32[frames, states]: how likely the sound of each state is."""
        return self.sounds[:, self.column]


def best_path(trellis: Trellis) -> tuple[NDArray[np.int64], float]:
    """int64[frames]: the state of each frame, one at least; and how likely that path is.

    Of equal paths the one that stays in a state, then the one from the earliest state, looked at from the end.
    """
    emitted, paid = trellis.emitted, trellis.paid
    best = forward(emitted, trellis)
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


def forward(
    emitted: NDArray[np.float32], trellis: Trellis, shorten: Callable[[NDArray[np.float32]], object] | None = None
) -> NDArray[np.float32]:
    """float32[frames, states]: how likely the best path to each state is. `emitted`: that of `trellis`.

    The best path to s from any state before it is a running maximum, less `paid[s]`. `shorten` is given these maxima
    and may raise those behind states that may also be left out for nothing.
    """
    paid, (frames, states) = trellis.paid, emitted.shape
    best = np.empty((frames, states), np.float32)
    best[0] = emitted[0] - paid[:-1] - trellis.entry
    from_here = np.zeros(states, np.float32)
    if shorten is not None:
        shorten(from_here)
        best[0, 1:] += from_here[:-1]
    toll = paid[1:-1] + trellis.entry[1:]
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
