"""CTC alignment models by (language, device): few, loaded once, on the card only while they are used.

The life of one:

```
           lease()              load done             last lease back (CUDA), offload_idle()
  absent ----------> LOADING ---------------> READY ----------------------------------> MOVING
     ^                  |                     ^  |                                       |  ^
     |   load failed    |            leases: 0, 1, 2, ...                   offload done |  | lease(): restore
     +------------------+                     |                                          v  |
     |                                        +------------- restore done ------------ OFFLOADED
     |   too many and unused; offload or restore failed; close(): from any state without a lease
     +--- closed -------------------------------------------------------------------- CLOSING
                                                                   engine says no |  ^ every lease, offload_idle, close
                                                                                  v  |
                                                                                REFUSED: nobody gets it
```

A model is moved, restored and closed by one thread, outside the lock, while nobody else can get it. On the CPU there is
nothing to move: it stays READY. An engine may decline without a word: whether a model left is asked of it afterwards
(`is_on_device`). Of one key there is one copy in memory, and while its engine will not let go of it a lease of that key
is refused. A poisoned one alone is replaced while others still hold it: by one copy, and by no second.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from autorag_whisper import telemetry as names
from autorag_whisper.allocator import trim
from autorag_whisper.domain.errors import DeviceError, EngineError, ModelBusy
from autorag_whisper.per_process import require_own
from autorag_whisper.residency.alignment_state import Entry, RestoredFrom, State, kept_on_card
from autorag_whisper.residency.resident import Yielded, copy_of
from autorag_whisper.telemetry import Stretch, Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.domain.device import Device
    from autorag_whisper.engines.aligners import AlignmentModel

_log = logging.getLogger(__name__)


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
        self._models: dict[tuple[str, Device], Entry] = {}
        self._replaced: list[Entry] = []  # poisoned ones that are still in memory
        self._uses = 0
        self._closed = False
        self._pid = os.getpid()

    @contextmanager
    def lease(self, language: str, device: Device, *, timeout_s: float | None = 600.0) -> Iterator[AlignmentModel]:
        """The model of `language` on `device`, ready; not moved or closed before it is given back.

        A DeviceError that leaves the lease makes the model a poisoned one: nobody gets it any more.

        Raises:
            ModelBusy: another caller's load or move of it took longer than `timeout_s`.
            EngineError: all of them were closed, or its engine does not let go of a copy that was to leave.
            Exception: what `load` raised, in every caller that waited for it.
        """
        require_own(self._pid, "a loaded alignment model")
        start_ns = self._telemetry.clock_ns()
        self._try_again()
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

    def offload_idle(self) -> Yielded:
        """Move what is on a card and not in use to the CPU's memory, for another tenant: how many left the card, and
        how many could not as their engines keep them there."""
        freed = self._try_again()
        with self._changed:
            idle = [m for m in self._models.values() if m.is_idle and m.state is State.READY and m.device.is_cuda]
            for model in idle:
                model.state = State.MOVING
        freed += sum([self._offload(model) for model in idle])
        return Yielded(freed, sum(device.is_cuda for _, device in self.refused()))

    def refused(self) -> tuple[tuple[str, Device], ...]:
        """The (language, device) of the models whose engine will not let go of them: in memory, and of no use."""
        with self._changed:
            return tuple(model.key for model in self._kept() if model.state is State.REFUSED)

    def on_device(self) -> tuple[tuple[str, Device], ...]:
        """The (language, device) whose next lease neither loads nor moves anything."""
        with self._changed:
            return tuple(key for key, model in self._models.items() if model.state is State.READY)

    def close(self) -> bool:
        """Close what is idle, for good: later leases raise. What is leased is closed when it is given back.

        Whether nothing is left in memory.
        """
        with self._changed:
            self._closed = True
            doomed = self._take_idle(0)
            self._changed.notify_all()
        self._close_all(doomed)
        self._try_again()
        with self._changed:
            return not self._kept()

    def check(self) -> None:
        """Assert the invariants."""
        with self._changed:
            for key, model in self._models.items():
                assert model.key == key
                assert not model.poisoned
                assert model.leases >= 0
                assert model.state is not State.GONE
                assert (model.emitter is None) == (model.state is State.LOADING)
                assert model.state is not State.OFFLOADED or (model.device.is_cuda and not model.leases)
                assert model.state not in (State.CLOSING, State.REFUSED) or not model.leases
            for model in self._replaced:
                assert model.poisoned
                assert model.leases or model.state in (State.CLOSING, State.REFUSED)
            idle = [model for model in self._models.values() if model.is_idle]
            stay = [model for model in self._models.values() if model.state is not State.CLOSING]
            assert not idle or len(stay) <= self._capacity

    def _get(self, language: str, device: Device, timeout_s: float | None) -> tuple[Entry, RestoredFrom]:
        while True:
            model, found = self._pin(language, device, timeout_s)
            if found is RestoredFrom.FRESH_LOAD:
                self._fill(model)
            if found is not RestoredFrom.RESTORE or self._restore(model):
                return model, found

    def _pin(self, language: str, device: Device, timeout_s: float | None) -> tuple[Entry, RestoredFrom]:
        """Find and pin in one step; what has to be loaded or restored is the caller's to do."""
        deadline = None if timeout_s is None else self._clock() + timeout_s
        doomed: list[Entry] = []
        with self._changed:
            while True:
                if self._closed:
                    raise EngineError("alignment models", "lease", "the alignment models of this process were closed")
                model = self._models.get((language, device))
                self._refuse_another_copy(language, device, model)
                if model is None or model.state in (State.READY, State.OFFLOADED):
                    break
                self._wait(model, deadline, timeout_s)
                if model.error is not None:
                    raise copy_of(model.error) from model.error
            self._uses += 1
            if model is None:
                model = self._models[language, device] = Entry(language, device)
                doomed, found = self._take_idle(self._capacity), RestoredFrom.FRESH_LOAD
            elif model.state is State.OFFLOADED:
                model.state, model.leases, found = State.MOVING, 1, RestoredFrom.RESTORE
            else:
                model.leases += 1
                found = RestoredFrom.CUDA if device.is_cuda else RestoredFrom.CPU
            model.used = self._uses
        self._close_surplus(doomed)
        return model, found

    def _refuse_another_copy(self, language: str, device: Device, known: Entry | None) -> None:
        """Under the lock: what its engine keeps in memory is not loaded again beside itself."""
        kept = known is not None and known.state is State.REFUSED
        replaced = known is None and sum(model.key == (language, device) for model in self._replaced) > 1
        if kept or replaced:
            raise EngineError("alignment models", "lease", f"a copy of the {language} model does not leave memory")

    def _wait(self, model: Entry, deadline: float | None, timeout_s: float | None) -> None:
        """Under the lock: until a load, a move or the end of it is over."""
        while not self._closed and model.state in (State.LOADING, State.MOVING, State.CLOSING):
            left = None if deadline is None else deadline - self._clock()
            if left is not None and left <= 0:
                raise ModelBusy(f"alignment, {model.language}", timeout_s or 0.0)
            self._changed.wait(left)

    def _fill(self, model: Entry) -> None:
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
            model.emitter, model.state = emitter, State.READY
            self._changed.notify_all()

    def _restore(self, model: Entry) -> bool:
        """Bring a model back to its card: whether it came. One that did not is closed."""
        assert model.emitter is not None
        reason = "it stays in the CPU's memory"
        try:
            model.emitter.restore()
            came = model.emitter.is_on_device
        except Exception as error:  # noqa: BLE001 - of any runtime: a fresh load is the answer to all of it
            came, reason = False, str(error)
        except BaseException:
            self._drop(model)
            raise
        if not came:
            _log.warning("restore failed, the %s alignment model is loaded anew: %s", model.language, reason)
            self._drop(model)
            return False
        with self._changed:
            model.state = State.READY
            self._changed.notify_all()
        return True

    def _give_back(self, model: Entry) -> None:
        with self._changed:
            model.leases -= 1
            doomed = self._take_idle(0 if self._closed else self._capacity)
            if model.poisoned and not model.leases:
                model.state = State.CLOSING
                doomed.append(model)
            leaves = self._offload_after_use and model.device.is_cuda and model.is_idle and model.state is State.READY
            if leaves:
                model.state = State.MOVING
            self._changed.notify_all()
        try:
            self._close_surplus(doomed)
        finally:
            if leaves:
                self._offload(model)

    def _offload(self, model: Entry) -> bool:
        """Have a model in MOVING leave its card: whether it did. One that cannot be moved is closed."""
        assert model.emitter is not None
        start_ns = self._telemetry.clock_ns()
        try:
            reason = kept_on_card(model.emitter) and kept_on_card(model.emitter)  # what was declined is tried again
        except BaseException:
            self._drop(model)
            raise
        if reason:
            _log.warning("offload failed, the %s alignment model is dropped: %s", model.language, reason)
            self._telemetry.count(names.OFFLOADS, 1, {names.OUTCOME: "unverified"})
            gone = self._drop(model)
        else:
            gone = True
            with self._changed:
                model.state = State.OFFLOADED
                self._changed.notify_all()
            _log.info("the %s alignment model left %s for the CPU's memory", model.language, model.device)
        stretch = Stretch(start_ns, self._telemetry.clock_ns())
        self._telemetry.span(names.OFFLOAD_ALIGN, stretch, {names.ALIGN_LANGUAGE: model.language})
        return gone

    def _poisoned(self, model: Entry) -> None:
        """Take a model out that others may still hold; the last of them closes it."""
        with self._changed:
            if model.state is State.READY and not model.poisoned:
                model.poisoned = True
                del self._models[model.key]
                self._replaced.append(model)
                self._changed.notify_all()

    def _drop(self, model: Entry) -> bool:
        with self._changed:
            model.state, model.leases = State.CLOSING, 0
        return self._close(model)

    def _try_again(self) -> int:
        """Close once more what was refused its end: how many models of a card went."""
        with self._changed:
            refused = [model for model in self._kept() if model.state is State.REFUSED]
            for model in refused:
                model.state = State.CLOSING
        return sum([self._close(model) and model.device.is_cuda for model in refused])

    def _kept(self) -> list[Entry]:
        """Under the lock: all that may be in memory."""
        return [*self._models.values(), *self._replaced]

    def _take_idle(self, kept: int) -> list[Entry]:
        """Under the lock: idle models that are to be closed until `kept` are left, the one used longest ago first."""
        idle = sorted((m for m in self._models.values() if m.is_idle), key=lambda m: m.used)
        staying = sum(model.state is not State.CLOSING for model in self._models.values())
        doomed = idle[: max(0, staying - kept)]
        for model in doomed:
            model.state = State.CLOSING
        return doomed

    def _forget(self, model: Entry) -> None:
        """Under the lock."""
        model.state = State.GONE
        if model.poisoned:
            self._replaced.remove(model)
        else:
            del self._models[model.key]
        self._changed.notify_all()

    def _close_surplus(self, doomed: list[Entry]) -> None:
        """Close them; where an engine keeps its model, another one makes room."""
        while doomed:
            self._close_all(doomed)
            with self._changed:
                doomed = self._take_idle(0 if self._closed else self._capacity)

    def _close_all(self, models: list[Entry]) -> None:
        try:
            for model in models:
                self._close(model)
        finally:
            with self._changed:
                for model in models:  # Ctrl-C came before their turn
                    if model.state is State.CLOSING:
                        model.state = State.REFUSED

    def _close(self, model: Entry) -> bool:
        """Close a model in CLOSING, outside the lock: whether it is gone. One that is not stays on the books."""
        assert model.emitter is not None
        gone, reason = False, "its engine keeps it in memory"
        try:
            model.emitter.close()
            gone = not model.emitter.is_on_device
        except Exception as error:  # noqa: BLE001 - of any runtime: it is told, and tried again
            reason = str(error)
        finally:
            with self._changed:
                if gone:
                    self._forget(model)
                else:
                    model.state = State.REFUSED
                    self._changed.notify_all()
        if gone:
            trim()
        else:
            _log.warning("the %s alignment model is to leave %s, but: %s", model.language, model.device, reason)
        return gone
