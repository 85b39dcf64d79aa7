"""The thin face: three functions over one process-wide `Transcriber`, which is made on the first call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorag_whisper.bootstrap import build_transcriber
from autorag_whisper.domain.request import TranscribeOptions
from autorag_whisper.format.structured import WordDict, word_dicts
from autorag_whisper.per_process import PerProcess
from autorag_whisper.transcriber.given_text import GivenText, aligned_words

if TYPE_CHECKING:
    from autorag_whisper.audio.source import Media
    from autorag_whisper.transcriber import LoadedModel, Transcriber

_made: list[Transcriber] = []


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
    return word_dicts(transcript.words, transcript.duration_s)


def align_text(
    model: LoadedModel,
    file_path: Media,
    text: str,
    start_s: float = 0.0,
    end_s: float | None = None,
    *,
    language: str | None = None,
) -> list[WordDict]:
    """The words of a text that is known, with their times: nothing is recognised, no word is added or left out.

    `text`: all that is said from `start_s` to `end_s` (None: to the end), 28 s at most. `language`: of the text; None
    or "" is that of a model with one language, else InvalidOption. Raises TextTooLong where nobody can say so much, and
    what `transcribe_segment` raises. Words that no aligner can find are spread over the speech.
    """
    given = GivenText(text, start_s, end_s, language)
    return word_dicts(aligned_words(_transcriber(), file_path, given, model=model))
