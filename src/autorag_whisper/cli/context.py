"""What the commands get from outside: the environment, the clock, and how a transcriber is made."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from autorag_whisper.device.devices import Devices
    from autorag_whisper.settings import Settings
    from autorag_whisper.transcriber.protocol import ResumableTranscriber
    from autorag_whisper.transcriber.supervised import SupervisedTranscriber


def _real(settings: Settings, environ: Mapping[str, str]) -> SupervisedTranscriber:
    from autorag_whisper.allocator import tune_allocator
    from autorag_whisper.bootstrap import build_parts
    from autorag_whisper.telemetry import Telemetry
    from autorag_whisper.transcriber.supervised import SupervisedTranscriber

    tune_allocator()  # before an engine starts its threads
    return SupervisedTranscriber(build_parts(settings, environ, Telemetry()))


def _real_worker(settings: Settings, environ: Mapping[str, str]) -> AbstractContextManager[ResumableTranscriber]:
    from autorag_whisper.cli.recognition_options import environ_of
    from autorag_whisper.worker.client import WorkerTranscriber

    return WorkerTranscriber(environ=environ_of(settings, environ))


def _real_devices() -> Devices:
    from autorag_whisper.device.devices import Devices
    from autorag_whisper.engines.ctranslate2 import probe_hardware

    return Devices(probe_hardware)


@dataclass(frozen=True, slots=True)
class CommandContext:
    """The environment, clocks and factories of one run. Tests give their own.

    `clock`: seconds of any origin, for durations; `now`: seconds since the epoch. `build` makes a transcriber in this
    process, `worker` one in a process of its own; None where that cannot be.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Callable[[], float] = time.monotonic
    build: Callable[[Settings, Mapping[str, str]], SupervisedTranscriber] = _real
    worker: Callable[[Settings, Mapping[str, str]], AbstractContextManager[ResumableTranscriber]] | None = (
        None if os.name == "nt" else _real_worker
    )
    devices: Callable[[], Devices] = _real_devices
    now: Callable[[], float] = time.time
