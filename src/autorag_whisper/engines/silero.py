"""Voice activity by Silero VAD v6 on ONNX Runtime, streamed: state, context and left-over samples are carried along."""

from __future__ import annotations

import os
from importlib.resources import files
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from autorag_whisper.domain.errors import EngineError
from autorag_whisper.fork_safety import at_work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from autorag_whisper.domain.audio import Samples

_WINDOW, _CONTEXT, _STATE = 512, 64, (1, 1, 128)
_LEAST_BIT = 1.0 / 32768
_SETTLED = 32
"""Windows of digital silence (1 s) after which the model's state no longer matters and it is not asked."""


class SileroVoiceActivity:
    """The model that lies beside this module; loaded on first use, one thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._session: Any = None

    def stream(self) -> SileroStream:
        return SileroStream(self._loaded())

    def _loaded(self) -> Any:
        with self._lock:  # 20 ms, once: nobody has anything to do without it
            if self._session is None:
                self._session = _load()
            return self._session


def import_runtime() -> Any:
    """ONNX Runtime, told to keep what it sees to itself: since 1.29 it sends usage data unless told before the import.

    Whoever set the variable is heard.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251 - the runtime listens to nothing else
    import onnxruntime

    return onnxruntime


def _load() -> Any:
    onnxruntime = import_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    model = files("autorag_whisper.engines").joinpath("silero_vad_v6.onnx").read_bytes()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class SileroStream:
    """One file's voice activity.

    ```
    samples   ...|--- 512 ---|--- 512 ---|-- rest        a row of the model's input: the window and the 64 before it
    row            [64][---- 512 ----]
    ```
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._h = np.zeros(_STATE, np.float32)
        self._c = np.zeros(_STATE, np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)
        self._rest = np.zeros(0, np.float32)
        self._silent = 0

    def push(self, samples: Samples) -> NDArray[np.float32]:
        held = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        count = len(held) // _WINDOW
        self._rest = held[count * _WINDOW :].copy()
        if not count:
            return np.zeros(0, np.float32)
        signal = np.concatenate((self._context, held[: count * _WINDOW]))
        self._context = signal[-_CONTEXT:].copy()
        rows = np.lib.stride_tricks.sliding_window_view(signal, _CONTEXT + _WINDOW)[::_WINDOW]
        probabilities = np.zeros(count, np.float32)
        for start, stop in self._runs(held[: count * _WINDOW].reshape(count, _WINDOW)):
            probabilities[start:stop] = self._ask(rows[start:stop])
        return probabilities

    def finish(self) -> NDArray[np.float32]:
        left = len(self._rest)
        return self.push(np.zeros(_WINDOW - left, np.float32)) if left else np.zeros(0, np.float32)

    def _runs(self, windows: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
        """Runs of windows that the model must see; digital silence that has lasted is 0 by definition."""
        start = None
        for index, silent in enumerate((np.abs(windows).max(axis=1) < _LEAST_BIT).tolist()):
            self._silent = self._silent + 1 if silent else 0
            asked = self._silent <= _SETTLED
            if asked and start is None:
                start = index
            elif not asked and start is not None:
                yield start, index
                start = None
        if start is not None:
            yield start, len(windows)

    def _ask(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = {"input": np.ascontiguousarray(rows), "h": self._h, "c": self._c}
        try:
            with at_work():
                probabilities, self._h, self._c = self._session.run(None, inputs)
        except Exception as error:
            if not _is_its_own(error):
                raise
            raise EngineError("silero", "voice activity", str(error)) from error
        # What is not finite would stay in the state for the rest of the file.
        if not np.isfinite(probabilities).all():
            self._h, self._c = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
        return np.nan_to_num(np.asarray(probabilities, np.float32).reshape(-1), nan=0.0)


def _is_its_own(error: Exception) -> bool:
    """Whether the runtime raised it; else a signal handler of the host did, in the middle of a call (Celery's soft time
    limit), and it is the caller's."""
    return isinstance(error, RuntimeError | ValueError) or type(error).__module__.startswith("onnxruntime.")
