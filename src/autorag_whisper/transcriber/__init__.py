"""THE use case: media -> speech chunks -> recognised text -> words -> Transcript, as a stream."""

from autorag_whisper.transcriber.cancellation import CancelToken
from autorag_whisper.transcriber.outcome import FileDone, FileFailed, FileOutcome, OnProgress, Progress
from autorag_whisper.transcriber.protocol import Model, ModelHandle, TranscriberProtocol
from autorag_whisper.transcriber.stream import TranscriptStream
from autorag_whisper.transcriber.transcriber import LoadedModel, Transcriber

__all__ = [
    "CancelToken",
    "FileDone",
    "FileFailed",
    "FileOutcome",
    "LoadedModel",
    "Model",
    "ModelHandle",
    "OnProgress",
    "Progress",
    "Transcriber",
    "TranscriberProtocol",
    "TranscriptStream",
]
