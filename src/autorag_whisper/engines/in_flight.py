"""What every adapter of a runtime needs: calls counted, so that nothing is freed under one, and failures named."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Event, RLock
from typing import TYPE_CHECKING, Any

from autorag_whisper.domain.errors import DeviceError, EngineError, ModelDamaged
from autorag_whisper.engines import cuda_failures
from autorag_whisper.fork_safety import at_work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autorag_whisper.domain.device import Device

_UNLOAD_ATTEMPTS, _UNLOAD_WAIT_S = 200, 0.05


@dataclass(frozen=True, slots=True)
class Engine:
    """Who is at work, for the errors: the runtime, the model's name, the file its weights are in, its device."""

    runtime: str
    model: str
    file: str
    device: Device


class InFlight:
    """The calls that are in an engine. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # `with` holds the lock itself: to enter and to leave a Condition is Python, which a signal handler interrupts.
        self._lock = RLock()
        self._gate = Condition(self._lock)
        self._calls: set[object] = set()  # a token for each
        self._alone: object = None  # that of whoever is
        self._closed = False
        self.away = False
        """The weights are not on the device. Set inside `alone`."""

    @contextmanager
    def call(self, stage: str) -> Iterator[None]:
        """Around a call: waits while the model is moved, refuses after `close`, names what the runtime raises."""
        token = object()
        try:  # whatever a signal handler raises between two of these lines, the call is not counted for ever
            with self._lock:
                self._gate.wait_for(lambda: self._alone is None)
                self._refuse_if_closed(stage)
                if self.away:
                    raise EngineError(self._engine.runtime, stage, "the model was offloaded")
                self._calls.add(token)
            with at_work(), failures(self._engine, stage):
                yield
        finally:
            self._calls.discard(token)
            with self._lock:
                self._gate.notify_all()

    @contextmanager
    def alone(self, stage: str) -> Iterator[None]:
        """Around a move of the model: waits until no call is left, and lets none in."""
        token = object()
        try:
            with self._lock:
                self._gate.wait_for(lambda: self._alone is None)
                self._refuse_if_closed(stage)
                self._alone = token
                self._gate.wait_for(lambda: not self._calls)
            with at_work(), failures(self._engine, stage):
                yield
        finally:
            if self._alone is token:
                self._alone = None
            with self._lock:
                self._gate.notify_all()

    def close(self) -> None:
        """Let no call in any more, and wait until none is left. Again is fine."""
        with self._lock:
            self._closed = True
            self._gate.wait_for(lambda: not self._calls and self._alone is None)

    def _refuse_if_closed(self, stage: str) -> None:
        if self._closed:
            raise EngineError(self._engine.runtime, stage, "the model was closed")


def unload(model: Any, runtime: str, *, to_cpu: bool = False) -> None:
    """Take a CTranslate2 model out of its device's memory.

    It does nothing, silently, while a batch counts as active, which it does for a moment after its result came: it is
    repeated until the model says that it is gone. Raises EngineError if it keeps declining.
    """
    pause = Event()
    for _ in range(_UNLOAD_ATTEMPTS):
        if not model.model_is_loaded:
            return
        model.unload_model(to_cpu=to_cpu)
        pause.wait(_UNLOAD_WAIT_S if model.model_is_loaded else 0)
    raise EngineError(runtime, "unload", "it keeps the model in memory")


@contextmanager
def failures(engine: Engine, stage: str) -> Iterator[None]:
    """Turn what a runtime raises into the errors that `engines.base` names."""
    try:
        yield
    except (RuntimeError, ValueError, MemoryError) as error:  # Thrust's own out of memory is a bad_alloc
        message = first_line(error)
        cause = cuda_failures.classify(message) if engine.device.is_cuda else None
        if cause is not None:
            raise DeviceError(str(engine.device), cause, f"{stage}: {message}") from error
        if isinstance(error, MemoryError) or "bad_alloc" in message:
            raise MemoryError(f"{stage}: {message}") from error
        if stage == "load":
            raise ModelDamaged(engine.model, engine.file, message) from error
        raise EngineError(engine.runtime, stage, message) from error


def first_line(error: BaseException) -> str:
    """An error's message without what a runtime adds below it."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
