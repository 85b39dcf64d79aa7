"""Where work goes, and where it goes on after a device failed: the pin to the CPU.

A failure that no batch survives (a missing library, the driver, a sticky error) pins the process to the CPU for life.
Out of memory pins it for a cool-down: on a shared card it passes. A caller's model handle is a name alone and holds no
model, so after a pin it stays valid, and what is asked of it runs on the CPU.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.device.fallback_steps import BatchLimits
from autorag_whisper.device.placement import (
    HINTS,
    SETTINGS,
    PlacementRequest,
    bad_hint,
    bad_setting,
    choose_device,
    place,
    shown,
)
from autorag_whisper.domain.device import CpuPin, FailureCause
from autorag_whisper.domain.notes import Note, NoteKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autorag_whisper.device.devices import Devices
    from autorag_whisper.domain.device import Device, Placement
    from autorag_whisper.domain.errors import DeviceError

_log = logging.getLogger(__name__)
_VARIABLE = "AUTORAG_WHISPER_DEVICE"


class DevicePolicy:
    """The placement policy with what changes while a process runs: environment, pin, the device used last. Thread-safe.

    `environ` is read when a decision is made. `pin_cooldown_s`: how long out of memory pins; 0 for good.
    The lock guards four fields and is never held while probing, logging, or calling anything.
    """

    def __init__(
        self,
        devices: Devices,
        *,
        environ: Mapping[str, str],
        compute_type: str = "default",
        pin_cooldown_s: float = 900.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._devices, self._environ, self._clock = devices, environ, clock
        self._compute_type, self._pin_cooldown_s = compute_type, pin_cooldown_s
        self._lock = threading.Lock()
        self._pin: CpuPin | None = None
        self._smaller: dict[Device, tuple[str, float | None]] = {}  # until when; None for good
        self.limits = BatchLimits()
        self._last: Device | None = None
        self._said: set[str] = set()

    def place(self, hint: object = None) -> Placement:
        """Where a model goes now. Says so once (INFO); warns of a bad setting once, of a bad hint each time.

        Raises:
            InvalidOption: the compute type does not exist on the device that was asked for.
        """
        request = self._request(hint)
        if bad_hint(hint):
            _log.warning("device hint %s is not one of %s: using the CPU", shown(hint), HINTS)
        if bad_setting(request.setting) and self._is_first("setting"):
            _log.warning("%s=%s is not one of %s: using auto", _VARIABLE, shown(request.setting), ", ".join(SETTINGS))
        placement = self._shrunk(place(request, self._devices.hardware()))
        if self._is_first("device"):
            type_used = placement.effective_compute_type
            _log.info("device %s, compute type %s: %s", placement.device, type_used, placement.reason)
        return placement

    def failed(self, error: DeviceError) -> CpuPin:
        """Pin the process to the CPU because of `error`; the pin that holds now, which may be an older one.

        A pin for life stays. One for a cool-down lasts longer for another out of memory, and becomes one for life with
        any other cause. Logged once a pin (WARNING), however many threads fail together.
        """
        now = self._clock()
        pin = _pin_for(error, now, self._pin_cooldown_s)
        with self._lock:
            held = self._held(now)
            is_new = held is None or (held.until_s is not None and pin.until_s is None)
            self._pin = pin = pin if held is None or is_new else _longer(held, pin)
        if is_new:
            span = "the rest of its life" if pin.until_s is None else f"{pin.until_s - now:g} s"
            _log.warning("this process stays on the CPU for %s: %s", span, pin.reason)
        return pin

    def offered(self, device: Device) -> frozenset[str]:
        """The compute types that there are on a kind of device."""
        hardware = self._devices.hardware()
        return hardware.cuda_compute_types if device.is_cuda else hardware.cpu_compute_types

    def shrink(self, device: Device, compute_type: str) -> None:
        """Use a smaller compute type on `device`, for as long as out of memory would pin the process to the CPU."""
        until_s = self._clock() + self._pin_cooldown_s if self._pin_cooldown_s > 0 else None
        with self._lock:
            self._smaller[device] = (compute_type, until_s)
        _log.warning("%s uses %s from now on: out of memory", device, compute_type)

    def _shrunk(self, placement: Placement) -> Placement:
        now = self._clock()
        with self._lock:
            smaller, until_s = self._smaller.get(placement.device, ("", None))
        if not smaller or (until_s is not None and now >= until_s):
            return placement
        reason = f"{placement.reason}; {smaller}, as the card had no room for more"
        lost = Note(
            NoteKind.COMPUTE_TYPE_NOT_USED,
            f"{smaller} instead of {placement.compute_type}, as {placement.device} had no room for more",
        )
        return replace(placement, compute_type=smaller, reason=reason, notes=(*placement.notes, lost))

    def adopt(self, pin: CpuPin) -> None:
        """Take over the pin of a process that this one follows; its clock must be the same (CLOCK_MONOTONIC)."""
        now = self._clock()
        with self._lock:
            held = self._held(now)
            self._pin = pin if held is None or pin.until_s is None else _longer(held, pin)

    @property
    def pin(self) -> CpuPin | None:
        """The pin that holds now; None when its cool-down has passed."""
        now = self._clock()
        with self._lock:
            return self._held(now)

    def used(self, device: Device) -> None:
        """Note that work was done on `device`."""
        with self._lock:
            self._last = device

    def resolved_device(self) -> str:
        """`cuda` or `cpu`: the device used last, or the one that would be used. For display alone; never fails."""
        with self._lock:
            last = self._last
        return str((last or choose_device(self._request(None), self._devices.hardware()).device).kind)

    def _request(self, hint: object) -> PlacementRequest:
        return PlacementRequest(hint, self._environ.get(_VARIABLE, ""), self._compute_type, self.pin)

    def _is_first(self, what: str) -> bool:
        with self._lock:
            first = what not in self._said
            self._said.add(what)
        return first

    def _held(self, now: float) -> CpuPin | None:
        """Under the lock: the pin, unless its time is over."""
        pin = self._pin
        return None if pin is None or (pin.until_s is not None and now >= pin.until_s) else pin


def _pin_for(error: DeviceError, now: float, cooldown_s: float) -> CpuPin:
    # A cause that nobody listed is taken for the worst: a process that stays on the CPU still works.
    cause = FailureCause(error.cause) if error.cause in set(FailureCause) else FailureCause.STICKY
    passes = cause is FailureCause.OUT_OF_MEMORY and cooldown_s > 0
    return CpuPin(cause, error.problem().partition("\n")[0], now + cooldown_s if passes else None)


def _longer(held: CpuPin, other: CpuPin) -> CpuPin:
    """`held`, or `other` where that one ends later."""
    return other if held.until_s is not None and other.until_s is not None and other.until_s > held.until_s else held
