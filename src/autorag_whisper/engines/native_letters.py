"""Letters heard, and paths through them found, by the native library: `align.letters` says what each computes."""

from __future__ import annotations

import ctypes as c
from typing import TYPE_CHECKING

import numpy as np

from autorag_whisper.engines.native_library import Held, Pointer
from autorag_whisper.engines.native_model import c_tensors
from autorag_whisper.engines.native_weights import Tensor
from autorag_whisper.fork_safety import at_work

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autorag_whisper.align.best_path import Trellis
    from autorag_whisper.align.letters import LetterClassifier
    from autorag_whisper.engines.native_library import NativeLibrary


class NativeLetters:
    """A `LetterHearing` with the weights of a classifier.

    Hidden weights have 8 bits, as in the classifiers' files: nothing is lost of one that was read from a file.
    """

    def __init__(self, classifier: LetterClassifier, library: NativeLibrary, instruction_set: str = "") -> None:
        """Raises NativeCallError for an instruction set that the library refuses, MemoryError."""
        self._classifier, self._library = classifier, library
        tensors = {
            "mean": classifier.mean,
            "spread": classifier.spread,
            "hidden/weight": classifier.hidden_weights.T,
            "hidden/bias": classifier.hidden_bias,
            "output/weight": classifier.output_weights.T,
            "output/bias": classifier.output_bias,
        }
        table, _arrays = c_tensors({name: Tensor(values) for name, values in tensors.items()})
        made = Pointer()
        library.call("awc_letters_new", table, len(table), instruction_set.encode() or None, c.byref(made))
        self._held = Held(library, "awc_letters_free", made)

    def __del__(self) -> None:
        if hasattr(self, "_held"):  # else the library refused it
            self._held.free()

    @property
    def alphabet(self) -> tuple[str, ...]:
        return self._classifier.alphabet

    @property
    def prior(self) -> NDArray[np.float32]:
        return self._classifier.prior

    @property
    def width(self) -> int:
        return self._classifier.width

    def log_probabilities(self, encoded: NDArray[np.float32]) -> NDArray[np.float32]:
        frames = np.ascontiguousarray(encoded, np.float32)
        if frames.ndim != 2 or frames.shape[1] != self.width:
            message = f"encoder output of {frames.shape} is not {self.width} wide"
            raise ValueError(message)
        told = np.empty((len(frames), len(self.prior)), np.float32)
        with at_work():
            self._library.call("awc_letters_hear", self._held.value, frames.ctypes.data, len(frames), told.ctypes.data)
        return told

    def best_path(self, trellis: Trellis) -> tuple[NDArray[np.int64], float]:
        sounds, column = (
            np.ascontiguousarray(trellis.sounds, np.float32),
            np.ascontiguousarray(trellis.column, np.int32),
        )
        paid, entry = np.ascontiguousarray(trellis.paid, np.float32), np.ascontiguousarray(trellis.entry, np.float32)
        if sounds.ndim != 2 or not len(paid) - 1 == len(entry) == len(column):
            message = "a path has a sound and prices for every state"
            raise ValueError(message)
        path, likelihood = np.empty(len(sounds), np.int32), c.c_float()
        with at_work():
            self._library.call(
                "awc_best_path",
                sounds.ctypes.data,
                *sounds.shape,
                column.ctypes.data,
                len(column),
                paid.ctypes.data,
                entry.ctypes.data,
                path.ctypes.data,
                c.byref(likelihood),
            )
        return path.astype(np.int64), likelihood.value
