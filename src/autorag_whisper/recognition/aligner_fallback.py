"""The law of the aligner fallback, in one place: whatever an aligner raises, words come, timed by the next one down.

At any stage: its model is sought, loaded, leased, it hears, it aligns, it is given back. Two things go up instead: that
the caller cancelled, and that a card failed, which the device fallback answers with the same aligner elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import AutoragWhisperError, Cancelled, DeviceError

if TYPE_CHECKING:
    from autorag_whisper.domain.device import Device


def goes_down(error: Exception, device: Device) -> bool:
    """Whether the next aligner down answers `error`, which one on `device` has raised."""
    return not isinstance(error, Cancelled) and not (isinstance(error, DeviceError) and device.is_cuda)


def told(error: Exception) -> str:
    """An error for the log: what anything else than our own errors says may hold a path or a text."""
    if isinstance(error, AutoragWhisperError):
        return error.problem()
    reason = error.strerror if isinstance(error, OSError) else ""
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
