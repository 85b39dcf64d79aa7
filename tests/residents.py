"""Stand-ins for the residency tests: recognisers that know whether they are open, and a loader that counts copies."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from autorag_whisper.domain.device import CPU, ModelKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from autorag_whisper.domain.device import LoadReason

KEYS = tuple(ModelKey(name, CPU, "int8") for name in ("tiny", "base", "small"))
A, B, C = KEYS


class Resident:
    """A model in memory. It says what went wrong with it: used when closed, closed twice."""

    def __init__(self, key: ModelKey, world: World) -> None:
        self.key, self.world, self.is_open, self.is_away = key, world, True, False

    def use(self) -> None:
        assert self.is_open, f"{self.key.model} was used after it was closed"
        assert not self.is_away, f"{self.key.model} was used while it was offloaded"

    def offload(self) -> bool:
        self.world.before_move(self.key)
        self.is_away = True
        return True

    def restore(self) -> bool:
        self.world.before_move(self.key)
        self.is_away = False
        return True

    def close(self) -> None:
        assert self.is_open, f"{self.key.model} was closed twice"
        self.world.before_close(self.key)
        self.is_open = False
        self.world.closed(self.key)


class World:
    """Loads and closes, counted. `before_load`, `before_close` and `before_move` may block or raise."""

    def __init__(self) -> None:
        self.loads: list[tuple[ModelKey, LoadReason]] = []
        self.copies: Counter[ModelKey] = Counter()
        self.most_copies = 0
        self.before_load: Callable[[ModelKey], object] = lambda key: None
        self.before_close: Callable[[ModelKey], object] = lambda key: None
        self.before_move: Callable[[ModelKey], object] = lambda key: None
        self._lock = threading.Lock()

    def load(self, key: ModelKey, reason: LoadReason) -> Resident:
        self.before_load(key)
        with self._lock:
            self.loads.append((key, reason))
            self.copies[key] += 1
            self.most_copies = max(self.most_copies, self.copies[key])
        return Resident(key, self)

    def closed(self, key: ModelKey) -> None:
        with self._lock:
            self.copies[key] -= 1

    @property
    def reasons(self) -> list[str]:
        return [reason.value for _, reason in self.loads]

    @property
    def in_memory(self) -> int:
        return self.copies.total()


class RushingClock:
    """Every look at it costs 1000 s: whatever waits with a deadline, waits no time at all."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1000.0
        return self.now
