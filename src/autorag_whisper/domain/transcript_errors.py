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


@dataclass(eq=False)
class TextTooLong(RequestError):
    """A given text that nobody can say in the audio that it is for: `letters` in `duration_s`, of `most`."""

    letters: int
    duration_s: float
    most: int

    def problem(self) -> str:
        return f"{self.letters} letters cannot be said in {self.duration_s:.1f} s of audio, {self.most} at most"

    @property
    def remedy(self) -> str:
        return "give the text of this stretch alone, or the bounds of all that is said"
