"""What goes wrong with a media file and is nobody's fault but ours, or a library's."""

from __future__ import annotations

from dataclasses import dataclass

from autorag_whisper.domain.errors import MediaError


@dataclass(eq=False)
class ReaderFailed(MediaError):
    """A reader raised what it never should (a fault of this package or of a library). `detail` says what and where."""

    detail: str

    def problem(self) -> str:
        return f"{self.name}: reading it failed in a way that nobody expected ({self.detail})"

    @property
    def remedy(self) -> str:
        return "report it, with the file if you may; as WAV or FLAC (ffmpeg -i FILE out.flac) it can perhaps be read"
