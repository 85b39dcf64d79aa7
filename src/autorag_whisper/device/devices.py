"""What hardware the engine finds here: asked once, when it is first needed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from autorag_whisper.domain.device import Hardware
from autorag_whisper.domain.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable


class Devices:
    """The engine's own answer, kept for the life of the process. Thread-safe.

    `probe` is the adapter's: it may load libraries and take a second. One call of it runs at a time, behind a gate that
    guards nothing else, and none after it has answered. A DeviceError from it is an answer: no CUDA, for that reason.
    Whatever else it raises goes to the caller, and the next caller asks again.
    """

    def __init__(self, probe: Callable[[], Hardware]) -> None:
        self._probe = probe
        self._gate = threading.Lock()
        self._hardware: Hardware | None = None

    def hardware(self) -> Hardware:
        """What is there. The first call probes."""
        if self._hardware is None:
            with self._gate:
                if self._hardware is None:
                    self._hardware = self._ask()
        return self._hardware

    def _ask(self) -> Hardware:
        try:
            return self._probe()
        except DeviceError as error:
            return Hardware(problem=error.problem().partition("\n")[0])
