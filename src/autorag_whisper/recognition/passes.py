"""The one pass over a batch that suits an engine: by its steps, by a pipeline's, or from sound to text at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from autorag_whisper.domain.errors import EngineError
from autorag_whisper.engines.base import WhisperPipeline, WhisperSpec
from autorag_whisper.engines.text_engine import TextEngine
from autorag_whisper.recognition.given_text import by_text_engine, by_whisper
from autorag_whisper.recognition.pipeline import PipelinePass
from autorag_whisper.recognition.recognise import WhisperPass
from autorag_whisper.recognition.text_pass import TextPass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.engines.base import LoadedEngine, WhisperModel
    from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
    from autorag_whisper.recognition.recognizer import Caller


class Pass(Protocol):
    """One pass over batches of one profile."""

    def recognise(self, tasks: Sequence[ChunkTask]) -> list[ChunkResult]:
        """For each chunk its result, which may need a redo, or be undecided; in their order."""
        ...


def pass_of(engine: LoadedEngine, options: TranscribeOptions, caller: Caller) -> Pass:
    """The pass by which `engine` recognises batches of the profile of `options`."""
    if isinstance(engine, TextEngine):
        return (by_text_engine if options.given_text else TextPass)(engine, options, caller)
    if options.given_text:
        return by_whisper(whisper_model(engine), options, caller)
    if isinstance(engine, WhisperPipeline):
        return PipelinePass(engine, options, caller)
    return WhisperPass(whisper_model(engine), options, caller)


def whisper_model(engine: LoadedEngine) -> WhisperModel:
    """The engine, which has the steps of a Whisper model. Raises EngineError where its spec says otherwise."""
    if not isinstance(engine.spec, WhisperSpec):
        raise EngineError(engine.spec.model, "arguments", "it has no steps of a Whisper model")
    return cast("WhisperModel", engine)
