"""What is wrong with a transcript that is read from a file."""

from __future__ import annotations

from dataclasses import dataclass

from autorag_whisper.domain.errors import RequestError


@dataclass(eq=False)
class InvalidTranscript(RequestError):
    """JSON that is no transcript. `where` is the place in it (`segments[3].words[0].start`; "" for the whole)."""

    name: str
    where: str
    reason: str

    def problem(self) -> str:
        return f"{self.name}: {self.where} {self.reason}".replace("  ", " ")

    @property
    def remedy(self) -> str:
        return "give the JSON that this package writes, or another Whisper's with the times of words"
