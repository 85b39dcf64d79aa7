"""Which letter is heard in each 20 ms: a small classifier of the encoder's output.

Three frames of the encoder's output go through one hidden layer; what comes out is silence, one of the letters that
the classifier was trained on, or any other letter. `scripts/train_letters.py` makes the weights, for one encoder each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autorag_whisper.align.best_path import best_path
from autorag_whisper.blas_threads import one_blas_thread
from autorag_whisper.fork_safety import at_work

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autorag_whisper.align.best_path import Trellis

SILENCE = 0
"""The symbol of a frame in which nobody speaks."""


class LetterHearing(Protocol):
    """What hears letters in the output of one encoder, and finds paths through them. Thread-safe.

    `LetterClassifier` is the reference; others hear the same up to the order of sums, and find the same paths.
    """

    @property
    def alphabet(self) -> tuple[str, ...]: ...

    @property
    def prior(self) -> NDArray[np.float32]: ...

    @property
    def width(self) -> int: ...

    def log_probabilities(self, encoded: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[frames, symbols], natural logarithms, of float32[frames, width], a row of encoder output.

        What was heard in a frame with a value that is no finite number is not a number. Raises ValueError for another
        width.
        """
        ...

    def best_path(self, trellis: Trellis) -> tuple[NDArray[np.int64], float]:
        """As `align.best_path.best_path`, of numbers that are finite."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LetterClassifier:
    """A `LetterHearing` in numpy: weights for the encoder of one model, all float32.

    `mean`, `spread` [width]: of the encoder's output, over the speech of the training. `hidden_weights`
    [3 * width, hidden] takes the frame before, the frame and the frame behind. `output_weights` [hidden, symbols].
    `prior` [symbols]: logarithms of the symbols' frequencies in the training. `alphabet`: the letters for which symbols
    1, 2, ... stand, in the form of NFKD and lower case; symbol 0 is silence, the last one any other letter.

    Raises ValueError for shapes that do not fit each other, and for numbers that are none.
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    hidden_weights: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    output_weights: NDArray[np.float32]
    output_bias: NDArray[np.float32]
    prior: NDArray[np.float32]
    alphabet: tuple[str, ...]

    def __post_init__(self) -> None:
        width, hidden, symbols = len(self.mean), len(self.hidden_bias), len(self.alphabet) + 2
        shapes = {
            "mean": (width,),
            "spread": (width,),
            "hidden_weights": (3 * width, hidden),
            "hidden_bias": (hidden,),
            "output_weights": (hidden, symbols),
            "output_bias": (symbols,),
            "prior": (symbols,),
        }
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values.shape != shape:
                message = f"{name} is {values.shape}, which does not fit {shape}"
                raise ValueError(message)
            if not np.isfinite(values).all():
                message = f"{name} has values that are no numbers"
                raise ValueError(message)
        if not self.alphabet or len(set(self.alphabet)) < len(self.alphabet) or {len(a) for a in self.alphabet} != {1}:
            message = "the alphabet is not one of single, different letters"
            raise ValueError(message)
        if (self.spread <= 0).any():
            message = "spread has values that are not above 0"
            raise ValueError(message)

    @property
    def width(self) -> int:
        """Values in a frame of the encoder's output."""
        return len(self.mean)

    @property
    def other(self) -> int:
        """The symbol of a letter that is not in the alphabet."""
        return len(self.alphabet) + 1

    def log_probabilities(self, encoded: NDArray[np.float32]) -> NDArray[np.float32]:
        frames = np.subtract(np.asarray(encoded, np.float32), self.mean)
        frames /= self.spread
        size = len(self.hidden_bias)
        # Each frame once against the weights of its three places, which saves copying it three times.
        with at_work(), one_blas_thread():
            at_place = frames @ np.concatenate(np.split(self.hidden_weights, 3), axis=1)
        hidden = at_place[:, size : 2 * size]
        hidden += self.hidden_bias
        hidden[0] += at_place[0, :size]
        hidden[1:] += at_place[:-1, :size]
        hidden[:-1] += at_place[1:, 2 * size :]
        hidden[-1] += at_place[-1, 2 * size :]
        np.maximum(hidden, 0.0, out=hidden)
        with at_work(), one_blas_thread():
            scores = hidden @ self.output_weights + self.output_bias
        scores -= scores.max(axis=1, keepdims=True)
        return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)), np.float32)

    def best_path(self, trellis: Trellis) -> tuple[NDArray[np.int64], float]:
        return best_path(trellis)
