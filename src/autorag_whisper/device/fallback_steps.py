"""What to try next when a card fails under a batch: a pure function, and what a process has learned of its cards.

```
  out of memory    halve the batch, down to 1 -> free what other models hold there -> a smaller compute type -> the CPU
  anything else    the CPU: a missing library, a driver or a broken context is the same for every batch
```

Halving the batch and freeing memory do not change the text. A smaller compute type and the CPU may: the text is then
the same as that of a fresh run with that compute type on that device.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from autorag_whisper.domain.device import FailureCause

if TYPE_CHECKING:
    from collections.abc import Collection

    from autorag_whisper.domain.device import Device, ModelKey


class Step(StrEnum):
    """A step of the device fallback."""

    HALVE = "halve_batch"
    FREE = "free_others"
    COMPUTE_TYPE = "compute_type"
    CPU = "cpu"
    BUSY = "busy"
    """Not a failure: another tenant had the card for longer than a batch would wait."""


_SMALLER = {
    "float32": ("float16", "bfloat16", "int8_float16", "int8_bfloat16", "int8_float32", "int8"),
    "float16": ("int8_float16", "int8_float32", "int8"),
    "bfloat16": ("int8_bfloat16", "int8_float32", "int8"),
}
"""Compute types whose weights take less, the one next to it first."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A batch of `rows` chunks that failed for `cause` (a `FailureCause`) under a compute type; 0 rows: a load failed.

    `offered`: the compute types that the card has. `freed`: whether memory of other models was already freed there.
    """

    cause: str
    rows: int
    compute_type: str
    offered: Collection[str]
    freed: bool


@dataclass(frozen=True, slots=True)
class Next:
    """The step and its reason.

    `rows`: chunks of a batch from now on, where the step is HALVE. `compute_type`: the one from now on, where it is
    COMPUTE_TYPE.
    """

    step: Step
    reason: str
    rows: int = 0
    compute_type: str = ""


def next_step(failure: Failure) -> Next:
    """What to try now that `failure` happened."""
    if failure.cause != FailureCause.OUT_OF_MEMORY:
        return Next(Step.CPU, f"{failure.cause} is the same for every batch")
    if failure.rows > 1:
        return Next(Step.HALVE, f"{failure.rows} chunks at once did not fit", rows=failure.rows // 2)
    if not failure.freed:
        return Next(Step.FREE, "one chunk did not fit beside the other models")
    smaller = next((name for name in _SMALLER.get(failure.compute_type, ()) if name in failure.offered), "")
    if smaller:
        return Next(Step.COMPUTE_TYPE, f"one chunk did not fit in {failure.compute_type}", compute_type=smaller)
    return Next(Step.CPU, f"one chunk did not fit in {failure.compute_type}, the smallest there is")


class BatchLimits:
    """The most chunks that fitted on a card at once, by model: a size that failed is not tried again until something
    was freed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: dict[ModelKey, int] = {}

    def limit(self, key: ModelKey) -> int | None:
        """Chunks of the full window at once; None if nothing has failed."""
        with self._lock:
            return self._limits.get(key)

    def failed(self, key: ModelKey, rows: int) -> bool:
        """`rows` at once did not fit: half as many from now on. Whether that is less than before."""
        with self._lock:
            limit = max(1, rows // 2)
            lower = limit < self._limits.get(key, rows)
            if lower:
                self._limits[key] = limit
            return lower

    def freed(self, device: Device) -> None:
        """Memory of this card came free: any size may fit again."""
        with self._lock:
            self._limits = {key: limit for key, limit in self._limits.items() if key.device != device}
