"""CTC alignment models by (language, device): few, loaded once, on the card only while they are used.

The life of one:

```
           lease()              load done             last lease back (CUDA), offload_idle()
  absent ----------> LOADING ---------------> READY ----------------------------------> MOVING
     ^                  |                     ^  |                                       |  ^
     |   load failed    |            leases: 0, 1, 2, ...                   offload done |  | lease(): restore
     +------------------+                     |                                          v  |
     |                                        +------------- restore done ------------ OFFLOADED
     |   too many and unused; offload or restore failed; close()
     +---------------------------------------------------------- from any state without a lease
```

A model is moved, restored and closed by one thread, outside the lock, while nobody else can get it. On the CPU there is
nothing to move: it stays READY.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING

from autorag_whisper import telemetry as names
from autorag_whisper.domain.errors import AutoragWhisperError, DeviceError, EngineError, ModelBusy
from autorag_whisper.runtime.memory import trim
from autorag_whisper.runtime.resident import copy_of
from autorag_whisper.telemetry import Stretch, Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.domain.device import Device
    from autorag_whisper.engines.base import AlignmentModel

_log = logging.getLogger(__name__)


class RestoredFrom(StrEnum):
    """Where a lease found its model."""

    CUDA = "cuda"
    CPU = "cpu"
    RESTORE = "cpu_to_cuda_restore"
    FRESH_LOAD = "fresh_load"


class _State(Enum):
    LOADING = auto()
    READY = auto()
    OFFLOADED = auto()
    MOVING = auto()
    GONE = auto()  # known only to those who waited for it


@dataclass(slots=True, eq=False)
class _Model:
    """Changed under the lock alone; `emitter` is called outside it."""

    language: str
    device: Device
    state: _State = _State.LOADING
    leases: int = 1  # that of the loader
    used: int = 0  # the higher, the later
    emitter: AlignmentModel | None = None
    error: Exception | None = None  # why the load failed

    @property
    def key(self) -> tuple[str, Device]:
        return self.language, self.device

    @property
    def is_idle(self) -> bool:
        return not self.leases and self.state in (_State.READY, _State.OFFLOADED)


class AlignmentModels:
    """The alignment models of this process. Thread-safe; nobody else keeps a reference to an emitter.

    `capacity`: models kept, in use or not; what was used longest ago goes first. More are loaded only while all of them
    are leased. `offload_after_use`: whether a model leaves the card when its last lease is given back; a run that
    leases it from its first chunk to its last moves it once.
    """

    def __init__(
        self,
        load: Callable[[str, Device], AlignmentModel],
        telemetry: Telemetry,
        *,
        capacity: int = 2,
        offload_after_use: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if capacity < 1:
            raise ValueError("capacity must be 1 or more")
        self._load, self._telemetry, self._capacity = load, telemetry, capacity
        self._offload_after_use, self._clock = offload_after_use, clock
        self._changed = threading.Condition()  # its lock is the only one
        self._models: dict[tuple[str, Device], _Model] = {}
        self._uses = 0
        self._closed = False

    @contextmanager
    def lease(self, language: str, device: Device, *, timeout_s: float | None = 600.0) -> Iterator[AlignmentModel]:
        """The model of `language` on `device`, ready; not moved or closed before it is given back.

        A DeviceError that leaves the lease makes the model a poisoned one: nobody gets it any more.

        Raises:
            ModelBusy: another caller's load or move of it took longer than `timeout_s`.
            EngineError: all of them were closed.
            Exception: what `load` raised, in every caller that waited for it.
        """
        start_ns = self._telemetry.clock_ns()
        model, found = self._get(language, device, timeout_s)
        told = {names.ALIGN_LANGUAGE: language, names.ALIGN_DEVICE: str(device), names.ALIGN_RESTORED_FROM: found.value}
        self._telemetry.span(names.GET_ALIGN_MODEL, Stretch(start_ns, self._telemetry.clock_ns()), told)
        try:
            assert model.emitter is not None
            yield model.emitter
        except DeviceError:
            self._poisoned(model)
            raise
        finally:
            self._give_back(model)

    def offload_idle(self) -> int:
        """Move what is on a card and not in use to the CPU's memory, for another tenant: how many were moved."""
        with self._changed:
            idle = [m for m in self._models.values() if m.is_idle and m.state is _State.READY and m.device.is_cuda]
            for model in idle:
                model.state = _State.MOVING
        for model in idle:
            self._offload(model)
        return len(idle)

    def on_device(self) -> tuple[tuple[str, Device], ...]:
        """The (language, device) whose next lease neither loads nor moves anything."""
        with self._changed:
            return tuple(key for key, model in self._models.items() if model.state is _State.READY)

    def close(self) -> None:
        """Close what is idle, for good: later leases raise. What is leased is closed when it is given back."""
        with self._changed:
            self._closed = True
            doomed = self._take_idle(0)
            self._changed.notify_all()
        self._close_all(doomed)

    def check(self) -> None:
        """Assert the invariants."""
        with self._changed:
            for key, model in self._models.items():
                assert model.key == key
                assert model.leases >= 0
                assert model.state is not _State.GONE
                assert (model.emitter is None) == (model.state is _State.LOADING)
                assert model.state is not _State.OFFLOADED or (model.device.is_cuda and not model.leases)
            idle = [model for model in self._models.values() if model.is_idle]
            assert not idle or len(self._models) <= self._capacity

    def _get(self, language: str, device: Device, timeout_s: float | None) -> tuple[_Model, RestoredFrom]:
        model, found = self._pin(language, device, timeout_s)
        if found is RestoredFrom.RESTORE and not self._restore(model):
            model, found = self._pin(language, device, timeout_s)  # that one was poisoned and is gone
        if found is RestoredFrom.FRESH_LOAD:
            self._fill(model)
        return model, found

    def _pin(self, language: str, device: Device, timeout_s: float | None) -> tuple[_Model, RestoredFrom]:
        """Find and pin in one step; what has to be loaded or restored is the caller's to do."""
        deadline = None if timeout_s is None else self._clock() + timeout_s
        doomed: list[_Model] = []
        with self._changed:
            while True:
                if self._closed:
                    raise EngineError("alignment models", "lease", "the alignment models of this process were closed")
                model = self._models.get((language, device))
                if model is None or model.state in (_State.READY, _State.OFFLOADED):
                    break
                self._wait(model, deadline, timeout_s)
                if model.error is not None:
                    raise copy_of(model.error) from model.error
            self._uses += 1
            if model is None:
                model = self._models[language, device] = _Model(language, device)
                doomed, found = self._take_idle(self._capacity), RestoredFrom.FRESH_LOAD
            elif model.state is _State.OFFLOADED:
                model.state, model.leases, found = _State.MOVING, 1, RestoredFrom.RESTORE
            else:
                model.leases += 1
                found = RestoredFrom.CUDA if device.is_cuda else RestoredFrom.CPU
            model.used = self._uses
        self._close_all(doomed)
        return model, found

    def _wait(self, model: _Model, deadline: float | None, timeout_s: float | None) -> None:
        """Under the lock: until a load or a move of it is over."""
        while not self._closed and model.state in (_State.LOADING, _State.MOVING):
            left = None if deadline is None else deadline - self._clock()
            if left is not None and left <= 0:
                raise ModelBusy(f"alignment, {model.language}", timeout_s or 0.0)
            self._changed.wait(left)

    def _fill(self, model: _Model) -> None:
        """Load, outside the lock. Whatever ends it early, Ctrl-C too, leaves the key absent and wakes who waits."""
        started = self._clock()
        try:
            emitter = self._load(model.language, model.device)
        except BaseException as error:
            with self._changed:
                model.error = error if isinstance(error, Exception) else None
                self._forget(model)
            raise
        self._telemetry.duration(names.MODEL_LOAD_DURATION, self._clock() - started, {})
        with self._changed:
            model.emitter, model.state = emitter, _State.READY
            self._changed.notify_all()

    def _restore(self, model: _Model) -> bool:
        """Bring a model back to its card: whether it came. One that did not is closed and forgotten."""
        assert model.emitter is not None
        try:
            model.emitter.restore()
        except (AutoragWhisperError, MemoryError) as error:
            _log.warning("restore failed, the %s alignment model is loaded anew: %s", model.language, error)
            self._drop(model)
            return False
        except BaseException:
            self._drop(model)
            raise
        with self._changed:
            model.state = _State.READY
            self._changed.notify_all()
        return True

    def _give_back(self, model: _Model) -> None:
        with self._changed:
            model.leases -= 1
            poisoned = [model] if model.state is _State.GONE and not model.leases else []
            leaves = self._offload_after_use and model.device.is_cuda and not model.leases
            doomed = self._take_idle(0 if self._closed else self._capacity)
            leaves = leaves and model.state is _State.READY
            if leaves:
                model.state = _State.MOVING
            self._changed.notify_all()
        self._close_all(doomed + poisoned)
        if leaves:
            self._offload(model)

    def _offload(self, model: _Model) -> None:
        """Move a model in MOVING off its card. One that cannot be moved is closed: the card must come free."""
        assert model.emitter is not None
        start_ns = self._telemetry.clock_ns()
        try:
            model.emitter.offload()
        except (AutoragWhisperError, MemoryError) as error:
            _log.warning("offload failed, the %s alignment model is dropped: %s", model.language, error)
            self._drop(model)
        except BaseException:
            self._drop(model)
            raise
        else:
            with self._changed:
                model.state = _State.OFFLOADED
                self._changed.notify_all()
            _log.info("the %s alignment model left %s for the CPU's memory", model.language, model.device)
        stretch = Stretch(start_ns, self._telemetry.clock_ns())
        self._telemetry.span(names.OFFLOAD_ALIGN, stretch, {names.ALIGN_LANGUAGE: model.language})

    def _poisoned(self, model: _Model) -> None:
        """Take a model out that others may still hold; the last of them closes it."""
        with self._changed:
            if model.state is _State.READY:
                self._forget(model)

    def _drop(self, model: _Model) -> None:
        with self._changed:
            self._forget(model)
        self._close_all([model])

    def _take_idle(self, kept: int) -> list[_Model]:
        """Under the lock: forget idle models until `kept` are left, the one used longest ago first."""
        idle = sorted((m for m in self._models.values() if m.is_idle), key=lambda m: m.used)
        doomed = idle[: max(0, len(self._models) - kept)]
        for model in doomed:
            self._forget(model)
        return doomed

    def _forget(self, model: _Model) -> None:
        """Under the lock."""
        model.state = _State.GONE
        del self._models[model.key]
        self._changed.notify_all()

    def _close_all(self, models: list[_Model]) -> None:
        for model in models:
            if model.emitter is not None:
                try:
                    model.emitter.close()
                except AutoragWhisperError as error:
                    _log.warning("the %s alignment model was closed, but: %s", model.language, error)
        if models:
            trim()
