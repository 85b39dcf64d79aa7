"""What the fakes of engines have in common: they are moved and closed, count their calls, and fail on request."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Event, Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from autorag_whisper.domain.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.engines.base import RecognizerSpec

Spec = TypeVar("Spec", bound="RecognizerSpec")


@dataclass(slots=True)
class Faults:
    """What goes wrong, by stage ("encode", "as_array", "generate", "align", "offload", "close", ...).

    `fail(stage, number)` is asked at every call, with that stage's running number from 1, and raises what it likes or
    returns. A call of a stage in `hold` waits until its event is set. `calls` counts them; `batches` are the
    rows of those that were encoded, `rows` those of the last that was begun; `most` is the largest
    number that ran at the same time.
    """

    fail: Callable[[str, int], None] = lambda _stage, _number: None
    hold: dict[str, Event] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    rows: int = 0
    most: int = 0
    _lock: Lock = field(default_factory=Lock)

    def strike(self, stage: str) -> None:
        """Count a call of a stage, hold it, and let it fail, as was told."""
        with self._lock:
            number = self.calls[stage] = self.calls.get(stage, 0) + 1
        if stage in self.hold:
            self.hold[stage].wait()
        self.fail(stage, number)


class FakeEngine(Generic[Spec]):
    """A `LoadedEngine` without a model; `faults` are asked at every call."""

    def __init__(self, spec: Spec, faults: Faults | None) -> None:
        self._spec = spec
        self.faults = faults or Faults()
        self._gate = Condition()
        self._running = 0
        self.closed = self.away = False

    @property
    def spec(self) -> Spec:
        return self._spec

    def offload(self) -> bool:
        with self._alone("offload"):
            moved = self._spec.device.is_cuda and not self.away
            self.away = self.away or moved
        return moved

    def restore(self) -> bool:
        with self._alone("restore"):
            moved, self.away = self.away, False
        return moved

    def close(self) -> None:
        with self._gate:
            self.closed = True
            self._gate.wait_for(lambda: not self._running)
        self.faults.strike("close")

    @contextmanager
    def _alone(self, stage: str) -> Iterator[None]:
        self.faults.strike(stage)
        with self._gate:
            if self.closed:
                raise EngineError("fake", stage, "the model was closed")
            self._gate.wait_for(lambda: not self._running)
            yield

    @contextmanager
    def _call(self, stage: str) -> Iterator[None]:
        with self._gate:
            if self.closed or self.away:
                raise EngineError("fake", stage, f"the model was {'closed' if self.closed else 'offloaded'}")
            self._running += 1
            self.faults.most = max(self.faults.most, self._running)
        try:
            self.faults.strike(stage)
            yield
        finally:
            with self._gate:
                self._running -= 1
                self._gate.notify_all()
