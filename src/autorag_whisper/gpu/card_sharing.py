"""How this process shares its cards: a short lease for every batch, and what leaves a card for another tenant."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from autorag_whisper import telemetry as names
from autorag_whisper.domain.device import Device, DeviceKind, OnYield
from autorag_whisper.gpu.arbiter.lease import Eviction, LeaseRequest, Released, Tenant
from autorag_whisper.residency.kind import Yielded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autorag_whisper.domain.device import ModelKey
    from autorag_whisper.gpu.arbiter.lease import GpuArbiter
    from autorag_whisper.residency.alignment_models import AlignmentModels
    from autorag_whisper.residency.recognition_models import RecognitionModels
    from autorag_whisper.telemetry import Telemetry

WHISPER = "whisper"
"""This package's name among the tenants."""


class CardSharing:
    """Leases of cards for the tenant `whisper`. Thread-safe.

    `make_arbiter(index)` is called once a card, at its first lease, and registers the tenants; None shares nothing.
    `share_cpu`: the CPU stands for card 0, to see hand-overs with the real engine where there is no card; its batches
    then go one at a time.
    """

    def __init__(
        self,
        make_arbiter: Callable[[int], GpuArbiter] | None,
        telemetry: Telemetry,
        request: LeaseRequest = LeaseRequest(),  # noqa: B008 - a frozen value
        *,
        share_cpu: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._telemetry, self._request, self._clock = make_arbiter, telemetry, request, clock
        self._share_cpu = share_cpu
        self._lock = threading.Lock()
        self._arbiters: dict[int, GpuArbiter] = {}

    @contextmanager
    def lease(self, device: Device) -> Iterator[bool]:
        """Compute on `device` for the length of a `with`: whether on it, or (False) on the CPU as it is busy.

        Raises GpuBusy.
        """
        if self._make is None or not (device.is_cuda or self._share_cpu):
            yield True
            return
        started = self._clock()
        with self.arbiter(device.index).lease(WHISPER, self._request) as lease:
            on_card = "card" if lease.on_card else "cpu"
            self._telemetry.duration(names.LEASE_WAIT, self._clock() - started, {names.OUTCOME: on_card})
            yield lease.on_card

    def arbiter(self, index: int) -> GpuArbiter:
        """That of a card: for leases of other tenants of this process."""
        assert self._make is not None, "this process shares nothing"
        with self._lock:
            if index not in self._arbiters:
                self._arbiters[index] = self._make(index)
            return self._arbiters[index]

    def close(self) -> None:
        """Leave the arbiters."""
        with self._lock:
            arbiters, self._arbiters = list(self._arbiters.values()), {}
        for arbiter in arbiters:
            arbiter.close()


class WhisperTenant:
    """What of this process leaves a card for another tenant.

    Alignment models always do. A recognition model does what `policy_of` says of it: it stays (`keep`) unless what the
    next tenant needs is not free, goes to the CPU's memory (`offload`) or out of memory (`unload`). What was freed is
    measured where the card tells (`read_free`), and a release that it does not show is not verified.
    """

    def __init__(
        self,
        residency: RecognitionModels[Any],
        alignment_models: AlignmentModels | None,
        telemetry: Telemetry,
        policy_of: Callable[[ModelKey], OnYield],
        read_free: Callable[[int], int | None],
    ) -> None:
        self._residency, self._alignment_models, self._telemetry = residency, alignment_models, telemetry
        self._policy_of, self._read_free = policy_of, read_free

    def tenant(self, index: int) -> Tenant:
        """As the arbiter of card `index` knows it."""
        device = Device(DeviceKind.CUDA, index)
        return Tenant(WHISPER, lambda wanted: self.leave(device, wanted), lambda: self._residency.held_bytes(device))

    def leave(self, device: Device, wanted: Eviction) -> Released:
        """Free what the policy names, and more of it where `wanted` would not fit."""
        before = self._read_free(device.index)
        aligners = self._alignment_models.offload_idle(device) if self._alignment_models is not None else Yielded()
        free = self._read_free(device.index)
        is_short = free is not None and free < wanted.needs_bytes

        def policy_now(key: ModelKey) -> OnYield:
            policy = self._policy_of(key)
            return OnYield.OFFLOAD if is_short and policy is OnYield.KEEP else policy

        left = self._residency.yield_device(device, policy_now)
        return self._released(device, before, aligners.went + left.went, aligners.stuck + left.stuck)

    def idle_out(self) -> None:
        """Nobody has asked for anything for a while: what would be offloaded for another tenant leaves its card for the
        CPU's memory, everything else leaves memory. What is in use stays."""
        if self._alignment_models is not None:
            self._alignment_models.offload_idle()
        for device in {key.device for key in self._residency.resident() if key.device.is_cuda}:
            self._residency.yield_device(device, lambda key: OnYield.OFFLOAD if self._waits(key) else OnYield.KEEP)
        self._residency.release_unused(0.0, lambda key: not self._waits(key))

    def _waits(self, key: ModelKey) -> bool:
        return self._policy_of(key) is OnYield.OFFLOAD

    def _released(self, device: Device, before: int | None, moved: int, stuck: int) -> Released:
        after = self._read_free(device.index)
        measured = None if before is None or after is None else after - before
        verified = not stuck and not (moved and measured is not None and measured <= 0)
        if moved:
            self._telemetry.count(names.OFFLOADS, 1, {names.OUTCOME: "verified" if verified else "unverified"})
        note = (
            ""
            if verified
            else f"{stuck} models are in use or kept by their engines"
            if stuck
            else "the card shows no more free memory"
        )
        return Released(self._residency.held_bytes(device), verified, note)
