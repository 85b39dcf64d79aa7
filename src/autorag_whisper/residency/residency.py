"""Who is in memory: models are loaded once, leased, moved off a card and back, and released under a name.

The life of one key:

```
            lease()                    load done               release(), evict(), yield_device(unload), no room
  absent ------------> LOADING ------------------> RESIDENT ----------------------------------------> CLOSING
     ^                    |                      leased: 0, 1, 2, ...                                 |     ^
     |    load failed     |                        |            ^                                     |     | again
     +--------------------+   yield_device(offload)|            | lease(): restored                   |     |
     |                                             v            |                                     v     |
     |                                           MOVING ----> OFFLOADED --- no room, release() ---> refused: the
     |                                             |                        engine says no; tracked, nobody gets it
     +---- closed, or a move failed ---------------+
                              the next load says why: `LoadReason`
```

Of one key there is at most one copy in memory: while a model leaves or moves, a new lease of its key waits. That wait,
like any here, has a deadline, and so has the mistake of releasing what the same thread holds. A model that was refused
its end by its engine stays on the books, with its bytes, and every later lease or release of any key tries again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from autorag_whisper.allocator import trim
from autorag_whisper.domain.device import LoadReason, OnYield
from autorag_whisper.domain.errors import AutoragWhisperError, EngineError, ModelBusy
from autorag_whisper.per_process import require_own
from autorag_whisper.residency.resident import Model, State, Yielded, bring_back, copy_of, move_away

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.domain.device import Device, ModelKey
    from autorag_whisper.engines.base import LoadedEngine
    from autorag_whisper.residency.footprints import Footprints

_log = logging.getLogger(__name__)


class Residency:
    """The models of this process by key. Thread-safe; nobody else keeps a reference to a recogniser.

    `load` is called outside the lock, so it may take its time, and lease other keys; so are engines closed and moved.
    `footprints`: what models take, and how much there may be; None: nobody counts.
    """

    def __init__(
        self,
        load: Callable[[ModelKey, LoadReason], LoadedEngine],
        *,
        footprints: Footprints | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load, self._footprints, self._clock = load, footprints, clock
        self._changed = threading.Condition()  # its lock is the only one
        self._models: dict[ModelKey, Model] = {}
        self._reasons: dict[ModelKey, LoadReason] = {}  # of keys that were resident and are not
        self._closed = False
        self._pid = os.getpid()

    @contextmanager
    def lease(
        self, key: ModelKey, *, timeout_s: float | None = 600.0, reason_if_absent: LoadReason = LoadReason.FIRST
    ) -> Iterator[LoadedEngine]:
        """The recogniser of `key`, loaded if it is absent, restored if it is offloaded; not closed or moved before it
        is given back.

        The first caller loads, the others wait for it, `timeout_s` at most (None: for ever). A load's reason is what
        the last release was called, else `reason_if_absent`.

        Raises:
            ModelBusy: another caller's load, or the release of this key, took longer than that.
            EngineError: residency was closed, or the engine does not let go of a copy that was to leave.
            Exception: what `load` raised, in every caller that waited for it, each with its own copy. The key is then
                absent, and the next lease tries again.
        """
        require_own(self._pid, "a loaded model")
        self._close_the_doomed(refused=True)
        model = self._get(key, timeout_s, reason_if_absent)
        try:
            assert model.recognizer is not None
            yield model.recognizer
        finally:
            self._give_back(model)

    def release(self, key: ModelKey, reason: LoadReason = LoadReason.UNLOADED, *, timeout_s: float = 60.0) -> bool:
        """Free the memory of `key`: wait until no lease is left, while new ones wait, then close the engine.

        True if it is out of memory now, or never was there. False if leases were left at the deadline: it then stays
        resident, and the leases that waited go on. `reason` is that of the next load of this key.

        Raises:
            EngineError: the engine would not let go of it. Nobody gets it any more, and it is tried again later.
        """
        deadline = self._clock() + timeout_s
        with self._changed:
            model = self._models.get(key)
            if model is None:
                return True
            model.releases += 1
            try:
                if not self._wait_until(lambda: model.is_idle or model.state is State.GONE, deadline):
                    return False
                if model.state is State.GONE:
                    return True
                model.state, model.leaving = State.CLOSING, model.leaving or reason
            finally:
                model.releases -= 1
                self._changed.notify_all()
        self._close(model)
        return True

    def evict(self, key: ModelKey, reason: LoadReason = LoadReason.EVICTED) -> None:
        """Take a poisoned model out: no new lease gets it, and it is closed when its last lease is given back.

        To be called by one who holds a lease of it, so that it cannot hit a fresh copy. What is not resident is left
        alone. Does not wait; an engine that fails at closing is logged (WARNING).
        """
        with self._changed:
            model = self._models.get(key)
            if model is not None and model.state is State.RESIDENT:
                model.leaving = model.leaving or reason
        self._close_the_doomed()

    def yield_device(self, device: Device, policy: OnYield | Callable[[ModelKey], OnYield]) -> Yielded:
        """Have the models on `device` leave it for another tenant, as `policy` says of all or of each; those in use are
        stuck."""
        went = stuck = 0
        for key in self._on(device):
            wanted = policy if isinstance(policy, OnYield) else policy(key)
            if wanted is OnYield.KEEP:
                continue
            done = self._offload_idle(key) if wanted is OnYield.OFFLOAD else self._close_idle(key, LoadReason.UNLOADED)
            went, stuck = went + done, stuck + (not done)
        return Yielded(went, stuck)

    def free_others(self, device: Device, but: ModelKey) -> int:
        """Close what is on `device` and not in use, other than `but`: how many models went. Waits for no lease."""
        return sum(self._close_idle(key, LoadReason.EVICTED) for key in self._on(device) if key != but)

    def release_unused(self, unused_s: float, which: Callable[[ModelKey], bool] = lambda _key: True) -> int:
        """Close what nobody has used for so long, of `which` that is true: how many models went. For a host that lets
        models idle out."""
        before = self._clock() - unused_s
        with self._changed:
            old = [key for key, model in self._models.items() if model.is_idle and model.used_s <= before]
        return sum(self._close_idle(key, LoadReason.UNLOADED, before) for key in old if which(key))

    def held_bytes(self, device: Device) -> int:
        """What the models on `device` take, as far as it was measured at their loads; those that were refused too."""
        if self._footprints is None:
            return 0
        return sum(self._footprints.of(key) or 0 for key in self._on(device))

    def resident(self) -> tuple[ModelKey, ...]:
        """The keys whose next lease loads nothing."""
        with self._changed:
            return tuple(key for key, model in self._models.items() if model.takes_leases)

    def close(self, timeout_s: float = 60.0) -> bool:
        """Release everything, for good: later leases raise.

        Whether all of it was gone by the deadline. What is still leased then is closed when its last lease is given
        back.
        """
        deadline = self._clock() + timeout_s
        with self._changed:
            self._closed = True
            for model in self._models.values():
                model.leaving = model.leaving or LoadReason.UNLOADED
            self._changed.notify_all()
        self._close_the_doomed(refused=True)
        with self._changed:
            return self._wait_until(lambda: all(model.refused for model in self._models.values()), deadline) and (
                not self._models
            )

    def check(self) -> None:
        """Assert the invariants."""
        with self._changed:
            for key, model in self._models.items():
                assert model.key == key
                assert model.leases >= 0 <= model.releases
                assert model.state is not State.GONE
                assert (model.recognizer is None) == (model.state is State.LOADING)
                assert model.state is not State.LOADING or model.leases == 1
                assert model.state is not State.CLOSING or (not model.leases and model.leaving is not None)
                assert model.state is not State.OFFLOADED or not model.leases
                assert model.state not in (State.RESIDENT, State.OFFLOADED) or key not in self._reasons
                assert not model.refused or model.leaving is not None

    # ------------------------------------------------------------ getting one

    def _get(self, key: ModelKey, timeout_s: float | None, reason: LoadReason) -> Model:
        while True:
            model = self._pin(key, timeout_s, reason)
            if model.state is State.LOADING:
                self._fill(model)
            elif model.state is State.MOVING and not self._restore(model):
                reason = LoadReason.EVICTED
                continue  # it did not come back and is gone: load it anew
            return model

    def _pin(self, key: ModelKey, timeout_s: float | None, reason: LoadReason) -> Model:
        """Find and pin in one step. What comes back LOADING or MOVING is the caller's to load or to restore."""
        started = self._clock()
        deadline = None if timeout_s is None else started + timeout_s
        with self._changed:
            while True:
                if self._closed:
                    raise EngineError("residency", "lease", "the models of this process were closed")
                model = self._models.get(key)
                if model is None:
                    return self._models.setdefault(key, Model(key, self._reasons.get(key, reason)))
                if model.takes_leases:
                    model.leases += 1
                    if model.state is State.OFFLOADED:
                        model.state = State.MOVING
                    return model
                if model.refused and model.state is not State.CLOSING:
                    name = PurePath(key.model).name
                    raise EngineError("residency", "lease", f"a copy of {name!r} does not leave memory")
                if not self._wait_until(partial(self._is_over, model), deadline):
                    raise ModelBusy(PurePath(key.model).name, self._clock() - started)
                if model.error is not None:
                    raise copy_of(model.error) from model.error

    def _is_over(self, model: Model) -> bool:
        is_kept = model.refused and model.state is not State.CLOSING
        return self._closed or model.takes_leases or model.state is State.GONE or is_kept

    def _wait_until(self, done: Callable[[], bool], deadline: float | None) -> bool:
        """Under the lock: whether `done` came true before the deadline."""
        while not done():
            left = None if deadline is None else deadline - self._clock()
            if left is not None and left <= 0:
                return False
            self._changed.wait(left)
        return True

    def _fill(self, model: Model) -> None:
        """Load, outside the lock. Whatever ends it early, Ctrl-C too, leaves the key absent and wakes who waits."""
        try:
            self._make_room(model.key.device, model.key)
            recognizer = self._measured(model)
            with self._changed:
                model.recognizer, model.state = recognizer, State.RESIDENT
                self._reasons.pop(model.key, None)
                self._changed.notify_all()
            self._make_room(model.key.device)  # its bytes were not known before
        except BaseException as error:
            with self._changed:
                if model.state is State.LOADING:
                    model.error = error if isinstance(error, Exception) else None
                    self._forget(model)
                else:  # Ctrl-C after the load was done: others may have leased it by now
                    model.leases -= 1
            raise

    def _measured(self, model: Model) -> LoadedEngine:
        if self._footprints is None:
            return self._load(model.key, model.load_reason)
        with self._footprints.measure(model.key):
            return self._load(model.key, model.load_reason)

    def _restore(self, model: Model) -> bool:
        """Bring a model in MOVING back to its device: whether it came. One that did not is closed and forgotten."""
        assert model.recognizer is not None
        try:
            self._make_room(model.key.device, model.key)
            bring_back(model.recognizer, model.key.device)
        except BaseException as error:
            with self._changed:
                model.leases -= 1
                model.state, model.leaving = State.CLOSING, LoadReason.EVICTED
            self._close_anyway(model)
            if isinstance(error, AutoragWhisperError | MemoryError):
                _log.warning("restore failed, a model on %s is loaded anew: %s", model.key.device, error)
                return False
            raise
        with self._changed:
            model.state, model.away = State.RESIDENT, False
            self._changed.notify_all()
        return True

    def _make_room(self, device: Device, more: ModelKey | None = None) -> None:
        """Close what was used longest ago on `device` until `more` fits, as far as is known; what is in use stays."""
        if self._footprints is None:
            return
        while self._footprints.is_short(device, self.held_bytes(device), more):
            with self._changed:
                others = [m for m in self._models.values() if m.key.device == device and m.is_idle and m.is_there]
                oldest = min(others, key=lambda model: model.used_s, default=None)
            if oldest is None or not self._close_idle(oldest.key, LoadReason.EVICTED):
                return

    # ------------------------------------------------------------ letting one go

    def _give_back(self, model: Model) -> None:
        with self._changed:
            model.leases -= 1
            model.used_s = self._clock()
            self._changed.notify_all()
        self._close_the_doomed()

    def _on(self, device: Device) -> list[ModelKey]:
        with self._changed:
            return [key for key, model in self._models.items() if key.device == device and model.is_there]

    def _close_idle(self, key: ModelKey, reason: LoadReason, unused_since: float | None = None) -> bool:
        """Whether it is gone now. Found and taken in one step: nobody leases it in between."""
        with self._changed:
            model = self._models.get(key)
            if model is None or not model.is_idle or (unused_since is not None and model.used_s > unused_since):
                return False
            model.state, model.leaving = State.CLOSING, model.leaving or reason
        return self._close_anyway(model)

    def _offload_idle(self, key: ModelKey) -> bool:
        """Move it to the CPU's memory: whether it is off its device now. What cannot be moved is closed."""
        with self._changed:
            model = self._models.get(key)
            if model is None or model.state is not State.RESIDENT or not model.is_idle:
                return model is None
            model.state = State.MOVING if model.leaving is None else State.CLOSING
        if model.state is State.CLOSING:  # its engine did not let go of it before
            return self._close_anyway(model)
        assert model.recognizer is not None
        try:
            move_away(model.recognizer, key.device)
        except BaseException as error:
            with self._changed:
                model.state, model.leaving = State.CLOSING, LoadReason.EVICTED
            gone = self._close_anyway(model)
            if isinstance(error, AutoragWhisperError | MemoryError):
                _log.warning("offload failed, a model on %s is closed: %s", key.device, error)
                return gone
            raise
        with self._changed:
            model.state, model.away = State.OFFLOADED, True
            self._changed.notify_all()
        self._close_the_doomed()  # everything was closed meanwhile
        return True

    def _close_the_doomed(self, *, refused: bool = False) -> None:
        """Close what was evicted and is idle, one after the other; what was `refused` before once more, if asked to."""
        tried: set[int] = set()
        while (model := self._take_doomed(tried, refused=refused)) is not None:
            tried.add(id(model))
            self._close_anyway(model)

    def _take_doomed(self, tried: set[int], *, refused: bool) -> Model | None:
        with self._changed:
            for model in self._models.values():
                is_next = model.is_idle and model.leaving is not None and id(model) not in tried
                if is_next and (refused or not model.refused):
                    model.state = State.CLOSING
                    return model
        return None

    def _close_anyway(self, model: Model) -> bool:
        """Whether it is gone; an engine that will not let go is logged."""
        try:
            self._close(model)
        except AutoragWhisperError as error:
            _log.warning("a model on %s was released, but: %s", model.key.device, error)
            return False
        return True

    def _close(self, model: Model) -> None:
        """Close the engine of a model in CLOSING, outside the lock. What it will not let go of stays on the books."""
        assert model.recognizer is not None
        assert model.leaving is not None
        try:
            model.recognizer.close()
        except BaseException:
            with self._changed:
                model.state, model.refused = State.OFFLOADED if model.away else State.RESIDENT, True
                self._changed.notify_all()
            raise
        trim()
        with self._changed:
            self._reasons[model.key] = model.leaving
            self._forget(model)

    def _forget(self, model: Model) -> None:
        """Under the lock."""
        model.state, model.recognizer = State.GONE, None
        del self._models[model.key]
        self._changed.notify_all()
