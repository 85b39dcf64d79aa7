"""A loaded engine as runs know it: what turns a batch of chunks into results."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from autorag_whisper.domain.device import FailureCause
from autorag_whisper.domain.errors import Cancelled, DeviceError, EngineError
from autorag_whisper.recognition.aligner_fallback import told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autorag_whisper.engines.base import LoadedEngine, RecognizerSpec
    from autorag_whisper.recognition.border_hearing import Border
    from autorag_whisper.recognition.chunk_result import ChunkResult, ChunkTask
    from autorag_whisper.recognition.ctc_alignment import CtcAligner
    from autorag_whisper.recognition.language import LanguageChoice

_log = logging.getLogger(__name__)

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever wants a batch: is told the languages that are detected, may cancel, and lends what times words.

    `on_language(file, choice)` is called once for each file at most in a batch, and before its result is there.
    `cancelled()` is asked between two calls of the engine. Both from whatever thread the batch runs in.
    """

    on_language: Callable[[int, LanguageChoice], None]
    cancelled: Callable[[], bool]
    ctc: CtcAligner | None = None

    def check(self) -> None:
        """Raise Cancelled if it was."""
        if self.cancelled():
            raise Cancelled


class Recognizer:
    """Turns batches of chunks into results, by whatever steps its engine has. Thread-safe.

    Raises what engines raise (`engines.base.LoadedEngine`).
    """

    def __init__(self, engine: LoadedEngine) -> None:
        self.engine = engine

    @property
    def spec(self) -> RecognizerSpec:
        return self.engine.spec

    def batch(self, tasks: Sequence[ChunkTask], caller: Caller) -> list[ChunkResult]:
        """For each chunk its result, in their order.

        The chunks, one at least, are of one encoder window if the engine `has_windows`, of one profile of options
        (`recognition.profile`), and those that are asked for their language together of one file; one that has the
        `fallback` is alone. A chunk's result does not depend on the others. Raises Cancelled where the caller did.
        """
        # What only a run needs is imported beside the load (`transcriber.start`).
        from autorag_whisper.recognition.parts import completed
        from autorag_whisper.recognition.passes import pass_of

        one_pass = pass_of(self.engine, tasks[0].options, caller)
        if tasks[0].options.given_text:
            return one_pass.recognise(tasks)
        return [self._with_ends(completed(one_pass, result), caller) for result in one_pass.recognise(tasks)]

    def _with_ends(self, result: ChunkResult, caller: Caller) -> ChunkResult:
        """`result`, the ends of sentences in it heard again that are unsure; its time is that of both."""
        from autorag_whisper.recognition.passes import whisper_model
        from autorag_whisper.recognition.sentence_ends import hears_ends, unsure_ends, with_ends_heard

        unsure = unsure_ends(result) if hears_ends(self.spec, result.task.options) else []
        if not unsure:
            return result
        started, model = time.perf_counter(), whisper_model(self.engine)
        done = _unless_it_fails(
            lambda: with_ends_heard(model, result, unsure, caller), result, "ends of sentences could not be heard again"
        )
        ended = time.perf_counter()
        spent = replace(result.time, recognise_s=result.time.recognise_s + ended - started, ended=ended)
        return replace(done, time=spent)

    def hear_border(self, border: Border, caller: Caller) -> str:
        """What is said across a border of two chunks; only where the spec `hears_borders`.

        "" where the engine fails at it, or its memory ends: the text is as good as it was. Raises Cancelled, and
        DeviceError where the device itself failed.
        """
        from autorag_whisper.recognition.border_hearing import heard_across
        from autorag_whisper.recognition.passes import whisper_model

        caller.check()
        model = whisper_model(self.engine)
        return _unless_it_fails(
            lambda: heard_across(model, border), "", "a border between two chunks could not be heard again"
        )

    def offload(self) -> bool:
        return self.engine.offload()

    def restore(self) -> bool:
        return self.engine.restore()

    def close(self) -> None:
        self.engine.close()


def _unless_it_fails(ask: Callable[[], Found], otherwise: Found, failed: str) -> Found:
    """What is found, or `otherwise` where the engine fails at it, or its memory ends.

    Raises Cancelled, and DeviceError where the device itself failed.
    """
    try:
        return ask()
    except (EngineError, MemoryError, DeviceError) as error:
        if isinstance(error, DeviceError) and error.cause != FailureCause.OUT_OF_MEMORY:
            raise
        _log.warning("%s, the text stays: %s", failed, told(error))
        return otherwise
