"""Devices, compute types and why a device failed: names and values, no hardware."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import InvalidOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autorag_whisper.domain.notes import Note


class DeviceKind(StrEnum):
    """What models run on."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Device:
    """`cpu`, or `cuda` with the index of the card."""

    kind: DeviceKind
    index: int = 0

    def __post_init__(self) -> None:
        if self.index < 0 or (self.kind is DeviceKind.CPU and self.index):
            raise InvalidOption("device index", self.index, "0 for the CPU, 0 or more for CUDA")

    @property
    def is_cuda(self) -> bool:
        return self.kind is DeviceKind.CUDA

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if self.index else str(self.kind)


CPU = Device(DeviceKind.CPU)
CUDA = Device(DeviceKind.CUDA)

_CUDA_PATTERN = re.compile(r"cuda(?::([0-9]{1,3}))?")


def parse_device(text: str) -> Device | None:
    """`"cpu"`, `"cuda"`, `"cuda:N"` as a `Device`; None for anything else (the caller decides what that means)."""
    name = text.strip().lower()
    if name == "cpu":
        return CPU
    match = _CUDA_PATTERN.fullmatch(name)
    return Device(DeviceKind.CUDA, int(match.group(1) or 0)) if match else None


class FailureCause(StrEnum):
    """Why a device failed. The first three pin the process to the CPU for life, the last for a cool-down."""

    MISSING_LIBRARY = "missing_library"
    DRIVER = "driver"
    STICKY = "sticky"
    OUT_OF_MEMORY = "out_of_memory"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the engine itself says is there.

    `problem`: why there is no CUDA, one line; "" if there is, or if nothing is wrong. An empty set of compute
    types for the CPU means that they are not known.
    """

    cuda_devices: int = 0
    cuda_compute_types: frozenset[str] = frozenset()
    cpu_compute_types: frozenset[str] = frozenset()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CpuPin:
    """The process stays on the CPU: until the clock of its policy says `until_s`, or, where that is None, for life."""

    cause: FailureCause
    reason: str
    until_s: float | None


class LoadReason(StrEnum):
    """Why a model was loaded: first use, the reason of its last release, or the device fallback."""

    FIRST = "first"
    UNLOADED = "unloaded"
    EVICTED = "evicted"
    FALLBACK = "fallback"


class OnYield(StrEnum):
    """What becomes of a recognition model when its GPU goes to another tenant."""

    KEEP = "keep"
    """It stays."""
    OFFLOAD = "offload"
    """It waits in the CPU's memory, and comes back without being read from the disk."""
    UNLOAD = "unload"
    """It leaves memory, and is loaded again with its next use."""


@dataclass(frozen=True, slots=True)
class YieldPolicy:
    """Which `OnYield` a recognition model has: that of its name in `by_model`, else `default`."""

    default: OnYield = OnYield.KEEP
    by_model: Mapping[str, OnYield] = field(default_factory=dict)

    def of(self, name: str) -> OnYield:
        """That of one model."""
        return self.by_model.get(name, self.default)


@dataclass(frozen=True, slots=True)
class ModelKey:
    """What residency is keyed by: a checkpoint on a device in a compute type (as asked for)."""

    model: str
    device: Device
    compute_type: str


@dataclass(frozen=True, slots=True)
class Placement:
    """A decision of the placement policy with its reason, which goes to log, span and `doctor`.

    `compute_type` is what the engine is asked for. `notes`: what was asked for and is not so, for the results.
    """

    device: Device
    compute_type: str
    reason: str
    notes: tuple[Note, ...] = ()

    @property
    def effective_compute_type(self) -> str:
        """The compute type by the name that results have."""
        return effective_compute_type(self.device, self.compute_type)


def effective_compute_type(device: Device, asked: str) -> str:
    """What the engine makes of the compute type that it is asked for, as far as that is known before a load.

    On a CPU, int8 is int8 with float32 for the rest; on CUDA the rest depends on the model's file.
    """
    return "int8_float32" if asked == "int8" and not device.is_cuda else asked
