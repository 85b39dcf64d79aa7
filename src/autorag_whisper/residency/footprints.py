"""What a model takes of its device's memory: measured around its first load, never assumed."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from autorag_whisper.domain.device import FailureCause
from autorag_whisper.domain.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.domain.device import Device, ModelKey


class Footprints:
    """Bytes by (model, kind of device, compute type), and how many there may be on a device. Thread-safe.

    `read_used(device)`: bytes in use there, None where nothing tells. `budget(device)`: the most that our models may
    take of it, None for no limit. Loads that overlap are not measured: whose bytes they are is not known.
    """

    def __init__(
        self, read_used: Callable[[Device], int | None], budget: Callable[[Device], int | None] = lambda _device: None
    ) -> None:
        self._read_used, self._budget = read_used, budget
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str, str], int] = {}
        self._loading: dict[Device, int] = {}
        self._overlapped: set[Device] = set()
        self._copies: dict[Device, int] = {}

    def of(self, key: ModelKey) -> int | None:
        """Bytes, once a load of it was measured."""
        with self._lock:
            return self._found.get(_kind(key))

    def is_short(self, device: Device, held_bytes: int, more: ModelKey | None = None) -> bool:
        """Whether `held_bytes`, and `more` beside them if its bytes are known, are over the device's budget."""
        budget = self._budget(device)
        size = self.of(more) if more is not None else None
        return budget is not None and held_bytes + self._copies.get(device, 0) + (size or 0) > budget

    @contextmanager
    def copy(self, key: ModelKey, held_bytes: int) -> Iterator[None]:
        """Around a second copy of a model that is there, of which `held_bytes` are held: counted while it is.

        Raises DeviceError (out of memory) where the budget has no room for it: nothing leaves for a copy.
        """
        with self._lock:
            size = self._found.get(_kind(key), 0)
        if self.is_short(key.device, held_bytes, key):
            message = f"load: a second copy of a model ({size >> 20} MB) is over the budget"
            raise DeviceError(str(key.device), FailureCause.OUT_OF_MEMORY, message)
        self._count(key.device, size)
        try:
            yield
        finally:
            self._count(key.device, -size)

    def _count(self, device: Device, size: int) -> None:
        with self._lock:
            self._copies[device] = self._copies.get(device, 0) + size

    @contextmanager
    def measure(self, key: ModelKey) -> Iterator[None]:
        """Around a load of `key`: learn its bytes, if it succeeds and nothing else was loaded there meanwhile."""
        alone, after = self._begin(key.device), None
        try:
            before = self._read_used(key.device)
            yield
            after = self._read_used(key.device)
        finally:
            alone = self._end(key.device) and alone
        if alone and before is not None and after is not None and after > before:
            with self._lock:
                self._found.setdefault(_kind(key), after - before)

    def _begin(self, device: Device) -> bool:
        with self._lock:
            self._loading[device] = self._loading.get(device, 0) + 1
            if self._loading[device] > 1:
                self._overlapped.add(device)
            return self._loading[device] == 1

    def _end(self, device: Device) -> bool:
        with self._lock:
            self._loading[device] -= 1
            alone = device not in self._overlapped
            if not self._loading[device]:
                self._overlapped.discard(device)
            return alone


def _kind(key: ModelKey) -> tuple[str, str, str]:
    return key.model, str(key.device.kind), key.compute_type
