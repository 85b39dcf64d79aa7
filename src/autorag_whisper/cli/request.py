"""What one `transcribe` command asks for, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autorag_whisper.domain.language import CHINESE
from autorag_whisper.domain.request import Task
from autorag_whisper.format.options import SubtitleOptions

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.archive.naming import Marks
    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.settings import Settings


@dataclass(frozen=True, slots=True)
class Request:
    """A command line. `output_dir` None: beside each input, or, where `printing`, on standard output.

    `force`: do again what is finished, replace what is not ours; `backup`: of that, keep a copy.
    """

    arguments: tuple[str, ...]
    model: str
    device: str
    formats: tuple[str, ...]
    output_dir: Path | None
    printing: bool
    force: bool
    backup: bool
    marks: Marks
    options: TranscribeOptions
    subtitles: SubtitleOptions
    settings: Settings
    show_text: bool = False

    def digest(self) -> str:
        """A digest of everything in here that decides what comes out for a given file."""
        from autorag_whisper.archive.fingerprint import layout_digest

        digest = self.text_digest()
        return digest if self.subtitles == SubtitleOptions() else layout_digest(digest, self.subtitles)

    def text_digest(self) -> str:
        """A digest of what decides the words, however they are laid out."""
        from autorag_whisper.archive.fingerprint import model_identity, options_digest

        return options_digest(self.options, self.settings, model=model_identity(self.model))

    def digests(self) -> frozenset[str]:
        """The digest, and those that earlier versions may have noted for the same."""
        from autorag_whisper.archive.fingerprint import digests_of_0_1_0, model_identity

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
