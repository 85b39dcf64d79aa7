"""What one `transcribe` command asks for, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from autorag_whisper.domain.request import TranscribeOptions
    from autorag_whisper.settings import Settings


@dataclass(frozen=True, slots=True)
class Request:
    """A command line. `output_dir` None: beside each input, or, where `printing`, on standard output."""

    arguments: tuple[str, ...]
    model: str
    device: str
    formats: tuple[str, ...]
    output_dir: Path | None
    printing: bool
    force: bool
    options: TranscribeOptions
    settings: Settings

    def digest(self) -> str:
        """A digest of everything in here that decides what comes out for a given file."""
        from autorag_whisper.cli.fingerprint import model_identity, options_digest

        model = model_identity(self.model)
        return options_digest(self.options, self.settings, model=model, device=self.device)
