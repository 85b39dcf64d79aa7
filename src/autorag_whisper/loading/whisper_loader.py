"""From a key to a Whisper model in memory, by the engine that `loading.engine_choice` takes for it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from autorag_whisper.domain.errors import AutoragWhisperError, EngineError, ModelDamaged
from autorag_whisper.domain.notes import Note, NoteKind
from autorag_whisper.engines import ctranslate2
from autorag_whisper.engines.native import COMPUTE_TYPES
from autorag_whisper.loading.engine_choice import EngineChoice, EngineName, after_trial, before_trial
from autorag_whisper.loading.load_requests import load_request, with_speller

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from autorag_whisper.domain.device import ModelKey
    from autorag_whisper.engines.base import WhisperModel
    from autorag_whisper.engines.ctranslate2 import LoadRequest
    from autorag_whisper.engines.native_library import NativeLibrary
    from autorag_whisper.loading.engine_choice import Trial
    from autorag_whisper.loading.model_finder import ModelFinder

_log = logging.getLogger(__name__)
_FAILURES = (EngineError, ModelDamaged, MemoryError)


@dataclass(frozen=True, slots=True)
class EngineSetting:
    """What the operator wants: `wanted` as AUTORAG_WHISPER_ENGINE has it, `instruction_set` "" for the best."""

    wanted: str = "auto"
    instruction_set: str = ""


class WhisperLoader:
    """Makes ready what a load of a key needs, and gives the load itself. Thread-safe.

    `room(key)` is entered while a second copy of a model is in memory (for sampling).
    """

    def __init__(
        self,
        models: ModelFinder,
        workers: int,
        cache_dir: Path,
        room: Callable[[ModelKey], AbstractContextManager[None]],
        setting: EngineSetting,
    ) -> None:
        self._models, self._workers, self._cache_dir = models, workers, cache_dir
        self._room, self._setting = room, setting

    def __call__(self, key: ModelKey) -> Callable[[], WhisperModel]:
        request = load_request(self._models.of(key), key, self._workers, self._cache_dir)
        request = replace(request, room=partial(self._room, key))
        return partial(self._load, request, self._choice(key, request))

    def _choice(self, key: ModelKey, request: LoadRequest) -> EngineChoice:
        library = find_library(self._setting.instruction_set)
        if isinstance(library, str):
            return before_trial(self._setting.wanted, key, library)
        instructions = library.instruction_set(self._setting.instruction_set) or ""
        choice = before_trial(self._setting.wanted, key, "", instructions)
        if choice.engine is not None:
            return choice
        try:
            return self._tried(request, library, instructions)
        except (*_FAILURES, OSError) as error:
            return EngineChoice(EngineName.CTRANSLATE2, f"the native engine could not be tried: {_told(error)}")

    def _tried(self, request: LoadRequest, library: NativeLibrary, instruction_set: str) -> EngineChoice:
        from autorag_whisper.loading.engine_trial import KeptTrials

        trials = KeptTrials(self._cache_dir, library.path, instruction_set)
        trial = trials.kept(request.folder)
        if trial is None:
            with trials.one_at_a_time(request.folder):
                trial = trials.kept(request.folder) or self._try_out(replace(request, workers=1))
                trials.keep(trial, request.folder)
        return after_trial(trial)

    def _try_out(self, request: LoadRequest) -> Trial:
        from autorag_whisper.engines import native
        from autorag_whisper.loading.engine_trial import try_out
        from autorag_whisper.loading.head_calibration import packaged_clip

        _log.info("trying the native engine on %s, once on this machine", request.name)
        ours = native.load(request, self._setting.instruction_set)
        try:
            reference = ctranslate2.load(request)
            try:
                return try_out(ours, reference, packaged_clip().samples, time.process_time)
            finally:
                reference.close()
        finally:
            ours.close()

    def _load(self, request: LoadRequest, choice: EngineChoice) -> WhisperModel:
        if choice.engine is EngineName.NATIVE:
            from autorag_whisper.engines import native

            try:
                engine = native.load(request, self._setting.instruction_set)
            except _FAILURES as error:
                if self._setting.wanted == EngineName.NATIVE:
                    raise
                choice = EngineChoice(EngineName.CTRANSLATE2, f"the native engine does not load it: {_told(error)}")
            else:
                _log.info(
                    "%s computes by the native engine (%s): %s", request.name, engine.instruction_set, choice.reason
                )
                return engine
        could_have = request.compute_type in COMPUTE_TYPES and not request.device.is_cuda
        is_noted = self._setting.wanted == "auto" and could_have
        if is_noted:
            note = Note(NoteKind.ENGINE_NOT_USED, f"computed by CTranslate2: {choice.reason}")
            request = replace(request, notes=(*request.notes, note))
        _log.log(
            logging.INFO if is_noted else logging.DEBUG, "%s computes by CTranslate2: %s", request.name, choice.reason
        )
        return ctranslate2.load(with_speller(request, self._cache_dir))


def find_library(instruction_set: str = "") -> NativeLibrary | str:
    """The native library that can compute here, or why there is none."""
    from autorag_whisper.engines.native_library import NativeUnavailableError, native_library

    try:
        library = native_library()
    except NativeUnavailableError as error:
        return str(error)
    if library.instruction_set(instruction_set) is None:
        return f"this processor, or this build of the native library, has no {instruction_set or 'kernels for it'}"
    return library


def _told(error: BaseException) -> str:
    if isinstance(error, AutoragWhisperError):
        return error.problem()
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return reason or type(error).__name__
