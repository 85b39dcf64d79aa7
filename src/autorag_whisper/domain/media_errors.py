"""What goes wrong with a media file beside what `domain.errors` names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autorag_whisper.domain.errors import MediaError, MediaNotFound, UnavailableError

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


@dataclass(eq=False)
class MediaOverLimit(MediaError):
    """Decoding it would cost more than is allowed (`DecodingLimits`). `what`: which limit, with its value."""

    what: str

    def problem(self) -> str:
        return f"{self.name}: {self.what}"

    @property
    def remedy(self) -> str:
        return "convert it (ffmpeg -i FILE -ac 1 -ar 16000 out.flac), cut it, or raise the limit"


@dataclass(eq=False)
class DecoderDied(MediaError):
    """The process that decoded this file ended in the midst of it. `reason`: how."""

    reason: str

    def problem(self) -> str:
        return f"{self.name}: its decoder crashed ({self.reason})"

    @property
    def remedy(self) -> str:
        return "convert it to WAV or FLAC (ffmpeg -i FILE out.flac), or report it with the file"


@dataclass(eq=False)
class DecoderKilled(UnavailableError):
    """The process that decoded this file was killed from outside: by the system, which does so without memory."""

    name: str

    def problem(self) -> str:
        return f"{self.name}: the process that decoded it was killed, as the system does when memory runs out"

    @property
    def remedy(self) -> str:
        return "try again; where it happens again, have fewer requests in work at a time, or lower the decoder's memory"


@dataclass(eq=False)
class DecoderUnavailable(UnavailableError):
    """No process could be had to decode in."""

    reason: str

    def problem(self) -> str:
        return f"no process to decode in could be had ({self.reason})"

    @property
    def remedy(self) -> str:
        return "try again; the log may say more"
