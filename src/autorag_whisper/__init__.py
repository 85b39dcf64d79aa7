"""Media in, words with times out: resident Whisper models on a CPU or a shared GPU.

The three names of the thin face, `get_model`, `resolved_device` and `transcribe_segment`, and the richer
`Transcriber` behind them. Importing this package loads no runtime: names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from autorag_whisper.api import get_model, resolved_device, transcribe_segment
    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.bootstrap import build_transcriber
    from autorag_whisper.domain.errors import AutoragWhisperError, Cancelled, RequestError, UnavailableError
    from autorag_whisper.domain.notes import Note, NoteKind
    from autorag_whisper.domain.request import Aligner, Quality, Task, TranscribeOptions
    from autorag_whisper.domain.transcript import (
        Coverage,
        DeviceFallbackStep,
        Hole,
        LanguageShare,
        RejectedText,
        Segment,
        Transcript,
        Word,
        WordSource,
    )
    from autorag_whisper.format import parse, render
    from autorag_whisper.format.options import Highlight, SubtitleOptions
    from autorag_whisper.transcriber import (
        CancelToken,
        FileDone,
        FileFailed,
        FileOutcome,
        LoadedModel,
        ModelHandle,
        Progress,
        Transcriber,
        TranscriberProtocol,
        TranscriptStream,
    )
    from autorag_whisper.worker.client import WorkerTranscriber
    from autorag_whisper.worker.supervision import Limits

_HOMES = {
    "get_model": "autorag_whisper.api",
    "resolved_device": "autorag_whisper.api",
    "transcribe_segment": "autorag_whisper.api",
    "build_transcriber": "autorag_whisper.bootstrap",
    "MediaSource": "autorag_whisper.audio.source",
    "LoadedModel": "autorag_whisper.transcriber",
    "ModelHandle": "autorag_whisper.transcriber",
    "TranscriberProtocol": "autorag_whisper.transcriber",
    "CancelToken": "autorag_whisper.transcriber",
    "Transcriber": "autorag_whisper.transcriber",
    "TranscriptStream": "autorag_whisper.transcriber",
    "FileDone": "autorag_whisper.transcriber",
    "FileFailed": "autorag_whisper.transcriber",
    "FileOutcome": "autorag_whisper.transcriber",
    "Progress": "autorag_whisper.transcriber",
    "TranscribeOptions": "autorag_whisper.domain.request",
    "Task": "autorag_whisper.domain.request",
    "Quality": "autorag_whisper.domain.request",
    "Aligner": "autorag_whisper.domain.request",
    "Transcript": "autorag_whisper.domain.transcript",
    "Segment": "autorag_whisper.domain.transcript",
    "Word": "autorag_whisper.domain.transcript",
    "WordSource": "autorag_whisper.domain.transcript",
    "Coverage": "autorag_whisper.domain.transcript",
    "Hole": "autorag_whisper.domain.transcript",
    "LanguageShare": "autorag_whisper.domain.transcript",
    "RejectedText": "autorag_whisper.domain.transcript",
    "Unspoken": "autorag_whisper.domain.transcript",
    "DeviceFallbackStep": "autorag_whisper.domain.transcript",
    "Note": "autorag_whisper.domain.notes",
    "NoteKind": "autorag_whisper.domain.notes",
    "Highlight": "autorag_whisper.format.options",
    "SubtitleOptions": "autorag_whisper.format.options",
    "parse": "autorag_whisper.format",
    "render": "autorag_whisper.format",
    "AutoragWhisperError": "autorag_whisper.domain.errors",
    "Cancelled": "autorag_whisper.domain.errors",
    "RequestError": "autorag_whisper.domain.errors",
    "UnavailableError": "autorag_whisper.domain.errors",
    "WorkerTranscriber": "autorag_whisper.worker.client",
    "Limits": "autorag_whisper.worker.supervision",
}

__all__ = [
    "Aligner",
    "AutoragWhisperError",
    "CancelToken",
    "Cancelled",
    "Coverage",
    "DeviceFallbackStep",
    "FileDone",
    "FileFailed",
    "FileOutcome",
    "Highlight",
    "Hole",
    "LanguageShare",
    "Limits",
    "LoadedModel",
    "MediaSource",
    "ModelHandle",
    "Note",
    "NoteKind",
    "Progress",
    "Quality",
    "RejectedText",
    "RequestError",
    "Segment",
    "SubtitleOptions",
    "Task",
    "TranscribeOptions",
    "Transcriber",
    "TranscriberProtocol",
    "Transcript",
    "TranscriptStream",
    "UnavailableError",
    "Unspoken",
    "Word",
    "WordSource",
    "WorkerTranscriber",
    "__version__",
    "build_transcriber",
    "get_model",
    "parse",
    "render",
    "resolved_device",
    "transcribe_segment",
]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
