"""Media in, words with times out: resident Whisper models on a CPU or a shared GPU.

The three names of the thin face, `get_model`, `resolved_device` and `transcribe_segment`, and the richer
`Transcriber` behind them. Importing this package loads no runtime: names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.lazy_names import lazy_names
from autorag_whisper.version import __version__ as __version__  # a name of the face

if TYPE_CHECKING:  # the same names as type checkers find them; tests/unit/test_import.py compares the two
    from autorag_whisper.api import align_text as align_text
    from autorag_whisper.api import get_model as get_model
    from autorag_whisper.api import resolved_device as resolved_device
    from autorag_whisper.api import transcribe_segment as transcribe_segment
    from autorag_whisper.audio.source import MediaSource as MediaSource
    from autorag_whisper.bootstrap import build_transcriber as build_transcriber
    from autorag_whisper.domain.decoding import DecodingLimits as DecodingLimits
    from autorag_whisper.domain.errors import AutoragWhisperError as AutoragWhisperError
    from autorag_whisper.domain.errors import Cancelled as Cancelled
    from autorag_whisper.domain.errors import RequestError as RequestError
    from autorag_whisper.domain.errors import UnavailableError as UnavailableError
    from autorag_whisper.domain.notes import Note as Note
    from autorag_whisper.domain.notes import NoteKind as NoteKind
    from autorag_whisper.domain.request import Aligner as Aligner
    from autorag_whisper.domain.request import Quality as Quality
    from autorag_whisper.domain.request import Task as Task
    from autorag_whisper.domain.request import TranscribeOptions as TranscribeOptions
    from autorag_whisper.domain.transcript import Coverage as Coverage
    from autorag_whisper.domain.transcript import DeviceFallbackStep as DeviceFallbackStep
    from autorag_whisper.domain.transcript import Hole as Hole
    from autorag_whisper.domain.transcript import LanguageShare as LanguageShare
    from autorag_whisper.domain.transcript import RejectedText as RejectedText
    from autorag_whisper.domain.transcript import Segment as Segment
    from autorag_whisper.domain.transcript import Transcript as Transcript
    from autorag_whisper.domain.transcript import Unspoken as Unspoken
    from autorag_whisper.domain.transcript import Word as Word
    from autorag_whisper.domain.transcript import WordSource as WordSource
    from autorag_whisper.format import parse as parse
    from autorag_whisper.format import render as render
    from autorag_whisper.format.options import Highlight as Highlight
    from autorag_whisper.format.options import SubtitleOptions as SubtitleOptions
    from autorag_whisper.transcriber import CancelToken as CancelToken
    from autorag_whisper.transcriber import FileDone as FileDone
    from autorag_whisper.transcriber import FileFailed as FileFailed
    from autorag_whisper.transcriber import FileOutcome as FileOutcome
    from autorag_whisper.transcriber import LoadedModel as LoadedModel
    from autorag_whisper.transcriber import ModelHandle as ModelHandle
    from autorag_whisper.transcriber import Progress as Progress
    from autorag_whisper.transcriber import Transcriber as Transcriber
    from autorag_whisper.transcriber import TranscriberProtocol as TranscriberProtocol
    from autorag_whisper.transcriber import TranscriptStream as TranscriptStream
    from autorag_whisper.worker.client import WorkerTranscriber as WorkerTranscriber
    from autorag_whisper.worker.supervision import Limits as Limits
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "autorag_whisper.api": ("align_text", "get_model", "resolved_device", "transcribe_segment"),
            "autorag_whisper.audio.source": ("MediaSource",),
            "autorag_whisper.bootstrap": ("build_transcriber",),
            "autorag_whisper.domain.decoding": ("DecodingLimits",),
            "autorag_whisper.domain.errors": ("AutoragWhisperError", "Cancelled", "RequestError", "UnavailableError"),
            "autorag_whisper.domain.notes": ("Note", "NoteKind"),
            "autorag_whisper.domain.request": ("Aligner", "Quality", "Task", "TranscribeOptions"),
            "autorag_whisper.domain.transcript": (
                "Coverage",
                "DeviceFallbackStep",
                "Hole",
                "LanguageShare",
                "RejectedText",
                "Segment",
                "Transcript",
                "Unspoken",
                "Word",
                "WordSource",
            ),
            "autorag_whisper.format": ("parse", "render"),
            "autorag_whisper.format.options": ("Highlight", "SubtitleOptions"),
            "autorag_whisper.transcriber": (
                "CancelToken",
                "FileDone",
                "FileFailed",
                "FileOutcome",
                "LoadedModel",
                "ModelHandle",
                "Progress",
                "Transcriber",
                "TranscriberProtocol",
                "TranscriptStream",
            ),
            "autorag_whisper.worker.client": ("WorkerTranscriber",),
            "autorag_whisper.worker.supervision": ("Limits",),
        },
        "__version__",
    )
