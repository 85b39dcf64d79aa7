"""What a batch asks for: the same of every file in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autorag_whisper.archive.fingerprint import digests_of_0_1_0, layout_digest, model_identity, options_digest
from autorag_whisper.archive.naming import NO_PARTS, NameParts
from autorag_whisper.domain.errors import InvalidOption
from autorag_whisper.domain.language import CHINESE
from autorag_whisper.domain.request import Task, TranscribeOptions
from autorag_whisper.format import FORMATS
from autorag_whisper.format.options import SubtitleOptions
from autorag_whisper.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What is to be made of each file, and where it goes. Raises InvalidOption for an unknown format.

    `formats`: names of `format.FORMATS`; () has files recognised and writes nothing. `output_dir`: the folder for all
    outputs, None for beside each input. `parts`: what their names say besides. `force`: do again what is finished, and
    replace what is not ours or was changed; `backup`: keep a copy of what is replaced so.
    """

    formats: tuple[str, ...]
    output_dir: Path | None = None
    model: str = "base"
    device: str = "auto"
    options: TranscribeOptions = field(default_factory=TranscribeOptions)
    subtitles: SubtitleOptions = field(default_factory=SubtitleOptions)
    settings: Settings = field(default_factory=Settings)
    parts: NameParts = NO_PARTS
    force: bool = False
    backup: bool = True

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise InvalidOption("formats", name, ", ".join(FORMATS))

    def digest(self) -> str:
        """A digest of everything in here that decides what comes out for a given file."""
        digest = self.text_digest()
        return digest if self.subtitles == SubtitleOptions() else layout_digest(digest, self.subtitles)

    def text_digest(self) -> str:
        """A digest of what decides the words, however they are laid out."""
        return options_digest(self.options, self.settings, model=model_identity(self.model))

    def digests(self) -> frozenset[str]:
        """The digest, and those that earlier versions may have noted for the same."""
        if self.subtitles != SubtitleOptions():
            return frozenset({self.digest()})
        model = model_identity(self.model)
        return digests_of_0_1_0(self.options, self.settings, model=model, device=self.device) | {self.digest()}

    @property
    def language_of_names(self) -> str:
        """The language that stands in the outputs' names, "" where only the work can tell."""
        return "en" if self.options.task == Task.TRANSLATE else self.name_of(self.options.language or "")

    def name_of(self, language: str) -> str:
        """A language as it stands in names: with the script where one was asked for."""
        script = self.options.script if language in CHINESE else ""
        return f"{language}-{script}" if script else language
