"""A world for the command: a transcriber that reads its words from the file itself, and a clock that stands still.

It has the public shape of `Transcriber`; what the real one does is tested where it lives and in `tests/integration`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from autorag_whisper.cli import run
from autorag_whisper.cli.context import CommandContext
from autorag_whisper.domain.audio import MediaInfo
from autorag_whisper.domain.errors import AutoragWhisperError, MediaDamaged
from autorag_whisper.domain.transcript import Segment, Transcript, Word
from autorag_whisper.transcriber import FileDone, FileFailed, FileOutcome, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from autorag_whisper.audio.source import MediaSource
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.settings import Settings
    from autorag_whisper.transcriber.run_request import RunControl

BROKEN = b"broken"
"""A file with these bytes cannot be transcribed."""


class Handle(NamedTuple):
    """A model's handle."""

    size: str
    hint: str | None

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def compute_type(self) -> str:
        return "int8"


def transcript_of(name: str, text: str) -> Transcript:
    """A transcript of `text`, half a second a word."""
    words = tuple(Word(word, n / 2, n / 2 + 0.4, 0.9) for n, word in enumerate(text.split()))
    segments = (Segment(0, words[0].start_s, words[-1].end_s, text, words, "en"),) if words else ()
    media = MediaInfo("wav", "pcm_s16le", 16_000, 1, 0, 1)
    return Transcript(name, len(words) / 2 + 0.5, "en", 0.9, "transcribe", segments, "base", "cpu", "int8", media)


@dataclass
class World:
    """What the command is run in, and what it did there. `before_file` is called with each source's name.

    `hear` makes the text that is recognised of the file's own; `language` and `track` are what it is in and was taken
    from where the options do not say it.
    """

    environ: dict[str, str] = field(default_factory=dict)
    backwards: bool = False
    before_file: Callable[[str], None] = lambda _name: None
    hear: Callable[[str, TranscribeOptions], str] = lambda text, _options: text
    language: str = "en"
    track: int = 0
    clock: Callable[[], float] = lambda: 1.0
    build_error: Exception | None = None
    transcribed: list[str] = field(default_factory=list)
    settings: list[Settings] = field(default_factory=list)
    options: list[TranscribeOptions] = field(default_factory=list)
    loaded: list[Handle] = field(default_factory=list)
    models: list[Handle] = field(default_factory=list)
    closed: int = 0
    cache: TemporaryDirectory[str] = field(default_factory=TemporaryDirectory)

    def run(self, *arguments: str | Path) -> int:
        """The exit code of `autorag-whisper transcribe` with these arguments."""
        return self.command("transcribe", *arguments)

    def command(self, *arguments: str | Path) -> int:
        """The exit code of any command line."""
        environ = {"AUTORAG_WHISPER_CACHE_DIR": self.cache.name, **self.environ}
        return run([str(argument) for argument in arguments], CommandContext(environ, self.clock, self._build))

    def _build(self, settings: Settings, _environ: Any) -> Any:
        if self.build_error is not None:
            raise self.build_error
        self.settings.append(settings)
        return _Transcriber(self)


class _Transcriber:
    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self) -> _Transcriber:
        return self

    def __exit__(self, *_: object) -> None:
        self._world.closed += 1

    def model(self, size: str, device_hint: str | None = None) -> Handle:
        self._world.models.append(Handle(size, device_hint))
        return self._world.models[-1]

    def load(self, model: Handle) -> None:
        self._world.loaded.append(model)

    def stream(self, source: MediaSource, options: TranscribeOptions, *, model: object) -> Any:
        assert model in self._world.models
        outcome = self._outcome(source, options)
        if outcome.error is not None:
            raise outcome.error
        assert outcome.transcript is not None
        return contextlib.nullcontext(iter(outcome.transcript.segments))

    def events(
        self, sources: Iterable[MediaSource], options: TranscribeOptions, model: object, control: RunControl
    ) -> Iterator[Any]:
        assert control.supervised is not None
        assert control.on_progress is not None
        on_segment = control.supervised.on_segment or (lambda _source, _segment: None)
        for outcome in self.transcribe_many(sources, options, model=model, on_progress=control.on_progress):
            for segment in outcome.transcript.segments if outcome.transcript else ():
                on_segment(outcome.source, segment)
                yield segment
            yield outcome

    def transcribe_many(
        self,
        sources: Iterable[MediaSource],
        options: TranscribeOptions,
        *,
        model: object,
        on_progress: Callable[[Progress], None],
    ) -> Iterator[FileOutcome]:
        self._world.options.append(options)
        for source in reversed(list(sources)) if self._world.backwards else sources:
            self._world.before_file(source.name)
            on_progress(Progress(source, 0.25, 0.5))
            yield self._outcome(source, options)

    def _outcome(self, source: MediaSource, options: TranscribeOptions) -> FileOutcome:
        try:
            with source.open() as file:
                data = file.read()
            if data == BROKEN:
                raise MediaDamaged(source.name)
        except AutoragWhisperError as error:
            return FileFailed(source, error)
        self._world.transcribed.append(source.name)
        transcript = transcript_of(source.name, self._world.hear(data.decode(), options))
        track = options.audio_stream if isinstance(options.audio_stream, int) else self._world.track
        media = replace(transcript.media, audio_stream=track)
        language = options.language or self._world.language
        return FileDone(source, replace(transcript, language=language, task=options.task.value, media=media))
