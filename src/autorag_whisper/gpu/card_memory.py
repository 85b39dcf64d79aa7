"""What a card itself says of its memory, by NVIDIA's management library (extra `[cuda]`). Never run on a card."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class CardMemory:
    """Bytes of one card, as it reports them: all processes counted."""

    total_bytes: int
    free_bytes: int

    @property
    def used_bytes(self) -> int:
        return self.total_bytes - self.free_bytes


class CardReader:
    """Asks the driver. Thread-safe; None wherever there is no card, no driver or no library, for whatever reason.

    CUDA counts the cards that `CUDA_VISIBLE_DEVICES` names, NVML all of them: `environ` tells which is meant.
    `open_library` imports and initialises NVML; it is called once.
    """

    def __init__(self, environ: Mapping[str, str], open_library: Callable[[], Any] | None = None) -> None:
        self._visible = [name.strip() for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
        self._open = open_library or _open_nvml
        self._gate = threading.Lock()
        self._asked = False
        self._library: Any = None

    def memory(self, index: int) -> CardMemory | None:
        """Of CUDA's device `index`."""
        library = self._opened()
        if library is None:
            return None
        try:
            found = library.nvmlDeviceGetMemoryInfo(self._handle(library, index))
            return CardMemory(int(found.total), int(found.free))
        except (library.NVMLError, ValueError, IndexError):
            return None

    def free_bytes(self, index: int) -> int | None:
        """What is free on CUDA's device `index`."""
        memory = self.memory(index)
        return memory.free_bytes if memory is not None else None

    def _handle(self, library: Any, index: int) -> Any:
        name = self._visible[index] if self._visible else str(index)
        if name.isdecimal():
            return library.nvmlDeviceGetHandleByIndex(int(name))
        return library.nvmlDeviceGetHandleByUUID(name)

    def _opened(self) -> Any:
        with self._gate:
            if not self._asked:
                self._asked, self._library = True, self._open()
            return self._library


def _open_nvml() -> Any:
    try:
        library = import_module("pynvml")
    except ImportError:
        return None
    try:
        library.nvmlInit()
    except library.NVMLError:
        return None
    return library
