"""What callers give a transcriber, looked at when a method is called: a wrong type is said there, and in words."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from autorag_whisper.audio.source import MediaSource
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.request import Task, TranscribeOptions
from autorag_whisper.domain.unicode import exact
from autorag_whisper.engines.base import DECODING_OPTIONS
from autorag_whisper.transcriber.cancellation import CancelToken

if TYPE_CHECKING:
    from autorag_whisper.audio.source import Media
    from autorag_whisper.engines.base import RecognizerSpec
    from autorag_whisper.transcriber.protocol import Model

_SINGLE = (str, bytes, bytearray, memoryview, os.PathLike, MediaSource, io.IOBase)
"""What is one medium, though Python iterates over most of them: characters, bytes, lines."""


def options_of(options: TranscribeOptions | None) -> TranscribeOptions:
    """What was asked for. Raises InvalidOption for what is no options."""
    if options is not None and not isinstance(options, TranscribeOptions):
        raise InvalidOption("options", type(options).__name__, "TranscribeOptions(...), or None")
    return options or TranscribeOptions()


def require_model(model: Model) -> None:
    """See that `model` names a model. Raises InvalidOption."""
    if not isinstance(model, str | os.PathLike) and not (hasattr(model, "size") and hasattr(model, "device_hint")):
        raise InvalidOption("model", type(model).__name__, "a size, a hub id, a folder, or a handle of get_model")


def name_of(model: object) -> str:
    """The name of a model, hub id or folder as plain text. What is none of these is no model's name either."""
    named = os.fspath(model) if isinstance(model, os.PathLike) else model
    return exact(named) if isinstance(named, str) else str(named)


def require_callback(on_progress: object) -> None:
    """See that it can be called. Raises InvalidOption."""
    if on_progress is not None and not callable(on_progress):
        raise InvalidOption("on_progress", type(on_progress).__name__, "a function that takes a Progress, or None")


def require_priority(priority: int) -> None:
    """See that it is a whole number. Raises InvalidOption."""
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise InvalidOption("priority", priority, "a whole number; of calls on the same model the higher goes first")


def token_of(cancel: CancelToken | None) -> CancelToken:
    """The token that stops a call: what a caller gave, or one of its own. Raises InvalidOption."""
    if cancel is not None and not isinstance(cancel, CancelToken):
        raise InvalidOption("cancel", type(cancel).__name__, "a CancelToken(), whose cancel() stops the call, or None")
    return cancel or CancelToken()


def source_of(media: Media) -> MediaSource:
    """The source of what a caller gave. A path becomes absolute now: he may change his folder before it is opened."""
    source = MediaSource.of(media)
    if source.path is None or isinstance(media, MediaSource):
        return source
    try:
        return replace(source, path=source.path.absolute())
    except OSError:  # this process's folder was deleted
        return source


def sources_of(media: Iterable[Media]) -> Iterable[MediaSource]:
    """The sources of what a caller gave: of a list now, of an iterator as they are taken from it.

    Raises InvalidOption for a single medium.
    """
    if isinstance(media, _SINGLE) or _is_sound(media) or not isinstance(media, Iterable):
        raise InvalidOption("sources", type(media).__name__, "a list of media, also of a single one: [media]")
    if isinstance(media, Sequence):
        return [source_of(one) for one in media]
    return (source_of(one) for one in media)


def _is_sound(media: object) -> bool:
    """Whether it is one row of samples; an array of paths, or of several rows, is a list of media."""
    kind = getattr(getattr(media, "dtype", None), "kind", "f")  # a tensor's type has none
    return getattr(media, "ndim", 0) == 1 and kind in "fiu"


def check_options(spec: RecognizerSpec, options: TranscribeOptions) -> None:
    """Whether this model can do what was asked for. Raises InvalidOption."""
    _check_decoding(spec, options)
    _check_languages(spec, options)


def _check_decoding(spec: RecognizerSpec, options: TranscribeOptions) -> None:
    usual = TranscribeOptions()
    for field, name in DECODING_OPTIONS.items():
        value = getattr(options, field)
        if field not in spec.options and value != getattr(usual, field):
            raise InvalidOption(name, value, "the engine ctranslate2: this one has no such option")
    beyond = [token for token in options.suppress_tokens if spec.vocabulary and token >= spec.vocabulary]
    if beyond:
        raise InvalidOption("suppressed tokens", beyond, f"ids below {spec.vocabulary} (model {spec.model})")


def _check_languages(spec: RecognizerSpec, options: TranscribeOptions) -> None:
    unknown = [code for code in options.allowed_languages if code not in spec.languages]
    if unknown:
        raise InvalidOption("allowed language", ", ".join(unknown), f"languages that model {spec.model} knows")
    only, told = spec.only_language, ", ".join(sorted(spec.languages))
    if options.task is Task.TRANSLATE and not spec.translates:
        why = f"{spec.model} only transcribes" + (" English" if only == "en" else "")
        raise InvalidOption("task", options.task.value, f"a multilingual model: {why}")
    if options.language is not None and options.language not in spec.languages:
        known = only or "a language of this model" + (", or none to detect it" if spec.detects_languages else "")
        raise InvalidOption("language", options.language, f"{known} (model {spec.model})")
    if not spec.detects_languages and options.code_switching:
        raise InvalidOption("code switching", "on", f"off: model {spec.model} does not tell which language is spoken")
    if not spec.detects_languages and options.language is None and only is None:
        raise InvalidOption("language", "none", f"one of {told}: model {spec.model} does not tell which is spoken")
