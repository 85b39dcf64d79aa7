"""The books of a residency: which models may be in memory, and which of them are to leave.

Every method is called under the residency's lock, and none of them waits or calls an engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from autorag_whisper.domain.device import LoadReason
from autorag_whisper.residency.entry import Entry, ModelState

if TYPE_CHECKING:
    from collections.abc import Collection

    from autorag_whisper.residency.kind import Rules

K = TypeVar("K")
M = TypeVar("M")


class Table(Generic[K, M]):
    """One current entry a key, and the poisoned ones that a fresh copy has replaced while others still hold them."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.closed = False
        self._current: dict[K, Entry[K, M]] = {}
        self._replaced: list[Entry[K, M]] = []
        self._reasons: dict[K, LoadReason] = {}  # of keys that were resident and are not

    def find(self, key: K) -> Entry[K, M] | None:
        """What a lease of `key` finds."""
        return self._current.get(key)

    def current(self) -> Collection[Entry[K, M]]:
        """What leases can find, in the order of the loads."""
        return self._current.values()

    def all(self) -> list[Entry[K, M]]:
        """All that may be in memory."""
        return [*self._current.values(), *self._replaced]

    def is_stuck(self, key: K) -> bool:
        """Whether a copy of `key` was to leave memory and its engine keeps it there: none is loaded beside it.

        A poisoned copy may be replaced once while others hold it; a second one is waited for in the same way.
        """
        entry = self._current.get(key)
        if entry is None:
            return sum(other.key == key for other in self._replaced) > 1
        return entry.is_kept

    def has_changed(self, entry: Entry[K, M]) -> bool:
        """Whether one who waits for this entry has to look again."""
        return self.closed or self._current.get(entry.key) is not entry or entry.takes_leases or entry.is_kept

    def leaves_after_use(self, entry: Entry[K, M]) -> bool:
        """Whether it is to leave its card now that a lease of it was given back."""
        is_spare = entry.is_idle and entry.leaving is None and entry.state is ModelState.RESIDENT
        return self._rules.offload_after_use and is_spare

    def close(self) -> None:
        """Everything is to leave, for good."""
        self.closed = True
        for entry in self.all():
            entry.leaving = entry.leaving or LoadReason.UNLOADED

    def add(self, key: K, reason: LoadReason) -> Entry[K, M]:
        """An entry for a load that begins. `reason`: why, where no release of this key has left another reason."""
        entry = self._current[key] = Entry[K, M](key, self._reasons.get(key, reason))
        self.condemn_surplus()
        return entry

    def loaded(self, key: K) -> None:
        """The load of `key` is done; the reason that its last release had left for this load is used up."""
        self._reasons.pop(key, None)

    def forget(self, entry: Entry[K, M]) -> None:
        """It is out of memory, or its load failed."""
        if entry in self._replaced:
            self._replaced.remove(entry)
        else:
            del self._current[entry.key]
            if entry.leaving is not None and entry.model is not None:
                self._reasons[entry.key] = entry.leaving
        entry.state, entry.model = ModelState.GONE, None

    def condemn(self, entry: Entry[K, M] | None, reason: LoadReason) -> None:
        """Nobody new gets this model; it is closed after its last lease. Only what is resident is condemned."""
        if entry is None or entry.state is not ModelState.RESIDENT or entry.leaving is not None:
            return
        entry.leaving = reason
        if self._rules.replace_poisoned and entry.leases:
            del self._current[entry.key]
            self._replaced.append(entry)

    def condemn_surplus(self) -> None:
        """Have the models that were used longest ago leave, until no more than the capacity are kept."""
        for entry in self._surplus():
            entry.leaving = LoadReason.EVICTED

    def _surplus(self) -> list[Entry[K, M]]:
        """The idle models that are too many. One that its engine keeps in memory counts, as it takes room."""
        capacity = self._rules.capacity
        staying = [entry for entry in self._current.values() if entry.leaving is None or entry.is_kept]
        if capacity is None or len(staying) <= capacity:
            return []
        idle = [entry for entry in staying if entry.is_idle and entry.leaving is None]
        return sorted(idle, key=lambda entry: entry.last_use)[: len(staying) - capacity]

    def check(self) -> None:
        """Assert the invariants."""
        for key, entry in self._current.items():
            assert entry.key == key
            entry.check()
            assert entry.state not in (ModelState.RESIDENT, ModelState.OFFLOADED) or key not in self._reasons
        for entry in self._replaced:
            entry.check()
            assert entry.leaving is not None
            assert self._rules.replace_poisoned
        assert not self._surplus()
