"""What one call of a transcriber asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.recognition.shares import LEAST_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.device.model_session import ModelSession
    from autorag_whisper.domain.device import Device
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.aligners import AlignmentModel
    from autorag_whisper.engines.base import VoiceActivity
    from autorag_whisper.telemetry import Telemetry
    from autorag_whisper.transcriber.cancellation import CancelToken
    from autorag_whisper.transcriber.checkpoint import Supervised
    from autorag_whisper.transcriber.outcome import OnProgress


@dataclass(frozen=True, slots=True)
class RunControl:
    """How a caller follows and steers a run while it goes.

    `cancel` ends it. `priority`: of runs on the same model higher ones go first. `supervised`: it may have to be begun
    again elsewhere.
    """

    cancel: CancelToken
    on_progress: OnProgress | None = None
    priority: int = 0
    supervised: Supervised | None = None


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Sources and options, and what a run works with.

    `session`: the model where it computes, loaded by this run; `device_hint`: what was asked for, in its meaning.
    `lower_share`: of the engine, what runs of lower priorities have at least (`recognition.shares`).
    """

    sources: Iterable[MediaSource]
    options: TranscribeOptions
    session: ModelSession
    device_hint: str
    voice: VoiceActivity
    telemetry: Telemetry
    control: RunControl
    lease_ctc: Callable[[str, Device], AbstractContextManager[AlignmentModel]] | None = None
    lower_share: float = LEAST_SHARE
