"""Who is in memory: models are loaded once, leased, and released under a name.

The life of one key:

```
            lease()                    load done                release(), last lease of an evict()
  absent ------------> LOADING ------------------> RESIDENT ----------------------> CLOSING
     ^                    |                         |    ^                             |
     |    load failed     |                  lease  |    | lease given back            | engine closed
     +--------------------+                         +----+                             |
     ^                                        (leases: 0, 1, 2, ...)                   |
     +---------------------------------------------------------------------------------+
                              the next load says why: `LoadReason`
```

Of one key there is at most one copy in memory: while a model leaves (released, evicted, being closed), a new lease of
its key waits. That wait, like any here, has a deadline, and so has the mistake of releasing what the same thread holds.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from autorag_whisper.domain.device import LoadReason
from autorag_whisper.domain.errors import AutoragWhisperError, EngineError, ModelBusy
from autorag_whisper.runtime.memory import trim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.domain.device import ModelKey
    from autorag_whisper.engines.base import Recognizer

_log = logging.getLogger(__name__)


class _State(Enum):
    LOADING = auto()
    RESIDENT = auto()
    CLOSING = auto()
    GONE = auto()  # known only to those who waited for it


@dataclass(slots=True, eq=False)
class _Model:
    """One load of a key, from its start to its end. Changed under the lock alone."""

    key: ModelKey
    load_reason: LoadReason
    state: _State = _State.LOADING
    leases: int = 1  # that of the loader
    releases: int = 0  # calls that wait for the leases to end; no new lease meanwhile
    leaving: LoadReason | None = None  # evicted: no new lease ever, closed after the last one
    recognizer: Recognizer | None = None
    error: Exception | None = None  # why the load failed

    @property
    def takes_leases(self) -> bool:
        return self.state is _State.RESIDENT and not self.releases and self.leaving is None

    @property
    def is_idle(self) -> bool:
        return self.state is _State.RESIDENT and not self.leases


class Residency:
    """The models of this process by key. Thread-safe; nobody else keeps a reference to a recogniser.

    `load` is called outside the lock, so it may take its time, and lease other keys; so are engines closed.
    """

    def __init__(
        self, load: Callable[[ModelKey, LoadReason], Recognizer], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load, self._clock = load, clock
        self._changed = threading.Condition()  # its lock is the only one
        self._models: dict[ModelKey, _Model] = {}
        self._reasons: dict[ModelKey, LoadReason] = {}  # of keys that were resident and are not
        self._closed = False

    @contextmanager
    def lease(
        self, key: ModelKey, *, timeout_s: float | None = 600.0, reason_if_absent: LoadReason = LoadReason.FIRST
    ) -> Iterator[Recognizer]:
        """The recogniser of `key`, loaded if it is absent; not closed or moved before it is given back.

        The first caller loads, the others wait for it, `timeout_s` at most (None: for ever). A load's reason is what
        the last release was called, else `reason_if_absent`.

        Raises:
            ModelBusy: another caller's load, or the release of this key, took longer than that.
            EngineError: residency was closed.
            Exception: what `load` raised, in every caller that waited for it, each with its own copy. The key is then
                absent, and the next lease tries again.
        """
        model = self._pin(key, timeout_s, reason_if_absent)
        if model.state is _State.LOADING:
            self._fill(model)
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
            EngineError: from closing the engine. The key is absent all the same.
        """
        deadline = self._clock() + timeout_s
        with self._changed:
            model = self._models.get(key)
            if model is None:
                return True
            model.releases += 1
            try:
                if not self._wait_until(lambda: model.is_idle or model.state is _State.GONE, deadline):
                    return False
                if model.state is _State.GONE:
                    return True
                model.state, model.leaving = _State.CLOSING, model.leaving or reason
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
            if model is not None and model.state is _State.RESIDENT:
                model.leaving = model.leaving or reason
        self._close_the_doomed()

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
        self._close_the_doomed()
        with self._changed:
            return self._wait_until(lambda: not self._models, deadline)

    def check(self) -> None:
        """Assert the invariants."""
        with self._changed:
            for key, model in self._models.items():
                assert model.key == key
                assert model.leases >= 0 <= model.releases
                assert model.state is not _State.GONE
                assert (model.recognizer is None) == (model.state is _State.LOADING)
                assert model.state is not _State.LOADING or model.leases == 1
                assert model.state is not _State.CLOSING or (not model.leases and model.leaving is not None)
                assert model.state is not _State.RESIDENT or key not in self._reasons

    def _pin(self, key: ModelKey, timeout_s: float | None, reason: LoadReason) -> _Model:
        """Find and pin in one step. A model that comes back LOADING is the caller's to load."""
        started = self._clock()
        deadline = None if timeout_s is None else started + timeout_s
        with self._changed:
            while True:
                if self._closed:
                    raise EngineError("residency", "lease", "the models of this process were closed")
                model = self._models.get(key)
                if model is None:
                    return self._models.setdefault(key, _Model(key, self._reasons.get(key, reason)))
                if model.takes_leases:
                    model.leases += 1
                    return model
                if not self._wait_until(partial(self._is_over, model), deadline):
                    raise ModelBusy(PurePath(key.model).name, self._clock() - started)
                if model.error is not None:
                    raise copy_of(model.error) from model.error

    def _is_over(self, model: _Model) -> bool:
        return self._closed or model.takes_leases or model.state is _State.GONE

    def _wait_until(self, done: Callable[[], bool], deadline: float | None) -> bool:
        """Under the lock: whether `done` came true before the deadline."""
        while not done():
            left = None if deadline is None else deadline - self._clock()
            if left is not None and left <= 0:
                return False
            self._changed.wait(left)
        return True

    def _fill(self, model: _Model) -> None:
        """Load, outside the lock. Whatever ends it early, Ctrl-C too, leaves the key absent and wakes who waits."""
        try:
            recognizer = self._load(model.key, model.load_reason)
            with self._changed:
                model.recognizer, model.state = recognizer, _State.RESIDENT
                self._reasons.pop(model.key, None)
                self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                if model.state is _State.LOADING:
                    model.error = error if isinstance(error, Exception) else None
                    self._forget(model)
                else:  # Ctrl-C after the load was done: others may have leased it by now
                    model.leases -= 1
            raise

    def _give_back(self, model: _Model) -> None:
        with self._changed:
            model.leases -= 1
            self._changed.notify_all()
        self._close_the_doomed()

    def _close_the_doomed(self) -> None:
        """Close what was evicted and is idle, one after the other."""
        while (model := self._take_doomed()) is not None:
            try:
                self._close(model)
            except AutoragWhisperError as error:
                _log.warning("a model on %s was released, but: %s", model.key.device, error)

    def _take_doomed(self) -> _Model | None:
        with self._changed:
            doomed = (model for model in self._models.values() if model.is_idle and model.leaving is not None)
            if (model := next(doomed, None)) is not None:
                model.state = _State.CLOSING
            return model

    def _close(self, model: _Model) -> None:
        """Close the engine of a model in CLOSING, outside the lock; absent afterwards, whatever the engine says."""
        assert model.recognizer is not None
        assert model.leaving is not None
        try:
            model.recognizer.close()
            trim()
        finally:
            with self._changed:
                self._reasons[model.key] = model.leaving
                self._forget(model)

    def _forget(self, model: _Model) -> None:
        """Under the lock."""
        model.state, model.recognizer = _State.GONE, None
        del self._models[model.key]
        self._changed.notify_all()


def copy_of(error: Exception) -> Exception:
    """An instance of its own for every thread: a traceback grows on the one that is raised."""
    try:
        return copy.copy(error)
    except TypeError:  # its constructor wants other arguments than it kept
        return EngineError("loader", "load", str(error))
