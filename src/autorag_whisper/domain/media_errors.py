"""What goes wrong with a media file beside what `domain.errors` names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autorag_whisper.domain.errors import MediaError, MediaNotFound

_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*:/|(?:https?|ftps?|s3|gs):)/", re.IGNORECASE)
HOW_TO_FETCH = "only files are read; fetch it first: curl -LO URL, or yt-dlp -x URL for a page with a video"


def is_address(text: str) -> bool:
    """Whether it is spelt as an address on a network (`https://...`, of which a Path keeps one slash)."""
    return bool(_ADDRESS.match(text))


@dataclass(eq=False)
class MediaAddress(MediaNotFound):
    """An address on a network in the place of a file: nothing is fetched."""

    def problem(self) -> str:
        return f"{self.name}: an address, and no file"

    @property
    def remedy(self) -> str:
        return HOW_TO_FETCH


@dataclass(eq=False)
class ReaderFailed(MediaError):
    """A reader raised what it never should (a fault of this package or of a library). `detail` says what and where."""

    detail: str

    def problem(self) -> str:
        return f"{self.name}: reading it failed in a way that nobody expected ({self.detail})"

    @property
    def remedy(self) -> str:
        return "report it, with the file if you may; as WAV or FLAC (ffmpeg -i FILE out.flac) it can perhaps be read"
