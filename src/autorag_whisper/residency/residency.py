"""Which models are in memory: loaded once, leased, moved off a card and back, released under a name.

The life of one key:

```
            lease()                    load done          release(), evict(), yield_device(unload), no room, close()
  absent ------------> LOADING ------------------> RESIDENT ----------------------------------------> CLOSING
     ^                    |                      leased: 0, 1, 2, ...                                 |     ^
     |    load failed     |                        |            ^                                     |     | again
     +--------------------+    offload, for another|            | lease(): restored                   |     |
     |                         tenant or after use v            |                                     v     |
     |                                           MOVING ----> OFFLOADED --- no room, release() ---> refused: the
     |                                             |                        engine says no; tracked, nobody gets it
     +---- closed, or a move failed ---------------+
                              the next load says why: `LoadReason`
```

A model is loaded, moved and closed by one thread, outside the lock, while nobody else can get it. Of a key there is at
most one copy in memory: while a model leaves or moves, a new lease of its key waits, with a deadline. One that its
engine does not let go of stays in `table`; each later lease tries to close it, one of its own key is refused.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from autorag_whisper.allocator import trim
from autorag_whisper.domain.device import LoadReason
from autorag_whisper.domain.errors import AutoragWhisperError, EngineError, ModelBusy
from autorag_whisper.per_process import require_own
from autorag_whisper.residency.entry import Found, Lease, ModelState, copy_of
from autorag_whisper.residency.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.domain.device import Device
    from autorag_whisper.residency.entry import Entry
    from autorag_whisper.residency.kind import MemoryBudget, ModelKind

_log = logging.getLogger(__name__)

K = TypeVar("K")
M = TypeVar("M")


class Residency(Generic[K, M]):
    """The models of one kind in this process, by key. Thread-safe; nobody else keeps a reference to a model."""

    def __init__(
        self,
        kind: ModelKind[K, M],
        *,
        budget: MemoryBudget[K] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kind, self._budget, self._clock = kind, budget, clock
        self._changed = threading.Condition()  # its lock is the only one
        self._table = Table[K, M](kind.rules)
        self._uses = 0
        self._pid = os.getpid()

    @contextmanager
    def lease(
        self, key: K, *, timeout_s: float | None = 600.0, reason_if_absent: LoadReason = LoadReason.FIRST
    ) -> Iterator[M]:
        """The model of `key`, as `leased` has it."""
        with self.leased(key, timeout_s=timeout_s, reason_if_absent=reason_if_absent) as lease:
            yield lease.model

    @contextmanager
    def leased(
        self, key: K, *, timeout_s: float | None = 600.0, reason_if_absent: LoadReason = LoadReason.FIRST
    ) -> Iterator[Lease[K, M]]:
        """The model of `key`, loaded if it is absent, restored if it is offloaded; not closed or moved before it is
        given back, at the end of the `with`.

        The first caller loads, the others wait for it, `timeout_s` at most (None: for ever). A load's reason is what
        the last release was called, else `reason_if_absent`.

        Raises:
            ModelBusy: another caller's load, or the release of this key, took longer than that.
            EngineError: the residency was closed, or the engine does not let go of a copy that was to leave.
            Exception: what the load raised, in every caller that waited for it, each with its own copy. The key is then
                absent, and the next lease tries again.
        """
        require_own(self._pid, "a loaded model")
        self.close_refused()
        lease = self._get(key, timeout_s, reason_if_absent)
        try:
            yield lease
        finally:
            self._give_back(lease.entry)

    def release(self, key: K, reason: LoadReason = LoadReason.UNLOADED, *, timeout_s: float = 60.0) -> bool:
        """Free the memory of `key`: wait until no lease is left, while new ones wait, then close the model.

        True if it is out of memory now, or never was there. False if leases were left at the deadline: it then stays
        resident, and the leases that waited go on. `reason` is that of the next load of this key.

        Raises:
            EngineError: the engine would not let go of it. Nobody gets it any more, and it is tried again later.
        """
        deadline = self._clock() + timeout_s
        with self._changed:
            entry = self._table.find(key)
            if entry is None:
                return True
            entry.releases += 1
            try:
                if not self._wait_until(lambda: entry.is_idle or entry.state is ModelState.GONE, deadline):
                    return False
                if entry.state is ModelState.GONE:
                    return True
                entry.state, entry.leaving = ModelState.CLOSING, entry.leaving or reason
            finally:
                entry.releases -= 1
                self._changed.notify_all()
        self._close(entry)
        return True

    def evict(self, key: K, reason: LoadReason = LoadReason.EVICTED) -> None:
        """Take a poisoned model out: no new lease gets it, and it is closed when its last lease is given back.

        To be called by one who holds a lease of it, so that it cannot hit a fresh copy. What is not resident is left
        alone. Does not wait; an engine that fails at closing is logged (WARNING).
        """
        with self._changed:
            self._table.condemn(self._table.find(key), reason)
            self._changed.notify_all()
        self._close_leaving()

    def poison(self, lease: Lease[K, M]) -> None:
        """Take the model of this very lease out, as `evict` does, also where its key has a fresh copy by now."""
        with self._changed:
            self._table.condemn(lease.entry, LoadReason.EVICTED)
            self._changed.notify_all()
        self._close_leaving()

    def offload(self, key: K) -> bool:
        """Move it to the CPU's memory, or else close it, if it is not in use: whether it is off its device now."""
        with self._changed:
            entry = self._table.find(key)
            if entry is None or not entry.is_idle or entry.state is not ModelState.RESIDENT:
                return entry is None
            moves = entry.leaving is None  # else its engine did not let go of it before: that is tried again
            entry.state = ModelState.MOVING if moves else ModelState.CLOSING
        return self._move_away(entry) if moves else self._close_anyway(entry)

    def close_idle(self, key: K, reason: LoadReason, unused_since: float | None = None) -> bool:
        """Close it if it is not in use, nor was since `unused_since`: whether it is gone. A refusal is logged."""
        with self._changed:
            entry = self._table.find(key)
            if entry is None or not entry.is_idle or (unused_since is not None and entry.last_use_s > unused_since):
                return False
            entry.state, entry.leaving = ModelState.CLOSING, entry.leaving or reason
        return self._close_anyway(entry)

    def close_refused(self) -> list[K]:
        """Try once more to close what is to leave and is idle, also what its engine refused before: what went."""
        return self._close_leaving(refused=True)

    def held_bytes(self, device: Device, but: K | None = None) -> int:
        """What models on `device` take, but for `but`, as far as it was measured at their loads; refused ones too."""
        measured = self._budget.of if self._budget is not None else lambda _key: None
        return sum(measured(key) or 0 for key in self.on_device(device) if key != but)

    def resident(self) -> tuple[K, ...]:
        """The keys whose next lease loads nothing."""
        with self._changed:
            return tuple(entry.key for entry in self._table.current() if entry.takes_leases)

    def on_device(self, device: Device | None = None) -> tuple[K, ...]:
        """The keys of all models that take memory of `device` (None: of any), in use or not."""
        with self._changed:
            there = [entry.key for entry in self._table.current() if entry.on_device]
        return tuple(key for key in there if device in (None, self._kind.device_of(key)))

    def in_use(self) -> tuple[K, ...]:
        """The keys of the models that are leased or being loaded, of each that was replaced meanwhile too."""
        with self._changed:
            return tuple(entry.key for entry in self._table.all() if entry.leases)

    def unused_since(self, moment_s: float) -> tuple[K, ...]:
        """The keys of the models that nobody uses, nor has since that moment of the clock."""
        with self._changed:
            return tuple(e.key for e in self._table.current() if e.is_idle and e.last_use_s <= moment_s)

    def refused(self) -> tuple[K, ...]:
        """The keys of the models whose engine will not let go of them: in memory, and of no use."""
        with self._changed:
            return tuple(entry.key for entry in self._table.all() if entry.is_kept)

    def close(self, timeout_s: float = 60.0) -> bool:
        """Release everything, for good: later leases raise. Whether all of it was gone by the deadline.

        What is still leased then is closed when its last lease is given back.
        """
        deadline = self._clock() + timeout_s
        with self._changed:
            self._table.close()
            self._changed.notify_all()
        self.close_refused()
        with self._changed:
            self._wait_until(lambda: all(entry.refused for entry in self._table.all()), deadline)
            return not self._table.all()

    def check(self) -> None:
        """Assert the invariants."""
        with self._changed:
            self._table.check()

    def _get(self, key: K, timeout_s: float | None, reason: LoadReason) -> Lease[K, M]:
        while True:
            entry, found = self._pin(key, timeout_s, reason)
            if found is Found.ABSENT:
                self._fill(entry)
            elif found is Found.OFFLOADED and not self._restore(entry):
                reason = LoadReason.EVICTED
                continue  # it did not come back and is gone: load it anew
            assert entry.model is not None
            return Lease(entry.model, found, entry)

    def _pin(self, key: K, timeout_s: float | None, reason: LoadReason) -> tuple[Entry[K, M], Found]:
        """Find and pin in one step. What is ABSENT or OFFLOADED is the caller's to load or to restore."""
        started = self._clock()
        deadline = None if timeout_s is None else started + timeout_s
        with self._changed:
            while True:
                if self._table.closed:
                    raise EngineError(self._kind.title, "lease", "the models of this process were closed")
                entry = self._table.find(key)
                if self._table.is_stuck(key):
                    what = f"a copy of {self._kind.name_of(key)} does not leave memory"
                    raise EngineError(self._kind.title, "lease", what)
                if entry is None:
                    return self._table.add(key, reason), Found.ABSENT
                if entry.takes_leases:
                    entry.leases += 1
                    if entry.state is ModelState.RESIDENT:
                        return entry, Found.RESIDENT
                    entry.state = ModelState.MOVING
                    return entry, Found.OFFLOADED
                if not self._wait_until(partial(self._table.has_changed, entry), deadline):
                    raise ModelBusy(self._kind.name_of(key), self._clock() - started)
                if entry.error is not None:
                    raise copy_of(entry.error) from entry.error

    def _wait_until(self, done: Callable[[], bool], deadline: float | None) -> bool:
        """Under the lock: whether `done` came true before the deadline."""
        while not done():
            left = None if deadline is None else deadline - self._clock()
            if left is not None and left <= 0:
                return False
            self._changed.wait(left)
        return True

    def _fill(self, entry: Entry[K, M]) -> None:
        """Load, outside the lock. Whatever ends it early, Ctrl-C too, leaves the key absent and wakes who waits."""
        key, device = entry.key, self._kind.device_of(entry.key)
        try:
            self._close_leaving()
            self._make_room(device, key)
            with nullcontext() if self._budget is None else self._budget.measure(key):
                model = self._kind.load(key, entry.load_reason)
            with self._changed:
                entry.model, entry.state = model, ModelState.RESIDENT
                self._table.loaded(key)
                self._changed.notify_all()
            self._make_room(device)  # its bytes were not known before
        except BaseException as error:
            with self._changed:
                if entry.state is ModelState.LOADING:
                    entry.error = error if isinstance(error, Exception) else None
                    self._table.forget(entry)
                    self._changed.notify_all()
                else:  # Ctrl-C after the load was done: others may have leased it by now
                    entry.leases -= 1
                    self._changed.notify_all()
            raise

    def _restore(self, entry: Entry[K, M]) -> bool:
        """Bring a model in MOVING back to its device: whether it came. One that did not is closed and forgotten."""
        assert entry.model is not None
        try:
            self._make_room(self._kind.device_of(entry.key), entry.key)
            self._kind.restore(entry.model, entry.key)
        except BaseException as error:
            with self._changed:
                entry.leases -= 1
                entry.state, entry.leaving = ModelState.CLOSING, LoadReason.EVICTED
            self._close_anyway(entry)
            if isinstance(error, AutoragWhisperError | MemoryError):
                self._warn("restore failed, %s is loaded anew: %s", entry, error)
                return False
            raise
        with self._changed:
            entry.state, entry.away = ModelState.RESIDENT, False
            self._changed.notify_all()
        return True

    def _make_room(self, device: Device, more: K | None = None) -> None:
        """Close what was used longest ago on `device` until `more` fits, as far as is known; what is in use stays."""
        if self._budget is None:
            return
        while self._budget.is_short(device, self.held_bytes(device, but=more), more):
            with self._changed:
                there = [e for e in self._table.current() if e.on_device and self._kind.device_of(e.key) == device]
                oldest = min((e for e in there if e.is_idle), key=lambda entry: entry.last_use, default=None)
            if oldest is None or not self.close_idle(oldest.key, LoadReason.EVICTED):
                return

    def _give_back(self, entry: Entry[K, M]) -> None:
        with self._changed:
            entry.leases -= 1
            self._uses += 1
            entry.last_use, entry.last_use_s = self._uses, self._clock()
            self._table.condemn_surplus()
            moves = self._table.leaves_after_use(entry) and self._kind.device_of(entry.key).is_cuda
            if moves:
                entry.state = ModelState.MOVING
            self._changed.notify_all()
        try:
            self._close_leaving()
        finally:
            if moves:
                self._move_away(entry)

    def _move_away(self, entry: Entry[K, M]) -> bool:
        """Have a model in MOVING leave its device: whether it did. What cannot be moved is closed."""
        assert entry.model is not None
        try:
            self._kind.offload(entry.model, entry.key)
        except BaseException as error:
            with self._changed:
                entry.state, entry.leaving = ModelState.CLOSING, LoadReason.EVICTED
            gone = self._close_anyway(entry)
            if isinstance(error, AutoragWhisperError | MemoryError):
                self._warn("offload failed, %s is closed: %s", entry, error)
                return gone
            raise
        with self._changed:
            entry.state, entry.away = ModelState.OFFLOADED, True
            self._changed.notify_all()
        self._close_leaving()  # everything was closed meanwhile
        return True

    def _close_leaving(self, *, refused: bool = False) -> list[K]:
        """Close what is to leave and is idle: what went. `refused`: also what its engine did not let go of before."""
        went: list[K] = []
        tried: set[int] = set()
        while (entry := self._take_leaving(tried, refused=refused)) is not None:
            tried.add(id(entry))
            if self._close_anyway(entry):
                went.append(entry.key)
        return went

    def _take_leaving(self, tried: set[int], *, refused: bool) -> Entry[K, M] | None:
        with self._changed:
            self._table.condemn_surplus()  # again: where an engine keeps its model, another one makes room
            leaving = (entry for entry in self._table.all() if entry.is_idle and entry.leaving is not None)
            entry = next((e for e in leaving if id(e) not in tried and (refused or not e.refused)), None)
            if entry is not None:
                entry.state = ModelState.CLOSING
            return entry

    def _close_anyway(self, entry: Entry[K, M]) -> bool:
        """Whether it is gone; an engine that will not let go is logged."""
        try:
            self._close(entry)
        except (AutoragWhisperError, MemoryError) as error:
            self._warn("%s was to leave memory, but: %s", entry, error)
            return False
        return True

    def _close(self, entry: Entry[K, M]) -> None:
        """Close a model in CLOSING, outside the lock. What its engine will not let go of stays on the books."""
        assert entry.model is not None
        assert entry.leaving is not None
        try:
            self._kind.close(entry.model, entry.key)
        except BaseException:
            with self._changed:
                entry.state, entry.refused = ModelState.OFFLOADED if entry.away else ModelState.RESIDENT, True
                self._changed.notify_all()
            raise
        trim()
        with self._changed:
            self._table.forget(entry)
            self._changed.notify_all()

    def _warn(self, message: str, entry: Entry[K, M], error: BaseException) -> None:
        name = f"the model {self._kind.name_of(entry.key)!r} on {self._kind.device_of(entry.key)}"
        _log.warning(message, name, error)
