"""What one `transcribe` command asks for, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autorag_whisper.archive.request import BatchRequest


@dataclass(frozen=True, slots=True)
class Request:
    """A command line. `printed` is the format that goes to standard output, None where files are written."""

    arguments: tuple[str, ...]
    batch: BatchRequest
    printed: str | None = None
    show_text: bool = False
