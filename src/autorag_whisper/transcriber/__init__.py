"""THE use case: media -> speech chunks -> recognised text -> words -> Transcript, as a stream."""

from autorag_whisper.transcriber.outcome import FileDone, FileFailed, FileOutcome, OnProgress, Progress
from autorag_whisper.transcriber.transcriber import LoadedModel, Transcriber, TranscriptStream

__all__ = [
    "FileDone",
    "FileFailed",
    "FileOutcome",
    "LoadedModel",
    "OnProgress",
    "Progress",
    "Transcriber",
    "TranscriptStream",
]
