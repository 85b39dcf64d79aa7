"""What `doctor` says of the engine: which one would compute on a CPU, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.device import CPU, ModelKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from autorag_whisper.engines.native_library import NativeLibrary
    from autorag_whisper.settings import Settings

_REMEDY = "install a wheel, or from source where CMake and a C++ compiler are; or unset AUTORAG_WHISPER_ENGINE"


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the report that is no problem."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that is broken, and what mends it."""

    what: str
    remedy: str


def check_engine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Fact | Wrong]:
    """The native library, what is known of its models, and what follows from the setting. Loads no model."""
    try:
        from autorag_whisper.loading.engine_choice import before_trial
        from autorag_whisper.loading.whisper_loader import find_library
    except (ImportError, OSError):  # a package that does not import was said already
        return
    yield Fact("wanted", settings.engine)
    library = find_library(settings.native_isa)
    missing, used = library if isinstance(library, str) else "", ""
    if isinstance(library, str):
        yield Fact("native engine", f"none: {library}")
    else:
        used = library.instruction_set(settings.native_isa) or ""
        yield Fact("native engine", f"{library.path.name}, computes by {used}")
    if settings.engine == "whisperx":
        return
    choice = before_trial(settings.engine, _key(settings), missing, used)
    if choice.engine == "native" and missing:
        yield Wrong(f"the native engine is wanted and cannot be used: {missing}", _REMEDY)
        return
    yield Fact("on a CPU", f"{choice.engine or 'native or ctranslate2'}: {choice.reason}")
    if choice.engine is None and not isinstance(library, str):
        yield from _trials(settings, environ, library)


def _key(settings: Settings) -> ModelKey:
    return ModelKey("", CPU, "int8" if settings.compute_type == "default" else settings.compute_type)


def _trials(settings: Settings, environ: Mapping[str, str], library: NativeLibrary) -> Iterator[Fact]:
    from autorag_whisper.loading.engine_choice import after_trial
    from autorag_whisper.loading.engine_trial import KeptTrials
    from autorag_whisper.models.store import default_cache_dir

    cache = (settings.cache_dir or default_cache_dir(environ)).absolute()
    trials = KeptTrials(cache, library.path, library.instruction_set(settings.native_isa) or "").all()
    for folder, trial in trials:
        choice = after_trial(trial)
        yield Fact(f"tried on {folder.name}", f"{choice.engine}: {choice.reason}")
    if not trials:
        yield Fact("tried on", "no model yet: its first load does it, once on this machine")
