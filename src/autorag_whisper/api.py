"""The thin face: three functions over one process-wide `Transcriber`, which is made on the first call."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.per_process import PerProcess

if TYPE_CHECKING:
    from autorag_whisper.audio.source import Media
    from autorag_whisper.transcriber import LoadedModel, Transcriber

_made: list[Transcriber] = []


class WordDict(TypedDict):
    """A word `w` with its start `s` and end `e` in seconds on the file's timeline and its probability `p`, 0..1."""

    w: str
    s: float
    e: float
    p: float


def _make() -> Transcriber:
    """The one of this process; in a forked child the parent's, which goes on with parts of the child's own."""
    if not _made:
        _made.append(build_transcriber())
    return _made[0]


_own = PerProcess(_make)


def _transcriber() -> Transcriber:
    return _own.get()


def get_model(size: str, device_hint: str | None = None) -> LoadedModel:
    """The model of `size` on the resolved device: loaded on the first call, the same handle after that.

    `device_hint`: None or "auto", "cpu", "cuda", "cuda:N"; anything else means the CPU, with a warning. The operator's
    `AUTORAG_WHISPER_DEVICE=cpu` and a CPU pin win over it. Raises the Model* errors (`domain.errors`).
    """
    transcriber = _transcriber()
    model = transcriber.model(size, device_hint)
    transcriber.load(model)
    return model


def resolved_device() -> str:
    """`"cuda"` or `"cpu"`: the device used last, or the one that would be used. For display alone."""
    return _transcriber().resolved_device()


def transcribe_segment(model: LoadedModel, file_path: Media, language: str | None = None) -> list[WordDict]:
    """The words of a recording, in order; [] where nobody speaks.

    `file_path`: a path, or what else `MediaSource` makes sources of: bytes, a file object, samples at 16 kHz.
    `language`: None or "" detects it; "en", "EN", "en-US" and "English" are the same. Raises the Media* errors,
    InvalidOption for an unknown language, and UnavailableError.
    """
    transcript = _transcriber().transcribe(file_path, TranscribeOptions(language=language), model=model)
    return [WordDict(w=word.text, s=word.start_s, e=word.end_s, p=word.probability) for word in transcript.words]
